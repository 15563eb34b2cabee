from tests.containers.bench import bench, docker_bench, process_bench

__all__ = ["bench", "docker_bench", "process_bench"]
