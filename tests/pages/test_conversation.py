from __future__ import annotations

from typing import Any

import pytest

from agents.pages import conversation, measures
from streaming.events import Event, draft
from streaming.fold import State, fold


def state_of(*steps: tuple[str, str, dict[str, Any]]) -> State:
    made = [draft(type_, run, **data) for type_, run, data in steps]
    return fold(
        Event(one.type, "a", one.run_id, 1, seq, f"2026-11-20T12:00:{seq % 60:02d}.000000Z", one.data)
        for seq, one in enumerate(made, 1)
    )


def said(run: str, role: str = "user", message_id: str = "u") -> tuple[str, str, dict[str, Any]]:
    return "message", run, {"message_id": message_id, "role": role, "content": f"{role} of {run}"}


def test_queued_prompt_stands_in_the_queue_and_not_in_the_answer_that_is_being_written() -> None:
    state = state_of(
        said("r1"),
        ("status", "r1", {"status": "running"}),
        said("r2"),
        ("status", "r2", {"status": "queued"}),
        said("r1", "assistant", "m1"),
    )
    shown = conversation.of(state, "/files/")
    assert [(turn.run_id, len(turn.messages)) for turn in shown.turns] == [("r1", 2)]
    assert shown.queued == [conversation.Queued("r2", "user of r2")]


def shown_of(state: State) -> list[tuple[str | None, list[str]]]:
    """Each turn's run, and the ids of its messages."""
    turns = conversation.of(state, "/files/").turns
    return [(turn.run_id, [message.key.partition("/")[2] for message in turn.messages]) for turn in turns]


