"""What a path in a workspace may be, and how a directory is reached: beneath the one before, never through a link."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from agents.errors import NotFound
from agents.workspace.errors import PathInvalid

UPLOADING = ".agentsite-upload-"
"""How a file is named until it is whole. Never listed."""
DEPTH_MOST = 64
NAME_MOST_BYTES = 255
PATH_MOST_BYTES = 4096
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def components(path: str) -> list[str]:
    """The names in a relative path. Raises PathInvalid for everything that could mean something else to somebody."""
    names = path.split("/")
    if not is_plain(path) or any(name in ("", ".", "..") for name in names):
        raise PathInvalid("must be a relative path of names without control characters", field="path")
    lengths = [len(name.encode()) for name in names]
    if max(lengths) > NAME_MOST_BYTES or sum(lengths) + len(names) > PATH_MOST_BYTES or len(names) > DEPTH_MOST:
        raise PathInvalid("is too long", field="path")
    if any(name.startswith(UPLOADING) for name in names):
        raise PathInvalid(f"names that begin with {UPLOADING} are taken", field="path")
    return names


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
