"""Cancel wins: nothing that somebody asks of a run reaches its program once the run was told to stop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from agents.errors import AgentsError, RunStopping
from agents.log import queue_order
from agents.log.brief_writer import is_held
from agents.models import ApprovalAnswer, Run
from agents.runs import attempts, commands
from agents.worker.runner import Runner
from streaming.store.database import close_threads
from tests.agents.site import Site, statuses, until
from tests.agents.test_order import in_threads

ASKS = """
say("approval-request", approval_id="a1", question="Run it?")
while True:
    line = read()
    note("heard", line["type"] + " ")
    if line["type"] == "cancel":
        break
"""
WAITS = 'say("text", content="at work")\n' + ASKS.partition("\n")[2].partition("\n")[2]


@contextlib.contextmanager
def frozen(worker: Runner) -> Iterator[None]:
    """The worker's loop stands still, as on SIGSTOP, until the block is left."""
    stopped, go_on = threading.Event(), threading.Event()

    async def stand_still() -> None:
        stopped.set()
        go_on.wait(30)

    worker.submit(stand_still())
    assert stopped.wait(10)
    try:
        yield
    finally:
        go_on.set()


def heard(site: Site, run: Run) -> list[str]:
    """Types of the lines that the program has read after its start line."""
    path = site.workspace(run) / "heard"
    return path.read_text().split() if path.exists() else []


def is_cancelled(site: Site, run: Run) -> None:
    events = site.end(run)
    assert events[-1].data["status"] == "cancelled"
    answers = [(event.data["decision"], event.data["by"]) for event in events if event.type == "approval-response"]
    assert answers == list(ApprovalAnswer.objects.filter(run=run).values_list("decision", "by"))
    delivered = [event.data["delivered"] for event in events if event.type == "approval-response"]
    assert delivered == [False] * len(answers), "in the log, since it was accepted, and never told to the program"


# What was stored before the cancel ---------------------------------------------------------------------------------


def test_answer_stored_before_the_cancel_is_not_delivered_after_it(any_site: Site) -> None:
    """Both are found when the worker goes on: at the same look, or one shortly after the other."""
    worker = any_site.worker()
    run = any_site.start(any_site.define("asks", ASKS))
    any_site.wait_status(run, "waiting")
    with frozen(worker):
        commands.answer_approval(run, "a1", "approve", "ada")
        commands.request_cancel(run)
    is_cancelled(any_site, run)
    assert heard(any_site, run) == ["cancel"]


def test_steering_prompt_stored_before_the_cancel_is_not_delivered_after_it(site: Site) -> None:
    worker = site.worker()
    run = site.start(site.define("waits", WAITS, steering=True))
    site.wait_event(run, "text")
    with frozen(worker):
        steering = commands.submit_run(run.agent, "Be brief.", strategy="steer")
        commands.request_cancel(run)
    is_cancelled(site, run)
    assert heard(site, run) == ["cancel"]
    site.wait_event(steering, "text")  # it became a run of its own
    commands.request_cancel(steering)
    site.end(steering)
    assert statuses(site.events(steering)) == ["queued", "running", "cancelled"]


def test_steering_prompt_that_was_withdrawn_is_not_delivered(site: Site) -> None:
    worker = site.worker()
    run = site.start(site.define("waits", WAITS, steering=True))
    site.wait_event(run, "text")
    with frozen(worker):
        steering = commands.submit_run(run.agent, "Be brief.", strategy="steer")
        commands.request_cancel(steering)
    site.end(steering)
    commands.request_cancel(run)
    is_cancelled(site, run)
    assert heard(site, run) == ["cancel"]


