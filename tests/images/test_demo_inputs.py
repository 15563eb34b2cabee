"""Whatever lies in the workspace, the demo agent says what it is and never breaks on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from containers.images.demo.session import named_columns

from .driving import Event, Process, Run, check, start_line

Demo = Callable[..., Run]
SVG = "{http://www.w3.org/2000/svg}"


NASTY = {
    "ragged.csv": b"a,b,c\n1,2\n3\n4,5,6,7\n",
    "header.csv": b"a,b\n",
    "constant.csv": b"a,b\n1,x\n1,x\n",
    "wide.csv": (",".join(f"c{n}" for n in range(300)) + "\n" + ",".join("5" * 300) + "\n").encode(),
    "evil.csv": b'<script>,"a|b`c&",$(id),"d<e"\n' + b'<b>&,1,]]>,2\n"\x01\x02",2,--,3\n\xf0\x9f\x90\xa7,3,x,7\n' * 4,
    "infinite.csv": b"a,b\ninf,inf\n-inf,inf\ninf,1\n",
    "huge-numbers.csv": b"a,b\n1e308,1\n-1e308,2\n1e-320,3\n",
    "missing.csv": b"a,b\nNA,\n,null\n",
    "one-row.csv": b"a,b\n1,2020-01-01\n",
    "dates.csv": b"d,v\n" + b"".join(b"2024-%02d-01,%d\n" % (n, n) for n in range(1, 13)),
    "text.md": b"# Title\n\nSome words, and some more words.\n",
    "symbols.txt": b"!!! ???\n\n12 34\n",
    "one-long-line.txt": b"word " * 300_000,
    "unclosed.csv": b'a,b\n1,"never closed\n2,3\n',
    "repeated.csv": b"a,a,\n1,2,3\n",
    "negative.csv": b"a,b\nx,-1\ny,-2\nx,3\n",
    "--by.csv": b"a,b\n1,2\n2,3\n",
}


@pytest.mark.parametrize("name", NASTY)
def test_a_strange_file_is_analysed_to_the_end(demo: Demo, workspace: Path, name: str) -> None:
    (workspace / name).write_bytes(NASTY[name])
    run = demo("Tell me about it")
    check(run)
    assert run.done["status"] == "completed", run.stderr
    assert name in run.report
    if (workspace / "chart.svg").exists():
        check_chart(workspace / "chart.svg")


def check_chart(path: Path) -> None:
    """A whole picture: well-formed, titled, nothing that runs or loads, no coordinate that is not a number."""
    root = ElementTree.fromstring(path.read_text())
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title") is not None
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "title", "text", "rect", "g"}
    bars = [float(rect.attrib[key]) for rect in root.iter(f"{SVG}rect") for key in ("x", "width") if key in rect.attrib]
    assert all(0 <= place <= 680 for place in bars)


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ("a;b\n1;x\n3;\n", "| `a` | 2 | 0 | 2 | 1 | 2 | 3 |  |"),
        ("a\tb\n-1.5\tx\nNA\ty\n2e3\tz\n", "| `a` | 2 | 1 | 2 | -1.5 | 999.2 | 2,000 |  |"),
        ('a,b\n007,"x, y"\n007,z\n012,z\n', "| `a` | 3 | 0 | 2 |  |  |  | `007`, `012` |"),
        ("a,b\r\n1\r\n\r\n2,x,y\r\n", "| `b` | 1 | 1 | 1 |  |  |  | `x` |"),
        ("a\n1e999\n2\n", "| `a` | 2 | 0 | 2 |  |  |  | `1e999`, `2` |"),
    ],
    ids=["semicolon", "tab", "codes", "ragged", "too-large"],
)
def test_a_column_is_described_as_it_is(demo: Demo, workspace: Path, content: str, row: str) -> None:
    (workspace / "t.csv").write_bytes(content.encode())
    assert row in demo().report.splitlines()


@pytest.mark.parametrize(
    ("codec", "said"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8-SIG"), ("utf-16", "UTF-16"), ("cp1252", "Windows-1252 (guessed)")],
)
def test_the_encoding_is_named_and_the_text_is_right(demo: Demo, workspace: Path, codec: str, said: str) -> None:
    (workspace / "cities.csv").write_bytes("città,n\nKöln,1\nKöln,2\nNapoli,3\n".encode(codec))
    run = demo()
    check(run)
    assert f"read as {said}." in run.report
    assert "`Köln`, `Napoli`" in run.report
    assert "`città`" in run.report
    heads = [event["result"] for event in run.of("tool-result") if "Napoli,3" in event["result"]]
    assert heads[0].startswith("città"), "the head of the file that it has read"


def test_a_text_is_counted(demo: Demo, workspace: Path) -> None:
    (workspace / "notes.md").write_text("Hello there, hello.\nBye!\n")
    assert "`notes.md`: 4 words, 3 different ones, 2 line ends." in demo().report


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "is empty"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "is not a text file"),
        ("paper.pdf", b"%PDF-1.7\nx", "is not a text file"),
    ],
)
def test_a_file_that_cannot_be_analysed_is_named_with_the_reason(
    demo: Demo, workspace: Path, name: str, content: bytes, said: str
) -> None:
    (workspace / name).write_bytes(content)
    run = demo()
    check(run)
    assert run.done["status"] == "completed"
    assert run.done["result"] == f"There is nothing that I could analyse: `{name}` {said}."
    assert "Traceback" not in run.stderr


def test_a_table_without_rows_is_an_error_in_a_sentence(demo: Demo, workspace: Path) -> None:
    (workspace / "blank.csv").write_bytes(b",,\n,,\n")
    run = demo()
    check(run)
    assert (run.of("error")[0]["code"], run.done["result"]) == ("file-error", "blank.csv has no rows.")


def test_markup_in_data_is_shown_as_text(demo: Demo, workspace: Path) -> None:
    (workspace / "evil.csv").write_text("<script>,n\n<b>&,1\n<b>&,2\n\x01]]>,3\n")
    run = demo()
    picture = ElementTree.fromstring((workspace / "chart.svg").read_text())
    shown = {element.text for element in picture.iter(f"{SVG}text")}
    assert {"Mean of n by <script>", "<b>&", "\ufffd]]>"} <= shown
    assert "<script>" not in run.report.replace("`<script>`", "")


def test_the_file_that_the_prompt_names_is_taken_then_tables_and_the_sample_last(demo: Demo, workspace: Path) -> None:
    demo()
    (workspace / "a.txt").write_text("some words\n")
    (workspace / "b.csv").write_text("x,y\n1,2\n")
    assert "`b.csv`: 1 row," in demo("again", run_id="r2").done["result"]
    assert "`a.txt`: 2 words" in demo("What is in A.txt?", run_id="r3").done["result"]
    assert "`penguins.csv`: 344 rows" in demo("the penguins.csv please", run_id="r4").done["result"]


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ("body_mass_g by species", ["species", "body_mass_g"]),
        ("How does the body mass differ?", ["body_mass_g"]),
        ("a sexist remark about speciesism", []),
        ("", []),
    ],
)
def test_columns_that_a_request_names_are_found(request_: str, named: list[str]) -> None:
    assert named_columns(request_, ["species", "body_mass_g", "sex", "a"]) == named


def test_the_own_files_of_a_user_are_input_and_are_not_overwritten(demo: Demo, workspace: Path) -> None:
    (workspace / "report.md").write_text("My own report.\n")
    (workspace / "analysis.py").write_text("print('mine')\n")
    (workspace / "t.csv").write_text("a,b\n1,2\n2,3\n")
    run = demo("look at t.csv")
    check(run)
    assert (workspace / "report.md").read_text() == "My own report.\n"
    assert (workspace / "analysis.py").read_text() == "print('mine')\n"
    assert "`t.csv`: 2 rows" in (workspace / "demo-report.md").read_text()


def test_a_module_in_the_workspace_is_never_imported(demo: Demo, workspace: Path) -> None:
    for name in ("csv.py", "json.py", "encodings.py"):
        (workspace / name).write_text("import pathlib\npathlib.Path('ran').write_text('')\n")
    (workspace / "t.csv").write_text("a,b\n1,2\n2,3\n")
    assert demo("t.csv please").done["status"] == "completed"
    assert not (workspace / "ran").exists()


def test_a_link_out_of_the_workspace_is_neither_read_nor_written(demo: Demo, workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("secret,b\n1,2\n")
    (workspace / "link.csv").symlink_to(outside)
    (workspace / "report.md").symlink_to(outside)
    run = demo()
    check(run)
    assert "secret" not in json.dumps(run.events)
    assert outside.read_text() == "secret,b\n1,2\n"


def test_a_file_name_that_is_no_utf8_does_not_break_the_wire(demo: Demo, workspace: Path) -> None:
    with open(os.fsencode(workspace) + b"/\xff\xfe.csv", "wb") as file:  # noqa: PTH123 - a name that no str has
        file.write(b"a,b\n1,2\n2,3\n")
    run = demo()
    check(run)
    assert run.done["status"] == "completed", run.events[-2:]


def test_a_missing_workspace_is_an_error(launch: Callable[..., Process], tmp_path: Path) -> None:
    process = launch(folder=tmp_path / "nowhere")
    process.tell(start_line())
    run = process.finish()
    check(run)
    assert run.of("error")[0]["code"] == "workspace-missing"
    assert run.done["status"] == "failed"


def test_a_file_that_cannot_be_written_is_an_error(launch: Callable[..., Process], workspace: Path) -> None:
    process = launch(pace="0.05")
    process.tell(start_line())
    before = process.read_until(lambda event: event["type"] == "tool-result")
    shutil.rmtree(workspace)
    run = process.finish(before)
    workspace.mkdir()
    check(run)
    assert (run.of("error")[0]["code"], run.done["status"]) == ("file-error", "failed")
    assert "penguins.csv: No such file or directory" in run.done["result"]


def test_a_failing_program_is_an_error_with_its_last_words(launch: Callable[..., Process], workspace: Path) -> None:
    (workspace / "t.csv").write_text("a,b\n1,2\n2,3\n")
    process = launch()
    process.tell(start_line(config={"approvals": "all"}))
    before: list[Event] = []
    for _ in range(4):  # to list, to read, to write, to run
        before += process.read_until(lambda event: event["type"] == "approval-request")
        if before[-1]["question"].startswith("Run"):
            (workspace / "t.csv").write_text("")
        answer = {"type": "approval", "approval_id": before[-1]["approval_id"], "decision": "approve"}
        process.tell(json.dumps(answer).encode() + b"\n")
    run = process.finish(before)
    check(run)
    (error,) = run.of("error")
    assert (error["code"], run.done["status"]) == ("program-failed", "failed")
    assert error["message"] == "The program ended with exit code 1: t.csv is empty"


def test_every_module_compiles_without_third_party_imports() -> None:
    folder = Path(__file__).parents[2] / "containers" / "images" / "demo"
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path[:0] = [{str(folder.parent)!r}]; import demo.session",
    ]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
