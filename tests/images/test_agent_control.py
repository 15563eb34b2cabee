"""What a person can do to the bundled agent while it works: approve, deny, steer, stop."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from containers.images.agent.approvals import needs_approval
from containers.images.agent.asking import Asking
from containers.images.agent.conversation import Conversation
from containers.images.agent.protocol import Inbox, Wire
from containers.images.agent.toolbox import Toolbox
from tests.provider import Call, MockProvider, turn

from .agent_driving import Agent
from .agent_fixtures import Launch


def approval(question: dict[str, Any], decision: str, **more: str) -> dict[str, Any]:
    return {"type": "approval", "approval_id": question["approval_id"], "decision": decision, **more}


def test_a_tool_that_needs_approval_waits_for_it(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn(Call("write_file", {"path": "a.txt", "content": "x"})), turn("Written."))
    one = agent(approvals=["write_file"])
    question = one.until_type("approval-request")
    (call,) = one.of("tool-call")
    assert question["call_id"] == call["call_id"]
    assert question["options"] == ["approve", "deny"]
    assert "a.txt" in question["question"]
    assert not (one.workspace / "a.txt").exists()
    one.tell(approval(question, "approve"))
    one.tell(approval(question, "deny"))
    assert one.finish()[-1]["result"] == "Written."
    assert (one.workspace / "a.txt").read_text() == "x"


def test_what_is_denied_is_not_done_and_the_model_hears_why(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn(Call("bash", {"command": "touch made"})), turn("Then not."))
    one = agent(approvals="all")
    one.tell(approval(one.until_type("approval-request"), "deny", reason="Not on a Friday."))
    assert one.finish()[-1]["status"] == "completed"
    assert not (one.workspace / "made").exists()
    (result,) = one.of("tool-result")
    assert result["is_error"]
    assert "Not on a Friday." in provider.requests[1].asked.texts("tool")[0]


def test_each_of_several_calls_is_asked_for_by_itself(provider: MockProvider, agent: Launch) -> None:
    calls = [Call("bash", {"command": f"touch {name}"}) for name in "ab"]
    provider.say(turn(*calls, Call("bash", {"command": "echo free"})), turn("Done."))
    one = agent(approvals=["bash:touch *"])
    first, second = one.until_type("approval-request"), one.until_type("approval-request")
    one.tell(approval(second, "approve"))
    one.tell(approval(first, "deny"))
    one.finish()
    assert not (one.workspace / "a").exists()
    assert (one.workspace / "b").exists()
    assert len(one.of("approval-request")) == 2


RULES: list[tuple[object, str, dict[str, Any], bool]] = [
    (None, "bash", {"command": "rm x"}, False),
    ("none", "bash", {"command": "rm x"}, False),
    ([], "bash", {"command": "rm x"}, False),
    ("all", "read_file", {"path": "x"}, True),
    (["write_file"], "write_file", {"path": "x"}, True),
    (["write_file"], "read_file", {"path": "x"}, False),
    (["*_file"], "read_file", {"path": "x"}, True),
    (["bash:rm *"], "bash", {"command": "rm -r x"}, True),
    (["bash:rm *"], "bash", {"command": "ls"}, False),
    (["bash:rm *"], "bash", {"command": "cd a && rm -r x"}, True),
    (["bash:rm *"], "bash", {"command": "ls;rm x"}, True),
    (["bash:rm *"], "bash", {"command": "true\nrm x"}, True),
    (["bash:rm *"], "bash", {"command": "yes | rm x"}, True),
    (["bash:rm *"], "bash", {}, False),
    (["write_file:*.py"], "write_file", {"path": "a/b.py"}, True),
    (["write_file:*.py"], "write_file", {"path": "a/b.md"}, False),
    (["files__*:*secret*"], "files__read", {"name": "secret"}, True),
    ("sometimes", "bash", {}, True),
    ([1], "bash", {}, True),
]


@pytest.mark.parametrize(("rule", "name", "arguments", "expected"), RULES)
def test_which_calls_need_approval(rule: object, name: str, arguments: dict[str, Any], expected: bool) -> None:
    assert needs_approval(rule, name, arguments) is expected


def test_a_message_reaches_the_model_after_the_tools_it_asked_for(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn(Call("bash", {"command": "until [ -e go ]; do sleep 0.05; done"})), turn("In French, then: oui."))
    one = agent()
    one.until_type("tool-call")
    message = {"type": "message", "content": "Answer in French.", "id": "1"}
    one.tell(message)
    one.tell(message)
    one.wait_until_read()
    (one.workspace / "go").touch()
    one.finish()
    asked = provider.requests[1].asked
    assert asked.texts("user")[-1].count("Answer in French.") == 1
    assert asked.texts("user")[0] == "Go."
    assert len(asked.texts("tool")) == 1


async def test_a_message_while_the_last_answer_comes_gets_an_answer_too() -> None:
    inbox, heard = Inbox(), list[str]()

    class Slow(Asking):
        """Somebody writes while it answers."""

        def __init__(self) -> None:
            self.name = "slow:model"

        async def ask(self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> ModelResponse:
            heard.extend(str(part.content) for part in messages[-1].parts if isinstance(part, UserPromptPart))
            if len(heard) == 1:
                inbox.take(b'{"type": "message", "content": "And the other?"}')
            return ModelResponse([TextPart(f"Answer {len(heard)}.")])

    conversation = Conversation(Slow(), Toolbox(Wire(BytesIO()), inbox, []), inbox, "", 10_000)
    assert await conversation.run([], "The one?") == "Answer 2."
    assert heard == ["The one?", "And the other?"]


@pytest.mark.parametrize("how", ["cancel", "sigterm"])
def test_it_stops_at_once_in_a_tool(provider: MockProvider, agent: Launch, how: str) -> None:
    provider.say(turn("I wait.", Call("bash", {"command": "echo $$ > pid; echo begun; sleep 300"})))
    one = agent()
    one.until_type("tool-output")
    one.tell({"type": "cancel"}) if how == "cancel" else one.terminate()
    events = one.finish()
    assert events[-1]["status"] == "cancelled"
    (result,) = one.of("tool-result")
    assert result["is_error"]
    assert one.text() == "I wait."
    assert not is_running(int((one.workspace / "pid").read_text()))


@pytest.mark.parametrize("how", ["cancel", "sigterm"])
def test_it_stops_at_once_while_the_model_speaks(provider: MockProvider, agent: Launch, how: str) -> None:
    provider.say(turn("The beginning and never the end.", hold_last=threading.Event(), piece_characters=13))
    one = agent()
    one.until_type("text")
    one.tell({"type": "cancel"}) if how == "cancel" else one.terminate()
    assert one.finish()[-1]["status"] == "cancelled"
    assert one.text().startswith("The beginning")


def test_it_stops_while_it_waits_for_an_approval(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn(Call("bash", {"command": "touch made"})))
    one = agent(approvals="all")
    one.until_type("approval-request")
    one.tell({"type": "cancel"})
    assert one.finish()[-1]["status"] == "cancelled"
    assert not (one.workspace / "made").exists()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_without_a_start_it_says_so(workspace: Path, provider: MockProvider) -> None:
    one = Agent(workspace, provider, {})
    try:
        one.tell(b"\n{}\nno JSON\n")
        one.close_stdin()
        events = one.finish()
    finally:
        one.close()
    assert [event["type"] for event in events] == ["error", "done"]
    assert events[0]["code"] == "no-start"


async def test_the_first_answer_wins() -> None:
    inbox = Inbox()
    inbox.take(b'{"type": "approval", "approval_id": "a", "decision": "deny"}')
    inbox.take(b'{"type": "approval", "approval_id": "a", "decision": "approve"}')
    assert (await inbox.answer("a"))["decision"] == "deny"
