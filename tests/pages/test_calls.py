"""What a tool call is about. The same cases hold in the browser: tests/browser/test_modules.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.pages import calls

CASES = json.loads((Path(__file__).parent / "calls.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: json.dumps(case["given"])[:40])
def test_call_is_told_as_command_diff_and_fields(case: dict[str, Any]) -> None:
    told = calls.sections(case["given"], case.get("kept", calls.KEPT_TEXT))
    found = [[one.kind, one.name, one.text, [list(line) for line in one.lines], one.cut] for one in told]
    assert found == case["sections"]


def test_diffs_of_a_result_over_acp_are_told_whatever_is_in_it() -> None:
    good = {"path": "a", "old_text": None, "new_text": "x\n"}
    listed = [good, {"path": 1, "old_text": 2, "new_text": "y"}, {"new_text": None}, "nonsense", None]
    told = calls.diffs({"text": "", "diffs": listed})
    assert [(one.name, one.lines) for one in told] == [("a", [("+", "x")]), ("", [("+", "y")])]
    assert calls.diffs({"diffs": "nonsense"}) == calls.diffs("text") == calls.diffs(None) == []


def test_reader_who_asks_for_all_gets_every_line() -> None:
    given = {"path": "a", "content": "x\n" * 41_000}
    assert calls.sections(given, calls.KEPT_ASKED)[0].cut == "… 37,000 more lines"
    assert calls.sections(given, calls.MOST_TEXT)[0].cut == ""
