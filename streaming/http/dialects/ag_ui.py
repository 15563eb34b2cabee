"""AG-UI 1.0 (docs.ag-ui.com/spec/1.0), the Agent-User Interaction Protocol.

An agent is a thread. Nothing may be said outside a run, so what the log says between two of ours (a prompt in the
queue, a file that was uploaded, a rename, the snapshot of an agent at rest) comes in a run of its own, named after the
cursor.
Ids of messages and calls are unique within a run here and within a thread there, hence `<run>:<id>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from streaming.http.dialects.runs import Runs
from streaming.http.dialects.saying import Part, Saying, field_of, with_run
from streaming.model.cursor import Cursor, ResetReason
from streaming.model.events import Event, encode
from streaming.model.fold import State


class AgUi:
    HEADERS: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()
    HAS_SNAPSHOT: ClassVar[bool] = True
    ENDING: ClassVar[bytes] = b""

    def __init__(self, agent_id: str, only: str | None = None) -> None:
        self._thread = agent_id
        self._runs = Runs(only)
        self._open: tuple[str, str] | None = None
        """Type and id of the text or reasoning message that is open."""
        self._reset: list[Part] = []

    def begin_with(self, run_id: str) -> None:
        """A snapshot says what was before."""

    def learn(self, event: Event) -> None:
        self._runs.note(event)

    def event(self, event: Event) -> Saying:
        parts = self._begin(event)
        if self._runs.open is None:
            saying = self._beside(Cursor(event.epoch, event.seq), self._other(event))
        elif event.run_id == self._runs.open or event.type == "message":
            said, closing = self._SAY.get(event.type, AgUi._custom)(self, event)
            saying = Saying([*parts, *said], closing)
        else:
            saying = Saying([_custom(event.type, with_run(event))])
        self.learn(event)
        at_ms = _milliseconds(event.timestamp)
        return Saying(*([{**part, "timestamp": at_ms} for part in half] for half in saying))

    def reset(self, reason: ResetReason) -> Saying:
        """Said with the snapshot that follows, since it too needs a run to be said in."""
        self._reset = [_custom("reset", {"reason": reason})]
        return Saying([])

    def snapshot(self, at: Cursor, state: State) -> Saying:
        active = state["active_run"]
        reset, self._reset = self._reset, []
        parts = self._close()
        if self._runs.open is not None and self._runs.open != active:
            parts.append(self._finished())
        self._runs.are_as_in(state)
        rest = {key: value for key, value in state.items() if key != "messages"}
        said = [
            *reset,
            {"type": "STATE_SNAPSHOT", "snapshot": rest},
            {"type": "MESSAGES_SNAPSHOT", "messages": list(_messages(state))},
        ]
        if active is None:
            beside = self._beside(at, said)
            return Saying([*parts, *beside.parts], beside.closing)
        if self._runs.open is None:
            self._runs.open = active
            parts.append(self._started(active))
        return Saying([*parts, *said])

    # Runs ----------------------------------------------------------------------------------------------------------

    def _begin(self, event: Event) -> list[Part]:
        """The run's opening, if it is not open; nothing for what comes beside a run that is."""
        run_id = self._runs.opened_by(event)
        if run_id is None:
            return []
        parts = [*self._close(), self._finished()] if self._runs.open is not None else []
        self._runs.open = run_id
        return [*parts, self._started(run_id)]

    def _started(self, run_id: str) -> Part:
        return {"type": "RUN_STARTED", "threadId": self._thread, "runId": run_id}

    def _finished(self) -> Part:
        run_id, self._runs.open = self._runs.open, None
        return {"type": "RUN_FINISHED", "threadId": self._thread, "runId": run_id}

    def _beside(self, at: Cursor, parts: Sequence[Part]) -> Saying:
        """What belongs to no open run, in a run of its own."""
        self._runs.open = str(at)
        said = [self._started(self._runs.open), *parts]
        return Saying(said, [*self._close(), self._finished()])

    def _other(self, event: Event) -> Sequence[Part]:
        if event.type == "message":
            return self._message(event).parts
        said = self._custom(event).parts
        return [*said, {"type": "MESSAGES_SNAPSHOT", "messages": []}] if event.type == "clear" else said

    def _done(self, event: Event) -> Saying:
        data, error = event.data, self._runs.known(event.run_id).error
        parts = [*self._close(), _custom("done", with_run(event))]
        finished = self._finished()
        if data["status"] == "failed":
            failure = {"message": error["message"], "code": error["code"]} if error else {"message": "the run failed"}
            return Saying([*parts, {"type": "RUN_ERROR", **failure}])
        if data.get("result") is not None:
            finished["result"] = data["result"]
        outcome = "cancelled" if data["status"] == "cancelled" else "success"
        return Saying([*parts, {**finished, "outcome": {"type": outcome}}])

    def _custom(self, event: Event) -> Saying:
        return Saying([_custom(event.type, with_run(event))])

    # Messages ------------------------------------------------------------------------------------------------------

    def _text(self, event: Event) -> Saying:
        id_ = _id(event.run_id, event.data["message_id"])
        content = {"type": "TEXT_MESSAGE_CONTENT", "messageId": id_, "delta": event.data["content"]}
        return Saying([*self._turn_to("TEXT_MESSAGE", id_, event.data.get("role", "assistant")), content])

    def _thinking(self, event: Event) -> Saying:
        id_ = _thinking_id(event.run_id, event.data["message_id"])
        content = {"type": "REASONING_MESSAGE_CONTENT", "messageId": id_, "delta": event.data["content"]}
        return Saying([*self._turn_to("REASONING_MESSAGE", id_, "reasoning"), content])

    def _message(self, event: Event) -> Saying:
        """A whole message is text like any other, unless it corrects what came in deltas: text can't be taken back."""
        if event.data["message_id"] in self._runs.known(event.run_id).texts:
            return self._custom(event)
        return self._text(event)

    def _turn_to(self, type_: str, id_: str, role: str) -> list[Part]:
        if self._open == (type_, id_):
            return []
        parts = self._close()
        self._open = type_, id_
        if type_ == "REASONING_MESSAGE":
            parts.append({"type": "REASONING_START", "messageId": id_})
        return [*parts, {"type": f"{type_}_START", "messageId": id_, "role": role}]

    def _close(self) -> list[Part]:
        if self._open is None:
            return []
        (type_, id_), self._open = self._open, None
        parts: list[Part] = [{"type": f"{type_}_END", "messageId": id_}]
        if type_ == "REASONING_MESSAGE":
            parts.append({"type": "REASONING_END", "messageId": id_})
        return parts

    # Tools ---------------------------------------------------------------------------------------------------------

    def _tool_call(self, event: Event) -> Saying:
        data = event.data
        parts = self._close()
        self.learn(event)
        call_id = _id(event.run_id, data["call_id"])
        start = {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": data["name"]}
        start["parentMessageId"] = _id(event.run_id, str(self._runs.known(event.run_id).answer))
        arguments = {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": encode(data["arguments"])}
        return Saying([*parts, start, arguments], [{"type": "TOOL_CALL_END", "toolCallId": call_id}])

    def _tool_result(self, event: Event) -> Saying:
        if event.data["call_id"] not in self._runs.known(event.run_id).calls:
            return self._custom(event)
        call_id = _id(event.run_id, event.data["call_id"])
        result = {"type": "TOOL_CALL_RESULT", "messageId": _result_id(call_id), "toolCallId": call_id, "role": "tool"}
        return Saying([*self._close(), {**result, "content": _as_text(event.data["result"])}])

    _SAY: ClassVar[dict[str, Callable[[AgUi, Event], Saying]]] = {
        "text": _text,
        "thinking": _thinking,
        "message": _message,
        "tool-call": _tool_call,
        "tool-result": _tool_result,
        "done": _done,
    }


def _custom(name: str, value: Any) -> Part:
    return {"type": "CUSTOM", "name": name, "value": value}


# The snapshot -------------------------------------------------------------------------------------------------------


def _messages(state: State) -> Iterable[Part]:
    """In this protocol's form, with the ids that events give them: reasoning, the answer with its calls, results. What
    waits in the queue comes last: its events have said it, too."""
    for message in _joined([*state["messages"], *_queued(state)]):
        run_id, parts, id_ = message["run_id"], message["parts"], _id(message["run_id"], message["id"])
        thinking = "".join(part["text"] for part in parts if part["type"] == "thinking")
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        calls = [part for part in parts if part["type"] == "tool-call"]
        if thinking:
            yield {"id": _thinking_id(run_id, message["id"]), "role": "reasoning", "content": thinking}
        if calls:
            yield {
                "id": id_,
                "role": "assistant",
                "content": text,
                "toolCalls": [_call(run_id, call) for call in calls],
            }
        elif text or not thinking:
            yield {"id": id_, "role": message["role"], "content": text}
        for call in calls:
            if call["state"] in ("completed", "failed"):
                call_id, content = _id(run_id, call["call_id"]), _as_text(field_of(call, "result"))
                yield {"id": _result_id(call_id), "role": "tool", "toolCallId": call_id, "content": content}


def _queued(state: State) -> Iterable[dict[str, Any]]:
    for one in state["queue"]:
        if one["prompt"] is not None:
            part = {"type": "text", "text": one["prompt"]}
            yield {"id": one["message_id"], "run_id": one["run_id"], "role": "user", "parts": [part]}


def _joined(stretches: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Each message once, where its first stretch stands: a client knows messages by their id."""
    found: dict[tuple[str | None, str], dict[str, Any]] = {}
    for stretch in stretches:
        whole = found.setdefault((stretch["run_id"], stretch["id"]), {**stretch, "parts": []})
        whole["parts"] = [*whole["parts"], *stretch["parts"]]
    return found.values()


def _call(run_id: str, call: dict[str, Any]) -> Part:
    function = {"name": call["name"], "arguments": encode(field_of(call, "arguments"))}
    return {"id": _id(run_id, call["call_id"]), "type": "function", "function": function}


def _id(run_id: str | None, id_: str) -> str:
    return f"{run_id}:{id_}"


def _thinking_id(run_id: str | None, message_id: str) -> str:
    return f"{run_id}:{message_id}:thinking"


def _result_id(call_id: str) -> str:
    return f"{call_id}:result"


def _as_text(result: Any) -> str:
    return result if isinstance(result, str) else encode(result)


def _milliseconds(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp() * 1000)
