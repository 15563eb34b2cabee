"""The SSE endpoint without a server: gates in front of it, requests to it, and what came of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from streaming.http.dialects import NATIVE
from streaming.http.problem import Problem
from streaming.http.sse import Receive, Scope, SseApplication, Wanted, cursor_of, query_of
from streaming.models import EventChunk
from streaming.store import journal
from streaming.store.database import in_database
from tests.streaming.world import World, until


class OpenGate:
    async def open(self, scope: Scope, receive: Receive) -> Wanted:
        query = query_of(scope)
        return Wanted(
            scope["path"].strip("/"),
            cursor_of(scope),
            query.get("until") == "done",
            query.get("run"),
            query.get("format", NATIVE),
        )

    async def first_seq(self, run_id: str) -> int | None:
        return await in_database(_first_seq, run_id)


def _first_seq(run_id: str) -> int | None:
    """As agents.asgi.stream_gate has it of the rows of runs, of the chunks of the only log in which there is such a
    run."""
    agent_ids = EventChunk.objects.values_list("agent_id", flat=True).distinct()
    events = (event for agent_id in agent_ids for event in journal.events(str(agent_id)))
    return next((event.seq for event in events if event.run_id == run_id), None)


class ClosedGate(OpenGate):
    async def open(self, scope: Scope, receive: Receive) -> Wanted:
        raise Problem(401, "not-authenticated", "log in", {"field": "x"})


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
        *blocks, rest = self.body.decode().split("\n\n")
        assert all(line.startswith(("retry: ", ":")) for line in rest.splitlines()), "frames come whole"
        return blocks

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
        self,
        agent_id: str,
        query: str | bytes = "",
        headers: list[tuple[bytes, bytes]] | None = None,
        app: Any = None,
        method: str = "GET",
    ) -> Response:
        response = Response()
        scope = {
            "type": "http",
            "method": method,
            "path": f"/{agent_id}",
            "query_string": query if isinstance(query, bytes) else query.encode(),
            "headers": headers or [],
        }
        response.task = asyncio.create_task((app or self.app)(scope, response.receive, response.send), name="request")
        self.responses.append(response)
        return response
