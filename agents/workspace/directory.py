"""`Workspace`: one agent's directory.

Who owns it: whom the program runs as (containers.workspace). When we are root that is nobody, and what we make is given
to him; when we are not, that is ourselves. Where even root may not give files away (some user namespaces, some network
file systems) they are writable for all as the last resort.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from agents.errors import NotFound
from agents.workspace.changes import Change, Comparison
from agents.workspace.digests import DIGESTS
from agents.workspace.errors import DiskFull, FileTooLarge, PathInvalid, PathTaken, WorkspaceFull, WorkspaceMissing
from agents.workspace.paths import DIRECTORY, UPLOADING, components, directory
from agents.workspace.removal import empty
from agents.workspace.room import one_at_a_time, refuse_low_disk
from agents.workspace.usage import ENTRY_BYTES, measure, taken_bytes
from agents.workspace.walk import Entry, Identity, Listing, OpenFile, entry_of, walk
from containers.spec import MIB
from containers.workspace import program_user

log = structlog.get_logger(__name__)
_EXISTING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Workspace:
    """Keep one for as long as you compare (`scan`): it remembers what it has seen of files too large to be hashed."""

    def __init__(self, agent_id: str | uuid.UUID) -> None:
        self.path = Path(settings.WORKSPACES_DIR) / str(uuid.UUID(str(agent_id)))
        uid, _, gid = program_user().partition(":")
        self._uid, self._gid = int(uid), int(gid)
        self._seen: dict[str, Identity] = {}

    def create(self) -> Path:
        """Make the directory of a new agent; answers its path. For any other agent `prepare`."""
        above = self.path.parent
        above.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            with contextlib.suppress(PermissionError):
                above.chmod(0o700)  # other users of this machine have no business there
        self.path.mkdir(mode=0o755, exist_ok=True)
        self.prepare()
        return self.path

    def prepare(self) -> None:
        """Let the program's user write there. Raises WorkspaceMissing, as all that follows."""
        with self._root() as root:
            self._give(root, 0o755)

    def check(self) -> None:
        """Raises WorkspaceMissing."""
        with self._root():
            pass

    # Reading ------------------------------------------------------------------------------------------------------

    def entries(self) -> Listing:
        """The regular files. Links are neither followed nor listed."""
        with self._root() as root:
            return walk(root, settings.WORKSPACE_SCAN_FILES)

    def open_file(self, path: str) -> OpenFile:
        """Raises PathInvalid, NotFound (also for links, directories, pipes and devices)."""
        *parents, name = components(path)
        with self._root() as root, directory(root, parents) as parent:
            try:
                # Looking first spares a device the opening; what was opened is looked at again, in case of a swap.
                _regular(os.stat(name, dir_fd=parent, follow_symlinks=False))
                fd = os.open(name, _EXISTING, dir_fd=parent)
            except OSError as error:
                raise NotFound("no such file") from error
        try:
            status = _regular(os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return OpenFile(os.fdopen(fd, "rb"), entry_of(path, status))

    def used_bytes(self, enough_bytes: int) -> int:
        """As the disk counts it; looking stops when it is more than `enough_bytes`."""
        with self._root() as root:
            return measure(root, enough_bytes)

    def scan(self, known: Mapping[str, Mapping[str, Any]]) -> list[Change]:
        """What is different from `known` (`files` of the folded state: path → {size, sha256}), sorted by path.

        Bounded by WORKSPACE_SCAN_FILES and by the bytes that are hashed at once; what that leaves out comes next time.
        """
        return Comparison(known, self.entries(), self._seen, self.open_file, DIGESTS).changes()

    # Writing ------------------------------------------------------------------------------------------------------

    def write_file(self, path: str, chunks: Iterable[bytes], max_bytes: int | None = None) -> Entry:
        """Make or replace a file, whole or not at all, and the directories it needs. `max_bytes`: UPLOAD_MAX_BYTES.

        Raises PathInvalid, PathTaken, FileTooLarge, DiskFull, and what `chunks` raises.
        """
        *parents, name = components(path)
        limit = settings.UPLOAD_MAX_BYTES if max_bytes is None else max_bytes
        with self._root() as root, _in_our_words(path):
            self._make(root, parents)
            with directory(root, parents) as parent:
                return entry_of(path, self._put(parent, name, chunks, limit))

    def upload(self, path: str, chunks: Iterable[bytes], announced_bytes: int, workspace_bytes: int) -> Entry:
        """`write_file` for a user: held to UPLOAD_MAX_BYTES, to what is left of `workspace_bytes`, and to what the disk
        has left. `announced_bytes`: how much will come; 0 if nobody knows.

        One at a time: several would each find the same room. Raises WorkspaceFull, and what `write_file` raises.
        """
        components(path)
        with one_at_a_time(self.path.name):
            refuse_low_disk(announced_bytes)
            room_bytes = self._room_bytes(path, workspace_bytes)
            try:
                if max(announced_bytes, ENTRY_BYTES) <= room_bytes:
                    return self.write_file(path, chunks, min(settings.UPLOAD_MAX_BYTES, room_bytes))
            except FileTooLarge:
                if room_bytes >= settings.UPLOAD_MAX_BYTES:
                    raise
            size = f"{workspace_bytes // MIB:,} MiB"
            problem = f"the workspace may hold {size} and has no room for this file; delete some of its files"
            raise WorkspaceFull(problem, limit_bytes=workspace_bytes)

    def _room_bytes(self, path: str, workspace_bytes: int) -> int:
        """For the content of this file, in whole blocks. Its old content makes room, its new directories take some."""
        *parents, name = components(path)
        replaced = missing = 0
        with self._root() as root:
            try:
                with directory(root, parents) as parent, contextlib.suppress(OSError):
                    replaced = taken_bytes(os.stat(name, dir_fd=parent, follow_symlinks=False))
            except NotFound:
                missing = len(parents)
            used = measure(root, workspace_bytes + replaced)
        return (workspace_bytes - used + replaced) // ENTRY_BYTES * ENTRY_BYTES - missing * ENTRY_BYTES

    def delete(self, path: str) -> None:
        """Remove a file, or whatever else but a directory is there. Raises PathInvalid, NotFound, PathTaken."""
        *parents, name = components(path)
        with self._root() as root, directory(root, parents) as parent:
            try:
                os.unlink(name, dir_fd=parent)
            except (IsADirectoryError, PermissionError) as error:
                raise PathTaken("is a directory, or may not be deleted", field="path") from error
            except OSError as error:
                raise NotFound("no such file") from error

    def remove_all(self) -> None:
        """Remove the workspace itself. What the system does not let us remove is left, and logged."""
        try:
            with self._root() as root:
                empty(root)
            self.path.rmdir()
        except (WorkspaceMissing, FileNotFoundError):
            return
        except OSError as error:
            log.warning("workspace not removed", path=str(self.path), error=str(error))

    def _put(self, parent: int, name: str, chunks: Iterable[bytes], limit: int) -> os.stat_result:
        temporary = UPLOADING + secrets.token_hex(8)
        try:
            status = self._fill(os.open(temporary, _NEW, 0o600, dir_fd=parent), chunks, limit)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            return status
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise

    def _fill(self, fd: int, chunks: Iterable[bytes], limit: int) -> os.stat_result:
        with os.fdopen(fd, "wb") as file:
            size = 0
            for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise FileTooLarge(f"a file may have {limit} bytes", limit_bytes=limit)
                file.write(chunk)
            file.flush()
            self._give(fd, 0o644)
            return os.fstat(fd)

    def _make(self, root: int, names: list[str]) -> None:
        for depth, name in enumerate(names):
            with directory(root, names[:depth]) as parent:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=parent)
                    with directory(parent, [name]) as made:
                        self._give(made, 0o755)
                if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    raise PathTaken("/".join(names[: depth + 1]) + " is not a directory", field="path")

    def _give(self, fd: int, mode: int) -> None:
        """To the program's user; if that can't be, to everybody (see the module)."""
        try:
            if os.fstat(fd).st_uid != self._uid:
                os.fchown(fd, self._uid, self._gid)
            os.fchmod(fd, mode)
        except PermissionError:
            with contextlib.suppress(PermissionError):  # not even ours: then the program made it
                os.fchmod(fd, 0o777 if mode & 0o100 else 0o666)

    @contextlib.contextmanager
    def _root(self) -> Iterator[int]:
        try:
            fd = os.open(self.path, DIRECTORY)
        except OSError as error:
            raise WorkspaceMissing(
                f"the agent's files can't be reached: workspaces/{self.path.name} in the data dir: {error.strerror}"
            ) from error
        try:
            yield fd
        finally:
            os.close(fd)


def _regular(status: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(status.st_mode):
        raise NotFound("no such file")
    return status


_TAKEN = (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOENT)
_INVALID = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def _in_our_words(path: str) -> Iterator[None]:
    """What the system says while a file is written."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull("no space left for the workspace") from error
        if error.errno in _TAKEN:
            raise PathTaken(f"{path} can't be written: {error.strerror}", field="path") from error
        if error.errno in _INVALID:
            raise PathInvalid("can't be the name of a file here", field="path") from error
        raise
