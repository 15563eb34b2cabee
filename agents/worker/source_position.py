"""The writer's position in its source: which attempt's output has been read how far. Opaque to `streaming`."""

from __future__ import annotations

from containers.interface import Offset


def write(run_id: str, attempt: int, offset: Offset, begin: Offset | None = None) -> str:
    """`begin`: where a line begins that is in the log only in part, if there is one before `offset`."""
    position = f"{run_id}:{attempt}:{offset.stdout}:{offset.stderr}"
    return position if begin is None or begin == offset else f"{position}:{begin.stdout}"


def read(position: str, run_id: str, attempt: int) -> Offset:
    """What of that attempt's output is in the log; nothing if the position is another attempt's."""
    parts = position.split(":")
    if len(parts) not in (4, 5) or parts[0] != run_id or parts[1] != str(attempt):
        return Offset(0, 0)
    return Offset(int(parts[2]), int(parts[3]))


def read_begin(position: str, run_id: str, attempt: int) -> Offset:
    """Where to read on in that attempt's output: lines before `read` are in the log, the first of them in part."""
    offset, parts = read(position, run_id, attempt), position.split(":")
    return offset._replace(stdout=int(parts[4])) if len(parts) == 5 and offset != Offset(0, 0) else offset
