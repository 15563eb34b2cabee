"""Following an agent in the terminal: prints what it says, survives cut connections, ends with the run."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.text import Text

from agentsite.cli.client import Client, StreamEnded
from agentsite.cli.hints import Hints
from agentsite.cli.safe import as_line, safe

EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 3}
INTERRUPTED = 130
RETRY_S = 1.0


def follow(client: Client, agent_id: str, after: str, run_id: str | None = None, *, as_json: bool) -> int:
    """Until the end of `run_id`: exit code by how it ended. Without one, until Ctrl-C.

    A stream that breaks is taken up again behind the last event seen. What is not the agent's (which run this is, that
    it goes on after Ctrl-C) is on stderr.
    """
    hints = Hints(client, agent_id)
    printer = _Printer(hints, as_json)
    following = _Following(run_id, printer, after)
    try:
        if run_id is not None and not as_json:
            print(hints.started(run_id), file=sys.stderr)
        while True:
            try:
                for frame in client.stream(agent_id, following.last):
                    following.take(frame)
                    if following.status is not None:
                        return EXIT_CODES[following.status]
            except StreamEnded:
                time.sleep(RETRY_S)
    except KeyboardInterrupt:
        printer.end()
        if run_id is not None:
            print(hints.goes_on(run_id), file=sys.stderr)
        return INTERRUPTED


class _Following:
    def __init__(self, run_id: str | None, printer: _Printer, after: str) -> None:
        self.last = after
        self.status: str | None = None
        self._run_id = run_id
        self._printer = printer

    def take(self, frame: dict[str, Any]) -> None:
        if "seq" in frame:
            self.last = f"{frame['epoch']}-{frame['seq']}"
        if frame["type"] == "reset":
            self._printer.lost(frame["reason"])
        elif frame["type"] == "snapshot":
            for run in frame["state"]["runs"]:
                if run["id"] == self._run_id and run["finished_at"]:
                    self.status = run["status"]
        elif self._run_id in (None, frame["run_id"]):
            self._printer.show(frame)
            if frame["type"] == "done" and self._run_id is not None:
                self.status = frame["data"]["status"]


class _Printer:
    def __init__(self, hints: Hints, as_json: bool) -> None:
        self._hints = hints
        self._as_json = as_json
        self._console = Console(highlight=False, soft_wrap=True)
        self._open = False

    def show(self, event: dict[str, Any]) -> None:
        if self._as_json:
            print(as_line(event), flush=True)
            return
        data, kind = event["data"], event["type"]
        if kind in _FLOWING:
            self._flow(data["content"], _FLOWING[kind])
            return
        line = _LINES.get(kind, lambda _: None)(data)
        if line is not None:
            self.end()
            self._console.print(Text(safe(line[0]), style=line[1]))
        if kind == "approval-request":
            self._console.print(Text(self._hints.answers(event["run_id"], data), style="dim"))

    def lost(self, reason: str) -> None:
        if not self._as_json:
            self.end()
            self._console.print(Text(f"! some of this was taken back by the site ({safe(reason)})", style="red"))

    def end(self) -> None:
        if self._open:
            self._console.print()
            self._open = False

    def _flow(self, text: str, style: str) -> None:
        self._console.print(Text(safe(text), style=style), end="")
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
    "error": lambda data: (f"! {data['code']}: {data['message']}", "red"),
    "done": lambda data: (f"{data['status']} in {data['duration_ms'] / 1000:.1f} s", "bold"),
}
