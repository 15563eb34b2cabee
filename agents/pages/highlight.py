"""Source code with its keywords, strings and comments told apart, by Pygments in a process of its own.

What is highlighted was written by an agent, and lexers are regular expressions: some can be made to run for ever
(CVE-2021-20270, CVE-2022-40896), in a `re` that nothing but the end of its process interrupts, with the lock held that
everybody in the web process waits for. So a child does it, with a limit on its time and memory; it answers tokens, and
the markup is ours. Run as a program this is the child: it imports nothing of Django.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path, PurePosixPath

from pygments.lexers import find_lexer_class_for_filename

HIGHLIGHT_BYTES = 128 * 1024
"""Larger files are shown plain."""
HIGHLIGHT_S = 3
"""Of its processor."""
WAIT_S = 15
"""At most for the child: more than its own time, for a machine that is busy."""
MEMORY_BYTES = 512 * 1024 * 1024
_ROOT = Path(__file__).resolve().parents[2]
_KINDS = (
    ("Comment", "comment"),
    ("Keyword", "keyword"),
    ("Operator.Word", "keyword"),
    ("Literal.String", "string"),
    ("Literal.Number", "number"),
    ("Name.Function", "name"),
    ("Name.Class", "name"),
    ("Name.Tag", "keyword"),
    ("Name.Attribute", "name"),
    ("Name.Decorator", "name"),
    ("Generic.Heading", "keyword"),
    ("Generic.Inserted", "inserted"),
    ("Generic.Deleted", "deleted-text"),
)
Tokens = list[tuple[str, str]]
"""(css class or empty, text); the texts together are the whole."""


def highlight(path: str, text: str) -> Tokens | None:
    """None if it is too large, nobody knows the language, or it takes too long."""
    encoded, name = text.encode(), PurePosixPath(path).name
    if len(encoded) > HIGHLIGHT_BYTES or find_lexer_class_for_filename(name) is None:
        return None
    command = [sys.executable, "-m", "agents.pages.highlight", name]
    environment = {"PATH": os.defpath, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(_ROOT)}
    try:
        done = subprocess.run(
            command, input=encoded, capture_output=True, timeout=WAIT_S, check=True, cwd="/", env=environment
        )
        tokens = [(str(kind), str(part)) for kind, part in json.loads(done.stdout)]
    except (subprocess.SubprocessError, OSError, ValueError):
        return None
    return tokens if "".join(part for _, part in tokens) == text else None


def main(name: str) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (HIGHLIGHT_S, HIGHLIGHT_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    found = find_lexer_class_for_filename(name)
    assert found is not None
    lexer = found()
    tokens: list[list[str]] = []
    # Not get_tokens(): it would take carriage returns and a byte order mark out.
    for _, token, part in lexer.get_tokens_unprocessed(sys.stdin.buffer.read().decode()):
        kind = _kind(str(token).removeprefix("Token."))
        if tokens and tokens[-1][0] == kind:
            tokens[-1][1] += part
        else:
            tokens.append([kind, part])
    sys.stdout.write(json.dumps(tokens))


def _kind(token: str) -> str:
    return next((kind for prefix, kind in _KINDS if token.startswith(prefix)), "")


if __name__ == "__main__":
    main(sys.argv[1])
