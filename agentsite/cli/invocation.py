"""How this user can call us again: printed command lines are there to be pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

NAME = "agentsite"


def command_line(words: Iterable[str], environment: Iterable[str] = (), *, is_absolute: bool = False) -> str:
    """A line for the user's shell in this directory, or `is_absolute` in any. `environment`: variables that it needs to
    have as we have them."""
    variables = [f"{name}={shlex.quote(os.environ[name])}" for name in environment if name in os.environ]
    return " ".join([*variables, shlex.join([*_executable(is_absolute), *words])])


def _executable(is_absolute: bool) -> list[str]:
    """`agentsite` where the PATH finds this same program; otherwise the path by which it was called, or the interpreter
    that runs it. Paths below the current directory are relative, as they are typed."""
    called = Path(sys.argv[0])
    found = shutil.which(NAME)
    beside = Path(sys.executable).with_name(NAME)
    for script in (called, beside):
        if script.name == NAME and script.is_file() and os.access(script, os.X_OK):
            same = found is not None and Path(found).samefile(script)
            return [NAME] if same else [_typed(script, is_absolute)]
    return [_typed(Path(sys.executable), is_absolute), "-m", NAME]


def _typed(path: Path, is_absolute: bool) -> str:
    """Absolute, or relative with a slash in it: a bare name would be looked for in the PATH."""
    path = path.absolute()
    if is_absolute or not path.is_relative_to(Path.cwd()):
        return str(path)
    relative = str(path.relative_to(Path.cwd()))
    return relative if "/" in relative else f"./{relative}"
