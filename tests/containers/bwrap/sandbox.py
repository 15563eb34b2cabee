"""What tests ask of a sandbox, from inside it and from outside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from containers.engines.cgroups import find_groups
from containers.engines.process_state import State
from tests.containers.bench import Bench

ROOT = os.geteuid() == 0
MISSING = find_groups().missing


async def answers(bench: Bench, code: str, *arguments: object, **fields: Any) -> Any:
    """What a program prints as JSON."""
    stdout, stderr, exit_code = await bench.run(f"import json, os, sys\n{code}", *map(str, arguments), **fields)
    assert exit_code == 0, stderr.decode()
    return json.loads(stdout)


def state_of(bench: Bench, ref: str) -> State:
    return State(bench.directory / "bwrap" / ref)


def descendants(root: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == root:
            found += [int(path.name), *descendants(int(path.name))]
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
