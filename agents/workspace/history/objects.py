"""Contents by their SHA-256: a file each, in one directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{64}")


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Objects:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __contains__(self, sha256: str) -> bool:
        return (self._directory / sha256).exists()

    def get(self, sha256: str) -> bytes | None:
        """None if it was never kept, was dropped, or is damaged: a machine may have lost power in the middle."""
        try:
            content = (self._directory / sha256).read_bytes()
        except OSError:
            return None
        return content if sha256_of(content) == sha256 else None

    def put(self, content: bytes) -> str:
        """Whole or not at all. Raises OSError."""
        sha256 = sha256_of(content)
        temporary = self._directory / f".{sha256}.{secrets.token_hex(4)}"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(content)
            temporary.rename(self._directory / sha256)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return sha256

    def sizes(self) -> dict[str, int]:
        """What there is, in bytes; also what somebody who died has left half written, under another name."""
        found: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self._directory) as scan:
            for entry in scan:
                with contextlib.suppress(FileNotFoundError):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
        return found

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            (self._directory / name).unlink(missing_ok=True)


def is_object(name: str) -> bool:
    return _NAME.fullmatch(name) is not None
