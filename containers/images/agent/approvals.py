"""Which calls of tools somebody has to approve first.

`approvals` of the definition: "all", "none" (the default), or a list of patterns: `write_file` (a tool, `*` allowed),
or `bash:rm *` (a tool, and what it is about: the command, the path, else the arguments as JSON). A command is also
taken apart at `;`, `&&`, `||`, `|`, `&` and line ends, and each part compared. That is for careful people, not against
clever programs: a shell can hide any command from any pattern. What must not happen is for the container to prevent.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

SUBJECTS = {"bash": "command", "write_file": "path", "edit_file": "path", "read_file": "path", "list_files": "path"}
_BETWEEN_COMMANDS = re.compile(r"\|\||&&|[;|&\n]")


def needs_approval(rule: object, name: str, arguments: dict[str, Any]) -> bool:
    """A rule that cannot be understood asks for everything: a mistake must not let more through."""
    if rule in (None, "none", [], ""):
        return False
    if isinstance(rule, list) and all(isinstance(pattern, str) for pattern in rule):
        return any(_matches(pattern, name, arguments) for pattern in rule)
    return True


def _matches(pattern: str, name: str, arguments: dict[str, Any]) -> bool:
    tool, colon, wanted = pattern.partition(":")
    if not fnmatchcase(name, tool.strip()):
        return False
    return not colon or any(fnmatchcase(subject, wanted.strip()) for subject in _subjects(name, arguments))


def _subjects(name: str, arguments: dict[str, Any]) -> list[str]:
    about = arguments.get(SUBJECTS.get(name, ""))
    if not isinstance(about, str):
        return [json.dumps(arguments, ensure_ascii=False)]
    parts = _BETWEEN_COMMANDS.split(about) if name == "bash" else []
    return [about, *(part.strip() for part in parts)]
