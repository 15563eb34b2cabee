"""Following an agent in the terminal: prints what it says, survives cut connections, ends with the run."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from rich.console import Console
from rich.text import Text

from agentsite.cli.client import Client, StreamEnded

EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 3}
INTERRUPTED = 130
RETRY_S = 1.0
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""What an agent says must not drive the terminal: escape sequences, control characters and marks that turn the reading
direction (so that a line reads differently than it is) are dropped."""
_RAW = re.compile("[\x7f-\x9f\u2028\u2029]")
"""JSON escapes what is below U+0020; these drive some terminals too, or end a line for some readers."""


def follow(client: Client, agent_id: str, after: str, run_id: str | None = None, *, as_json: bool) -> int:
    """Until the end of `run_id`: exit code by how it ended. Without one, until Ctrl-C.

    A stream that breaks is taken up again behind the last event seen.
    """
    following = _Following(run_id, _Printer(as_json), after)
    try:
        while True:
            try:
                for frame in client.stream(agent_id, following.last):
                    following.take(frame)
                    if following.status is not None:
                        return EXIT_CODES[following.status]
            except StreamEnded:
                time.sleep(RETRY_S)
    except KeyboardInterrupt:
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
    def __init__(self, as_json: bool) -> None:
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
            self._end()
            self._console.print(Text(safe(line[0]), style=line[1]))

    def lost(self, reason: str) -> None:
        if not self._as_json:
            self._end()
            self._console.print(Text(f"! some of this was taken back by the site ({safe(reason)})", style="red"))

    def _flow(self, text: str, style: str) -> None:
        self._console.print(Text(safe(text), style=style), end="")
        self._open = not text.endswith("\n")

    def _end(self) -> None:
        if self._open:
            self._console.print()
            self._open = False


def safe(text: str) -> str:
    return _CONTROL.sub("", text)


def as_line(event: dict[str, Any]) -> str:
    """JSON on one line that no terminal obeys."""
    return _RAW.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(event, ensure_ascii=False))


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
    "error": lambda data: (f"! {data['code']}: {data['message']}", "red"),
    "done": lambda data: (f"{data['status']} in {data['duration_ms'] / 1000:.1f} s", "bold"),
}
