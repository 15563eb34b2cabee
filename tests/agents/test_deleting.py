"""Deleting an agent at every point of its run: its worker ends it without a word, and nothing of it is left."""

from __future__ import annotations

import logging
from collections import Counter
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User

from agents.errors import NotFound
from agents.models import Agent, Run
from agents.runs import commands
from agents.worker.supervisor import Supervisor
from streaming.store import database
from tests.agents.site import Site, until
from tests.agents.test_order import in_threads

CALLS = 40
"""Of the database, by the supervisor of one run of this program: there are fewer."""
PROGRAM = """
say("text", content="at work")
say("tool-call", call_id="c1", name="write", arguments={})
note("file", "x")
say("tool-result", call_id="c1", result="ok", is_error=False, duration_ms=1)
say("approval-request", approval_id="a1", question="May I?")
read()
say("done", result="ok")
"""
supervised: ContextVar[str] = ContextVar("supervised")


def left(site: Site) -> list[Path]:
    """What is on disk of any agent, run or process."""
    places = ("workspaces", "history", "gateway", "process")
    return [path for name in places for path in (site.settings.DATA_DIR / name).glob("[!.]*")]


def test_before_every_call_of_the_database(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first agent goes before its supervisor's first call, the second before its second, and so on."""
    site.define("works", PROGRAM, egress=["example.com:443"], approval_timeout_s=0.2)
    agents = [site.agent("works") for _ in range(CALLS)]
    doomed = {str(agent.pk): (at, agent) for at, agent in enumerate(agents)}
    calls: Counter[str] = Counter()
    supervise = Supervisor.supervise

    async def supervise_marked(supervisor: Supervisor) -> None:
        supervised.set(supervisor.agent_id)
        await supervise(supervisor)

    def prepared(guarded: Any, *arguments: Any, **named: Any) -> Any:
        """In the coroutine that calls; what it answers is run in a thread."""
        call = partial(guarded, *arguments, **named)
        agent_id = supervised.get("")
        calls[agent_id] += 1
        if agent_id not in doomed or calls[agent_id] != doomed[agent_id][0] + 1:
            return call

        def delete_first() -> Any:
            commands.delete_agent(doomed[agent_id][1])
            return call()

        return delete_first

    monkeypatch.setattr(Supervisor, "supervise", supervise_marked)
    monkeypatch.setattr(database, "partial", prepared)
    for agent in agents:
        commands.submit_run(agent, "go")
    worker = site.worker()
    caplog.set_level(logging.INFO)
    caplog.clear()
    for agent in agents:
        site.ask_worker(worker, str(agent.pk))
    until(lambda: all(work.done() for work in site._work), "all are through")
    ended = set(Run.objects.exclude(finished_at=None).values_list("agent_id", flat=True))
    assert set(Agent.objects.values_list("pk", flat=True)) == ended, "a run of an agent that is there has ended"
    assert 20 < CALLS - len(ended) < CALLS, "the last ones were not deleted: no call was left out"
    monkeypatch.undo()
    for agent in Agent.objects.all():
        commands.delete_agent(agent)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert left(site) == []


def test_as_soon_as_its_done_is_heard(any_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Its worker has still to remove the container, and to close the attempt."""
    any_site.worker()
    any_site.define("works", "", egress=["example.com:443"])
    runs = [any_site.start("works") for _ in range(6)]
    for run in runs:
        until(Run.objects.filter(pk=run.pk).exclude(finished_at=None).exists, "it ends")
        commands.delete_agent(run.agent)
    until(lambda: all(work.done() for work in any_site._work), "its worker is through")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert [container for run in runs for container in any_site.containers(run)] == []
    assert left(any_site) == []


WAYS = {
    "its own": lambda agent: agent.delete(),
    "queryset": lambda agent: Agent.objects.filter(pk=agent.pk).delete(),
    "user": lambda agent: agent.owner.delete(),
    "users": lambda agent: User.objects.filter(pk=agent.owner_id).delete(),
    "lifecycle": commands.delete_agent,
}


@pytest.mark.parametrize("way", WAYS)
def test_whoever_deletes_it_its_log_its_container_and_its_files_go_along(
    site: Site, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.worker()
    run = site.start(
        site.define("waits", 'note("file", "x")\nsay("approval-request", approval_id="a", question="?")\nread()')
    )
    site.wait_status(run, "waiting")
    idle = site.agent("waits")
    caplog.set_level(logging.INFO)
    caplog.clear()
    for agent in (run.agent, idle):
        if Agent.objects.filter(pk=agent.pk).exists():  # its owner took both along
            WAYS[way](Agent.objects.get(pk=agent.pk))
    until(lambda: all(work.done() for work in site._work), "its worker is through")
    models: list[Any] = [Agent, Run, *apps.get_app_config("streaming").get_models()]
    rows = {model.__name__: model.objects.count() for model in models}
    assert rows == dict.fromkeys(rows, 0)
    assert site.containers(run) == []
    assert left(site) == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


WISHES = {
    "archive": lambda run: commands.archive(run.agent, True),
    "rename": lambda run: commands.rename(run.agent, "x"),
    "cancel": lambda run: commands.request_cancel(run),
    "retry": lambda run: commands.retry(run),
    "continue": lambda run: commands.resume(run),
    "move": lambda run: commands.move(run, None),
    "answer": lambda run: commands.answer_approval(run, "a1", "approve", "ada"),
    "prompt": lambda run: commands.submit_run(run.agent, "x"),
}


@pytest.mark.parametrize("wish", WISHES)
def test_wish_that_comes_too_late_finds_nothing(site: Site, wish: str) -> None:
    """The rows were read before they were deleted."""
    run = Run.objects.select_related("agent").get(pk=site.start(site.define("fine", "")).pk)
    commands.delete_agent(Agent.objects.get(pk=run.agent_id))
    with pytest.raises(NotFound):
        WISHES[wish](run)


def test_deleting_while_many_post_leaves_nothing(site: Site) -> None:
    """Neither waits for the other for ever, nor adds to what is deleted."""
    agent = site.agent(site.define("fine", ""))
    site.worker()

    def act(at: int) -> object:
        if at % 4:
            return commands.submit_run(agent, str(at), strategy=("enqueue", "steer", "interrupt")[at % 3])
        commands.delete_agent(Agent.objects.get(pk=agent.pk))
        return None

    results = in_threads(8, act)
    wrong = [
        one for one in results if isinstance(one, Exception) and not isinstance(one, NotFound | Agent.DoesNotExist)
    ]
    assert wrong == []
    assert not Run.objects.exists()
