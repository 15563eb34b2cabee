"""What nobody cares for any more is found: runs by the reaper, containers and attempts by the sweep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from agents.models import Run
from agents.runs import commands
from agents.worker import container_cleanup, reaper
from agents.worker.runner import Runner
from containers.errors import EngineError
from streaming.store.database import in_thread
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
    monkeypatch.setattr(commands, "enqueue", lambda agent_id: False)
    run = site.start(site.define("fine", ""))
    assert reaper.stranded() == [str(run.agent_id)]


def test_many_stranded_runs_of_an_agent_are_one_message(site: Site) -> None:
    agent = site.agent(site.define("fine", ""))
    for number in range(5):
        commands.submit_run(agent, str(number))
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


def swept(worker: Runner) -> int:
    removed: int = worker.submit(container_cleanup.sweep(worker.engines)).result(30)
    return removed


def engine_of(worker: Runner, name: str | None = None) -> Any:
    return worker.submit(worker.engines(name)).result(30)


def over(run: Run) -> None:
    """Its worker died between the run's `done` and removing the container."""
    Run.objects.filter(pk=run.pk).update(finished_at=Now(), status="failed")


def test_the_sweep_takes_what_is_over_and_nothing_else(any_site: Site) -> None:
    any_site.settings.ORPHAN_GRACE_S = 0
    worker = any_site.worker()
    any_site.define("waits", WAITS)
    lives, ended, deleted = (any_site.start("waits") for _ in range(3))
    for run in (lives, ended, deleted):
        any_site.wait_file(run, "up")
    any_site.kill(worker)
    commands.delete_agent(deleted.agent)
    over(ended)
    second = any_site.worker()
    assert swept(second) == 2
    assert [len(any_site.containers(run)) for run in (lives, ended, deleted)] == [1, 0, 0]
    assert attempts(ended)[0].finished_at is None, "its worker may be about to close it: it has the lease"
    any_site.expire(ended.agent)
    assert swept(second) == 0
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
    over(run)
    second = site.worker()
    assert swept(second) == 0
    assert len(site.containers(run)) == 1
    site.settings.ORPHAN_GRACE_S = 0.01
    assert swept(second) == 1


def test_a_container_whose_agent_was_made_while_we_looked_is_left_alone(
    any_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agent, run and container come to be between the sweep's first step and its answer from the engine."""
    any_site.settings.ORPHAN_GRACE_S = 0
    worker = any_site.worker()
    any_site.define("waits", WAITS)
    engine = engine_of(worker)
    real, made = engine.list, []

    def make() -> None:
        made.append(any_site.start("waits"))
        any_site.wait_file(made[-1], "up")

    async def listing(labels: Any) -> Any:
        await in_thread(make)
        found = await real(labels)
        await in_thread(make)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(engine, "list", listing)
        assert swept(worker) == 0
    assert [len(any_site.containers(run)) for run in made] == [1, 1]
    for run in made:
        any_site.let(run, "go")
        any_site.end(run)


def test_a_run_in_takeover_keeps_its_container(any_site: Site) -> None:
    """Nobody holds its lease, and its container has even ended: who takes it over reads how."""
    any_site.settings.ORPHAN_GRACE_S = 0
    first = any_site.worker()
    run = any_site.start(any_site.define("waits", WAITS))
    any_site.wait_file(run, "up")
    any_site.kill(first)
    any_site.expire(run.agent)
    second = any_site.worker()
    assert swept(second) == 0
    any_site.let(run, "go")
    until(lambda: not any_site.containers(run)[0].running, "the program ends alone")
    assert swept(second) == 0
    any_site.ask_worker(second, str(run.agent_id))
    assert any_site.end(run)[-1].data["status"] == "completed"


def test_one_that_can_not_be_removed_keeps_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.settings.ORPHAN_GRACE_S = 0
    first = site.worker()
    runs = [site.start(site.define("waits", WAITS)) for _ in range(3)]
    for run in runs:
        site.wait_file(run, "up")
    site.kill(first)
    for run in runs:
        over(run)
    second = site.worker()
    engine = engine_of(second)
    stuck = sorted(site.containers(run)[0].ref for run in runs)[0]
    real = engine.remove

    async def remove(ref: str) -> None:
        if ref == stuck:
            raise EngineError("device or resource busy")
        await real(ref)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "remove", remove)
        assert swept(second) == 2
    assert swept(second) == 1


@pytest.mark.docker
def test_containers_of_an_engine_that_is_not_the_sites_any_more_are_swept(docker_site: Site) -> None:
    docker_site.settings.ORPHAN_GRACE_S = 0
    first = docker_site.worker()
    run = docker_site.start(docker_site.define("waits", WAITS))
    docker_site.wait_file(run, "up")
    docker_site.kill(first)
    over(run)
    assert len(docker_site.containers_by(docker_site.left[0], run)) == 1
    docker_site.settings.ENGINE = "process"
    second = docker_site.worker()
    assert swept(second) == 1
    assert docker_site.containers_by(docker_site.left[0], run) == []


def test_what_starts_and_removals_left_half_way_is_swept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_cleanup, "TIDY_S", 0.0)
    site.settings.ORPHAN_GRACE_S = 0
    worker = site.worker()
    run = site.start(site.define("waits", WAITS))
    site.wait_file(run, "up")
    place = site.settings.DATA_DIR / "process"
    for name in (".new-half", ".gone-half", "agentsite-torn"):
        (place / name).mkdir()
    assert swept(worker) == 3
    assert [path.name for path in place.iterdir()] == [site.containers(run)[0].ref]
    site.let(run, "go")
    site.end(run)


def test_another_sites_containers_are_left_alone(any_site: Site) -> None:
    """On the same engine, of a run that our database knows nothing of."""
    any_site.settings.ORPHAN_GRACE_S = 0
    first = any_site.worker()
    run = any_site.start(any_site.define("waits", WAITS))
    any_site.wait_file(run, "up")
    any_site.kill(first)
    over(run)
    second = any_site.worker()
    ours, any_site.settings.SECRET_KEY = any_site.settings.SECRET_KEY, "another site on the same engine"
    assert swept(second) == 0
    any_site.settings.SECRET_KEY = ours
    assert any_site.containers(run)[0].running
    assert swept(second) == 1


def test_the_workspace_of_a_deleted_agent_is_gone_though_its_program_went_on_writing(site: Site) -> None:
    site.worker()
    run = site.start(site.define("writes", 'note("up")\nwhile True:\n    note("more", "x")\n    time.sleep(0.001)\n'))
    site.wait_file(run, "up")
    workspace = site.workspace(run)
    commands.delete_agent(run.agent)
    until(lambda: not workspace.exists(), "the workspace goes", patience_s=8)
