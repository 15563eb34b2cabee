"""Golden and random logs in each dialect: the shape of every part, their order, and what a client that is cut keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.cursor import Cursor
from streaming.dialects import DIALECTS, Dialect
from streaming.dialects.translation import wire
from streaming.events import Event, decode
from streaming.fold import State, fold
from tests.golden.logs import logs
from tests.golden.test_golden import LOGS, lines_of
from tests.streaming.dialect_clients import CLIENTS, ThreadClient

every_log = pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
every_dialect = pytest.mark.parametrize("name", sorted(DIALECTS))

# What is said --------------------------------------------------------------------------------------------------------


def frames_of(dialect: Dialect, event: Event) -> list[dict[str, str]]:
    text = wire(dialect.event(event), Cursor(event.epoch, event.seq)).decode()
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n")[:-1]]


def told(name: str, events: list[Event]) -> Any:
    """A client that heard all of it, in one response."""
    client, dialect = CLIENTS[name](), DIALECTS[name]("agent")
    for event in events:
        for frame in frames_of(dialect, event):
            client.take(json.loads(frame["data"]))
    return client


def told_with_cuts(name: str, events: list[Event], cut_after: int) -> Any:
    """One that is cut after so many frames, again and again, and resumes from the last id that it saw."""
    client, at = CLIENTS[name](), 0
    while at < len(events):
        dialect, taken, stands_at = DIALECTS[name]("agent"), 0, at
        client.reconnect()
        for event in events[:at]:
            dialect.learn(event)
        for event in events[at:]:
            for frame in frames_of(dialect, event):
                client.take(json.loads(frame["data"]))
                taken += 1
                at = int(frame["id"].split("-")[1]) if "id" in frame else at
                if taken >= cut_after and at > stands_at:
                    break
            else:
                continue
            break
        else:
            return client
    return client


def spoken(state: State, kind: str) -> dict[tuple[str, str], str]:
    found = {}
    for message in state["messages"]:
        if message["role"] == "assistant":
            texts = [part["text"] for part in message["parts"] if part["type"] == kind]
            found[message["run_id"], message["id"]] = "".join(texts)
    return found


def corrected(events: list[Event]) -> set[tuple[str | None, str]]:
    """Messages of which more than deltas came: their text can't be taken back."""
    return {(event.run_id, event.data["message_id"]) for event in events if event.type == "message"}


def events_of(log: Path) -> list[Event]:
    return [decode(line) for line in lines_of(log)]


@every_log
@every_dialect
def test_each_frame_of_a_golden_log_has_its_shape_and_the_text_is_the_folds(log: Path, name: str) -> None:
    events = events_of(log)
    client, state = told(name, events), fold(events)
    for (run_id, message_id), text in spoken(state, "text").items():
        if (run_id, message_id) not in corrected(events):
            assert client.text_of(run_id, message_id) == text
    for (run_id, message_id), text in spoken(state, "thinking").items():
        assert client.thought_of(run_id, message_id) == text


@every_log
@every_dialect
def test_who_is_cut_anywhere_and_resumes_by_id_has_the_same_text_and_results(log: Path, name: str) -> None:
    events = events_of(log)
    whole = told(name, events)
    for cut_after in range(1, 12):
        pieces = told_with_cuts(name, events, cut_after)
        assert pieces.messages == whole.messages
        assert pieces.results == whole.results
        if log.stem == "events-without-a-start":
            continue  # whose runs don't end
        runs = {event.run_id for event in events}  # beside them, what AG-UI says between two of them
        assert [end for end in pieces.finished if end[0] in runs] == [end for end in whole.finished if end[0] in runs]


@every_log
@every_dialect
def test_each_event_is_one_id_and_ids_go_up(log: Path, name: str) -> None:
    events, dialect = events_of(log), DIALECTS[name]("agent")
    for event in events:
        ids = [frame["id"] for frame in frames_of(dialect, event) if "id" in frame]
        assert ids == [f"{event.epoch}-{event.seq}"]


@every_dialect
@given(log=logs, split=st.integers(0, 40))
@settings(max_examples=50, deadline=None)
def test_any_log_is_well_formed_from_any_place_on(name: str, log: list[Event], split: int) -> None:
    client, dialect = CLIENTS[name](), DIALECTS[name]("agent")
    for event in log[:split]:
        dialect.learn(event)
    for event in log[split:]:
        for frame in frames_of(dialect, event):
            client.take(json.loads(frame["data"]))


@given(log=logs, split=st.integers(0, 40))
@settings(max_examples=50, deadline=None)
def test_any_snapshot_is_well_formed_in_ag_ui_and_so_is_what_follows(log: list[Event], split: int) -> None:
    client, dialect = ThreadClient(), DIALECTS["ag-ui"]("agent")
    said = dialect.snapshot(Cursor(1, split), fold(log[:split]))
    for part in [*said.parts, *said.closing]:
        client.take(part)
    for event in log[split:]:
        for frame in frames_of(dialect, event):
            client.take(json.loads(frame["data"]))
