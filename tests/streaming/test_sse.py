"""The SSE endpoint as a client sees it: what comes in which frames, how streams begin and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest

from streaming import journal
from streaming.cursor import START
from streaming.database import in_database
from streaming.errors import JournalUnavailable
from streaming.events import draft
from streaming.reader import Reader
from streaming.sse import Problem, Receive, Scope, SseApplication, Wanted, cursor_of, query_of
from streaming.subscriber import Subscriber
from tests.streaming.world import HandWriter, World, redis_command, text, until

pytestmark = pytest.mark.sqlite
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}


class OpenGate:
    async def open(self, scope: Scope, receive: Receive) -> Wanted:
        query = query_of(scope)
        return Wanted(scope["path"].strip("/"), cursor_of(scope), query.get("until") == "done", query.get("run"))


class ClosedGate:
    async def open(self, scope: Scope, receive: Receive) -> Wanted:
        raise Problem(401, "not-authenticated", "log in", {"field": "x"}, ((b"www-authenticate", b"Bearer"),))


@dataclass
class Response:
    """One request's answer, as far as it has come. `leave` is the client closing its connection."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    writes: list[bytes] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not self.status, "a response begins once"
            self.status = message["status"]
            self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            assert not self.complete, "nothing comes after the end"
            self.body += message.get("body", b"")
            self.writes.append(message.get("body", b""))
            self.complete = not message.get("more_body", False)

    @property
    def blocks(self) -> list[str]:
        text = self.body.decode()
        assert not text or text.endswith("\n\n"), "frames come whole"
        return text.split("\n\n")[:-1]

    @property
    def frames(self) -> list[dict[str, str]]:
        """Those that an EventSource would hand out."""
        frames = []
        for block in self.blocks:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if "data" in fields:
                frames.append(fields)
        return frames

    @property
    def data(self) -> list[dict[str, Any]]:
        return [json.loads(frame["data"]) for frame in self.frames]

    @property
    def ids(self) -> list[str | None]:
        return [frame.get("id") for frame in self.frames]

    async def shows(self, id_: str) -> None:
        await until(lambda: id_ in self.ids or self.complete, f"frame {id_}, but there are {self.ids}")
        assert id_ in self.ids

    async def ends(self, patience_s: float = 10) -> None:
        await until(lambda: self.complete, f"the end, but there are {self.ids}", patience_s)

    async def leave(self) -> None:
        self.left.set()
        assert self.task
        await self.task


class Site:
    def __init__(self, world: World) -> None:
        self.app = SseApplication(lambda: world.hub, OpenGate())
        self.responses: list[Response] = []

    def get(
        self, agent_id: str, query: str | bytes = "", headers: list[tuple[bytes, bytes]] | None = None, app: Any = None
    ) -> Response:
        response = Response()
        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/{agent_id}",
            "query_string": query if isinstance(query, bytes) else query.encode(),
            "headers": headers or [],
        }
        response.task = asyncio.create_task((app or self.app)(scope, response.receive, response.send), name="request")
        self.responses.append(response)
        return response


@pytest.fixture
async def site(world: World) -> AsyncIterator[Site]:
    made = Site(world)
    yield made
    for response in made.responses:
        response.left.set()
        with contextlib.suppress(Exception):
            assert response.task
            await response.task


@pytest.fixture
async def writer(world: World) -> HandWriter:
    """Four events in the database with a snapshot behind the third, and two more in Redis."""
    made = HandWriter(world.bus, await world.agent())
    await made.take_over()
    await made.publish(3)
    await made.commit(snapshot=True)
    await made.publish(1)
    await made.commit()
    await made.publish(2)
    return made


# Frames ---------------------------------------------------------------------------------------------------------------


async def test_stream_has_the_headers_that_keep_proxies_from_holding_it_back(site: Site, writer: HandWriter):
    response = site.get(writer.agent_id)
    await response.shows("1-6")
    assert response.status == 200
    assert response.headers == HEADERS