def asked(run: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [said(run, message_id=run), ("status", run, {"status": "queued"})]


def answered(run: str) -> list[tuple[str, str, dict[str, Any]]]:
    running = ("status", run, {"status": "running"})
    return [running, said(run, "assistant", f"{run} says"), ("done", run, {"status": "completed"})]


def thought(message_id: str) -> tuple[str, str, dict[str, Any]]:
    return "thinking", "r", {"message_id": message_id, "content": "Hm."}


def ended(run: str, status: str, *steps: tuple[str, str, dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    return [*asked(run), ("status", run, {"status": "running"}), *steps, ("done", run, {"status": status})]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_only_what_has_said_something_can_be_continued(status: str) -> None:
    error = ("error", "r1", {"code": "image-missing", "message": "It is not here."})
    text = ("text", "r1", {"message_id": "m", "content": "I begin."})
    call = ("tool-call", "r1", {"call_id": "c", "name": "bash", "arguments": {}})
    for steps, offered in (
        ([error], ["retry"]),
        ([("log", "r1", {"stream": "stderr", "content": "Traceback"})], ["retry"]),
        ([text, error], ["resume", "retry"]),
        ([call], ["resume", "retry"]),
    ):
        state = state_of(*ended("r1", status, *steps))
        assert conversation.of(state, "/files/").turns[-1].again == offered
        assert conversation.can_continue(state["runs"][0], state) is ("resume" in offered)


def test_a_run_that_was_followed_by_another_can_not_be_continued() -> None:
    text = ("text", "r1", {"message_id": "m", "content": "I begin."})
    state = state_of(*ended("r1", "failed", text), *asked("r2"), *answered("r2"))
    assert [conversation.can_continue(run, state) for run in state["runs"]] == [False, False]


def test_prompt_that_was_handed_to_a_run_at_work_stands_in_its_turn() -> None:
    steps = [
        *asked("r1"),
        ("status", "r1", {"status": "running"}),
        said("r1", "assistant", "before"),
        *asked("r2"),
        *asked("steer"),
        ("done", "steer", {"status": "completed"}),
        said("r1", "assistant", "after"),
        ("done", "r1", {"status": "completed"}),
        *answered("r2"),
    ]
    assert shown_of(state_of(*steps)) == [("r1", ["r1", "before", "steer", "after"]), ("r2", ["r2", "r2 says"])]
    assert shown_of(state_of(*steps[:-3]))[0] == ("r1", ["r1", "before", "steer", "after"])


def test_steering_prompt_stands_where_its_program_took_it() -> None:
    into = {"status": "completed", "reason": "handed to another run", "into": "r1"}
    begun = [
        *asked("r1"),
        ("status", "r1", {"status": "running"}),
        ("text", "r1", {"message_id": "m", "content": "One"}),
    ]
    handed = [*asked("steer"), ("status", "steer", into), ("done", "steer", {"status": "completed"})]
    state = state_of(*begun, *handed, ("text", "r1", {"message_id": "m", "content": "Two"}))
    (turn,) = conversation.of(state, "/files/").turns
    told = [(message.role, message.is_steering, len(message.parts)) for message in turn.messages]
    assert told == [("user", False, 1), ("assistant", False, 1), ("user", True, 1), ("assistant", False, 1)]


def test_text_of_several_parts_is_one_text() -> None:
    long = ("text", "r", {"message_id": "m", "content": "```\n" + "x\n" * 20_000 + "```\n"})
    state = state_of(*asked("r"), ("status", "r", {"status": "running"}), long)
    assert len(state["messages"][1]["parts"]) == 2
    (_, answer) = conversation.of(state, "/files/").turns[0].messages
    assert [str(part.html).count("<pre") for part in answer.parts] == [1]


def test_what_is_before_the_conversation_was_cleared_ends_with_a_line() -> None:
    state = state_of(*asked("r1"), *answered("r1"), ("clear", "r1", {"by": "ada"}), *asked("r2"), *answered("r2"))
    assert [turn.begins_anew for turn in conversation.of(state, "/files/").turns] == [False]
    old = {"id": "u", "run_id": "r1", "role": "user", "parts": [{"n": 1, "type": "text", "text": "old"}]}
    new = {"id": "u", "run_id": "r2", "role": "user", "parts": [{"n": 9, "type": "text", "text": "new"}]}
    page: dict[str, Any] = {"messages": [old], "earlier": None}
    shown = conversation.of(state, "/files/", page=page)
    assert (shown.is_cleared, shown.is_past, shown.earlier, shown.queued) == (True, True, "", [])
    shown = conversation.of(state, "/files/", page={**page, "messages": [old, new]})
    assert [turn.begins_anew for turn in shown.turns] == [False, True]
    assert not shown.is_cleared


def test_run_that_has_left_the_state_leads_to_its_page() -> None:
    runs = [step for n in range(300) for step in (*asked(f"r{n}"), *answered(f"r{n}"))]
    turns = conversation.of(state_of(*runs), "/files/", everything=True).turns
    assert turns[0].is_old
    assert turns[0].meta == ""
    assert not turns[-1].is_old


def test_approvals_that_left_with_their_call_stand_in_their_turn() -> None:
    answer = {"approval_id": "p", "run_id": "r", "call_id": "c", "question": "May it?", "options": ["approve"]}
    given = {**answer, "decision": "approve", "by": "ada", "reason": None}
    state = state_of(
        *asked("r"),
        ("status", "r", {"status": "running"}),
        ("tool-call", "r", {"call_id": "c", "name": "bash", "arguments": {}}),
    )
    state["messages"][1]["parts"][0]["approvals"] = [given]
    (turn,) = conversation.of(state, "/files/").turns
    assert turn.questions.answered == [given]


def test_turns_are_in_the_order_in_which_the_queue_was_worked_through() -> None:
    state = state_of(
        *asked("r1"), *asked("r2"), *asked("silent"), *asked("r3"), *answered("r1"), *answered("r3"), *answered("r2")
    )
    assert [run_id for run_id, _ in shown_of(state)] == ["r1", "r3", "r2"], "the third waits still"
    failed = [("status", "silent", {"status": "running"}), ("done", "silent", {"status": "failed"})]
    state = state_of(*asked("r1"), *answered("r1"), *asked("silent"), *failed, *asked("r2"), *answered("r2"))
    assert [run_id for run_id, _ in shown_of(state)] == ["r1", "silent", "r2"]


def test_a_clock_that_differs_does_not_change_the_order() -> None:
    made = [
        draft(type_, run, **data) for type_, run, data in [*asked("r1"), *answered("r1"), *asked("r2"), *answered("r2")]
    ]
    hour = {"r1": 14, "r2": 12}
    events = [
        Event(one.type, "a", one.run_id, 1, seq, f"2026-11-20T{hour[str(one.run_id)]}:00:{seq:02d}.000000Z", one.data)
        for seq, one in enumerate(made, 1)
    ]
    assert [run_id for run_id, _ in shown_of(fold(events))] == ["r1", "r2"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([("done", "r", {"status": "cancelled"})], "Withdrawn."),
        ([("status", "r", {"status": "running"}), ("done", "r", {"status": "cancelled"})], "Stopped."),
        ([("status", "r", {"status": "running"}), ("done", "r", {"status": "failed"})], "The run failed."),
        (
            [
                ("status", "r", {"status": "running"}),
                ("error", "r", {"code": "x", "message": "y", "retryable": True}),
                ("done", "r", {"status": "completed"}),
            ],
            "Reported an error.",
        ),
    ],
)
def test_words_at_the_end_are_true_of_the_run(steps: list[tuple[str, str, dict[str, Any]]], words: str) -> None:
    (turn,) = conversation.of(state_of(*asked("r"), *steps), "/files/").turns
    assert turn.final_word == words


def test_only_the_last_parts_are_shown_in_steps() -> None:
    texts = [step for n in range(325) for step in (("text", "r", {"message_id": "m", "content": f"{n}"}), thought("m"))]
    state = state_of(said("r"), *texts)
    shown = conversation.of(state, "/files/")
    assert shown.earlier == "all"
    assert sum(len(message.parts) for turn in shown.turns for message in turn.messages) == 251
    assert conversation.of(state, "/files/", everything=True).earlier == ""


def test_closed_card_tells_the_gist_of_its_call() -> None:
    call = {"call_id": "c", "name": "shell", "arguments": {"n": 1, "command": "\n ls -l\nrm x"}}
    state = state_of(said("r"), ("tool-call", "r", call))
    part = conversation.of(state, "/files/").turns[0].messages[1].parts[0]
    assert part.summary == "ls -l"
    assert [(one.kind, one.name, one.text) for one in part.about] == [
        ("command", "", "\n ls -l\nrm x"),
        ("field", "n", "1"),
    ]


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (59_949, "59.9 s"),
        (59_950, "1 min 0 s"),
        (3_725_000, "1 h 2 min"),
    ],
)
def test_durations_in_words(ms: float, words: str) -> None:
    assert measures.duration(ms) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (999_600, "1.0 MB"), (51_200_000, "51 MB")]
)
def test_sizes_in_words(count: int, words: str) -> None:
    assert measures.size(count) == words


