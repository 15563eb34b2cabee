"""What the mock provider says: turns of text, thinking and tool calls, and what goes wrong in them.

A `Turn` is one answer of the model. The formats (chat.py, responses.py, anthropic.py, gemini.py, ollama.py) put it on
the wire; nothing here knows of any of them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

CHARACTERS_A_TOKEN = 4

Kind = Literal[
    "unauthorized",
    "rate-limited",
    "quota",
    "overloaded",
    "server-error",
    "context-too-long",
    "unknown-model",
    "bad-request",
    "no-streaming",  # only a request that asks for a stream is refused
    "no-such-path",  # a server that does not know this API
]
Manner = Literal[
    "refuse",  # answered with an error's status before anything else
    "break",  # an error inside the stream
    "cut",  # the connection is lost
    "end-early",  # the stream ends in good order, but nothing says that the answer has
    "garbage",  # something that is none of this format
]


@dataclass(frozen=True, slots=True)
class Text:
    content: str


@dataclass(frozen=True, slots=True)
class Thinking:
    content: str


@dataclass(frozen=True, slots=True)
class Call:
    """Arguments as a string are sent as they are, broken JSON too."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)

    @property
    def json(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


Part = Text | Thinking | Call


@dataclass(frozen=True, slots=True)
class Fault:
    """`after`: how many pieces of the answer arrive first (not for `refuse`)."""

    manner: Manner
    kind: Kind = "server-error"
    after: int = 0
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer in bytes, for what no format of ours says."""

    body: bytes
    status: int = 200
    content_type: str = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Turn:
    """`hold` is waited for before the first byte, `hold_last` before the last piece: set by a test when it likes."""

    parts: tuple[Part, ...] = ()
    fault: Fault | None = None
    hold: threading.Event | None = None
    hold_last: threading.Event | None = None
    pause_s: float = 0.0
    """Between two pieces."""
    piece_characters: int = 16
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish: str | None = None
    """In place of the format's own word for how the answer ended."""
    raw: Raw | None = None
    """Sent in place of all that."""
    drop: bool = False
    """The connection is lost before anything is sent."""

    def pieces(self, text: str) -> Iterator[str]:
        for start in range(0, len(text), self.piece_characters):
            yield text[start : start + self.piece_characters]

    def tokens(self, asked: Asked) -> tuple[int, int]:
        """Input and output, as the provider counts them: about four characters each, unless the script says."""
        said = sum(len(part.json if isinstance(part, Call) else part.content) for part in self.parts)
        given = self.input_tokens if self.input_tokens is not None else asked.characters // CHARACTERS_A_TOKEN + 1
        return given, self.output_tokens if self.output_tokens is not None else said // CHARACTERS_A_TOKEN + 1


def turn(*parts: Part | str, **options: Any) -> Turn:
    """A plain string is text."""
    return Turn(tuple(Text(part) if isinstance(part, str) else part for part in parts), **options)


def refusal(kind: Kind, retry_after_s: float | None = None) -> Turn:
    return Turn(fault=Fault("refuse", kind, retry_after_s=retry_after_s))


@dataclass(frozen=True, slots=True)
class Message:
    """One of a request, whatever its format: a tool's result has the role `tool`."""

    role: str
    text: str = ""
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood."""

    model: str
    streaming: bool
    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    thinking: bool = False

    @property
    def characters(self) -> int:
        return sum(len(message.text) + sum(len(call.json) for call in message.calls) for message in self.messages)

    def call_id(self, index: int) -> str:
        """The same for the same request, another one in the next."""
        return f"{len(self.messages)}_{index}"

    @property
    def system(self) -> str:
        return "\n".join(message.text for message in self.messages if message.role == "system")

    def texts(self, role: str) -> list[str]:
        return [message.text for message in self.messages if message.role == role]


Author = Callable[[Asked], Turn]


class Queue:
    """Each request takes the next turn, whoever sends it. After the last: `bad-request`, which nobody tries again."""

    def __init__(self, turns: Sequence[Turn] = ()) -> None:
        self._turns = list(turns)
        self._lock = threading.Lock()

    def add(self, turns: Sequence[Turn]) -> None:
        with self._lock:
            self._turns += turns

    @property
    def left(self) -> int:
        return len(self._turns)

    def __call__(self, asked: Asked) -> Turn:
        with self._lock:
            return self._turns.pop(0) if self._turns else refusal("bad-request")


def by_progress(turns: Sequence[Turn]) -> Author:
    """The turn is chosen by how many rounds of tools the request has behind its last question, so that the same request
    gets the same answer, however often it is sent and however many conversations there are. The last turn stays."""

    def author(asked: Asked) -> Turn:
        rounds, previous = 0, ""
        for message in asked.messages:
            if message.role == "user":
                rounds = 0
            elif message.role == "tool" and previous != "tool":
                rounds += 1
            previous = message.role
        return turns[min(rounds, len(turns) - 1)]

    return author
