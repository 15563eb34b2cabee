"""Cancel and time limit: `done` once, the container gone, at whatever moment it is asked for."""

from __future__ import annotations

import signal
import time

import pytest

from agents.log import wakeups
from agents.models import Run
from agents.runs import commands
from streaming.errors import BusUnavailable
from streaming.model.events import Event
from tests.agents.site import Site, errors, statuses, until

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
say("text", content="here I am")
while True:
    time.sleep(1)
"""
LISTENS = """
say("text", content="working")
assert read()["type"] == "cancel"
say("text", content=", cleaned up")
note("clean")
"""
SLEEPS = 'say("text", content="working")\ntime.sleep(600)\n'


def is_cancelled(site: Site, run: Run, patience_s: float = 15) -> list[Event]:
    events = site.end(run, patience_s)
    assert events[-1].data["status"] == "cancelled"
    assert errors(events) == []
    if site.workers:
        assert site.containers(run) == []
    return events


def test_while_queued_without_any_worker(site: Site) -> None:
    run = site.start(site.define("fine", ""))
    commands.request_cancel(run, "changed my mind")
    events = is_cancelled(site, run, patience_s=1)
    assert statuses(events) == ["queued", "cancelled"]
    assert events[-2].data["reason"] == "changed my mind"
    row = Run.objects.get(pk=run.pk)
    assert (row.status, row.started_at) == ("cancelled", None)
    assert site.state(run)["queue"] == []


def test_while_queued_behind_another(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("waits", 'wait("go")'))
    first, second, third = (commands.submit_run(agent, prompt) for prompt in "abc")
    site.wait_status(first, "running")
    commands.request_cancel(second)
    is_cancelled(site, second, patience_s=5)
    assert Run.objects.get(pk=first.pk).status == "running"
    site.let(agent, "go")
    assert site.end(first)[-1].data["status"] == "completed"
    assert site.end(third)[-1].data["status"] == "completed"


def test_while_it_runs(any_site: Site) -> None:
    any_site.worker()
    run = any_site.start(any_site.define("sleeps", SLEEPS))
    any_site.wait_event(run, "text")
    commands.request_cancel(run, "enough")
    asked_at = time.monotonic()
    events = is_cancelled(any_site, run)
    assert time.monotonic() - asked_at < 5 + any_site.settings.STOP_GRACE_S
    assert statuses(events) == ["queued", "running", "cancelled"]
    assert events[-2].data["reason"] == "enough"


def test_a_program_that_listens_ends_by_itself(any_site: Site) -> None:
    any_site.worker()
    run = any_site.start(any_site.define("listens", LISTENS))
    any_site.wait_event(run, "text")
    commands.request_cancel(run)
    events = is_cancelled(any_site, run)
    assert "".join(event.data["content"] for event in events if event.type == "text") == "working, cleaned up"
    any_site.wait_file(run, "clean")


def test_a_program_that_ignores_sigterm_is_killed(any_site: Site) -> None:
    any_site.worker()
    run = any_site.start(any_site.define("stubborn", STUBBORN))
    any_site.wait_event(run, "text")
    commands.request_cancel(run)
    is_cancelled(any_site, run)


def test_twice_and_after_the_end(any_site: Site) -> None:
    any_site.worker()
    run = any_site.start(any_site.define("sleeps", SLEEPS))
    any_site.wait_event(run, "text")
    for reason in ("first", "second"):
        commands.request_cancel(run, reason)
    events = is_cancelled(any_site, run)
    assert events[-2].data["reason"] == "first"
    length = len(any_site.log(run))
    assert commands.request_cancel(run, "third").cancel_reason == "first"
    assert len(any_site.log(run)) == length


def test_a_completed_run_stays_completed(site: Site) -> None:
    site.worker()
    run = site.start(site.define("fine", ""))
    site.end(run)
    assert commands.request_cancel(run).status == "completed"
    assert run.cancel_requested_at is None
    site.check(run)


@pytest.mark.parametrize("moment", ["check_image", "start", "note_container", "inspect"])
def test_while_it_starts(any_site: Site, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for just before a step of starting is taken."""
    worker = any_site.worker()
    any_site.define("sleeps", SLEEPS)
    agent = any_site.agent("sleeps")
    engine = worker.submit(worker.engines()).result()
    asked: list[str] = []

    def ask() -> None:
        # A step may be taken twice at the same time (the reader and the writer of stdin both inspect): both may ask.
        for wanted in Run.objects.filter(agent=agent, cancel_requested_at=None):
            asked.append(moment)
            commands.request_cancel(wanted)

    if moment == "note_container":
        from agents.runs import attempts

        note = attempts.note_container

        def note_later(*arguments: object) -> None:
            ask()
            note(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(attempts, "note_container", note_later)
    else:
        method = getattr(engine, moment)

        async def later(*arguments: object) -> object:
            from streaming.store.database import in_thread

            await in_thread(ask)
            return await method(*arguments)

        monkeypatch.setattr(engine, moment, later)
    run = commands.submit_run(agent, "go")
    if moment == "inspect" and any_site.engine == "process":  # which looks at a program's end only
        until(lambda: Run.objects.get(pk=run.pk).status == "running")
        commands.request_cancel(run)
    else:
        until(lambda: asked, "the step is taken")
    is_cancelled(any_site, run)


def test_when_the_poke_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.worker()
    run = site.start(site.define("sleeps", SLEEPS))
    site.wait_event(run, "text")

    async def lose(*_: object) -> None:
        raise BusUnavailable("nobody hears this")

    monkeypatch.setattr(wakeups, "wake_supervisor", lose)
    commands.request_cancel(run)
    is_cancelled(site, run, patience_s=6)


def test_while_it_waits_for_an_answer(any_site: Site) -> None:
    any_site.worker()
    code = 'say("approval-request", approval_id="a", question="May I?")\nread()\ntime.sleep(600)\n'
    run = any_site.start(any_site.define("asks", code))
    any_site.wait_status(run, "waiting")
    commands.request_cancel(run)
    events = is_cancelled(any_site, run)
    assert statuses(events) == ["queued", "running", "waiting", "cancelled"]


def test_while_it_does_not_read_an_answer(site: Site) -> None:
    """An answer that a program does not take keeps nobody from cancelling it."""
    site.worker()
    code = 'say("approval-request", approval_id="a", question="May I?")\ntime.sleep(600)\n'
    agent = site.agent(site.define("asks", code.replace("start = read()", "")))
    run = commands.submit_run(agent, "x" * 200_000)
    site.wait_status(run, "waiting")
    commands.answer_approval(run, "a", "approve", "ada")
    commands.request_cancel(run)
    is_cancelled(site, run, patience_s=8)


def test_the_time_limit(any_site: Site) -> None:
    any_site.worker()
    events = any_site.ended(any_site.define("sleeps", SLEEPS, limits={"wall_s": 3.0}))
    assert errors(events) == ["time-limit"]
    assert events[-1].data["status"] == "failed"
    assert "3 s" in events[-3].data["message"]
    assert "".join(event.data["content"] for event in events if event.type == "text") == "working"


def test_the_sites_time_limit_is_the_most(site: Site) -> None:
    site.worker()
    site.settings.RUN_TIME_LIMIT_S = 1.0
    assert errors(site.ended(site.define("sleeps", SLEEPS, limits={"wall_s": 500}))) == ["time-limit"]


@pytest.mark.docker
def test_a_container_that_is_removed_by_hand_ends_the_run(docker_site: Site) -> None:
    worker = docker_site.worker()
    run = docker_site.start(docker_site.define("sleeps", SLEEPS))
    docker_site.wait_event(run, "text")
    (container,) = docker_site.containers(run)
    engine = worker.submit(worker.engines()).result()
    worker.submit(engine.remove(container.ref)).result()
    events = docker_site.end(run)
    assert errors(events)[0] in ("container-gone", "container-exit")
    assert events[-1].data["status"] == "failed"


def test_a_program_killed_from_outside_ends_the_run(any_site: Site) -> None:
    import os

    any_site.worker()
    run = any_site.start(any_site.define("sleeps", SLEEPS))
    any_site.wait_event(run, "text")
    (container,) = any_site.containers(run)
    assert container.pid is not None
    os.kill(container.pid, signal.SIGKILL)
    events = any_site.end(run)
    assert errors(events) == ["container-exit"]


def test_deleting_an_agent_stops_its_container(any_site: Site) -> None:
    any_site.worker()
    code = 'say("text", content="x")\nwhile True:\n    note("beat", "x")\n    time.sleep(0.01)\n'
    run = any_site.start(any_site.define("beats", code))
    any_site.wait_event(run, "text")
    agent, workspace = run.agent, any_site.workspace(run)
    commands.delete_agent(agent)
    until(lambda: not any_site.containers(run), "the container goes", patience_s=8)
    until(lambda: not workspace.exists(), "the workspace goes", patience_s=5)
