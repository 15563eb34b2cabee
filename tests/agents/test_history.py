"""The diffs of real runs: through supervisor, takeover and log, to what the store has of them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now

from agents.models import Run
from agents.runs import commands
from agents.worker import retention
from agents.workspace import cleanup, history
from agents.workspace.history import History, RunDiff, store
from streaming.models import EventChunk
from tests.agents.site import PRELUDE, Site, errors, until
from tests.agents.takeover import halt_in, take

EDITS = """
note("log.txt", start["input"]["content"] + "\\n")
if os.path.exists("old.txt"):
    os.remove("old.txt")
"""
HALVES = """
note("first", "first half\\n")
note("half")
wait("go")
note("second", "second half\\n")
"""


def diff_of(run: Run) -> RunDiff:
    run.refresh_from_db()
    return history.of_run(run)


def changed(run: Run) -> dict[str, str]:
    return {file.path: file.status for file in diff_of(run).files}


def test_a_run_has_a_diff_that_later_runs_leave_alone(any_site: Site) -> None:
    site = any_site
    site.worker()
    agent = site.agent(site.define("edits", EDITS))
    (site.workspace(agent) / "old.txt").write_text("1\n2\n")
    first = commands.submit_run(agent, "one")
    site.end(first)
    expected = diff_of(first)
    assert expected.complete
    assert [(file.path, file.status, file.additions, file.deletions) for file in expected.files] == [
        ("log.txt", "added", 1, 0),
        ("old.txt", "deleted", 0, 2),
    ]
    second = commands.submit_run(agent, "two")
    site.end(second)
    assert [file.diff for file in diff_of(second).files] == [
        "--- a/log.txt\n+++ b/log.txt\n@@ -1 +1,2 @@\n one\n+two\n"
    ]
    assert diff_of(first) == expected


def test_it_is_there_when_the_run_ends(site: Site) -> None:
    """Whoever sees `done` and asks gets the run's diff, not one of the disk."""
    site.worker()
    run = site.start(site.define("edits", EDITS))
    until(lambda: Run.objects.filter(pk=run.pk).exclude(finished_at=None).exists(), "the run ends")
    (site.workspace(run) / "later").write_text("uploaded")
    assert changed(run) == {"log.txt": "added"}


def test_a_run_that_goes_on_shows_what_it_did_so_far_and_nothing_is_kept_for_it(site: Site) -> None:
    site.worker()
    run = site.start(site.define("halves", HALVES))
    site.wait_file(run, "half")
    before = sorted(path for path in History(run.agent_id).path.rglob("*"))
    diff = diff_of(run)
    assert [(file.path, file.diff) for file in diff.files] == [
        ("first", "--- /dev/null\n+++ b/first\n@@ -0,0 +1 @@\n+first half\n"),
        ("half", ""),
    ]
    assert sorted(path for path in History(run.agent_id).path.rglob("*")) == before
    site.let(run, "go")
    site.end(run)
    assert set(changed(run)) == {"first", "go", "half", "second"}


def test_a_run_that_is_taken_over_keeps_its_first_manifest(site: Site) -> None:
    first = site.worker()
    run = site.start(site.define("halves", HALVES))
    site.wait_file(run, "half")
    kept = History(run.agent_id).manifest(str(run.pk), "before")
    site.kill(first)
    take(site, run, site.worker())
    site.let(run, "go")
    site.end(run)
    assert History(run.agent_id).manifest(str(run.pk), "before") == kept
    assert set(changed(run)) == {"first", "go", "half", "second"}


