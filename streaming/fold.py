"""The fold: state = apply(state, event), from the first event of a log to its last.

Pure and total: it never changes its input (unchanged parts are shared), needs nothing but the event, and accepts every
event that `streaming.events` lets into a log. The page's JavaScript holds the same function, and the same golden files
prove both (law: fold(snapshot at n, events after n) == fold(all events), byte for byte).

State, as in CONTRACT section 3:

    status        idle (no run yet), queued, running, waiting, completed, failed, cancelled
    title         given, or the first line of the first user message
    active_run    run id or null
    queue         run ids, in the order in which they will be executed
    messages      {id, run_id, role, parts: [{type: text|thinking, text} | {type: tool-call, call_id, name, title,
                  arguments, output, result, is_error, duration_ms, state: running|completed|failed|interrupted}]}
    files         path → {size (bytes), sha256}
    approvals     {approval_id, run_id, call_id, question, options, decision, by, reason}; one without a decision whose
                  run has ended was never answered
    usage         {input_tokens, output_tokens, cost_usd}: sums over the agent's life
    runs          {id, status, started_at, finished_at, error: {code, message, retryable} | null,
                  budget?: [{scope, kind, used, limit}], the latest of each that came near its end}
    plan?         {run_id, entries: [{content, priority, status}]}: the latest, once there was one

Message and call ids are the program's own, so they are unique within a run only, and looked up there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from streaming.events import FINAL, Event

State = dict[str, Any]
TITLE_LENGTH = 80


def initial() -> State:
    return {
        "status": "idle",
        "title": "",
        "active_run": None,
        "queue": [],
        "messages": [],
        "files": {},
        "approvals": [],
        "usage": {"input_tokens": 0, "output_tokens": 0, "cost_usd": None},
        "runs": [],
    }


def apply(state: State, event: Event) -> State:
    """The state after `event`. `state` itself is not changed."""
    step = _STEPS.get(event.type)
    return step(state, event) if step else state


def fold(events: Iterable[Event], state: State | None = None) -> State:
    folded = initial() if state is None else state
    for event in events:
        folded = apply(folded, event)
    return folded


# Runs --------------------------------------------------------------------------------------------------------------


def _status(state: State, event: Event) -> State:
    status, run_id = event.data["status"], event.run_id
    if status == "queued" and event.data.get("position") is not None:
        return _moved(state, event)
    run = _run(state, run_id) or {
        "id": run_id,
        "status": status,
        "started_at": None,
        "finished_at": None,
        "error": None,
    }
    changes: dict[str, Any] = {"status": status}
    if status == "running" and run["started_at"] is None:
        changes["started_at"] = event.timestamp
    state = _put_run(state, {**run, **changes})
    queue = [queued for queued in state["queue"] if queued != run_id]
    active = state["active_run"]
    if status == "queued":
        queue.append(run_id)
    elif status not in FINAL:
        active = run_id
    return _settle({**state, "queue": queue, "active_run": active}, status)


def _moved(state: State, event: Event) -> State:
    """Within the queue only: one that has left it meanwhile does not come back."""
    if event.run_id not in state["queue"]:
        return state
    queue = [queued for queued in state["queue"] if queued != event.run_id]
    queue.insert(event.data["position"], event.run_id)
    return {**state, "queue": queue}


def _done(state: State, event: Event) -> State:
    run = _run(state, event.run_id)
    if run is not None:
        state = _put_run(state, {**run, "status": event.data["status"], "finished_at": event.timestamp})
    active = None if state["active_run"] == event.run_id else state["active_run"]
    queue = [queued for queued in state["queue"] if queued != event.run_id]
    messages = [
        _interrupted(message) if message["run_id"] == event.run_id else message for message in state["messages"]
    ]
    return _settle({**state, "active_run": active, "queue": queue, "messages": messages}, event.data["status"])


def _settle(state: State, changed_to: str) -> State:
    """The agent's status: that of its active run, else queued, else that of the run that changed last. Which that was
    is the log's order: timestamps may be of two machines whose clocks differ."""
    if state["active_run"] is not None:
        status = (_run(state, state["active_run"]) or {"status": "running"})["status"]
    elif state["queue"]:
        status = "queued"
    else:
        status = changed_to
    return {**state, "status": status}


