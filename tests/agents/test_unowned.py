"""Workspaces that belong to no living agent are removed after a grace period; those of living agents never are."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError

from agents.models import Agent
from agents.runs import commands
from agents.worker import tasks
from agents.workspace import Workspace, cleanup
from tests.agents.site import Site

HOUR_S = 3600


def stray(agent_id: str | None = None) -> Path:
    """A workspace with something in it, of no agent."""
    workspace = Workspace(agent_id or str(uuid.uuid4()))
    path = workspace.create()
    (path / "deep" / "er").mkdir(parents=True)
    (path / "deep" / "er" / "file").write_text("x")
    return path


def note(path: Path) -> Path:
    return path.parent / cleanup.NOTES / path.name


def hours_pass(path: Path, hours: float) -> None:
    seen_at = time.time() - hours * HOUR_S
    os.utime(note(path), (seen_at, seen_at))


def test_a_workspace_without_an_agent_is_removed_after_its_grace(site: Site) -> None:
    site.settings.WORKSPACE_GRACE_H = 24
    path = stray()
    assert cleanup.sweep() == 0
    hours_pass(path, 23.9)
    assert cleanup.sweep() == 0
    assert (path / "deep" / "er" / "file").exists()
    hours_pass(path, 24.1)
    assert cleanup.sweep() == 1
    assert not path.exists()
    assert not note(path).exists()


def test_the_grace_begins_when_it_was_first_seen_however_old_its_files_are(site: Site) -> None:
    """Somebody may have started the site on another database: there is a day to notice."""
    path = stray()
    os.utime(path, (0, 0))
    assert cleanup.sweep() == 0
    assert path.exists()


def test_an_agent_that_is_back_before_the_end_of_the_grace_starts_it_anew(site: Site) -> None:
    """The database was restored again, from a later moment."""
    agent_id = str(uuid.uuid4())
    path = stray(agent_id)
    cleanup.sweep()
    hours_pass(path, 1000)
    agent = Agent.objects.create(pk=agent_id, owner=site.owner, definition="demo")
    assert cleanup.sweep() == 0
    assert not note(path).exists()
    rows = Agent.objects.filter(pk=agent.pk)
    rows._raw_delete(rows.db)  # as a database that was restored has it: nobody was told
    assert cleanup.sweep() == 0
    assert path.exists()


def test_the_workspace_of_a_living_agent_stays_whatever_its_state(site: Site) -> None:
    site.settings.WORKSPACE_GRACE_H = 0
    site.worker()
    site.define("waits", 'note("up"); wait("go")')
    idle, archived, active = site.agent("waits"), site.agent("waits"), site.start("waits")
    commands.archive(archived, True)
    site.wait_file(active, "up")
    os.utime(site.workspace(idle), (0, 0))
    assert cleanup.sweep() == 0
    for one in (idle, archived, active):
        assert site.workspace(one).is_dir()
    site.let(active, "go")
    site.end(active)


def test_an_agent_made_while_we_looked_keeps_its_workspace(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between each two steps: before and after the directories are listed, and before and after each question to the
    database an agent is made. One of them has a workspace that was there before."""
    site.settings.WORKSPACE_GRACE_H = 0
    site.define("fine", "")
    back = str(uuid.uuid4())
    stray(back)
    lost = stray()
    made: list[Agent] = []
    there, living = cleanup._there, cleanup._living

    def listing() -> list[str]:
        made.append(site.agent("fine"))
        found = list(there())
        made.append(site.agent("fine"))
        return found

    def asking(agent_ids: list[str]) -> set[str]:
        made.append(site.agent("fine"))
        found = living(agent_ids)
        made.append(site.agent("fine"))
        if not Agent.objects.filter(pk=back).exists():
            made.append(Agent.objects.create(pk=back, owner=site.owner, definition="fine"))
        return found

    monkeypatch.setattr(cleanup, "_there", listing)
    monkeypatch.setattr(cleanup, "_living", asking)
    assert cleanup.sweep() == 1
    assert len(made) >= 7
    for agent in made:
        assert site.workspace(agent).is_dir()
    assert not lost.exists()


def test_what_is_not_a_workspace_is_somebody_elses(site: Site, tmp_path: Path) -> None:
    site.settings.WORKSPACE_GRACE_H = 0
    place = Path(site.settings.WORKSPACES_DIR)
    stray()
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").write_text("x")
    (place / str(uuid.uuid4())).symlink_to(other)
    for name in ("backup", str(uuid.uuid4()).upper(), "{" + str(uuid.uuid4()) + "}"):
        (place / name).mkdir()
    (place / str(uuid.uuid4())).write_text("a file")
    before = {path.name for path in place.iterdir()}
    assert cleanup.sweep() == 1
    assert len(before - {path.name for path in place.iterdir()}) == 1
    assert (other / "precious").exists()


def test_nothing_is_removed_while_the_database_is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.settings.WORKSPACE_GRACE_H = 0
    path = stray()

    def away(agent_ids: list[str]) -> set[str]:
        raise DatabaseError("away")

    monkeypatch.setattr(cleanup, "_living", away)
    tasks.sweep_workspaces()
    assert path.exists()


def test_much_is_removed_in_several_turns(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.settings.WORKSPACE_GRACE_H = 0
    monkeypatch.setattr(cleanup, "WORKSPACES_A_TURN", 2)
    for _ in range(5):
        stray()
    assert [cleanup.sweep() for _ in range(4)] == [2, 2, 1, 0]


def test_what_can_not_be_removed_now_is_removed_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """`delete_agent` was interrupted, or the disk said no."""
    site.settings.WORKSPACE_GRACE_H = 0
    agent = site.agent(site.define("fine", ""))
    path = site.workspace(agent)
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "remove_all", lambda workspace: None)
        commands.delete_agent(agent)
        assert cleanup.sweep() == 0
    assert path.exists()
    assert cleanup.sweep() == 1
    assert not path.exists()


def test_the_workspaces_of_a_deleted_users_agents_go_with_them(site: Site) -> None:
    site.settings.WORKSPACE_GRACE_H = 0
    agent = site.agent(site.define("fine", ""))
    path = site.workspace(agent)
    User.objects.filter(pk=site.owner.pk).delete()
    assert not path.exists()
    assert cleanup.sweep() == 0


def test_a_site_without_workspaces_has_nothing_to_sweep(site: Site, tmp_path: Path, settings: Any) -> None:
    settings.WORKSPACES_DIR = tmp_path / "not" / "there"
    assert cleanup.sweep() == 0
    assert not (tmp_path / "not").exists()
