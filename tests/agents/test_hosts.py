"""Several hosts: workers with engines of their own, one database, one data directory."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now

from agents.fleet import hosts
from agents.models import Host, Run
from agents.runs import commands
from agents.worker import reaper, tasks
from agents.worker.runner import Runner
from agentsite.joining import join_as_worker
from tests.agents.site import Site, attempts, errors, until
from tests.agents.takeover import COUNTS, is_whole, let_all

LOST_S = 60.0


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(reaper, "ASK_AGAIN_S", 0.0)
    settings.LEASE_S = 5.0
    settings.HOST_LOST_S = LOST_S


def in_the_middle(site: Site) -> tuple[Run, Runner, Runner]:
    """A run at work on the first host, and both workers."""
    first, second = site.worker("a"), site.worker("b")
    run = site.start(site.define("counts", COUNTS))
    until(lambda: Host.objects.count() == 2, "both hosts are seen")
    until(lambda: attempts(run), "an attempt")
    if attempts(run)[0].host != first.engines.host:
        first, second = second, first
    site.wait_event(run, "tool-result", 10)
    return run, first, second


def pass_time(seconds: float, *those: Runner) -> None:
    """All of these hosts have been silent for so long."""
    moved = timedelta(seconds=seconds)
    silent = Host.objects.filter(pk__in=[one.engines.host for one in those])
    silent.update(seen_at=F("seen_at") - moved)


def was_there(host: Runner, seconds: float) -> None:
    Host.objects.filter(pk=host.engines.host).update(present_since=F("present_since") - timedelta(seconds=seconds))


def ask_again(site: Site, run: Run, worker: Runner) -> None:
    """The reaper looks, and a message goes astray, too."""
    site.expire(run.agent)
    tasks.reap()
    site.ask_worker(worker, str(run.agent_id)).result(20)


def test_hosts_have_an_id_that_stays(site: Site) -> None:
    a, b = site.worker("a"), site.worker("b")
    again = site.worker("a")
    assert a.engines.host == again.engines.host != b.engines.host


def test_a_worker_that_stops_leaves_its_run_to_its_own_host(site: Site) -> None:
    run, first, second = in_the_middle(site)
    site.detach(first)
    until(lambda: not first._supervisors, "it lets go")
    ask_again(site, run, second)
    assert not Run.objects.get(pk=run.pk).is_finished
    assert attempts(run)[0].takeovers == 0
    back = next(one for one in map(site.worker, "ab") if one.engines.host == first.engines.host)
    let_all(site, run)
    tasks.reap()
    is_whole(site, run)
    assert attempts(run)[0].worker == back.worker


def test_a_host_that_is_silent_for_less_than_the_limit_keeps_its_runs(site: Site) -> None:
    run, first, second = in_the_middle(site)
    site.kill(first)
    pass_time(LOST_S / 2, first)
    was_there(second, 10 * LOST_S)
    ask_again(site, run, second)
    assert not Run.objects.get(pk=run.pk).is_finished


def test_a_host_that_is_lost_ends_its_runs_once_with_the_reason(site: Site) -> None:
    run, first, second = in_the_middle(site)
    queued = commands.submit_run(run.agent, "and this")
    site.kill(first)
    pass_time(LOST_S * 2, first)
    was_there(second, LOST_S * 2)
    let_all(site, queued)
    ask_again(site, run, second)
    events = site.end(run)
    assert errors(events) == ["host-lost"]
    assert first.engines.host in next(event.data["message"] for event in events if event.type == "error")
    assert [event.data["status"] for event in events if event.type == "done"] == ["failed"]
    assert attempts(run)[0].outcome == "host-lost"
    assert site.end(queued)[-1].data["status"] == "completed", "what waited behind it is executed by who is there"
    # The old worker comes back, and finds its run ended and another the writer of the log.
    site.ask_worker(site.worker("a"), str(run.agent_id)).result(20)
    site.ask_worker(site.worker("b"), str(run.agent_id)).result(20)
    assert [event.type for event in site.log(run) if event.run_id == str(run.pk)].count("done") == 1


def test_nobody_is_lost_when_it_was_the_database_that_was_away(site: Site) -> None:
    """No host could renew anything; the first that can finds all others silent."""
    run, first, second = in_the_middle(site)
    site.kill(first)
    was_there(second, LOST_S * 2)
    pass_time(LOST_S * 2, first, second)
    hosts.renew(second.engines.host)
    ask_again(site, run, second)
    assert not Run.objects.get(pk=run.pk).is_finished


def test_a_run_that_has_no_attempt_is_taken_by_any_host(site: Site) -> None:
    run = site.start(site.define("fine", 'note("ran")'))
    site.kill(site.worker("a"))
    site.worker("b")
    tasks.reap()
    assert site.end(run)[-1].data["status"] == "completed"


def test_each_host_sweeps_its_own_containers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(tasks.sweep_host, "apply_async", lambda queue, **_: asked.append(queue))
    a, b = site.worker("a"), site.worker("b")
    until(lambda: Host.objects.count() == 2, "both hosts are seen")
    tasks.sweep()
    assert sorted(asked) == sorted(hosts.queue(one.engines.host) for one in (a, b))


def test_a_worker_on_a_second_machine_with_the_same_local_directory_is_refused(
    transactional_db: None,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.DATA_DIR = settings.LOCAL_DIR = tmp_path
    settings.LEASE_S = 0.1
    join_as_worker()
    join_as_worker()  # the second worker of the same machine
    monkeypatch.setattr(hosts, "boot_id", lambda: "another")
    Host.objects.update(seen_at=Now() + timedelta(seconds=60))  # its workers go on renewing it
    with pytest.raises(SystemExit) as refused:
        join_as_worker()
    assert refused.value.code == 2
    assert "AGENTSITE_LOCAL_DIR" in capsys.readouterr().err
    settings.HOST_ID = hosts.host_id()  # said on purpose: both use the same engine
    join_as_worker()
