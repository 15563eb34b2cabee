"""The writer's position in its source: which attempt's output has been read how far. Opaque to `streaming`."""

from __future__ import annotations

from containers.engine import Offset


def write(run_id: str, attempt: int, offset: Offset) -> str:
    return f"{run_id}:{attempt}:{offset.stdout}:{offset.stderr}"


def read(position: str, run_id: str, attempt: int) -> Offset:
    """Where to read on in that attempt's output; its beginning if the position is another attempt's."""
    parts = position.split(":")
    if len(parts) != 4 or parts[0] != run_id or parts[1] != str(attempt):
        return Offset(0, 0)
    return Offset(int(parts[2]), int(parts[3]))
