"""The WebSocket control plane: the same events as the SSE endpoint, and commands the other way.

Client to server, one JSON object a message: {"type": "attach", "after"?}, {"type": "input", "content", "strategy"?},
{"type": "cancel", "run_id"}, {"type": "approve", "run_id", "approval_id", "decision", "reason"?}. Each is answered by
{"type": "ack", "for", "run_id"?} or {"type": "error", "for", "error": {code, message}}. Events arrive as in the log.
Close codes: 4401 not logged in, 4404 no such agent.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer

from agents import access, lifecycle
from agents.client_address import address_of_scope
from agents.errors import AgentsError, InputInvalid
from agents.models import Agent
from streaming.cursor import Cursor, parse
from streaming.database import in_database, in_thread
from streaming.errors import StreamingError
from streaming.hub import current_hub
from streaming.sse import UNPARSABLE
from streaming.subscriber import Subscriber

log = structlog.get_logger(__name__)


class Control(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    _events: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.accept()
        user = self.scope["user"]
        if not user.is_authenticated:
            try:
                identity = await in_database(access.identify, self.scope["headers"], address_of_scope(self.scope))
            except AgentsError:
                identity = None
            if identity is None:
                await self.close(4401)
                return
            user = identity.user
        self.user = user
        try:
            self.agent: Agent = await in_database(access.agent_for, user, self.scope["url_route"]["kwargs"]["agent_id"])
        except AgentsError:
            await self.close(4404)

    async def disconnect(self, code: int) -> None:
        self._detach()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        kind = "?"
        try:
            command = _parse(text_data)
            kind = command["type"]
            answer = await self._obey(kind, command)
            await self.send(json.dumps({"type": "ack", "for": kind, **answer}))
        except AgentsError as error:
            await self._refuse(kind, error.code, error.message)
        except StreamingError as error:
            await self._refuse(kind, "unavailable", str(error))

    async def _obey(self, kind: str, command: dict[str, Any]) -> dict[str, Any]:
        if kind == "attach":
            after = command.get("after")
            self._detach()
            cursor = None if after is None else (parse(str(after)) or UNPARSABLE)
            self._events = asyncio.create_task(self._follow(cursor))
            return {}
        if kind == "input":
            run = await in_thread(
                lifecycle.submit_run,
                self.agent,
                _text(command, "content"),
                strategy=str(command.get("strategy", "enqueue")),
            )
            return {"run_id": str(run.pk)}
        run = await in_database(access.run_for, self.user, _text(command, "run_id"))
        if kind == "cancel":
            await in_thread(lifecycle.request_cancel, run)
        elif kind == "approve":
            decision, reason = _text(command, "decision"), str(command.get("reason") or "")
            by = self.user.get_username()
            await in_thread(lifecycle.answer_approval, run, _text(command, "approval_id"), decision, by, reason)
        else:
            raise InputInvalid(f"no command {kind!r}; there are attach, input, cancel, approve", field="type")
        return {"run_id": str(run.pk)}

    async def _follow(self, cursor: Cursor | None) -> None:
        hub = current_hub()
        try:
            async with hub.watch(str(self.agent.pk)) as channel:
                async for piece in Subscriber(hub, channel, cursor).stream():
                    for payload in _payloads(piece):
                        await self.send(payload)
        except StreamingError as error:
            await self._refuse("attach", "unavailable", str(error))
        await self.close()

    def _detach(self) -> None:
        if self._events is not None:
            self._events.cancel()
            self._events = None

    async def _refuse(self, kind: str, code: str, message: str) -> None:
        await self.send(json.dumps({"type": "error", "for": kind, "error": {"code": code, "message": message}}))


def _payloads(piece: bytes) -> list[str]:
    """The data of each frame in a piece of an event stream; comments and `retry` have none."""
    lines = piece.decode().split("\n")
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def _parse(text: str | None) -> dict[str, Any]:
    try:
        command = json.loads(text or "")
    except (ValueError, RecursionError):
        raise InputInvalid("a message must be a JSON object") from None
    if not isinstance(command, dict) or not isinstance(command.get("type"), str):
        raise InputInvalid("a message must be a JSON object with a type", field="type")
    return command


def _text(command: dict[str, Any], field: str) -> str:
    value = command.get(field)
    if not isinstance(value, str):
        raise InputInvalid(f"{field} must be a string", field=field)
    return value
