"""What is left over when everything that cared for it has died, at start-up or at any time: nobody is told of it, and
the reaper finds it. Leases run out by themselves here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from agents.models import Run
from agents.runs import commands
from agents.runs.attempts import open_attempt
from agents.worker import reaper, tasks
from agents.worker.runner import Runner
from containers.engines.process_state import State
from streaming.model.events import Event
from streaming.models import Log
from tests.agents.site import Site, attempts, errors, statuses, text, until
from tests.agents.takeover import COUNTS, halt_in, is_whole, let_all
from tests.agents.test_cancel import STUBBORN
from tests.servers import RedisServer

LEASE_S = 2.0
FINE = 'note("ran", "x")'


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(reaper, "ASK_AGAIN_S", 0.2)
    settings.LEASE_S = LEASE_S


def beat_until(condition: Callable[[], Any], what: str) -> None:
    """The reaper comes by again and again, and nobody else asks for anything."""

    def turn() -> Any:
        tasks.reap()
        return condition()

    until(turn, what)


def reaped(site: Site, run: Run) -> list[Event]:
    """The events of a run that ends because the reaper found it."""
    beat_until(lambda: Run.objects.get(pk=run.pk).is_finished, "the run ends")
    return site.end(run)


def engine_of(worker: Runner) -> Any:
    return worker.submit(worker.engines()).result(30)


def in_the_middle(site: Site, how: str) -> Run:
    """A run whose program waits, and whose worker is gone."""
    worker = site.worker()
    run = site.start(site.define("counts", COUNTS))
    site.wait_event(run, "tool-result", 10)
    site.detach(worker) if how == "detach" else site.kill(worker)
    if how == "detach":
        until(lambda: Log.objects.get(pk=run.agent_id).owner is None, "the lease is given back")
    return run


# A container, no lease ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["detach", "kill"])
def test_a_container_that_nobody_holds_a_lease_for_is_taken_up(any_site: Site, how: str) -> None:
    run = in_the_middle(any_site, how)
    let_all(any_site, run)
    any_site.worker()
    reaped(any_site, run)
    is_whole(any_site, run)
    assert attempts(run)[0].takeovers == 1
    assert any_site.containers(run) == []


def test_a_container_that_nobody_wrote_down_is_taken_up(any_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = any_site.worker()
    halt = halt_in(engine_of(first), "start", monkeypatch, before=False)
    run = any_site.start(any_site.define("counts", COUNTS))
    assert halt.reached.wait(20)
    any_site.kill(first)
    assert attempts(run)[0].container_ref == ""
    let_all(any_site, run)
    any_site.worker()
    reaped(any_site, run)
    is_whole(any_site, run)
    assert any_site.containers(run) == []


def test_a_cancelled_container_that_nobody_wrote_down_is_gone_though_redis_was_emptied(
    any_site: Site, monkeypatch: pytest.MonkeyPatch, healthy_redis: RedisServer
) -> None:
    """The log says that the run is queued still; cancelling it there would leave the container."""
    any_site.settings.COMMIT_INTERVAL_S = 60.0
    first = any_site.worker()
    halt = halt_in(engine_of(first), "start", monkeypatch, before=False)
    run = any_site.start(any_site.define("counts", COUNTS))
    assert halt.reached.wait(20)
    any_site.kill(first)
    healthy_redis.flush()
    any_site.settings.COMMIT_INTERVAL_S = 0.5
    commands.request_cancel(run)
    any_site.worker()
    events = reaped(any_site, run)
    assert events[-1].data["status"] == "cancelled"
    assert any_site.containers(run) == []


def test_a_program_that_was_killed_with_its_worker_ends_the_run(site: Site) -> None:
    """The machine was switched off and on again: what the engine kept is read, and says how it ended."""
    run = in_the_middle(site, "kill")
    worker = site.worker()
    (container,) = site.containers(run)
    recorder = State(site.settings.DATA_DIR / "process" / container.ref).recorder_pid()
    assert recorder is not None
    os.kill(recorder, signal.SIGKILL)
    events = reaped(site, run)
    assert errors(events) == ["container-exit"]
    assert events[-1].data["status"] == "failed"
    assert text(events) == "".join(f"{number} " for number in range(10))
    assert worker.engines.chosen == "process"


# A lease, no container ---------------------------------------------------------------------------------------------


def test_a_run_whose_container_is_gone_ends_with_a_reason(any_site: Site) -> None:
    run = in_the_middle(any_site, "kill")
    assert Log.objects.get(pk=run.agent_id).owner is not None
    worker = any_site.worker()
    (container,) = any_site.containers(run)
    worker.submit(engine_of(worker).remove(container.ref)).result(30)
    events = reaped(any_site, run)
    assert errors(events) == ["container-gone"]
    assert statuses(events)[-1] == "failed"
    assert attempts(run)[0].outcome == "container-gone"


@pytest.mark.parametrize("moment", ["check_image", "start"])
def test_a_run_whose_worker_died_before_its_container_was_there_is_executed(
    any_site: Site, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = any_site.worker()
    halt = halt_in(engine_of(first), moment, monkeypatch, before=True)
    run = any_site.start(any_site.define("counts", COUNTS))
    assert halt.reached.wait(20)
    any_site.kill(first)
    assert Log.objects.get(pk=run.agent_id).owner == first.worker
    let_all(any_site, run)
    any_site.worker()
    reaped(any_site, run)
    is_whole(any_site, run)


# Queued, never taken -----------------------------------------------------------------------------------------------


def test_a_queued_run_whose_message_was_lost_is_taken(any_site: Site) -> None:
    run = any_site.start(any_site.define("fine", FINE))
    assert any_site.lost_messages == [str(run.agent_id)]
    any_site.worker()
    events = reaped(any_site, run)
    assert statuses(events) == ["queued", "running", "completed"]
    assert any_site.wait_file(run, "ran") == "x"


def test_a_run_whose_poster_died_before_it_was_announced_is_taken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a row, and nothing else: no event, no message."""
    with monkeypatch.context() as patch:
        patch.setattr(commands, "settle_now", lambda agent_id: None)
        patch.setattr(commands, "enqueue", lambda agent_id: False)
        run = site.start(site.define("fine", FINE))
    assert site.log(run) == []
    site.worker()
    assert statuses(reaped(site, run)) == ["queued", "running", "completed"]


