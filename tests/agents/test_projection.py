"""Rows are copies of the log: they say what the fold says, and writing them again changes nothing."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.forms.models import model_to_dict

from agents.log import queue_order
from agents.log.projection import projection
from agents.models import Agent, Run
from agents.models.run import update_together
from agents.runs import commands
from tests.agents.site import Site


def rows(agent: Agent) -> list[Any]:
    """All that is copied; `updated_at` says when."""
    found: list[Any] = [model_to_dict(run) for run in Run.objects.filter(agent=agent).order_by("number")]
    return [*found, {**model_to_dict(Agent.objects.get(pk=agent.pk)), "updated_at": None}]


def test_repeating_any_part_of_the_log_changes_no_row(site: Site) -> None:
    """A commit whose answer was lost is made again; what a takeover adopts may be half known."""
    site.worker()
    agent = site.agent(site.define("mixed", 'sys.exit(int(start["input"]["content"]))'))
    for prompt in ("0", "3"):
        site.end(commands.submit_run(agent, prompt))
    commands.rename(agent, "A name")
    log, before = site.log(agent), rows(agent)
    project = transaction.atomic(projection(str(agent.pk)))
    for start in range(len(log)):
        project(log[start:])
        assert rows(agent) == before
    for event in log:
        project([event])
        if event.type != "title":
            assert rows(agent)[:-1] == before[:-1]


def test_a_run_is_not_over_before_its_done(site: Site) -> None:
    site.worker()
    run = site.start(site.define("fine", ""))
    events = site.end(run)
    Run.objects.filter(pk=run.pk).update(status="running", finished_at=None)
    project = transaction.atomic(projection(str(run.agent_id)))
    project([event for event in events if event.type == "status"][-1:])
    assert Run.objects.get(pk=run.pk).status == "running"
    project(events[-1:])
    assert Run.objects.get(pk=run.pk).status == "completed"


def test_a_run_that_was_moved_and_has_begun_since_stays_begun(site: Site) -> None:
    run = site.start(site.define("fine", ""))
    Run.objects.filter(pk=run.pk).update(status="running")
    (queued,) = [event for event in site.events(run) if event.type == "status"]
    project = transaction.atomic(projection(str(run.agent_id)))
    project([replace(queued, data={"status": "queued", "position": 0})])
    assert Run.objects.get(pk=run.pk).status == "running"


def test_a_commit_and_who_asks_for_all_runs_or_moves_one_never_wait_for_each_other(site: Site) -> None:
    """A commit may hold events of several runs, in the order of the log; asking touches all runs of an agent."""
    agent = site.agent(site.define("fine", ""))
    first, second = (commands.submit_run(agent, prompt) for prompt in ("one", "two"))
    queued = {event.run_id: event for event in site.log(agent) if event.type == "status"}
    project = projection(str(agent.pk))

    @transaction.atomic
    def commit() -> None:
        project([queued[str(second.pk)], queued[str(first.pk)]])

    def ask() -> None:
        open_runs: QuerySet[Run] = Run.objects.filter(agent=agent, finished_at=None)
        update_together(open_runs, enqueued_at=Now())

    def move() -> None:
        queue_order.move(first, None)
        queue_order.move(first, second)

    def again_and_again(deed: Any) -> None:
        try:
            for _ in itertools.repeat(None, 200):
                deed()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(again_and_again, deed) for deed in (commit, ask, move)]:
            done.result()
