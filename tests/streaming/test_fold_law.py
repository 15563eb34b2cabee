"""The law of the fold: snapshot at any point + later events == all events, whatever the log. Pure, and total."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.errors import EventInvalid
from streaming.model.events import SCHEMA, Event, decode, draft, encode
from streaming.model.fold import apply, fold, initial
from tests.golden.logs import DATA, json_values, logs
from tests.nightly import examples

many = settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(log=logs)
@many
def test_snapshot_and_later_events_are_all_events(log: list[Event]):
    """Byte for byte, at every split, with the snapshot stored and read again as the database does."""
    whole = encode(fold(log))
    for split in range(len(log) + 1):
        stored = json.loads(encode(fold(log[:split])))
        later = [decode(event.encode()) for event in log[split:]]
        assert encode(fold(later, stored)) == whole


@given(log=logs)
@many
def test_fold_changes_neither_state_nor_event(log: list[Event]):
    state = initial()
    for event in log:
        state_before, event_before = copy.deepcopy(state), copy.deepcopy(event)
        after = apply(state, event)
        assert (state, event) == (state_before, event_before)
        state = after


@given(log=logs)
@many
def test_events_survive_the_wire(log: list[Event]):
    for event in log:
        line = event.encode()
        assert "\n" not in line
        assert "\r" not in line
        assert decode(line) == event
        assert decode(line).encode() == line


# Whatever a container says -------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.characters(categories=["Cs"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({name for model in SCHEMA.values() for name in model.model_fields})


@given(st.sampled_from([*SCHEMA, "nonsense"]), st.dictionaries(st.sampled_from(FIELDS), anything, max_size=8))
@settings(max_examples=examples(1000), deadline=None)
@pytest.mark.slow
def test_gate_lets_an_event_through_that_can_be_stored_and_folded_or_says_why_not(type_: str, data: dict[str, Any]):
    try:
        let_through = draft(type_, "r1", **data)
    except EventInvalid:
        return
    event = Event(let_through.type, "a", "r1", 1, 1, "2026-11-20T12:00:00.000000Z", let_through.data)
    line = event.encode()
    assert "\0" not in line
    assert decode(line.encode().decode()) == event
    assert encode(fold([event, event]))


@given(st.sampled_from(sorted(DATA)).flatmap(lambda type_: st.tuples(st.just(type_), DATA[type_])), anything)
@settings(max_examples=examples(500), deadline=None)
def test_one_odd_field_does_no_harm(good: tuple[str, dict[str, Any]], odd: Any):
    type_, data = good
    for name in data:
        try:
            one = draft(type_, "r1", **{**data, name: odd})
        except EventInvalid:
            continue
        encode(fold([Event(one.type, "a", "r1", 1, 1, "2026-11-20T12:00:00.000000Z", one.data)]))


@pytest.mark.parametrize(
    "number",
    [float("inf"), float("-inf"), float("nan"), 1e308 * 10, 2**60, -1, 10**5000],
    ids=lambda value: type(value).__name__,
)
def test_numbers_that_json_or_javascript_cannot_hold_are_refused(number: float):
    with pytest.raises(EventInvalid):
        draft("usage", "r1", model="m", input_tokens=number, output_tokens=0)


@pytest.mark.parametrize(
    "value", [float("inf"), float("nan"), object(), {1, 2}, b"bytes", 10**5000], ids=lambda value: type(value).__name__
)
def test_values_that_json_cannot_hold_are_refused(value: object):
    with pytest.raises(EventInvalid):
        draft("tool-call", "r1", call_id="c", name="n", arguments={"x": value})


def test_depth_is_limited_so_that_what_was_written_can_always_be_read():
    nested: Any = 1
    for _ in range(10_000):
        nested = [nested]
    with pytest.raises(EventInvalid, match="depth"):
        draft("tool-call", "r1", call_id="c", name="n", arguments={"x": nested})


@given(json_values)
@settings(deadline=None)
def test_json_that_a_tool_returns_is_kept_as_it_is(value: Any):
    kept = draft("tool-result", "r1", call_id="c", result=value).data["result"]
    if "\0" not in json.dumps(value) and "\\u0000" not in json.dumps(value):
        assert kept == value
