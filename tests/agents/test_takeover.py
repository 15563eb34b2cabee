"""A run goes from one worker to another: the same container goes on, and the log has everything once."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable

import pytest

from agents.log import lease as leases
from agents.models import Run
from agents.runs import commands
from agents.runs.attempts import close_stale
from agents.worker import reaper
from agents.worker.runner import Runner
from streaming.errors import Fenced
from streaming.model.events import draft
from streaming.models import Log
from streaming.write.writer import Writer
from tests.agents.site import Site, attempts, errors, statuses, text, until
from tests.agents.takeover import COUNTS, halt_in, is_whole, let_all, take
from tests.servers import RedisServer


@pytest.mark.parametrize("how", ["detach", "kill", "fence"])
def test_in_the_middle(any_site: Site, how: str) -> None:
    any_site.settings.COMMIT_INTERVAL_S = 5.0  # what was printed is in Redis only
    first = any_site.worker()
    run = any_site.start(any_site.define("counts", COUNTS))
    any_site.wait_file(run, "middle")
    before = any_site.containers(run)
    started_at = time.monotonic()
    if how == "detach":
        any_site.detach(first)
        until(lambda: Log.objects.get(pk=run.agent_id).owner is None, "the lease is given back", patience_s=5)
    elif how == "kill":
        any_site.kill(first)
    any_site.settings.COMMIT_INTERVAL_S = 0.1
    any_site.expire(run.agent)
    second = any_site.worker()
    take(any_site, run, second)
    until(lambda: "taken over" in str([event.data for event in any_site.events(run)]), "taken over")
    print(f"{any_site.engine} {how}: taken over in {time.monotonic() - started_at:.2f} s")  # noqa: T201
    any_site.workers = [second]
    assert [one.ref for one in any_site.containers(run)] == [one.ref for one in before]
    let_all(any_site, run)
    events = is_whole(any_site, run)
    assert statuses(events) == ["queued", "running", "running", "completed"]
    assert attempts(run)[0].takeovers == 1
    if how == "fence":
        any_site.left.append(first)


def test_after_the_done_line(any_site: Site) -> None:
    first = any_site.worker()
    run = any_site.start(any_site.define("counts", COUNTS))
    any_site.let(run, "go")
    any_site.wait_file(run, "finished")
    any_site.detach(first)
    until(lambda: Log.objects.get(pk=run.agent_id).owner is None, "the lease is given back", patience_s=5)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    any_site.let(run, "end")
    is_whole(any_site, run)


def test_the_container_has_ended_meanwhile(any_site: Site) -> None:
    first = any_site.worker()
    run = any_site.start(any_site.define("counts", COUNTS))
    any_site.wait_file(run, "middle")
    any_site.kill(first)
    let_all(any_site, run)
    any_site.expire(run.agent)
    time_to_end = any_site.worker()
    until(lambda: all(not one.running for one in any_site.containers(run)), "the program ends alone")
    any_site.ask_worker(time_to_end, str(run.agent_id))
    is_whole(any_site, run)


def test_the_container_is_gone_meanwhile(any_site: Site) -> None:
    """What was started once is not started a second time."""
    first = any_site.worker()
    run = any_site.start(any_site.define("counts", COUNTS))
    any_site.wait_event(run, "tool-result", 10)
    any_site.kill(first)
    any_site.expire(run.agent)
    second = any_site.worker()
    engine = second.submit(second.engines()).result()
    (container,) = any_site.containers(run)
    second.submit(engine.remove(container.ref)).result()
    any_site.ask_worker(second, str(run.agent_id))
    events = any_site.end(run)
    assert errors(events) == ["container-gone"]
    assert len(any_site.wait_file(run, "started").split()) == 1
    assert text(events) == "".join(f"{number} " for number in range(10))


def test_worker_and_redis_lost_together(site: Site, healthy_redis: RedisServer) -> None:
    """From the last commit on everything is read again from what the engine kept."""
    site.settings.COMMIT_INTERVAL_S = 5.0
    first = site.worker()
    run = site.start(site.define("counts", COUNTS))
    site.wait_file(run, "middle")
    site.kill(first)
    healthy_redis.flush()
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))
    let_all(site, run)
    is_whole(site, run)


def test_redis_emptied_in_the_middle(site: Site, healthy_redis: RedisServer) -> None:
    site.worker()
    run = site.start(site.define("counts", COUNTS))
    site.wait_file(run, "middle")
    healthy_redis.flush()
    let_all(site, run)
    is_whole(site, run)


def test_a_worker_that_lost_the_log_gets_nothing_more_in(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs for longer than its lease, and wakes when another has gone on."""
    first = site.worker()
    run = site.start(site.define("counts", COUNTS))
    site.wait_file(run, "middle")
    supervisor = first._supervisors[str(run.agent_id)]
    writer = supervisor._writer
    assert isinstance(writer, Writer)
    monkeypatch.setattr(leases, "renew", lambda held: [])  # it does not hear of it
    second = site.worker()
    take(site, run, second)
    until(lambda: "taken over" in str([event.data for event in site.events(run)]), "taken over")

    async def shout() -> None:
        with contextlib.suppress(Fenced):
            await writer.append([draft("text", str(run.pk), message_id="m1", content="I am still here")])

    first.submit(shout()).result(5)
    let_all(site, run)
    is_whole(site, run)
    until(lambda: writer.lost, "it knows")
    site.workers = [second]
    site.left.append(first)


