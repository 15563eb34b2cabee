"""The per-user feed (django-eventstream): "this agent changed", for lists and for agents' pages in hidden tabs.

Low-rate and duplicate-tolerant, so its gaps do no harm: both also ask the API now and then. Never used for logs.
"""

from __future__ import annotations

import contextlib
from functools import cache
from queue import Full, Queue
from threading import Thread
from typing import Any

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_eventstream import send_event
from django_eventstream.channelmanager import DefaultChannelManager
from django_eventstream.views import events
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)
OUTBOX_MOST = 1000


def channel_of(user_id: Any) -> str:
    return f"user-{user_id}"


class FeedGate(DefaultChannelManager):  # type: ignore[misc]  # the package has no types
    """The one place that says who may read which feed: everybody their own, whatever the request names."""

    def get_channels_for_request(self, request: HttpRequest, view_kwargs: dict[str, Any]) -> set[str]:
        return {channel_of(request.user.pk)} if request.user.is_authenticated else set()

    def can_read_channel(self, user: Any, channel: str) -> bool:
        return user is not None and channel == channel_of(user.pk)

    def is_channel_reliable(self, channel: str) -> bool:
        return False


def feed(request: HttpRequest) -> HttpResponseBase:
    """The caller is the one that agents.feed_endpoint has identified, also by a token."""
    request.user = getattr(request, "scope", {}).get("user", request.user)
    response: HttpResponseBase = events(request)
    return response


def announce(owner_id: Any, agent_id: str, status: str, title: str) -> None:
    """Tell the owner's lists. Never raises and never waits: a lost message costs a list a few seconds, but a Redis that
    hangs would else keep the thread that commits the log."""
    with contextlib.suppress(Full):
        _outbox().put_nowait((channel_of(owner_id), {"agent_id": agent_id, "status": status, "title": title}))


@cache
def _outbox() -> Queue[tuple[str, dict[str, str]]]:
    box: Queue[tuple[str, dict[str, str]]] = Queue(OUTBOX_MOST)
    Thread(target=_send_all, args=(box,), name="feed", daemon=True).start()
    return box


def _send_all(box: Queue[tuple[str, dict[str, str]]]) -> None:
    while True:
        channel, data = box.get()
        try:
            send_event(channel, "message", data)
        except (RedisError, OSError) as error:
            log.debug("feed not reached", error=str(error))
        except Exception:
            log.exception("feed message not sent")
