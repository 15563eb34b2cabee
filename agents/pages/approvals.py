"""Questions of a program to a person, and what was answered. The same as static/agents/approval.js."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.pages import calls

SHOWN_OPEN = 20
SHOWN_ANSWERED = 50
"""Of one run: the latest. All of them are in the log."""
_YES = re.compile(r"(approve|allow|accept|always|proceed|yes)\b", re.IGNORECASE)
_NO = re.compile(r"(deny|reject|refuse|cancel|don.t|no)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Option:
    """`decision` is what is answered, `kind`: yes, no, or empty for what is neither."""

    decision: str
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Question:
    """Open: somebody waits for an answer. `about`: what the tool call in question would do. `is_whole`: all of it is
    shown, so it can be approved; `is_known`: the call that it names is there; `omitted_from`: the call whose arguments
    the state does not hold."""

    approval_id: str
    text: str
    tool: str
    about: list[calls.Section]
    options: list[Option]
    is_whole: bool
    is_known: bool
    omitted_from: str = ""


@dataclass(frozen=True, slots=True)
class Questions:
    open: list[Question]
    answered: list[dict[str, Any]]
    summary: str
    """Of those that need no answer (any more)."""


def of(
    approvals: Sequence[dict[str, Any]],
    run: dict[str, Any] | None,
    called: Mapping[str, dict[str, Any]],
    *,
    everything: bool = False,
) -> Questions:
    """Those of one run. `called`: its tool calls by id. `everything`: long arguments, too."""
    closed = [one for one in approvals if not is_waiting(one, run)]
    waiting = [one for one in approvals if is_waiting(one, run)]
    return Questions(
        [_question(one, called, everything) for one in waiting[:SHOWN_OPEN]],
        closed[-SHOWN_ANSWERED:],
        _summary(closed),
    )


def is_waiting(approval: Mapping[str, Any], run: Mapping[str, Any] | None) -> bool:
    return approval["decision"] is None and run is not None and run["finished_at"] is None


def _question(approval: dict[str, Any], called: Mapping[str, dict[str, Any]], everything: bool) -> Question:
    call = called.get(approval["call_id"] or "")
    kept = calls.MOST_TEXT if everything else calls.KEPT_ASKED
    about = calls.sections(call["arguments"] or {}, kept) if call else []
    is_known = call is not None or approval["call_id"] is None
    is_omitted = call is not None and call["arguments"] is None
    is_cut = bool(approval.get("omitted_bytes"))
    return Question(
        approval_id=approval["approval_id"],
        text=approval["question"] + ("…" if is_cut else ""),
        tool=call["name"] if call else "",
        about=about,
        options=[_option(decision) for decision in approval["options"]],
        is_whole=is_known and not is_omitted and not is_cut and not any(section.cut for section in about),
        is_known=is_known,
        omitted_from=approval["call_id"] if is_omitted else "",
    )


def _option(decision: str) -> Option:
    kind = "yes" if _YES.match(decision) else "no" if _NO.match(decision) else ""
    label = decision[:1].upper() + decision[1:].replace("_", " ").replace("-", " ")
    return Option(decision, label, kind)


def _summary(closed: Sequence[dict[str, Any]]) -> str:
    if len(closed) != 1:
        return f"{len(closed)} questions answered" if closed else ""
    return f"Question answered: {closed[0]['decision'] or 'by nobody'}"
