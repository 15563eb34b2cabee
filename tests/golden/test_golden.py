"""The law of history (golden events parse for ever), and the fold of the page's JavaScript against that of Python."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.model.events import SCHEMA, Event, decode, draft
from streaming.model.fold import fold
from tests.golden.javascript import Folder, javascript_fold
from tests.golden.logs import DATA, logs
from tests.nightly import examples

LOGS = sorted(Path(__file__).parent.glob("*.jsonl"))
every_log = pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)


def lines_of(log: Path) -> list[str]:
    # Not splitlines(): it would also cut at U+2028 and U+0085 inside a string.
    return log.read_text("utf-8").removesuffix("\n").split("\n")


def state_of(log: Path) -> str:
    return log.with_suffix(".state.json").read_text("utf-8").removesuffix("\n")


def canonical(events: list[Event]) -> str:
    return rfc8785.dumps(fold(events)).decode()


@pytest.fixture(scope="module")
def in_javascript() -> Iterator[Folder]:
    with javascript_fold() as fold_js:
        if fold_js is None:
            pytest.skip("neither node nor chromium on this machine")
        yield fold_js


def test_the_golden_logs_hold_every_event_type() -> None:
    assert {decode(line).type for log in LOGS for line in lines_of(log)} == set(SCHEMA) == set(DATA)


@every_log
def test_golden_events_are_contiguous_and_encode_as_they_were_written(log: Path) -> None:
    events = [decode(line) for line in lines_of(log)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.encode() for event in events] == lines_of(log)


@every_log
def test_golden_events_still_pass_the_gate(log: Path) -> None:
    for event in map(decode, lines_of(log)):
        assert _holds(draft(event.type, event.run_id, **event.data).data, event.data)


@every_log
def test_golden_log_folds_to_its_golden_state(log: Path) -> None:
    assert canonical([decode(line) for line in lines_of(log)]) == state_of(log)


@every_log
def test_golden_log_folds_to_the_same_state_in_javascript(log: Path, in_javascript: Folder) -> None:
    assert in_javascript(lines_of(log)) == state_of(log)


@every_log
def test_golden_snapshot_and_tail_fold_to_the_same_state_in_javascript(log: Path, in_javascript: Folder) -> None:
    lines = lines_of(log)
    for split in random.Random(7).sample(range(1, len(lines) + 1), min(len(lines), 5)):
        assert in_javascript(lines, split) == state_of(log)


@given(log=logs, split=st.integers(0, 40))
@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.slow
def test_any_log_folds_to_the_same_state_in_python_and_javascript(
    in_javascript: Folder, log: list[Event], split: int
) -> None:
    assert in_javascript([event.encode() for event in log], min(split, len(log))) == canonical(log)


def _holds(new: Any, old: Any) -> bool:
    """Every field of `old` is in `new` with the same value. Fields that came later may be there, with their default."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and _holds(new[key], value) for key, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(_holds, new, old))
    return bool(new == old)
