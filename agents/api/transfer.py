"""A whole agent as JSON Lines, to keep or to take to another site."""

from __future__ import annotations

from typing import Annotated, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router
from ninja.responses import Status

from agents import transfer
from agents.api.auth import caller
from agents.api.bodies import announced_bytes, body, streamed
from agents.auth.permissions import agent_for
from agents.field_types import Name
from agents.http.schemas import CreatedAgent
from agents.transfer.importing import too_large

router = Router(tags=["agents"])
MEDIA_TYPE = "application/x-ndjson"
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
"""As files are, so that generated clients pass it on as it is."""
_LINES: dict[str, Any] = {"content": {MEDIA_TYPE: _BINARY, "application/octet-stream": _BINARY}}
"""An upload may be called either. An answer is always the first: the second is there for generators that know no type
for JSON Lines (openapi-python-client 0.29 would take an export for an error)."""


@router.get("/agents/{agent_id}/export", openapi_extra={"responses": {200: {"description": "JSON Lines.", **_LINES}}})
def export_agent(
    request: HttpRequest,
    agent_id: str,
    files: Annotated[bool, Query(description="With the files of its workspace.")] = True,
) -> HttpResponseBase:
    """Its definition, runs, log and files as JSON Lines; the last line is `end`. Events are as on the wire; what
    retention has trimmed is not there any more."""
    agent = agent_for(caller(request), agent_id)
    response = StreamingHttpResponse(
        streamed(request, transfer.export_lines(agent, files=files)), content_type=MEDIA_TYPE
    )
    response["Content-Disposition"] = f'attachment; filename="agent-{agent.pk}.jsonl"'
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


@router.post(
    "/agents/import",
    response={201: CreatedAgent},
    openapi_extra={"requestBody": {"required": True, **_LINES}},
)
def import_agent(
    request: HttpRequest,
    response: HttpResponse,
    definition: Annotated[Name | None, Query(description="In place of the one that the export names.")] = None,
) -> Any:
    """A new agent from an export, with ids of its own; all of it or nothing. What had not ended when it was exported is
    cancelled. 422 names the line that is wrong."""
    if announced_bytes(request) > settings.IMPORT_MAX_BYTES:
        raise too_large()
    agent = transfer.import_agent(caller(request), body(request), definition=definition)
    response["Location"] = f"/api/agents/{agent.pk}"
    return Status(201, CreatedAgent.of(agent))
