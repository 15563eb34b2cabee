"""Which run comes when: strategies, idempotency, retry; and never two at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st

from agents.definitions.budget import RunBudget
from agents.errors import (
    AgentBusy,
    IdempotencyConflict,
    InputInvalid,
    InputTooLarge,
    NotFound,
    RunNotQueued,
    UnknownDefinition,
)
from agents.log import queue_order
from agents.models import Agent, Run
from agents.runs import commands
from streaming.model.events import Event, draft, now
from streaming.model.fold import fold, waiting_runs
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
    runs = [commands.submit_run(agent, str(number)) for number in range(8)]
    for run in runs:
        assert site.end(run)[-1].data["status"] == "completed"
    assert site.wait_file(agent, "order").split() == [str(number) for number in range(8)]
    assert [run.number for run in runs] == list(range(1, 9))


def test_many_who_post_at_once_to_several_workers_never_get_two_runs_at_once(site: Site) -> None:
    for _ in range(3):
        site.worker()
    agent = site.agent(site.define("notes", NOTES))
    runs = in_threads(12, lambda at: commands.submit_run(agent, str(at)))
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
    runs = in_threads(8, lambda at: commands.submit_run(agent, str(at)))
    assert all(isinstance(run, Run) for run in runs), runs
    site.check(agent)
    state = site.state(agent)
    assert waiting_runs(state) == [str(run.pk) for run in sorted(runs, key=lambda run: run.number)]
    assert len(site.log(agent)) == 16


def test_reject_while_a_run_is_open(site: Site) -> None:
    agent = site.agent(site.define("waits", 'wait("go")'))
    first = commands.submit_run(agent, "a")
    with pytest.raises(AgentBusy):
        commands.submit_run(agent, "b", strategy="reject")
    site.ask_worker(site.worker(), str(agent.pk))
    site.wait_status(first, "running")
    with pytest.raises(AgentBusy):
        commands.submit_run(agent, "b", strategy="reject")
    site.let(agent, "go")
    site.end(first)
    assert site.end(commands.submit_run(agent, "c", strategy="reject"))[-1].data["status"] == "completed"


def test_of_many_that_reject_at_once_one_gets_through(site: Site) -> None:
    agent = site.agent(site.define("waits", 'wait("go")'))
    results = in_threads(8, lambda at: commands.submit_run(agent, str(at), strategy="reject"))
    assert sum(isinstance(result, Run) for result in results) == 1
    assert sum(isinstance(result, AgentBusy) for result in results) == 7


def test_interrupt_cancels_what_is_open_and_runs_next(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("waits", 'note("up"); wait("go-" + start["input"]["content"])'))
    first, second = commands.submit_run(agent, "a"), commands.submit_run(agent, "b")
    site.wait_file(agent, "up")
    third = commands.submit_run(agent, "c", strategy="interrupt")
    assert site.end(first)[-1].data["status"] == "cancelled"
    assert statuses(site.end(second)) == ["queued", "cancelled"]
    site.let(agent, "go-c")
    assert site.end(third)[-1].data["status"] == "completed"


def test_an_idempotency_key_makes_one_run_however_often_it_is_sent(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("notes", NOTES))
    results = in_threads(8, lambda at: commands.submit_run(agent, "same", idempotency_key="k1"))
    assert len({run.pk for run in results}) == 1
    site.end(results[0])
    assert commands.submit_run(agent, "same", idempotency_key="k1").pk == results[0].pk
    budget = RunBudget(tool_calls=1)
    for changed in ({"input": "other"}, {"strategy": "reject"}, {"metadata": {"a": 1}}, {"budget": budget}):
        request: dict[str, Any] = {"input": "same", **changed}
        with pytest.raises(IdempotencyConflict):
            commands.submit_run(agent, **request, idempotency_key="k1")
    assert Run.objects.filter(agent=agent).count() == 1
    assert site.wait_file(agent, "order") == "same "
    other = site.agent("notes")
    assert commands.submit_run(other, "other", idempotency_key="k1").pk != results[0].pk


def test_a_moved_run_is_executed_in_its_new_place(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("notes", 'wait("go")\n' + NOTES))
    a, b, c, d = (commands.submit_run(agent, prompt) for prompt in "abcd")
    site.wait_status(a, "running")
    commands.move(d, b)
    commands.move(b, None)
    until(lambda: waiting_runs(site.state(agent)) == [str(run.pk) for run in (d, c, b)], "the order is in the log")
    site.let(agent, "go")
    for run in (a, d, c, b):
        assert site.end(run)[-1].data["status"] == "completed"
    assert site.wait_file(agent, "order").split() == ["a", "d", "c", "b"]


def test_a_moved_run_is_told_of_what_came_before_it_in_that_order(site: Site) -> None:
    site.worker()
    code = 'wait("go")\nsay("done", result=[one["content"] for one in start["history"] if one["role"] == "user"])'
    agent = site.agent(site.define("tells", 'say("text", content="x")\n' + code))
    a, b, c, d = (commands.submit_run(agent, prompt) for prompt in "abcd")
    site.wait_status(a, "running")
    commands.move(c, b)
    site.let(agent, "go")
    assert site.end(c)[-1].data["result"] == ["a"]
    assert site.end(b)[-1].data["result"] == ["a", "c"]
    assert site.end(d)[-1].data["result"] == ["a", "c", "b"]


def test_a_move_that_nobody_put_into_the_log_is_made_up_for(site: Site) -> None:
    """The web process dies behind the row, and the poke is lost."""
    site.worker()
    agent = site.agent(site.define("notes", 'wait("go")\n' + NOTES))
    a, b, c = (commands.submit_run(agent, prompt) for prompt in "abc")
    site.wait_status(a, "running")
    queue_order.move(c, b)
    until(lambda: waiting_runs(site.state(agent)) == [str(c.pk), str(b.pk)], "the poll finds it")
    site.let(agent, "go")
    site.end(b)
    assert site.wait_file(agent, "order").split() == ["a", "c", "b"]


def test_who_moves_while_a_run_is_taken_is_in_time_or_told_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = site.agent(site.define("notes", NOTES))
    a, b, c = (commands.submit_run(agent, prompt) for prompt in "abc")
    late: list[Any] = []
    take = queue_order.take

    def taking(agent_id: str, queue: list[str]) -> str:
        if queue == [str(run.pk) for run in (a, b, c)]:
            queue_order.move(c, a)  # the last look has not seen it
        taken = take(agent_id, queue)
        if taken == str(c.pk):
            late.extend(in_threads(2, lambda at: queue_order.move((c, b)[at], (None, c)[at])))
        return taken

    monkeypatch.setattr("agents.worker.supervisor.queue_order.take", taking)
    site.ask_worker(site.worker(), str(agent.pk))
    for run in (a, b, c):
        site.end(run)
    assert site.wait_file(agent, "order").split() == ["c", "a", "b"]
    assert late
    assert all(isinstance(error, RunNotQueued) for error in late), late


def test_many_who_move_at_once_leave_one_order(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("notes", 'wait("go")\n' + NOTES))
    first = commands.submit_run(agent, "first")
    site.wait_status(first, "running")
    runs = [commands.submit_run(agent, str(number)) for number in range(6)]
    results = in_threads(8, lambda at: commands.move(runs[at % 6], runs[(at * at + 1) % 6] if at % 3 else None))
    assert not [result for result in results if isinstance(result, Exception) and not isinstance(result, InputInvalid)]
    wanted = [str(run.pk) for run in queue_order.in_turn(Run.objects.filter(agent=agent, status="queued"))]
    assert sorted(wanted) == sorted(str(run.pk) for run in runs)
    until(lambda: waiting_runs(site.state(agent)) == wanted, "the log has the order of the rows")
    site.let(agent, "go")
    for run in runs:
        site.end(run)
    by_id = {str(run.pk): run.input for run in runs}
    assert site.wait_file(agent, "order").split() == ["first", *(by_id[run_id] for run_id in wanted)]


def test_two_reorderings_at_once_both_hold(site: Site) -> None:
    agent = site.agent(site.define("fine", ""))
    a, b, c, d = (commands.submit_run(agent, prompt) for prompt in "abcd")
    results = in_threads(2, lambda at: commands.move((c, d)[at], (a, b)[at]))
    assert all(isinstance(result, Run) for result in results), results
    assert waiting_runs(site.state(agent)) == [str(run.pk) for run in (c, a, d, b)]
    site.check(agent)


def test_a_taken_run_is_not_ended_behind_the_back_of_who_took_it(site: Site) -> None:
    agent = site.agent(site.define("fine", ""))
    run = commands.submit_run(agent, "go")
    assert queue_order.take(str(agent.pk), [str(run.pk)]) == str(run.pk)
    commands.request_cancel(run)
    assert Run.objects.get(pk=run.pk).status == "queued"
    site.ask_worker(site.worker(), str(agent.pk))
    assert site.end(run)[-1].data["status"] == "cancelled"


@given(st.permutations(range(7)), st.permutations(range(7)))
def test_a_queue_comes_into_any_order_with_as_few_moves_as_can_be(queue: list[int], wanted: list[int]) -> None:
    events: list[tuple[int, int | None]] = [(run, None) for run in queue]
    made = queue_order.moves([str(run) for run in queue], [str(run) for run in wanted])
    events += [(int(run), position) for run, position in made]
    drafts = [draft("status", str(run), status="queued", position=position) for run, position in events]
    log = [Event(one.type, "a", one.run_id, 1, seq, now(), one.data) for seq, one in enumerate(drafts, 1)]
    assert waiting_runs(fold(log)) == [str(run) for run in wanted]
    places = [wanted.index(run) for run in queue]
    kept = max(len(part) for size in range(8) for part in combinations(places, size) if list(part) == sorted(part))
    assert len(made) == 7 - kept


def test_retry_is_a_new_run_with_the_same_input(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("flaky", 'sys.exit(0 if os.path.exists("once") else (note("once"), 1)[1])'))
    first = commands.submit_run(agent, "try it", metadata={"ticket": 7})
    assert site.end(first)[-1].data["status"] == "failed"
    second = commands.retry(first)
    assert site.end(second)[-1].data["status"] == "completed"
    assert (second.retry_of_id, second.input, second.metadata) == (first.pk, "try it", {"ticket": 7})


@pytest.mark.parametrize("text", ["", "   \n", "nul \0", "lone \ud800"])
def test_input_that_can_not_be_stored_is_refused(site: Site, text: str) -> None:
    agent = site.agent(site.define("fine", ""))
    with pytest.raises(InputInvalid):
        commands.submit_run(agent, text)
    assert Run.objects.count() == 0


def test_input_beyond_the_limit_is_refused(site: Site) -> None:
    site.settings.INPUT_MAX_BYTES = 10
    agent = site.agent(site.define("fine", ""))
    commands.submit_run(agent, "é" * 5)
    with pytest.raises(InputTooLarge):
        commands.submit_run(agent, "é" * 6)


def test_an_unknown_definition_is_refused_with_what_there_is(site: Site) -> None:
    site.define("one", "")
    site.define("two", "")
    with pytest.raises(UnknownDefinition, match="there are: one, two"):
        site.agent("three")
    assert Agent.objects.count() == 0


def test_posting_to_an_agent_that_is_being_deleted(site: Site) -> None:
    agent = site.agent(site.define("fine", ""))
    stale = Agent.objects.get(pk=agent.pk)
    commands.delete_agent(agent)
    with pytest.raises(NotFound):
        commands.submit_run(stale, "too late")


def test_a_rename_while_a_run_is_active_shows_at_once(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("waits", 'wait("go")'))
    run = commands.submit_run(agent, "prompt")
    site.wait_status(run, "running")
    commands.rename(agent, "Better")
    until(lambda: Agent.objects.get(pk=agent.pk).title == "Better", "the title", patience_s=5)
    site.let(agent, "go")
    site.end(run)
    commands.rename(agent, "Best")
    assert (agent.title, agent.wanted_title) == ("Best", None)
    site.check(agent)


def test_whoever_writes_for_a_moment_sends_no_worker_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename holds the lease when the worker comes: it waits, instead of leaving the run to the reaper."""
    from agents.log import lease as leases
    from agents.log.brief_lease import brief_owner

    agent = site.agent(site.define("fine", ""))
    run = commands.submit_run(agent, "go")
    held = leases.acquire(str(agent.pk), brief_owner())
    assert held is not None
    work = site.ask_worker(site.worker(), str(agent.pk))
    with pytest.raises(TimeoutError):
        work.result(0.3)
    leases.release(held)
    site.end(run)
