"""Runs of agents that speak the Agent Client Protocol: on every engine, with everybody's habits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.models import Attempt, Run
from agents.runs import commands
from streaming.model.events import Event
from tests.agents.site import Site, errors, statuses, text

AGENT = Path(__file__).with_name("agent.py").read_text("utf-8")
STREAMS = ("stdout", "stderr")
FLAVOURS = ["plain", "gemini", "opencode"]


def define(site: Site, flavour: str = "plain", *, env: dict[str, str] | None = None, **fields: Any) -> str:
    given = {"FLAVOUR": flavour, **(env or {})}
    return site.define("acp", AGENT, prelude=False, protocol="acp", env=given, **fields)


def run_of(site: Site, prompt: str, flavour: str = "plain", **fields: Any) -> Run:
    return commands.submit_run(site.agent(define(site, flavour, **fields)), prompt)


def received(site: Site, run: Run, method: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in site.wait_file(run, "received").splitlines()]
    return [line.get("params", {}) for line in lines if line.get("method") == method]


def of_type(events: list[Event], *types: str) -> list[dict[str, Any]]:
    return [event.data for event in events if event.type in types]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_it_says_and_does_is_in_the_log_once(any_site: Site, flavour: str) -> None:
    any_site.worker()
    prompt = "think:Hm say:Hel say:lo mode:default plan:in_progress read:a.txt edit:b.txt break:c.sh say:Done"
    run = run_of(any_site, prompt, flavour)
    events = any_site.end(run)
    assert errors(events) == []
    assert statuses(events) == ["queued", "running", "completed"]
    assert (text(events, "thinking"), text(events)) == ("Hm", "HelloDone")
    assert (events[-1].data["result"], events[-1].data["tool_calls"]) == ("Done", 3)
    calls = of_type(events, "tool-call")
    assert [(call["call_id"], call["name"], call["title"]) for call in calls] == [
        ("c1", "read", "Read a.txt"),
        ("c2", "edit", "Edit b.txt"),
        ("c3", "execute", "Run c.sh"),
    ]
    assert calls[0]["arguments"] == ({"paths": ["a.txt"]} if flavour == "gemini" else {"path": "a.txt"})
    assert "".join(one["content"] for one in of_type(events, "tool-output")) == "one two"
    assert [(one["result"], one["is_error"]) for one in of_type(events, "tool-result")] == [
        ("one two three", False),
        ({"text": "", "diffs": [{"path": "b.txt", "old_text": None, "new_text": "new"}]}, False),
        ({"exit": 1}, True),
    ]
    assert [one["content"] for one in of_type(events, "log")][-1] == "[MODE_UPDATE] default\n"
    assert any_site.state(run)["plan"]["entries"][0] == {"content": "Look", "priority": "high", "status": "in_progress"}
    assert "b.txt" in any_site.state(run)["files"]
    assert len(received(any_site, run, "session/prompt")) == 1


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("decision", "option"), [("Allow", "go-once"), ("Always", "go-always"), ("Reject", "no")])
def test_people_answer_by_name_and_the_agent_gets_the_option(
    site: Site, flavour: str, decision: str, option: str
) -> None:
    site.worker()
    run = run_of(site, "ask:x.txt say:.", flavour)
    site.wait_status(run, "waiting")
    (asked,) = site.state(run)["approvals"]
    assert (asked["question"], asked["options"]) == ("Write x.txt", ["Always", "Allow", "Reject"])
    commands.answer_approval(run, asked["approval_id"], decision, "ada")
    events = site.end(run)
    assert text(events) == f"{option}."
    (call,) = of_type(events, "tool-call")
    assert call["call_id"] == asked["call_id"]
    assert call["arguments"] == ({"paths": ["x.txt"]} if flavour == "gemini" else {"path": "x.txt"})
    assert [event.type for event in events].index("tool-call") < [event.type for event in events].index(
        "approval-request"
    )
    (result,) = of_type(events, "tool-result")
    assert result["is_error"] == (decision == "Reject")


@pytest.mark.docker
def test_approvals_in_a_container(docker_site: Site) -> None:
    docker_site.worker()
    run = run_of(docker_site, "ask:x.txt")
    docker_site.wait_status(run, "waiting")
    (asked,) = docker_site.state(run)["approvals"]
    commands.answer_approval(run, asked["approval_id"], "Allow", "ada")
    assert text(docker_site.end(run)) == "go-once"


def test_a_question_that_nobody_answers_is_rejected_once(site: Site) -> None:
    site.worker()
    run = run_of(site, "ask:x.txt", approval_timeout_s=0.5)
    events = site.end(run)
    (response,) = of_type(events, "approval-response")
    assert (response["decision"], response["by"]) == ("Reject", "timeout")
    assert text(events) == "no"


def test_files_of_the_site_are_not_offered(site: Site) -> None:
    site.worker()
    run = run_of(site, "write:/etc/passwd say:.", "opencode")
    assert text(site.end(run)) == "-32601."
    (offered,) = received(site, run, "initialize")
    assert offered["clientCapabilities"] == {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}


def test_noise_is_log_and_ends_nothing(site: Site) -> None:
    site.worker()
    events = site.end(run_of(site, "noise: say:ok"))
    assert (text(events), events[-1].data["status"]) == ("ok", "completed")
    said = {
        stream: "".join(one["content"] for one in of_type(events, "log") if one["stream"] == stream)
        for stream in STREAMS
    }
    assert said["stdout"].startswith("not a message\n")
    assert "vendor/news" in said["stdout"]
    assert said["stderr"] == "a word on stderr\n"


@pytest.mark.parametrize(
    ("prompt", "code", "status"),
    [
        ("say:x stop:max_tokens", "max-tokens", "failed"),
        ("say:x stop:max_turn_requests", "max-turn-requests", "failed"),
        ("say:x stop:refusal", "refusal", "failed"),
        ("say:x stop:cancelled", None, "cancelled"),
        ("say:x stop:something_new", None, "completed"),
        ("say:x fail:Overloaded", "agent-error", "failed"),
        ("say:x exit:0", "agent-ended", "failed"),
        ("say:x exit:3", "container-exit", "failed"),
    ],
)
def test_how_it_stops_is_how_the_run_ends(site: Site, prompt: str, code: str | None, status: str) -> None:
    site.worker()
    events = site.end(run_of(site, prompt))
    assert errors(events) == ([code] if code else [])
    assert (events[-1].data["status"], text(events)) == (status, "x")
    if code == "agent-error":
        assert of_type(events, "error")[0]["message"] == "Internal error: Overloaded"


@pytest.mark.parametrize(("flavour", "code"), [("newer", "agent-protocol"), ("locked", "agent-auth-required")])
def test_an_agent_that_will_not_begin_ends_the_run(site: Site, flavour: str, code: str) -> None:
    site.worker()
    events = site.end(run_of(site, "say:x", flavour))
    assert errors(events) == [code]
    assert events[-1].data["status"] == "failed"


def test_cancel_is_told_to_the_agent(any_site: Site) -> None:
    any_site.worker()
    run = run_of(any_site, "say:x note:there wait:never")
    any_site.wait_file(run, "there")
    commands.request_cancel(run)
    events = any_site.end(run)
    assert (events[-1].data["status"], text(events), errors(events)) == ("cancelled", "x", [])
    assert len(received(any_site, run, "session/cancel")) == 1
    assert any_site.containers(run) == []


def test_cancel_while_it_asks_answers_the_question(site: Site) -> None:
    site.worker()
    run = run_of(site, "ask:x.txt")
    site.wait_status(run, "waiting")
    commands.request_cancel(run)
    assert site.end(run)[-1].data["status"] == "cancelled"
    answers = [json.loads(line) for line in site.wait_file(run, "received").splitlines()]
    assert [one["result"] for one in answers if "result" in one] == [{"outcome": {"outcome": "cancelled"}}]


def test_what_was_said_before_is_in_the_prompt(site: Site) -> None:
    site.worker()
    run = run_of(site, "say:Eins", system_prompt="Be kind.")
    site.end(run)
    second = commands.submit_run(run.agent, "say:Zwei")
    assert text(site.end(second)) == "Zwei"
    blocks = [block["text"] for block in received(site, run, "session/prompt")[1]["prompt"]]
    assert blocks[0] == "Instructions:\nBe kind."
    assert "user: say:Eins" in blocks[1]
    assert "assistant: Eins" in blocks[1]
    assert blocks[2] == "say:Zwei"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_agent_that_keeps_its_sessions_gets_its_own_back(site: Site, flavour: str) -> None:
    site.worker()
    run = run_of(site, "say:Eins", flavour, env={"LOADS": "1"})
    site.end(run)
    second = commands.submit_run(run.agent, "say:Zwei")
    assert text(site.end(second)) == "Zwei"
    (loaded,) = received(site, run, "session/load")
    assert loaded["sessionId"] == Attempt.objects.get(run=run).session
    assert received(site, run, "session/prompt")[1]["prompt"] == [{"type": "text", "text": "say:Zwei"}]


def test_a_session_that_is_lost_is_begun_anew_with_what_was_said(site: Site) -> None:
    site.worker()
    run = run_of(site, "say:Eins", env={"LOADS": "1"})
    site.end(run)
    (site.workspace(run) / "sessions").write_text("")
    second = commands.submit_run(run.agent, "say:Zwei")
    assert text(site.end(second)) == "Zwei"
    assert "assistant: Eins" in received(site, run, "session/prompt")[1]["prompt"][0]["text"]


def test_an_agent_that_can_not_say_when_its_session_is_loaded_gets_a_new_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.programs.protocols.acp.SYNC_PATIENCE_S", 0.5)
    site.worker()
    run = run_of(site, "say:Eins", env={"LOADS": "1", "SILENT_ON": "_agentsite/sync"})
    site.end(run)
    second = commands.submit_run(run.agent, "say:Zwei")
    assert text(site.end(second)) == "Zwei"
    assert len(received(site, run, "session/load")) == 1
    assert "assistant: Eins" in received(site, run, "session/prompt")[1]["prompt"][0]["text"]
