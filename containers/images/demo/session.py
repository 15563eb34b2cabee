"""One run of the demo: look, read, write a program, run it if that is approved, report. Scripted: there is no model."""

from __future__ import annotations

import asyncio
import codecs
import os
import random
import re
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from . import analysis
from .analysis import MARK, TABLES, Unusable, code, encoding_of, read_table
from .approvals import needs_approval
from .protocol import AgentError, Inbox, Json, Wire, ask_approval, config_of, prompt_of, run

PROGRAM = Path(analysis.__file__).read_text(encoding="utf-8")
SAMPLE = Path(__file__).parent / "data" / "penguins.csv"
PYTHON_OPTIONS = ("-I", "-B", "-u", "-X", "utf8")
"""-I: a file of the workspace that is called csv.py is data, not a module to import."""
MAX_FILES, SHOWN_CHARACTERS, READ_BYTES, HEAD_LINES = 500, 16_000, 1 << 14, 6
PLAN = ("See which files there are", "Look into the data", "Write a program", "Run it", "Read its report and answer")
SCRIPTED = (
    "I am Agentsite's demo agent. **I am scripted: no model is involved**, so I follow a fixed plan and understand "
    "only simple requests. The work is real, though: I write a program, run it on your data and report what it found."
)
AGAIN = "Still the scripted demo (no model). I look at the workspace again."


class Denied(Exception):
    """The user did not approve a call. The message says so."""


def main() -> None:
    run(lambda wire, inbox, start: Session(wire, inbox, start).run(), defect_code="demo-failed")


