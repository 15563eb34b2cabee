"""Which run comes when: strategies, idempotency, retry; and never two at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from agents import lifecycle
from agents.errors import AgentBusy, IdempotencyConflict, InputInvalid, InputTooLarge, NotFound, UnknownDefinition
from agents.models import Agent, Run
from tests.agents.site import Site, statuses, until

NOTES = """
import fcntl
with open("lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    note("order", start["input"]["content"] + " ")
    time.sleep(0.02)
"""


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """All at once; what each answered or raised."""
    results: list[Any] = [None] * count
    together = threading.Barrier(count)

    def call(at: int) -> None:
        together.wait()
        try:
            results[at] = work(at)
        except Exception as error:  # noqa: BLE001 - answered
            results[at] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_runs_are_executed_in_the_order_in_which_they_were_posted(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("notes", NOTES))
    runs = [lifecycle.submit_run(agent, str(number)) for number in range(8)]
    for run in runs:
        assert site.end(run)[-1].data["status"] == "completed"
    assert site.wait_file(agent, "order").split() == [str(number) for number in range(8)]
    assert [run.number for run in runs] == list(range(1, 9))


def test_many_who_post_at_once_to_several_workers_never_get_two_runs_at_once(site: Site) -> None:
    for _ in range(3):
        site.worker()
    agent = site.agent(site.define("notes", NOTES))
    runs = in_threads(12, lambda at: lifecycle.submit_run(agent, str(at)))
    for run in runs:
        assert isinstance(run, Run), run
        assert site.end(run, patience_s=60)[-1].data["status"] == "completed"
    posted = [run.input for run in sorted(runs, key=lambda run: run.number)]
    assert site.wait_file(agent, "order").split() == posted


def test_many_agents_run_side_by_side(site: Site) -> None:
    site.worker()
    name = site.define("meets", 'note("here"); wait("go")')
    runs = [site.start(name) for _ in range(5)]
    for run in runs:
        site.wait_file(run, "here")
    for run in runs:
        site.let(run, "go")
    for run in runs:
        site.end(run)


def test_what_was_posted_is_in_the_log_though_no_worker_is_there(site: Site) -> None:
    agent = site.agent(site.define("fine", ""))
    runs = in_threads(8, lambda at: lifecycle.submit_run(agent, str(at)))
    assert all(isinstance(run, Run) for run in runs), runs
    site.check(agent)
    state = site.state(agent)
    assert state["queue"] == [str(run.pk) for run in sorted(runs, key=lambda run: run.number)]
    assert len(site.log(agent)) == 16


def test_reject_while_a_run_is_open(site: Site) -> None:
    agent = site.agent(site.define("waits", 'wait("go")'))
    first = lifecycle.submit_run(agent, "a")
    with pytest.raises(AgentBusy):
        lifecycle.submit_run(agent, "b", strategy="reject")
    site.ask_worker(site.worker(), str(agent.pk))
    site.wait_status(first, "running")
    with pytest.raises(AgentBusy):
        lifecycle.submit_run(agent, "b", strategy="reject")
    site.let(agent, "go")
    site.end(first)
    assert site.end(lifecycle.submit_run(agent, "c", strategy="reject"))[-1].data["status"] == "completed"


def test_of_many_that_reject_at_once_one_gets_through(site: Site) -> None:
    agent = site.agent(site.define("waits", 'wait("go")'))
    results = in_threads(8, lambda at: lifecycle.submit_run(agent, str(at), strategy="reject"))
    assert sum(isinstance(result, Run) for result in results) == 1
    assert sum(isinstance(result, AgentBusy) for result in results) == 7


def test_interrupt_cancels_what_is_open_and_runs_next(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("waits", 'note("up"); wait("go-" + start["input"]["content"])'))
    first, second = lifecycle.submit_run(agent, "a"), lifecycle.submit_run(agent, "b")
    site.wait_file(agent, "up")
    third = lifecycle.submit_run(agent, "c", strategy="interrupt")
    assert site.end(first)[-1].data["status"] == "cancelled"
    assert statuses(site.end(second)) == ["queued", "cancelled"]
    site.let(agent, "go-c")
    assert site.end(third)[-1].data["status"] == "completed"


def test_an_idempotency_key_makes_one_run_however_often_it_is_sent(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("notes", NOTES))
    results = in_threads(8, lambda at: lifecycle.submit_run(agent, "same", idempotency_key="k1"))
    assert len({run.pk for run in results}) == 1
    site.end(results[0])
    assert lifecycle.submit_run(agent, "same", idempotency_key="k1").pk == results[0].pk
    with pytest.raises(IdempotencyConflict):
        lifecycle.submit_run(agent, "other", idempotency_key="k1")
    assert Run.objects.filter(agent=agent).count() == 1
    assert site.wait_file(agent, "order") == "same "
    other = site.agent("notes")
    assert lifecycle.submit_run(other, "other", idempotency_key="k1").pk != results[0].pk


def test_retry_is_a_new_run_with_the_same_input(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("flaky", 'sys.exit(0 if os.path.exists("once") else (note("once"), 1)[1])'))
    first = lifecycle.submit_run(agent, "try it", metadata={"ticket": 7})
    assert site.end(first)[-1].data["status"] == "failed"
    second = lifecycle.retry(first)
    assert site.end(second)[-1].data["status"] == "completed"
    assert (second.retry_of_id, second.input, second.metadata) == (first.pk, "try it", {"ticket": 7})


@pytest.mark.parametrize("text", ["", "   \n", "nul \0", "lone \ud800"])
def test_input_that_can_not_be_stored_is_refused(site: Site, text: str) -> None:
    agent = site.agent(site.define("fine", ""))
    with pytest.raises(InputInvalid):
        lifecycle.submit_run(agent, text)
    assert Run.objects.count() == 0


def test_input_beyond_the_limit_is_refused(site: Site) -> None:
    site.settings.INPUT_MAX_BYTES = 10
    agent = site.agent(site.define("fine", ""))
    lifecycle.submit_run(agent, "é" * 5)
    with pytest.raises(InputTooLarge):
        lifecycle.submit_run(agent, "é" * 6)


def test_an_unknown_definition_is_refused_with_what_there_is(site: Site) -> None:
    site.define("one", "")
    site.define("two", "")
    with pytest.raises(UnknownDefinition, match="there are: one, two"):
        site.agent("three")
    assert Agent.objects.count() == 0


def test_posting_to_an_agent_that_is_being_deleted(site: Site) -> None:
    agent = site.agent(site.define("fine", ""))
    stale = Agent.objects.get(pk=agent.pk)
    lifecycle.delete_agent(agent)
    with pytest.raises(NotFound):
        lifecycle.submit_run(stale, "too late")


def test_a_rename_while_a_run_is_active_shows_at_once(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("waits", 'wait("go")'))
    run = lifecycle.submit_run(agent, "prompt")
    site.wait_status(run, "running")
    lifecycle.rename(agent, "Better")
    until(lambda: Agent.objects.get(pk=agent.pk).title == "Better", "the title", patience_s=5)
    site.let(agent, "go")
    site.end(run)
    lifecycle.rename(agent, "Best")
    assert (agent.title, agent.wanted_title) == ("Best", None)
    site.check(agent)


def test_whoever_writes_for_a_moment_sends_no_worker_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename holds the lease when the worker comes: it waits, instead of leaving the run to the reaper."""
    from agents import lease as leases
    from agents.moment import owner_for_a_moment

    agent = site.agent(site.define("fine", ""))
    run = lifecycle.submit_run(agent, "go")
    held = leases.acquire(str(agent.pk), owner_for_a_moment())
    assert held is not None
    work = site.ask_worker(site.worker(), str(agent.pk))
    with pytest.raises(TimeoutError):
        work.result(0.3)
    leases.release(held)
    site.end(run)
