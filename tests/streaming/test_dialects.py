"""Golden and random logs in each dialect: the shape of every part, their order, and what a client that is cut keeps."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streaming.http.dialects import DIALECTS, Dialect
from streaming.http.dialects.runs import RunSoFar
from streaming.http.dialects.translation import wire
from streaming.model.cursor import Cursor
from streaming.model.events import Event, decode
from streaming.model.fold import State, fold
from tests.golden.logs import event as made
from tests.golden.logs import large_logs, logs
from tests.golden.test_golden import LOGS, lines_of
from tests.streaming.dialect_clients import CLIENTS, ChatClient, ThreadClient

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
    """Over all stretches of a message."""
    found: dict[tuple[str, str], str] = defaultdict(str)
    for stretch in state["messages"]:
        if stretch["role"] == "assistant":
            texts = [part["text"] for part in stretch["parts"] if part["type"] == kind]
            found[stretch["run_id"], stretch["id"]] += "".join(texts)
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


# What a snapshot of a bounded state says -----------------------------------------------------------------------------


def snapshot_of(log: list[Event]) -> list[dict[str, Any]]:
    """The messages that AG-UI says of the state behind `log`."""
    said = DIALECTS["ag-ui"]("agent").snapshot(Cursor(1, len(log)), fold(log))
    (messages,) = (part["messages"] for part in said.parts if part["type"] == "MESSAGES_SNAPSHOT")
    return list(messages)


def prompt_of(queued: dict[str, Any]) -> dict[str, Any]:
    parts = [{"type": "text", "text": queued["prompt"]}]
    return {"run_id": queued["run_id"], "id": queued["message_id"], "parts": parts}


def running() -> Event:
    return made("status", "r", status="running")


def call(call_id: str, **arguments: str) -> Event:
    return made("tool-call", "r", call_id=call_id, name="bash", arguments=arguments)


@given(log=logs | large_logs)
@settings(
    max_examples=50,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_a_snapshot_has_each_message_once_with_all_of_its_text_in_the_state(log: list[Event]) -> None:
    state = fold(log)
    messages = [message for message in snapshot_of(log) if message["role"] != "tool"]
    assert len({message["id"] for message in messages}) == len(messages)
    texts = {message["id"]: message["content"] for message in messages}
    prompts = [prompt_of(queued) for queued in state["queue"] if queued["prompt"] is not None]
    said: dict[str, str] = defaultdict(str)
    for stretch in [*state["messages"], *prompts]:
        for part in stretch["parts"]:
            thinking = ":thinking" if part["type"] == "thinking" else ""
            said[f"{stretch['run_id']}:{stretch['id']}{thinking}"] += part.get("text", "")
    assert {id_: text for id_, text in texts.items() if text} == {id_: text for id_, text in said.items() if text}


@given(log=logs)
@settings(max_examples=100, deadline=None)
def test_a_call_belongs_to_the_message_that_the_fold_puts_it_into(log: list[Event]) -> None:
    so_far, state = RunSoFar(), fold([running()])
    for one in log:
        if one.type not in ("text", "thinking", "tool-call"):
            continue
        of_run = made(one.type, "r", **one.data)
        so_far.note(of_run)
        state = fold([of_run], state)
        if one.type == "tool-call":
            assert so_far.answer == state["messages"][-1]["id"]
        assert RunSoFar.of(state, "r").answer == state["messages"][-1]["id"]


def test_a_message_goes_on_behind_the_prompt_that_its_program_took_and_is_one_in_a_snapshot() -> None:
    log = [
        running(),
        made("text", "r", message_id="m", content="Before "),
        made("message", "s", message_id="s-input", role="user", content="Faster!"),
        made("status", "s", status="queued"),
        made("status", "s", status="completed", into="r"),
        made("text", "r", message_id="m", content="and after."),
    ]
    assert [(one["id"], one["content"]) for one in snapshot_of(log)] == [
        ("r:m", "Before and after."),
        ("s:s-input", "Faster!"),
    ]


def test_a_prompt_in_the_queue_is_in_a_snapshot_as_its_event_has_said_it() -> None:
    log = [
        running(),
        made("message", "s", message_id="s-input", role="user", content="And then?"),
        made("status", "s", status="queued"),
    ]
    assert snapshot_of(log) == [{"id": "s:s-input", "role": "user", "content": "And then?"}]


def test_what_the_state_leaves_out_of_a_call_is_said_with_its_size() -> None:
    result = made("tool-result", "r", call_id="c", result="z" * 30_000, is_error=False, duration_ms=1)
    answer, output = snapshot_of([running(), call("c", command="x" * 20_000), result])
    assert json.loads(answer["toolCalls"][0]["function"]["arguments"]) == {"omitted_bytes": 20_015}
    assert json.loads(output["content"]) == {"omitted_bytes": 30_002}


def test_a_call_whose_arguments_the_state_leaves_out_gets_its_result_from_the_ai_sdk_after_a_reset() -> None:
    client, dialect = ChatClient(), DIALECTS["ai-sdk"]("agent")
    dialect.snapshot(Cursor(1, 2), fold([running(), call("c", command="x" * 20_000)]))
    result = made("tool-result", "r", call_id="c", result="done", is_error=False, duration_ms=1)
    said = [json.loads(frame["data"]) for frame in frames_of(dialect, result)]
    for part in said:
        client.take(part)
    assert next(part["input"] for part in said if "input" in part) == {"omitted_bytes": 20_015}
    assert client.results == {("r", "c"): "done"}


def test_text_whose_beginning_has_left_the_state_is_not_said_twice_by_the_whole_message() -> None:
    """It was said in deltas, of which a snapshot has the end only."""
    deltas = [made("text", "r", message_id="m", content="x" * 30_000) for _ in range(20)]
    log = [running(), *deltas, *(call(f"c{at}", a="y" * 15_000) for at in range(20))]
    state = fold(log)
    assert all(stretch["id"] != "m" or stretch["parts"][0]["n"] > 1 for stretch in state["messages"])
    assert [left["id"] for left in state["left"]] == ["m"]
    client, dialect = ThreadClient(), DIALECTS["ag-ui"]("agent")
    for part in dialect.snapshot(Cursor(1, len(log)), state).parts:
        client.take(part)
    before = dict(client.messages)
    for frame in frames_of(dialect, made("message", "r", message_id="m", role="assistant", content="x" * 600_000)):
        client.take(json.loads(frame["data"]))
    assert client.messages == before


def test_a_conversation_that_begins_anew_is_empty_for_an_ag_ui_client_too() -> None:
    client, dialect = ThreadClient(), DIALECTS["ag-ui"]("agent")
    log = [running(), made("text", "r", message_id="m", content="Hi"), made("done", "r", status="completed")]
    for one in [*log, made("clear", None)]:
        for frame in frames_of(dialect, one):
            client.take(json.loads(frame["data"]))
    assert client.messages == {}
    assert ("clear", {"run_id": None}) in client.kept
