"""Where gateways are: a directory for each run, and what lies in it."""

from __future__ import annotations

from pathlib import Path

from containers.gateway import GatewayPlace


def test_places(tmp_path: Path):
    place = GatewayPlace(tmp_path / "gateway")
    assert place.run_ids() == []
    directory = place.prepare("r1")
    assert directory.stat().st_mode & 0o777 == 0o755
    assert place.path.stat().st_mode & 0o777 == 0o700
    assert (directory / "forward.py").stat().st_mode & 0o777 == 0o644
    assert place.prepare("r1") == directory
    assert place.run_ids() == ["r1"]
    place.remove("r1")
    assert place.run_ids() == []
