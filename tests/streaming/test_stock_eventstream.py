"""Why agents' logs do not run over django-eventstream's own view: it loses and repeats events at the seam.

These tests describe the package, not our code. When one of them fails, the package has changed, and the decision in
docs/ARCHITECTURE.md should be looked at again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from django_eventstream import eventstream, send_event, views
from django_eventstream.channelmanager import DefaultChannelManager
from django_eventstream.event import Event
from django_eventstream.eventrequest import EventRequest
from django_eventstream.storage import StorageBase

CHANNEL = "agent"


class Storage(StorageBase):  # type: ignore[misc]
    """In memory. `during_read` is called once, between reading and answering: where another process may publish."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.during_read: Callable[[], None] | None = None

    def append_event(self, channel: str, event_type: str, data: str) -> Event:
        self.events.append(Event(channel, event_type, data, id=len(self.events) + 1))
        return self.events[-1]

    def get_events(self, channel: str, last_id: int, limit: int = 100) -> list[Event]:
        return self._answer(self.events[last_id : last_id + limit])  # type: ignore[no-any-return]

    def get_current_id(self, channel: str) -> int:
        return self._answer(len(self.events))  # type: ignore[no-any-return]

    def _answer(self, answer: Any) -> Any:
        hook, self.during_read = self.during_read, None
        if hook:
            hook()
        return answer


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Storage:
    stored, manager = Storage(), views.ListenerManager()
    manager.redis_listener = None
    monkeypatch.setattr(eventstream, "redis_client", None)
    monkeypatch.setattr(eventstream, "get_storage", lambda: stored)
    monkeypatch.setattr(eventstream, "get_channelmanager", DefaultChannelManager)
    monkeypatch.setattr(views, "listener_manager", manager)
    return stored


async def received(last_id: str | None, expected: int, after: Callable[[], None] | None = None) -> list[str]:
    """What a subscriber gets that resumes behind `last_id`: its first answer, and what `after` brings in a second."""
    request = EventRequest()
    request.is_next = False
    request.channels = {CHANNEL}
    request.channel_last_ids = {CHANNEL: last_id} if last_id else {}
    listener = views.Listener()
    listener.channels = {CHANNEL}
    got: list[str] = []

    async def read() -> None:
        pieces = views.stream(request, listener)
        try:
            async for piece in pieces:
                got.extend(re.findall(r'data: "(\w+)"', piece))
                if after and not done:
                    done.append(after())
                if len(got) >= expected:
                    return
        finally:
            await pieces.aclose()

    done: list[None] = []
    try:
        async with asyncio.timeout(1):
            await read()
    except TimeoutError:
        pass
    return got


def publish(name: str) -> Callable[[], None]:
    return lambda: send_event(CHANNEL, "message", name)


async def test_it_loses_an_event_published_during_the_first_read(storage: Storage):
    storage.during_read = publish("e1")
    assert await received(None, expected=1) != ["e1"]
    assert [event.data for event in storage.events] == ['"e1"']


async def test_it_repeats_events_that_a_resumed_subscriber_has(storage: Storage):
    for name in ("e1", "e2", "e3"):
        publish(name)()
    got = await received("1", expected=4, after=publish("e4"))
    assert got[:2] == ["e2", "e3"]
    assert got[2:4] != ["e4"]
    assert len(got) > len(set(got))
