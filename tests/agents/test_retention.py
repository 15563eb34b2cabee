"""What is trimmed and when: old raw events, never those of a run that has not ended; what they came to stays."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.models.functions import Now

from agents.log.run_events import is_trimmed
from agents.models import Run
from agents.runs import commands
from agents.worker import retention, tasks
from agentsite.environment import Environment
from streaming.model.cursor import Cursor, judge
from streaming.models import EventChunk
from streaming.store import journal
from tests.agents.site import Site, until
from tests.agents.takeover import COUNTS, WHOLE, let_all, take

TALKS = 'say("text", content="old news")'


@pytest.fixture(autouse=True)
def a_month(settings: Any) -> None:
    settings.RETENTION_DAYS = 30


def days_pass(days: float, run: Run | None = None) -> None:
    """For what is stored by now; of one agent, or of all."""
    chunks = EventChunk.objects.filter(agent_id=run.agent_id) if run else EventChunk.objects.all()
    chunks.update(created_at=Now() - timedelta(days=days))


def first_seq(run: Run) -> int:
    return journal.head(str(run.agent_id)).first_seq


def chunks_of(run: Run) -> int:
    return EventChunk.objects.filter(agent_id=run.agent_id).count()


def finished(site: Site, code: str = TALKS) -> Run:
    run = site.start(site.define("talks", code))
    site.end(run)
    return run


def in_three_commits(site: Site) -> Run:
    run = site.start(site.define("steps", 'wait("speak")\nsay("text", content="a")\nwait("go")'))
    site.wait_status(run, "running")
    site.let(run, "speak")
    site.wait_event(run, "text")
    site.let(run, "go")
    site.end(run)
    return run


def test_events_that_the_stored_state_does_not_hold_yet_go_too(site: Site) -> None:
    """It is stored when there is enough that is new: retention does not wait for that."""
    site.worker()
    run = finished(site, 'say("text", content="x" * 5_000)')
    commands.rename(run.agent, "Afterwards")
    until(lambda: site.state(run)["title"] == "Afterwards", "renamed")
    agent_id, tip = str(run.agent_id), journal.head(str(run.agent_id)).tip
    assert not journal.is_in_snapshot(agent_id, tip.seq)
    days_pass(31)
    tasks.trim()
    assert (first_seq(run), chunks_of(run)) == (tip.seq + 1, 0)
    assert site.state(run)["title"] == "Afterwards"


def test_old_events_go_and_what_they_came_to_stays(site: Site) -> None:
    site.worker()
    run = finished(site)
    run.refresh_from_db()
    before, tip = site.state(run), journal.head(str(run.agent_id)).tip
    days_pass(29.9)
    tasks.trim()
    assert first_seq(run) == 1
    days_pass(30.1)
    tasks.trim()
    assert (first_seq(run), chunks_of(run)) == (tip.seq + 1, 0)
    assert site.state(run) == before
    row = Run.objects.get(pk=run.pk)
    assert (row.status, row.result, row.usage, row.duration_ms) == (run.status, run.result, run.usage, run.duration_ms)
    assert is_trimmed(row)
    page = journal.page(str(run.agent_id), Cursor(0, 0))
    verdicts = [judge(at, page.starts, tip.seq, page.head.first_seq) for at in (Cursor(0, 0), Cursor(1, 1), tip)]
    assert verdicts == ["trimmed", "trimmed", None]


def test_an_agent_goes_on_after_all_its_events_were_trimmed(site: Site) -> None:
    site.worker()
    run = finished(site)
    days_pass(31)
    tasks.trim()
    second = commands.retry(run)
    until(lambda: Run.objects.get(pk=second.pk).is_finished, "the run ends")
    events = site.events(second)
    assert [event.seq for event in events] == list(range(first_seq(run), events[-1].seq + 1))
    second.refresh_from_db()
    assert (second.first_seq, is_trimmed(second)) == (first_seq(run), False)
    answers = [message for message in site.state(run)["messages"] if message["role"] == "assistant"]
    assert len(answers) == 2


@pytest.mark.parametrize("days", [0, ""])
def test_zero_or_nothing_keeps_for_ever(site: Site, days: Any) -> None:
    site.settings.RETENTION_DAYS = Environment(retention_days=days, _env_file=None).retention_days
    site.worker()
    run = finished(site)
    days_pass(100_000)
    assert retention.trim() == 0
    assert first_seq(run) == 1


def test_a_run_that_has_not_ended_keeps_all_its_events(site: Site) -> None:
    """However long it takes; those of the run before go. Who takes it over counts its events again."""
    first = site.worker()
    agent = site.agent(site.define("counts", COUNTS))
    let_all(site, old := commands.submit_run(agent, "the first"))
    site.end(old)
    for name in ("go", "end", "middle"):
        (site.workspace(agent) / name).unlink()
    run = commands.submit_run(agent, "the second")
    site.wait_file(run, "middle")
    until(lambda: len([one for one in site.events(run) if one.type == "tool-result"]) == 10, "half of it is stored")
    days_pass(1000)
    tasks.trim()
    run.refresh_from_db()
    assert run.first_seq is not None
    assert 1 < first_seq(run) <= run.first_seq
    assert [is_trimmed(one) for one in Run.objects.order_by("number")] == [True, False]
    site.kill(first)
    take(site, run, site.worker())
    let_all(site, run)
    until(lambda: Run.objects.get(pk=run.pk).is_finished, "the run ends")
    events = site.events(run)
    assert events[-1].data["tool_calls"] == 20
    assert "".join(event.data["content"] for event in events if event.type == "text") == WHOLE


def test_a_run_that_nobody_took_for_a_month_keeps_its_events(site: Site) -> None:
    run = site.start(site.define("talks", TALKS))
    days_pass(31)
    tasks.trim()
    assert first_seq(run) == 1
    site.ask_worker(site.worker(), str(run.agent_id))
    site.end(run)
    days_pass(31)
    tasks.trim()
    assert chunks_of(run) == 0


def test_runs_that_keep_their_events_keep_nobody_waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "TRIMS_A_TURN", 1)
    site.worker()
    run = finished(site)
    site.workers, workers = [], site.workers
    waiting = site.start("talks")
    days_pass(60, waiting)
    days_pass(31, run)
    assert retention.trim() == 1
    assert (first_seq(waiting), chunks_of(run)) == (1, 0)
    site.workers = workers


def test_a_run_from_before_there_were_places_keeps_its_log(site: Site) -> None:
    """Its row was made by an older version."""
    run = site.start(site.define("talks", TALKS))
    Run.objects.update(first_seq=None)
    days_pass(31)
    tasks.trim()
    assert first_seq(run) == 1


def test_a_turn_is_bounded_and_the_oldest_come_first(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "TRIMS_A_TURN", 2)
    monkeypatch.setattr(retention, "CHUNKS_AT_ONCE", 1)
    site.worker()
    young, old = in_three_commits(site), in_three_commits(site)
    days_pass(31, young)
    days_pass(60, old)
    chunks = chunks_of(old)
    assert chunks > 2
    assert retention.trim() == 2
    assert (chunks_of(old), first_seq(young)) == (chunks - 2, 1)
    for _ in range(10):
        retention.trim()
    assert (chunks_of(old), chunks_of(young)) == (0, 0)


def test_what_can_not_be_trimmed_keeps_nobody_waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk behind a younger one (the database's clock was set back), and chunks that are nobody's."""
    monkeypatch.setattr(retention, "TRIMS_A_TURN", 4)
    site.worker()
    odd, fine = finished(site), finished(site)
    days_pass(31)
    first = EventChunk.objects.filter(agent_id=odd.agent_id).order_by("first_seq").first()
    assert first is not None
    EventChunk.objects.filter(agent_id=odd.agent_id).update(created_at=Now() - timedelta(days=90))
    EventChunk.objects.filter(pk=first.pk).update(created_at=Now())
    nobodys = uuid.uuid4()
    EventChunk.objects.create(agent_id=nobodys, first_seq=1, last_seq=1, epoch=1, body="{}")
    EventChunk.objects.filter(agent_id=nobodys).update(created_at=Now() - timedelta(days=99))
    retention.trim()
    assert (first_seq(odd), chunks_of(fine)) == (1, 0)


def test_an_agent_deleted_meanwhile_ends_no_turn(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.worker()
    gone, fine = finished(site), finished(site)
    days_pass(60, gone)
    days_pass(31, fine)
    keep_from = retention._keep_from

    def deleted(agent_id: str) -> int:
        if agent_id == str(gone.agent_id):
            journal.delete(agent_id)
        return keep_from(agent_id)

    monkeypatch.setattr(retention, "_keep_from", deleted)
    tasks.trim()
    assert chunks_of(fine) == 0


def test_without_the_database_it_is_the_next_turns(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(retention, "_next", away)
    tasks.trim()
