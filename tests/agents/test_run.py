"""A run from its prompt to its `done`, with every engine there is."""

from __future__ import annotations

import json

import pytest

from agents.models import Run
from agents.runs import commands
from tests.agents.site import Site, attempts, errors, statuses, text

WORK = """
say("thinking", content="let me see")
say("text", content="Hello ")
say("tool-call", call_id="c1", name="write", arguments={"path": "made.txt"})
say("tool-output", call_id="c1", content="writing")
note("made.txt", "four")
say("tool-result", call_id="c1", result={"bytes": 4})
say("usage", model="m", input_tokens=10, output_tokens=5, cost_usd=0.5)
say("usage", model="m", input_tokens=1, output_tokens=2)
say("text", content="world")
print("some words", file=sys.stderr)
say("done", result={"answer": 42})
"""


def test_a_run_from_start_to_done(any_site: Site) -> None:
    any_site.worker()
    run = any_site.start(any_site.define("work", WORK), "Do it.\nNow.")
    events = any_site.end(run)
    assert statuses(events) == ["queued", "running", "completed"]
    assert errors(events) == []
    assert text(events) == "Hello world"
    done = events[-1].data
    assert done["result"] == {"answer": 42}
    assert (done["status"], done["tool_calls"], done["files_changed"]) == ("completed", 1, 1)
    assert done["usage"] == {"input_tokens": 11, "output_tokens": 7, "cost_usd": 0.5}
    assert done["duration_ms"] > 0
    row = Run.objects.get(pk=run.pk)
    assert (row.result, row.tool_calls, row.files_changed) == ({"answer": 42}, 1, 1)
    assert (row.duration_ms, row.usage, row.engine) == (done["duration_ms"], done["usage"], any_site.engine)
    assert row.isolation == ("none" if any_site.engine == "process" else "container")
    (attempt,) = attempts(run)
    assert (attempt.exit_code, attempt.outcome) == (0, "exit")
    assert attempt.finished_at is not None
    changes = [change for event in events if event.type == "files" for change in event.data["changes"]]
    assert [(change["path"], change["change"], change["size"]) for change in changes] == [("made.txt", "added", 4)]
    assert any_site.state(run)["title"] == "Do it."
    assert any_site.containers(run) == []


def test_a_program_is_told_of_the_conversation_and_its_configuration(any_site: Site) -> None:
    any_site.worker()
    code = 'say("text", content="echo: " + start["input"]["content"]); note("start", json.dumps(start) + "\\n")'
    name = any_site.define("echo", code, model="small", system_prompt="Be kind.", tools=["read"])
    agent = any_site.agent(name)
    for prompt in ("one", "two"):
        any_site.end(commands.submit_run(agent, prompt))
    first, second = map(json.loads, any_site.wait_file(agent, "start").splitlines())
    assert (first["type"], first["protocol"], first["history"]) == ("start", 1, [])
    assert first["config"] == {"model": "small", "system_prompt": "Be kind.", "tools": ["read"]}
    told = [(message["role"], message["content"]) for message in second["history"]]
    assert told == [("user", "one"), ("assistant", "echo: one")]
    assert second["input"] == {"content": "two"}


def test_the_environment_names_agent_run_and_workspace(any_site: Site) -> None:
    any_site.worker()
    code = 'say("done", result={k: os.environ.get(k) for k in ("AGENT_ID", "RUN_ID", "GIVEN")})'
    events = any_site.ended(any_site.define("env", code, env={"GIVEN": "yes"}))
    assert events[-1].data["result"] == {"AGENT_ID": events[0].agent_id, "RUN_ID": events[0].run_id, "GIVEN": "yes"}


def test_what_is_queued_behind_is_no_part_of_the_past(site: Site) -> None:
    """A prompt stands in the log when it was posted, here before the earlier run has answered."""
    site.worker()
    code = """
prompt = start["input"]["content"]
if prompt == "one":
    wait("go")
note("told-" + prompt, json.dumps([[m["role"], m["content"]] for m in start["history"]]))
say("text", content="re " + prompt)
"""
    agent = site.agent(site.define("echo", code))
    runs = [commands.submit_run(agent, prompt) for prompt in ("one", "two", "never", "three")]
    commands.request_cancel(runs[2])
    site.let(agent, "go")
    for run in runs:
        site.end(run)
    assert json.loads(site.wait_file(agent, "told-one")) == []
    two = [["user", "one"], ["assistant", "re one"]]
    assert json.loads(site.wait_file(agent, "told-two")) == two
    three = [*two, ["user", "two"], ["assistant", "re two"]]
    assert json.loads(site.wait_file(agent, "told-three")) == three


def test_without_done_and_exit_0_a_run_is_completed_with_its_last_message_as_result(any_site: Site) -> None:
    any_site.worker()
    code = """
say("message", content="first")
say("text", message_id="b", content="sec")
say("text", message_id="b", content="ond")
"""
    events = any_site.ended(any_site.define("plain", code))
    assert events[-1].data["status"] == "completed"
    assert events[-1].data["result"] == "second"


def test_a_program_that_says_it_failed_has_failed(site: Site) -> None:
    site.worker()
    events = site.ended(
        site.define("fails", 'say("error", code="no-luck", message="sorry"); say("done", status="failed")')
    )
    assert errors(events) == ["no-luck"]
    assert events[-1].data["status"] == "failed"


def test_files_show_while_the_run_goes_on(site: Site) -> None:
    site.worker()
    code = """
for name in "abc":
    note(name, name)
    say("tool-call", call_id=name, name="write")
    say("tool-result", call_id=name)
wait("go")
"""
    run = site.start(site.define("files", code))
    site.wait_event(run, "tool-result", 3)
    found = set()
    for event in site.wait_event(run, "files"):
        found |= {change["path"] for change in event.data["changes"]}
    assert "a" in found
    site.let(run, "go")
    events = site.end(run)
    changes = [change["path"] for event in events if event.type == "files" for change in event.data["changes"]]
    assert sorted(changes) == ["a", "b", "c", "go"]


def test_a_free_worker_writes_the_prompt_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the log would be taken over twice before anything starts. However slow this machine is: it is waited for."""
    for patience in ("HEADSTART_S", "BRIEF_LEASE_S"):
        monkeypatch.setattr(f"agents.log.brief_writer.{patience}", 30.0)
    site.worker()
    run = site.start(site.define("fine", ""))
    assert site.log(run)[0].type == "message"  # whoever has posted finds it in the log
    assert {event.epoch for event in site.end(run)} == {1}


def test_nobody_waits_for_a_worker_that_is_not_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.log.brief_writer.HEADSTART_S", 0.01)
    run = site.start(site.define("fine", ""))
    assert statuses(site.log(run)) == ["queued"]
