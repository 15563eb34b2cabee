"""The fold: state = apply(state, event), from the first event of a log to its last.

Pure and total: it never changes its input (unchanged parts are shared), needs nothing but the event, and accepts every
event that `streaming.model.events` lets into a log. The page's JavaScript holds the same function, and the same golden
files prove both. Two laws, byte for byte:

    fold(snapshot at n, events after n) == fold(all events)
    the pages, then the state's messages, by their parts' `n`, are the conversation of the same fold without limits

The state (docs/events.md describes it for clients):

    fold          2: the version of these rules
    status        idle (no run yet), queued, running, waiting, completed, failed, cancelled
    title         given, or the first line of the first prompt
    active_run    run id or null
    queue         {run_id, message_id, prompt, omitted_bytes?}, in the order in which they will be executed
    messages      {id, run_id, role, into?, parts: [{n, ...}]}, see streaming.model.conversation, with parts of
                  {type: text|thinking, text, continued?, omitted_bytes?}
                  {type: tool-call, call_id, name, title, arguments, output, result, is_error, duration_ms,
                  state: running|completed|failed|interrupted, omitted_bytes?: {arguments?, output?, result?},
                  approvals?}
    parts_total   the last `n`; conversation_bytes: the weight of `messages`
    left          {run_id, id, text_bytes}: messages of the active run of which parts have left
    earlier       null, or {before: cursor} of the page before `messages`
    cleared       the last `n` when the conversation began anew; 0 if it never has
    files         path → {size (bytes), sha256, seq}; files_total: of all of them
    approvals     {approval_id, run_id, call_id, question, options, decision, by, reason, omitted_bytes?}; one without
                  a decision whose run has ended was never answered
    usage         {input_tokens, output_tokens, cost_usd}: sums over the agent's life
    runs          {id, status, started_at, finished_at, error: {code, message, retryable} | null,
                  budget?: [{scope, kind, used, limit}], the latest of each that came near its end}: those that have
                  left the queue; runs_total: of all that were ever queued or begun
    plan?         {run_id, entries: [{content, priority, status}], omitted_entries?}: the latest, once there was one

All of it has limits (streaming.model.bounds). What leaves the conversation goes into pages (`step`).

Message and call ids are the program's own, so they are unique within a run only, and looked up there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from streaming.model import conversation
from streaming.model.bounds import Page, bound, bounded_error
from streaming.model.conversation import State as State
from streaming.model.events import FINAL, Event

FOLD = 2
TITLE_LENGTH = 80


def initial() -> State:
    return {
        "fold": FOLD,
        "status": "idle",
        "title": "",
        "active_run": None,
        "queue": [],
        "messages": [],
        "parts_total": 0,
        "conversation_bytes": 2,
        "left": [],
        "earlier": None,
        "cleared": 0,
        "files": {},
        "files_total": 0,
        "approvals": [],
        "usage": {"input_tokens": 0, "output_tokens": 0, "cost_usd": None},
        "runs": [],
        "runs_total": 0,
    }


def apply(state: State, event: Event) -> State:
    """The state after `event`. `state` itself is not changed."""
    return step(state, event)[0]


def step(state: State, event: Event) -> tuple[State, Page | None]:
    """The state after `event`, and what of the conversation has left it by that."""
    rule = _RULES.get(event.type)
    if rule is None:
        return state, None
    return bound(state, rule(_begin(state, event), event), event)


def fold(events: Iterable[Event], state: State | None = None) -> State:
    folded = initial() if state is None else state
    for event in events:
        folded = apply(folded, event)
    return folded


# The queue ---------------------------------------------------------------------------------------------------------


def _begin(state: State, event: Event) -> State:
    """A run leaves the queue with its first event that is not about waiting, and its prompt enters the conversation."""
    queued = _queued(state, event.run_id)
    if queued is None or _is_about_waiting(queued, event):
        return state
    run_id = queued["run_id"]
    state = {**state, "queue": [one for one in state["queue"] if one is not queued]}
    state = _put_run(state, {**_new_run(run_id), "status": "queued"})
    if queued["prompt"] is None:
        return state
    into = event.data.get("into") if event.type == "status" else None
    omitted = queued.get("omitted_bytes", 0)
    return conversation.add_prompt(state, run_id, queued["message_id"], queued["prompt"], omitted, into)


def _is_about_waiting(queued: dict[str, Any], event: Event) -> bool:
    if event.type == "status":
        return bool(event.data["status"] == "queued")
    return event.type == "message" and event.data["message_id"] in (queued["message_id"], None)


def _queued(state: State, run_id: str | None) -> dict[str, Any] | None:
    return next((one for one in state["queue"] if one["run_id"] == run_id), None)


def _enqueue(state: State, run_id: str, changes: dict[str, Any]) -> State:
    queued = _queued(state, run_id)
    if queued is None:
        entry = {"run_id": run_id, "message_id": None, "prompt": None, **changes}
        return {**state, "queue": [*state["queue"], entry], "runs_total": state["runs_total"] + 1}
    entry = {"run_id": run_id, "message_id": queued["message_id"], "prompt": queued["prompt"], **changes}
    return {**state, "queue": [entry if one is queued else one for one in state["queue"]]}


def _move(state: State, run_id: str | None, position: int) -> State:
    """Within the queue only: one that has left it meanwhile does not come back."""
    queued = _queued(state, run_id)
    if queued is None:
        return state
    queue = [one for one in state["queue"] if one is not queued]
    queue.insert(position, queued)
    return {**state, "queue": queue}


def waiting_runs(state: State) -> list[str]:
    """Ids of the runs in the queue, in the order in which they will be executed."""
    return [queued["run_id"] for queued in state["queue"]]


# Runs --------------------------------------------------------------------------------------------------------------


def _status(state: State, event: Event) -> State:
    status, run_id = event.data["status"], event.run_id
    run = _run(state, run_id)
    if status == "queued":
        if event.data.get("position") is not None:
            return _move(state, run_id, event.data["position"])
        if run is None and run_id is not None:
            queued = _queued(state, run_id)
            return _settle(state if queued else _enqueue(state, run_id, {}), status)
    if run is None:
        state, run = {**state, "runs_total": state["runs_total"] + 1}, _new_run(run_id)
    changes: dict[str, Any] = {"status": status}
    if status == "running" and run["started_at"] is None:
        changes["started_at"] = event.timestamp
    state = _put_run(state, {**run, **changes})
    return _settle(state if status in FINAL or status == "queued" else {**state, "active_run": run_id}, status)


def _done(state: State, event: Event) -> State:
    run_id = event.run_id
    state = conversation.interrupt_calls(state, run_id)
    run = _run(state, run_id)
    if run is not None:
        state = _put_run(state, {**run, "status": event.data["status"], "finished_at": event.timestamp})
    if state["active_run"] == run_id:
        state = {**state, "active_run": None}
    left = [one for one in state["left"] if one["run_id"] != run_id]
    return _settle({**state, "left": left}, event.data["status"])


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
    return state if run is None else _put_run(state, {**run, "error": bounded_error(event.data)})


def _budget(state: State, event: Event) -> State:
    run, data = _run(state, event.run_id), event.data
    if run is None:
        return state
    others = [one for one in run.get("budget", []) if (one["scope"], one["kind"]) != (data["scope"], data["kind"])]
    return _put_run(state, {**run, "budget": [*others, data]})


def _new_run(run_id: str | None) -> dict[str, Any]:
    return {"id": run_id, "status": "running", "started_at": None, "finished_at": None, "error": None}


def _run(state: State, run_id: str | None) -> dict[str, Any] | None:
    return next((run for run in reversed(state["runs"]) if run["id"] == run_id), None)


def _put_run(state: State, run: dict[str, Any]) -> State:
    runs = state["runs"]
    if _run(state, run["id"]) is None:
        return {**state, "runs": [*runs, run]}
    return {**state, "runs": [run if other["id"] == run["id"] else other for other in runs]}


# The conversation --------------------------------------------------------------------------------------------------


def _message(state: State, event: Event) -> State:
    """What a person asks waits in the queue until its run begins."""
    data, run_id = event.data, event.run_id
    message_id, content = data["message_id"], data["content"]
    if data["role"] == "user" and not state["title"]:
        state = {**state, "title": content.split("\n", 1)[0][:TITLE_LENGTH]}
    if data["role"] == "user" and run_id is not None and _run(state, run_id) is None:
        return _enqueue(state, run_id, {"message_id": message_id, "prompt": content})
    return conversation.add_message(state, run_id, message_id, data["role"], content)


def _delta(state: State, event: Event) -> State:
    return conversation.add_text(state, event.run_id, event.data["message_id"], event.type, event.data["content"])


def _tool_call(state: State, event: Event) -> State:
    return conversation.add_call(state, event.run_id, event.data)


def _tool_output(state: State, event: Event) -> State:
    return conversation.add_output(state, event.run_id, event.data["call_id"], event.data["content"])


def _tool_result(state: State, event: Event) -> State:
    return conversation.end_call(state, event.run_id, event.data)


def _clear(state: State, event: Event) -> State:
    """The rest is done where it leaves: streaming.model.bounds."""
    return {**state, "cleared": state["parts_total"]}


# The rest ----------------------------------------------------------------------------------------------------------


def _title(state: State, event: Event) -> State:
    return {**state, "title": event.data["title"]}


def _files(state: State, event: Event) -> State:
    files, total = dict(state["files"]), state["files_total"]
    for change in event.data["changes"]:
        total += {"added": 1, "deleted": -1}.get(change["change"], 0)
        if change["change"] == "deleted":
            files.pop(change["path"], None)
        else:
            files[change["path"]] = {"size": change["size"], "sha256": change["sha256"], "seq": event.seq}
    said = event.data.get("total")
    return {**state, "files": files, "files_total": max(total, len(files)) if said is None else said}


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


_RULES: dict[str, Callable[[State, Event], State]] = {
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
    "clear": _clear,
}
