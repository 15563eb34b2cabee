"""The hub: one Redis subscription a process, however many subscribers.

Joining an agent: subscribe, wait for the ack, look where the log ends; from then on its channel misses nothing. Every
ack, also after a reconnect, means: fill from the log. Beside that the tips of watched agents are compared every
TIP_POLL_S, since a last message that is lost leaves no gap behind, and since Redis may be away while the database is
not.

Owns its reconnect loop: redis-py gives up after some silence and some retries, and a hub that has given up is deaf.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from time import monotonic
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import redis.asyncio as redis
import structlog
from django.conf import settings
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from streaming.errors import BusUnavailable, JournalUnavailable, LogMissing
from streaming.model.cursor import Cursor
from streaming.read.channel import Channel
from streaming.read.reader import Reader, Reset
from streaming.store import journal
from streaming.store.bus import BEGUN, DELETED, Bus, name, parse_message
from streaming.store.database import in_database
from streaming.store.journal import Tip

log = structlog.get_logger(__name__)
HUB_CHANNEL = "agentsite:hub"
"""Always subscribed: the connection exists and can be pinged while nobody watches anything. What is said there is for
`on_notice`."""
CONNECT_S = 5.0
SILENCE_S = 10.0
"""A subscription that says nothing for so long is asked whether it lives; after twice as long it is replaced."""
RETRY_FIRST_S, RETRY_MOST_S = 0.05, 2.0
JOIN_PATIENCE_S = 5.0
"""How long joining waits for Redis' ack. Then it goes on without: the tip poll stands in until Redis is back."""