async def test_without_a_cursor_a_snapshot_comes_first_and_then_every_later_event(site: Site, writer: HandWriter):
    response = site.get(writer.agent_id)
    await response.shows("1-6")
    assert response.blocks[0] == "retry: 1000"
    assert response.ids == ["1-3", "1-4", "1-5", "1-6"]
    snapshot = response.data[0]
    assert (snapshot["type"], snapshot["agent_id"], snapshot["epoch"], snapshot["seq"]) == (
        "snapshot",
        writer.agent_id,
        1,
        3,
    )
    assert snapshot["state"]["messages"][0]["parts"] == [{"type": "text", "text": "1-1 1-2 1-3 "}]
    assert [frame["data"] for frame in response.frames[1:]] == writer.history[3:]


async def test_log_without_events_begins_with_an_empty_snapshot(site: Site, world: World):
    response = site.get(await world.agent())
    await response.shows("0-0")
    assert response.data[0]["state"]["messages"] == []
    writer = HandWriter(world.bus, response.data[0]["agent_id"])
    await writer.take_over()
    await writer.publish(2)
    await response.shows("1-2")
    assert response.ids == ["0-0", "1-1", "1-2"]


@pytest.mark.parametrize(
    ("query", "last_event_id", "first"),
    [
        ("after=0-0", None, 1),
        ("after=1-2", None, 3),
        ("after=1-6", None, 7),
        ("after=1-5", "1-2", 3),
        ("after=nonsense", "1-2", 3),
        ("after=1-2&after=1-4", None, 5),
        ("after=1-2", "", 3),
    ],
)
async def test_with_a_cursor_exactly_the_events_behind_it_come(
    site: Site, writer: HandWriter, query: str, last_event_id: str | None, first: int
):
    """`Last-Event-ID` wins."""
    headers = [] if last_event_id is None else [(b"Last-Event-ID", last_event_id.encode())]
    response = site.get(writer.agent_id, query, headers)
    await writer.publish()
    await response.shows("1-7")
    assert response.ids == [f"1-{seq}" for seq in range(first, 8)]
    assert [frame["data"] for frame in response.frames] == writer.history[first - 1 :]


async def test_frames_have_no_event_field_so_that_onmessage_sees_every_type(site: Site, writer: HandWriter):
    response = site.get(writer.agent_id, "after=nonsense")
    await response.shows("1-6")
    for block in response.blocks:
        assert {line.split(":")[0] for line in block.split("\n")} <= {"id", "data", "retry", ""}


async def test_text_of_any_kind_stays_in_its_frame(site: Site, world: World):
    odd = "\n\ndata: {}\r\nid: 9-9\r\n\r\n\u2028\u2029\x85\x0b\x00\ud800😀 : event: x"
    writer = await world.writer(await world.agent())
    await writer.append([text(odd)])
    await writer.flush()
    response = site.get(writer.agent_id, "after=0-0")
    await response.shows("1-1")
    assert response.ids == ["1-1"]
    assert response.data[0]["data"]["content"] == odd.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")


@pytest.mark.parametrize("committed", [True, False])
async def test_no_write_is_larger_than_its_limit_and_one_event(site: Site, world: World, settings, committed: bool):
    """During replay too, whether it comes from the database or is what only Redis has."""
    settings.STREAM_WRITE_BYTES = 1000
    settings.STREAM_QUEUE_EVENTS = 10
    writer = HandWriter(world.bus, await world.agent())
    await writer.take_over()
    await writer.publish(200)
    if committed:
        await writer.commit()
    response = site.get(writer.agent_id, "after=0-0")
    await response.shows("1-200")
    assert response.ids == [f"1-{seq}" for seq in range(1, 201)]
    event_bytes = max(len(line) for line in response.body.split(b"\n\n")) + 2
    assert max(map(len, response.writes)) < 1000 + event_bytes


async def test_stalled_replay_holds_a_page_however_much_is_not_committed(world: World, settings):
    settings.STREAM_WRITE_BYTES = 1000
    settings.STREAM_QUEUE_EVENTS = 10
    writer = await world.writer(await world.agent())
    with patch.object(writer, "_try_to_commit", return_value=False):
        await writer.append([text("x" * 10_000) for _ in range(200)])
        await until(lambda: writer.sent == 200, "all of it is in Redis")
        async with world.hub.watch(writer.agent_id) as channel:
            subscriber = Subscriber(world.hub, channel, START)
            async with contextlib.aclosing(subscriber.stream()) as pieces:
                await anext(pieces)
                await anext(pieces)
                assert subscriber.cursor is not None
                assert subscriber.cursor.seq < 30


