"""Random logs for hypothesis: any events in any order, few ids so that they meet, names that trip JavaScript."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from hypothesis import strategies as st

from streaming.model.events import MAX_SAFE_INTEGER, Event, draft

ODD = ["__proto__", "constructor", "toString", "10", "9", "", "é", "\uffff", "\U0001f600", "a/b.txt"]


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(ODD) | st.text(max_size=4), values, max_size=4)


texts = st.one_of(st.sampled_from(["", "a", "line\nline", "\u2028", "\U0001f600" * 50]), st.text(max_size=90))
ids = st.sampled_from(["m1", "m2", "c1", "c2", "__proto__", "constructor"])
counts = st.integers(0, 10**6)
costs = st.none() | st.floats(0, 1e6, allow_nan=False)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | objects(inner),
    max_leaves=6,
)


changes = st.fixed_dictionaries(
    {
        "path": st.sampled_from(ODD),
        "change": st.sampled_from(["added", "modified", "deleted"]),
        "size": counts,
        "sha256": st.none() | st.just("a" * 64),
    }
)
totals = st.fixed_dictionaries({"input_tokens": counts, "output_tokens": counts, "cost_usd": costs})
final = st.sampled_from(["completed", "failed", "cancelled"])
delta = st.fixed_dictionaries({"message_id": ids, "content": texts})

DATA: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "status": st.fixed_dictionaries(
        {"status": final | st.sampled_from(["queued", "running", "waiting"])},
        optional={"attempt": counts, "position": st.integers(0, 3), "into": st.sampled_from(["r1", "r2"])},
    ),
    "title": st.fixed_dictionaries({"title": texts}),
    "message": st.fixed_dictionaries(
        {"message_id": ids, "role": st.sampled_from(["user", "assistant", "system"]), "content": texts}
    ),
    "text": delta,
    "thinking": delta,
    "tool-call": st.fixed_dictionaries(
        {"call_id": ids, "name": ids, "arguments": objects(json_values)}, optional={"title": st.none() | texts}
    ),
    "tool-output": st.fixed_dictionaries({"call_id": ids, "content": texts}),
    "tool-result": st.fixed_dictionaries(
        {"call_id": ids, "result": json_values, "is_error": st.booleans(), "duration_ms": st.none() | counts}
    ),
    "plan": st.fixed_dictionaries(
        {
            "entries": st.lists(
                st.fixed_dictionaries(
                    {"content": texts},
                    optional={
                        "priority": st.sampled_from(["high", "medium", "low"]),
                        "status": st.sampled_from(["pending", "in_progress", "completed"]),
                    },
                ),
                max_size=3,
            )
        }
    ),
    "approval-request": st.fixed_dictionaries(
        {"approval_id": ids, "question": texts}, optional={"call_id": ids, "options": st.lists(texts, max_size=3)}
    ),
    "approval-response": st.fixed_dictionaries(
        {"approval_id": ids, "decision": texts, "by": texts}, optional={"reason": st.none() | texts}
    ),
    "files": st.fixed_dictionaries({"changes": st.lists(changes, max_size=4)}, optional={"total": counts}),
    "usage": st.fixed_dictionaries(
        {"model": texts, "input_tokens": counts, "output_tokens": counts, "cost_usd": costs, "total": totals}
    ),
    "budget": st.fixed_dictionaries(
        {
            "scope": st.sampled_from(["run", "agent", "user-day"]),
            "kind": st.sampled_from(["tokens", "cost_usd"]),
            "used": st.floats(0, 1e6),
            "limit": st.floats(0, 1e6),
        }
    ),
    "log": st.fixed_dictionaries({"content": texts}),
    "error": st.fixed_dictionaries({"code": st.just("a-code"), "message": texts, "retryable": st.booleans()}),
    "clear": st.just({}),
    "done": st.fixed_dictionaries({"status": final}, optional={"result": json_values, "duration_ms": counts}),
}


def event(type_: str, run_id: str | None, /, **data: Any) -> Event:
    """For logs that are written by hand: each at the next place."""
    made = draft(type_, run_id, **data)
    return Event(made.type, "agent", made.run_id, 1, next(_seqs), "2026-11-20T12:00:00.000000Z", made.data)


_seqs = count(1)
_drafts = st.sampled_from(sorted(DATA)).flatmap(lambda type_: st.tuples(st.just(type_), DATA[type_]))
_steps = st.tuples(_drafts, st.sampled_from(["r1", "r2", "r3", None]), st.integers(0, 2))


def _log(steps: list[tuple[tuple[str, dict[str, Any]], str | None, int]]) -> list[Event]:
    events, second = [], 0
    for seq, ((type_, data), run_id, passed) in enumerate(steps, 1):
        second += passed  # 0: two events of the same moment
        timestamp = f"2026-11-20T12:{second // 60:02d}:{second % 60:02d}.000000Z"
        made = draft(type_, run_id, **data)
        events.append(Event(made.type, "agent", made.run_id, 1, seq, timestamp, made.data))
    return events


logs = st.lists(_steps, max_size=40).map(_log)


def large(event: Event, times: int) -> Event:
    """With each text of its data so many times: what stands in the state only once would never reach a limit."""
    return replace(event, data=_times(event.data, times))


def _times(value: Any, times: int, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _times(item, times, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_times(item, times) for item in value]
    return value * times if isinstance(value, str) and key in _LARGE else value


_LARGE = ("content", "question", "result", "output", "a", "é", "message")
large_logs = st.tuples(logs, st.sampled_from([300, 3000])).map(
    lambda made: [large(event, made[1]) for event in made[0]]
)
"""Logs whose state reaches its limits."""
