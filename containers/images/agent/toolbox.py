"""Calls of tools, as the wire sees them: each call is announced, may have to be approved, and ends in one result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

from pydantic_ai.messages import ToolCallPart, ToolReturnPart
from pydantic_ai.tools import ToolDefinition

from .approvals import SUBJECTS, needs_approval
from .names import safe_name
from .protocol import Inbox, Wire, ask_approval
from .text import clean
from .tools import Output, Tool, ToolFailed

TITLE_CHARACTERS = 120
EVENT_NAME_CHARACTERS = 200
MOST_TITLES = 20
"""Of calls, in place of an answer that the model did not give."""


class Toolbox:
    """The tools of this run."""

    def __init__(self, wire: Wire, inbox: Inbox, tools: Sequence[Tool], approvals: object = None) -> None:
        self._wire, self._inbox, self._approvals = wire, inbox, approvals
        self._tools: dict[str, Tool] = {}
        """By the names that the model knows. Events have the tools' own."""
        for tool in tools:
            self._tools[self._free_name(tool.name)] = tool
        self.titles: list[str] = []
        """Of all calls, in order: what was done."""

    def definitions(self) -> list[ToolDefinition]:
        return [tool.definition(name) for name, tool in self._tools.items()]

    def _free_name(self, name: str) -> str:
        free, number = safe_name(name), 2
        while free in self._tools:
            free, number = safe_name(f"{name}_{number}"), number + 1
        return free

    def _own_name(self, name: str) -> str:
        """Of a tool, as people and rules of approval know it."""
        tool = self._tools.get(name)
        return tool.name if tool else name

    def close_without_answer(self) -> str:
        """Says that the model gave no closing answer, and what it did."""
        shown, more = "; ".join(self.titles[:MOST_TITLES]), len(self.titles) - MOST_TITLES
        did = f" It did: {shown}{f'; {more} more' if more > 0 else ''}." if shown else ""
        note = f"[The model gave no answer.{did}]"
        self._wire.send("text", content=note)
        return note

    async def call_all(self, calls: Sequence[ToolCallPart]) -> list[ToolReturnPart]:
        """All at once: a model that asks for several does not want to wait for one before the next."""
        announced = [self._announce(call) for call in calls]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._call(call, *known)) for call, known in zip(calls, announced, strict=True)]
        return [task.result() for task in tasks]

    def _announce(self, call: ToolCallPart) -> tuple[str, dict[str, Any] | None]:
        """Its id in the log, which no other call of this agent has, and its arguments: None if they are none."""
        call_id = f"call-{uuid4().hex[:12]}"
        try:
            arguments = call.args_as_dict(raise_if_invalid=True)
        except (ValueError, AssertionError):
            arguments = None
        name = self._own_name(call.tool_name)
        title = _title(name, arguments or {})
        self.titles.append(title)
        self._wire.send(
            "tool-call", call_id=call_id, name=name[:EVENT_NAME_CHARACTERS], arguments=arguments or {}, title=title
        )
        return call_id, arguments

    async def _call(self, call: ToolCallPart, call_id: str, arguments: dict[str, Any] | None) -> ToolReturnPart:
        started = time.monotonic()
        output = Output(lambda text: self._wire.send("tool-output", call_id=call_id, content=text))
        result, is_error = "Cancelled.", True
        try:
            result, is_error = await self._work(call.tool_name, call_id, arguments, output), False
        except ToolFailed as error:
            result = str(error)
        finally:
            passed_ms = round((time.monotonic() - started) * 1000)
            self._wire.send("tool-result", call_id=call_id, result=result, is_error=is_error, duration_ms=passed_ms)
        told = "\n".join(filter(None, (output.text(), result)))
        content = [clean(told), *output.images] if output.images else clean(told)
        outcome: Literal["failed", "success"] = "failed" if is_error else "success"
        return ToolReturnPart(call.tool_name, content, call.tool_call_id, outcome=outcome)

    async def _work(self, name: str, call_id: str, arguments: dict[str, Any] | None, output: Output) -> str:
        """Raises ToolFailed."""
        tool = self._tools.get(name)
        if tool is None:
            raise ToolFailed(f"There is no tool {name!r}; there are: {', '.join(self._tools)}.")
        if arguments is None:
            raise ToolFailed("The arguments are not a JSON object.")
        if needs_approval(self._approvals, tool.name, arguments):
            question = f"May it {_title(tool.name, arguments)}?"
            if refusal := await ask_approval(self._wire, self._inbox, call_id, question):
                raise ToolFailed(refusal)
        try:
            return await tool.call(arguments, output)
        except OSError as error:
            raise ToolFailed(f"It failed: {error.strerror or error}.") from error


def _title(name: str, arguments: dict[str, Any]) -> str:
    """What it does, in a line."""
    about = arguments.get(SUBJECTS.get(name, "pattern"))
    first = str(about).strip().partition("\n")[0] if isinstance(about, str) else ""
    title = f"{name.replace('_', ' ')} {first}".strip()
    return title if len(title) <= TITLE_CHARACTERS else title[: TITLE_CHARACTERS - 1] + "…"
