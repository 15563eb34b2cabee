"""One run from start to done: look, choose, program, run, draw, report, answer."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from . import pictures, report
from .markdown import code
from .pace import Cancelled, Pace, Voice
from .programs.table_reading import Table
from .protocol import Inbox, Wire, has_answered_before, prompt_of
from .request import Request
from .tools import Toolbox, ToolFailed
from .workspace import Entry, free_name, inputs, is_sample

PROGRAMS = Path(__file__).parent / "programs"
MAX_FILES, MAX_CHARTS = 5, 12
SCRIPTED = (
    "I am Agentsite's demo agent. **I am scripted: no model is involved**, so I follow a fixed plan and understand "
    "only simple requests. The work is real, though: I write a program, run it on your data, draw charts and report."
)
Json = dict[str, Any]


def main() -> None:
    wire, inbox = Wire(sys.stdout.buffer), Inbox()
    inbox.listen()
    start = inbox.start()
    try:
        conclude(wire, inbox, start)
    except BrokenPipeError:  # nobody reads any more, so nobody can be told
        os._exit(0)


def conclude(wire: Wire, inbox: Inbox, start: Json | None) -> None:
    """Exactly one done, whatever happens. The exit code stays 0: the events have said how it ended."""
    session = Session(wire, inbox, start or {})
    try:
        if start is None:
            raise ToolFailed("no-start", "Standard input ended before a start line came.")
        session.run()
        wire.send("done", status="completed", result=session.voice.said)
    except Cancelled:
        wire.send("text", content="\n\nCancelled: I stopped here. Files that were written so far are kept.\n")
        wire.send("done", status="cancelled", result="Cancelled.")
    except ToolFailed as error:
        fail(wire, error.code, str(error))
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of the process; the traceback goes to the log
        traceback.print_exc()
        fail(wire, "demo-failed", f"The demo agent has a defect: {type(error).__name__}: {error}")


def fail(wire: Wire, error_code: str, message: str) -> None:
    wire.send("error", code=error_code, message=message, retryable=False)
    wire.send("done", status="failed", result=message)


class Session:
    """The plan, step by step. What one step finds out is kept here for the next."""

    def __init__(self, wire: Wire, inbox: Inbox, start: Json) -> None:
        self.wire, self.inbox, self.start = wire, inbox, start
        self.pace = Pace(inbox.cancelled)
        self.voice = Voice(wire, self.pace)
        self.root = Path(os.environ.get("WORKSPACE") or "/workspace")
        self.tools = Toolbox(wire, self.pace, self.root)
        self.request = Request(prompt_of(start))
        self.columns: list[str] = []
        self.left_out: list[str] = []

    def run(self) -> None:
        self.introduce()
        chosen = self.choose(self.look())
        if not chosen:
            self.voice.say("There is nothing that I could analyse: " + "; ".join(self.left_out) + ".")
            return
        self.peek(chosen)
        results = self.analyse(chosen)
        drawn = self.draw(results)
        self.answer(results, drawn)

    def introduce(self) -> None:
        again = has_answered_before(self.start)
        self.voice.say("Still the scripted demo (no model); I look at the workspace again." if again else SCRIPTED)
        asked = (
            f"The prompt is: “{self.request.prompt[:300]}”."
            if self.request.prompt
            else "There is no prompt: an overview, then."
        )
        self.voice.think(f"{asked} First I look at which files are there.")

    def look(self) -> list[Entry]:
        entries = self.tools.list_files()
        self.left_out += [
            f"{code(e.path)} is {describe(e)}" for e in entries if e.kind in ("binary", "empty", "unreadable")
        ][:10]
        if inputs(self.root, entries) or self.left_out:
            return entries
        self.voice.think("There is no data file. I bring a small real data set: 344 penguins, measured in Antarctica.")
        self.voice.say(
            "There is no data yet, so I take the bundled data set. Upload a CSV or text file to have yours analysed."
        )
        self.tools.load_dataset()
        return self.tools.list_files()

    def choose(self, entries: list[Entry]) -> list[Entry]:
        """The files that the prompt names, else all; never more than a handful."""
        data = inputs(self.root, entries)
        named = [entry.path for entry in entries if entry.is_data]
        self.request = Request.read(self.request.prompt, named)
        chosen = [entry for entry in entries if entry.path in self.request.files] or data
        if len(chosen) > MAX_FILES:
            rest = ", ".join(code(entry.path) for entry in chosen[MAX_FILES : MAX_FILES + 10])
            self.left_out.append(f"only {MAX_FILES} files at a time, so not {rest} ({len(chosen) - MAX_FILES} in all)")
        return chosen[:MAX_FILES]

    def peek(self, chosen: list[Entry]) -> None:
        """Look into the files, and at what the prompt says of their columns."""
        for entry in chosen[:3]:
            self.tools.read_file(entry.path)
        for entry in chosen:
            if entry.kind == "table":
                self.columns += column_names(self.root / entry.path)
        self.request.find_columns(self.columns)
        self.voice.think(self.thoughts(chosen))

    def thoughts(self, chosen: list[Entry]) -> str:
        named = ", ".join(code(entry.path) for entry in chosen)
        kinds = {"table": "a table", "text": "a text"}
        said = [f"I take {named}: " + ", ".join(kinds[entry.kind] for entry in chosen) + "."]
        if any(is_sample(self.root, entry) for entry in chosen):
            said.append("That is the bundled data set.")
        if self.columns:
            said.append(f"Its columns: {', '.join(self.columns[:12])}{' …' if len(self.columns) > 12 else ''}.")
        if self.request.columns:
            said.append(f"The prompt names {', '.join(self.request.columns)}, so that comes first.")
        if self.request.by:
            said.append(f"It asks for groups by {self.request.by}.")
        if not self.request.columns and not self.request.charts:
            said.append("The prompt asks for nothing that I can pin to a column, so a general overview it is.")
        return " ".join(said)

    def heed(self) -> None:
        """Answer messages that came in meanwhile."""
        while self.inbox.messages:
            message = self.inbox.messages.popleft()
            self.request.add(message, self.columns)
            known = [name for name in self.columns if name in self.request.columns]
            focus = f" I look at {', '.join(map(code, known))} with more attention." if known else ""
            self.voice.say(f"I have your message: “{message[:200]}”.{focus} I go on from here.")

    def analyse(self, chosen: list[Entry]) -> list[Json]:
        """Write the programs, run them, read what they found."""
        self.heed()
        tables = [entry.path for entry in chosen if entry.kind == "table"]
        texts = [entry.path for entry in chosen if entry.kind == "text"]
        folder, output = self.program_folder(), free_name(self.root, "analysis.json")
        self.voice.think("I write a program for this and run it, rather than guess: the numbers must be exact.")
        names = ["table_reading.py", "analysis.py"] if tables else []
        for name in ["text_encoding.py", *names, *(["text_analysis.py"] if texts else [])]:
            self.tools.write_file(folder + name, (PROGRAMS / name).read_text(encoding="utf-8"))
        if tables:
            self.tools.run_python(
                f"{folder}analysis.py", [*map(safe, tables), *self.options(), "--output", output], output
            )
        if texts:
            more = ["--append"] if tables else []
            self.tools.run_python(f"{folder}text_analysis.py", [*map(safe, texts), "--output", output, *more], output)
        return self.results(output, tables + texts)

    def program_folder(self) -> str:
        """The workspace itself, unless the user has files of these names there."""
        names = ("analysis.py", "table_reading.py", "text_analysis.py", "text_encoding.py")
        return "" if all(free_name(self.root, name) == name for name in names) else "demo-programs/"

    def options(self) -> list[str]:
        by = [f"--by={self.request.by}"] if self.request.by else []
        return by + [f"--focus={name}" for name in self.request.columns[:8]]

    def results(self, output: str, paths: list[str]) -> list[Json]:
        found: list[Json] = json.loads((self.root / output).read_text(encoding="utf-8"))["files"]
        return [{**about, "file": path} for about, path in zip(found, paths, strict=True)]

    def draw(self, results: list[Json]) -> dict[str, list[pictures.Picture]]:
        self.heed()
        good = [about for about in results if "error" not in about]
        each = max(2, min(8, MAX_CHARTS // max(1, len(good))))
        drawn = {about["file"]: pictures.of_file(about, self.request, each) for about in good}
        total = sum(map(len, drawn.values()))
        self.voice.think(
            f"The numbers are there. Now {total} charts, the most telling first."
            if total
            else "There is nothing to draw."
        )
        for found in drawn.values():
            for picture in found:
                self.tools.draw_chart(picture)
                self.pace.pause(0.15)
        return drawn

    def answer(self, results: list[Json], drawn: dict[str, list[pictures.Picture]]) -> None:
        self.heed()
        name = free_name(self.root, "report.md")
        self.tools.write_file(name, report.whole(results, drawn, self.request, self.left_out))
        files = sorted(self.tools.written, key=lambda path: (path != name, path))
        self.voice.say(report.answer(results, self.request, files, self.left_out))


def describe(entry: Entry) -> str:
    return {"binary": "not a text file", "empty": "empty", "unreadable": "not readable"}[entry.kind]


def column_names(path: Path) -> list[str]:
    try:
        return Table(str(path)).names
    except (OSError, ValueError):  # the analysis will say why
        return []


def safe(path: str) -> str:
    """A file called --by must not become an option."""
    return f"./{path}" if path.startswith("-") else path
