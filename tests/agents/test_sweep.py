"""What nobody cares for any more is found: runs by the reaper, containers and attempts by the sweep."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from agents import lifecycle, reaper, sweep
from agents.models import Run
from tests.agents.site import Site, attempts, until

WAITS = 'note("up"); wait("go")'


def test_a_queued_run_that_nobody_took_is_asked_for_again(site: Site) -> None:
    """The broker was emptied, or the worker died with the message in its hand."""
    run = site.start(site.define("fine", ""))
    assert site.lost_messages == [str(run.agent_id)]
    assert reaper.stranded() == []  # it was asked for just now
    Run.objects.update(enqueued_at=Now() - timedelta(seconds=reaper.ASK_AGAIN_S + 1))
    assert reaper.stranded() == [str(run.agent_id)]
    assert reaper.stranded() == [], "asked for twice"
    site.ask_worker(site.worker(), str(run.agent_id))
    site.end(run)
    Run.objects.update(enqueued_at=None)
    assert reaper.stranded() == []


def test_a_run_that_was_never_handed_out_is_asked_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The web process died between the row and the broker."""
    monkeypatch.setattr(lifecycle, "enqueue", lambda agent_id: None)
    run = site.start(site.define("fine", ""))
    assert reaper.stranded() == [str(run.agent_id)]


def test_many_stranded_runs_of_an_agent_are_one_message(site: Site) -> None:
    agent = site.agent(site.define("fine", ""))
    for number in range(5):
        lifecycle.submit_run(agent, str(number))
    Run.objects.update(enqueued_at=None)
    assert reaper.stranded() == [str(agent.pk)]


def test_two_reapers_at_once_and_a_message_twice_do_no_harm(site: Site) -> None:
    worker = site.worker()
    site.workers.clear()
    run = site.start(site.define("fine", 'note("ran", "x")'))
    site.workers.append(worker)
    for _ in range(5):
        site.ask_worker(worker, str(run.agent_id))
        site.ask_worker(site.worker(), str(run.agent_id))
    site.end(run)
    assert site.wait_file(run, "ran") == "x"
    assert len(attempts(run)) == 1


def test_the_sweep_takes_what_is_over_and_nothing_else(any_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "GRACE_S", 0.0)
    worker = any_site.worker()
    any_site.define("waits", WAITS)
    lives, ended, deleted = (any_site.start("waits") for _ in range(3))
    for run in (lives, ended, deleted):
        any_site.wait_file(run, "up")
    any_site.kill(worker)
    lifecycle.delete_agent(deleted.agent)
    Run.objects.filter(pk=ended.pk).update(finished_at=Now(), status="failed")
    second = any_site.worker()
    assert second.submit(sweep.sweep(second.engines)).result(20) == 2
    assert [len(any_site.containers(run)) for run in (lives, ended, deleted)] == [1, 0, 0]
    assert attempts(ended)[0].outcome == "worker-lost"
    assert attempts(lives)[0].finished_at is None
    any_site.expire(lives.agent)
    any_site.ask_worker(second, str(lives.agent_id))
    any_site.let(lives, "go")
    any_site.end(lives)


def test_a_young_container_is_left_alone(site: Site) -> None:
    worker = site.worker()
    run = site.start(site.define("waits", WAITS))
    site.wait_file(run, "up")
    site.kill(worker)
    Run.objects.filter(pk=run.pk).update(finished_at=Now(), status="failed")
    second = site.worker()
    assert second.submit(sweep.sweep(second.engines)).result(20) == 0
    assert len(site.containers(run)) == 1


def test_another_sites_containers_are_left_alone(any_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "GRACE_S", 0.0)
    worker = any_site.worker()
    run = any_site.start(any_site.define("waits", WAITS))
    any_site.wait_file(run, "up")
    ours, any_site.settings.SECRET_KEY = any_site.settings.SECRET_KEY, "another site on the same engine"
    assert worker.submit(sweep.sweep(worker.engines)).result(20) == 0
    any_site.settings.SECRET_KEY = ours
    assert len(any_site.containers(run)) == 1
    any_site.let(run, "go")
    any_site.end(run)


def test_the_workspace_of_a_deleted_agent_is_gone_though_its_program_went_on_writing(site: Site) -> None:
    site.worker()
    run = site.start(site.define("writes", 'note("up")\nwhile True:\n    note("more", "x")\n    time.sleep(0.001)\n'))
    site.wait_file(run, "up")
    workspace = site.workspace(run)
    lifecycle.delete_agent(run.agent)
    until(lambda: not workspace.exists(), "the workspace goes", patience_s=8)
