"""An agent's log as people see it live: what is committed, and what so far only Redis has. Synchronous."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asgiref.sync import async_to_sync

from streaming.errors import BusUnavailable
from streaming.model.cursor import Cursor, ResetReason
from streaming.model.fold import State
from streaming.read.reader import Reader, Reset
from streaming.store.bus import Bus


def state_at_tip(agent_id: str) -> State:
    """Without Redis what is committed. Raises LogMissing, JournalUnavailable."""
    return async_to_sync(_state)(agent_id)


def conversation_page(agent_id: str, before: Cursor) -> tuple[str, bool] | None:
    """As streaming.read.reader.Reader.conversation_page."""
    return async_to_sync(_conversation_page)(agent_id, before)


def refusal(agent_id: str, cursor: Cursor) -> ResetReason | None:
    """Why a stream could not go on from `cursor`; None when it could. Takes TIP_PATIENCE_S to give up one that is
    ahead of everything known. Raises LogMissing, JournalUnavailable."""
    return async_to_sync(_refusal)(agent_id, cursor)


def uncommitted(agent_id: str, cursor: Cursor) -> list[str]:
    """The JSON of the events behind `cursor`, the last committed one, that only Redis has; none without Redis."""
    return async_to_sync(_uncommitted)(agent_id, cursor)


async def _state(agent_id: str) -> State:
    async with _reader() as reader:
        return (await reader.at_tip(agent_id)).state


async def _conversation_page(agent_id: str, before: Cursor) -> tuple[str, bool] | None:
    async with _reader() as reader:
        return await reader.conversation_page(agent_id, before)


async def _refusal(agent_id: str, cursor: Cursor) -> ResetReason | None:
    async with _reader() as reader:
        found = await reader.after(agent_id, cursor)
    return found.reason if isinstance(found, Reset) else None


async def _uncommitted(agent_id: str, cursor: Cursor) -> list[str]:
    async with _reader() as reader:
        try:
            return [frame.payload for frame in await reader.tail(agent_id, cursor)]
        except BusUnavailable:
            return []


@asynccontextmanager
async def _reader() -> AsyncIterator[Reader]:
    bus = Bus()
    try:
        yield Reader(bus)
    finally:
        await bus.close()