def test_cancel_between_two_workers(any_site: Site) -> None:
    first = any_site.worker()
    run = any_site.start(any_site.define("counts", COUNTS))
    any_site.wait_file(run, "middle")
    any_site.kill(first)
    commands.request_cancel(run)
    any_site.expire(run.agent)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    events = any_site.end(run)
    assert events[-1].data["status"] == "cancelled"
    assert any_site.containers(run) == []


def test_cancel_of_a_container_whose_starter_died_before_noting_it(
    any_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = any_site.worker()
    halt = halt_in(first.submit(first.engines()).result(), "start", monkeypatch, before=False)
    run = any_site.start(any_site.define("counts", COUNTS))
    assert halt.reached.wait(20)
    any_site.kill(first)
    commands.request_cancel(run)
    any_site.expire(run.agent)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    assert any_site.end(run)[-1].data["status"] == "cancelled"
    assert any_site.containers(run) == []


def test_a_definition_removed_meanwhile_ends_the_run_and_its_container(any_site: Site) -> None:
    first = any_site.worker()
    run = any_site.start(any_site.define("counts", COUNTS))
    any_site.wait_event(run, "tool-result", 10)
    any_site.kill(first)
    any_site.forget("counts")
    any_site.expire(run.agent)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    events = any_site.end(run)
    assert errors(events) == ["unknown-definition"]
    assert events[-1].data["tool_calls"] == 10
    assert any_site.containers(run) == []


def test_the_reaper_finds_what_a_dead_worker_left_and_not_before(site: Site) -> None:
    first = site.worker()
    run = site.start(site.define("counts", COUNTS))
    site.wait_file(run, "middle")
    Run.objects.update(enqueued_at=None)
    assert reaper.stranded() == []
    site.kill(first)
    assert reaper.stranded() == []
    site.expire(run.agent)
    assert reaper.stranded() == [str(run.agent_id)]
    site.worker()
    site.ask(str(run.agent_id))
    let_all(site, run)
    is_whole(site, run)


def test_usage_goes_on_counting(site: Site) -> None:
    first = site.worker()
    code = """
say("usage", model="m", input_tokens=5, output_tokens=1, cost_usd=0.25)
note("middle")
wait("go")
say("usage", model="m", input_tokens=5, output_tokens=1, cost_usd=0.25)
"""
    run = site.start(site.define("uses", code))
    site.wait_file(run, "middle")
    site.detach(first)
    for work in site._work:
        work.result(10)
    site.ask_worker(site.worker(), str(run.agent_id))
    site.let(run, "go")
    events = site.end(run)
    assert events[-1].data["usage"] == {"input_tokens": 10, "output_tokens": 2, "cost_usd": 0.5}


def test_the_time_limit_counts_from_the_first_worker(site: Site) -> None:
    first = site.worker()
    run = site.start(site.define("sleeps", 'say("text", content="x"); time.sleep(600)', limits={"wall_s": 2.0}))
    site.wait_event(run, "text")
    started_at = time.monotonic()
    site.kill(first)
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))
    events = site.end(run)
    assert errors(events) == ["time-limit"]
    assert time.monotonic() - started_at < 5


def _is_swept(run: Run) -> bool:
    """A worker that was killed between `done` and closing its attempt leaves that to the sweep."""
    close_stale()
    return not run.attempts.filter(finished_at=None).exists()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
@pytest.mark.slow
def test_by_chance_again_and_again(site: Site, seed: int) -> None:
    """A program that prints all the time, and workers that are stopped, killed and fenced at random moments."""
    rng = random.Random(seed)
    lines = 3000
    code = f"""
note("started", "x")
for number in range({lines}):
    say("text", content=f"{{number}} ")
    if number % 7 == 0:
        say("tool-call", call_id=f"c{{number}}", name="n")
        print("log", number)
    time.sleep(0.001)
"""
    active = site.worker()
    run = site.start(site.define("talks", code))
    changes: list[Callable[[Runner], None]] = [site.detach, site.kill, lambda worker: None]
    taken_over = 0
    while not Run.objects.get(pk=run.pk).is_finished:
        # One in four has two seconds, so that a machine under load gets on, too.
        threading.Event().wait(rng.uniform(0.05, rng.choice([0.1, 0.3, 0.5, 2])))
        old, change = active, rng.choice(changes)
        change(old)
        site.expire(run.agent)
        active = site.worker()
        site.ask_worker(active, str(run.agent_id))
        if old in site.workers:
            site.workers.remove(old)
            site.left.append(old)
        taken_over += 1
    until(lambda: _is_swept(run), "its attempts are closed")
    events = site.end(run)
    assert taken_over > 3
    assert events[-1].data["status"] == "completed"
    assert text(events) == "".join(f"{number} " for number in range(lines))
    logged = "".join(event.data["content"] for event in events if event.type == "log")
    assert logged == "".join(f"log {number}\n" for number in range(0, lines, 7))
    calls = [event.data["call_id"] for event in events if event.type == "tool-call"]
    assert calls == [f"c{number}" for number in range(0, lines, 7)]
    assert site.wait_file(run, "started") == "x"