def _error(state: State, event: Event) -> State:
    run = _run(state, event.run_id)
    return state if run is None else _put_run(state, {**run, "error": event.data})


def _run(state: State, run_id: str | None) -> dict[str, Any] | None:
    return next((run for run in reversed(state["runs"]) if run["id"] == run_id), None)


def _put_run(state: State, run: dict[str, Any]) -> State:
    runs = state["runs"]
    if _run(state, run["id"]) is None:
        return {**state, "runs": [*runs, run]}
    return {**state, "runs": [run if other["id"] == run["id"] else other for other in runs]}


# Messages ----------------------------------------------------------------------------------------------------------


def _message(state: State, event: Event) -> State:
    data = event.data
    parts = [{"type": "text", "text": data["content"]}]
    at = _find_message(state, event.run_id, data["message_id"])
    if at is not None:  # the program sent deltas first and the whole message after: the whole one is what it said
        message = state["messages"][at]
        kept = [part for part in message["parts"] if part["type"] != "text"]
        return _put_message(state, at, {**message, "role": data["role"], "parts": kept + parts})
    message = {"id": data["message_id"], "run_id": event.run_id, "role": data["role"], "parts": parts}
    state = {**state, "messages": [*state["messages"], message]}
    if data["role"] == "user" and not state["title"]:
        state["title"] = data["content"].split("\n", 1)[0][:TITLE_LENGTH]
    return state


def _delta(state: State, event: Event) -> State:
    state, at = _open_message(state, event.run_id, event.data["message_id"])
    message = state["messages"][at]
    parts, kind, content = message["parts"], event.type, event.data["content"]
    if parts and parts[-1]["type"] == kind:
        parts = [*parts[:-1], {"type": kind, "text": parts[-1]["text"] + content}]
    else:
        parts = [*parts, {"type": kind, "text": content}]
    return _put_message(state, at, {**message, "parts": parts})


def _find_message(state: State, run_id: str | None, message_id: str) -> int | None:
    messages = state["messages"]
    for at in range(len(messages) - 1, -1, -1):
        if messages[at]["id"] == message_id and messages[at]["run_id"] == run_id:
            return at
    return None


def _open_message(state: State, run_id: str | None, message_id: str) -> tuple[State, int]:
    at = _find_message(state, run_id, message_id)
    if at is not None:
        return state, at
    message: dict[str, Any] = {"id": message_id, "run_id": run_id, "role": "assistant", "parts": []}
    return {**state, "messages": [*state["messages"], message]}, len(state["messages"])


def _put_message(state: State, at: int, message: dict[str, Any]) -> State:
    messages = state["messages"]
    return {**state, "messages": [*messages[:at], message, *messages[at + 1 :]]}


# Tool calls --------------------------------------------------------------------------------------------------------


def _tool_call(state: State, event: Event) -> State:
    """A call belongs to the run's latest assistant message; a call before any text opens one named after it."""
    data = event.data
    at = _latest_answer(state, event.run_id)
    if at is None:
        state, at = _open_message(state, event.run_id, data["call_id"])
    part = {
        "type": "tool-call",
        "call_id": data["call_id"],
        "name": data["name"],
        "title": data.get("title"),
        "arguments": data["arguments"],
        "output": "",
        "result": None,
        "is_error": False,
        "duration_ms": None,
        "state": "running",
    }
    message = state["messages"][at]
    return _put_message(state, at, {**message, "parts": [*message["parts"], part]})


def _tool_output(state: State, event: Event) -> State:
    content = event.data["content"]
    return _change_call(state, event, lambda part: {**part, "output": part["output"] + content})


def _tool_result(state: State, event: Event) -> State:
    data = event.data
    changes = {
        "result": data["result"],
        "is_error": data["is_error"],
        "duration_ms": data["duration_ms"],
        "state": "failed" if data["is_error"] else "completed",
    }
    return _change_call(state, event, lambda part: {**part, **changes})


