"""A site for tests: definitions, agents, workers, and the laws that hold of every log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.db.models.functions import Now

from agents.fleet import hosts, supervision
from agents.log import lease as leases
from agents.models import Agent, Attempt, Run
from agents.runs import commands
from agents.runs.attempts import LABEL, site_id
from agents.worker import tasks
from agents.worker.runner import Runner
from agents.workspace import Workspace
from containers.interface import Inspection
from streaming.model.events import Event, encode
from streaming.model.fold import State, fold
from streaming.models import Log
from streaming.store import journal
from streaming.store.database import close_threads

PATIENCE_S = 30.0
PRELUDE = """
import json, os, sys, time
def say(type, **data):
    sys.stdout.write(json.dumps({"type": type, **data}) + "\\n")
    sys.stdout.flush()
def read():
    while True:
        line = sys.stdin.readline()
        if not line:
            sys.exit("end of stdin")
        if line.strip():
            return json.loads(line)
def wait(name):
    while not os.path.exists(name):
        time.sleep(0.005)
def note(name, text=""):
    with open(name, "a") as file:
        file.write(text)
start = read()
"""


def until(condition: Callable[[], Any], what: str = "", patience_s: float = PATIENCE_S) -> Any:
    """Wait for the thing; its value is the answer."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {patience_s:g} s in vain: {what or condition}"
        time.sleep(0.01)
    return found


