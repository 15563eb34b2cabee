"""session/request_permission: questions whose options have names for people, and ids for the agent."""

from __future__ import annotations

from typing import Any, NamedTuple

from containers.protocols.acp.messages import Id, Request, result
from containers.protocols.acp.updates import NAME_CHARS

CANCELLED = {"outcome": {"outcome": "cancelled"}}


class Option(NamedTuple):
    id: str
    name: str
    kind: str


class Question(NamedTuple):
    request: Id
    options: list[Option]


class Permissions:
    """Of one run. An answered one stays: an answer may have to be given a second time."""

    def __init__(self) -> None:
        self._asked: dict[str, Question] = {}
        self._answered: set[str] = set()

    def ask(self, request: Request) -> dict[str, Any] | None:
        """What a program of container protocol v1 would have said; None if nobody could answer it."""
        described, options = request.params.get("toolCall"), _options(request.params.get("options"))
        approval_id = approval_id_of(request.id)
        if not options or approval_id in self._asked:
            return None
        self._asked[approval_id] = Question(request.id, options)
        described = described if isinstance(described, dict) else {}
        said = {"type": "approval-request", "approval_id": approval_id, "options": [option.name for option in options]}
        call_id, title = described.get("toolCallId"), described.get("title")
        if isinstance(call_id, str) and 0 < len(call_id) <= NAME_CHARS:
            said["call_id"] = call_id
        return {**said, "question": title if isinstance(title, str) and title else "May it go on?"}

    def answer(self, approval_id: str, decision: str) -> bytes | None:
        """None: that was not asked, as far as has been read."""
        question = self._asked.get(approval_id)
        if question is None:
            return None
        self._answered.add(approval_id)
        chosen = next((option for option in question.options if option.name == decision), None)
        if chosen is None:
            return result(question.request, CANCELLED)
        return result(question.request, {"outcome": {"outcome": "selected", "optionId": chosen.id}})

    def denial(self, approval_id: str) -> str | None:
        """The option that says no, for once rather than for ever."""
        question = self._asked.get(approval_id)
        refusals = [option for option in question.options if option.kind.startswith("reject")] if question else []
        refusals.sort(key=lambda option: option.kind != "reject_once")
        return refusals[0].name if refusals else None

    def cancel(self) -> list[bytes]:
        """The protocol wants every open question answered when a prompt is cancelled. One that another worker has
        answered is answered again, which an agent drops."""
        open_ones = [one for approval_id, one in self._asked.items() if approval_id not in self._answered]
        return [result(question.request, CANCELLED) for question in open_ones]


def approval_id_of(request: Id) -> str:
    return f"permission-{request}" if isinstance(request, int) else f'permission-"{request}"'


def _options(options: Any) -> list[Option]:
    """Names that occur twice are told apart: an answer is a name."""
    found: list[Option] = []
    for one in options if isinstance(options, list) else []:
        if not isinstance(one, dict) or not isinstance(one.get("optionId"), str):
            continue
        name = str(one.get("name") or one["optionId"])
        if any(other.name == name for other in found):
            name = f"{name} ({one['optionId']})"
        found.append(Option(one["optionId"], name, str(one.get("kind", ""))))
    return found
