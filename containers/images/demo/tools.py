"""The tools. Each has a real effect in the workspace, and each call ends in exactly one result."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from .pace import Cancelled, Pace
from .pictures import Picture
from .programs.text_encoding import SAMPLE as SAMPLE_BYTES
from .programs.text_encoding import detect
from .protocol import Wire
from .workspace import SAMPLE, Entry, survey

SHOWN_CHARACTERS = 16_000  # of a program's output, and of a file that is read


class ToolFailed(Exception):
    """A tool could not do it; `code` is the error's code in the protocol."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Toolbox:
    """Runs tools and tells the wire about each: the call, its output, its result."""

    def __init__(self, wire: Wire, pace: Pace, root: Path) -> None:
        self.wire, self.pace, self.root = wire, pace, root
        self.written: list[str] = []

    def _call(self, name: str, arguments: dict[str, Any], title: str, work: Callable[[str], str]) -> None:
        call_id, started = f"call-{uuid4().hex[:12]}", time.monotonic()
        self.wire.send("tool-call", call_id=call_id, name=name, arguments=arguments, title=title)

        def end(result: str, is_error: bool) -> None:
            passed_ms = round((time.monotonic() - started) * 1000)
            self.wire.send("tool-result", call_id=call_id, result=result, is_error=is_error, duration_ms=passed_ms)

        try:
            self.pace.pause(0.12)
            end(work(call_id), False)
        except Cancelled:
            end("Cancelled.", True)
            raise
        except ToolFailed as error:
            end(str(error), True)
            raise

    def list_files(self) -> list[Entry]:
        found: list[Entry] = []

        def work(_: str) -> str:
            if not self.root.is_dir():
                raise ToolFailed("workspace-missing", f"There is no workspace at {self.root}.")
            found.extend(survey(self.root))
            return "\n".join(f"{e.path}  {e.size:,} bytes  {e.kind}" for e in found[:100]) or "The workspace is empty."

        self._call("list_files", {"path": "."}, "List the workspace", work)
        return found

    def load_dataset(self) -> None:
        """Put the bundled data set into the workspace."""
        arguments = {"name": SAMPLE.stem, "path": SAMPLE.name}
        self._call(
            "load_dataset",
            arguments,
            "Load the bundled data set",
            lambda _: self._write(SAMPLE.name, SAMPLE.read_bytes()),
        )

    def read_file(self, path: str, lines: int = 6) -> None:
        def work(_: str) -> str:
            try:
                with (self.root / path).open("rb") as raw:
                    encoding = detect(raw.read(SAMPLE_BYTES), is_cut=True) or "utf-8-sig"
                with (self.root / path).open(encoding=encoding, errors="replace") as file:
                    head = "".join(file.readline(2_000) for _ in range(lines))
            except OSError as error:
                raise ToolFailed("unreadable-file", f"{path} cannot be read: {error.strerror}.") from error
            return head[:SHOWN_CHARACTERS].replace("\0", "\ufffd")

        self._call("read_file", {"path": path, "lines": lines}, f"Read the head of {path}", work)

    def write_file(self, path: str, content: str) -> None:
        arguments = {"path": path, "content": content}
        self._call(
            "write_file", arguments, f"Write {path}", lambda _: self._write(path, content.encode("utf-8", "replace"))
        )

    def draw_chart(self, picture: Picture) -> None:
        arguments = {"kind": picture.kind, "columns": list(picture.columns), "path": picture.path}
        self._call("draw_chart", arguments, picture.title, lambda _: self._write(picture.path, picture.draw().encode()))

    def _write(self, path: str, content: bytes) -> str:
        """Whole or not at all; a link that has the name is replaced, never followed."""
        target = self.root / path
        part = target.with_name(f".{uuid4().hex}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(target)
        except OSError as error:
            raise ToolFailed("workspace-not-writable", f"{path} cannot be written: {error.strerror}.") from error
        if path not in self.written:
            self.written.append(path)
        return f"Wrote {path} ({len(content):,} bytes)."

    def run_python(self, program: str, arguments: list[str], writes: str) -> None:
        """Run a program of the workspace; its output streams while it works.

        -I keeps the workspace out of Python's search path: a user's csv.py is data, not a module to import.
        """
        options = ["-I", "-B", "-u", "-X", "utf8"]
        shown = {"program": program, "arguments": arguments, "options": options}

        def work(call_id: str) -> str:
            result = self._run([sys.executable, *options, program, *arguments], call_id)
            self.written += [writes] if writes not in self.written else []
            return result

        self._call("run_python", shown, " ".join(["python3", program, *arguments]), work)

    def _run(self, command: list[str], call_id: str) -> str:
        try:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolFailed("program-not-started", f"Python cannot be started: {error.strerror}.") from error
        try:
            assert process.stdout is not None
            output = self._follow(process.stdout, call_id)
            code = process.wait()
        finally:
            stop(process)
        if code:
            last = output.strip().rpartition("\n")[2] or "no output"
            raise ToolFailed("program-failed", f"The program ended with exit code {code}: {last}")
        return f"Exit code 0.\n{output[-2_000:]}"

    def _follow(self, stream: IO[bytes], call_id: str) -> str:
        """Pass on what the program prints, and stop it as soon as the run is cancelled."""
        output, shown = "", 0
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while True:
                self.pace.pause(0)
                if not selector.select(timeout=0.1):
                    continue
                piece = os.read(stream.fileno(), 1 << 14).decode("utf-8", "replace")
                if not piece:
                    return output
                if shown < SHOWN_CHARACTERS:
                    more = "\n… more output than is shown here\n" if shown + len(piece) >= SHOWN_CHARACTERS else ""
                    self.wire.send("tool-output", call_id=call_id, content=piece + more)
                shown += len(piece)
                output = (output + piece)[-2 * SHOWN_CHARACTERS :]


def stop(process: subprocess.Popen[bytes]) -> None:
    """The program's whole group; nothing happens if it has ended by itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
