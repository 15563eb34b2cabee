"""Taking a tree down. Directories can be nested deeper than any stack, path or descriptor table is long, so each one is
emptied at the top, and its own directories are moved up there first."""

from __future__ import annotations

import contextlib
import os
import secrets

from agents.workspace.paths import DIRECTORY


def empty(root: int) -> None:
    """Remove everything beneath `root`; links themselves, never what they lead to. Nobody may be writing there."""
    while inside := _inside(root):
        for name, is_directory in inside:
            with contextlib.suppress(FileNotFoundError):
                if is_directory:
                    _empty_into(root, name)
                    os.rmdir(name, dir_fd=root)
                else:
                    os.unlink(name, dir_fd=root)


def _empty_into(root: int, name: str) -> None:
    """The directory's files are removed, its directories become directories of `root`."""
    fd = os.open(name, DIRECTORY, dir_fd=root)
    try:
        for child, is_directory in _inside(fd):
            if is_directory:
                os.rename(child, f".removed-{secrets.token_hex(8)}", src_dir_fd=fd, dst_dir_fd=root)
            else:
                os.unlink(child, dir_fd=fd)
    finally:
        os.close(fd)


def _inside(fd: int) -> list[tuple[str, bool]]:
    with os.scandir(fd) as scan:
        return [(found.name, found.is_dir(follow_symlinks=False)) for found in scan]
