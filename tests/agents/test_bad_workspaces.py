"""Whatever becomes of a workspace: a clear event, one `done`, and a worker that goes on."""

from __future__ import annotations

from agents import lifecycle
from tests.agents.bad_program import run_bad
from tests.agents.site import Site, errors, text


def test_a_workspace_that_can_not_be_made_ends_the_run(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("fine", ""))
    path = site.workspace(agent)
    path.rmdir()
    path.write_text("in the way")
    events = site.end(lifecycle.submit_run(agent, "go"))
    assert errors(events)[0] == "workspace-unusable"
    assert events[-1].data["status"] == "failed"
    path.unlink()
    assert site.end(lifecycle.submit_run(agent, "again"))[-1].data["status"] == "completed"


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
    assert "fine" in changed
    assert "link" not in changed
    assert "pipe" not in changed
    assert events[-1].data["status"] == "completed"


def test_a_workspace_that_is_taken_away_does_not_end_the_worker(site: Site) -> None:
    code = "import shutil\nhere = os.getcwd()\nos.chdir('/')\nshutil.rmtree(here)\nsay('text', content='gone')\n"
    events = run_bad(site, code)
    assert text(events) == "gone"