async def test_silence_is_filled_with_comments(site: Site, writer: HandWriter, settings):
    settings.STREAM_HEARTBEAT_S = 0.1
    response = site.get(writer.agent_id, "after=1-6")
    await until(lambda: response.blocks.count(": heartbeat") >= 3, "heartbeats")
    assert response.frames == []
    await writer.publish()
    await response.shows("1-7")


# Cursors that can't be honoured ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cursor", ["nonsense", "1-99", "1-0", "9-1", "0-1", "-", "1-2-3", "99999999999999999999-1", "%00"]
)
async def test_unknown_cursor_is_reset(site: Site, writer: HandWriter, cursor: str):
    with patch("streaming.reader.TIP_PATIENCE_S", 0.05):
        response = site.get(writer.agent_id, f"after={cursor}")
        await response.shows("1-6")
    assert response.data[0] == {"type": "reset", "reason": "unknown-cursor"}
    assert response.data[1]["type"] == "snapshot"
    assert response.ids == [None, "1-3", "1-4", "1-5", "1-6"]


async def test_superseded_cursor_is_reset_also_in_an_open_stream(site: Site, world: World, writer: HandWriter):
    response = site.get(writer.agent_id, "after=1-5")
    await response.shows("1-6")
    await redis_command(world.redis, "FLUSHALL")
    await writer.take_over()
    await writer.publish()
    await response.shows("2-5")
    assert response.data[1] == {"type": "reset", "reason": "superseded"}
    assert response.ids == ["1-6", None, "1-3", "1-4", "2-5"]


async def test_cursor_ahead_of_everything_known_is_waited_for_a_moment(site: Site, world: World, writer: HandWriter):
    """Redis was emptied, and the writer has not yet repeated what is not committed."""
    await redis_command(world.redis, "FLUSHALL")
    with patch.object(Reader, "_look", autospec=True, side_effect=Reader._look) as look:
        response = site.get(writer.agent_id, "after=1-6")
        await until(lambda: look.call_count == 3, "it was looked for again")
    assert response.frames == []
    await writer.send_again()
    await writer.publish()
    await response.shows("1-7")
    assert response.ids == ["1-7"]


@pytest.mark.parametrize("seed_", range(5))
async def test_no_request_is_answered_with_an_error_of_ours(site: Site, writer: HandWriter, seed_: int):
    rng = random.Random(seed_)
    with patch("streaming.reader.TIP_PATIENCE_S", 0.01):
        responses = [
            site.get(
                writer.agent_id,
                bytes(rng.randrange(256) for _ in range(rng.randrange(40))) + b"&after=" + rng.randbytes(8),
                [(rng.randbytes(4), rng.randbytes(8)), (rng.choice([b"last-event-id", b"x"]), rng.randbytes(6))],
            )
            for _ in range(20)
        ]
        for response in responses:
            await until(lambda r=response: r.frames, "frames")  # type: ignore[misc]
            assert response.status == 200


# until=done -----------------------------------------------------------------------------------------------------------


async def run_of(world: World, *drafts: Any) -> Any:
    writer = await world.writer(await world.agent())
    await writer.append(list(drafts))
    await writer.flush()
    return writer


def status(status: str, run_id: str = "r1") -> Any:
    return draft("status", run_id, status=status)


def done(run_id: str = "r1") -> Any:
    return draft("done", run_id, status="completed")


async def test_until_done_ends_behind_the_done_of_the_first_queued_run(site: Site, world: World):
    writer = await run_of(world, status("queued"), status("queued", "r2"))
    response = site.get(writer.agent_id, "until=done")
    await response.shows("1-2")
    await writer.append([status("running"), done(), status("running", "r2"), done("r2")])
    await response.ends()
    assert response.ids[-1] == "1-4"


