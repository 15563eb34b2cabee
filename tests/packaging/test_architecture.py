"""docs/ARCHITECTURE.md names code and tests that exist, and stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
NAMED = sorted(
    set(re.findall(r"`((?:agents|agentsite|streaming|containers|tests)/[\w/]+\.(?:py|lua|js))(?::(\w+))?`", PAGE))
)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_what_it_names_exists(path: str, name: str):
    source = (ROOT / path).read_text()
    if name:
        assert re.search(rf"\b(def|class|function) {name}\b", source), f"{path} has no {name}"


def test_every_promise_names_its_place_and_its_proof():
    table = PAGE.split("## What is promised", 1)[1].split("##", 1)[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 10
    for row in rows:
        promise, enforced, proved, *_ = (cell.strip() for cell in row.strip("|").split("|"))
        assert re.search(r"`(agentsite|agents|streaming|containers|clients)/", enforced), promise
        assert "`tests/" in proved, promise


def test_it_is_short():
    assert len(PAGE.splitlines()) <= 250
