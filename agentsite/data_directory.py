"""The data directory holds the database, keys, tokens and workspaces, so only the user who runs the site may enter it.

Programs in containers and sandboxes get their own workspace as a mount and need no way through this directory.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from agentsite.problem import SiteProblem

DATABASE, SECRET_KEY, ADMIN_TOKEN = "agentsite.sqlite3", "secret-key", "admin-token"
SECRETS = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", SECRET_KEY, ADMIN_TOKEN)
MARKS = frozenset((*SECRETS, "up.lock", "workspaces"))
"""Names that tell a data directory from a directory of something else, such as /srv or somebody's home."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class DataDirectoryNotPrivate(SiteProblem):
    """Other users can read or change the data directory, and we can't or should not change its permissions."""


def open_data_directory(path: Path) -> None:
    """Make the directory if it is missing (0700), and close it and the secrets in it to other users.

    Raises DataDirectoryNotPrivate, and OSError if it can't be made or looked at.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise DataDirectoryNotPrivate(
            f"the data directory {path} belongs to {_name(status.st_uid)} and this runs as {_name(os.geteuid())}; "
            "give it to that user (chown), or name another with AGENTSITE_DATA_DIR"
        )
    if status.st_mode & OTHERS:
        if not _is_ours_alone(path, status):
            raise DataDirectoryNotPrivate(
                f"the data directory {path} holds files that are not Agentsite's, and other users may enter it; name "
                f"another with AGENTSITE_DATA_DIR, or close it (chmod 700 {path})"
            )
        _close(path, 0o700)
    for name in SECRETS:
        close_file(path / name)


def close_file(path: Path) -> None:
    """Remove all permissions of other users from this file. A link is left alone, since its target may not be ours."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode) and status.st_mode & OTHERS:
        _close(path, 0o600)


def _is_ours_alone(path: Path, status: os.stat_result) -> bool:
    """Return whether nothing but Agentsite uses this directory, so that it can be closed. Never true of one like
    /tmp."""
    names = {entry.name for entry in path.iterdir()}
    return not status.st_mode & stat.S_ISVTX and (not names or not names.isdisjoint(MARKS))


def _close(path: Path, mode: int) -> None:
    """Set the permissions and check them: some file systems (FAT, CIFS) refuse the change or ignore it."""
    try:
        path.chmod(mode)
        problem = "its file system keeps no permissions" if path.stat().st_mode & OTHERS else None
    except PermissionError as error:
        problem = str(error.strerror)
    if problem:
        raise DataDirectoryNotPrivate(
            f"other users may read {path}, and that can't be changed: {problem}; name another data directory with "
            "AGENTSITE_DATA_DIR"
        )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
