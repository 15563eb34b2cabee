"""A long conversation is kept within a budget of tokens, and what matters stays in it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from containers.images.agent.compaction import SUM_UP, SUMMARY, compact, tokens
from tests.provider import Call, MockProvider, refusal, turn

from .agent_fixtures import Launch


def conversation(rounds: int, result: str, said: str = "I look.") -> list[ModelMessage]:
    messages: list[ModelMessage] = [ModelRequest([UserPromptPart("Count the files.")])]
    for number in range(rounds):
        call_id = f"c{number}"
        messages.append(ModelResponse([TextPart(said), ToolCallPart("bash", {"command": f"ls {number}"}, call_id)]))
        messages.append(ModelRequest([ToolReturnPart("bash", result, call_id)]))
    return messages


async def never(messages: Sequence[ModelMessage]) -> str:
    raise AssertionError("nobody should be asked")


def check(messages: Sequence[ModelMessage]) -> None:
    """What every provider wants: questions and answers take turns, and each result has its call before it."""
    assert isinstance(messages[0], ModelRequest)
    for before, after in itertools.pairwise(messages):
        assert type(before) is not type(after)
        calls = {part.tool_call_id for part in before.parts if isinstance(part, ToolCallPart)}
        assert {part.tool_call_id for part in after.parts if isinstance(part, ToolReturnPart)} == calls
    assert isinstance(messages[-1], ModelRequest)


async def test_what_fits_stays_as_it_is() -> None:
    messages = conversation(3, "x" * 400)
    assert await compact(messages, tokens(messages), never) is messages


async def test_old_results_are_shortened_first() -> None:
    messages = conversation(10, "x" * 4_000)
    found = await compact(messages, 6_000, never)
    check(found)
    assert tokens(found) <= 6_000
    assert len(found) == len(messages)
    results = [str(part.content) for message in found for part in message.parts if isinstance(part, ToolReturnPart)]
    assert [len(result) == 4_000 for result in results] == [False] * 6 + [True] * 4
    assert "4000 characters" in results[0]


async def test_then_the_older_part_is_summed_up_and_the_question_stays() -> None:
    asked: list[Sequence[ModelMessage]] = []

    async def summarise(messages: Sequence[ModelMessage]) -> str:
        asked.append(messages)
        check(messages)
        return "There are files."

    messages = conversation(100, "x" * 100, "y" * 400)
    found = await compact(messages, 4_000, summarise)
    check(found)
    assert tokens(found) <= 4_000
    (first,) = found[0].parts
    assert str(first.content).startswith(f"{SUMMARY}There are files.")  # type: ignore[union-attr]
    assert "Count the files." in str(first.content)  # type: ignore[union-attr]
    assert found[-1] == messages[-1]
    assert len(asked) == 1


def test_a_long_history_is_summed_up_by_the_model(provider: MockProvider, agent: Launch) -> None:
    history: list[object] = [
        {"role": role, "content": f"{number} {role} " + "words " * 300, "parts": []}
        for number in range(20)
        for role in ("user", "assistant")
    ]
    provider.say(turn("We counted words."), turn("Nineteen."))
    one = agent("How many?", history=history, environment={"AGENT_CONTEXT_TOKENS": "5000"})
    assert one.finish()[-1]["result"] == "Nineteen."
    assert one.text() == "Nineteen."
    summing, asking = (request.asked for request in provider.requests)
    assert summing.texts("user")[-1].endswith(SUM_UP)
    assert "We counted words." in asking.texts("user")[0]
    assert asking.texts("user")[-1].endswith("How many?")
    assert asking.characters < 5_000 * 4 + 2_000


def test_a_conversation_that_is_too_long_for_its_model_is_made_shorter_and_tried_again(
    provider: MockProvider, agent: Launch
) -> None:
    history: list[object] = [
        {"role": role, "content": f"{role} {number}: " + "words " * 500, "parts": []}
        for number in range(20)
        for role in ("user", "assistant")
    ]
    provider.say(refusal("context-too-long"), turn("We counted."), turn("Nineteen."))
    one = agent("How many?", history=history)
    assert one.finish()[-1]["result"] == "Nineteen."
    assert not one.of("error")
    before, _, after = (request.asked.characters for request in provider.requests)
    assert after < before * 0.6


def test_without_a_summary_the_older_part_still_goes(provider: MockProvider, agent: Launch) -> None:
    history = [{"role": "user", "content": "words " * 8_000}, {"role": "assistant", "content": "Yes. " * 8_000}]
    provider.say(refusal("bad-request"), turn("Done."))
    one = agent("Go on.", history=history, environment={"AGENT_CONTEXT_TOKENS": "2000"})
    assert one.finish()[-1]["result"] == "Done."
    assert "no summary" in one.stderr


def test_tools_go_on_after_a_compaction(provider: MockProvider, agent: Launch) -> None:
    much = Call("bash", {"command": "head -c 3000 /dev/zero | tr '\\0' x"})
    provider.say(*[turn("y" * 1000, much)] * 6, turn("So far so good."), turn("z" * 10, much), turn("Done."))
    one = agent(environment={"AGENT_CONTEXT_TOKENS": "4000"})
    assert one.finish()[-1]["status"] == "completed"
    assert all(request.asked.characters < 4_000 * 4 + 4_000 for request in provider.requests)