class Session:
    def __init__(self, wire: Wire, inbox: Inbox, start: Json) -> None:
        self.wire, self.inbox, self.start = wire, inbox, start
        self.request = prompt_of(start).strip()
        self.root = Path(os.environ.get("WORKSPACE") or "/workspace")
        self.written: list[str] = []
        self.left_out: list[str] = []
        self.columns: list[str] = []
        self.random = random.Random(7)  # the same rhythm every time
        pace = os.environ.get("DEMO_PACE", "")
        self.pace = float(pace) if re.fullmatch(r"[0-9]{1,2}(\.[0-9]+)?", pace) else 1.0

    async def run(self) -> str:
        """Returns the run's result. Raises AgentError."""
        try:
            return await self.follow_plan()
        except Denied as refusal:
            written = ", ".join(map(code, self.written))
            return await self.say(f"{str(refusal).rstrip('.')}. So I stop here. I have written {written or 'nothing'}.")

    async def follow_plan(self) -> str:
        turns = self.start.get("history") or []
        is_again = any(turn.get("role") == "assistant" for turn in turns if isinstance(turn, dict))
        await self.say(AGAIN if is_again else SCRIPTED)
        self.show_plan(0)
        asked = f"The prompt is: “{self.request[:300]}”." if self.request else "There is no prompt: an overview, then."
        await self.think(f"{asked} First I look at which files are there.")
        path = await self.choose_file()
        if path is None:
            return await self.say(f"There is nothing that I could analyse: {'; '.join(self.left_out)}.")
        self.show_plan(1)
        await self.call("read_file", f"Read the head of {path}", lambda _: self.read_head(path), path=path)
        await self.think(
            f"{code(path)} is a {'table with ' + ', '.join(self.columns[:12]) if self.columns else 'text'}."
        )
        await self.take_messages()
        self.show_plan(2)
        await self.think("I write a program for this and run it, rather than guess: the numbers must be exact.")
        program = self.free_name("analysis.py")
        arguments = {"path": program, "content": PROGRAM}
        await self.call("write_file", f"Write {program}", lambda _: self.write(**arguments), **arguments)
        answer = await self.analyse(program, path)
        while await self.take_messages():
            answer = await self.analyse(program, path)
        return answer

    async def choose_file(self) -> str | None:
        """The file that the prompt names, or the first one: tables before texts, the user's before the sample."""
        paths: list[str] = []
        await self.call("list_files", "List the workspace", lambda _: self.list_files(paths), path=".")

        def rank(path: str) -> tuple[bool, bool, bool]:
            is_named = path.rpartition("/")[2].lower() in self.request.lower()
            return not is_named, path == SAMPLE.name, not path.lower().endswith(TABLES)

        for path in sorted((path for path in paths if not self.is_own(path)), key=rank):
            try:
                encoding_of(self.root / path)
                return path
            except Unusable as reason:
                self.left_out.append(f"{code(path)} {reason}")
        if self.left_out:
            return None
        await self.say("There is no data yet, so I bring a sample: 344 penguins. Upload a CSV or text file for yours.")
        await self.call(
            "load_sample", "Bring the sample", lambda _: self.write(SAMPLE.name, SAMPLE.read_text()), path=SAMPLE.name
        )
        return SAMPLE.name

    async def analyse(self, program: str, path: str) -> str:
        """Runs the program and says what it found. Returns that."""
        self.show_plan(3)
        report, chart = self.free_name("report.md"), self.free_name("chart.svg")
        about = named_columns(self.request, self.columns)
        if about:
            await self.think(f"The request names {', '.join(about)}, so that comes first.")
        target = f"./{path}" if path.startswith("-") else path  # it is no option
        arguments = [target, *(f"--about={name}" for name in about), f"--report={report}", f"--chart={chart}"]
        title, command = f"Run {program} on {path}", ["python3", *PYTHON_OPTIONS, program, *arguments]
        question = f"Run {program} on {path}? It writes {report} and {chart}."
        work = lambda call_id: self.run_program(call_id, program, *arguments)  # noqa: E731
        await self.call("run_python", title, work, question, command=command)
        self.show_plan(4)
        text = await self.call("read_file", f"Read {report}", lambda _: self.read_report(report), path=report)
        found = "\n".join(line for line in text.splitlines() if line.startswith("- "))
        image = next((f"\n\n{line}" for line in text.splitlines() if line.startswith("![")), "")
        left_out = f"\n\nLeft out: {'; '.join(self.left_out)}." if self.left_out else ""
        answer = f"This is what the program found:\n\n{found}{image}\n\nMore is in [{report}]({report}).{left_out}"
        self.show_plan(len(PLAN))
        return await self.say(answer)

    # Talking ------------------------------------------------------------------------------------------------------

    async def say(self, text: str) -> str:
        return await self.stream("text", text)

    async def think(self, text: str) -> None:
        await self.stream("thinking", text)

    async def stream(self, kind: str, text: str) -> str:
        """In pieces of one to four words, as from a model."""
        words = re.findall(r"\s*\S+|\s+$", f"{text}\n\n")
        while words:
            count = self.random.randint(1, 4)
            self.wire.send(kind, content="".join(words[:count]))
            del words[:count]
            await asyncio.sleep(0.08 * self.pace)
        return text

    def show_plan(self, step: int) -> None:
        statuses = ["completed"] * step + ["in_progress"] + ["pending"] * len(PLAN)
        entries = [
            {"content": entry, "priority": "medium", "status": s} for entry, s in zip(PLAN, statuses, strict=False)
        ]
        self.wire.send("plan", entries=entries)

    async def take_messages(self) -> bool:
        """Adds what the user said meanwhile to the request."""
        messages = self.inbox.take_messages()
        for message in messages:
            self.request += f"\n{message}"
            await self.say(f"I have your message: “{message[:200]}”. I go on with it.")
        return bool(messages)

    # Tools --------------------------------------------------------------------------------------------------------

    async def call(
        self, name: str, title: str, work: Callable[[str], str | Awaitable[str]], question: str = "", **arguments: Any
    ) -> str:
        """Announces a call, asks if it has to be approved, and ends it with one result. Raises Denied, AgentError."""
        call_id, started = f"call-{uuid4().hex[:12]}", time.monotonic()
        self.wire.send("tool-call", call_id=call_id, name=name, arguments=arguments, title=title)
        result, is_error = "Cancelled.", True
        try:
            is_free = not needs_approval(config_of(self.start).get("approvals"), name, arguments)
            if (
                refusal := None
                if is_free
                else await ask_approval(self.wire, self.inbox, call_id, question or f"{title}?")
            ):
                raise Denied(refusal)
            await asyncio.sleep(0.8 * self.pace)
            done = work(call_id)
            result, is_error = done if isinstance(done, str) else await done, False
            return result
        except (Denied, AgentError) as error:
            result = str(error)
            raise
        except (OSError, Unusable) as error:
            result = (
                f"{error.filename}: {error.strerror}."
                if isinstance(error, OSError)
                else f"{arguments['path']} {error}."
            )
            raise AgentError("file-error", result) from error
        finally:
            passed_ms = round((time.monotonic() - started) * 1000)
            self.wire.send("tool-result", call_id=call_id, result=result, is_error=is_error, duration_ms=passed_ms)

    def list_files(self, paths: list[str]) -> str:
        """Hidden files are left out. Links are not followed: they may lead out of the workspace."""
        if not self.root.is_dir():
            raise AgentError("workspace-missing", f"There is no workspace at {self.root}.")
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
            files = [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
            paths += [str(file.relative_to(self.root)) for file in files if file.is_file() and not file.is_symlink()]
            del paths[MAX_FILES:]
        return "\n".join(f"{path}  {(self.root / path).stat().st_size:,} bytes" for path in paths) or "It is empty."

    def read_head(self, path: str) -> str:
        file = self.root / path
        self.columns = [column.name for column in read_table(file, 0)[0]] if path.lower().endswith(TABLES) else []
        with file.open(encoding=encoding_of(file), errors="replace") as lines:
            return "".join(lines.readline(2_000) for _ in range(HEAD_LINES)).replace("\0", "\ufffd")

    def read_report(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")[:SHOWN_CHARACTERS]

    def write(self, path: str, content: str) -> str:
        analysis.write(self.root / path, content)
        self.written.append(path)
        return f"Wrote {path} ({len(content):,} characters)."

    async def run_program(self, call_id: str, *arguments: str) -> str:
        """Its output streams while it works. It ends with the run."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *PYTHON_OPTIONS, *arguments), cwd=self.root, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        assert process.stdout is not None
        output, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        try:
            while piece := await process.stdout.read(READ_BYTES):
                text = decoder.decode(piece)
                self.wire.send("tool-output", call_id=call_id, content=text)
                output += text
            exit_code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if exit_code:
            last = output.strip().rpartition("\n")[2] or "no output"
            raise AgentError("program-failed", f"The program ended with exit code {exit_code}: {last}")
        return "Exit code 0."

    def free_name(self, name: str) -> str:
        """The name, or one beside it: a file of the user's is not overwritten."""
        while os.path.lexists(self.root / name) and not self.is_own(name):
            name = f"demo-{name}"
        return name

    def is_own(self, path: str) -> bool:
        """Whether an earlier run of the demo wrote it."""
        try:
            with (self.root / path).open("rb") as file:
                return MARK.encode() in file.read(READ_BYTES) and not (self.root / path).is_symlink()
        except OSError:
            return False


def named_columns(request: str, columns: list[str]) -> list[str]:
    """Those that the request names, also without underscores or a unit: "body mass" is body_mass_g."""
    plain = [" ".join(re.findall(r"[^\W_]+", text.lower())) for text in (request, *columns)]
    shortened = [re.sub(r" .{1,2}$", "", name) for name in plain[1:]]
    return [
        column for column, name in zip(columns, shortened, strict=True) if name[1:] and f" {name} " in f" {plain[0]} "
    ]
