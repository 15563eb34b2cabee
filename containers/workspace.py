"""Who owns the files that a program and we both write."""

from __future__ import annotations

import os
from pathlib import Path

NOBODY = "65532:65532"


def program_user() -> str:
    """For `Spec.user`: nobody, if we are root and can give him files. Otherwise ourselves: what a program leaves in its
    workspace could else neither be changed nor deleted by us, nor our uploads by it. (The container has no more rights
    than nobody's: no capabilities, no way to get any, and only the workspace is shared.)"""
    return NOBODY if os.geteuid() == 0 else f"{os.getuid()}:{os.getgid()}"


def give_to(path: Path, user: str) -> None:
    """Let `user` (uid:gid) own `path`, not what is in it. Only root can; others have nothing to give away."""
    uid, _, gid = user.partition(":")
    if os.geteuid() != 0 or not (uid.isdigit() and gid.isdigit()) or not path.exists():
        return
    if path.stat().st_uid != int(uid):
        os.chown(path, int(uid), int(gid), follow_symlinks=False)
