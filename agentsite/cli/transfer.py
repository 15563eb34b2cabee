"""Write an agent to a file, and make an agent from one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from agentsite.cli.client import Client
from agentsite.cli.problem import CliProblem

PIECE_BYTES = 256 * 1024
STDIO = "-"
MEDIA_TYPE = "application/x-ndjson"


def export_agent(client: Client, agent_id: str, output: str, *, files: bool, force: bool) -> None:
    """Write an export to a file, or to stdout for `-`. The file appears only when it is complete; an existing one is
    replaced only with `force`. Raises CliProblem."""
    if output != STDIO and not force and os.path.lexists(output):
        raise CliProblem(f"{output} exists; name another file, or replace it with --force")
    pieces = client.download(f"/api/agents/{agent_id}/export", files=str(files).lower())
    if output == STDIO:
        _write(sys.stdout.buffer, pieces)
        sys.stdout.buffer.flush()
        return
    target = Path(output)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            _write(file, pieces)
        partial.replace(target)
    except OSError as error:
        raise CliProblem(f"{output}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def import_agent(client: Client, path: str, definition: str | None) -> str:
    """Make an agent from an export and return its id. Raises CliProblem."""
    params = {"definition": definition} if definition else {}
    try:
        with sys.stdin.buffer if path == STDIO else Path(path).open("rb") as file:
            answer = client.upload("/api/agents/import", _pieces(file), MEDIA_TYPE, **params)
    except OSError as error:
        raise CliProblem(f"{path}: {error.strerror or error}") from None
    return str(answer["id"])


def _write(file: BinaryIO, pieces: Iterator[bytes]) -> None:
    """Write the pieces. Raises CliProblem if the last line is not `end`, because the export is then incomplete."""
    tail = b""
    for piece in pieces:
        file.write(piece)
        tail = (tail + piece)[-1000:]
    try:
        ended = json.loads(tail.splitlines()[-1])["type"] == "end"
    except (ValueError, LookupError, TypeError):
        ended = False
    if not ended:
        raise CliProblem("the export was cut off; try again")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece
