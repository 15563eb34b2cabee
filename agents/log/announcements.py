"""Announce on the per-user feed that an agent has changed, for lists and for agents' pages in hidden tabs.

The feed (django-eventstream, served by agents.asgi.feed) has a low rate and tolerates duplicates. Lost messages do no
harm: its readers also ask the API now and then. It is never used for logs.
"""

from __future__ import annotations

import contextlib
from functools import cache
from queue import Full, Queue
from threading import Thread
from typing import Any

import structlog
from django_eventstream import send_event
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)
OUTBOX_MOST = 1000


def channel_of(user_id: Any) -> str:
    return f"user-{user_id}"


def announce(owner_id: Any, agent_id: str, status: str, title: str) -> None:
    """Tell the owner's lists. Never raises and never waits.

    A lost message costs a list a few seconds. Waiting for a Redis that hangs would block the thread that commits the
    log.
    """
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
