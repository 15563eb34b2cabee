"""One attempt's talk with its program: how the run is begun, what lines mean, how people's words are put.

A program is read by whoever supervises its run; there may have been others before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agents.outcome import Problem
from containers.interface import Offset
from containers.protocols.jsonl import Line, Parser
from streaming.model.events import Draft

Send = Callable[[bytes], Awaitable[None]]
Sent = Callable[[str], Awaitable[None]]
"""To be told when the prompt was taken, with the program's name of the conversation, if it has one."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a run begins with. `cwd` is where the program sees the workspace; `epoch`, the log's, is of this worker
    only. `is_takeover`: another may have begun; `was_sent`: it knows that the prompt was taken. `earlier_session`: the
    program's name of its conversation in the agent's run before, if it gave one."""

    content: str
    history: Sequence[Mapping[str, Any]]
    config: Mapping[str, Any]
    cwd: str = "/workspace"
    epoch: int = 0
    is_takeover: bool = False
    was_sent: bool = False
    earlier_session: str = ""


class Conversation(Protocol):
    """Of one attempt, in one worker."""

    rereads: bool
    """What it knows is a fold of all the program has printed: it is read from the beginning after a takeover."""
    done_patience_s: float
    """How long the program has to end by itself after its `done`."""
    ends_itself: bool
    """Does the program end after `done`? Then printing after it is a mistake, and how it exits counts."""

    @property
    def run_id(self) -> str: ...

    @property
    def done(self) -> Draft | None:
        """The program's own word on how the run ended."""

    def parser(self, after: Offset) -> Parser: ...

    def resume(self, usage: dict[str, Any], asked: set[str]) -> None:
        """Go on after a takeover: from a run's usage so far, and the approvals that it has asked for."""

    def open(self, opening: Opening, changed: Callable[[], None]) -> None:
        """Before the first line is read. `changed` is called when `done` comes otherwise than with a line."""

    async def converse(self, send: Send, sent: Sent) -> None:
        """Tell the program what to do, and what it asks of the site itself, beside reading. Ends when there is nothing
        more to be sent, or never: it is cancelled with the run. Raises EngineError."""

    def translate(self, line: Line) -> list[Draft]:
        """What a line means. Never raises."""

    def rehearse(self, line: Line) -> list[Draft]:
        """A line whose events are in the log: those of them that text after it may complete."""

    def late(self, line: Line) -> list[Draft]:
        """A line that came after `done`."""

    def answer(self, approval_id: str, decision: str, reason: str) -> bytes | None:
        """The line that gives people's answer. None: that question is not known yet."""

    def denial(self, approval: Mapping[str, Any]) -> str | None:
        """Which of a question's options says no."""

    def cancel(self) -> list[bytes]:
        """The lines that ask the program to stop."""

    def close(self) -> Problem | None:
        """There is no more to come. What is wrong with that, if the program has ended well otherwise."""
