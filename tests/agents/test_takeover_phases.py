"""A worker that stops in any phase of a run: another goes on, and the log has everything once."""

from __future__ import annotations

import pytest

from agents.models import Run
from agents.runs import commands
from agents.worker import container_cleanup, supervisor
from agents.worker.execution import Execution
from streaming.models import Log
from tests.agents.site import Site, until
from tests.agents.takeover import COUNTS, halt_in, is_whole, let_all

PHASES = {
    "before-attempt": (Execution, "_begin", True),
    "after-attempt": (Execution, "_begin", False),
    "before-image": ("engine", "check_image", True),
    "before-container": ("engine", "start", True),
    "after-container": ("engine", "start", False),
    "before-start-line": ("engine", "send", True),
    "after-start-line": ("engine", "send", False),
    "before-finish": (Execution, "_finish", True),
    "before-commit-of-done": (Execution, "_clear_away", True),
    "before-remove": ("engine", "remove", True),
    "after-remove": ("engine", "remove", False),
}
ENDED = ("before-commit-of-done", "before-remove", "after-remove")
"""Nobody takes over: the run is over. What is left behind is for the sweep."""


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["detach", "kill"])
def test_in_every_phase(site: Site, phase: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _in_phase(site, phase, how, monkeypatch)


@pytest.mark.parametrize("phase", ["before-attempt", "before-container", "after-container", "before-finish"])
def test_stuck_in_a_phase_when_the_worker_stops(site: Site, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine may take a minute to start a container. The lease is given back all the same, or the run would have to
    wait until it runs out: `agentsite up` kills a worker that is still there after 3 s."""
    monkeypatch.setattr(supervisor, "DETACH_MOST_S", 0.5)
    _in_phase(site, phase, "stuck", monkeypatch)


@pytest.mark.docker
@pytest.mark.parametrize("phase", ["before-container", "after-container", "after-start-line", "before-finish"])
def test_in_the_phases_of_a_container(docker_site: Site, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _in_phase(docker_site, phase, "kill", monkeypatch)


def _in_phase(site: Site, phase: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = site.worker()
    owner, method, before = PHASES[phase]
    if owner == "engine":
        owner = first.submit(first.engines()).result()
    halt = halt_in(owner, method, monkeypatch, before=before)
    agent = site.agent(site.define("counts", COUNTS))
    run = commands.submit_run(agent, "go")
    let_all(site, run)
    assert halt.reached.wait(20)
    if how == "detach":
        site.detach(first)
        halt.go_on.set()
        for work in site._work:
            work.result(20)
    elif how == "stuck":
        site.detach(first)
        until(lambda: Log.objects.get(agent_id=agent.pk).owner is None, "the lease is given back", 3)
    else:
        site.kill(first)
        halt.go_on.set()
        site.expire(agent)
    second = site.worker()
    site.ask_worker(second, str(agent.pk))
    if how == "kill" and phase in ENDED:
        until(lambda: Run.objects.get(pk=run.pk).is_finished, "the run ends")
        site.settings.ORPHAN_GRACE_S = 0
        second.submit(container_cleanup.sweep(second.engines)).result(20)
    is_whole(site, run)
    assert site.containers(run) == []