def _change_call(state: State, event: Event, change: Callable[[dict[str, Any]], dict[str, Any]]) -> State:
    """Output or result of a call nobody announced changes nothing: it stays in the log."""
    for at in range(len(state["messages"]) - 1, -1, -1):
        message = state["messages"][at]
        if message["run_id"] != event.run_id:
            continue
        parts = message["parts"]
        for i in range(len(parts) - 1, -1, -1):
            if parts[i]["type"] == "tool-call" and parts[i]["call_id"] == event.data["call_id"]:
                return _put_message(state, at, {**message, "parts": [*parts[:i], change(parts[i]), *parts[i + 1 :]]})
    return state


def _latest_answer(state: State, run_id: str | None) -> int | None:
    messages = state["messages"]
    for at in range(len(messages) - 1, -1, -1):
        if messages[at]["run_id"] == run_id:
            return at if messages[at]["role"] == "assistant" else None
    return None


def _interrupted(message: dict[str, Any]) -> dict[str, Any]:
    if not any(part.get("state") == "running" for part in message["parts"]):
        return message
    parts = [{**part, "state": "interrupted"} if part.get("state") == "running" else part for part in message["parts"]]
    return {**message, "parts": parts}


# The rest ----------------------------------------------------------------------------------------------------------


def _title(state: State, event: Event) -> State:
    return {**state, "title": event.data["title"]}


def _files(state: State, event: Event) -> State:
    files = dict(state["files"])
    for change in event.data["changes"]:
        if change["change"] == "deleted":
            files.pop(change["path"], None)
        else:
            files[change["path"]] = {"size": change["size"], "sha256": change["sha256"]}
    return {**state, "files": files}


def _approval_request(state: State, event: Event) -> State:
    data = event.data
    approval = {
        "approval_id": data["approval_id"],
        "run_id": event.run_id,
        "call_id": data.get("call_id"),
        "question": data["question"],
        "options": data["options"],
        "decision": None,
        "by": None,
        "reason": None,
    }
    return {**state, "approvals": [*state["approvals"], approval]}


def _approval_response(state: State, event: Event) -> State:
    data = event.data
    answer = {"decision": data["decision"], "by": data["by"], "reason": data.get("reason")}
    approvals = [
        {**approval, **answer}
        if approval["approval_id"] == data["approval_id"]
        and approval["run_id"] == event.run_id
        and approval["decision"] is None
        else approval
        for approval in state["approvals"]
    ]
    return {**state, "approvals": approvals}


def _usage(state: State, event: Event) -> State:
    old, step = state["usage"], event.data
    cost = old["cost_usd"]
    if step["cost_usd"] is not None:
        cost = step["cost_usd"] + (cost or 0)
    usage = {
        "input_tokens": old["input_tokens"] + step["input_tokens"],
        "output_tokens": old["output_tokens"] + step["output_tokens"],
        "cost_usd": cost,
    }
    return {**state, "usage": usage}


def _plan(state: State, event: Event) -> State:
    return {**state, "plan": {"run_id": event.run_id, "entries": event.data["entries"]}}


def _budget(state: State, event: Event) -> State:
    run, data = _run(state, event.run_id), event.data
    if run is None:
        return state
    others = [one for one in run.get("budget", []) if (one["scope"], one["kind"]) != (data["scope"], data["kind"])]
    return _put_run(state, {**run, "budget": [*others, data]})


_STEPS: dict[str, Callable[[State, Event], State]] = {
    "status": _status,
    "title": _title,
    "message": _message,
    "text": _delta,
    "thinking": _delta,
    "tool-call": _tool_call,
    "tool-output": _tool_output,
    "tool-result": _tool_result,
    "plan": _plan,
    "approval-request": _approval_request,
    "approval-response": _approval_response,
    "files": _files,
    "usage": _usage,
    "budget": _budget,
    "error": _error,
    "done": _done,
}
