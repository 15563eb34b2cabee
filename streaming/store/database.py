"""Database calls from coroutines, through a small pool of threads with a connection each.

Not asgiref's sync_to_async: outside a request that shares one thread among all, and inside one it opens a connection a
stream (measured in docs/ARCHITECTURE.md). Here the number of connections is a setting, whatever the number of streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier, Lock
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, close_old_connections, connections

from streaming.errors import JournalUnavailable

IDLE_IN_TRANSACTION = "25P03"
P = ParamSpec("P")
R = TypeVar("R")
_lock = Lock()
_pool: ThreadPoolExecutor | None = None


async def in_database(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function` in a database thread. Raises JournalUnavailable when the database can't be reached."""
    call = partial(_guarded, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads(), call)


async def in_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The same for a function that waits for coroutines itself: in a database thread it would wait for its own kind."""

    def call() -> Any:
        try:
            return _guarded(function, *args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


def _guarded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    for connection in connections.all(initialized_only=True):
        connection.close_at = None  # CONN_MAX_AGE is for requests; a connection a call costs more than the call
    close_old_connections()
    try:
        return function(*args, **kwargs)
    except Error as error:
        if not _is_away(error):
            raise
        connections.close_all()
        raise JournalUnavailable(str(error).strip()) from error


def _is_away(error: Error) -> bool:
    """psycopg takes a session that the server has ended for idling to be our mistake, not a lost connection."""
    lost = isinstance(error, OperationalError | InterfaceError)
    return lost or getattr(error.__cause__, "sqlstate", None) == IDLE_IN_TRANSACTION


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(settings.DB_THREADS, thread_name_prefix="database")
        return _pool


def close_threads() -> None:
    """Close every thread's connection and end the threads; the next call starts anew. For tests and shutdown."""
    global _pool
    with _lock:
        pool, _pool = _pool, None
    if pool is None:
        return
    together = Barrier(settings.DB_THREADS)

    def close() -> None:
        together.wait(timeout=10)  # holds each thread until all have one of these, so that none runs two
        connections.close_all()

    for closing in [pool.submit(close) for _ in range(settings.DB_THREADS)]:
        closing.result()
    pool.shutdown()