def test_card_tells_what_the_state_leaves_out() -> None:
    big = "x" * 20_000
    steps: list[tuple[str, str, dict[str, Any]]] = [
        said("r"),
        ("status", "r", {"status": "running"}),
        ("tool-call", "r", {"call_id": "c", "name": "bash", "arguments": {"command": big}}),
        ("tool-output", "r", {"call_id": "c", "content": big}),
        ("tool-result", "r", {"call_id": "c", "result": big, "is_error": True}),
    ]
    part = conversation.of(state_of(*steps), "/files/").turns[0].messages[1].parts[0]
    assert part.omitted == [f"20 KB of the {what} not shown" for what in ("arguments", "output", "error")]
    assert (part.summary, part.about, part.output, part.result) == ("", [], None, None)


def test_call_waits_while_its_approval_does() -> None:
    steps: list[tuple[str, str, dict[str, Any]]] = [
        said("r"),
        ("status", "r", {"status": "running"}),
        ("tool-call", "r", {"call_id": "c", "name": "bash", "arguments": {"command": "rm x"}}),
        ("approval-request", "r", {"approval_id": "p", "call_id": "c", "question": "May it?"}),
    ]

    def told() -> tuple[str, str, bool]:
        part = conversation.of(state_of(*steps), "/files/").turns[0].messages[1].parts[0]
        return part.state, part.state_word, part.is_open

    assert told() == ("waiting", "waiting for you", False)
    steps.append(("approval-response", "r", {"approval_id": "p", "decision": "approve", "by": "ada"}))
    assert told() == ("running", "running", True)
    steps[-1] = ("done", "r", {"status": "cancelled"})
    assert told()[0] == "interrupted"
