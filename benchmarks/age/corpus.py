"""What agents say in these measurements: this project's own code and prose, in pieces as models and tools give them.

Random bytes would not compress at all, and one line again and again would compress to nothing.
Standard library only: `program` runs it, too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("agents", "streaming", "containers", "docs", "tests")
SUFFIXES = (".py", ".js", ".md", ".html", ".css")
DELTA_CHARS = (20, 120)
"""Of one delta: the few tokens that come within a fraction of a second."""
FILES_OF_A_TASK, TURNS_OF_A_TASK = 5, 20
Line = dict[str, Any]
"""Of the container protocol: `type`, and the data of an event of that type."""


@cache
def source() -> str:
    """The project's own text files, one after another: some megabytes."""
    files = (path for folder in FOLDERS for path in sorted((REPOSITORY / folder).rglob("*")))
    return "".join(path.read_text("utf-8") for path in files if path.is_file() and path.suffix in SUFFIXES)


def passage(rng: random.Random, chars: int) -> str:
    """Whole lines, about that much."""
    text = source()
    at = text.index("\n", rng.randrange(len(text) - 2 * chars - 2000)) + 1
    return text[at : at + chars]


class Task:
    """What an agent works on for some turns: a few files, which it reads, edits, reads again, and tests."""

    def __init__(self, rng: random.Random, name: str) -> None:
        self._rng = rng
        self._name = name
        self._files = [passage(rng, rng.randint(2_000, 12_000)) for _ in range(FILES_OF_A_TASK)]
        self._words = passage(rng, 4_000)

    def turn(self, call_id: str) -> Iterator[Line]:
        """It thinks, says something, calls a tool and reads what that prints."""
        rng = self._rng
        yield from deltas(rng, "thinking", call_id, self._part(self._words, 800))
        yield from deltas(rng, "text", call_id, passage(rng, rng.randint(50, 600)))
        number = rng.randrange(FILES_OF_A_TASK)
        path = f"src/{self._name}/part_{number}.py"
        kind = rng.choice(("read", "read", "edit", "test"))
        if kind == "edit":
            old = self._part(self._files[number], 1_500)
            new = old.replace("\n", f"\n{passage(rng, rng.randint(40, 400))}", 1)
            self._files[number] = self._files[number].replace(old, new, 1)
            yield from _call(call_id, "edit_file", {"path": path, "old": old, "new": new}, "Edited.\n")
        elif kind == "read":
            start = rng.randrange(200)
            arguments = {"command": f"sed -n {start},{start + 120}p {path}"}
            yield from _call(call_id, "bash", arguments, self._part(self._files[number], 6_000))
        else:
            tests = (f"tests/test_{self._name}.py::test_{at} {rng.choice(('PASSED', 'FAILED'))}\n" for at in range(40))
            printed = "".join(tests) + self._part(self._files[number], 1_000)
            yield from _call(call_id, "bash", {"command": f"pytest -q tests/test_{self._name}.py"}, printed)

    def _part(self, text: str, most_chars: int) -> str:
        at = self._rng.randrange(max(1, len(text) - most_chars // 2))
        return text[at : at + self._rng.randint(most_chars // 4, most_chars)]


def deltas(rng: random.Random, type_: str, message_id: str, said: str) -> Iterator[Line]:
    while said:
        size = rng.randint(*DELTA_CHARS)
        yield {"type": type_, "message_id": message_id, "content": said[:size]}
        said = said[size:]


def _call(call_id: str, name: str, arguments: dict[str, Any], printed: str) -> Iterator[Line]:
    yield {"type": "tool-call", "call_id": call_id, "name": name, "arguments": arguments}
    for at in range(0, len(printed), 2000):
        yield {"type": "tool-output", "call_id": call_id, "content": printed[at : at + 2000]}
    yield {"type": "tool-result", "call_id": call_id, "result": "Exit code 0.", "is_error": False, "duration_ms": 30}


def session(seed: int, most_bytes: int) -> Iterator[Line]:
    """Tasks, one after another, until about that much was said."""
    rng = random.Random(seed)
    said = number = 0
    while said < most_bytes:
        if number % TURNS_OF_A_TASK == 0:
            task = Task(rng, f"task{number}")
        number += 1
        for line in task.turn(f"t{number}"):
            said += len(str(line))
            yield line


def calls(count: int, result_chars: int, seed: int = 0) -> Iterator[Line]:
    """Tool calls with their results, and nothing else."""
    rng = random.Random(seed)
    for number in range(count):
        call = {"call_id": f"c{number}", "name": "bash", "arguments": {"command": f"sed -n {number},+40p src/app.py"}}
        result = passage(rng, result_chars)
        yield {"type": "tool-call", **call}
        yield {"type": "tool-result", "call_id": f"c{number}", "result": result, "is_error": False, "duration_ms": 3}


def words(count: int) -> Iterator[Line]:
    """What a model streams: a few words at a time."""
    rng = random.Random(count)
    for _ in range(count):
        yield {"type": "text", "message_id": "words", "content": passage(rng, 24).replace("`", "").replace("\n", " ")}
