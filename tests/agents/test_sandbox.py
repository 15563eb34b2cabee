"""Runs in a sandbox of bubblewrap, as on a machine without a daemon: the supervisor's side of that engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.models import Run
from agents.runs import commands
from containers.engines.cgroups import find_groups
from tests.agents.conftest import Parts
from tests.agents.site import Site, attempts, errors, statuses, text, until

pytestmark = pytest.mark.bwrap


@pytest.fixture
def site(parts: Parts) -> Iterator[Site]:
    yield from parts.site("bwrap")


def test_a_definition_that_nobody_trusts_runs_isolated(site: Site) -> None:
    site.worker()
    code = """
with open("made.txt", "w") as file:
    file.write("here")
say("text", content=os.getcwd())
say("done", result=[os.path.exists(path) for path in ("/root", "/home", "/var/lib")])
"""
    run = site.start(site.define("work", code, trusted=False))
    events = site.end(run)
    assert statuses(events) == ["queued", "running", "completed"]
    assert (text(events), events[-1].data["result"]) == ("/workspace", [False] * 3)
    changes = [change for event in events if event.type == "files" for change in event.data["changes"]]
    assert [(change["path"], change["change"]) for change in changes] == [("made.txt", "added")]
    row = Run.objects.get(pk=run.pk)
    assert (row.engine, row.isolation) == ("bwrap", "sandbox")
    assert "isolation: none" not in str([event.data for event in events])
    assert site.containers(run) == []


def test_a_sandbox_outlives_its_worker_and_another_goes_on_with_it(site: Site) -> None:
    first = site.worker()
    code = """
note("started", "x")
say("text", content="before ")
wait("go")
say("text", content="after")
"""
    run = site.start(site.define("work", code))
    site.wait_file(run, "started")
    site.wait_event(run, "text")
    site.kill(first)
    site.worker()
    site.expire(run.agent)
    site.ask(str(run.agent_id))
    until(lambda: attempts(run)[0].takeovers == 1, "the other worker takes it")
    site.let(run, "go")
    events = site.end(run)
    assert (text(events), events[-1].data["status"]) == ("before after", "completed")
    assert site.wait_file(run, "started") == "x"


def test_cancel_ends_what_ignores_it(site: Site) -> None:
    site.worker()
    code = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
note("started")
time.sleep(600)
"""
    run = site.start(site.define("stubborn", code))
    site.wait_file(run, "started")
    commands.request_cancel(run)
    events = site.end(run)
    assert events[-1].data["status"] == "cancelled"
    assert site.containers(run) == []


@pytest.mark.skipif("memory" in find_groups().missing, reason="no control group for memory can be had here")
def test_too_much_memory_is_told_and_the_next_run_works(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("hog", 'b"x" * (200 << 20)', limits={"memory_mib": 48}))
    events = site.end(commands.submit_run(agent, "go"))
    assert (errors(events), events[-1].data["status"]) == (["out-of-memory"], "failed")
    site.define("hog", "", limits={"memory_mib": 48})
    assert site.end(commands.submit_run(agent, "again"))[-1].data["status"] == "completed"


@pytest.mark.slow
def test_the_bundled_demo_runs_in_it(site: Site) -> None:
    """With nothing but the interpreter and its own folder."""
    site.worker()
    command = ["{python}", "-u", "{images}/demo"]
    run = site.start(site.define("demo", process_command=command, trusted=False), "Analyse the data.")
    events = site.end(run, patience_s=90)
    assert (errors(events), events[-1].data["status"]) == ([], "completed")
    assert (site.workspace(run) / "report.md").exists()
