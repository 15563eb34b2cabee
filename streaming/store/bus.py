"""The bus: an agent's tail in Redis, as a stream and a channel of the same name. Fast, live, and never the truth.

Stream ids are cursors. An entry holds `d` (the event's JSON) and, at the end of a batch, `p` (the writer's position
behind it). An entry `<epoch>-0` holds no event: it is the barrier that keeps earlier epochs out, and nothing is taken
from an epoch that has not put up its own. A message on the channel is one batch: a line an event, `<cursor> <JSON>`; or
`!deleted`; or `!begun`: a new epoch, look whether what you gave out last is still in the log.

Every method raises BusUnavailable when Redis does not answer, and never retries: callers know what they can wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import redis.asyncio as redis
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from streaming.errors import BusUnavailable, Fenced, Unbarred
from streaming.model.cursor import Cursor, EpochStart, superseded

TIMEOUT_S = 5.0
PAGE = 500
"""Entries read at once."""
CONNECTIONS = 32
"""Most commands under way at once; further ones wait their turn."""
DELETED, BEGUN = b"!deleted", b"!begun"
_HERE = Path(__file__).parent
_PUBLISH = (_HERE / "publish.lua").read_text()
_FENCE = (_HERE / "fence.lua").read_text()


class Entry(NamedTuple):
    """One event in the stream. `position` is None where the entry ends no batch."""

    cursor: Cursor
    payload: str
    position: str | None


class Tail(NamedTuple):
    """Entries read from a stream, barriers left out. `last`: where to read on. `complete`: nothing was behind it."""

    entries: list[Entry]
    last: Cursor
    complete: bool


class Message(NamedTuple):
    cursor: Cursor
    payload: bytes


def name(agent_id: str) -> str:
    """The stream's key and the channel of an agent."""
    return f"agent:{agent_id}"


def connect(url: str | None = None) -> redis.Redis:
    """A client that fails at once: waiting and trying again are decided where the call is made, not in the client.

    Without a timeout of its own, for which redis-py uses `asyncio.wait_for`: up to Python 3.11 that swallows a
    cancellation that comes in the same moment as the answer, and the stream of a client that has gone went on for ever.
    """
    return redis.Redis.from_url(
        url or settings.REDIS_URL,
        socket_timeout=None,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        max_connections=CONNECTIONS + 1,
    )


class Bus:
    """Bound to the event loop that uses it first."""

    def __init__(self, client: redis.Redis | None = None) -> None:
        self._client = client or connect()
        self._publish = self._client.register_script(_PUBLISH)
        self._fence = self._client.register_script(_FENCE)
        # The client's pool refuses what is over its limit; two hundred subscribers that resume at once have to wait.
        self._turns = asyncio.Semaphore(CONNECTIONS)

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        async with self._turns:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    yield
            except TimeoutError as error:
                raise BusUnavailable(f"no answer within {TIMEOUT_S} s") from error
            except (RedisError, OSError) as error:
                raise BusUnavailable(str(error)) from error

    async def publish(
        self, agent_id: str, epoch: int, first_seq: int, payloads: Sequence[str], position: str, committed: int
    ) -> int:
        """Append `payloads` as events first_seq, first_seq+1 …; answers the seq at which our part of the stream ends.

        Less than the last of the batch: Redis lost what came before (it was restored), so send again from there.
        Repeating a call is harmless. Raises Fenced when a later epoch has written, Unbarred when Redis was emptied:
        then whoever publishes must make sure that the epoch is still theirs, and call `fence`.
        """
        head: list[str | int] = [epoch, first_seq, committed, settings.STREAM_MAXLEN, settings.STREAM_TTL_S, position]
        async with self._asking():
            try:
                verdict, seq = await self._publish(keys=[name(agent_id)], args=[*head, *payloads])
            except ResponseError as error:
                if "equal or smaller" in str(error):
                    raise Fenced(agent_id, epoch) from error
                raise
        if verdict == -2:
            raise Unbarred(agent_id, epoch)
        if verdict < 0:
            raise Fenced(agent_id, epoch)
        return int(seq)

    async def fence(self, agent_id: str, epoch: int) -> None:
        """From here on no earlier epoch gets anything into the stream. Raises Fenced if a later one was here."""
        async with self._asking():
            allowed = await self._fence(keys=[name(agent_id)], args=[epoch, settings.STREAM_TTL_S])
        if not allowed:
            raise Fenced(agent_id, epoch)

    async def after(self, agent_id: str, cursor: Cursor, count: int = PAGE) -> Tail:
        """Entries behind `cursor` in the stream's order, at most `count`; those of other epochs included."""
        first = f"({cursor}" if cursor.epoch else "-"
        async with self._asking():
            raw: list[Any] = await self._client.xrange(name(agent_id), min=first, count=count) or []
        entries = [entry for entry in map(_entry, raw) if entry is not None]
        return Tail(entries, _cursor(raw[-1][0]) if raw else cursor, len(raw) < count)

    async def tips(self, agent_ids: Sequence[str]) -> list[Cursor | None]:
        """The last id of each stream, in the order asked for; None for an empty one."""
        async with self._asking(), self._client.pipeline(transaction=False) as pipe:
            for agent_id in agent_ids:
                pipe.xrevrange(name(agent_id), count=1)
            answers = await pipe.execute()
        return [_cursor(answer[0][0]) if answer else None for answer in answers]

    async def begun(self, agent_id: str) -> None:
        """A new epoch is in the database. Who saw more than it took over learns that now, not with its first event."""
        async with self._asking():
            await self._client.publish(name(agent_id), BEGUN)

    async def delete(self, agent_id: str) -> None:
        """Forget the stream, and tell everybody who watches it."""
        async with self._asking():
            await self._client.delete(name(agent_id))
            await self._client.publish(name(agent_id), DELETED)

    async def say(self, channel: str, text: str) -> None:
        """A message outside any log: at most once, to whoever listens now."""
        async with self._asking():
            await self._client.publish(channel, text)

    async def keep(self, key: str, text: str, ttl_s: int) -> None:
        """A value outside any log, for `ttl_s` seconds."""
        async with self._asking():
            await self._client.set(key, text, ex=ttl_s)

    async def ping(self) -> None:
        async with self._asking():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()


def parse_message(data: bytes) -> list[Message]:
    """The events of one message on an agent's channel. Raises ValueError for what no writer of ours sends."""
    messages = []
    for line in data.split(b"\n"):
        head, payload = line.split(b" ", 1)
        messages.append(Message(_cursor(head), payload))
    return messages


def contiguous(entries: Iterable[Entry], after_seq: int, starts: Sequence[EpochStart]) -> list[Entry]:
    """Those entries that carry the log on from `after_seq`, without a gap.

    An entry is part of the log unless a later epoch began at or before its seq (see streaming.model.cursor).
    """
    taken: list[Entry] = []
    wanted = after_seq + 1
    for entry in entries:
        if entry.cursor.seq == wanted and not superseded(entry.cursor, starts):
            taken.append(entry)
            wanted += 1
    return taken


def _cursor(raw: bytes) -> Cursor:
    epoch, seq = raw.split(b"-")
    return Cursor(int(epoch), int(seq))


def _entry(raw: tuple[bytes, dict[bytes, bytes]]) -> Entry | None:
    cursor, fields = _cursor(raw[0]), raw[1]
    if not fields or b"d" not in fields:
        return None
    position = fields.get(b"p")
    return Entry(cursor, fields[b"d"].decode(), position.decode() if position is not None else None)