class Site:
    """`workers` take up what is enqueued, each message one of them, as a broker would have it. Without workers what is
    enqueued is lost, and only the reaper finds it."""

    def __init__(
        self, engine: str, image: str, directory: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.engine = engine
        self.image = image
        self.settings = settings
        self.file = directory / "agents.toml"
        self.workers: list[Runner] = []
        self.left: list[Runner] = []
        self.lost_messages: list[str] = []
        self._work: list[Future[Any]] = []
        self._asking = ThreadPoolExecutor(1)
        self._next = 0
        self._definitions: dict[str, str] = {}
        settings.ENGINE = engine
        settings.DATA_DIR = directory
        settings.LOCAL_DIR = directory
        settings.WORKSPACES_DIR = directory / "workspaces"
        settings.HISTORY_DIR = directory / "history"
        settings.DEFINITIONS_FILE = self.file
        settings.SECRET_KEY = uuid.uuid4().hex  # containers of other tests are another site's
        settings.STOP_GRACE_S = 1.0
        settings.INTENT_POLL_S = 0.2
        settings.LEASE_HEARTBEAT_S = 0.5
        monkeypatch.setattr(supervision, "send_supervise", self.ask)
        self.owner = User.objects.create_user(f"ada-{uuid.uuid4().hex[:6]}")
        self.define()

    # Programs -----------------------------------------------------------------------------------------------------

    def define(self, name: str = "", code: str = "", *, prelude: bool = True, **fields: Any) -> str:
        """A definition that runs a Python program; its name is the answer."""
        if name:
            limits = {"wall_s": 60, **fields.pop("limits", {})}
            program = (PRELUDE if prelude else "") + code
            given = {
                "image": self.image,
                "trusted": True,
                "command": ["python3", "-u", "-c", program],
                "process_command": ["{python}", "-u", "-c", program],
                **fields,
            }
            lines = [f"[definitions.{name}]", *(f"{key} = {_toml(value)}" for key, value in given.items())]
            lines += [f"[definitions.{name}.limits]", *(f"{key} = {_toml(value)}" for key, value in limits.items())]
            self._definitions[name] = "\n".join(lines)
        self.file.write_text("\n\n".join(self._definitions.values()) + "\n")
        return name

    def forget(self, name: str) -> None:
        del self._definitions[name]
        self.define()

    # Workers ------------------------------------------------------------------------------------------------------

    def worker(self, host: str = "") -> Runner:
        """`host`: another one than that of those without; its engines see nothing of theirs."""
        self.settings.LOCAL_DIR = self.settings.DATA_DIR / host
        made = Runner()
        made.start()
        self.workers.append(made)
        return made

    def ask(self, agent_id: str, queue: str = hosts.ANY_HOST) -> None:
        workers = [one for one in self.workers if queue in (hosts.ANY_HOST, hosts.queue(one.engines.host))]
        if not workers:
            self.lost_messages.append(agent_id)
            return
        self._next += 1
        self.ask_worker(workers[self._next % len(workers)], agent_id)

    def ask_worker(self, worker: Runner, agent_id: str) -> Future[Any]:
        work = worker.submit(worker.supervise(agent_id))
        self._work.append(work)
        work.add_done_callback(lambda done: self._ask_another(done, agent_id))
        return work

    def _ask_another(self, done: Future[Any], agent_id: str) -> None:
        """As the task does when its worker stops."""
        if not done.cancelled() and done.exception() is None and not done.result():
            self._asking.submit(self._ask_as_task, agent_id)

    def _ask_as_task(self, agent_id: str) -> None:
        """Beside the workers' loops: it asks the database."""
        try:
            tasks._ask(agent_id)
        finally:
            connections.close_all()

    def detach(self, worker: Runner) -> None:
        """As on SIGTERM: it hands over what it has."""
        self.workers.remove(worker)
        self.left.append(worker)
        worker.detach()

    def kill(self, worker: Runner) -> None:
        """As on SIGKILL: it stops where it is, and gives nothing back."""
        self.workers.remove(worker)
        self.left.append(worker)

        async def die() -> None:
            writers = [supervisor._writer for supervisor in worker._supervisors.values()]
            first = {task for writer in writers if writer is not None for task in writer._tasks}
            for task in [*first, *(asyncio.all_tasks() - first - {asyncio.current_task()})]:
                task.cancel()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(leases, "release", lambda lease: False)
            worker.submit(die()).result(5)
            until(lambda: not worker._supervisors, "a killed worker lets go")

    def expire(self, agent: Agent) -> None:
        """The lease of a worker that died runs out now."""
        Log.objects.filter(agent_id=agent.pk).update(lease_until=Now() - timedelta(seconds=1))

    # Agents -------------------------------------------------------------------------------------------------------

    def agent(self, definition: str, **options: Any) -> Agent:
        return commands.create_agent(self.owner, definition, **options)[0]

    def start(self, definition: str, prompt: str = "hello") -> Run:
        """A new agent's first run."""
        return commands.submit_run(self.agent(definition), prompt)

    def workspace(self, agent: Agent | Run) -> Path:
        return Workspace(str(_agent_id(agent))).path

    def let(self, agent: Agent | Run, name: str, text: str = "") -> None:
        """Make a file that a program waits for, whole or not at all."""
        path = self.workspace(agent) / name
        path.with_suffix(".part").write_text(text)
        path.with_suffix(".part").rename(path)

    def wait_file(self, agent: Agent | Run, name: str) -> str:
        path = self.workspace(agent) / name
        until(path.exists, f"the program makes {name}")
        return path.read_text()

    def wait_status(self, run: Run, *wanted: str, patience_s: float = PATIENCE_S) -> Run:
        def reached() -> bool:
            run.refresh_from_db()
            return run.status in wanted

        until(reached, f"run becomes {wanted}, is {run.status}", patience_s)
        return run

    def wait_event(self, run: Run, type_: str, count: int = 1, patience_s: float = PATIENCE_S) -> list[Event]:
        """Until that many events of the type are committed."""
        found_events: list[Event] = until(
            lambda: len(found := [one for one in self.events(run) if one.type == type_]) >= count and found,
            f"{count} of {type_}",
            patience_s,
        )
        return found_events

    def end(self, run: Run, patience_s: float = PATIENCE_S) -> list[Event]:
        """Wait for the end of a run, check every law of its agent's log, and answer the run's events."""
        until(lambda: Run.objects.filter(pk=run.pk).exclude(finished_at=None).exists(), "the run ends", patience_s)
        until(lambda: not Attempt.objects.filter(run=run, finished_at=None).exists(), "its attempts are closed")
        run.refresh_from_db()
        self.check(run)
        return self.events(run)

    def ended(self, definition: str, prompt: str = "hello", patience_s: float = PATIENCE_S) -> list[Event]:
        """The events of a run of a new agent."""
        return self.end(self.start(definition, prompt), patience_s)

    def log(self, agent: Agent | Run) -> list[Event]:
        return list(journal.events(str(_agent_id(agent))))

    def events(self, run: Run) -> list[Event]:
        return [event for event in self.log(run) if event.run_id == str(run.pk)]

    def state(self, agent: Agent | Run) -> State:
        return journal.load(str(_agent_id(agent))).state

    def containers(self, run: Run) -> list[Inspection]:
        """Of a run, as the engine has them."""
        return self.containers_by(self.workers[0], run)

    def containers_by(self, worker: Runner, run: Run) -> list[Inspection]:
        """The same as that worker's engine has them."""

        async def look() -> list[Inspection]:
            engine = await worker.engines()
            return await engine.list({LABEL: site_id(), f"{LABEL}.run": str(run.pk)})

        found: list[Inspection] = worker.submit(look()).result(30)
        return found

    # Laws ---------------------------------------------------------------------------------------------------------

    @transaction.atomic
    def check(self, agent: Agent | Run) -> None:
        """What is true of every log, at any moment, and of its rows: all read as of the same moment."""
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        agent_id = str(_agent_id(agent))
        log = self.log(agent)
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        assert [event.epoch for event in log] == sorted(event.epoch for event in log)
        assert {event.agent_id for event in log} == {agent_id}
        done = Counter(event.run_id for event in log if event.type == "done")
        assert set(done.values()) <= {1}, "more than one done"
        for run_id in done:
            of_run = [event for event in log if event.run_id == run_id]
            assert of_run[-1].type == "done", f"{of_run[-1]} after done"
            assert of_run[-2].type == "status"
            assert of_run[-2].data["status"] == of_run[-1].data["status"]
        row = journal.snapshot(agent_id)
        whole = fold(log)
        tail = [event for event in log if event.seq > row.cursor.seq]
        assert encode(fold(tail, json.loads(row.state))) == encode(whole)
        self._check_rows(agent_id, whole)

    def _check_rows(self, agent_id: str, state: State) -> None:
        runs = {str(run.pk): run for run in Run.objects.filter(agent_id=agent_id)}
        active = [run["id"] for run in state["runs"] if run["status"] in ("running", "waiting")]
        assert len(active) <= 1, "two runs active"
        for folded in state["runs"]:
            run = runs[folded["id"]]
            assert run.is_finished == (folded["finished_at"] is not None)
            if run.is_finished:
                assert run.status == folded["status"]
                assert _iso(run.finished_at) == folded["finished_at"]
                assert _iso(run.started_at) == folded["started_at"]
                assert run.error_code == (folded["error"] or {}).get("code", "")
        if all(run.is_finished for run in runs.values()):
            row = Agent.objects.get(pk=agent_id)
            assert (row.status, row.title) == (state["status"], state["title"])

    def close(self) -> None:
        for run in Run.objects.filter(finished_at=None):
            if self.workers:
                commands.request_cancel(run)
        for work in self._work:
            with contextlib.suppress(BaseException):
                work.result(20)
        self._asking.shutdown()
        everybody = [*self.workers, *self.left]
        if self.workers:
            self._remove_containers()
        for worker in everybody:
            with contextlib.suppress(BaseException):
                worker.stop()
        close_threads()
        wrong = [work.exception() for work in self._work if work.done() and not work.cancelled() and work.exception()]
        assert not wrong, f"supervising failed: {wrong}"

    def _remove_containers(self) -> None:
        async def remove(worker: Runner) -> None:
            engine = await worker.engines()
            for found in await engine.list({LABEL: site_id()}):
                await engine.remove(found.ref)

        for worker in {one.engines.host: one for one in [*self.left, *self.workers]}.values():
            worker.submit(remove(worker)).result(30)


def attempts(run: Run) -> list[Attempt]:
    return list(Attempt.objects.filter(run=run).order_by("number"))


def statuses(events: list[Event]) -> list[str]:
    return [event.data["status"] for event in events if event.type == "status"]


def errors(events: list[Event]) -> list[str]:
    return [event.data["code"] for event in events if event.type == "error"]


def text(events: list[Event], type_: str = "text") -> str:
    return "".join(event.data["content"] for event in events if event.type == type_)


def _agent_id(agent: Agent | Run) -> uuid.UUID:
    return agent.pk if isinstance(agent, Agent) else agent.agent_id


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)
