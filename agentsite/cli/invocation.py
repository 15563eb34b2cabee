"""Build the command lines that we print, so that they can be pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

NAME = "agentsite"


def command_line(words: Iterable[str], environment: Iterable[str] = (), *, is_absolute: bool = False) -> str:
    """Return a line for the user's shell that runs `agentsite` with these words.

    It works in this directory, or with `is_absolute` in every one. Variables named in `environment` are set in it.
    """
    variables = [f"{name}={shlex.quote(os.environ[name])}" for name in environment if name in os.environ]
    return " ".join([*variables, shlex.join([*_executable(is_absolute), *words])])


def _executable(is_absolute: bool) -> list[str]:
    """Return `agentsite` if the PATH leads to this program, or otherwise its path or its interpreter. Paths below the
    current directory are relative, as people type them."""
    called = Path(sys.argv[0])
    found = shutil.which(NAME)
    beside = Path(sys.executable).with_name(NAME)
    for script in (called, beside):
        if script.name == NAME and script.is_file() and os.access(script, os.X_OK):
            same = found is not None and Path(found).samefile(script)
            return [NAME] if same else [_typed(script, is_absolute)]
    return [_typed(Path(sys.executable), is_absolute), "-m", NAME]


def _typed(path: Path, is_absolute: bool) -> str:
    """Return the path, absolute or relative. A relative one has a slash: the shell would look a bare name up in the
    PATH."""
    path = path.absolute()
    if is_absolute or not path.is_relative_to(Path.cwd()):
        return str(path)
    relative = str(path.relative_to(Path.cwd()))
    return relative if "/" in relative else f"./{relative}"
