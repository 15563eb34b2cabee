"""A unified diff as lines: nothing of it is lost or doubled in either view, whatever the files hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.pages import changes, visible
from agents.pages.diff import COMPARED_MOST, LINE_CHARS, Hunk, Line, Words, hunks
from agents.workspace.history import FileDiff, RunDiff
from agents.workspace.history.unified import unified

ALL = 10**9
lines = st.lists(st.sampled_from(["a", "b", "a b", "", "@@ -1 +1 @@", "--- x", "\\ No", "\r", "é\u202e"]), max_size=30)
files = st.builds(lambda some, end: "\n".join(some) + end, lines, st.sampled_from(["", "\n"]))


def shown(old: str | None, new: str | None) -> list[Hunk]:
    found, left_out = hunks(unified("file.txt", old, new).text, ALL)
    assert left_out == 0
    return [Hunk(hunk.header, Words().mark(hunk.lines)) for hunk in found]


def rows(line: Line) -> str:
    return f"{line.mark}{line.text}"


@given(old=files, new=files)
def test_every_line_of_the_diff_is_in_the_unified_view_once_and_in_order(old: str, new: str) -> None:
    text = unified("file.txt", old, new).text
    wanted = [row for row in text.split("\n")[2:-1] if not row.startswith("\\")]
    made = [row for hunk in shown(old, new) for row in (hunk.header, *map(rows, hunk.lines))]
    assert made == wanted


@given(old=files, new=files)
def test_every_line_of_the_diff_is_in_the_split_view_once(old: str, new: str) -> None:
    for hunk in shown(old, new):
        pairs = hunk.pairs
        left = [pair.old for pair in pairs if pair.old]
        right = [pair.new for pair in pairs if pair.new]
        assert left == [line for line in hunk.lines if line.kind != "added"]
        assert right == [line for line in hunk.lines if line.kind != "deleted"]
        assert all(pair.old or pair.new for pair in pairs)
        assert all((pair.old is pair.new) == (line.kind == "context") for pair in pairs for line in pair[:1] if line)


@given(old=files, new=files)
def test_numbers_are_those_of_the_lines_in_the_files(old: str, new: str) -> None:
    for hunk in shown(old, new):
        for line in hunk.lines:
            if line.old is not None:
                assert old.split("\n")[line.old - 1] == line.text
            if line.new is not None:
                assert new.split("\n")[line.new - 1] == line.text


@given(old=files, new=files)
def test_pieces_of_a_line_are_its_text_with_nothing_hidden_in_it(old: str, new: str) -> None:
    for hunk in shown(old, new):
        for line in hunk.lines:
            parts = [f"[{piece.text}]" if "hidden" in piece.css else piece.text for piece in line.pieces]
            assert "".join(parts) == visible.plain(line.text)


def test_words_that_changed_are_marked_and_the_others_are_not() -> None:
    (hunk,) = shown("the quick brown fox\n", "the slow brown fox\n")
    assert [[piece for piece in line.pieces if piece.css] for line in hunk.lines] == [
        [("quick", "word")],
        [("slow", "word")],
    ]


def test_lines_with_little_in_common_and_blocks_of_other_lengths_have_no_marked_words() -> None:
    for old, new in (("abc def\n", "something else entirely\n"), ("a b\n", "a c\nd\n")):
        (hunk,) = shown(old, new)
        assert not [piece for line in hunk.lines for piece in line.pieces if piece.css]


def test_looking_for_words_is_bounded_whatever_is_compared() -> None:
    old = "".join("a b " * 49 + f"{at}\n" for at in range(200))
    new = "".join("a b " * 49 + f"{at}x\n" for at in range(200))
    found, _ = hunks(unified("f", old, new).text, ALL)
    words = Words()
    marked = [line for hunk in found for line in words.mark(hunk.lines) if line.changed]
    # Two of these lines together have 394 words.
    assert len(marked) / 2 * 394**2 <= COMPARED_MOST


def test_the_end_without_a_newline_is_known() -> None:
    (hunk,) = shown("a\nb", "a\nb\n")
    assert [(line.mark, line.text, line.ends_without_newline) for line in hunk.lines] == [
        (" ", "a", False),
        ("-", "b", True),
        ("+", "b", False),
    ]


def test_a_long_line_is_cut_and_says_so() -> None:
    (hunk,) = shown(None, "x" * 5000 + "\n")
    first, last = hunk.lines[0].pieces
    assert (len(first.text), last) == (LINE_CHARS, ("… 3,000 more characters", "more"))


@pytest.mark.parametrize(
    ("char", "name"),
    [
        ("\x1b", "ESC"),
        ("\r", "CR"),
        ("\x7f", "DEL"),
        ("\x9b", "U+009B"),
        ("\u202e", "U+202E"),
        ("\u2066", "U+2066"),
        ("\u200b", "U+200B"),
        ("\ufeff", "U+FEFF"),
        ("\U000e0041", "U+E0041"),
    ],
)
def test_a_character_that_can_not_be_seen_is_shown(char: str, name: str) -> None:
    assert list(visible.pieces(f"a{char}b")) == [("a", False), (name, True), ("b", False)]


@pytest.mark.parametrize("text", ["a\tb", "naïve — ünï", "👩‍🔬", "עברית", "می‌خواهم"])
def test_text_that_people_write_is_left_alone(text: str) -> None:
    assert visible.plain(text) == text


# Files ----------------------------------------------------------------------------------------------------------------


def file(path: str, old: str | None, new: str | None) -> FileDiff:
    found = unified(path, old, new)
    status = "added" if old is None else "deleted" if new is None else "modified"
    return FileDiff(path, status, found.additions, found.deletions, found.text)  # type: ignore[arg-type]  # one of three


def test_a_file_with_the_same_text_under_another_name_is_renamed() -> None:
    diff = RunDiff(
        [file("a.txt", "same\n", None), file("b.txt", None, "same\n"), file("c.txt", None, "same\n")], complete=True
    )
    made = changes.of(diff)
    assert [(one.path, one.status, one.renamed_from) for one in made.sections] == [
        ("b.txt", "renamed", "a.txt"),
        ("c.txt", "added", ""),
    ]
    assert (made.additions, made.deletions) == (1, 0)


@pytest.mark.parametrize(("old", "new"), [("same", "same\n"), ("", ""), ("one\n", "two\n")])
def test_files_whose_text_differs_or_is_empty_are_not_taken_for_renamed(old: str, new: str) -> None:
    made = changes.of(RunDiff([file("a", old, None), file("b", None, new)], complete=True))
    assert [one.status for one in made.sections] == ["deleted", "added"]


def test_a_page_is_bounded_and_a_file_alone_shows_more_of_itself() -> None:
    long = "".join(f"{at}\n" for at in range(10_000))
    diff = RunDiff([file(f"{name}.txt", None, long) for name in "abcd"], complete=True)
    made = changes.of(diff)
    counts = [sum(len(hunk.lines) for hunk in one.hunks) for one in made.sections]
    assert counts == [changes.FILE_LINES, changes.FILE_LINES, 0, 0]
    assert [one.left_out for one in made.sections] == [8000, 8000, 10_000, 10_000]
    assert not any(one.is_open for one in made.sections[:2])
    (alone,) = changes.of(diff, path="c.txt").sections
    assert (sum(len(hunk.lines) for hunk in alone.hunks), alone.left_out, alone.is_open) == (10_000, 0, True)
