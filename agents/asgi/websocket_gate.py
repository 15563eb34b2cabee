"""Who may use a WebSocket, and the commands over it: the other half of streaming.http.websocket.

`input` {agent_id, input, strategy?, budget?, metadata?, idempotency_key?}, `cancel` {run_id},
`approve` {run_id, approval_id, decision, reason?}: as the HTTP API has them, and refused in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import AliasChoices, Field

from agents.asgi.stream_gate import identify_ticket, refuse_other_hosts
from agents.auth import credentials, grants
from agents.auth.access_watch import GrantedAccess
from agents.auth.client_address import address_of_scope
from agents.auth.credentials import Identity
from agents.auth.grants import Grant
from agents.auth.origins import Source, source_of_scope
from agents.auth.permissions import agent_for, run_for
from agents.errors import NotAuthenticated, NotFound
from agents.field_types import IdempotencyKey, Input, Name
from agents.http.posted_run import NewRun, submit_posted_run, validate
from agents.http.problems import raise_problems
from agents.http.schemas import ApprovalDecision, Body
from agents.runs import commands
from streaming.http.access import Access
from streaming.http.problem import Problem
from streaming.http.sse import Scope
from streaming.http.websocket import Session
from streaming.store.database import in_database, in_thread


class AuthenticateCommand(Body):
    """One of them. A ticket is for attaching to its agent only."""

    token: str | None = None
    ticket: str | None = None


class InputCommand(NewRun):
    agent_id: Name
    input: Input = Field(validation_alias=AliasChoices("input", "content"))
    idempotency_key: IdempotencyKey | None = None


class CancelCommand(Body):
    run_id: Name


class ApproveCommand(ApprovalDecision):
    run_id: Name
    approval_id: Name


class ControlGate:
    async def connect(self, scope: Scope) -> Session | None:
        source = source_of_scope(scope)
        if source is Source.FOREIGN:
            raise Problem(403, "origin-not-allowed", "pages of this origin may not connect")
        refuse_other_hosts(scope)
        with raise_problems():
            identity = await in_database(
                credentials.identify, scope["headers"], address_of_scope(scope), may_use_session=source.may_use_session
            )
        return None if identity is None else ControlSession(identity)

    async def authenticate(self, scope: Scope, fields: Mapping[str, Any]) -> Session:
        with raise_problems():
            identity = await in_database(_identify, validate(AuthenticateCommand, fields, "body"), scope)
        return ControlSession(identity)


def _identify(given: AuthenticateCommand, scope: Scope) -> Identity:
    if given.ticket is not None:
        return identify_ticket(given.ticket, scope)
    return credentials.identify_bearer(given.token or "", address_of_scope(scope))


class ControlSession:
    """One caller on one socket."""

    def __init__(self, identity: Identity) -> None:
        self._user = identity.user
        self._only_agent = identity.only_agent
        self._grant = Grant.of(identity)
        self.access: Access = GrantedAccess(self._grant)

    async def follow(self, agent_id: Any) -> tuple[str, Access]:
        with raise_problems():
            found = await in_database(self._allowed, agent_for, self._user, validate(Name, agent_id, "agent_id"))
            if self._only_agent not in (None, found.pk):
                raise NotFound("no such agent")
        canonical = str(found.pk)
        return canonical, GrantedAccess(Grant(self._grant.credential, self._user.pk, canonical))

    async def command(self, kind: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            schema, obey = self._COMMANDS[kind]
        except KeyError:
            names = ", ".join(("attach", "detach", *self._COMMANDS))
            raise Problem(422, "invalid-input", f"type: must be one of {names}", {"field": "type"}) from None
        if self._only_agent is not None:
            raise Problem(403, "ticket-reads-only", "a stream ticket is for reading; commands need a token")
        with raise_problems():
            return await in_thread(self._allowed, obey, self, validate(schema, fields, "body"))

    def _allowed(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """The socket was opened long ago: what let it in is looked up again."""
        if grants.ended([self._grant]):
            raise NotAuthenticated("your access has ended: log in again, or send another token")
        return call(*arguments)

    def _input(self, wanted: InputCommand) -> dict[str, str]:
        run = submit_posted_run(agent_for(self._user, wanted.agent_id), wanted, wanted.idempotency_key)
        return {"run_id": str(run.pk)}

    def _cancel(self, wanted: CancelCommand) -> dict[str, str]:
        run = run_for(self._user, wanted.run_id)
        commands.request_cancel(run, f"cancelled by {self._name}")
        return {"run_id": str(run.pk)}

    def _approve(self, wanted: ApproveCommand) -> dict[str, str]:
        run = run_for(self._user, wanted.run_id)
        commands.answer_approval(run, wanted.approval_id, wanted.decision, self._name, wanted.reason)
        return {"run_id": str(run.pk), "approval_id": wanted.approval_id}

    @property
    def _name(self) -> str:
        return self._user.get_username()[:150]

    _COMMANDS: Mapping[str, tuple[type[Body], Callable[[ControlSession, Any], dict[str, str]]]] = {
        "input": (InputCommand, _input),
        "cancel": (CancelCommand, _cancel),
        "approve": (ApproveCommand, _approve),
    }
