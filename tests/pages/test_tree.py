"""Files as folders: all of them are reached, and no page is longer than it says."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from agents.pages import tree
from agents.pages.tree import Row, Tree

URL = "/agents/x/files/"
names = st.sampled_from(["a", "b", "c d", "é", "<b>"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


def of(*found: str, marks: dict[str, str] | None = None) -> Tree:
    return tree.of({path: {"size": 10} for path in found}, URL, marks or {})


def every(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        yield row
        yield from every(row.rows)


@given(found=st.sets(paths, max_size=20))
def test_every_file_is_in_its_folder_once(found: set[str]) -> None:
    found = {path for path in found if not any(other.startswith(f"{path}/") for other in found)}
    rows = list(every(of(*found).rows))
    assert sorted(row.path for row in rows if row.count is None) == sorted(found)
    for row in rows:
        if row.count is not None:
            assert row.count == sum(path.startswith(f"{row.path}/") for path in found)
            assert all(below.path.startswith(f"{row.path}/") for below in row.rows)


def test_folders_come_first_and_carry_the_marks_of_their_files() -> None:
    top = of("z/file.txt", "a.txt", marks={"z/file.txt": "added"})
    assert [row.name for row in top.rows] == ["z", "a.txt"]
    assert [(row.name, row.mark, row.url) for row in top.rows[0].rows] == [("file.txt", "added", f"{URL}z/file.txt")]
    assert top.is_open


def test_ten_thousand_files_are_a_page_of_a_few_hundred_rows_that_says_what_is_left_out() -> None:
    top = of(*(f"{number % 50:02}/{number:05}.txt" for number in range(10_000)), *(f"{n:05}" for n in range(5000)))
    rows = list(every(top.rows))
    assert len(rows) <= tree.ROWS_MOST + tree.FOLDER_ROWS
    assert top.left_out == 5050 - tree.FOLDER_ROWS
    assert not top.is_open
    folders = [row for row in rows if row.count is not None]
    assert sum(row.count or 0 for row in folders) == 10_000
    for row in folders:
        assert row.left_out == 100 if row.is_shown else row.rows == []
        assert row.url == f"{URL}{row.path}/"


def test_names_that_no_address_can_carry_have_none_and_hidden_characters_are_shown() -> None:
    (row,) = of("a\u202eb").rows
    assert row.name == "a[U+202E]b"
    assert of("..").rows[0].url is None


def test_a_folder_lists_what_is_directly_in_it() -> None:
    found = ["a/b/c.txt", "a/b/d.txt", "a/e.txt", "f.txt", "ab/x.txt"]
    assert tree.folder(found, "") == ([("a", 3), ("ab", 1)], ["f.txt"])
    assert tree.folder(found, "a") == ([("b", 2)], ["e.txt"])
    assert tree.folder(found, "none") == ([], [])


def test_a_long_name_keeps_its_end_and_nothing_of_it_is_lost() -> None:
    assert tree.halves("a.txt") == ("", "a.txt")
    assert tree.halves("twelve12.txt") == ("", "twelve12.txt")
    assert tree.halves("a-rather-long-name-of-2026-11-30.csv") == ("a-rather-long-name-of-2026-1", "1-30.csv")
    assert of("d/x\u202ey").rows[0].rows[0].title == "d/x[U+202E]y"