def test_a_run_whose_worker_died_before_it_could_say_so_may_use_another_engine(site: Site) -> None:
    """It had opened an attempt and started nothing, and the site's engine is another one now."""
    run = site.start(site.define("fine", FINE))
    open_attempt(str(run.pk), "docker", "container", "a worker that died", "")
    site.worker()
    reaped(site, run)
    (attempt,) = attempts(run)
    assert (attempt.engine, attempt.takeovers) == ("process", 1)


def test_a_run_queued_behind_one_whose_worker_died_is_taken_after_it(site: Site) -> None:
    first = in_the_middle(site, "kill")
    second = commands.submit_run(first.agent, "and this")
    let_all(site, first)
    site.worker()
    reaped(site, second)
    ends = [event for event in site.log(first) if event.type in ("status", "done") and event.data["status"] != "queued"]
    order = [(event.run_id == str(first.pk), event.data["status"]) for event in ends]
    took_over, whole = [(True, "running")], ["running", "completed", "completed"]
    assert order == [*took_over, *((True, status) for status in whole), *((False, status) for status in whole)]


def test_the_reaper_comes_to_everybody_however_many_there_are(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were asked for in vain must not be asked for again before the others had their turn."""
    monkeypatch.setattr(reaper, "RUNS_A_TURN", 2)
    monkeypatch.setattr(reaper, "ASK_AGAIN_S", 0.0)
    runs = [site.start(site.define("fine", FINE)) for _ in range(6)]
    asked = [agent_id for _ in range(3) for agent_id in reaper.stranded()]
    assert sorted(asked) == sorted(str(run.agent_id) for run in runs)


def test_what_was_asked_while_a_dead_worker_held_the_lease_is_asked_again_when_it_has_run_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that was asked found the lease taken and went away: nobody waits for ASK_AGAIN_S then."""
    monkeypatch.setattr(reaper, "ASK_AGAIN_S", 600.0)
    first = site.worker()
    run = site.start(site.define("stubborn", STUBBORN))
    site.wait_event(run, "text")
    site.kill(first)
    second = site.worker()
    commands.request_cancel(run)
    until(lambda: all(work.done() for work in site._work), "the second worker has found the lease taken")
    assert reaper.stranded() == [], "it may be alive"
    Run.objects.filter(pk=run.pk).update(enqueued_at=Now() - timedelta(seconds=2))
    site.expire(run.agent)  # as of a second ago: after it was asked for
    assert reaper.stranded() == [str(run.agent_id)]
    assert reaper.stranded() == [], "once"
    site.ask_worker(second, str(run.agent_id))
    assert site.end(run)[-1].data["status"] == "cancelled"


# Stopping ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
def test_a_run_whose_worker_died_while_stopping_it_is_stopped(
    any_site: Site, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = any_site.worker()
    halt = halt_in(engine_of(first), "stop", monkeypatch, before=before)
    run = any_site.start(any_site.define("stubborn", STUBBORN))
    any_site.wait_event(run, "text")
    commands.request_cancel(run, "enough")
    assert halt.reached.wait(20)
    any_site.kill(first)
    any_site.worker()
    events = reaped(any_site, run)
    assert statuses(events)[-1] == "cancelled"
    assert events[-2].data["reason"] == "enough"
    assert errors(events) == []
    assert any_site.containers(run) == []


def test_a_run_over_its_time_whose_worker_died_while_stopping_it_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.worker()
    halt = halt_in(engine_of(first), "stop", monkeypatch, before=True)
    run = site.start(site.define("stubborn", STUBBORN, limits={"wall_s": 1.0}))
    assert halt.reached.wait(20)
    site.kill(first)
    site.worker()
    events = reaped(site, run)
    assert errors(events) == ["time-limit"]
    assert site.containers(run) == []


# All of it ---------------------------------------------------------------------------------------------------------


def test_a_site_that_starts_again_leaves_nobody_behind(any_site: Site, healthy_redis: RedisServer) -> None:
    """Workers, Redis and every message die together, with runs in every state."""
    first = any_site.worker()
    for name, code in (("counts", COUNTS), ("fine", FINE), ("stubborn", STUBBORN), ("gone", COUNTS)):
        any_site.define(name, code)
    active, lost, stubborn = (any_site.start(name) for name in ("counts", "gone", "stubborn"))
    for run in (active, lost):
        any_site.wait_event(run, "tool-result", 10)
    any_site.wait_event(stubborn, "text")
    behind = commands.submit_run(active.agent, "next")
    any_site.kill(first)
    commands.request_cancel(stubborn)
    never_taken = any_site.start("fine")
    healthy_redis.flush()
    any_site.forget("gone")
    let_all(any_site, active)
    any_site.worker()
    beat_until(lambda: not Run.objects.filter(finished_at=None).exists(), "every run ends")
    ended = {run: any_site.end(run)[-1].data["status"] for run in (active, lost, stubborn, behind, never_taken)}
    assert list(ended.values()) == ["completed", "failed", "cancelled", "completed", "completed"]
    assert errors(any_site.events(lost)) == ["unknown-definition"]
    for run in ended:
        assert any_site.containers(run) == []
