"""The law of the bounded state: pages, then the state's messages, are the whole conversation; and it stays bounded.

Whatever the log: what each event says is checked against the log itself, not against the rules that are tested.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, given, settings

from streaming.model.bounds import Page
from streaming.model.events import Event, encode
from streaming.model.fold import State, initial, step
from streaming.model.weight import weight
from tests.golden.logs import event, large_logs, logs

STATE_BYTES = 512 * 1024
some = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def folded(log: list[Event]) -> tuple[State, list[Page]]:
    state, pages = initial(), []
    for one in log:
        state, page = step(state, one)
        if page is not None:
            pages.append(page)
        assert len(encode(state).encode()) <= STATE_BYTES
        assert state["conversation_bytes"] == weight(state["messages"])
    return state, pages


def parts_of(state: State, pages: list[Page]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    entries = [entry for page in pages for entry in page.messages] + state["messages"]
    return sorted(((entry, part) for entry in entries for part in entry["parts"]), key=lambda both: both[1]["n"])


@given(log=large_logs)
@some
def test_no_part_is_missing_and_none_is_there_twice(log: list[Event]):
    state, pages = folded(log)
    ordinals = [part["n"] for _, part in parts_of(state, pages)]
    assert len(ordinals) == len(set(ordinals))
    replaces = any(one.type == "message" for one in log)
    assert replaces or ordinals == list(range(1, state["parts_total"] + 1))


@given(log=large_logs)
@some
def test_what_was_said_is_there_in_full(log: list[Event]):
    """Of each message its deltas, in their order."""
    deltas = [one for one in log if one.type != "message"]
    said: dict[Any, str] = defaultdict(str)
    for one in deltas:
        if one.type in ("text", "thinking"):
            said[one.run_id, one.data["message_id"], one.type] += one.data["content"]
    state, pages = folded(deltas)
    shown: dict[Any, str] = defaultdict(str)
    for entry, part in parts_of(state, pages):
        if part["type"] != "tool-call":
            shown[entry["run_id"], entry["id"], part["type"]] += part["text"]
    assert shown == said


@given(log=large_logs)
@some
def test_every_call_is_there_once(log: list[Event]):
    state, pages = folded(log)
    shown = [part["call_id"] for _, part in parts_of(state, pages) if part["type"] == "tool-call"]
    assert sorted(shown) == sorted(one.data["call_id"] for one in log if one.type == "tool-call")


@given(log=large_logs)
@some
def test_each_page_names_the_one_before_it(log: list[Event]):
    state, pages = folded(log)
    earlier = state["earlier"]
    for page in reversed(pages):
        assert earlier == {"before": str(page.before)}
        ordinals = [part["n"] for entry in page.messages for part in entry["parts"]]
        assert ordinals == sorted(ordinals)
        earlier = page.earlier
    assert earlier is None


@given(log=logs)
@some
def test_a_conversation_that_is_small_stays_whole(log: list[Event]):
    _, pages = folded([one for one in log if one.type != "clear"])
    assert not pages


# Each limit by itself ------------------------------------------------------------------------------------------------


def started(run_id: str = "r") -> list[Event]:
    return [event("status", run_id, status="running")]


def test_a_text_goes_on_in_a_new_part_and_is_not_cut():
    state, _ = folded([*started(), *(event("text", "r", message_id="m", content="é" * 10_000) for _ in range(4))])
    (entry,) = state["messages"]
    assert [len(part["text"].encode()) for part in entry["parts"]] == [32768, 32768, 14464]
    assert [part.get("continued") for part in entry["parts"]] == [None, True, True]


def test_what_a_call_said_at_length_is_null_and_its_size_is_there():
    state, _ = folded(
        [
            *started(),
            event("tool-call", "r", call_id="c", name="bash", arguments={"a": "x" * 20_000}),
            event("tool-output", "r", call_id="c", content="y" * 16_000),
            event("tool-output", "r", call_id="c", content="y" * 4_000),
            event("tool-output", "r", call_id="c", content="y" * 500),
            event("tool-result", "r", call_id="c", result=["z" * 30_000], is_error=False, duration_ms=1),
        ]
    )
    (part,) = state["messages"][0]["parts"]
    assert (part["arguments"], part["output"], part["result"], part["state"]) == (None, None, None, "completed")
    assert part["omitted_bytes"] == {"arguments": 20_009, "output": 20_500, "result": 30_005}


def test_the_65th_open_call_lets_the_oldest_go():
    calls = [event("tool-call", "r", call_id=f"c{at}", name="bash", arguments={}) for at in range(65)]
    state, (page,) = folded([*started(), *calls])
    (left,) = page.messages[0]["parts"]
    assert (left["call_id"], left["state"]) == ("c0", "running")
    assert [part["call_id"] for part in state["messages"][0]["parts"]] == [f"c{at}" for at in range(1, 65)]


def test_an_open_call_stays_while_what_came_later_leaves():
    call = event("tool-call", "r", call_id="c", name="bash", arguments={})
    texts = [event("text", "r", message_id=f"m{at}", content="x" * 30_000) for at in range(20)]
    state, pages = folded([*started(), call, *texts])
    assert pages
    assert state["messages"][0]["parts"][0]["call_id"] == "c"


def test_a_whole_message_takes_the_place_of_what_has_not_left():
    texts = [event("text", "r", message_id="m", content=f"{at % 10}" * 30_000) for at in range(20)]
    whole = "".join(one.data["content"] for one in texts)
    end = event("message", "r", message_id="m", role="assistant", content=f"{whole} And more.")
    state, pages = folded([*started(), *texts, end])
    assert pages
    assert "".join(part["text"] for _, part in parts_of(state, pages)) == f"{whole} And more."


def test_more_of_a_message_that_has_left_is_marked_as_continued():
    texts = [event("text", "r", message_id="m", content="x" * 30_000)]
    others = [event("text", "r", message_id=f"n{at}", content="y" * 30_000) for at in range(10)]
    state, pages = folded([*started(), *texts, *others, event("text", "r", message_id="m", content="more")])
    assert pages
    assert (state["messages"][-1]["id"], state["messages"][-1]["parts"][0]["continued"]) == ("m", True)


def test_prompts_wait_in_the_queue_and_the_last_are_cut_first():
    log = []
    for at in range(10):
        log.append(event("message", f"r{at}", message_id=f"u{at}", role="user", content=f"{at}" * 10_000))
        log.append(event("status", f"r{at}", status="queued"))
    state, _ = folded(log)
    assert state["messages"] == []
    assert [len(one["prompt"]) for one in state["queue"]] == [10_000] * 6 + [160] * 4
    assert {one.get("omitted_bytes") for one in state["queue"][6:]} == {9_840}


def test_a_prompt_that_was_cut_is_whole_once_its_run_says_it_again():
    prompts = [event("message", f"r{at}", message_id=f"u{at}", role="user", content="x" * 60_000) for at in range(2)]
    state, _ = folded([*prompts, *started("r1")])
    assert state["messages"][0]["parts"][0]["omitted_bytes"] == 59_840
    state, _ = folded([*prompts, *started("r1"), prompts[1]])
    assert "".join(part["text"] for _, part in parts_of(state, [])) == "x" * 60_000


def test_a_prompt_that_a_program_took_stands_where_it_took_it():
    state, _ = folded(
        [
            *started(),
            event("text", "r", message_id="m", content="One"),
            event("message", "s", message_id="u", role="user", content="Two?"),
            event("status", "s", status="queued"),
            event("text", "r", message_id="m", content=" and"),
            event("status", "s", status="completed", into="r"),
            event("text", "r", message_id="m", content="Two"),
        ]
    )
    shown = [(entry["id"], entry.get("into"), part["text"]) for entry, part in parts_of(state, [])]
    assert shown == [("m", None, "One and"), ("u", "r", "Two?"), ("m", None, "Two")]


def test_the_files_that_changed_last_are_there_and_how_many_there_are():
    changes = [{"path": f"{at}.txt", "change": "added", "size": 1, "sha256": "a" * 64} for at in range(2_000)]
    log = [event("files", None, changes=changes[at : at + 20]) for at in range(0, 2_000, 20)]
    state, _ = folded(log)
    assert state["files_total"] == 2_000
    assert 400 < len(state["files"]) < 700
    assert {int(path.removesuffix(".txt")) for path in state["files"]} == set(range(2_000 - len(state["files"]), 2_000))
    state, _ = folded([*log, event("files", None, changes=[], total=2_345)])
    assert state["files_total"] == 2_345


def test_answered_questions_leave_before_those_that_wait():
    log = started()
    for at in range(150):
        log.append(event("tool-call", "r", call_id=f"c{at % 3}", name="bash", arguments={}))
        log.append(event("approval-request", "r", approval_id=f"a{at}", call_id=f"c{at % 3}", question="?" * 400))
        if at < 100:
            log.append(event("approval-response", "r", approval_id=f"a{at}", decision="yes", by="ada"))
    state, pages = folded(log)
    waiting = [one["approval_id"] for one in state["approvals"] if one["decision"] is None]
    assert waiting == [f"a{at}" for at in range(100, 150)]
    kept = [one["approval_id"] for one in state["approvals"]]
    given = [one["approval_id"] for _, part in parts_of(state, pages) for one in part.get("approvals", [])]
    assert sorted(kept + given) == sorted(f"a{at}" for at in range(150))


def test_the_runs_that_ended_first_leave():
    log = []
    for at in range(500):
        log += [event("status", f"r{at}", status="running"), event("done", f"r{at}", status="completed")]
    state, _ = folded(log)
    assert state["runs_total"] == 500
    assert state["runs"][-1]["id"] == "r499"
    assert 50 < len(state["runs"]) < 500


def test_a_plan_says_how_much_of_it_is_not_there():
    state, _ = folded([*started(), event("plan", "r", entries=[{"content": "x" * 1_000}] * 40)])
    assert len(state["plan"]["entries"]) + state["plan"]["omitted_entries"] == 40
    assert state["plan"]["omitted_entries"] > 20


def test_after_a_clear_the_conversation_begins_anew():
    state, (page,) = folded([*started(), event("text", "r", message_id="m", content="Old"), event("clear", None)])
    assert (state["messages"], state["conversation_bytes"], state["cleared"]) == ([], 2, 1)
    assert page.messages[0]["parts"][0]["text"] == "Old"
    assert json.loads(encode(state)) == state
