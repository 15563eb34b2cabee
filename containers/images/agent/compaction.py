"""Keeps a long conversation within a budget of tokens: first old results of tools go, then the model sums up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

CONTEXT_TOKENS = 100_000
"""If the definition says nothing else (its env: AGENT_CONTEXT_TOKENS)."""
CHARACTERS_A_TOKEN = 4
IMAGE_CHARACTERS = 6_000
"""An image counts about as much as so many characters."""
KEPT_SHARE = 0.5
"""Of the budget, for the newest messages when the rest is summed up; so that it need not be done again at once."""
KEPT_STEPS = 4
"""Results of the newest rounds of tools are never shortened."""
SHORT_CHARACTERS = 200
LISTED_CHARACTERS = 2_000
SUM_UP = (
    "Sum up the conversation so far for yourself, since the older part of it will be taken away: what the user wants, "
    "what was found out and decided, which files were made or changed, what is still to do. Facts only, no preamble."
)
SUMMARY = "[The older part of this conversation was taken away. Your own summary of it:]\n\n"

Summarise = Callable[[Sequence[ModelMessage]], Awaitable[str]]


def tokens(messages: Sequence[ModelMessage]) -> int:
    """About: providers count differently, and the budget is not the model's limit."""
    return sum(len(_text(part)) for message in messages for part in message.parts) // CHARACTERS_A_TOKEN


async def compact(messages: list[ModelMessage], budget: int, summarise: Summarise) -> list[ModelMessage]:
    """The same list if it fits."""
    if tokens(messages) <= budget:
        return messages
    shorter = _shorten(messages)
    if tokens(shorter) <= budget:
        return shorter
    start = _start_of_the_kept(shorter, int(budget * KEPT_SHARE))
    if start == 0:
        return shorter
    older = shorter[:start]
    *before, last = older
    # Providers want questions and answers to take turns.
    summary = await summarise([*before, ModelRequest([*last.parts, UserPromptPart(SUM_UP)])])
    return [ModelRequest([UserPromptPart(SUMMARY + summary + _last_question(older))]), *shorter[start:]]


def _start_of_the_kept(messages: Sequence[ModelMessage], budget: int) -> int:
    """Where an answer of the model begins, so that no call is parted from its result. 0: nothing can be taken away."""
    best = 0
    for at in range(len(messages) - 1, 0, -1):
        if isinstance(messages[at], ModelResponse):
            if best and tokens(messages[at:]) > budget:
                break
            best = at
    # The last message is a question: if it has no answer in what is kept, all before it goes.
    return best


def _shorten(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    rounds = [at for at, message in enumerate(messages) if _has_results(message)]
    newest = set(rounds[-KEPT_STEPS:])
    return [
        replace(message, parts=[_short(part) for part in message.parts])
        if isinstance(message, ModelRequest) and at in rounds and at not in newest
        else message
        for at, message in enumerate(messages)
    ]


def _has_results(message: ModelMessage) -> bool:
    return any(isinstance(part, ToolReturnPart) for part in message.parts)


def _short(part: ModelRequestPart) -> ModelRequestPart:
    if not isinstance(part, ToolReturnPart) or len(_text(part)) <= SHORT_CHARACTERS:
        return part
    content = _words_of(part)
    shorter = f"{content[:SHORT_CHARACTERS]}\n[… {len(content)} characters; the rest was taken away]"
    return ToolReturnPart(part.tool_name, shorter, part.tool_call_id, outcome=part.outcome)


def _last_question(older: Sequence[ModelMessage]) -> str:
    """Word for word, since a summary may miss what matters in it."""
    asked = [part for message in older for part in message.parts if isinstance(part, UserPromptPart)]
    content = str(asked[-1].content) if asked else ""
    return f"\n\n[The user's last message:]\n\n{content[:LISTED_CHARACTERS]}" if content else ""


def _text(part: object) -> str:
    match part:
        case ToolCallPart():
            return f"{part.tool_name}{part.args}"
        case ToolReturnPart():
            return _words_of(part) + " " * (IMAGE_CHARACTERS * len(part.files))
        case TextPart() | UserPromptPart():
            return str(part.content)
        case _:
            return str(getattr(part, "content", ""))


def _words_of(part: ToolReturnPart) -> str:
    """Its result without images."""
    content = part.content if isinstance(part.content, list) else [part.content]
    return "\n".join(str(item) for item in content if not isinstance(item, BinaryContent))
