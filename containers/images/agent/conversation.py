"""The loop: ask the model, do what it wants, ask again, until it wants nothing more."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_ai import exceptions as wrong
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelRequestPart, ModelResponse, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from .asking import Asking, say
from .compaction import compact, tokens
from .errors import AgentError, ContextTooLong
from .protocol import Inbox
from .toolbox import Toolbox

MAX_STEPS = 500
"""Calls of the model in a run, if nothing else stops it."""
FEWEST_TOKENS = 2_000
"""A budget below this leaves nothing to work with."""


class Conversation:
    def __init__(self, asking: Asking, toolbox: Toolbox, inbox: Inbox, instructions: str, budget_tokens: int) -> None:
        self._asking, self._toolbox, self._inbox = asking, toolbox, inbox
        self._instructions, self._budget = instructions, budget_tokens
        self._messages: list[ModelMessage] = []

    async def run(self, history: Sequence[ModelMessage], prompt: str) -> str:
        """The last answer. Raises AgentError."""
        self._messages = list(history)
        self._add([UserPromptPart(prompt)])
        for _ in range(MAX_STEPS):
            response = await self._ask()
            if response.tool_calls or (response.text or "").strip():  # providers refuse a turn of thinking alone
                self._messages.append(response)
            results = await self._toolbox.call_all(response.tool_calls)
            steering = [UserPromptPart(message) for message in self._inbox.take_messages()]
            if not results and not steering:
                answer = response.text or ""
                return answer if answer.strip() else self._toolbox.close_without_answer()
            self._add([*results, *steering])
        raise AgentError("step-limit", f"The run took {MAX_STEPS} steps without an end; start another to go on.")

    def _add(self, parts: list[ModelRequestPart]) -> None:
        last = self._messages[-1] if self._messages else None
        if isinstance(last, ModelRequest):  # two questions in a row: some providers take no such thing
            parts = [*last.parts, *parts]
            self._messages.pop()
        self._messages.append(ModelRequest(parts))

    async def _ask(self) -> ModelResponse:
        """A conversation that is too long for the model after all is made shorter, and tried again."""
        self._messages = await compact(self._messages, self._budget, self._summarise)
        while True:
            try:
                return await self._asking.ask(self._instructed(self._messages), self._parameters())
            except ContextTooLong as error:
                shorter = min(self._budget, tokens(self._messages)) // 2
                compacted = await self._compacted(shorter, error)
                say(f"The conversation is too long for {self._asking.name}: its older part is summed up.")
                self._budget, self._messages = shorter, compacted

    async def _compacted(self, budget: int, error: ContextTooLong) -> list[ModelMessage]:
        """Raises AgentError if there is nothing to take away."""
        if budget < FEWEST_TOKENS:
            raise error
        compacted = await compact(self._messages, budget, self._summarise)
        if tokens(compacted) >= tokens(self._messages):
            raise error
        return compacted

    async def _summarise(self, messages: Sequence[ModelMessage]) -> str:
        """By the same model, which is not heard meanwhile. Without a summary the older part still has to go."""
        try:
            return (await self._asking.ask_silently(self._instructed(messages), ModelRequestParameters())).text or ""
        except (AgentError, wrong.AgentRunError) as error:
            say(f"There is no summary of the older part of the conversation: {error}")
            return "(There is none.)"

    def _instructed(self, messages: Sequence[ModelMessage]) -> list[ModelMessage]:
        *before, last = messages
        assert isinstance(last, ModelRequest)
        return [*before, ModelRequest(last.parts, instructions=self._instructions)]

    def _parameters(self) -> ModelRequestParameters:
        return ModelRequestParameters(function_tools=self._toolbox.definitions())
