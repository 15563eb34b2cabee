"""What only the WebSocket has: many agents on one socket, messages both ways, and how they are answered."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from unittest.mock import patch

import pytest
import structlog.testing

from streaming.http.problem import Problem
from streaming.http.sse import Scope
from streaming.http.websocket import Session, WebSocketApplication
from streaming.read.subscriber import Subscriber
from streaming.store import journal
from streaming.store.database import in_database
from tests.streaming.transports import OpenSocketGate, Socket, WebSocket
from tests.streaming.world import HandWriter, World, text, until

pytestmark = pytest.mark.sqlite


@pytest.fixture
async def transport(world: World) -> AsyncIterator[WebSocket]:
    made = WebSocket(world)
    yield made
    await made.close()


async def attached(socket: Socket, agent_id: str, after: str | None = None) -> None:
    socket.say({"type": "attach", "id": agent_id, "agent_id": agent_id, "after": after})
    assert (await socket.answer(agent_id))["type"] == "ack"


def events_of(socket: Socket, agent_id: str) -> list[str]:
    return [sent for sent in socket.sent if f'"agent_id":"{agent_id}"' in sent and '"data"' in sent]


# Many agents ----------------------------------------------------------------------------------------------------------


async def test_one_socket_carries_any_number_of_agents_each_in_its_own_order(transport: WebSocket, world: World):
    writers = [await world.writer(await world.agent()) for _ in range(5)]
    socket = transport.connect()
    for writer in writers:
        await attached(socket, writer.agent_id, "0-0")
    for _ in range(10):
        for writer in writers:
            await writer.append([text("a"), text("b")])
    for writer in writers:
        await writer.flush()
        log = await world.log(writer.agent_id)
        await until(lambda w=writer: len(events_of(socket, w.agent_id)) == w.seq, "all events")  # type: ignore[misc]
        assert events_of(socket, writer.agent_id) == log


async def test_a_reset_says_of_which_agent_it_is(transport: WebSocket, writer: HandWriter):
    socket = transport.connect()
    with patch("streaming.read.reader.TIP_PATIENCE_S", 0.05):
        await attached(socket, writer.agent_id, "nonsense")
        await until(lambda: len(socket.sent) > 1, "a reset")
    assert socket.messages[1] == {"type": "reset", "reason": "unknown-cursor", "agent_id": writer.agent_id}


async def test_detached_agent_says_no_more_and_the_others_go_on(transport: WebSocket, world: World, writer: HandWriter):
    other = await world.writer(await world.agent())
    socket = transport.connect()
    await attached(socket, writer.agent_id, "1-6")
    await attached(socket, other.agent_id, "0-0")
    socket.say({"type": "detach", "id": "d", "agent_id": writer.agent_id})
    assert await socket.answer("d") == {"type": "ack", "for": "detach", "id": "d"}
    await writer.publish()
    await other.append([text("a")])
    await until(lambda: events_of(socket, other.agent_id), "the other goes on")
    assert events_of(socket, writer.agent_id) == []
    assert world.hub.watched == 1


async def test_deleted_agent_is_detached_and_the_socket_stays(transport: WebSocket, world: World, writer: HandWriter):
    socket = transport.connect()
    await attached(socket, writer.agent_id, "1-5")
    await until(lambda: events_of(socket, writer.agent_id), "it is live")
    await in_database(journal.delete, writer.agent_id)
    await world.bus.delete(writer.agent_id)
    await until(lambda: len(socket.sent) > 2, "it is said")
    assert socket.messages[2] == {"type": "detached", "agent_id": writer.agent_id, "reason": "deleted"}
    socket.say({"type": "input", "id": 1})
    assert (await socket.answer(1))["type"] == "ack"


async def test_attaching_again_begins_again_behind_the_new_cursor(transport: WebSocket, writer: HandWriter):
    socket = transport.connect()
    await attached(socket, writer.agent_id, "1-4")
    await until(lambda: len(events_of(socket, writer.agent_id)) == 2, "both")
    socket.say({"type": "attach", "id": "again", "agent_id": writer.agent_id, "after": "1-1"})
    await until(lambda: len(events_of(socket, writer.agent_id)) == 7, "five more")
    assert events_of(socket, writer.agent_id)[2:] == writer.history[1:]


async def test_more_agents_than_allowed_are_refused(transport: WebSocket, world: World, settings):
    settings.WEBSOCKET_AGENTS = 2
    agents = [await world.agent() for _ in range(3)]
    socket = transport.connect()
    for agent_id in agents[:2]:
        await attached(socket, agent_id)
    socket.say({"type": "attach", "id": "one too many", "agent_id": agents[2]})
    assert (await socket.answer("one too many"))["error"]["code"] == "too-many-agents"
    await attached(socket, agents[0])
    assert world.hub.watched == 2


async def test_a_socket_that_takes_nothing_holds_the_events_of_one_agent_however_many_it_has(
    transport: WebSocket, world: World
):
    reads: list[str] = []

    async def read(subscriber: Subscriber) -> Any:
        reads.append(subscriber._channel.agent_id)
        return await original(subscriber)

    writers = [await world.writer(await world.agent()) for _ in range(5)]
    for writer in writers:
        await writer.append([text("a")])
        await writer.flush()
    socket = transport.connect(asyncio.Event())
    original = Subscriber._next
    with patch.object(Subscriber, "_next", read):
        for writer in writers:
            for _ in range(3):
                socket.say({"type": "attach", "agent_id": writer.agent_id, "after": "0-0"})
        socket.say({"type": "input", "id": "last"})
        await socket.answer("last")
    assert len(reads) <= 1, "only the one whose turn it is has read anything"


# Messages -------------------------------------------------------------------------------------------------------------


async def test_a_command_is_answered_under_its_id(transport: WebSocket):
    socket = transport.connect()
    socket.say({"type": "input", "id": "a", "x": 1})
    socket.say({"type": "cancel", "id": 7})
    socket.say({"type": "approve"})
    await until(lambda: len(socket.sent) == 3, "three answers")
    assert socket.messages == [
        {"type": "ack", "for": "input", "id": "a", "kind": "input", "fields": {"x": 1}},
        {"type": "ack", "for": "cancel", "id": 7, "kind": "cancel", "fields": {}},
        {"type": "ack", "for": "approve", "kind": "approve", "fields": {}},
    ]


@pytest.mark.parametrize(
    ("text_", "code"),
    [
        ("", "invalid-json"),
        ("{", "invalid-json"),
        ("[" * 100_000, "invalid-json"),
        ("9" * 5000, "invalid-json"),
        ('"attach"', "invalid-json"),
        ("[]", "invalid-json"),
        ("{}", "invalid-input"),
        ('{"type":1}', "invalid-input"),
        ('{"type":"\\ud800"}', "invalid-input"),
        ('{"type":"input","id":{}}', "invalid-input"),
        ('{"type":"input","id":true}', "invalid-input"),
        ('{"type":"input","id":"' + "x" * 201 + '"}', "invalid-input"),
        ('{"type":"attach","after":1}', "invalid-input"),
        ('{"type":"detach"}', "invalid-input"),
        ('{"type":"detach","agent_id":7}', "invalid-input"),
        ('{"type":"detach","agent_id":"x"}', "not-found"),
    ],
)
async def test_bad_input_is_answered_and_the_socket_stays(transport: WebSocket, text_: str, code: str):
    socket = transport.connect()
    with structlog.testing.capture_logs() as logged:
        socket.say_text(text_)
        socket.say({"type": "input", "id": "next"})
        await socket.answer("next")
    assert socket.messages[0]["type"] == "error"
    assert (socket.messages[0]["error"]["code"], socket.messages[0].get("for")) == (code, named(text_))
    assert logged == []


def named(text_: str) -> str | None:
    """The type that a bad message has, if it has one."""
    found = re.search('"type":"([a-z]+)"', text_)
    return found[1] if found else None


async def test_binary_data_is_answered(transport: WebSocket):
    socket = transport.connect()
    socket._incoming.put_nowait({"type": "websocket.receive", "bytes": b"\xff\x00"})
    await until(lambda: socket.sent, "an answer")
    assert socket.messages[0]["error"]["code"] == "invalid-json"


async def test_a_message_that_is_too_large_ends_the_socket(transport: WebSocket, settings):
    settings.INPUT_MAX_BYTES = 100
    socket = transport.connect()
    socket.say({"type": "input", "x": "x" * 200})
    await socket.task
    assert (socket.messages[0]["error"]["code"], socket.code) == ("message-too-large", 1009)


# Who may --------------------------------------------------------------------------------------------------------------


class StrictGate(OpenSocketGate):
    """No credentials in the handshake; the password is "secret"."""

    async def connect(self, scope: Scope) -> Session | None:
        return None

    async def authenticate(self, scope: Scope, fields: Mapping[str, Any]) -> Session:
        if fields != {"token": "secret"}:
            raise Problem(401, "not-authenticated", "wrong")
        session = await super().connect(scope)
        assert session
        return session


@pytest.fixture
def strict(transport: WebSocket, world: World) -> WebSocket:
    transport.app = WebSocketApplication(lambda: world.hub, StrictGate(transport.access))
    return transport


async def test_credentials_may_come_as_the_first_message(strict: WebSocket, writer: HandWriter):
    socket = strict.connect()
    socket.say({"type": "authenticate", "id": 1, "token": "secret"})
    assert await socket.answer(1) == {"type": "ack", "for": "authenticate", "id": 1}
    await attached(socket, writer.agent_id, "1-5")
    await until(lambda: events_of(socket, writer.agent_id), "an event")
    strict.access.revoke()
    await socket.task
    assert socket.code == 4401


@pytest.mark.parametrize(
    "first", ['{"type":"attach","agent_id":"x"}', '{"type":"authenticate","token":"guess"}', "nonsense", "{}"]
)
async def test_without_credentials_the_first_message_is_the_last(strict: WebSocket, first: str):
    socket = strict.connect()
    socket.say_text(first)
    socket.say({"type": "authenticate", "token": "secret"})
    socket.say({"type": "input", "id": "late"})
    await socket.task
    assert [message["type"] for message in socket.messages] == ["error"]
    assert socket.code in (4401, 4403)


async def test_a_socket_without_credentials_is_closed_after_a_while(strict: WebSocket, settings):
    settings.WEBSOCKET_AUTHENTICATE_S = 0.1
    socket = strict.connect()
    await socket.task
    assert (socket.messages[0]["error"]["code"], socket.code) == ("not-authenticated", 4401)


@pytest.mark.parametrize(("status", "accepted", "code"), [(403, False, 4403), (401, True, 4401), (503, True, 1013)])
async def test_a_gate_that_refuses(world: World, status: int, accepted: bool, code: int):
    class ClosedGate(StrictGate):
        async def connect(self, scope: Scope) -> Session | None:
            raise Problem(status, "no", "no")

    with structlog.testing.capture_logs() as logged:
        socket = Socket(WebSocketApplication(lambda: world.hub, ClosedGate(WebSocket(world).access)))
        socket.say({"type": "attach", "agent_id": "x"})  # sent before it was closed
        await socket.task
    assert (socket.accepted, socket.code) == (accepted, code)
    assert [json.loads(sent)["error"]["code"] for sent in socket.sent] == ["no"] * accepted
    assert logged == []
