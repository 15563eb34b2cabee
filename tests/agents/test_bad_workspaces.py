"""Whatever becomes of a workspace: a clear event, one `done`, and a worker that goes on."""

from __future__ import annotations

from agents.runs import commands
from tests.agents.bad_program import run_bad
from tests.agents.site import Site, errors, text


def test_a_workspace_that_is_lost_ends_the_next_run_and_no_file_is_said_to_be_deleted(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("fine", 'note("kept", "x")'))
    site.end(commands.submit_run(agent, "go"))
    path = site.workspace(agent)
    away = path.rename(path.with_name("away"))
    events = site.end(commands.submit_run(agent, "again"))
    assert errors(events) == ["workspace-missing"]
    assert events[-1].data["status"] == "failed"
    assert list(site.state(agent)["files"]) == ["kept"]
    assert not path.exists(), "an empty one in its place would hide it"
    away.rename(path)
    assert site.end(commands.submit_run(agent, "and again"))[-1].data["status"] == "completed"


def test_a_workspace_that_is_lost_while_a_run_goes_on_deletes_nothing(site: Site) -> None:
    site.worker()
    code = """
note("kept", "x")
say("tool-result", call_id="c1")
wait("lost")
say("tool-result", call_id="c2")
wait("go")
"""
    run = site.start(site.define("loses", code))
    site.wait_event(run, "files")
    path = site.workspace(run)
    away = path.rename(path.with_name("away"))
    (away / "lost").touch()
    site.wait_event(run, "error")
    (away / "go").touch()
    events = site.end(run)
    assert errors(events) == ["workspace-missing"], "said once"
    assert events[-1].data["status"] == "completed"
    assert list(site.state(run)["files"]) == ["kept"]


def test_files_that_can_not_be_read_do_not_end_the_run(site: Site) -> None:
    code = r"""
os.mkfifo("pipe")
os.symlink("/etc/shadow", "link")
os.mkdir("deep")
open(b"bad-\xff-name", "w").close()
open("secret", "w").close()
os.chmod("secret", 0)
note("fine", "x")
"""
    events = run_bad(site, code)
    changed = {change["path"] for event in events if event.type == "files" for change in event.data["changes"]}
    assert {"fine", r"bad-\xff-name"} <= changed
    assert "link" not in changed
    assert "pipe" not in changed
    assert events[-1].data["status"] == "completed"


def test_a_program_that_removes_its_workspace_does_not_end_the_worker(site: Site) -> None:
    """Without isolation it can: then nobody can say which files it had."""
    site.worker()
    code = "import shutil\nhere = os.getcwd()\nos.chdir('/')\nshutil.rmtree(here)\nsay('text', content='gone')\n"
    events = site.ended(site.define("bad", code))
    assert (text(events), errors(events)) == ("gone", ["workspace-missing"])
    assert site.ended(site.define("fine", ""))[-1].data["status"] == "completed"
