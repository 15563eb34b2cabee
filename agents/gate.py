"""Who may open which event stream, and what `POST …/stream` starts. The other half of streaming.sse."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings

from agents import access, lifecycle
from agents.access import Identity
from agents.errors import AgentsError
from agents.models import Agent
from streaming import journal
from streaming.cursor import Cursor
from streaming.database import in_database, in_thread
from streaming.sse import Problem, Receive, Scope, Wanted, cursor_of, query_of

FORMATS = ("native",)


class AgentGate:
    async def open(self, scope: Scope, receive: Receive) -> Wanted:
        agent, identity = await self._agent(scope)
        query = query_of(scope)
        if query.get("format", "native") not in FORMATS:
            raise Problem(400, "unsupported-format", f"format must be one of {', '.join(FORMATS)}", {"field": "format"})
        if query.get("until") not in (None, "done"):
            raise Problem(400, "invalid-parameter", "until must be done", {"field": "until"})
        if scope["method"] == "POST":
            return await self._start(scope, receive, agent, identity)
        if scope["method"] not in ("GET", "HEAD"):
            raise Problem(405, "method-not-allowed", "GET or POST", headers=((b"allow", b"GET, POST"),))
        return Wanted(str(agent.pk), cursor_of(scope), until_done=query.get("until") == "done")

    async def _agent(self, scope: Scope) -> tuple[Agent, Identity]:
        identity = await in_database(access.identify, scope["headers"])
        if identity is None:
            raise Problem(
                401, "not-authenticated", "log in, or send a token", headers=((b"www-authenticate", b"Bearer"),)
            )
        agent_id = scope["url_route"]["kwargs"]["agent_id"]
        try:
            return await in_database(access.agent_for, identity.user, agent_id), identity
        except AgentsError as error:
            raise _problem(error) from None

    async def _start(self, scope: Scope, receive: Receive, agent: Agent, identity: Identity) -> Wanted:
        """Start a run; its stream begins where the log ends now."""
        if identity.check_csrf and (reason := access.csrf_problem_of(scope)):
            raise Problem(403, "csrf-failed", reason)
        body = await _json_body(receive)
        content, strategy = body.get("input"), body.get("strategy", "enqueue")
        if not isinstance(content, str):
            raise Problem(422, "invalid-input", "input must be a string", {"field": "input"})
        if not isinstance(strategy, str):
            raise Problem(422, "invalid-input", "strategy must be a string", {"field": "strategy"})
        before = await in_database(_tip, str(agent.pk))
        try:
            run = await in_thread(lifecycle.submit_run, agent, content, strategy=strategy)
        except AgentsError as error:
            raise _problem(error) from None
        return Wanted(str(agent.pk), before, until_run=str(run.pk))


def _tip(agent_id: str) -> Cursor:
    return journal.head(agent_id).tip


async def _json_body(receive: Receive) -> dict[str, Any]:
    """Raises Problem 413 before more than the limit is held, 400 for what is no JSON object."""
    raw = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "invalid-body", "the request ended early")
        raw += message.get("body", b"")
        if len(raw) > 2 * settings.INPUT_MAX_BYTES:
            raise Problem(413, "input-too-large", f"input is larger than {settings.INPUT_MAX_BYTES} bytes")
        if not message.get("more_body"):
            break
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Problem(400, "invalid-json", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Problem(422, "invalid-input", "the body must be an object")
    return body


def _problem(error: AgentsError) -> Problem:
    return Problem(error.status, error.code, error.message, error.details or None)