def test_a_worker_that_died_before_it_noted_the_container_costs_no_change(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container runs, and whoever goes on knows only that one may."""
    first = site.worker()
    engine = first.submit(first.engines()).result(10)
    halt = halt_in(engine, "start", monkeypatch, before=False)
    # It begins without having been told to: the start line is sent after the container is noted.
    run = site.start(site.define("halves", PRELUDE.replace("start = read()", "") + HALVES, prelude=False))
    assert halt.reached.wait(10)
    site.wait_file(run, "half")
    site.kill(first)
    halt.go_on.set()
    take(site, run, site.worker())
    site.let(run, "go")
    site.end(run)
    assert set(changed(run)) == {"first", "go", "half", "second"}


def test_what_was_cancelled_before_it_started_changed_nothing(site: Site) -> None:
    run = site.start(site.define("edits", EDITS))
    commands.request_cancel(run)
    until(lambda: Run.objects.filter(pk=run.pk).exclude(finished_at=None).exists(), "the run ends")
    assert diff_of(run) == RunDiff([], complete=True)


def test_a_run_that_failed_or_was_stopped_has_one_too(site: Site) -> None:
    site.worker()
    failed = site.start(site.define("fails", 'note("f", "x\\n"); sys.exit(3)'))
    assert errors(site.end(failed)) == ["container-exit"]
    assert changed(failed) == {"f": "added"}
    stopped = site.start(site.define("halves", HALVES))
    site.wait_file(stopped, "half")
    commands.request_cancel(stopped)
    site.end(stopped)
    assert changed(stopped) == {"first": "added", "half": "added"}


def test_what_is_hostile_in_a_workspace_hangs_nothing_and_leads_nowhere(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SECRET\n")
    code = f"""
os.symlink({str(tmp_path / "secret")!r}, "link")
os.symlink("/", "root")
os.mkfifo("pipe")
os.makedirs("a/" * 70)
note("fine", "x\\n")
"""
    site.worker()
    agent = site.agent(site.define("hostile", code))
    os.mkfifo(site.workspace(agent) / "waiting")
    run = commands.submit_run(agent, "go")
    site.end(run)
    assert changed(run) == {"fine": "added"}
    stored = [path for path in History(agent.pk).path.rglob("*") if path.is_file()]
    assert stored
    assert not [path for path in stored if b"SECRET" in path.read_bytes()]


def test_a_store_that_can_not_be_written_costs_the_diff_and_not_the_run(site: Site) -> None:
    site.worker()
    Path(site.settings.HISTORY_DIR).write_text("in the way")
    run = site.start(site.define("edits", EDITS))
    assert site.end(run)[-1].data["status"] == "completed"
    assert diff_of(run) == RunDiff([], complete=False)


# For how long ------------------------------------------------------------------------------------------------------


def test_a_deleted_agent_takes_its_history_with_it(site: Site) -> None:
    site.worker()
    run = site.start(site.define("edits", EDITS))
    site.end(run)
    path = History(run.agent_id).path
    assert path.is_dir()
    commands.delete_agent(run.agent)
    assert not path.exists()


def test_the_history_of_an_agent_deleted_while_it_runs_is_removed_too(site: Site) -> None:
    site.worker()
    run = site.start(site.define("halves", HALVES))
    site.wait_file(run, "half")
    path = History(run.agent_id).path
    commands.delete_agent(run.agent)
    until(lambda: not site.workers[0]._supervisors, "its worker lets go")
    assert not path.exists()


def test_a_history_without_an_agent_is_swept_after_the_grace(site: Site) -> None:
    """Also where its workspace is gone already."""
    site.worker()
    run = site.start(site.define("edits", EDITS))
    site.end(run)
    kept = History(run.agent_id)
    living = site.start("edits")
    site.end(living)
    stray = kept.path.with_name("0199aaaa-0000-7000-8000-000000000000")
    kept.path.rename(stray)
    site.settings.WORKSPACE_GRACE_H = 1
    assert cleanup.sweep() == 0
    assert stray.exists()
    site.settings.WORKSPACE_GRACE_H = 0
    assert cleanup.sweep() == 1
    assert not stray.exists()
    assert History(living.agent_id).path.exists()


def test_retention_drops_the_history_of_runs_whose_events_are_trimmed(site: Site) -> None:
    site.settings.RETENTION_DAYS = 30
    site.worker()
    agent = site.agent(site.define("edits", EDITS))
    old = commands.submit_run(agent, "old")
    site.end(old)
    EventChunk.objects.update(created_at=Now() - timedelta(days=31))
    new = commands.submit_run(agent, "new")
    site.end(new)
    expected = diff_of(new)
    retention.trim()
    assert History(agent.pk).runs() == [str(new.pk)]
    assert diff_of(old) == RunDiff([], complete=False)
    assert diff_of(new) == expected


def test_a_history_that_can_not_be_pruned_ends_no_turn(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.settings.RETENTION_DAYS = 30
    site.worker()
    for _ in range(2):
        site.end(site.start(site.define("edits", EDITS)))
    EventChunk.objects.update(created_at=Now() - timedelta(days=31))

    def no(*_: Any) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(store.History, "forget", no)
    retention.trim()
    assert not EventChunk.objects.exists()
