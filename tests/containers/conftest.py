from tests.containers.bench import bench, bwrap_bench, docker_bench, process_bench
from tests.containers.somebody import for_everybody

__all__ = ["bench", "bwrap_bench", "docker_bench", "for_everybody", "process_bench"]
