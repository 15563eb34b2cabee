"""The SSE endpoint as a client sees it: what comes in which frames, and how streams begin."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from streaming.model.cursor import START
from streaming.model.events import draft
from streaming.read.reader import Reader
from streaming.read.subscriber import Subscriber
from streaming.write.writer import Writer
from tests.streaming.endpoint import Response, Site
from tests.streaming.world import HandWriter, World, redis_command, text, until

pytestmark = pytest.mark.sqlite
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "content-encoding": "identity",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}


# Frames ---------------------------------------------------------------------------------------------------------------


async def test_stream_has_the_headers_that_keep_proxies_from_holding_it_back(site: Site, writer: HandWriter):
    response = site.get(writer.agent_id)
    await response.shows("1-6")
    assert response.status == 200
    assert response.headers == HEADERS


@pytest.mark.parametrize("query", ["", "after=1-2", "until=done"])
async def test_head_is_answered_with_the_headers_alone_and_ends(site: Site, writer: HandWriter, query: str):
    """Whatever came behind them, a client would take for the answer to its next request."""
    response = site.get(writer.agent_id, query, method="HEAD")
    await response.ends()
    assert (response.status, response.headers, response.body) == (200, HEADERS, b"")


async def test_without_a_cursor_a_snapshot_comes_first_and_then_every_later_event(site: Site, writer: HandWriter):
    response = site.get(writer.agent_id)
    await response.shows("1-6")
    assert response.blocks[0].startswith("retry: 1000\nid: 1-3\ndata: {")
    assert response.ids == ["1-3", "1-4", "1-5", "1-6"]
    snapshot = response.data[0]
    assert (snapshot["type"], snapshot["agent_id"], snapshot["epoch"], snapshot["seq"]) == (
        "snapshot",
        writer.agent_id,
        1,
        3,
    )
    assert snapshot["state"]["messages"][0]["parts"] == [{"n": 1, "type": "text", "text": "1-1 1-2 1-3 "}]
    assert [frame["data"] for frame in response.frames[1:]] == writer.history[3:]


def events_of_httpx_sse(body: bytes) -> list[ServerSentEvent]:
    """As a client sees them that makes an event of every block, `retry` and all."""
    headers = {"content-type": "text/event-stream"}
    return list(EventSource(httpx.Response(200, headers=headers, content=body)).iter_sse())


async def test_every_event_that_a_client_makes_of_a_stream_is_one(site: Site, world: World, writer: HandWriter):
    response = site.get(writer.agent_id, "after=1-2")
    await response.shows("1-6")
    await site.app.drain()
    await response.ends()
    events = events_of_httpx_sse(response.body)
    assert [event.id for event in events] == ["1-3", "1-4", "1-5", "1-6"]
    assert all(event.data for event in events)
    assert events[0].retry == 1000


async def test_a_heartbeat_is_no_event(site: Site, writer: HandWriter, settings):
    settings.STREAM_HEARTBEAT_S = 0.05
    response = site.get(writer.agent_id, "after=1-6")
    await until(lambda: response.body.count(b": heartbeat\n") >= 3, "heartbeats")
    await writer.publish(1)
    await response.shows("1-7")
    await until(lambda: response.body.count(b": heartbeat\n") >= 6, "more heartbeats")
    await writer.publish(1)
    await response.shows("1-8")
    await response.leave()
    assert [event.id for event in events_of_httpx_sse(response.body) if event.data] == ["1-7", "1-8"]
    assert len(events_of_httpx_sse(response.body)) == 2


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
    await until(lambda: response.body.count(b": heartbeat\n") >= 3, "heartbeats")
    assert response.frames == []
    await writer.publish()
    await response.shows("1-7")


# Cursors that can't be honoured ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cursor", ["nonsense", "1-99", "1-0", "9-1", "0-1", "-", "1-2-3", "99999999999999999999-1", "%00"]
)
async def test_unknown_cursor_is_reset(site: Site, writer: HandWriter, cursor: str):
    with patch("streaming.read.reader.TIP_PATIENCE_S", 0.05):
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
    with patch("streaming.read.reader.TIP_PATIENCE_S", 0.01):
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


# Other dialects -------------------------------------------------------------------------------------------------------


async def run_at_work(world: World) -> Writer:
    """The end of a run, and one that is in the middle of a message, with a call that is running."""
    writer = await world.writer(await world.agent())
    old = [
        draft("status", "r0", status="running"),
        text("before", run_id="r0"),
        draft("done", "r0", status="completed"),
    ]
    prompt = draft("message", "r1", message_id="u1", role="user", content="Go")
    call = draft("tool-call", "r1", call_id="c1", name="shell", arguments={"cmd": "ls"})
    await writer.append([*old, prompt, draft("status", "r1", status="running"), text("a"), call, text("b"), text("c")])
    await writer.flush()
    return writer


ENDING = [
    draft("tool-result", "r1", call_id="c1", result="ok", is_error=False),
    text("d"),
    draft("done", "r1", status="completed"),
]


async def told_to_the_end(site: Site, writer: Writer, dialect: str) -> Response:
    """Who joined in the middle, and stayed."""
    response = site.get(writer.agent_id, f"format={dialect}&until=done")
    await response.shows("1-9")
    await writer.append(ENDING)
    await response.ends()
    return response


def parts(response: Response) -> list[Any]:
    return [frame["data"] if frame["data"] == "[DONE]" else json.loads(frame["data"]) for frame in response.frames]


async def test_ai_sdk_without_a_cursor_begins_with_the_active_run(site: Site, world: World):
    writer = await run_at_work(world)
    response = await told_to_the_end(site, writer, "ai-sdk")
    assert response.headers == {**HEADERS, "x-vercel-ai-ui-message-stream": "v1"}
    said = parts(response)
    assert [part["type"] for part in said[:3]] == ["data-message", "start", "start-step"]
    assert [part["delta"] for part in said[3:-1] if part["type"] == "text-delta"] == ["a", "b", "c", "d"]
    assert [part["type"] for part in said[-4:-1]] == ["text-end", "finish-step", "finish"]
    assert said[-1] == "[DONE]"
    assert [id_ for id_ in response.ids if id_] == [f"1-{seq}" for seq in range(4, 13)]


async def test_ai_sdk_of_a_run_that_is_not_committed_begins_with_it_too(site: Site, world: World):
    writer = await world.writer(await world.agent())
    with patch.object(writer, "_try_to_commit", return_value=False):
        await writer.append([draft("status", "r1", status="running"), text("a")])
        await until(lambda: writer.sent == 2, "it is in Redis")
        response = site.get(writer.agent_id, "format=ai-sdk")
        await response.shows("1-2")
    assert [part["type"] for part in parts(response)] == [
        "start",
        "start-step",
        "data-status",
        "text-start",
        "text-delta",
    ]


async def test_ai_sdk_of_an_agent_at_rest_has_what_comes(site: Site, writer: HandWriter):
    response = site.get(writer.agent_id, "format=ai-sdk&until=done")
    await response.ends()
    assert parts(response) == ["[DONE]"]


@pytest.mark.parametrize("after", [6, 7, 8, 9])
async def test_who_resumes_in_the_middle_of_a_message_has_it_opened_again_and_the_call_announced(
    site: Site, world: World, after: int
):
    writer = await run_at_work(world)
    response = site.get(writer.agent_id, "format=ai-sdk&until=done", [(b"last-event-id", f"1-{after}".encode())])
    await response.shows("1-9") if after < 9 else await until(lambda: response.status, "it is open")
    await writer.append(ENDING)
    await response.ends()
    said = parts(response)[:-1]
    assert said[0] == {"type": "start", "messageId": "r1"}
    assert "start-step" not in [part["type"] for part in said], "its step was begun in the response before"
    assert "".join(part["delta"] for part in said if part["type"] == "text-delta") == "abcd"[max(after, 7) - 6 :]
    at = [part["type"] for part in said].index("tool-output-available")
    announced = [part for part in said[:at] if part["type"] == "tool-input-available"]
    assert [part["input"] for part in announced] == [{"cmd": "ls"}]
    assert [id_ for id_ in response.ids if id_] == [f"1-{seq}" for seq in range(after + 1, 13)]


async def test_ag_ui_begins_with_snapshots_inside_the_active_run(site: Site, world: World):
    writer = await run_at_work(world)
    response = await told_to_the_end(site, writer, "ag-ui")
    said = parts(response)
    assert [part["type"] for part in said[:3]] == ["RUN_STARTED", "STATE_SNAPSHOT", "MESSAGES_SNAPSHOT"]
    assert said[0]["runId"] == "r1"
    assert said[2]["messages"][-1]["content"] == "abc"
    assert [part["delta"] for part in said if part["type"] == "TEXT_MESSAGE_CONTENT"] == ["d"]
    assert (said[-1]["type"], said[-1]["runId"], said[-1]["outcome"]) == ("RUN_FINISHED", "r1", {"type": "success"})
    assert [id_ for id_ in response.ids if id_] == ["1-9", "1-10", "1-11", "1-12"]


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("ai-sdk", ["data-reset", "data-snapshot"]),
        ("ag-ui", ["RUN_STARTED", "CUSTOM", "STATE_SNAPSHOT", "MESSAGES_SNAPSHOT"]),
    ],
)
async def test_loss_is_said_in_each_dialect(site: Site, world: World, name: str, types: list[str]):
    writer = await run_at_work(world)
    response = site.get(writer.agent_id, f"format={name}&after=nonsense")
    await response.shows("1-9")
    assert [part["type"] for part in parts(response)] == types
    assert response.ids == [*[None] * (len(types) - 1), "1-9"]
    assert "unknown-cursor" in response.body.decode()
