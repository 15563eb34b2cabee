from __future__ import annotations

import os
from pathlib import Path

import pytest

from containers.workspace import NOBODY, give_to, program_user


def test_root_lets_programs_be_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert program_user() == NOBODY


def test_others_let_programs_be_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("geteuid", "getuid", "getgid"):
        monkeypatch.setattr(os, name, lambda: 1234)
    assert program_user() == "1234:1234"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_given_away_is_the_directory_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    give_to(tmp_path, NOBODY)
    assert (tmp_path.stat().st_uid, tmp_path.stat().st_gid) == (65532, 65532)
    assert (tmp_path / "file").stat().st_uid == 0


def test_what_cannot_be_given_is_left_alone(tmp_path: Path) -> None:
    owner = tmp_path.stat().st_uid
    give_to(tmp_path, "somebody")
    give_to(tmp_path / "missing", NOBODY)
    assert tmp_path.stat().st_uid == owner
