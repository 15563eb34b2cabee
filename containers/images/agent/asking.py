"""One call of the model: what it says goes out as it comes. Tried again where that helps and nothing was said yet."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from pydantic_ai import exceptions as wrong
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolReturnPart,
)
from pydantic_ai.models import Model, ModelRequestParameters

from .errors import (
    ENDED_EARLY,
    AgentError,
    ContextTooLong,
    Problem,
    describe,
    exceeds_context,
    may_lack_api,
    refuses_streams,
)
from .models import older_api, open_model, settings_of
from .protocol import Wire
from .text import clean_response
from .whole_answers import WholeAnswers

MAX_TRIES = 5
FIRST_WAIT_S, MAX_WAIT_S = 1.0, 60.0
"""The wait doubles; AGENT_RETRY_WAIT_S says where else it begins. Who is told to come back later than MAX_WAIT_S gives
up: a person knows better then."""


class Asking:
    """The model of this run, and how it can be asked: what it turned out not to know is remembered."""

    def __init__(self, wanted: str | None, wire: Wire) -> None:
        self.name = wanted or ""
        self._answers = WholeAnswers()
        self.model: Model = open_model(wanted, self._answers)
        self.streaming = True
        self._wire = wire
        self._said = False
        self._silent = False
        self._has_answered = False
        self._refused: Exception | None = None
        """Why the newer of two APIs was left, until the older one has answered."""

    async def close(self) -> None:
        await self._answers.aclose()

    async def ask_silently(self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> ModelResponse:
        """What it says is no answer to anybody."""
        self._silent = True
        try:
            return await self.ask(messages, parameters)
        finally:
            self._silent = False

    async def ask(self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> ModelResponse:
        """Raises AgentError; its ContextTooLong is what a shorter conversation helps against."""
        tries = 0
        while True:
            self._said = False
            try:
                response = _whole(await self._ask(messages, parameters), after_tools=_ends_with_results(messages))
            except (wrong.AgentRunError, wrong.UserError, NotImplementedError, ValueError, OSError) as error:
                if exceeds_context(error) and not self._said:
                    raise ContextTooLong(describe(error, self.name)) from error
                if self._can_be_asked_another_way(error):
                    continue
                tries += 1
                await self._wait(describe(self._refused or error, self.name), tries)
            else:
                self._has_answered, self._refused = True, None
                return clean_response(response)

    async def _ask(self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> ModelResponse:
        settings = settings_of(self.model, self.streaming)
        if not self.streaming:
            response = await model_request(
                self.model, messages, model_settings=settings, model_request_parameters=parameters
            )
            for part in response.parts:
                self._tell_part(part)
            return response
        async with model_request_stream(
            self.model, messages, model_settings=settings, model_request_parameters=parameters
        ) as stream:
            try:
                async for event in stream:
                    self._tell(event)
            except wrong.ModelAPIError as error:
                # A server that counted its answer and named no end of it had nothing to say.
                response = stream.get()
                if ENDED_EARLY in str(error) and not response.parts and response.usage.has_values():
                    return response
                raise
        response = stream.get()
        if response.finish_reason is None and not _own_finish_reason(response):
            raise wrong.ModelConnectionError(self.name, "It ended without saying that it had.", phase="read")
        return response

    def _can_be_asked_another_way(self, error: Exception) -> bool:
        if self._said:
            return False
        if self.streaming and (self._answers.has_kept or refuses_streams(error)):
            self.streaming = False
            return True
        older = older_api(self.name, self._answers) if not self._has_answered and may_lack_api(error) else None
        if older is None or type(older) is type(self.model):
            return False
        self.model, self._refused = older, error
        return True

    async def _wait(self, problem: Problem, tries: int) -> None:
        """Until it makes sense to try again. Raises AgentError if it makes none."""
        wait_s = problem.wait_s if problem.wait_s is not None else _wait_s(tries)
        if self._said or not problem.again or tries >= MAX_TRIES or wait_s > MAX_WAIT_S:
            raise problem.error()
        say(f"{problem.message} Trying again in {wait_s:g} s ({tries + 1} of {MAX_TRIES}).")
        await asyncio.sleep(wait_s)

    def _tell(self, event: ModelResponseStreamEvent) -> None:
        match event:
            case PartStartEvent(part=part):
                self._tell_part(part)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=content)):
                self._send("text", content)
            case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=content)):
                self._send("thinking", content)

    def _tell_part(self, part: object) -> None:
        if isinstance(part, TextPart | ThinkingPart):
            self._send("text" if isinstance(part, TextPart) else "thinking", part.content)

    def _send(self, kind: str, content: str | None) -> None:
        if content and not self._silent:
            self._said = True
            self._wire.send(kind, content=content)


def _whole(response: ModelResponse, *, after_tools: bool) -> ModelResponse:
    """Raises AgentError for an answer that its provider says is not all. After tools there may be nothing to add."""
    if response.finish_reason == "length":
        raise AgentError("answer-cut", "The model's answer reached its longest length; ask for less at once.")
    if response.finish_reason == "content_filter":
        raise AgentError("content-filtered", "The provider filtered the answer: put it another way.")
    if response.finish_reason == "error":
        raise wrong.UnexpectedModelBehavior(f"It ended with {_own_finish_reason(response) or 'an error'}.")
    if not response.parts and not after_tools:
        raise wrong.UnexpectedModelBehavior("An empty answer.")
    return response


def _own_finish_reason(response: ModelResponse) -> object:
    """The provider's own word, known to us or not."""
    return (response.provider_details or {}).get("finish_reason")


def _ends_with_results(messages: Sequence[ModelMessage]) -> bool:
    return any(isinstance(part, ToolReturnPart) for part in messages[-1].parts)


def _wait_s(tries: int) -> float:
    first_s = float(os.environ.get("AGENT_RETRY_WAIT_S") or FIRST_WAIT_S)
    return min(MAX_WAIT_S, first_s * 2.0 ** (tries - 1))


def say(line: str) -> None:
    """For the log: what helps somebody who wonders why nothing happens."""
    print(line, file=sys.stderr, flush=True)