@pytest.mark.parametrize(("query", "ids"), [("", ["1-3"]), ("&after=0-0", ["1-1", "1-2", "1-3"]), ("&after=1-3", [])])
async def test_until_done_ends_at_once_if_nothing_is_active_or_queued(
    site: Site, world: World, query: str, ids: list[str]
):
    writer = await run_of(world, status("queued"), status("running"), done())
    response = site.get(writer.agent_id, f"until=done{query}")
    await response.ends(patience_s=2)
    assert response.ids == ids


async def test_until_done_on_a_log_without_events_ends_behind_the_snapshot(site: Site, world: World):
    response = site.get(await world.agent(), "until=done")
    await response.ends(patience_s=2)
    assert response.ids == ["0-0"]


async def test_until_done_of_a_run_that_ended_while_we_were_looking_ends(site: Site, world: World):
    """Its `done` is in the snapshot already, which is read a moment later, and would be waited for in vain."""
    writer = await run_of(world, status("queued"), status("running"))
    snapshot = world.hub.reader.snapshot

    async def late(agent_id: str) -> Any:
        await writer.append([done()])
        await writer.flush()
        return await snapshot(agent_id)

    with patch.object(world.hub.reader, "snapshot", late):
        response = site.get(writer.agent_id, "until=done")
        await response.ends()
    assert response.ids == ["1-3"]


async def test_stream_of_a_run_ends_with_it_although_it_was_over_before_we_looked(site: Site, world: World):
    """What `POST …/stream` asks for: from where the log stood before, until that run is done."""
    writer = await run_of(world, status("queued"), status("running"), text("a"), done(), text("later", run_id="r2"))
    for query in ("run=r1&after=0-0", "run=r1"):
        response = site.get(writer.agent_id, query)
        await response.ends()
    assert response.data[-1]["type"] == "snapshot"


async def test_until_done_sends_what_is_known_although_the_channel_is_behind(site: Site, world: World, settings):
    """The message of the last events was lost: the end of the log is what both stores say, not what arrived here."""
    settings.TIP_POLL_S = 0.2
    writer = HandWriter(world.bus, await world.agent())
    await writer.take_over()
    await writer.publish(2)
    watching = site.get(writer.agent_id, "after=0-0")
    await watching.shows("1-2")
    with patch.object(world.hub, "_compare", return_value=None):
        await writer.publish(3, silently=True)
        response = site.get(writer.agent_id, "until=done&after=1-2")
        await response.ends()
    assert response.ids == ["1-3", "1-4", "1-5"]


# Ends -----------------------------------------------------------------------------------------------------------------


async def test_deleted_agent_ends_its_streams_and_is_not_found(site: Site, world: World, writer: HandWriter):
    responses = [site.get(writer.agent_id), site.get(writer.agent_id, "after=1-6")]
    await responses[0].shows("1-6")
    await in_database(journal.delete, writer.agent_id)
    await world.bus.delete(writer.agent_id)
    for response in responses:
        await response.ends()
    late = site.get(writer.agent_id)
    await late.ends()
    assert late.status == 404
    assert json.loads(late.body)["error"]["code"] == "not-found"


async def test_nobody_is_there_is_404_and_closed_gate_says_why(site: Site, world: World):
    missing = site.get("00000000-0000-7000-8000-000000000000")
    await missing.ends()
    assert missing.status == 404
    closed = site.get("x", app=SseApplication(lambda: world.hub, ClosedGate()))
    await closed.ends()
    assert closed.status == 401
    assert closed.headers["www-authenticate"] == "Bearer"
    assert json.loads(closed.body) == {
        "error": {"code": "not-authenticated", "message": "log in", "details": {"field": "x"}}
    }


async def test_database_away_is_503_and_soon_tried_again(site: Site, writer: HandWriter):
    def away(*args: object) -> None:
        raise JournalUnavailable("away")

    with patch.object(journal, "head", away), patch.object(journal, "page", away):
        response = site.get(writer.agent_id)
        await response.ends()
    assert response.status == 503
    assert response.headers["retry-after"]


async def test_database_that_goes_away_during_replay_ends_the_stream_cleanly(site: Site, writer: HandWriter):
    watching = site.get(writer.agent_id, "after=1-6")
    await writer.publish()
    await watching.shows("1-7")  # so it is live: what it gets from here on needs no database

    def away(*args: object) -> None:
        raise JournalUnavailable("away")

    with patch.object(journal, "page", away):
        response = site.get(writer.agent_id, "after=0-0")
        await response.ends()
    assert (response.status, response.frames) == (200, [])
    assert not watching.complete


