"""Start a run and wait for its end. While it waits a request holds a coroutine: no database connection, no lock."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import Annotated, Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest
from ninja import Header, Router
from ninja.responses import Status

from agents.api.auth import caller, identity_of
from agents.auth.access_watch import GrantedAccess
from agents.auth.grants import Grant, users_of
from agents.auth.permissions import agent_for
from agents.errors import NotAuthenticated, NotFound
from agents.field_types import IdempotencyKey
from agents.http.schemas import Execution, RunAnswer
from agents.models import Run
from agents.runs import commands
from streaming.read.hub import current_hub
from streaming.store.database import in_database, in_thread

router = Router(tags=["runs"])
LOOK_FIRST_S, LOOK_MOST_S = 0.05, 1.0
"""How often a waiting request looks at its run: often at first, since many runs are short."""


@router.post("/agents/{agent_id}/execute", response={200: RunAnswer, 202: RunAnswer})
async def execute(
    request: HttpRequest,
    agent_id: str,
    body: Execution,
    idempotency_key: Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")] = None,
) -> Any:
    """Start a run and answer when it has ended: 200, whether it was completed, failed or cancelled (see `status`).

    When `timeout_s` is over first: 202 with the run as it is then. It goes on; ask `/api/runs/{id}`, or follow the
    stream. With an `Idempotency-Key` the same request may be sent again to go on waiting. When the caller's access ends
    first: 401, or 404 if that is to the agent alone; the run goes on.
    """
    agent = await in_database(agent_for, caller(request), agent_id)
    run = await in_thread(commands.submit_run, agent, body.input, idempotency_key=idempotency_key)
    await sync_to_async(_give_back_connection)()
    current_hub().start()  # it hears of changes of access
    access_ended = asyncio.Event()
    grant = Grant.of(identity_of(request), agent)
    with GrantedAccess(grant).watch(access_ended.set):
        run = await _ended(run, monotonic() + body.timeout_s, access_ended)
    if access_ended.is_set():
        await in_database(_refuse, grant)
    return Status(200 if run.is_finished else 202, RunAnswer.of(run))


async def _ended(run: Run, deadline: float, access_ended: asyncio.Event) -> Run:
    """The run when it has ended, or as it is at the deadline or when the caller's access has ended. Raises NotFound if
    its agent is deleted meanwhile."""
    pause_s = LOOK_FIRST_S
    while not (run.is_finished or access_ended.is_set()) and (left_s := deadline - monotonic()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(pause_s, left_s)):
                await access_ended.wait()
        pause_s = min(pause_s * 1.5, LOOK_MOST_S)
        run = await in_database(_look, run)
    return run


def _refuse(grant: Grant) -> None:
    """Raises what a new request with the same credentials would be answered with."""
    if grant.credential not in users_of([grant.credential]):
        raise NotAuthenticated("your access has ended while the run was waited for; it goes on")
    raise NotFound("no such agent")


def _look(run: Run) -> Run:
    found = Run.objects.filter(pk=run.pk).first()
    if found is None:
        raise NotFound("the agent was deleted while the run was waited for")
    return found


def _give_back_connection() -> None:
    """Django's thread of this request asked who is calling, and would keep its connection for as long as we wait."""
    if not connection.in_atomic_block:
        connection.close()
