"""How this user can call us again: printed command lines are there to be pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

NAME = "agentsite"


def command_line(words: Iterable[str], environment: Iterable[str] = ()) -> str:
    """A line for the user's shell in this directory. `environment`: variables that it needs to have as we have them."""
    variables = [f"{name}={shlex.quote(os.environ[name])}" for name in environment if name in os.environ]
    return " ".join([*variables, shlex.join([*_executable(), *words])])


def _executable() -> list[str]:
    """`agentsite` where the PATH finds this same program; otherwise the path by which it was called, or the interpreter
    that runs it. Paths below the current directory are relative, as they are typed."""
    called = Path(sys.argv[0])
    found = shutil.which(NAME)
    beside = Path(sys.executable).with_name(NAME)
    for script in (called, beside):
        if script.name == NAME and script.is_file() and os.access(script, os.X_OK):
            same = found is not None and Path(found).samefile(script)
            return [NAME] if same else [_typed(script)]
    return [_typed(Path(sys.executable)), "-m", NAME]


def _typed(path: Path) -> str:
    """Absolute, or relative with a slash in it: a bare name would be looked for in the PATH."""
    path = path.absolute()
    if not path.is_relative_to(Path.cwd()):
        return str(path)
    relative = str(path.relative_to(Path.cwd()))
    return relative if "/" in relative else f"./{relative}"
