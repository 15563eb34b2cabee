"""What the model is told of output: as a terminal would leave it, in the encoding that it has."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.images.agent.tools import Output
from containers.images.agent.tools.bash import BASH
from containers.images.agent.tools.encoding import Decoder
from containers.images.agent.tools.files import READ_FILE
from containers.images.agent.tools.terminal import ROWS, Terminal, as_left
from containers.images.agent.tools.tool import TOLD_CHARACTERS, Tool

LEFT: list[tuple[str, str]] = [
    ("plain\ntext", "plain\ntext"),
    ("".join(f"\r{n:4} of 5000" for n in range(5001)) + "\ndone\n", "5000 of 5000\ndone\n"),
    ("long line\rshort", "shortline"),
    ("long line\r\x1b[Kshort", "short"),
    ("10%\r\n20%\r\n", "10%\n20%\n"),
    ("abc\b\bX\n", "aXc\n"),
    ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07text", "red text"),
    ("a: 0\nb: 0\n\x1b[2Aa: 9\n\x1b[Bb end", "a: 9\nb: 0\nb end"),
    ("one\ntwo\x1b[1A\x1b[2K\rnew\n", "new\ntwo"),
    ("old screen\n\x1b[2J\x1b[Hnew screen", "new screen"),
    ("two\n\x1b[1A\x1b[Jone", "one"),
    ("\x1b[5Cx\x1b[2Dy\x1b[1Gz", "z   yx"),
    ("tab\tstays", "tab\tstays"),
    ("lone \x1b", "lone "),
    ("", ""),
]


@pytest.mark.parametrize(("printed", "left"), LEFT)
def test_output_is_what_a_terminal_would_show(printed: str, left: str) -> None:
    assert as_left(printed) == left
    kept: list[str] = []
    terminal = Terminal(kept.append)
    for char in printed:
        terminal.write(char)
    terminal.finish()
    assert "".join(kept) == left, "however it is cut"


@given(st.text(st.characters(exclude_characters="\x1b\r\b", exclude_categories=["Cs"])))
def test_text_without_controls_stays(text: str) -> None:
    assert as_left(text) == text
    assert as_left("\n" * ROWS * 2 + text) == "\n" * ROWS * 2 + text


@given(st.text(st.sampled_from("ab\n\r\b\x1b[];0123ABCDGHJKm?")), st.data())
def test_how_output_is_cut_makes_no_difference(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    kept: list[str] = []
    terminal = Terminal(kept.append)
    terminal.write(text[:at])
    terminal.write(text[at:])
    terminal.finish()
    assert "".join(kept) == as_left(text)


def test_many_lines_take_little_time_and_memory() -> None:
    started, kept = time.process_time(), list[str]()
    terminal = Terminal(lambda row: kept.append(row[:1]))
    for _ in range(100):
        terminal.write("a line of a log\n" * 1000)
    assert len(terminal._rows) <= ROWS
    assert time.process_time() - started < 2


async def told(tool: Tool, workspace: Path, monkeypatch: pytest.MonkeyPatch, **arguments: object) -> str:
    monkeypatch.setenv("WORKSPACE", str(workspace))
    shown: list[str] = []
    output = Output(shown.append)
    await tool.call(arguments, output)
    return output.text()


async def test_redraws_reach_the_model_as_one_line(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "for n in $(seq 5000); do printf '\\r%d of 5000' $n; done; echo"
    assert await told(BASH, workspace, monkeypatch, command=command) == "5000 of 5000\n"
    many = await told(BASH, workspace, monkeypatch, command="seq 20000")
    assert many.startswith("1\n2\n")
    assert many.endswith("19999\n20000\n")
    assert len(many) < TOLD_CHARACTERS + 100


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
async def test_text_in_utf_16_is_readable(workspace: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    (workspace / "a.txt").write_text("Größe und Gewicht\nzwei 😀\n", encoding=encoding)
    words = "Größe und Gewicht\nzwei 😀\n"
    assert await told(READ_FILE, workspace, monkeypatch, path="a.txt") == words
    assert (await told(BASH, workspace, monkeypatch, command="cat a.txt")).lstrip("\ufeff") == words


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_mark_of_utf_16_counts_wherever_it_comes(size: int) -> None:
    printed = b"before\n" + "Größe\n".encode("utf-16")
    decoder = Decoder()
    pieces = [printed[at : at + size] for at in range(0, len(printed), size)]
    assert "".join(map(decoder.decode, pieces)) + decoder.finish() == "before\nGröße\n"


def test_what_comes_after_utf_16_is_read_again() -> None:
    decoder = Decoder()
    assert decoder.decode("Größe".encode("utf-16")) + decoder.decode(b"exit 0\n") == "Größeexit 0\n"
    assert Decoder().decode(b"\xff\x00binary") != ""
