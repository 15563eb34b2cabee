"""The demo agent keeps the container protocol: what it may say, in which order, and how it ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from containers.images.build import find_image

from .driving import DEMO, Event, Process, Run, check, start_line

Demo = Callable[..., Run]
Launch = Callable[..., Process]


def test_a_run_speaks_the_protocol_and_leaves_its_files(demo: Demo) -> None:
    run = demo("What can you tell me?")
    check(run)
    assert run.done["status"] == "completed"
    tools = ["list_files", "load_sample", "read_file", "write_file", "run_python", "read_file"]
    assert [event["name"] for event in run.of("tool-call")] == tools
    files = sorted(path.name for path in run.workspace.iterdir())
    assert files == ["analysis.py", "chart.svg", "penguins.csv", "report.md"]
    assert run.of("usage") == []


def test_it_says_first_that_it_is_scripted(demo: Demo) -> None:
    assert "scripted: no model" in demo().text.split("\n\n")[0]


def test_the_result_is_the_last_answer_and_says_what_the_report_says(demo: Demo) -> None:
    run = demo()
    assert run.text.rstrip().endswith(run.done["result"])
    assert "lowest for `Adelie` (3,701), highest for `Gentoo` (5,076)" in run.done["result"]
    assert "lowest for `Adelie` (3,701), highest for `Gentoo` (5,076)" in run.report


def test_the_written_program_is_shown_whole_and_is_what_runs(demo: Demo) -> None:
    run = demo()
    write, program = (
        next(e for e in run.of("tool-call") if e["name"] == name) for name in ("write_file", "run_python")
    )
    assert write["arguments"]["content"] == (run.workspace / "analysis.py").read_text()
    assert program["arguments"]["command"][-4:-2] == ["analysis.py", "penguins.csv"]
    assert run.output_of("run_python") == "344 rows and 7 columns read\nreport.md written\n"


def test_entries_of_the_plan_are_completed_one_by_one(demo: Demo) -> None:
    plans = [[entry["status"] for entry in event["entries"]] for event in demo().of("plan")]
    assert [plan.count("completed") for plan in plans] == [0, 1, 2, 3, 4, 5]
    assert [plan.count("in_progress") for plan in plans] == [1, 1, 1, 1, 1, 0]


def test_text_comes_in_small_pieces(demo: Demo) -> None:
    pieces = [event["content"] for event in demo().of("text")]
    assert len(pieces) > 40
    assert max(len(piece.split()) for piece in pieces) <= 4


# Approval -------------------------------------------------------------------------------------------------------------
ASKS = {"approvals": ["run_python"]}


def is_question(event: Event) -> bool:
    return bool(event["type"] == "approval-request")


def test_the_program_runs_once_it_is_approved(launch: Launch, workspace: Path) -> None:
    process = launch()
    process.tell(start_line(config=ASKS))
    before = process.read_until(is_question)
    question = before[-1]
    assert question["question"] == "Run analysis.py on penguins.csv? It writes report.md and chart.svg."
    assert not (workspace / "report.md").exists()
    process.tell(b'{"type":"approval","approval_id":"another","decision":"deny"}\n')
    answer = {"type": "approval", "approval_id": question["approval_id"], "decision": "approve"}
    process.tell(json.dumps(answer).encode() + b"\n")
    run = process.finish(before)
    check(run)
    assert run.done["status"] == "completed"
    assert "Gentoo" in run.report


def test_a_refusal_with_its_reason_ends_the_run_and_nothing_was_run(launch: Launch, workspace: Path) -> None:
    process = launch()
    process.tell(start_line(config=ASKS))
    before = process.read_until(is_question)
    answer = {"type": "approval", "approval_id": before[-1]["approval_id"], "decision": "deny", "reason": "too early"}
    process.tell(json.dumps(answer).encode() + b"\n")
    run = process.finish(before)
    check(run)
    assert run.done["status"] == "completed"
    assert run.of("tool-result")[-1]["is_error"]
    assert run.done["result"] == (
        "The user denied this. The reason: too early. So I stop here. I have written `penguins.csv`, `analysis.py`."
    )
    assert not (workspace / "report.md").exists()


def test_a_cancel_ends_the_wait_for_an_answer(launch: Launch) -> None:
    process = launch()
    process.tell(start_line(config=ASKS))
    before = process.read_until(is_question)
    process.tell(b'{"type":"cancel"}\n')
    run = process.finish(before)
    check(run)
    assert run.done["status"] == "cancelled"


# Input ----------------------------------------------------------------------------------------------------------------


def test_a_repeated_start_is_dropped(launch: Launch) -> None:
    process = launch()
    process.tell(b"\n" + start_line() + start_line() + b"\n" + start_line())
    run = process.finish()
    check(run)
    assert sum(event["name"] == "run_python" for event in run.of("tool-call")) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"not json\n",
        b"[1, 2]\n",
        b'"start"\n',
        b"\xff\xfe\n",
        b'{"type": 7}\n',
        b'{"type":"approval"}\n',
        b"[" * 100_000 + b"\n",
    ],
    ids=["blank", "words", "list", "string", "bytes", "number", "approval", "deep"],
)
def test_garbage_on_stdin_is_skipped(launch: Launch, garbage: bytes) -> None:
    process = launch()
    process.tell(garbage + start_line() + garbage)
    run = process.finish()
    check(run)
    assert run.done["status"] == "completed"


def test_the_end_of_stdin_does_not_end_a_run(launch: Launch) -> None:
    process = launch()
    process.tell(start_line())
    process.stdin.close()
    run = process.finish()
    check(run)
    assert run.done["status"] == "completed"


def test_a_start_without_a_newline_at_the_end_of_stdin_counts(launch: Launch) -> None:
    process = launch()
    process.tell(start_line().strip())
    process.stdin.close()
    assert process.finish().done["status"] == "completed"


def test_a_start_larger_than_a_pipe_is_put_together(launch: Launch) -> None:
    process = launch()
    process.tell(b"\n" + start_line(history=[{"role": "assistant", "content": "long " * 100_000}]) + b"\n")
    run = process.finish()
    check(run)
    assert "Still the scripted demo" in run.text


def test_no_start_at_all_is_an_error(launch: Launch) -> None:
    process = launch()
    process.stdin.close()
    run = process.finish()
    check(run)
    assert run.of("error")[0]["code"] == "no-start"
    assert run.done["status"] == "failed"


@pytest.mark.parametrize(
    "line",
    [
        {"type": "start"},
        {"type": "start", "run_id": "r", "input": None},
        {"type": "start", "run_id": "r", "input": {"content": None}},
        {"type": "start", "run_id": "r", "input": "plain words", "history": {"no": "list"}},
        {
            "type": "start",
            "run_id": "r",
            "input": {"content": [{"type": "text", "text": "mass"}, 3]},
            "history": [None],
        },
        {"type": "start", "run_id": ["r"], "input": {"content": "\ud800 \x00 \u202e"}},
    ],
    ids=["nothing", "null", "null-content", "string", "parts", "surrogate"],
)
def test_any_shape_of_input_is_answered(launch: Launch, line: object) -> None:
    process = launch()
    process.tell(json.dumps(line).encode() + b"\n")
    run = process.finish()
    check(run)
    assert run.done["status"] == "completed"


def is_call(name: str) -> Callable[[Event], bool]:
    return lambda event: event["type"] == "tool-call" and event["name"] == name


@pytest.mark.parametrize("place", ["list_files", "run_python"])
def test_a_cancel_in_the_middle_ends_the_run_as_cancelled(launch: Launch, place: str) -> None:
    process = launch(pace="1")
    process.tell(start_line())
    before = process.read_until(is_call(place))
    process.tell(b'\n{"type":"cancel"}\n')
    run = process.finish(before)
    check(run)
    assert run.done["status"] == "cancelled"
    assert run.of("tool-result")[-1]["is_error"]


def test_a_cancel_stops_the_running_program(launch: Launch, workspace: Path) -> None:
    (workspace / "long.csv").write_text("a,b,c\n" + "".join(f"{n},{n * n},{n % 97}\n" for n in range(400_000)))
    process = launch()
    process.tell(start_line())
    before = process.read_until(lambda event: event["type"] == "tool-output")
    process.tell(b'{"type":"cancel"}\n')
    run = process.finish(before)
    check(run)
    assert run.done["status"] == "cancelled"
    assert not (workspace / "report.md").exists()


def test_a_cancel_before_the_start_cancels_it(launch: Launch) -> None:
    process = launch()
    process.tell(b'{"type":"cancel"}\n' + start_line())
    run = process.finish()
    check(run)
    assert run.done["status"] == "cancelled"
    assert not run.of("tool-call")


def test_sigterm_is_a_cancel(launch: Launch) -> None:
    process = launch(pace="1")
    process.tell(start_line())
    before = process.read_until(lambda event: event["type"] == "thinking")
    process.process.send_signal(signal.SIGTERM)
    run = process.finish(before)
    check(run)
    assert run.done["status"] == "cancelled"


def test_a_message_before_the_program_adds_to_the_request(launch: Launch) -> None:
    process = launch(pace="0.05")
    process.tell(start_line("Please have a look."))
    before = process.read_until(is_call("list_files"))
    process.tell(b'{"type":"message","content":"mind the bill depth by sex"}\n')
    run = process.finish(before)
    check(run)
    assert "mind the bill depth by sex" in run.text
    (program,) = (event for event in run.of("tool-call") if event["name"] == "run_python")
    assert {"--about=bill_depth_mm", "--about=sex"} < set(program["arguments"]["command"])


def test_a_message_during_the_program_makes_it_run_again(launch: Launch) -> None:
    process = launch(pace="0.05")
    process.tell(start_line("Please have a look."))
    before = process.read_until(is_call("run_python"))
    process.tell(b'{"type":"message","content":"by island"}\n')
    run = process.finish(before)
    check(run)
    first, second = (event for event in run.of("tool-call") if event["name"] == "run_python")
    assert "--about=island" not in first["arguments"]["command"]
    assert "--about=island" in second["arguments"]["command"]
    assert "by `island`" in run.done["result"]


def test_a_reader_that_went_away_is_no_traceback(launch: Launch) -> None:
    process = launch()
    process.stdout.close()
    process.tell(start_line())
    assert process.process.wait(30) == 0
    assert b"Traceback" not in process.stderr.read()
    process.stdout = open(os.devnull, "rb")  # noqa: PTH123, SIM115 - something for the fixture to close


def test_a_second_run_works_on_the_same_workspace_and_ignores_its_own_files(demo: Demo) -> None:
    first = demo("What is there?")
    history = [{"role": "user", "content": "What is there?"}, {"role": "assistant", "content": first.done["result"]}]
    second = demo("And now body mass by sex", run_id="r2", history=history)
    check(second)
    assert "`body_mass_g` by `sex`: its mean is lowest for `female` (3,862)" in second.done["result"]
    assert "load_sample" not in [event["name"] for event in second.of("tool-call")]
    assert "Still the scripted demo" in second.text
    assert not list(second.workspace.glob("demo-*"))


def test_its_protocol_is_the_bundled_agents() -> None:
    for name in ("protocol.py", "approvals.py"):
        assert (DEMO / name).resolve() == DEMO.parent / "agent" / name
    assert {path.name for path in find_image("demo").files()} >= {"protocol.py", "approvals.py"}