@pytest.mark.parametrize("delivery", ["answer", "steer"])
def test_cancel_that_the_supervisor_has_not_seen_is_found_before_a_delivery(
    site: Site, delivery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for after the supervisor has looked, and nobody tells it."""
    site.worker()
    code, status = (ASKS, "waiting") if delivery == "answer" else (WAITS, "running")
    run = site.start(site.define("program", code, steering=True))
    site.wait_status(run, status)
    site.wait_event(run, "approval-request" if delivery == "answer" else "text")
    from agents.worker.supervisor import Supervisor

    pass_on = Supervisor._pass_on

    def cancelled_meanwhile(supervisor: Supervisor, writer: object, execution: object, intents: object) -> None:
        in_threads(1, lambda _: Run.objects.filter(pk=run.pk).update(cancel_requested_at=run.created_at))
        pass_on(supervisor, writer, execution, intents)  # type: ignore[arg-type]

    monkeypatch.setattr(Supervisor, "_pass_on", cancelled_meanwhile)
    if delivery == "answer":
        commands.answer_approval(run, "a1", "approve", "ada")
    else:
        commands.submit_run(run.agent, "Be brief.", strategy="steer")
    site.end(run)
    assert heard(site, run) == ["cancel"]


@pytest.mark.parametrize("step", ["open_attempt", "note_container"])
def test_run_that_was_cancelled_while_it_started_is_told_nothing(
    site: Site, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker learns of the cancel from the database alone: nobody tells it, and it has no time to look."""
    site.settings.INTENT_POLL_S = 30.0
    real: Callable[..., object] = getattr(attempts, step)

    def cancelled_meanwhile(*arguments: object) -> object:
        answer = real(*arguments)
        Run.objects.filter(cancel_requested_at=None).update(cancel_requested_at=run.created_at)
        return answer

    monkeypatch.setattr(attempts, step, cancelled_meanwhile)
    agent = site.agent(site.define("works", 'note("told", start["type"])'))
    run = commands.submit_run(agent, "go")
    worker = site.worker()
    site.ask_worker(worker, str(agent.pk))
    assert site.end(run)[-1].data["status"] == "cancelled"
    told = site.workspace(run) / "told"
    assert not told.exists() or told.read_text() == "cancel"
    assert site.containers(run) == []


def test_worker_that_stood_still_beyond_its_lease_goes_on_stopping(site: Site) -> None:
    """A web process has written in the log meanwhile, and is no worker; what asked the worker was lost on its way."""
    worker = site.worker()
    run = site.start(site.define("asks", ASKS))
    site.wait_status(run, "waiting")
    with frozen(worker):
        site.expire(run.agent)
        commands.answer_approval(run, "a1", "approve", "ada")
        assert not is_held(str(run.agent_id)), "the web process has had the lease, and given it back"
        site.workers.remove(worker)
        commands.request_cancel(run)
        site.workers.append(worker)
    is_cancelled(site, run)
    assert heard(site, run) == ["cancel"]


# What is asked after the cancel ------------------------------------------------------------------------------------


def test_cancel_and_answer_at_once_are_never_both_obeyed(site: Site) -> None:
    """In whichever order they reach the database: what was answered 200 and delivered came before the cancel."""
    worker = site.worker()
    site.define("asks", ASKS)
    runs = [site.start("asks") for _ in range(4)]
    for run in runs:
        site.wait_status(run, "waiting")
    with frozen(worker):

        def act(at: int) -> object:
            run = Run.objects.get(pk=runs[at // 2].pk)
            if at % 2:
                return commands.request_cancel(run)
            commands.answer_approval(run, "a1", "approve", "ada")
            return None

        results = in_threads(2 * len(runs), act)
    for at, run in enumerate(runs):
        assert results[2 * at] is None or isinstance(results[2 * at], RunStopping), results
        assert ApprovalAnswer.objects.filter(run=run).exists() == (results[2 * at] is None)
        is_cancelled(site, run)
        assert heard(site, run) == ["cancel"]


WISHES: dict[str, Callable[[Run, Run], object]] = {
    "approve": lambda run, queued: commands.answer_approval(run, "a1", "approve", "ada"),
    "grant a budget": lambda run, queued: commands.answer_approval(run, "budget:tokens:1", "approve", "ada"),
    "deny by timeout": lambda run, queued: commands.record_answer(str(run.pk), "a1", "deny", "timeout", ""),
    "steer": lambda run, queued: commands.submit_run(run.agent, "Be brief.", strategy="steer"),
    "interrupt": lambda run, queued: commands.submit_run(run.agent, "Rather this.", strategy="interrupt"),
    "move": lambda run, queued: commands.move(run, None),
    "move before it": lambda run, queued: commands.move(queued, run),
    "retry": lambda run, queued: commands.retry(run),
    "continue": lambda run, queued: commands.resume(run),
}


def test_every_wish_against_a_stopping_run_is_refused(site: Site) -> None:
    worker = site.worker()
    run = site.start(site.define("asks", ASKS))
    site.wait_status(run, "waiting")
    queued = commands.submit_run(run.agent, "next")
    stale = Run.objects.get(pk=run.pk)
    with frozen(worker):
        commands.request_cancel(run)
        for name, wish in WISHES.items():
            with pytest.raises(RunStopping, match="told to stop") as refused:
                wish(stale, queued)
            assert (refused.value.status, refused.value.code) == (409, "run-stopping"), name
            assert refused.value.details["run_id"] == str(run.pk), name
        assert Run.objects.filter(agent=run.agent).count() == 2
        assert not ApprovalAnswer.objects.exists()
        behind = commands.submit_run(run.agent, "after it")  # waits for its end, and is no wish against it
    is_cancelled(site, run)
    assert commands.retry(run).retry_of == run, "once it has ended it can be tried again"
    commands.cancel_all(run.agent)
    site.end(behind)


@pytest.mark.parametrize("wish", ["approve", "steer", "move", "retry"])
def test_wish_waits_for_a_cancel_that_is_being_written(site: Site, wish: str) -> None:
    """Both change the same row: a wish that has looked before the cancel is written does not get in behind it."""
    from django.db import connection, transaction

    if connection.vendor == "sqlite":
        pytest.skip("one transaction writes at a time")
    run = site.start(site.define("asks", ASKS))
    queued = commands.submit_run(run.agent, "next")
    Run.objects.filter(pk=run.pk).update(taken_at=run.created_at)
    ready = threading.Event()
    results: list[object] = []

    def act() -> None:
        ready.set()
        try:
            if wish == "approve":
                results.append(commands.record_answer(str(run.pk), "a1", "approve", "ada", ""))
            elif wish == "move":
                results.append(queue_order.move(queued, run))
            else:
                results.append(WISHES[wish](run, queued))
        except AgentsError as error:
            results.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=act)
    with transaction.atomic():
        Run.objects.filter(pk=run.pk).update(cancel_requested_at=run.created_at)
        thread.start()
        ready.wait(10)
        until(lambda: _waits_for_lock() or results, "the wish waits for the cancel")
    thread.join(10)
    close_threads()
    assert [type(one) for one in results] == [RunStopping]


def _waits_for_lock() -> bool:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
