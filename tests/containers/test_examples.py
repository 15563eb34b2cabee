"""The examples (containers/examples) in containers: what each says, writes and hears."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from containers.protocols import jsonl
from tests.containers.bench import Bench, built_image, eventually
from tests.images.driving import check_calls

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]
"""Debian's Node is installed by the first that needs it."""
ODD = 'He said "hi" \\ and\ttabs,\nünï 😀 \u2028 </script> $(id) `id` %s'


class Example(NamedTuple):
    """What it makes of which files."""

    name: str
    files: dict[str, str]
    tool: str
    report: str
    content: str
    result: str


EXAMPLES = [
    Example(
        "sh",
        {"a.txt": "1\n2\n", 'odd "name"\\.txt': "x\n", "sub/b.txt": ""},
        "count-lines",
        "lines.txt",
        '2 a.txt\n1 odd "name"\\.txt\n0 sub/b.txt\n',
        "3 lines in 3 files",
    ),
    Example(
        "python",
        {"a.txt": "The cat, the dog.\n", "sub/b.txt": "the end"},
        "count-words",
        "words.txt",
        "3 the\n1 cat\n1 dog\n1 end\n",
        "6 words",
    ),
    Example(
        "node",
        {"a.json": '{"fine": true}', "sub/b.json": "{", "c.txt": "no JSON"},
        "check-json",
        "json-report.md",
        "- `a.json`: fine\n- `sub/b.json`: ",
        "2 files, 1 broken",
    ),
]


class Talk:
    """A running example, and what it has said so far."""

    def __init__(self, bench: Bench, example: Example, ref: str) -> None:
        self.bench, self.example, self.ref = bench, example, ref
        self.follower = bench.follow(ref)

    async def tell(self, line: bytes) -> None:
        await self.bench.engine.send(self.ref, line)

    async def until(self, type_: str) -> dict[str, Any]:
        await eventually(lambda: any(event["type"] == type_ for event in self.events()))
        return next(event for event in self.events() if event["type"] == type_)

    async def end(self) -> list[dict[str, Any]]:
        """Until it has ended, as it should: with code 0, `done` last, and every line an event."""
        await self.follower.end()
        events = self.events()
        assert (await self.bench.engine.wait(self.ref)).code == 0, bytes(self.follower.stderr).decode()
        assert bytes(self.follower.stderr) == b""
        assert [event["type"] for event in events].count("done") == 1
        assert events[-1]["type"] == "done"
        return events

    def events(self) -> list[dict[str, Any]]:
        whole, _, _ = bytes(self.follower.stdout).rpartition(b"\n")
        return [json.loads(line) for line in whole.split(b"\n") if line]


def text(events: list[dict[str, Any]]) -> str:
    return "".join(event["content"] for event in events if event["type"] == "text")


@pytest.fixture(params=EXAMPLES, ids=lambda example: example.name)
def example(request: pytest.FixtureRequest) -> Example:
    found: Example = request.param
    return found


@pytest_asyncio.fixture
async def start(docker_bench: Bench, example: Example) -> AsyncIterator[Callable[..., Any]]:
    bench = docker_bench
    image = await built_image(f"example-{example.name}")
    for name, content in example.files.items():
        path = bench.workspace / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)

    async def started(prompt: str = ODD) -> Talk:
        talk = Talk(bench, example, await bench.engine.start(bench.command(image=image), bench.key()))
        # What was said before has a content, too, and objects that look like ours.
        history = [{"role": "user", "content": "before", "parts": [{"arguments": {"input": {"content": "no"}}}]}]
        await talk.tell(jsonl.start("r1", prompt, history, {}))
        return talk

    yield started


async def test_it_does_its_work(docker_bench: Bench, example: Example, start: Callable[..., Any]) -> None:
    events = await (await start()).end()
    assert ODD in text(events)
    check_calls(events)
    (call,) = [event for event in events if event["type"] == "tool-call"]
    assert (call["name"], call["arguments"]) == (example.tool, {"directory": "."})
    assert [event for event in events if event["type"] == "tool-output"]
    assert (events[-1]["status"], events[-1]["result"]) == ("completed", example.result)
    assert (docker_bench.workspace / example.report).read_text().startswith(example.content)


@pytest.mark.parametrize("decision", ["yes", "no"])
async def test_it_asks_before_it_replaces_and_takes_notes(
    docker_bench: Bench, example: Example, start: Callable[..., Any], decision: str
) -> None:
    report = docker_bench.workspace / example.report
    report.write_text("older\n")
    report.chmod(0o666)
    talk = await start("again")
    question = await talk.until("approval-request")
    assert question["options"] == ["yes", "no"]
    await talk.tell(jsonl.message(ODD, command_id="1"))
    await talk.tell(jsonl.approval("replace", decision, command_id="2"))
    events = await talk.end()
    assert f"Noted: {ODD}" in text(events)
    assert events[-1]["status"] == "completed"
    assert report.read_text().startswith(example.content if decision == "yes" else "older\n")


async def test_it_can_be_cancelled(docker_bench: Bench, example: Example, start: Callable[..., Any]) -> None:
    report = docker_bench.workspace / example.report
    report.write_text("older\n")
    talk = await start()
    await talk.until("approval-request")
    await talk.tell(jsonl.cancel(command_id="1"))
    assert (await talk.end())[-1]["status"] == "cancelled"
    assert report.read_text() == "older\n"


async def test_sigterm_ends_it_in_good_order(docker_bench: Bench, example: Example, start: Callable[..., Any]) -> None:
    (docker_bench.workspace / example.report).write_text("older\n")
    talk = await start()
    await talk.until("approval-request")
    await docker_bench.engine.stop(talk.ref, grace_s=20)
    assert (await talk.end())[-1]["status"] == "cancelled"
