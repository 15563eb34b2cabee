"""What a run spent its time on: a pure function of its events, and no more than they say.

    queued    until it was taken up                 thinking  from the first to the last word of reasoning
    starting  until its program said something      tool      from its call to its result
    model     a model call: it ended at `usage`     waiting   from a question to its answer
    words     text without a report of usage        working   the run goes on, and nothing was heard since

When a model call began is not in the log: at the earliest when the program last got something to work on, and there its
bar begins. Times are those of the log. Its order is the truth where clocks differ, so time never goes back here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from agents.pages import measures
from agents.programs.translator import SAYABLE
from streaming.model.events import Event

Kind = Literal["queued", "starting", "model", "words", "thinking", "tool", "waiting", "working"]
LAG_MS = 1000.0
"""Usage is counted on the way through the gateway: the last words of that call may come so much later."""
BACK_MS = 50.0
"""Deltas are held a moment before they become events: only a larger step back is a difference of clocks."""


@dataclass(frozen=True, slots=True)
class Span:
    """Milliseconds since the run's first event. `is_open`: it goes on. `words_ms`: when a model call's words began.
    `call_id`: the call that a question is about. `waits`: when such questions waited, which is not the call's time."""

    kind: Kind
    name: str
    start_ms: float
    end_ms: float
    is_open: bool = False
    is_error: bool = False
    words_ms: float | None = None
    detail: str = ""
    call_id: str | None = None
    waits: tuple[tuple[float, float], ...] = ()

    @property
    def duration_ms(self) -> float:
        return sum(end - start for start, end in self.busy())

    def busy(self) -> list[tuple[float, float]]:
        """From when to when, in order: all of it but the waits."""
        found, at = [], self.start_ms
        for start, end in sorted(self.waits):
            if start > at:
                found.append((at, start))
            at = max(at, end)
        return found if found and at >= self.end_ms else [*found, (at, self.end_ms)]


@dataclass(frozen=True, slots=True)
class Mark:
    at_ms: float
    kind: Literal["attempt", "taken-over", "error"]
    words: str


@dataclass(slots=True)
class Timeline:
    """`spans` in the order in which they began. `running_ms`: when it was taken up. `usage`: the latest total that is
    in the log. `clocks_differ`: some event is dated before the one that it follows."""

    started_at: datetime | None = None
    running_ms: float | None = None
    end_ms: float = 0.0
    is_open: bool = True
    spans: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    model_calls: int = 0
    tool_calls: int = 0
    has_spoken: bool = False
    """Its program has said something that stands in the conversation."""
    clocks_differ: bool = False

    def busy_ms(self, *kinds: Kind) -> float:
        """How long at least one of them went on."""
        total, reached = 0.0, 0.0
        for start, end in sorted(times for span in self.spans if span.kind in kinds for times in span.busy()):
            total += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        return total


def of(events: Iterable[Event], now: datetime | None = None, *, begins: bool = True) -> Timeline:
    """Of one run's events, in order. `now`: until when what is open lasts, while the run goes on. `begins` is false for
    a later part of them: times are since its first event, and what began before it begins there."""
    teller = _Teller(begins)
    for event in events:
        teller.hear(event)
    return teller.told(now)


