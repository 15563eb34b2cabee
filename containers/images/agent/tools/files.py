"""Reading, writing and changing one file."""

from __future__ import annotations

import difflib
from itertools import islice
from uuid import uuid4

from pydantic import Field

from .encoding import SNIFFED_BYTES, encoding_of
from .tool import TOLD_CHARACTERS, Arguments, Output, Tool, ToolFailed
from .workspace import place

READ_LINES = 2_000
LINE_CHARACTERS = 2_000
EDIT_BYTES = 4 << 20
"""Largest file that can be changed by edit_file."""
DIFF_LINES = 400


class ReadArguments(Arguments):
    path: str = Field(description="A text file, from the workspace.")
    first_line: int = Field(1, ge=1, description="Where to begin.")
    lines: int = Field(READ_LINES, ge=1, le=READ_LINES, description="How many lines at most.")


class WriteArguments(Arguments):
    path: str = Field(description="Where to write it, from the workspace. Folders are made.")
    content: str = Field(description="The whole content.")


class EditArguments(Arguments):
    path: str = Field(description="The file to change, from the workspace.")
    old: str = Field(min_length=1, description="The text to replace, exactly as it is in the file.")
    new: str = Field(description="What to put there.")
    everywhere: bool = Field(False, description="Replace every occurrence; otherwise there must be exactly one.")


async def read_file(given: ReadArguments, output: Output) -> str:
    shown = characters = 0
    try:
        with place(given.path).open("rb") as raw:
            encoding = encoding_of(raw.read(SNIFFED_BYTES))
        with place(given.path).open(encoding=encoding, errors="replace") as file:
            for line in islice(file, given.first_line - 1, given.first_line - 1 + given.lines):
                if "\0" in line:
                    raise ToolFailed(f"{given.path} is not a text file.")
                characters += min(len(line), LINE_CHARACTERS)
                if shown and characters > TOLD_CHARACTERS:
                    return f"Lines {given.first_line} to {given.first_line + shown - 1}; there is more."
                whole = len(line) <= LINE_CHARACTERS
                output.write(line if whole else f"{line[:LINE_CHARACTERS]} [… {len(line)} characters]\n")
                shown += 1
            more = file.readline(1)
    except OSError as error:
        raise ToolFailed(f"{given.path} cannot be read: {error.strerror}.") from error
    if not shown:
        return "There is nothing." if given.first_line == 1 else "There are fewer lines."
    last = given.first_line + shown - 1
    return f"Lines {given.first_line} to {last}" + ("; there is more." if more else ", the end.")


async def write_file(given: WriteArguments, output: Output) -> str:
    size = _write(given.path, given.content)
    return f"Wrote {given.path} ({size:,} bytes)."


async def edit_file(given: EditArguments, output: Output) -> str:
    before = _read(given.path)
    found = before.count(given.old)
    if not found:
        raise ToolFailed(f"The text to replace is not in {given.path}: read the file, and give it exactly.")
    if found > 1 and not given.everywhere:
        raise ToolFailed(f"It is in {given.path} {found} times: give more of the text around it, or set everywhere.")
    after = before.replace(given.old, given.new)
    _write(given.path, after)
    changed = difflib.unified_diff(before.splitlines(True), after.splitlines(True), given.path, given.path)
    for line in islice(changed, DIFF_LINES):
        output.write(line if line.endswith("\n") else f"{line}\n")
    return f"Changed {given.path} in {found} place{'' if found == 1 else 's'}."


def _read(path: str) -> str:
    try:
        if place(path).stat().st_size > EDIT_BYTES:
            raise ToolFailed(f"{path} is too large to be changed like this ({EDIT_BYTES:,} bytes at most).")
        with place(path).open(encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ToolFailed(f"{path} is not a text file in UTF-8.") from error
    except OSError as error:
        raise ToolFailed(f"{path} cannot be read: {error.strerror}.") from error


def _write(path: str, content: str) -> int:
    """Whole or not at all, with the mode that it had."""
    target = place(path).resolve()
    part = target.with_name(f".{uuid4().hex}.part")
    encoded = content.encode("utf-8", "replace")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(encoded)
        if target.exists():
            part.chmod(target.stat().st_mode & 0o777)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ToolFailed(f"{path} cannot be written: {error.strerror}.") from error
    return len(encoded)


READ_FILE = Tool("read_file", "Read a text file, or some lines of it.", ReadArguments, read_file)
WRITE_FILE = Tool("write_file", "Write a file; what it had before is replaced.", WriteArguments, write_file)
EDIT_FILE = Tool("edit_file", "Replace a piece of text in a file.", EditArguments, edit_file)
