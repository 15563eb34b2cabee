"""What a path in a workspace may be, and how a directory is reached: beneath the one before, never through a link.

A file's name may hold any bytes but a slash and NUL; an event, a page and a URL hold text. So in a path a byte that is
not part of UTF-8, or of a control character, is written `\\xff`, and a backslash that would be read as the beginning of
one `\\x5c`. Every other name is written as it is. Each name has exactly one such path: all others are refused.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence

from agents.errors import NotFound
from agents.workspace.errors import PathInvalid

UPLOADING = ".agentsite-upload-"
"""How a file is named until it is whole. Never listed."""
DEPTH_MOST = 64
NAME_MOST_BYTES = 255
PATH_MOST_BYTES = 4096
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_LOOKS_ESCAPED = re.compile(r"\\(?=x[0-9a-f]{2})")
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def components(path: str) -> list[str]:
    """The names in a relative path, as the system has them. Raises PathInvalid for everything that could mean something
    else to somebody."""
    if not is_plain(path) or any(name in ("", ".", "..") for name in path.split("/")):
        wanted = r"a relative path of names; control characters and bytes that are not UTF-8 are written \x0a, \xff"
        raise PathInvalid(f"must be {wanted}", field="path")
    names = [unescape(name) for name in path.split("/")]
    lengths = [len(os.fsencode(name)) for name in names]
    if max(lengths) > NAME_MOST_BYTES or sum(lengths) + len(names) > PATH_MOST_BYTES or len(names) > DEPTH_MOST:
        raise PathInvalid("is too long", field="path")
    if any(name.startswith(UPLOADING) for name in names):
        raise PathInvalid(f"names that begin with {UPLOADING} are taken", field="path")
    return names


def escape(name: str) -> str:
    """A name as a path has it. `name`: as the system has it, with surrogates for bytes that are not UTF-8."""
    if is_plain(name) and "\\x" not in name:
        return name
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    text = _LOOKS_ESCAPED.sub(lambda _: r"\x5c", text)
    return "".join(char if is_plain(char) else _escaped(char) for char in text)


def unescape(name: str) -> str:
    """The opposite. Raises PathInvalid for what `escape` would have written in another way."""
    if "\\x" not in name:
        return name
    found = os.fsdecode(_ESCAPE.sub(lambda escaped: bytes.fromhex(escaped[1].decode()), name.encode()))
    if "\0" in found or escape(found) != name:
        raise PathInvalid(rf"{name} holds an escape that is not needed; a backslash before x is \x5c", field="path")
    return found


def _escaped(char: str) -> str:
    return "".join(rf"\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def is_plain(text: str) -> bool:
    """No control characters, nor what UTF-8 or PostgreSQL can't hold: surrogates stand for undecodable bytes."""
    return not any(char < " " or "\x7f" <= char < "\xa0" or "\ud800" <= char <= "\udfff" for char in text)


@contextlib.contextmanager
def directory(root: int, names: Sequence[str]) -> Iterator[int]:
    """A descriptor of the directory `names` beneath `root`. Raises NotFound.

    From the top each time, one descriptor at a time: one a level would let a deep tree use up all we have.
    """
    fd = os.dup(root)
    try:
        for name in names:
            try:
                below = os.open(name, DIRECTORY, dir_fd=fd)
            except OSError as error:
                raise NotFound("no such file") from error
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)
