"""Finding files, and lines in files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field

from .program import run
from .tool import Arguments, Output, Tool, ToolFailed
from .workspace import place

LISTED_FILES = 1_000
FOUND_LINES = 500
SEARCH_S = 60.0
SKIPPED = (".git", "node_modules", "__pycache__", ".venv")


class ListArguments(Arguments):
    path: str = Field(".", description="A folder, from the workspace.")
    pattern: str = Field("*", description="Names or paths wanted, as in *.py or src/*.md.")


class SearchArguments(Arguments):
    pattern: str = Field(min_length=1, description="An extended regular expression, as of grep -E.")
    path: str = Field(".", description="A file or folder to search in, from the workspace.")
    files: str = Field("*", description="Names of files wanted, as in *.py.")
    ignore_case: bool = False


async def list_files(given: ListArguments, output: Output) -> str:
    folder = place(given.path)
    if not folder.is_dir():
        raise ToolFailed(f"{given.path} is not a folder.")
    count = 0
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if not (fnmatchcase(name, given.pattern) or fnmatchcase(path.name, given.pattern)):
            continue
        if count == LISTED_FILES:
            return f"More than {LISTED_FILES} files: name a folder or a pattern."
        output.write(f"{name}  {path.lstat().st_size:,} bytes\n")
        count += 1
    return f"{count} file{'' if count == 1 else 's'}."


def _files(folder: Path) -> Iterator[Path]:
    """Sorted. Links are listed, not followed."""
    for current, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        yield from (Path(current, name) for name in sorted(names))


async def search(given: SearchArguments, output: Output) -> str:
    """By grep: its time grows with the text, whatever the pattern, and it can be stopped."""
    if not place(given.path).exists():
        raise ToolFailed(f"There is no {given.path}.")
    case = ["-i"] if given.ignore_case else []
    skipped = [f"--exclude-dir={name}" for name in SKIPPED]
    options = ["-rnIE", "-s", f"--max-count={FOUND_LINES}", f"--include={given.files}", *case, *skipped]
    code = await run(["grep", *options, "-e", given.pattern, "--", given.path], output, SEARCH_S)
    if code > 1:
        raise ToolFailed("grep does not understand the pattern.")
    return "Found." if code == 0 else "Not found."


LIST_FILES = Tool("list_files", "List files with their sizes, folders below too.", ListArguments, list_files)
SEARCH = Tool("search", "Search for lines in files; answers with path, line number and line.", SearchArguments, search)