async def test_error_that_nobody_thought_of_ends_the_stream_too(site: Site, writer: HandWriter):
    """A response that has begun and never ends would keep its client waiting for ever."""
    with patch("streaming.reader.judge", side_effect=ZeroDivisionError):
        response = site.get(writer.agent_id, "after=1-2")
        await response.ends()
    assert response.status == 200


async def test_client_that_leaves_takes_its_stream_with_it(site: Site, world: World, writer: HandWriter):
    responses = [site.get(writer.agent_id) for _ in range(5)]
    for response in responses:
        await response.shows("1-6")
    for response in responses:
        await response.leave()
    assert world.hub.watched == 0
    assert not site.app._open


async def test_closing_server_says_when_to_come_back(site: Site, writer: HandWriter):
    responses = [site.get(writer.agent_id, "after=1-4") for _ in range(30)]
    for response in responses:
        await response.shows("1-6")
    await site.app.drain()
    retries = set()
    for response in responses:
        assert response.complete
        assert response.ids == ["1-5", "1-6"]
        retries.add(int(response.blocks[-1].removeprefix("retry: ")))
    assert len(retries) > 10, "not all in the same moment"
    assert all(500 <= retry <= 5000 for retry in retries)


async def test_client_that_takes_nothing_is_given_up(site: Site, writer: HandWriter, settings):
    settings.STREAM_SEND_TIMEOUT_S = 0.1
    response = Response()
    stalled = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            stalled.set()
            await asyncio.Event().wait()

    scope = {"type": "http", "path": f"/{writer.agent_id}", "query_string": b"", "headers": [], "method": "GET"}
    async with asyncio.timeout(5):
        await site.app(scope, response.receive, send)
    assert stalled.is_set()


async def test_slow_stream_is_ended_and_resumes_from_its_cursor(site: Site, world: World, settings, monkeypatch):
    """The ring has moved past it while a write to it took long."""
    monkeypatch.setattr("streaming.subscriber.SLOW_S", 0.05)
    settings.STREAM_QUEUE_EVENTS = 20
    writer = await world.writer(await world.agent())
    await writer.append([text("a")])
    await writer.flush()
    response = site.get(writer.agent_id, "after=0-0")
    await response.shows("1-1")
    slow_response = Response()
    scope = {"type": "http", "path": f"/{writer.agent_id}", "query_string": b"after=1-1", "headers": []}
    task = asyncio.create_task(site.app(scope, slow_response.receive, slowly_into(slow_response)))
    await until(lambda: slow_response.status, "it is open")
    for at in range(100):
        await writer.append([text(str(at))])
        await asyncio.sleep(0.005)
    await until(lambda: slow_response.complete, "it is ended")
    await task
    assert slow_response.ids == [f"1-{seq}" for seq in range(2, 2 + len(slow_response.ids))]
    assert len(slow_response.ids) < 100
    resumed = site.get(writer.agent_id, f"after={slow_response.ids[-1] or '1-1'}")
    await resumed.shows("1-101")
    assert resumed.ids[0] == f"1-{2 + len(slow_response.ids)}"
    await response.shows("1-101")
    assert response.ids == [f"1-{seq}" for seq in range(1, 102)]


def slowly_into(response: Response) -> Any:
    async def send(message: dict[str, Any]) -> None:
        if b"id:" in message.get("body", b""):
            await asyncio.sleep(0.3)
        await Response.send(response, message)

    return send


async def test_burst_larger_than_the_ring_ends_nobody(site: Site, world: World, settings):
    settings.STREAM_QUEUE_EVENTS = 20
    writer = await world.writer(await world.agent())
    await writer.append([text("a")])
    response = site.get(writer.agent_id, "after=0-0")
    await response.shows("1-1")
    await writer.append([text(str(at)) for at in range(500)])
    await response.shows("1-501")
    assert response.ids == [f"1-{seq}" for seq in range(1, 502)]
