"""One tool call of a run, whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import Field

from agents.api.auth import caller
from agents.auth.permissions import agent_for, run_of_agent
from agents.http.schemas import Answer
from agents.log.tool_calls import load_call
from streaming.model.events import encode

router = Router(tags=["runs"])


class ToolCallAnswer(Answer):
    """Nothing is left out of it, however large."""

    call_id: str = Field(description="The program's own, unique within the run.")
    name: str
    title: str | None
    arguments: dict[str, Any]
    output: str = Field(description="What it printed, of all `tool-output` events.")
    result: Any = Field(description="null while there is none.")
    is_error: bool
    duration_ms: int | None
    state: Literal["running", "completed", "failed", "interrupted"]


@router.get("/agents/{agent_id}/runs/{run_id}/calls/{path:call_id}", response=ToolCallAnswer)
def read_call(request: HttpRequest, agent_id: str, run_id: str, call_id: str) -> HttpResponse:
    """A tool call with its whole arguments, output and result: the agent's state has null and `omitted_bytes` in place
    of what is large. 410 `trimmed` where its events are not stored any more."""
    user = caller(request)
    call = load_call(run_of_agent(user, agent_for(user, agent_id), run_id), call_id)
    return HttpResponse(encode(asdict(call)), content_type="application/json", headers={"Cache-Control": "no-store"})
