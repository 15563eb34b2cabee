"""Follow an agent in the terminal: print its events, ask its questions, reconnect when the connection is cut."""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from agentsite.cli.client import Client, StreamEnded
from agentsite.cli.hints import Hints
from agentsite.cli.keyboard import Keyboard
from agentsite.cli.problem import CliProblem
from agentsite.cli.questions import Questions
from agentsite.cli.safe import dump_json_line, escape_invisible, strip_control_characters

EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 3}
INTERRUPTED = 130
RETRY_S = 1.0
MAX_FRAMES_AHEAD = 1000
"""Frames that are read before they are printed. Beyond that the site waits, and may disconnect us."""


def follow(
    client: Client, agent_id: str, after: str, run_id: str | None = None, *, as_json: bool, until: str | None = None
) -> int:
    """Follow the agent until `run_id` has ended, or without one until Ctrl-C. Return the exit code.

    On a terminal, questions are answered in place. Questions before the cursor `until` are asked only when everything
    up to it was printed, because most of them are answered by then. Our own messages go to stderr.
    """
    hints, printer = Hints(client, agent_id), _Printer(as_json)
    questions = None
    if not as_json and Keyboard.is_there():
        questions = Questions(Keyboard(), client.answer, printer.say, hints.answers)
        printer.before_output = questions.interrupt
    asks_from = int((until or after).partition("-")[2])
    following = _RunFollower(client, agent_id, run_id, printer, questions, hints, asks_from)
    frames = _stream_frames(client, agent_id, after)
    try:
        if run_id is not None and not as_json:
            print(hints.started(run_id), file=sys.stderr)
        status = (
            _follow_with_keyboard(frames, following, questions)
            if questions
            else next(filter(None, map(following.take, frames)))
        )
        return EXIT_CODES[status]
    except KeyboardInterrupt:
        printer.end()
        if run_id is not None:
            print(hints.goes_on(run_id), file=sys.stderr)
        return INTERRUPTED


def _follow_with_keyboard(frames: Iterator[dict[str, Any]], following: _RunFollower, questions: Questions) -> str:
    """Handle frames and keys as they come. Return the status with which the run ended."""
    beside = _FrameReader(frames)
    beside.start()
    try:
        while True:
            waited_for: list[_FrameReader | Questions] = [beside, questions] if questions.are_open else [beside]
            readable, _, _ = select.select(waited_for, [], [])
            if beside not in readable:
                questions.take_key()
            elif (status := following.take(beside.next())) is not None:
                return status
    finally:
        beside.end()
        questions.close()


def _stream_frames(client: Client, agent_id: str, after: str) -> Iterator[dict[str, Any]]:
    """Yield the frames of the agent's stream for ever, resuming after the last event. Raises CliProblem."""
    while True:
        try:
            for frame in client.stream(agent_id, after):
                if "seq" in frame:
                    after = f"{frame['epoch']}-{frame['seq']}"
                yield frame
        except StreamEnded:
            time.sleep(RETRY_S)


class _FrameReader(threading.Thread):
    """A thread that reads frames while the main thread reads the keyboard."""

    def __init__(self, frames: Iterator[dict[str, Any]]) -> None:
        super().__init__(daemon=True)
        self._frames = frames
        self._queue: queue.Queue[dict[str, Any] | CliProblem] = queue.Queue(MAX_FRAMES_AHEAD)
        self._reader, self._writer = os.pipe()
        self._is_over = False

    def fileno(self) -> int:
        """Return a file descriptor that is readable when there is a frame."""
        return self._reader

    def next(self) -> dict[str, Any]:
        """Return the next frame. Raises CliProblem if the site refuses the stream."""
        os.read(self._reader, 1)
        frame = self._queue.get()
        if isinstance(frame, CliProblem):
            raise frame
        return frame

    def run(self) -> None:
        try:
            for frame in self._frames:
                self._put(frame)
        except CliProblem as problem:
            self._put(problem)
        except Exception:
            if not self._is_over:  # else the connection was closed under our hands
                raise

    def end(self) -> None:
        self._is_over = True

    def _put(self, frame: dict[str, Any] | CliProblem) -> None:
        self._queue.put(frame)
        os.write(self._writer, b".")


