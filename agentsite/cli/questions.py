"""Ask a program's questions in the terminal where its run is followed: with the page's keys, or y and n."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from agentsite.cli.keyboard import Keyboard
from agentsite.cli.problem import CliProblem

Question = dict[str, Any]
Answer = Callable[[str, str, str, str], None]
"""Takes run id, approval id, decision and reason. Raises CliProblem."""
Say = Callable[[str, str], None]
"""Prints text in a style, without an end of line."""
YES = re.compile(r"(approve|allow|accept|always|proceed|yes)\b", re.IGNORECASE)
NO = re.compile(r"(deny|reject|refuse|cancel|don.t|no)\b", re.IGNORECASE)
"""The same as in static/agents/approval.js."""
NUMBERED = "123456789"


class Choice(NamedTuple):
    keys: str
    option: str


class Questions:
    """The open questions, oldest first. One is asked at a time. The caller shows what it is about before adding it."""

    def __init__(self, keyboard: Keyboard, answer: Answer, say: Say, commands: Callable[[str, Question], str]) -> None:
        """`commands` returns command lines for a question that can't be answered here."""
        self._keyboard = keyboard
        self._answer = answer
        self._say = say
        self._commands = commands
        self._waiting: list[Question] = []
        self._sent: Question | None = None
        """The question that was answered here, until its answer is in the log."""
        self._reason = ""
        self._is_shown = False

    @property
    def are_open(self) -> bool:
        return self._keyboard.is_open

    def fileno(self) -> int:
        return self._keyboard.fileno()

    def add(self, question: Question) -> None:
        self._waiting.append(question)

    def remove(self, run_id: str, approval_id: str | None = None) -> None:
        """Remove a question that was answered here or elsewhere, or without an id all questions of a run."""
        first = self._waiting[:1]
        ended = [one for one in self._waiting if one["run_id"] == run_id and approval_id in (None, one["approval_id"])]
        self._waiting = [one for one in self._waiting if one not in ended]
        if self._waiting[:1] != first:
            self._stop_asking()

    def remove_all(self) -> None:
        if self._waiting:
            self._waiting = []
            self._stop_asking()

    def ask(self) -> None:
        """Ask the first question, unless it is asked already."""
        if self._is_shown or not self._waiting or self._waiting[0] is self._sent:
            return
        asked = self._waiting[0]
        if len(asked["options"]) > len(NUMBERED) or not self._keyboard.open():
            self._say(f"{self._commands(asked['run_id'], asked)}\n", "dim")
            self._sent = asked
            return
        keys = [f"[{choice.keys[0]}] {choice.option}" for choice in assign_keys(asked["options"])]
        reason = "another reason" if self._reason else "a reason first"
        more = f"  (1 of {len(self._waiting)})" if len(self._waiting) > 1 else ""
        self._say(f"  {'  '.join([*keys, f'[r] {reason}'])}{more} > ", "yellow")
        self._is_shown = True

    def interrupt(self) -> None:
        """Make room for other output. `ask` then asks again."""
        if self._is_shown:
            self._say("\n", "")
            self._is_shown = False

    def take_key(self) -> None:
        """Read a key and act on it. Call it when the keyboard can be read."""
        try:
            key = self._keyboard.key()
        except EOFError:
            self._stop_asking()
            self._sent = self._waiting[0]
            return
        if key == "r":
            self._keyboard.close()  # first: what is typed once the prompt is seen is a line, edited as one
            self._say("\n  Reason: ", "yellow")
            self._reason, self._is_shown = self._keyboard.line(), False
            self.ask()
        for choice in assign_keys(self._waiting[0]["options"]):
            if key and key in choice.keys:
                self._send(self._waiting[0], choice.option)
                return

    def close(self) -> None:
        self._keyboard.close()

    def _send(self, asked: Question, option: str) -> None:
        self._say(f"{option}\n", "yellow")
        self._is_shown = False
        try:
            self._answer(asked["run_id"], asked["approval_id"], option, self._reason)
        except CliProblem as problem:
            self._say(f"! {problem}\n", "red")
            self.ask()
            return
        self._sent = asked
        self._stop_asking()

    def _stop_asking(self) -> None:
        self.interrupt()
        self._reason = ""
        self._keyboard.close()


def assign_keys(options: list[str]) -> list[Choice]:
    """Return the keys of each option. Options without a number are answered by a command or on the page."""
    first_yes = next((option for option in options if YES.match(option)), None)
    first_no = next((option for option in options if NO.match(option)), None)
    found = []
    for number, option in zip(NUMBERED, options, strict=False):
        named = "ya" if option == first_yes else "nd" if option == first_no else ""
        found.append(Choice(named + number, option))
    return found
