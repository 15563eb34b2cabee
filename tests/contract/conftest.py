from tests.containers.bench import bench, bwrap_bench, docker_bench, process_bench

__all__ = ["bench", "bwrap_bench", "docker_bench", "process_bench"]
