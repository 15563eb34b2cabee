"""Coalescing and the pump, without containers: what goes in comes out once and in order, in few batches."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.programs.coalescing import COALESCE_S, MERGED_CHARS, Intake
from agents.programs.output_pump import HELD_CHARS, Pump
from agents.programs.protocols.jsonl import JsonlConversation
from agents.programs.translator import Translator
from agents.worker import source_position
from containers.interface import Offset, Output
from streaming.model.events import Draft, draft

RUN = "01990000-0000-7000-8000-000000000001"

deltas = st.one_of(
    st.builds(
        lambda kind, id_, content: draft(kind, RUN, message_id=id_, content=content),
        st.sampled_from(["text", "thinking"]),
        st.sampled_from(["m1", "m2"]),
        st.text(max_size=5),
    ),
    st.builds(lambda content: draft("tool-output", RUN, call_id="c", content=content), st.text(max_size=5)),
    st.builds(
        lambda stream, content: draft("log", RUN, stream=stream, content=content),
        st.sampled_from(["stdout", "stderr"]),
        st.text(max_size=5),
    ),
    st.just(draft("tool-call", RUN, call_id="c", name="n", arguments={})),
    st.just(draft("error", RUN, code="e", message="m")),
)


def spelled(drafts: list[Draft]) -> list[Any]:
    """Character by character with what it belongs to, so that joining makes no difference."""
    out: list[Any] = []
    for one in drafts:
        target = one.data.get("message_id") or one.data.get("call_id") or one.data.get("stream")
        if one.type in ("text", "thinking", "tool-output", "log"):
            out += [(one.type, target, char) for char in one.data["content"]]
        else:
            out.append((one.type, one.data))
    return out


@given(st.lists(st.lists(deltas, max_size=6), max_size=12), st.sets(st.integers(0, 12)))
def test_nothing_is_lost_and_order_is_kept(batches: list[list[Draft]], takes: set[int]) -> None:
    intake, taken = Intake(), []
    for at, batch in enumerate(batches):
        intake.add(batch)
        if at in takes:
            taken += intake.take()
    taken += intake.take()
    assert spelled(taken) == spelled([one for batch in batches for one in batch])
    assert not intake
    assert intake.chars == 0


def test_neighbours_of_the_same_kind_are_one() -> None:
    intake = Intake()
    for word in ["a", "b", "c"]:
        intake.add([draft("text", RUN, message_id="m", content=word)])
    intake.add([draft("thinking", RUN, message_id="m", content="?")])
    intake.add([draft("text", RUN, message_id="m", content="d")])
    assert [(one.type, one.data["content"]) for one in intake.take()] == [
        ("text", "abc"),
        ("thinking", "?"),
        ("text", "d"),
    ]


def test_a_joined_delta_grows_no_larger_than_the_limit() -> None:
    intake = Intake()
    for _ in range(30):
        intake.add([draft("text", RUN, message_id="m", content="x" * 10_000)])
    sizes = [len(one.data["content"]) for one in intake.take()]
    assert sum(sizes) == 300_000
    assert max(sizes) <= MERGED_CHARS


class World:
    """A pump whose log is a list, and whose clock is real."""

    def __init__(self, after: Offset = Offset(0, 0), limit_bytes: int = 2**30) -> None:
        self.batches: list[tuple[float, list[Draft], Offset]] = []
        self.slow_s = 0.0
        self.pump = Pump(JsonlConversation(Translator(RUN)), after, limit_bytes, self._append, lambda: None)

    async def _append(self, drafts: list[Draft], offset: Offset, begin: Offset) -> list[Any]:
        self.batches.append((asyncio.get_running_loop().time(), drafts, offset))
        await asyncio.sleep(self.slow_s)
        return []

    @property
    def drafts(self) -> list[Draft]:
        return [one for _, drafts, _ in self.batches for one in drafts]


async def pieces(*parts: bytes, pause_s: float = 0.0) -> AsyncIterator[Output]:
    for part in parts:
        yield Output("stdout", part)
        await asyncio.sleep(pause_s)


def line(number: int) -> bytes:
    return json.dumps({"type": "text", "content": f"{number} "}).encode() + b"\n"


async def test_the_first_delta_goes_out_at_once_and_later_ones_at_most_forty_times_a_second() -> None:
    world = World()
    started_at = asyncio.get_running_loop().time()
    await world.pump.run(pieces(*map(line, range(200)), pause_s=0.002))
    took_s = world.batches[-1][0] - started_at
    assert len(world.batches[0][1]) == 1
    assert world.batches[0][1][0].data["content"] == "0 "
    assert len(world.batches) <= took_s / COALESCE_S + 3
    assert "".join(one.data["content"] for one in world.drafts) == "".join(f"{n} " for n in range(200))


async def test_a_slow_log_stops_the_reading() -> None:
    world = World()
    world.slow_s = 0.05
    read = 0

    async def much() -> AsyncIterator[Output]:
        nonlocal read
        for _ in range(200):
            read += 1
            yield Output("stdout", b'{"type":"text","content":"' + b"x" * 16_000 + b'"}\n')
            assert read * 16_000 <= sum(len(one.data["content"]) for one in world.drafts) + HELD_CHARS + 200_000

    await world.pump.run(much())
    assert sum(len(one.data["content"]) for one in world.drafts) == 200 * 16_000


async def test_other_agents_get_their_turn_while_tiny_lines_are_read() -> None:
    world, longest = World(), 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()  # work, not waiting: other programs may have the machine
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    beating = asyncio.create_task(beat())
    gc.disable()  # the heap of a test run is large
    try:
        await world.pump.run(pieces(*([b"a\n" * 128 * 1024] * 2)))
    finally:
        gc.enable()
        beating.cancel()
    assert longest < 0.1  # without turns a second


async def test_what_was_read_before_an_error_is_in_the_log() -> None:
    async def breaks() -> AsyncIterator[Output]:
        yield Output("stdout", line(1))
        yield Output("stdout", line(2))
        raise ConnectionError("the engine is gone")

    world = World()
    with pytest.raises(ConnectionError):
        await world.pump.run(breaks())
    assert "".join(one.data["content"] for one in world.drafts) == "1 2 "


@given(data=st.data(), count=st.integers(1, 12), with_done=st.booleans())
@settings(max_examples=60, deadline=None)
def test_reading_on_from_any_batch_gives_exactly_the_rest(data: st.DataObject, count: int, with_done: bool) -> None:
    """What a takeover does: the position of any batch and the bytes behind it make the whole."""
    whole = b"".join(line(number) for number in range(count))
    if with_done:
        whole += b'{"type":"done"}\nlate words\n'
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    parts = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    async def read(after: Offset, chunks: list[bytes]) -> World:
        world = World(after)
        for chunk in chunks:  # each a batch of its own
            await world.pump._feed("stdout", chunk)
            await world.pump.flush()
        return world

    async def both() -> None:
        first = await read(Offset(0, 0), parts)
        stop = data.draw(st.integers(0, len(first.batches)))
        kept = first.batches[:stop]
        offset = kept[-1][2] if kept else Offset(0, 0)
        stored = source_position.write(RUN, 1, offset)
        again = source_position.read(stored, RUN, 1)
        second = await read(again, [whole[again.stdout :]])
        joined = [one for _, drafts, _ in kept for one in drafts] + second.drafts
        assert spelled(joined) == spelled(first.drafts)
        assert second.pump.program_done == with_done

    asyncio.run(both())


def test_a_position_of_another_attempt_is_the_beginning() -> None:
    written = source_position.write(RUN, 2, Offset(10, 5))
    assert source_position.read(written, RUN, 2) == Offset(10, 5)
    assert source_position.read(written, RUN, 3) == Offset(0, 0)
    assert source_position.read(written, "another", 2) == Offset(0, 0)
    assert source_position.read("", RUN, 1) == Offset(0, 0)
    assert len(written) < 200