class Hub:
    """Bound to the event loop that first watches something."""

    def __init__(self, bus: Bus | None = None, url: str | None = None) -> None:
        self.bus = bus or Bus()
        self.reader = Reader(self.bus)
        self.closing = asyncio.Event()
        self.on_notice: set[Callable[[bytes], None]] = set()
        """Called with each message on HUB_CHANNEL. Messages may be lost."""
        self._url = url or settings.REDIS_URL
        self._channels: dict[str, Channel] = {}
        self._users: dict[str, int] = {}
        self._fillers: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        """Every task of ours that has not ended: one that nobody holds may be collected while it runs."""
        self._subscription: PubSub | None = None
        self._asked: set[str] = set()
        """Agents subscribed on the present connection."""
        self._acked: set[str] = set()
        """Those of them that Redis has acknowledged."""
        self._changed = asyncio.Event()
        """Set when what we watch is not what we are subscribed to."""
        self._is_down = False
        self._heard_at = monotonic()

    def start(self) -> None:
        if not self._tasks:
            self._spawn(self._listen(), "hub listen")
            self._spawn(self._keep_subscribed(), "hub subscribe")
            self._spawn(self._poll(), "hub poll")

    @contextlib.asynccontextmanager
    async def watch(self, agent_id: str) -> AsyncIterator[Channel]:
        """The agent's channel, placed in its log, for as long as the context lasts. Raises LogMissing,
        JournalUnavailable."""
        self.start()
        channel = self._enter(_canonical(agent_id))
        try:
            await self._place(channel)
            yield channel
        finally:
            self._leave(channel)

    async def close(self) -> None:
        """Tell every stream to end; they say good-bye themselves (see streaming.http.sse)."""
        self.closing.set()
        for channel in self._channels.values():
            channel.wake()

    async def stop(self) -> None:
        """Give everything back. After `close`, and after the streams have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fillers, self._channels, self._users = {}, {}, {}
        await self.bus.close()

    @property
    def watched(self) -> int:
        return len(self._channels)

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Joining and leaving: without an await, so that no two of them can interleave ------------------------------------

    def _enter(self, agent_id: str) -> Channel:
        channel = self._channels.get(agent_id)
        if channel is None:
            channel = self._channels[agent_id] = Channel(agent_id)
            self._fillers[agent_id] = self._spawn(self._fill_loop(channel), f"fill {agent_id}")
            if agent_id in self._acked or self._is_down:
                channel.ready.set()
            self._changed.set()
        self._users[agent_id] = self._users.get(agent_id, 0) + 1
        return channel

    def _leave(self, channel: Channel) -> None:
        agent_id = channel.agent_id
        if self._channels.get(agent_id) is not channel:
            return  # the hub was stopped
        self._users[agent_id] -= 1
        if not self._users[agent_id]:
            del self._users[agent_id], self._channels[agent_id]
            self._fillers.pop(agent_id).cancel()
            self._changed.set()

    async def _place(self, channel: Channel) -> None:
        if channel.last is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(JOIN_PATIENCE_S):
                    await channel.ready.wait()
            await self._place_once(channel)
        if channel.deleted:
            raise LogMissing(channel.agent_id)

    async def _place_once(self, channel: Channel) -> None:
        async with channel.filling:
            if channel.last is None and not channel.deleted:
                await self._place_at_tip(channel)

    # Filling ------------------------------------------------------------------------------------------------------

    async def _fill_loop(self, channel: Channel) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            await channel.wanted.wait()
            channel.wanted.clear()
            if await self._try_to_fill(channel):
                retry_s = RETRY_FIRST_S
                continue
            if channel.deleted:
                return
            channel.wanted.set()
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, RETRY_MOST_S)

    async def _try_to_fill(self, channel: Channel) -> bool:
        """False if it has to be tried again, and not at once."""
        try:
            async with channel.filling:
                return await self._fill(channel) and not channel.holding
        except LogMissing:
            channel.delete()
        except (JournalUnavailable, BusUnavailable) as error:
            log.warning("can't fill a stream", agent_id=channel.agent_id, error=str(error))
        except Exception:
            log.exception("can't fill a stream", agent_id=channel.agent_id)
        return False

    async def _fill(self, channel: Channel) -> bool:
        """Bring the channel to the end of the log. False if it had to be placed anew instead."""
        while channel.last is not None:
            at = channel.last
            try:
                page = await self.reader.after(channel.agent_id, at, own=True)
            except JournalUnavailable:
                # Live goes on without the database, as long as Redis has the next event of the same epoch.
                with contextlib.suppress(BusUnavailable):
                    channel.fill(at, await self.reader.tail(channel.agent_id, at))
                raise
            if isinstance(page, Reset):
                log.info("live end is not in the log", agent_id=channel.agent_id, cursor=str(at), reason=page.reason)
                break
            channel.doubt(page.known_seq)
            if channel.fill(at, page.frames) and page.at_tip:
                return True
        await self._place_at_tip(channel)
        return False

    async def recheck(self, channel: Channel, cursor: Cursor) -> None:
        """A subscriber was told that its `cursor` is not in the log. If our ring has not heard of that yet, it would
        give out the same events again, and the subscriber be reset once more."""
        async with channel.filling:
            if channel.last is not None and channel.last.epoch <= cursor.epoch:
                await self._fill(channel)

    async def _place_at_tip(self, channel: Channel) -> None:
        """Behind the last event that is known to be in the log. The rest is filled in."""
        head = await in_database(journal.head, channel.agent_id)
        channel.place(head.tip)
        channel.wanted.set()

    # Redis --------------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            try:
                async with self._connection() as subscription:
                    retry_s = RETRY_FIRST_S
                    while True:
                        await self._hear(subscription)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("subscription lost, reconnecting", error=str(error), retry_s=retry_s)
            except Exception:
                log.exception("subscription lost, reconnecting")
            self._is_down = True
            for channel in self._channels.values():
                channel.ready.set()
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, RETRY_MOST_S)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[PubSub]:
        """Subscribed to everything that is watched."""
        client = redis.Redis.from_url(
            self._url, socket_timeout=None, socket_connect_timeout=CONNECT_S, retry=Retry(NoBackoff(), 0)
        )
        try:
            async with client.pubsub() as subscription:
                async with asyncio.timeout(CONNECT_S):  # the handshake has no limit of its own
                    self._asked = set(self._channels)
                    await subscription.subscribe(HUB_CHANNEL, *map(name, self._asked))
                self._subscription, self._heard_at, self._is_down = subscription, monotonic(), False
                self._changed.set()
                yield subscription
        finally:
            self._subscription, self._asked, self._acked = None, set(), set()
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()

    async def _keep_subscribed(self) -> None:
        """The only one who sends on the subscription, so the order of subscribing and unsubscribing is ours."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._bring_in_line()
            except (RedisError, OSError) as error:
                log.info("could not subscribe, will again", error=str(error))
                self._asked &= self._acked
                self._changed.set()
                await asyncio.sleep(RETRY_FIRST_S)

    async def _bring_in_line(self) -> None:
        subscription, watched = self._subscription, set(self._channels)
        if subscription is None:
            return  # connecting subscribes to everything
        if gone := self._asked - watched:
            self._asked -= gone
            self._acked -= gone
            await subscription.unsubscribe(*map(name, gone))
        if new := watched - self._asked:
            self._asked |= new
            await subscription.subscribe(*map(name, new))

    async def _hear(self, subscription: PubSub) -> None:
        async with asyncio.timeout(2 * SILENCE_S):  # redis-py may reconnect in there, and its handshake may hang
            message = await subscription.get_message(timeout=SILENCE_S)
        silent_s = monotonic() - self._heard_at
        if message is None:
            if silent_s > 2 * SILENCE_S:
                raise TimeoutError("no answer on the subscription")
            await subscription.ping()
            return
        self._heard_at = monotonic()
        agent_id = _agent_id(message["channel"] or b"")  # a pong names none
        if message["type"] == "message" and agent_id == HUB_CHANNEL:
            for call in tuple(self.on_notice):
                call(message["data"])
        elif message["type"] == "subscribe":
            self._acknowledge(agent_id)
        elif message["type"] == "message" and agent_id in self._channels:
            self._deliver(self._channels[agent_id], message["data"])

    def _acknowledge(self, agent_id: str) -> None:
        if agent_id in self._asked:
            self._acked.add(agent_id)
        if channel := self._channels.get(agent_id):
            channel.ready.set()
            if channel.last is not None:  # else whoever waits for this places it
                channel.wanted.set()

    def _deliver(self, channel: Channel, data: bytes) -> None:
        if data == DELETED:
            channel.delete()
            return
        if data == BEGUN:
            channel.wanted.set()
            return
        try:
            channel.offer(parse_message(data))
        except ValueError:
            log.warning("not an event message", agent_id=channel.agent_id)

    # The tip poll -------------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(settings.TIP_POLL_S)
            try:
                if self._channels:
                    await self._compare(list(self._channels.values()))
            except (BusUnavailable, JournalUnavailable) as error:
                log.debug("tip poll failed", error=str(error))
            except Exception:
                log.exception("tip poll failed")

    async def _compare(self, watched: list[Channel]) -> None:
        ids = [channel.agent_id for channel in watched]
        stored = await in_database(journal.tips, ids)
        try:
            live = await self.bus.tips(ids)
        except BusUnavailable:
            live = [None] * len(ids)
        for channel, tail in zip(watched, live, strict=True):
            tip = stored.get(channel.agent_id)
            if tip is None:
                channel.delete()
            elif (
                channel.last is None
                or channel.is_doubtful
                or _is_stale(channel.last, tip)
                or (tail and _is_behind(channel.last, tail))
            ):
                channel.wanted.set()


def _is_stale(last: Cursor, tip: Tip) -> bool:
    """Or beyond what is committed while a later epoch has come: that may have begun before `last`, and be silent."""
    return _is_behind(last, tip.cursor) or (tip.epoch > last.epoch and tip.cursor.seq < last.seq)


def _is_behind(last: Cursor, tip: Cursor) -> bool:
    """A barrier `<epoch>-0` is no event. A later epoch is always worth a look: it may have begun before `last`."""
    return tip.seq > 0 and (tip.epoch > last.epoch or tip.seq > last.seq)


def _agent_id(channel: bytes | str) -> str:
    text = channel.decode() if isinstance(channel, bytes) else channel
    return text.removeprefix("agent:")


def _canonical(agent_id: str) -> str:
    """As the log's own table spells it: another spelling would be another key in Redis."""
    try:
        return str(UUID(agent_id))
    except ValueError:
        raise LogMissing(agent_id) from None


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current_hub() -> Hub:
    """The hub of the running event loop: one a process, where the server has one loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
