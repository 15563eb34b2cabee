"""What a tool is: a name, its arguments as a model of pydantic, and a coroutine that does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_ai.messages import BinaryContent
from pydantic_ai.tools import ToolDefinition

from .terminal import Terminal

SHOWN_CHARACTERS = 200_000
"""Of a call's output, as events: for people. A run's whole output is limited by the site."""
TOLD_CHARACTERS = 24_000
"""Of a call's output, to the model: the beginning and the end."""


class ToolFailed(Exception):
    """The tool could not do it; the words go to the model."""


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Output:
    """What a call prints while it works: shown at once, and kept for the model, both up to a limit."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show, self._shown = show, 0
        self._head, self._tail, self._left_out = "", "", 0
        self._terminal = Terminal(self._keep)
        self.images: list[BinaryContent] = []

    def write(self, text: str) -> None:
        self._show_up_to_limit(text)
        self._keep(text)

    def write_terminal(self, text: str) -> None:
        """Of a program, which may redraw what it has printed: people see all of it, the model what is left."""
        self._show_up_to_limit(text)
        self._terminal.write(text)

    def attach(self, image: BinaryContent) -> None:
        """For the model to see."""
        self.images.append(image)

    def _show_up_to_limit(self, text: str) -> None:
        if not text:
            return
        if self._shown < SHOWN_CHARACTERS:
            room = SHOWN_CHARACTERS - self._shown
            self._show(text if len(text) <= room else text[:room] + "\n[… more than is shown here]\n")
        self._shown += len(text)

    def text(self) -> str:
        """For the model."""
        self._terminal.finish()
        left_out = f"\n[… {self._left_out} characters are left out here …]\n" if self._left_out else ""
        return self._head + left_out + self._tail

    def _keep(self, text: str) -> None:
        half = TOLD_CHARACTERS // 2
        room = half - len(self._head)
        self._head += text[:room] if room > 0 else ""
        tail = self._tail + text[max(room, 0) :]
        self._left_out += max(0, len(tail) - half)
        self._tail = tail[-half:]


Work = Callable[[Any, Output], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Tool:
    """`work` is given the checked arguments and the output, and answers with the result: a line of text."""

    name: str
    description: str
    arguments: type[Arguments] | None
    work: Work
    schema: dict[str, Any] = field(default_factory=dict)
    """Of the arguments, where no model of pydantic says it."""

    def definition(self, name: str = "") -> ToolDefinition:
        """With the name that the model calls it by, if it is another."""
        schema = self.arguments.model_json_schema() if self.arguments else self.schema
        return ToolDefinition(name=name or self.name, parameters_json_schema=schema, description=self.description)

    async def call(self, arguments: dict[str, Any], output: Output) -> str:
        """Raises ToolFailed."""
        if self.arguments is None:
            return await self.work(arguments, output)
        try:
            checked = self.arguments.model_validate(arguments)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise ToolFailed(f"Wrong arguments: {wrong}") from error
        return await self.work(checked, output)
