"""Container protocol v1: a start line, then lines both ways (docs/container-protocol.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agents.outcome import Problem
from agents.programs.protocols.conversation import Opening, Send, Sent
from agents.programs.translator import Translator
from containers.interface import Offset
from containers.protocols import jsonl
from containers.protocols.jsonl import Line, Parser
from streaming.model.events import Draft

DONE_PATIENCE_S = 5.0
"""From a program's `done` line to SIGTERM."""
DENY = "deny"


class JsonlConversation:
    """What its program means, `Translator` knows."""

    rereads = False
    ends_itself = True
    done_patience_s = DONE_PATIENCE_S

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self._opening: Opening | None = None

    @property
    def run_id(self) -> str:
        return self._translator.run_id

    @property
    def done(self) -> Draft | None:
        return self._translator.done

    def parser(self, after: Offset) -> Parser:
        return Parser(after=after)

    def resume(self, usage: dict[str, Any], asked: set[str]) -> None:
        self._translator.resume(usage, asked)

    def open(self, opening: Opening, changed: Callable[[], None]) -> None:
        self._opening = opening

    async def converse(self, send: Send, sent: Sent) -> None:
        """A start line that may have been taken is sent again: a program drops it."""
        opening = self._opening
        if opening is not None and not opening.was_sent:
            await send(jsonl.start(self._translator.run_id, opening.content, opening.history, opening.config))
            await sent("")

    def translate(self, line: Line) -> list[Draft]:
        return self._translator.translate(line)

    def rehearse(self, line: Line) -> list[Draft]:
        return self._translator.rehearse(line)

    def late(self, line: Line) -> list[Draft]:
        return self._translator.as_log(line)

    def answer(self, approval_id: str, decision: str, reason: str) -> bytes | None:
        return jsonl.approval(approval_id, decision, reason=reason or None, command_id=approval_id)

    def denial(self, approval: Mapping[str, Any]) -> str | None:
        return DENY if DENY in approval["options"] else None

    def cancel(self) -> list[bytes]:
        return [jsonl.cancel(command_id=f"cancel-{self._translator.run_id}")]

    def close(self) -> Problem | None:
        return None
