"""Containers of a Podman daemon, which speaks Docker's API: the same engine under its own name.

Without root its socket is made by `systemctl --user enable --now podman.socket`, for root by the same without `--user`.
"""

from __future__ import annotations

from containers.engines.docker import DockerEngine

DEFAULT_URL = "unix:///run/podman/podman.sock"


class PodmanEngine(DockerEngine):
    name = "podman"
    product = "Podman"