class _RunFollower:
    """What is known of the followed run. Questions are asked from the seq `asks_from` on."""

    def __init__(
        self,
        client: Client,
        agent_id: str,
        run_id: str | None,
        printer: _Printer,
        questions: Questions | None,
        hints: Hints,
        asks_from: int,
    ) -> None:
        self._client = client
        self._agent_id = agent_id
        self._status: str | None = None
        self._run_id = run_id
        self._printer = printer
        self._questions = questions
        self._hints = hints
        self._asks_from = asks_from
        self._calls: dict[tuple[str, str], dict[str, Any]] = {}
        """Tool calls of open runs by run and call id: a question may be about one."""

    def take(self, frame: dict[str, Any]) -> str | None:
        """Handle a frame. Return the status of the followed run once it has ended."""
        if frame["type"] == "reset":
            self._printer.lost(frame["reason"])
        elif frame["type"] == "snapshot":
            self._take_state(frame["state"])
        elif self._run_id in (None, frame["run_id"]):
            self._printer.show(frame)
            self._note(frame["type"], frame["run_id"], frame["data"])
        if self._questions is not None and frame.get("seq", 0) >= self._asks_from:
            self._questions.ask()
        return self._status

    def _note(self, type_: str, run_id: str, data: dict[str, Any]) -> None:
        if type_ == "tool-call":
            self._calls[run_id, data["call_id"]] = data
        elif type_ == "approval-request":
            self._put(run_id, data)
        elif type_ == "approval-response" and self._questions is not None:
            self._questions.remove(run_id, data["approval_id"])
        elif type_ == "done":
            self._calls = {key: call for key, call in self._calls.items() if key[0] != run_id}
            if self._questions is not None:
                self._questions.remove(run_id)
            if run_id == self._run_id:
                self._status = data["status"]

    def _put(self, run_id: str, question: dict[str, Any]) -> None:
        call_id = question.get("call_id")
        call = None if call_id is None else self._call(run_id, call_id)
        self._printer.about(call)
        is_whole = "omitted_bytes" not in question and (call is not None or call_id is None)
        if self._questions is None or not is_whole:  # nobody is asked for an answer to what was not shown
            self._printer.commands(self._hints.answers(run_id, question))
        else:
            self._questions.add({**question, "run_id": run_id})

    def _call(self, run_id: str, call_id: str) -> dict[str, Any] | None:
        """Return the tool call that a question is about: from its event or, after a reset, from the site."""
        known = self._calls.get((run_id, call_id))
        return known or self._client.tool_call(self._agent_id, run_id, call_id)

    def _take_state(self, state: dict[str, Any]) -> None:
        """Start anew from a state after a reset: earlier questions may be answered or gone."""
        if self._questions is not None:
            self._questions.remove_all()
        self._status = self._status_in(state)
        for asked in state["approvals"]:
            is_open = asked["decision"] is None and asked["run_id"] == state["active_run"]
            if is_open and self._run_id in (None, asked["run_id"]):
                self._printer.question(asked)
                self._put(asked["run_id"], asked)

    def _status_in(self, state: dict[str, Any]) -> str | None:
        """Return the status with which the followed run has ended, or None."""
        if self._run_id is None or any(queued["run_id"] == self._run_id for queued in state["queue"]):
            return None
        run = next((run for run in state["runs"] if run["id"] == self._run_id), None)
        run = run or self._client.call("GET", f"/api/runs/{self._run_id}")
        return run["status"] if run["finished_at"] else None


class _Printer:
    def __init__(self, as_json: bool) -> None:
        self.before_output: Callable[[], None] = lambda: None
        self._as_json = as_json
        self._console = Console(highlight=False, soft_wrap=True)
        self._open = False

    def show(self, event: dict[str, Any]) -> None:
        if self._as_json:
            print(dump_json_line(event), flush=True)
            return
        data, kind = event["data"], event["type"]
        if kind in _FLOWING:
            self.before_output()
            self._flow(data["content"], _FLOWING[kind])
            return
        line = _LINES.get(kind, lambda _: None)(data)
        if line is not None:
            self._line(*line)

    def about(self, call: dict[str, Any] | None) -> None:
        """Print the tool call that a question is about, with every character visible."""
        if call is not None and not self._as_json:
            self._line(f"{escape_invisible(call['name'])} {escape_invisible(call['arguments'])}", "")

    def question(self, asked: dict[str, Any]) -> None:
        """Print a question of which only the state tells."""
        if not self._as_json:
            self._line(*_LINES["approval-request"](asked))
            if "omitted_bytes" in asked:
                self._line(f"  … {asked['omitted_bytes']:,} more bytes", "dim")

    def commands(self, lines: str) -> None:
        if not self._as_json:
            self._line(lines, "dim")

    def lost(self, reason: str) -> None:
        if not self._as_json:
            self._line(f"! some of this was taken back by the site ({reason})", "red")

    def say(self, text: str, style: str) -> None:
        """Print text without an end of line."""
        self._console.print(Text(strip_control_characters(text), style=style), end="")

    def end(self) -> None:
        if self._open:
            self._console.print()
            self._open = False

    def _line(self, text: str, style: str) -> None:
        self.before_output()
        self.end()
        self._console.print(Text(strip_control_characters(text), style=style))

    def _flow(self, text: str, style: str) -> None:
        self._console.print(Text(strip_control_characters(text), style=style), end="")
        self._open = not text.endswith("\n")


_FLOWING = {"text": "", "thinking": "dim italic", "tool-output": "dim"}
_TICKS = {"pending": "[ ]", "in_progress": "[-]", "completed": "[x]"}
_LINES: dict[str, Any] = {
    "status": lambda data: (
        (f"~ {data['reason']}", "dim") if data["status"] == "running" and data.get("reason") else None
    ),
    "message": lambda data: (f"> {data['content']}", "bold") if data["role"] == "user" else (data["content"], ""),
    "tool-call": lambda data: (f"* {data.get('title') or data['name']}", "cyan"),
    "tool-result": lambda data: ("  failed", "red") if data["is_error"] else None,
    "plan": lambda data: (
        "\n".join(f"{_TICKS[entry['status']]} {entry['content']}" for entry in data["entries"]),
        "blue",
    ),
    "approval-request": lambda data: (f"? {data['question']}  [{' / '.join(data['options'])}]", "yellow"),
    "approval-response": lambda data: (f"= {data['decision']}  ({data['by']})", "yellow"),
    "clear": lambda data: ("~ cleared: the conversation begins anew", "dim"),
    "error": lambda data: (f"! {data['code']}: {data['message']}", "red"),
    "done": lambda data: (f"{data['status']} in {data['duration_ms'] / 1000:.1f} s", "bold"),
}
