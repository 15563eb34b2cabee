"""Unified diffs: right for any two texts, and bounded for the worst ones."""

from __future__ import annotations

import difflib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.workspace.history import edits as edits_module
from agents.workspace.history.edits import edits
from agents.workspace.history.unified import NO_NEWLINE, unified

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "x\r\n", "\u2028\n", "- \n", "\\ No\n"]), max_size=40)
TEXTS = st.builds(lambda lines, end: "".join(lines) + end, LINES, st.sampled_from(["", "end", "a"]))


def patched(old: str, diff: str) -> str:
    """What a strict reader makes of it: every range, context and deleted line has to be what the diff says."""
    if not diff:
        return old
    lines = [line + "\n" for line in old.split("\n")[:-1]] + ([last] if (last := old.split("\n")[-1]) else [])
    first, second, *body = diff.split("\n")[:-1]
    assert first.startswith("--- ")
    assert second.startswith("+++ ")
    new: list[str] = []
    at = 0
    wanted = [0, 0]
    for place, line in enumerate(body):
        if wanted == [0, 0] and line + "\n" != NO_NEWLINE:
            found = re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", line)
            assert found, line
            wanted = [int(found[2] or 1), int(found[4] or 1)]
            start = int(found[1]) - (wanted[0] > 0)
            assert start >= at
            new += lines[at:start]
            at = start
            assert int(found[3]) - (wanted[1] > 0) == len(new)
            continue
        if line + "\n" == NO_NEWLINE:
            continue
        ends_here = place + 1 < len(body) and body[place + 1] + "\n" == NO_NEWLINE
        content = line[1:] + ("" if ends_here else "\n")
        if line[0] in " -":
            assert lines[at] == content
            at += 1
            wanted[0] -= 1
        if line[0] in " +":
            new.append(content)
            wanted[1] -= 1
    assert wanted == [0, 0]
    return "".join(new + lines[at:])


@given(TEXTS, TEXTS)
def test_the_diff_of_any_two_texts_makes_one_of_the_other(old, new):
    found = unified("f", old, new)
    assert patched(old, found.text) == new
    assert (found.text == "") == (old == new)
    body = found.text.split("\n")[2:]
    assert found.additions == sum(line.startswith("+") for line in body)
    assert found.deletions == sum(line.startswith("-") for line in body)


@given(LINES, LINES)
def test_no_diff_is_longer_than_that_of_difflib(old, new):
    ours = sum(one.old_end - one.old_start + one.new_end - one.new_start for one in edits(old, new))
    opcodes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    assert ours <= sum(i2 - i1 + j2 - j1 for tag, i1, i2, j1, j2 in opcodes if tag != "equal")


@given(TEXTS, TEXTS, st.integers(0, 6))
def test_it_is_right_beyond_its_bound_too(old, new, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits_module, "EDITS_MOST", most)
        assert patched(old, unified("f", old, new).text) == new


def test_it_looks_as_everybody_knows_it():
    old = "".join(f"{number}\n" for number in range(1, 21))
    new = old.replace("3\n", "three\n", 1).replace("20\n", "20")
    assert unified("notes.txt", old, new).text == (
        "--- a/notes.txt\n+++ b/notes.txt\n"
        "@@ -1,6 +1,6 @@\n 1\n 2\n-3\n+three\n 4\n 5\n 6\n"
        "@@ -17,4 +17,4 @@\n 17\n 18\n 19\n-20\n+20\n\\ No newline at end of file\n"
    )


def test_new_and_deleted_files_are_of_nothing():
    assert unified("a b", None, "x\n").text == "--- /dev/null\n+++ b/a b\t\n@@ -0,0 +1 @@\n+x\n"
    assert unified("f", "x\n", None).text == "--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["a\n"] * 40_000, ["b\n"] * 40_000),
        (["x\n", *["a\n"] * 40_000], ["y\n", *["a\n"] * 30_000, "z\n"]),
        ([f"{number % 7}\n" for number in range(30_000)], [f"{number % 5}\n" for number in range(30_000)]),
        ([f"{number}\n" for number in range(20_000)], [f"{number}\n" for number in range(20_000, 0, -1)]),
    ],
)
def test_texts_that_were_made_to_take_long_do_not(old, new):
    """difflib takes minutes or more for some of them."""
    begun = time.process_time()
    found = unified("f", "".join(old), "".join(new))
    assert time.process_time() - begun < 3
    assert patched("".join(old), found.text) == "".join(new)


class Line(str):
    """Counts how often lines are compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Line.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_lines_are_compared_so_often_at_most(monkeypatch):
    """Each run of equal lines is walked along on every diagonal."""
    monkeypatch.setattr(edits_module, "STEPS_MOST", 10_000)
    old = [Line(f"{number}" if number % 300 == 0 else "a") for number in range(30_000)]
    new = [Line("a")] * 30_000 + [Line("z")]
    Line.compared = 0
    assert edits(old, new) == [(0, 30_000, 0, 30_001)]
    assert Line.compared < 10_000 + 2 * 30_000 + 10_000
