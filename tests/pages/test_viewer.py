"""One file on its page: shown for what it is, as text where it could be more, and never longer than said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.pages import viewer
from agents.pages.highlight import HIGHLIGHT_BYTES, highlight
from agents.pages.viewer import View
from tests.pages.hostile import HOSTILE

FILES = "/api/agents/x/files/"


def view(path: str, content: bytes | str, size: int | None = None, *, source: bool = False) -> View:
    encoded = content.encode() if isinstance(content, str) else content
    return viewer.of(path, encoded, len(encoded) if size is None else size, FILES, source=source)


def text_of(shown: View) -> str:
    return "\n".join("".join(piece.text for piece in line) for line in shown.lines)


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("a.py", "print(1)\n", "text"),
        ("no-ending", "words", "text"),
        ("a.md", "# A\n", "markdown"),
        ("a.csv", "a,b\n1,2\n", "table"),
        ("a.csv", "only one line\n", "text"),
        ("a.svg", "<svg/>", "image"),
        ("a.png", b"\x89PNG\0", "image"),
        ("a.json", "{}", "text"),
        ("a.html", "<script>alert(1)</script>", "text"),
        ("a.bin", b"\0", "binary"),
        ("a.txt", b"\xff\xfe", "text"),
        ("a.bin", bytes(range(1, 256)), "binary"),
        ("a.bin", b"\x7fELF\x02\x01\x01" + b"\0" * 9, "binary"),
        ("empty.txt", "", "text"),
    ],
)
def test_a_file_is_shown_for_what_it_is(path: str, content: bytes | str, kind: str) -> None:
    assert view(path, content).kind == kind


WRITTEN = [
    ("name,preis\nMüller,5 €\n", "cp1252", "Windows-1252 (guessed)"),
    ("“gut” \u2013 don\u2019t\n", "cp1252", "Windows-1252 (guessed)"),
    ("café\n", "latin-1", "Windows-1252 (guessed)"),
    ("å,ä,ö\n1,2,3\n", "cp1252", "Windows-1252 (guessed)"),
    ("n,city\n" + "1,plain\n" * 2000 + "2,Jürgen\n", "latin-1", "Windows-1252 (guessed)"),
    ("姓名,金额\n张三,12\n", "gbk", "GBK (guessed)"),
    ("名前,金額\n山田,12\n", "shift_jis", "Shift_JIS (guessed)"),
    ("città,n\nNapoli,1\n", "utf-16", "UTF-16"),
    ("città,n\nNapoli,1\n", "utf-16-le", "UTF-16"),
    ("city,n\n東京,1\n", "utf-16-be", "UTF-16"),
    ("città,n\nNapoli,1\n", "utf-32", "UTF-32"),
    ("città,n\nNapoli,1\n", "utf-32-le", "UTF-32"),
    ("città,n\nNapoli,1\n", "utf-32-be", "UTF-32"),
    ("名前,金額\n山田 😀,12\n", "utf-32-le", "UTF-32"),
    ("\ufeffcittà,n\nNapoli,1\n", "utf-32-be", "UTF-32"),
    ("città,n\nNapoli,1\n", "utf-8-sig", ""),
    ("città,n\nNapoli,1\n", "utf-8", ""),
]


@pytest.mark.parametrize(("text", "codec", "name"), WRITTEN)
def test_a_text_is_shown_right_whatever_it_is_written_in(text: str, codec: str, name: str) -> None:
    shown = view("a.txt", text.encode(codec))
    text = text.removeprefix("\ufeff")
    assert (shown.kind, text_of(shown) + "\n", shown.encoding) == ("text", text, name)
    many = text.encode(codec) if codec in ("utf-16", "utf-32") else text.encode(codec) * 50
    cut = view("a.txt", many[:-3], size=len(many))
    assert text_of(cut).startswith(text.partition("\n")[0])
    assert cut.encoding == name


def test_a_mark_is_no_part_of_the_first_column_and_a_line_end_in_quotes_is_part_of_its_cell() -> None:
    shown = view("a.csv", '\ufeffname,note\nx,"two\nlines"\ny,"three\r\nmore"\n')
    assert shown.header == ["name", "note"]
    assert shown.rows == [["x", "two[LF]lines"], ["y", "three[CR][LF]more"]]


@pytest.mark.parametrize(
    ("text", "shown", "line_ends"),
    [
        ("one\r\ntwo\r\n", "one\ntwo", "CRLF line ends"),
        ("one\r\ntwo", "one\ntwo", "CRLF line ends"),
        ("one\r\ntwo\n", "one\ntwo", "CRLF and LF line ends"),
        ("one\rtwo\r", "one\ntwo", "CR line ends"),
        ("one\ntwo\n", "one\ntwo", ""),
        ("one", "one", ""),
        ("10 %\r20 %\r\n", "10 %CR20 %", "CRLF line ends"),
        ("10 %\r20 %\n", "10 %CR20 %", ""),
        ("x\r\r\n", "xCR", "CRLF line ends"),
    ],
)
@pytest.mark.parametrize("path", ["a.txt", "a.py"])
def test_line_ends_are_named_once_and_only_lone_carriage_returns_are_marked(
    path: str, text: str, shown: str, line_ends: str
) -> None:
    found = view(path, text)
    assert (text_of(found), found.line_ends) == (shown, line_ends)


def test_lines_may_end_in_carriage_returns_alone() -> None:
    shown = view("a.csv", "a,b\r1,2\r3,4\r")
    assert (shown.header, shown.rows, shown.line_ends) == (["a", "b"], [["1", "2"], ["3", "4"]], "CR line ends")


@pytest.mark.parametrize("path", ["a.md", "a.csv", "a.svg"])
def test_what_is_rendered_can_be_seen_as_it_is_written(path: str) -> None:
    content = "a,b\n<b>1</b>,2\n"
    assert view(path, content).has_source
    source = view(path, content, source=True)
    assert (source.kind, source.is_source, text_of(source) + "\n") == ("text", True, content)


def test_code_is_told_apart_and_stays_what_it_was() -> None:
    code = '\ufeff# note\r\ndef f():\n\treturn "x" + 1\n\n'
    tokens = highlight("a.py", code)
    assert tokens
    assert "".join(text for _, text in tokens) == code
    assert {("keyword", "def"), ("name", "f"), ("number", "1")} <= set(tokens)


@pytest.mark.parametrize(("path", "text"), [("a.unknown", "x = 1"), ("a.py", "#" * (HIGHLIGHT_BYTES + 1))])
def test_what_nobody_knows_or_is_too_large_is_shown_plain(path: str, text: str) -> None:
    assert highlight(path, text) is None
    assert text_of(view(path, text))[:5] == text[:5]


def test_highlighting_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.pages.highlight.WAIT_S", 0.001)
    assert highlight("a.py", "print(1)") is None
    assert text_of(view("a.py", "print(1)")) == "print(1)"


@settings(deadline=None)
@given(text=st.text(st.sampled_from('ab \n"{'), max_size=60))
def test_lines_are_those_of_the_file(text: str) -> None:
    wanted = text.removesuffix("\n").split("\n") if text else []
    assert ["".join(piece.text for piece in line) for line in view("plain", text).lines] == wanted


def test_long_files_and_long_lines_say_what_is_left_out() -> None:
    long = view("a", "x\n" * 6000)
    assert (len(long.lines), long.lines_left_out) == (viewer.VIEW_LINES, 1000)
    assert view("a", "y" * 2500).lines[0][-1] == ("… 500 more characters", "more")
    assert view("a", "x", size=10_000).cut == 9999


def test_a_character_that_the_limit_went_through_makes_no_binary_file_of_it() -> None:
    cut = view("a", "aé".encode()[:2], size=3)
    assert (cut.kind, text_of(cut)) == ("text", "a")


def test_a_table_is_bounded_and_says_so() -> None:
    wide = ",".join(str(column) for column in range(60))
    table = view("a.csv", "\n".join([wide] * 301))
    assert (len(table.rows), table.rows_left_out) == (viewer.TABLE_ROWS, 100)
    assert (len(table.header), table.columns_left_out) == (viewer.TABLE_COLUMNS, 10)


@pytest.mark.parametrize(("path", "row"), [("a.csv", "1;2"), ("a.csv", "1,2"), ("a.tsv", "1\t2")])
def test_a_table_finds_its_delimiter(path: str, row: str) -> None:
    assert view(path, f"{row}\n{row}\n").rows == [["1", "2"]]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values, indent=st.none() | st.just(1))
def test_json_is_laid_out_as_the_library_would(value: object, indent: int | None) -> None:
    pretty = viewer._pretty(json.dumps(value, indent=indent))
    assert pretty == json.dumps(value, indent=2) + "\n"


def test_json_keeps_what_a_parser_would_lose() -> None:
    assert viewer._pretty('{"a":1e999,"a":2.50}') == '{\n  "a": 1e999,\n  "a": 2.50\n}\n'
    assert viewer._pretty("[" * 100_000) is None
    assert viewer._pretty("{broken") is None


def test_markdown_points_at_files_beside_it() -> None:
    html = str(view("docs/a.md", "![x](pic.png) ![y](../top.png) ![z](/workspace/z.png) [out](../../x)").html)
    for path in ("docs/pic.png", "top.png", "z.png"):
        assert f'src="{FILES}{path}"' in html
    assert ">out<" not in html


@pytest.mark.parametrize("ending", ["md", "csv", "json", "txt"])
def test_nothing_hostile_breaks_the_viewer(ending: str) -> None:
    shown = view(f"a.{ending}", "\n".join(HOSTILE))
    if shown.html is not None:
        assert "<script" not in shown.html
    assert "\u202e" not in text_of(shown)
