"""The conversation as plain text, a page at a time: for text browsers, and for reading without JavaScript.

It follows the same pages as `GET /api/agents/{id}/messages`, so it never holds more than the state and one of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache

from agents.log import live_state
from agents.models import Agent, Run
from agents.pages import measures, visible
from streaming.model.cursor import parse
from streaming.store import journal

SPEAKERS = {"user": "You", "assistant": "Agent", "system": "System"}
CALL_STATES = {"running": "running", "completed": "done", "failed": "failed", "interrupted": "interrupted"}
GIST_CHARS = 100


@dataclass(frozen=True, slots=True)
class Line:
    """`kind`: text, thinking, call, question."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """What one speaker said without being interrupted."""

    speaker: str
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class Turn:
    """What was asked of one run and what came of it, as far as it is on this page."""

    run: Run | None
    duration: str
    said: list[Said]
    questions: list[Line]


@login_required
@never_cache
def transcript(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """`?before=<cursor>`: an older page, by the cursor that the page after it gave."""
    agent = get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)
    state = journal.load(str(agent.pk)).state
    is_latest = "before" not in request.GET
    page = state if is_latest else _older_page(agent, request.GET["before"])
    ordinals = [part["n"] for entry in page["messages"] for part in entry["parts"]]
    context = {
        "agent": agent,
        "turns": _turns(agent, page["messages"], state["approvals"] if is_latest else []),
        "queue": state["queue"] if is_latest else [],
        "older": (page["earlier"] or {}).get("before"),
        "newer": None if is_latest else _newer(agent, request.GET["before"]),
        "is_latest": is_latest,
        "is_cleared": max(ordinals, default=-1) == state["cleared"],
    }
    return render(request, "agents/transcript.html", context)


def _older_page(agent: Agent, before: str) -> dict[str, Any]:
    cursor = parse(before)
    found = None if cursor is None else live_state.conversation_page(str(agent.pk), cursor)
    if found is None:
        raise Http404
    page: dict[str, Any] = json.loads(found[0])
    return page


def _newer(agent: Agent, before: str) -> str | None:
    """The cursor of the page after the one before that cursor; None: what comes next is in the state."""
    cursor = parse(before)
    newer = cursor and journal.conversation_page_after(str(agent.pk), cursor)
    return str(newer) if newer else None


def _turns(agent: Agent, entries: list[dict[str, Any]], approvals: list[dict[str, Any]]) -> list[Turn]:
    """`approvals`: those that the state has. Others are with the call that they were about."""
    groups = [(run_id, list(own)) for run_id, own in groupby(entries, key=_run_of)]
    asked: dict[str | None, list[dict[str, Any]]] = {}
    for approval in approvals:
        asked.setdefault(approval["run_id"], []).append(approval)
    # A run that asks something may have said nothing that is still in the state.
    groups += [(run_id, []) for run_id in asked if run_id not in {known for known, _ in groups}]
    runs = {str(run.pk): run for run in agent.runs.filter(pk__in={run_id for run_id, _ in groups if run_id})}
    last = {run_id: at for at, (run_id, _) in enumerate(groups)}
    return [
        Turn(
            run=(run := runs.get(run_id or "")),
            duration=measures.duration(run.duration_ms) if run and run.duration_ms is not None else "",
            said=_said(own, run_id, asked.get(run_id, [])),
            questions=_others(asked.get(run_id, []), own) if last[run_id] == at else [],
        )
        for at, (run_id, own) in enumerate(groups)
    ]


def _run_of(entry: dict[str, Any]) -> str | None:
    """A steering prompt belongs to the run whose program took it."""
    run_id: str | None = entry.get("into") or entry["run_id"]
    return run_id


def _said(entries: list[dict[str, Any]], run_id: str | None, asked: list[dict[str, Any]]) -> list[Said]:
    """`asked`: questions of that run, which stand behind the call that they are about."""
    said: list[Said] = []
    for entry in entries:
        speaker = SPEAKERS.get(entry["role"], entry["role"])
        if entry["run_id"] != run_id:
            speaker += ", while it worked"
        if not said or said[-1].speaker != speaker:
            said.append(Said(speaker, []))
        lines = said[-1].lines
        for part in entry["parts"]:
            line = _line(part)
            if part.get("continued") and lines and lines[-1].kind == line.kind:
                lines[-1] = replace(line, text=lines[-1].text + line.text)
            else:
                lines.append(line)
            about = [one for one in asked if one["call_id"] is not None and one["call_id"] == part.get("call_id")]
            lines += map(_question, (*part.get("approvals", ()), *about))
    return said


def _others(asked: list[dict[str, Any]], entries: list[dict[str, Any]]) -> list[Line]:
    """Questions about no call, or about one that is not here."""
    called = {part.get("call_id") for entry in entries for part in entry["parts"]}
    return [_question(one) for one in asked if one["call_id"] is None or one["call_id"] not in called]


def _line(part: dict[str, Any]) -> Line:
    if part["type"] != "tool-call":
        return Line(part["type"], part["text"] + ("…" if part.get("omitted_bytes") else ""))
    title = part["title"] or _gist(part["arguments"] or {})
    took = "" if part["duration_ms"] is None else f", {measures.duration(part['duration_ms'])}"
    words = f"{part['name']}{': ' if title else ''}{title} ({CALL_STATES[part['state']]}{took})"
    return Line("call", visible.plain(words))


def _gist(arguments: dict[str, Any]) -> str:
    """Of a call without a title: the first line of its first argument that is text."""
    first = next((value for value in arguments.values() if isinstance(value, str) and value.strip()), "")
    return first.strip().split("\n", 1)[0][:GIST_CHARS]


def _question(approval: dict[str, Any]) -> Line:
    by = f", by {approval['by']}" if approval["by"] else ""
    reason = f": {approval['reason']}" if approval["reason"] else ""
    return Line("question", f"{approval['question']} ({approval['decision'] or 'not answered'}{by}{reason})")
