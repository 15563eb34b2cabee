"""The AI SDK's UI message stream, version 1 (AI SDK 5 and later; ai-sdk.dev, "Stream Protocols").

One run is one message of the assistant: `start` with the run's id … `finish`. Only fields that version 5.0 knows are
used, since its clients refuse a part with any other. Tools are `dynamic`, and `providerExecuted`: they have run here,
so a client must not run them nor answer for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from streaming.http.dialects.runs import Runs
from streaming.http.dialects.saying import Part, Saying, field_of, with_run
from streaming.model.cursor import Cursor, ResetReason
from streaming.model.events import Event, encode
from streaming.model.fold import State

KEPT = frozenset(("message", "plan", "approval-request", "approval-response", "files", "usage", "error"))
"""Types whose `data-` parts stay in the message; others are `transient`: they only pass by."""
_STREAMED = {"text": "text", "thinking": "reasoning"}


class AiSdk:
    """`only`: say nothing before that run begins. A response of this protocol is one message, and what another run
    says at its beginning would become part of it."""

    HEADERS: ClassVar[tuple[tuple[bytes, bytes], ...]] = ((b"x-vercel-ai-ui-message-stream", b"v1"),)
    HAS_SNAPSHOT: ClassVar[bool] = False
    ENDING: ClassVar[bytes] = b"data: [DONE]\n\n"

    def __init__(self, agent_id: str, only: str | None = None) -> None:
        self._runs = Runs(only)
        self._open: tuple[str, str] | None = None
        """Kind and id of the text or reasoning that is open."""
        self._announced: set[str] = set()

    def begin_with(self, run_id: str) -> None:
        self._runs.only = run_id

    def learn(self, event: Event) -> None:
        self._runs.note(event)

    def event(self, event: Event) -> Saying:
        if self._runs.only is not None and event.run_id != self._runs.only:
            return Saying([])
        parts = self._begin(event)
        if event.run_id == self._runs.open and self._runs.open is not None:
            self._runs.only = None
            parts += self._SAY.get(event.type, AiSdk._data)(self, event)
        else:
            parts += [_data(event, transient=True)]
        self.learn(event)
        return Saying(parts)

    def reset(self, reason: ResetReason) -> Saying:
        return Saying([{"type": "data-reset", "data": {"reason": reason}, "transient": True}])

    def snapshot(self, at: Cursor, state: State) -> Saying:
        """Only behind a reset. The run that is still active goes on in its message."""
        active = state["active_run"]
        parts = self._close()
        if self._runs.open is not None and self._runs.open != active:
            parts += self._finish({})
        self._runs.are_as_in(state)
        data = {"epoch": at.epoch, "seq": at.seq, "state": state}
        return Saying([*parts, {"type": "data-snapshot", "data": data, "transient": True}])

    # The message ---------------------------------------------------------------------------------------------------

    def _begin(self, event: Event) -> list[Part]:
        """The run's opening, if it is not open; nothing for what comes beside a run that is."""
        run_id = self._runs.opened_by(event)
        if run_id is None:
            return []
        parts = [*self._close(), *self._finish({})] if self._runs.open is not None else []
        self._runs.open = run_id
        parts.append({"type": "start", "messageId": run_id})
        if not self._runs.known(run_id).has_begun:  # else its step was begun in an earlier response, and goes on
            parts.append({"type": "start-step"})
        return parts

    def _finish(self, metadata: dict[str, Any]) -> list[Part]:
        self._runs.open = None
        self._announced.clear()
        return [{"type": "finish-step"}, {"type": "finish", "messageMetadata": metadata}]

    def _done(self, event: Event) -> list[Part]:
        so_far = self._runs.known(event.run_id)
        parts = self._close()
        for call_id in list(so_far.calls):
            parts += [*self._announce(call_id), _failed(call_id, "interrupted")]
        step, finish = self._finish(event.data)
        if event.data["status"] == "failed":
            message = so_far.error["message"] if so_far.error else "the run failed"
            return [*parts, step, {"type": "error", "errorText": message}, finish]
        if event.data["status"] == "cancelled":
            return [*parts, step, {"type": "abort"}, finish]
        return [*parts, step, finish]

    def _data(self, event: Event) -> list[Part]:
        return [_data(event, transient=event.type not in KEPT)]

    # Text and reasoning --------------------------------------------------------------------------------------------

    def _delta(self, event: Event) -> list[Part]:
        kind, id_ = _STREAMED[event.type], event.data["message_id"]
        return [*self._turn_to(kind, id_), {"type": f"{kind}-delta", "id": id_, "delta": event.data["content"]}]

    def _message(self, event: Event) -> list[Part]:
        """A whole message is text like any other, unless it corrects what came in deltas: text can't be taken back."""
        data = event.data
        if data["role"] != "assistant" or data["message_id"] in self._runs.known(event.run_id).texts:
            return self._data(event)
        delta = {"type": "text-delta", "id": data["message_id"], "delta": data["content"]}
        return [*self._turn_to("text", data["message_id"]), delta]

    def _turn_to(self, kind: str, id_: str) -> list[Part]:
        if self._open == (kind, id_):
            return []
        parts = self._close()
        self._open = kind, id_
        return [*parts, {"type": f"{kind}-start", "id": id_}]

    def _close(self) -> list[Part]:
        if self._open is None:
            return []
        (kind, id_), self._open = self._open, None
        return [{"type": f"{kind}-end", "id": id_}]

    # Tools ---------------------------------------------------------------------------------------------------------

    def _tool_call(self, event: Event) -> list[Part]:
        self.learn(event)
        self._announced.discard(event.data["call_id"])
        return [*self._close(), *self._announce(event.data["call_id"])]

    def _announce(self, call_id: str) -> list[Part]:
        """Once a response: a client refuses the result of a call that it does not know."""
        if call_id in self._announced:
            return []
        self._announced.add(call_id)
        call = self._runs.known(self._runs.open).calls[call_id]
        head = {"toolCallId": call_id, "toolName": call["name"], "dynamic": True, "providerExecuted": True}
        given: Part = {"type": "tool-input-available", **head, "input": field_of(call, "arguments")}
        if call.get("title"):
            given["providerMetadata"] = {"agentsite": {"title": call["title"]}}
        return [{"type": "tool-input-start", **head}, given]

    def _tool_result(self, event: Event) -> list[Part]:
        call_id, result = event.data["call_id"], event.data["result"]
        if call_id not in self._runs.known(event.run_id).calls:
            return [_data(event, transient=False)]
        if event.data["is_error"]:
            text = result if isinstance(result, str) else encode(result)
            return [*self._announce(call_id), _failed(call_id, text)]
        output = {"type": "tool-output-available", "toolCallId": call_id, "output": result, "dynamic": True}
        return [*self._announce(call_id), {**output, "providerExecuted": True}]

    _SAY: ClassVar[dict[str, Callable[[AiSdk, Event], list[Part]]]] = {
        "text": _delta,
        "thinking": _delta,
        "message": _message,
        "tool-call": _tool_call,
        "tool-result": _tool_result,
        "done": _done,
    }


def _data(event: Event, *, transient: bool) -> Part:
    part: Part = {"type": f"data-{event.type}", "data": with_run(event)}
    if transient:
        return {**part, "transient": True}
    # A plan takes the place of the one before, and a part that has an id that of the part with the same one.
    return {**part, "id": event.run_id} if event.type == "plan" else part


def _failed(call_id: str, text: str) -> Part:
    failed = {"type": "tool-output-error", "toolCallId": call_id, "errorText": text}
    return {**failed, "dynamic": True, "providerExecuted": True}
