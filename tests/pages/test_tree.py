"""Files as folders."""

from __future__ import annotations

from agents.pages import tree


def test_a_folder_lists_what_is_directly_in_it() -> None:
    found = ["a/b/c.txt", "a/b/d.txt", "a/e.txt", "f.txt", "ab/x.txt"]
    assert tree.folder(found, "") == ([("a", 3), ("ab", 1)], ["f.txt"])
    assert tree.folder(found, "a") == ([("b", 2)], ["e.txt"])
    assert tree.folder(found, "none") == ([], [])
