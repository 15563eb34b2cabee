"""The demo agent keeps the container protocol: what it may say, in which order, and how it ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .driving import Event, Process, Run, check, start_line

Demo = Callable[..., Run]
Launch = Callable[..., Process]


def test_a_run_speaks_the_protocol_and_leaves_its_files(demo: Demo) -> None:
    run = demo("What can you tell me?")
    check(run)
    assert run.done["status"] == "completed"
    names = [event["name"] for event in run.of("tool-call")]
    assert names[:3] == ["list_files", "load_dataset", "list_files"]
    assert {"read_file", "write_file", "run_python", "draw_chart"} < set(names)
    for name in ("analysis.py", "table_reading.py", "analysis.json", "report.md", "penguins.csv"):
        assert (run.workspace / name).stat().st_size > 0
    assert len(run.charts) >= 6


def test_the_first_answer_says_that_it_is_scripted(demo: Demo) -> None:
    text = demo().text
    assert "scripted" in text.split("\n\n")[0]
    assert "no model" in text.split("\n\n")[0]


def test_the_result_is_the_last_answer(demo: Demo) -> None:
    run = demo()
    assert run.text.rstrip().endswith(run.done["result"])
    assert "r = 0.871" in run.done["result"]


def test_the_written_program_is_shown_whole_and_is_what_runs(demo: Demo) -> None:
    run = demo()
    written = {
        call["arguments"]["path"]: call["arguments"]["content"]
        for call in run.of("tool-call")
        if call["name"] == "write_file"
    }
    assert written["analysis.py"] == (run.workspace / "analysis.py").read_text()
    assert "def pearson" in written["analysis.py"]
    call = next(event for event in run.of("tool-call") if event["name"] == "run_python")
    output = "".join(event["content"] for event in run.of("tool-output") if event["call_id"] == call["call_id"])
    assert "body_mass_g: integer" in output


def test_text_comes_in_small_pieces(demo: Demo) -> None:
    pieces = [event["content"] for event in demo().of("text")]
    assert len(pieces) > 60
    assert "".join(pieces).split("\n\n")[1].startswith("There is no data yet")
    assert max(len(piece.split()) for piece in pieces) <= 4


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


@pytest.mark.parametrize("place", ["list_files", "write_file", "run_python", "draw_chart"])
def test_a_cancel_in_the_middle_ends_the_run_as_cancelled(launch: Launch, place: str) -> None:
    process = launch(pace="1")
    process.tell(start_line())
    before = process.read_until(is_call(place))
    process.tell(b'\n{"type":"cancel"}\n')
    run = process.finish(before)
    check(run)
    assert run.done["status"] == "cancelled"
    assert "Cancelled" in run.text
    assert run.of("tool-result")[-1]["is_error"]


def test_a_cancel_stops_the_running_program(launch: Launch, workspace: Path) -> None:
    rows = "".join(f"{n},{n * n},{n % 97}\n" for n in range(400_000))
    (workspace / "long.csv").write_text("a,b,c\n" + rows)
    process = launch()
    process.tell(start_line())
    before = process.read_until(lambda event: event["type"] == "tool-output")
    process.tell(b'{"type":"cancel"}\n')
    run = process.finish(before)
    check(run)
    assert run.done["status"] == "cancelled"
    assert not (workspace / "analysis.json").exists()


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


def test_a_message_is_acknowledged_at_the_next_step_and_adds_to_the_request(launch: Launch) -> None:
    process = launch(pace="0.05")
    process.tell(start_line("Please have a look."))
    before = process.read_until(is_call("list_files"))
    process.tell(b'{"type":"message","content":"mind the body mass"}\n')
    run = process.finish(before)
    check(run)
    assert "mind the body mass" in run.text
    program = next(event for event in run.of("tool-call") if event["name"] == "run_python")
    assert "--focus=body_mass_g" in program["arguments"]["arguments"]


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
    assert [about["file"] for about in second.analysis] == ["penguins.csv"]
    assert second.analysis[0]["groups"]["by"] == "sex"
    assert "load_dataset" not in [event["name"] for event in second.of("tool-call")]
    assert "scripted" in second.text
    assert not list(second.workspace.glob("demo-*"))


def test_the_bundled_data_steps_back_when_a_user_file_comes(demo: Demo, workspace: Path) -> None:
    demo()
    (workspace / "mine.csv").write_text("x,y\n1,2\n2,4\n3,7\n")
    assert [about["file"] for about in demo("again", run_id="r2").analysis] == ["mine.csv"]
