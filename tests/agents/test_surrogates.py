"""A character whose two halves come in two deltas is one character in the log, whoever takes over between them."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.programs.output_pump import Pump
from agents.programs.protocols.acp import AcpConversation
from agents.programs.protocols.conversation import Conversation, Opening
from agents.programs.protocols.jsonl import JsonlConversation
from agents.programs.translator import Translator
from agents.worker import source_position
from containers.interface import BEGINNING, Offset, Output
from containers.protocols.acp.session import INITIALIZE_ID
from streaming.model.events import Draft, Event

RUN = "01990000-0000-7000-8000-000000000001"
SMILE = "\U0001f600"
FIRST, SECOND = "\ud83d", "\ude00"


class World:
    """A pump, and the log that it writes to."""

    def __init__(self, stored: str = "", conversation: Conversation | None = None) -> None:
        self.log: list[Draft] = []
        self.positions = [stored]
        read_to = stored, RUN, 1
        conversation = conversation or JsonlConversation(Translator(RUN))
        self.pump = Pump(
            conversation,
            source_position.read(*read_to),
            2**30,
            self._append,
            lambda: None,
            source_position.read_begin(*read_to),
        )

    async def _append(self, drafts: list[Draft], offset: Offset, begin: Offset) -> list[Event]:
        self.log += drafts
        self.positions.append(source_position.write(RUN, 1, offset, begin))
        return []

    async def read(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        async def output() -> Any:
            for piece in pieces:
                yield Output("stdout", piece)
                await asyncio.sleep(pause_s)

        await self.pump.run(output())


def line(**said: Any) -> bytes:
    return json.dumps(said).encode() + b"\n"


def texts(drafts: list[Draft]) -> dict[tuple[str, str], str]:
    """What each message and call says, in all."""
    said: dict[tuple[str, str], str] = defaultdict(str)
    for one in drafts:
        if one.type in ("text", "thinking", "tool-output"):
            said[one.type, one.data.get("message_id") or one.data["call_id"]] += one.data["content"]
    return said


@pytest.mark.parametrize("pause_s", [0.0, 0.1])
@pytest.mark.parametrize(
    "target", [{"type": "text"}, {"type": "thinking", "message_id": "m1"}, {"type": "tool-output", "call_id": "m1"}]
)
async def test_two_halves_in_two_deltas_are_one_character(target: dict[str, Any], pause_s: float) -> None:
    world = World()
    await world.read(line(**target, content=f"a{FIRST}"), line(**target, content=f"{SECOND}b"), pause_s=pause_s)
    assert texts(world.log) == {(target["type"], "m1"): f"a{SMILE}b"}
    assert world.log[0].data["content"] in (("a",) if pause_s else ("a", f"a{SMILE}b")), "only the half is kept back"


async def test_what_others_say_between_the_halves_makes_no_difference() -> None:
    world = World()
    await world.read(
        line(type="text", content=f"a{FIRST}"),
        line(type="tool-output", call_id="c", content=FIRST),
        line(type="thinking", content="hm"),
        line(type="tool-call", call_id="d", name="n"),
        b"a line of log\n",
        line(type="text", content=""),
        line(type="text", content=f"{SECOND}b"),
        line(type="tool-output", call_id="c", content=SECOND),
    )
    assert texts(world.log) == {
        ("text", "m1"): f"a{SMILE}b",
        ("tool-output", "c"): SMILE,
        ("thinking", "m1"): "hm",
    }


async def test_a_half_alone_is_a_mark_where_its_message_or_call_ends() -> None:
    world = World()
    await world.read(
        line(type="tool-output", call_id="c", content=f"a{FIRST}"),
        line(type="tool-output", call_id="d", content=f"{SECOND}a{SECOND}b{FIRST}c"),
        line(type="tool-result", call_id="c", result=f"r{FIRST}"),
        line(type="text", content=FIRST),
        line(type="text", content=FIRST),
        line(type="text", content="b"),
        line(type="text", content=f"end{FIRST}"),
        line(type="done"),
    )
    assert texts(world.log) == {
        ("tool-output", "c"): "a\ufffd",
        ("tool-output", "d"): "\ufffda\ufffdb\ufffdc",
        ("text", "m1"): "\ufffd\ufffdbend\ufffd",
    }
    types = [one.type for one in world.log if one.data.get("call_id") == "c"]
    assert types == ["tool-output", "tool-output", "tool-result"]
    assert next(one for one in world.log if one.type == "tool-result").data["result"] == "r\ufffd"


halves = st.lists(
    st.builds(
        lambda target, content: line(**target, content=content),
        st.sampled_from(
            [{"type": "text"}, {"type": "thinking"}, {"type": "tool-output", "call_id": "c"}, {"type": "log"}]
        ),
        st.text(st.sampled_from(["a", "é", SMILE, FIRST, SECOND]), max_size=3),
    )
    | st.just(line(type="tool-result", call_id="c")),
    max_size=8,
)


@given(halves)
def test_a_takeover_after_any_batch_changes_nothing(lines: list[bytes]) -> None:
    async def check() -> None:
        whole = World()
        for one in lines:
            await whole.pump._feed("stdout", one)
            await whole.pump.flush()
        await whole.read()
        for at in range(len(whole.positions)):
            first = World()
            for one in lines:
                if len(first.positions) > at:
                    break
                await first.pump._feed("stdout", one)
                await first.pump.flush()
            second = World(first.positions[-1])
            await second.read(b"".join(lines)[second.pump.begin.stdout :])
            assert texts(first.log + second.log) == texts(whole.log)

    asyncio.run(check())


def rpc(**fields: Any) -> bytes:
    return line(jsonrpc="2.0", **fields)


def update(**fields: Any) -> bytes:
    return rpc(method="session/update", params={"sessionId": "s", "update": fields})


def chunk(kind: str, text: str) -> bytes:
    return update(sessionUpdate=kind, content={"type": "text", "text": text})


ACP = [
    rpc(id=INITIALIZE_ID, result={"protocolVersion": 1, "agentCapabilities": {}}),
    rpc(id=10, result={"sessionId": "s"}),
    chunk("agent_message_chunk", f"a{FIRST}"),
    chunk("agent_thought_chunk", FIRST),
    chunk("agent_thought_chunk", SECOND),
    chunk("agent_message_chunk", f"{SECOND}b"),
    *(
        update(
            sessionUpdate="tool_call_update",
            toolCallId="c",
            status="in_progress",
            content=[{"type": "content", "content": {"type": "text", "text": text}}],
        )
        for text in (f"x{FIRST}", f"x{SMILE}y")
    ),
]


def acp() -> AcpConversation:
    conversation = AcpConversation(Translator(RUN))
    conversation.open(Opening("Go.", (), {}), lambda: None)
    return conversation


WANTED = {("text", "m1"): f"a{SMILE}b", ("thinking", "m1"): SMILE, ("tool-output", "c"): f"x{SMILE}y"}


@pytest.mark.parametrize("pause_s", [0.0, 0.1])
async def test_chunks_of_acp_are_joined_too(pause_s: float) -> None:
    world = World(conversation=acp())
    await world.read(*ACP, pause_s=pause_s)
    assert texts(world.log) == WANTED


async def test_a_takeover_between_chunks_of_acp_changes_nothing() -> None:
    for at in range(len(ACP)):
        first = World(conversation=acp())
        for one in ACP[:at]:
            await first.pump._feed("stdout", one)
            await first.pump.flush()
        second = World(first.positions[-1], acp())
        assert second.pump.begin == BEGINNING
        await second.read(*ACP)
        assert texts(first.log + second.log) == WANTED, at
