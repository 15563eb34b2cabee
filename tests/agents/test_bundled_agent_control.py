"""The bundled agent on a site: what is said to it while it works, and going on behind a run that has ended."""

from __future__ import annotations

import pytest

from agents.programs.history import UNFINISHED
from agents.runs import commands
from tests.agents.bundled import PATIENCE_S, define
from tests.agents.site import Site, errors, statuses
from tests.provider import Asked, Call, MockProvider, refusal, turn

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
WAITS = Call("bash", {"command": "echo begun; until [ -e go ]; do sleep 0.05; done"})
MODEL = "anthropic:claude-haiku-5-5"


def last(provider: MockProvider) -> Asked:
    return provider.requests[-1].asked


def test_what_is_posted_to_steer_during_a_tool_is_in_the_next_request(
    docker_site: Site, provider: MockProvider, agent_image: str
) -> None:
    site = docker_site
    asks = Call("bash", {"command": "touch made"})
    provider.say(turn("I work.", WAITS, asks), turn("Alors: oui."))
    name = define(site, agent_image, MODEL, steering=True, approvals=["bash:touch *"])
    site.worker()
    run = site.start(name, "Work.")
    site.wait_event(run, "approval-request", patience_s=PATIENCE_S)
    handed = commands.submit_run(run.agent, "Answer in French.", strategy="steer")
    site.wait_status(handed, "completed")
    assert len(provider.requests) == 1
    # Its stdin is in order: when it has heard this, it has heard that.
    (question,) = [event.data["approval_id"] for event in site.events(run) if event.type == "approval-request"]
    commands.answer_approval(run, question, "approve", "ada")
    site.wait_event(run, "tool-result")
    site.let(run, "go")
    events = site.end(run, PATIENCE_S)
    assert errors(events) == []
    assert events[-1].data["result"] == "Alors: oui."
    assert len(provider.requests) == 2
    assert last(provider).texts("user")[0] == "Work."
    assert "Answer in French." in last(provider).texts("user")[-1]
    assert len(last(provider).texts("tool")) == 2
    assert statuses(site.events(handed)) == ["queued", "completed"]


@pytest.mark.long
def test_a_failed_run_goes_on_with_what_it_had_said_and_done(
    docker_site: Site, provider: MockProvider, agent_image: str
) -> None:
    site = docker_site
    made = Call("bash", {"command": "echo one > made.txt; echo it is made"})
    provider.say(turn("First the file.", made), refusal("unauthorized"), turn("Now it is done."))
    site.worker()
    run = site.start(define(site, agent_image, MODEL), "Make it.")
    assert site.end(run, PATIENCE_S)[-1].data["status"] == "failed"
    again = commands.resume(run)
    assert site.end(again, PATIENCE_S)[-1].data["result"] == "Now it is done."
    assert last(provider).texts("user")[0] == "Make it."
    assert commands.RESUME_INPUT in last(provider).texts("user")[-1]
    assert "First the file." in last(provider).texts("assistant")[0]
    assert [call.arguments for message in last(provider).messages for call in message.calls] == [made.arguments]
    assert "it is made" in last(provider).texts("tool")[0]
    assert (site.workspace(run) / "made.txt").read_text() == "one\n"


def test_a_cancelled_run_goes_on_with_what_it_had_said_and_done(
    docker_site: Site, provider: MockProvider, agent_image: str
) -> None:
    site = docker_site
    provider.say(turn("I wait.", WAITS), turn("Then not."))
    site.worker()
    run = site.start(define(site, agent_image, MODEL), "Wait for it.")
    site.wait_event(run, "tool-output", patience_s=PATIENCE_S)
    commands.request_cancel(run)
    assert site.end(run, PATIENCE_S)[-1].data["status"] == "cancelled"
    again = commands.resume(run, "Don't wait.")
    assert site.end(again, PATIENCE_S)[-1].data["result"] == "Then not."
    assert last(provider).texts("user") == ["Wait for it.", "Don't wait."]
    assert last(provider).texts("assistant") == ["I wait.", f"\n\n{UNFINISHED['cancelled']}"]
    assert [call.arguments for message in last(provider).messages for call in message.calls] == [WAITS.arguments]
    assert "begun" in last(provider).texts("tool")[0]