class _Teller:
    def __init__(self, begins: bool) -> None:
        self.line = Timeline()
        self._begins = begins
        if not begins:
            self.line.running_ms, self.line.has_spoken = 0.0, True
        self._at = 0.0
        self._epoch: int | None = None
        self._attempt: int | None = None
        self._queued_ms: float | None = None
        self._starting_ms: float | None = None
        self._thinking: list[float] | None = None
        self._calls: dict[str, Span] = {}
        self._questions: dict[str, Span] = {}
        self._waits: dict[str, list[tuple[float, float]]] = {}
        """By call: when its questions waited."""
        self._step_ms: float | None = None
        """Since when the program has all that it waited for."""
        self._counted_ms: float | None = None
        """When usage was last told in this step."""
        self._first_ms: float | None = None
        """When the first word of this step came, of text or reasoning."""
        self._words: list[float] | None = None

    def hear(self, event: Event) -> None:
        self._pass_time(datetime.fromisoformat(event.timestamp))
        if self._epoch not in (None, event.epoch) and self.line.running_ms is not None:
            self.line.marks.append(Mark(self._at, "taken-over", "Taken over: another writer of the log goes on."))
        self._epoch = event.epoch
        if event.type in _OF_THE_PROGRAM and event.data.get("role") != "user":
            self._spoken(event.type)
            self.line.has_spoken |= event.type in _IN_THE_CONVERSATION
        if event.type not in ("thinking", "usage"):
            self._end_thinking()
        if (step := _STEPS.get(event.type)) is not None:
            step(self, event.data)

    def told(self, now: datetime | None) -> Timeline:
        if now is not None and self.line.is_open and self.line.started_at is not None:
            self._at = max(self._at, self._since_start(now))
        if self.line.is_open:
            self._leave_open()
        self.line.end_ms = max([self._at, *(span.end_ms for span in self.line.spans)])
        self.line.spans.sort(key=lambda span: span.start_ms)
        return self.line

    # Time ---------------------------------------------------------------------------------------------------------

    def _pass_time(self, moment: datetime) -> None:
        if self.line.started_at is None:
            self.line.started_at = moment
        passed = self._since_start(moment)
        self.line.clocks_differ |= passed < self._at - BACK_MS
        self._at = max(self._at, passed)

    def _since_start(self, moment: datetime) -> float:
        assert self.line.started_at is not None
        return (moment - self.line.started_at).total_seconds() * 1000

    def _add(self, kind: Kind, name: str, start_ms: float, **more: Any) -> None:
        self.line.spans.append(Span(kind, name, start_ms, more.pop("end_ms", self._at), **more))

    # Life of the run ----------------------------------------------------------------------------------------------

    def _status(self, data: dict[str, Any]) -> None:
        status, attempt = data["status"], data.get("attempt")
        if status == "queued" and self.line.running_ms is None:
            self._queued_ms = self._at
        elif status == "running" and self.line.running_ms is None:
            self._end_queue()
            self.line.running_ms = self._starting_ms = self._at
            self._attempt = attempt
        elif status == "running" and attempt is not None and attempt != self._attempt:
            self._end_step()
            self._attempt, self._starting_ms, self._step_ms = attempt, self._at, None
            self.line.marks.append(Mark(self._at, "attempt", f"Attempt {attempt} began."))

    def _end_queue(self) -> None:
        if self._queued_ms is not None:
            self._add("queued", "In the queue", self._queued_ms)
            self._queued_ms = None

    def _spoken(self, type_: str) -> None:
        """The program's first sign of life. A model call that was its first is as old as the program."""
        begun, self._starting_ms = self._starting_ms, None
        if begun is not None:
            self._add("starting", "Starting, until the first words", begun)
        if self._step_ms is None:
            self._step_ms = begun if begun is not None and type_ == "usage" else self._at

    def _done(self, data: dict[str, Any]) -> None:
        self._end_queue()
        if self._starting_ms is not None:
            self._add("starting", "Starting: it said nothing", self._starting_ms)
        for question in self._questions.values():
            self._end_wait(question)
            self._close(question, "not answered before the run ended")
        for call in self._end_calls():
            self._close(call, "not finished when the run ended")
        self._questions, self._starting_ms = {}, None
        self._end_step()
        self.line.is_open = False

    def _error(self, data: dict[str, Any]) -> None:
        self.line.marks.append(Mark(self._at, "error", f"{data['code']}: {data['message']}"))

    # Model --------------------------------------------------------------------------------------------------------

    def _say(self, data: dict[str, Any]) -> None:
        if data.get("role") == "user":
            return
        self._words = [self._words[0] if self._words else self._at, self._at]
        self._first_ms = self._at if self._first_ms is None else self._first_ms

    def _think(self, data: dict[str, Any]) -> None:
        self._first_ms = self._at if self._first_ms is None else self._first_ms
        self._thinking = [self._thinking[0] if self._thinking else self._at, self._at]

    def _end_thinking(self) -> None:
        if self._thinking is not None:
            begun, ended = self._thinking
            self._add("thinking", "Thinking", begun, end_ms=ended)
            self._thinking = None

    def _usage(self, data: dict[str, Any]) -> None:
        begun = self._at if self._step_ms is None else self._step_ms
        self.line.model_calls += 1
        self.line.usage = data.get("total")
        name, spent = data.get("model") or "Model call", measures.usage(data)
        self._add("model", name, begun, words_ms=self._first_ms, detail=spent)
        self._step_ms = self._counted_ms = self._at
        self._words = self._first_ms = None

    def _is_late(self, words: list[float]) -> bool:
        """Are these the last words of the call whose usage was told already?"""
        return self._counted_ms is not None and words[1] - self._counted_ms < LAG_MS

    def _end_step(self) -> None:
        """What comes next, the program does with something new in its hands."""
        self._end_thinking()
        if self._words is not None and not self._is_late(self._words):
            begun, ended = self._words
            self._add("words", "Text", begun, end_ms=ended)
        self._words = self._first_ms = self._counted_ms = None
        if self._step_ms is not None:
            self._step_ms = self._at

    # Tools and questions ------------------------------------------------------------------------------------------

    def _call(self, data: dict[str, Any]) -> None:
        self.line.tool_calls += 1
        known = self._end_call(data["call_id"])
        if known is not None:
            self._close(known, "called once more under the same id")
        title = data.get("title") or ""
        self._calls[data["call_id"]] = Span("tool", data["name"], self._at, self._at, detail=title)

    def _result(self, data: dict[str, Any]) -> None:
        call = self._end_call(data["call_id"]) or self._earlier("tool", "Tool of an earlier part")
        if call is None:
            return
        self.line.spans.append(replace(call, end_ms=self._at, is_error=bool(data["is_error"])))
        if not self._calls:
            self._end_step()

    def _earlier(self, kind: Kind, name: str) -> Span | None:
        """What ends here and began in an earlier part."""
        return None if self._begins else Span(kind, name, 0.0, self._at)

    def _end_call(self, call_id: str) -> Span | None:
        call, waits = self._calls.pop(call_id, None), self._waits.pop(call_id, [])
        return None if call is None else replace(call, end_ms=self._at, waits=tuple(waits))

    def _end_calls(self) -> list[Span]:
        return [call for call_id in list(self._calls) if (call := self._end_call(call_id)) is not None]

    def _ask(self, data: dict[str, Any]) -> None:
        known = self._questions.pop(data["approval_id"], None)
        if known is not None:
            self._end_wait(known)
            self._close(known, "asked once more under the same id")
        self._questions[data["approval_id"]] = Span(
            "waiting", "Waiting for an answer", self._at, self._at, call_id=data.get("call_id")
        )

    def _answer(self, data: dict[str, Any]) -> None:
        question = self._questions.pop(data["approval_id"], None) or self._earlier("waiting", "Waiting for an answer")
        if question is None:
            return
        self._end_wait(question)
        self.line.spans.append(replace(question, end_ms=self._at, detail=f"{data['decision']}, by {data['by']}"))
        if not self._calls:
            self._end_step()

    def _end_wait(self, question: Span) -> None:
        if question.call_id is not None:
            self._waits.setdefault(question.call_id, []).append((question.start_ms, self._at))

    def _close(self, span: Span, why: str) -> None:
        detail = f"{span.detail} ({why})" if span.detail else why
        self.line.spans.append(replace(span, end_ms=self._at, detail=detail))

    def _leave_open(self) -> None:
        for question in self._questions.values():
            self._end_wait(question)
        opened = [*self._end_calls(), *self._questions.values()]
        self.line.spans += [replace(span, end_ms=self._at, is_open=True) for span in opened]
        if self._queued_ms is not None:
            self._add("queued", "In the queue", self._queued_ms, is_open=True)
        elif self._starting_ms is not None:
            self._add("starting", "Starting", self._starting_ms, is_open=True)
        elif not opened and self._step_ms is not None:
            self._add("working", "Working", self._step_ms, is_open=True, words_ms=self._first_ms)


_OF_THE_PROGRAM = SAYABLE - {"error"}
_IN_THE_CONVERSATION = frozenset(("text", "thinking", "message", "tool-call"))
_STEPS: dict[str, Callable[[_Teller, dict[str, Any]], None]] = {
    "status": _Teller._status,
    "done": _Teller._done,
    "error": _Teller._error,
    "text": _Teller._say,
    "message": _Teller._say,
    "thinking": _Teller._think,
    "usage": _Teller._usage,
    "tool-call": _Teller._call,
    "tool-result": _Teller._result,
    "approval-request": _Teller._ask,
    "approval-response": _Teller._answer,
}
