"""Whatever lies in the workspace, the demo agent says what it is and never breaks on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from .driving import Process, Run, check, start_line

Demo = Callable[..., Run]
SVG = "{http://www.w3.org/2000/svg}"


def test_a_file_called_like_an_option_is_a_file(demo: Demo, workspace: Path) -> None:
    (workspace / "--by.csv").write_text("a,b\n1,2\n2,3\n")
    assert demo().analysis[0]["rows"] == 2


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
}


@pytest.mark.parametrize(("codec", "said"), [("gbk", "GBK (guessed)"), ("utf-16-le", "UTF-16")])
def test_a_file_that_is_not_utf8_is_read_and_its_encoding_named(
    demo: Demo, workspace: Path, codec: str, said: str
) -> None:
    (workspace / "cities.txt").write_bytes("city,n\n東京,1\n名古屋,2\n".encode(codec))
    run = demo("What can you tell me?")
    check(run)
    assert said in run.report
    assert "東京" in run.report
    heads = [event["result"] for event in run.of("tool-result") if "city" in str(event["result"])]
    assert any("名古屋,2" in str(head) for head in heads), "the head of the file that it has read"


@pytest.mark.parametrize("name", NASTY)
def test_a_strange_file_is_analysed_to_the_end(demo: Demo, workspace: Path, name: str) -> None:
    (workspace / name).write_bytes(NASTY[name])
    run = demo("Tell me about it: correlation, groups, over time")
    check(run)
    assert run.done["status"] == "completed", run.stderr
    assert name in run.report.replace("\\", "")
    for chart in run.charts:
        check_chart(chart)


def check_chart(path: Path) -> None:
    """A whole picture: well-formed, titled, nothing that runs or loads, no coordinate that is not a number."""
    root = ElementTree.fromstring(path.read_text())
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title") is not None
    allowed = {"svg", "title", "desc", "text", "rect", "line", "circle", "polyline"}
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in allowed
        assert not any(
            "nan" in value or "inf" in value
            for key, value in element.attrib.items()
            if key in ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "points", "width", "height"]
        )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "empty"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file"),
        ("paper.pdf", b"%PDF-1.7\nx", "not a text file"),
    ],
)
def test_a_file_that_cannot_be_analysed_is_named_with_the_reason(
    demo: Demo, workspace: Path, name: str, content: bytes, said: str
) -> None:
    (workspace / name).write_bytes(content)
    run = demo()
    check(run)
    assert run.done["status"] == "completed"
    assert name in run.text
    assert said in run.text
    assert not run.charts


def test_markup_in_data_is_shown_as_text(demo: Demo, workspace: Path) -> None:
    (workspace / "evil.csv").write_bytes(NASTY["evil.csv"])
    run = demo()
    pictures = [ElementTree.fromstring(chart.read_text()) for chart in run.charts]
    shown = {element.text for picture in pictures for element in picture.iter(f"{SVG}text")}
    assert {"<b>&", "a|b`c&", "Counts of <script>"} <= shown
    assert "<script>" not in run.report.replace("`<script>`", "")


def test_many_files_are_cut_to_five_and_the_rest_is_named(demo: Demo, workspace: Path) -> None:
    for number in range(7):
        (workspace / f"part-{number}.csv").write_text(f"a,b\n{number},1\n2,{number}\n3,3\n")
    run = demo()
    check(run)
    assert len(run.analysis) == 5
    assert "part-6.csv" in run.done["result"]
    assert "part-6.csv" in run.report


def test_tables_and_texts_go_into_one_analysis(demo: Demo, workspace: Path) -> None:
    (workspace / "t.csv").write_text("a,b\n1,2\n2,3\n")
    (workspace / "notes.md").write_text("Hello there, hello.\nBye!\n")
    run = demo()
    assert [about["kind"] for about in run.analysis] == ["table", "text"]
    text = run.analysis[1]
    assert (text["lines"], text["words"], text["sentences"], text["characters"]) == (2, 4, 2, 25)
    assert text["top_words"][0] == {"word": "hello", "count": 2}


def test_the_own_files_of_a_user_are_input_and_are_not_overwritten(demo: Demo, workspace: Path) -> None:
    (workspace / "report.md").write_text("My own report.\n")
    (workspace / "analysis.py").write_text("print('mine')\n")
    (workspace / "t.csv").write_text("a,b\n1,2\n2,3\n")
    run = demo("look at t.csv")
    check(run)
    assert (workspace / "report.md").read_text() == "My own report.\n"
    assert (workspace / "analysis.py").read_text() == "print('mine')\n"
    assert (workspace / "demo-report.md").exists()
    assert run.analysis[0]["rows"] == 2


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
    assert "secret" not in run.text + run.thinking
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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_workspace_that_cannot_be_written_is_an_error(demo: Demo, workspace: Path) -> None:
    workspace.chmod(0o555)
    try:
        check_unwritable(demo())
    finally:
        workspace.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="another way for root: a file where the folder should be")
def test_a_workspace_where_charts_cannot_be_made_is_an_error(demo: Demo, workspace: Path) -> None:
    (workspace / "charts").write_text("a file of the user's")
    (workspace / "t.csv").write_text("a,b\n1,2\n2,3\n3,5\n")
    check_unwritable(demo())


def check_unwritable(run: Run) -> None:
    check(run)
    assert run.of("error")[0]["code"] == "workspace-not-writable"
    assert run.of("error")[0]["retryable"] is False
    assert run.done["status"] == "failed"
    assert "cannot be written" in run.done["result"]


def test_a_failing_program_is_an_error_with_its_last_words(demo: Demo, workspace: Path) -> None:
    (workspace / "t.csv").write_text("a,b\n1,2\n2,3\n")
    (workspace / "analysis.json.part").mkdir()
    run = demo()
    check(run)
    assert run.of("error")[0]["code"] == "program-failed"
    assert "analysis.json.part" in run.of("error")[0]["message"]


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
