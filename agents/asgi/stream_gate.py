"""Who may open which event stream, and what `POST …/stream` starts. The other half of streaming.http.sse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError as ValueInvalid

from agents.auth import credentials, stream_tickets, throttle
from agents.auth.access_watch import GrantedAccess
from agents.auth.client_address import address_of_scope
from agents.auth.credentials import Identity
from agents.auth.grants import Grant
from agents.auth.origins import request_of, source_of_scope, ticket_origin
from agents.auth.permissions import agent_for
from agents.errors import NotAuthenticated, NotFound
from agents.field_types import IdempotencyKey
from agents.http.json_body import parse_json, require_json
from agents.http.posted_run import NewRun, submit_posted_run, validate
from agents.http.problems import raise_problems
from agents.models import Agent, Run
from streaming.http.dialects import FORMATS, NATIVE
from streaming.http.problem import Problem
from streaming.http.sse import Receive, Scope, Wanted, cursor_of, header, query_of
from streaming.model.cursor import Cursor
from streaming.read.hub import current_hub
from streaming.store import journal
from streaming.store.database import in_database, in_thread


class AgentGate:
    async def open(self, scope: Scope, receive: Receive) -> Wanted:
        refuse_other_hosts(scope)
        agent, identity = await self._agent(scope)
        query = query_of(scope)
        format_ = query.get("format", NATIVE)
        if format_ not in FORMATS:
            raise Problem(400, "unsupported-format", f"format must be one of {', '.join(FORMATS)}", {"field": "format"})
        if query.get("until") not in (None, "done"):
            raise Problem(400, "invalid-parameter", "until must be done", {"field": "until"})
        grant = GrantedAccess(Grant.of(identity, agent))
        if scope["method"] == "POST":
            return replace(await self._start(scope, receive, agent, identity), format=format_, access=grant)
        if scope["method"] not in ("GET", "HEAD"):
            raise Problem(405, "method-not-allowed", "GET or POST", headers={"Allow": "GET, POST"})
        until_done = query.get("until") == "done"
        return Wanted(str(agent.pk), cursor_of(scope), until_done=until_done, format=format_, access=grant)

    async def first_seq(self, run_id: str) -> int | None:
        return await in_database(_first_seq, run_id)

    async def _agent(self, scope: Scope) -> tuple[Agent, Identity]:
        agent_id = scope["url_route"]["kwargs"]["agent_id"]
        with raise_problems():
            identity = await in_database(_identify, scope)
            if identity is None:
                raise NotAuthenticated
            agent = await in_database(agent_for, identity.user, agent_id)
            if identity.only_agent not in (None, agent.pk):
                raise NotFound("no such agent")
        return agent, identity

    async def _start(self, scope: Scope, receive: Receive, agent: Agent, identity: Identity) -> Wanted:
        """Start a run; its stream begins where the log ends now, or before its first event if the same request has
        started it before."""
        if identity.check_csrf and (reason := credentials.csrf_problem_of(scope)):
            raise Problem(403, "csrf-failed", reason)
        body = validate(NewRun, await _json_body(scope, receive), "body")
        key = _idempotency_key(scope)
        agent_id = str(agent.pk)
        stored = (await in_database(journal.head, agent_id)).tip
        # What only Redis has was seen by whoever posts now: a stream from what is stored would say it again.
        live = (await current_hub().reader.at_tip(agent_id)).cursor
        # Asked after `live` was read: a run that is not known now has no event before it, whoever makes it meanwhile.
        known = key is not None and await in_database(agent.runs.filter(idempotency_key=key).exists)
        with raise_problems():
            run = await in_thread(submit_posted_run, agent, body, key)
        begin = await in_database(_behind_what_came_before, run, stored) if known else live
        return Wanted(agent_id, begin, until_run=str(run.pk))


def _identify(scope: Scope) -> Identity | None:
    """A ticket wins, and counts for reading only."""
    ticket = scope.get(stream_tickets.IN_SCOPE)
    if ticket is not None:
        return identify_ticket(ticket, scope) if scope["method"] in ("GET", "HEAD") else None
    source = source_of_scope(scope)
    return credentials.identify(scope["headers"], address_of_scope(scope), may_use_session=source.may_use_session)


def identify_ticket(ticket: str, scope: Scope) -> Identity:
    """Whose stream ticket this is, where the request comes from the origin that it was made for. Synchronous.

    Raises NotAuthenticated, TooManyFailures as for tokens.
    """
    address = address_of_scope(scope)
    throttle.refuse_blocked(address)
    identity = stream_tickets.identify(ticket, ticket_origin(request_of(scope)))
    if identity is None:
        throttle.count_wrong_token(address)
        raise NotAuthenticated("this ticket is not known here, or no longer, or not for this origin: ask for a new one")
    return identity


def refuse_other_hosts(scope: Scope) -> None:
    """Raises Problem 400 for a Host header that is not one of ALLOWED_HOSTS."""
    if header(scope, b"host") is not None:
        with raise_problems():
            request_of(scope).get_host()


def _first_seq(run_id: str) -> int | None:
    try:
        return Run.objects.filter(pk=run_id).values_list("first_seq", flat=True).first()
    except ValueInvalid:  # an event names whatever its writer was told
        return None


def _behind_what_came_before(run: Run, stored: Cursor) -> Cursor:
    """A run that is not in the database yet has no event before `stored`, which was read before it was."""
    return stored if run.first_seq is None else journal.cursor_at(str(run.agent_id), run.first_seq - 1)


def _idempotency_key(scope: Scope) -> str | None:
    given = header(scope, b"idempotency-key")
    return None if given is None else validate(IdempotencyKey, given, "Idempotency-Key")


async def _json_body(scope: Scope, receive: Receive) -> Any:
    """Return the parsed body. Raises Problem 413 as soon as the body is longer than the limit."""
    with raise_problems():
        require_json(header(scope, b"content-type") or "")
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
    with raise_problems():
        return parse_json(raw)
