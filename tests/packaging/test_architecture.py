"""The documents name code and tests that exist; docs/ARCHITECTURE.md says where each promise is kept, and stays
short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PATH = r"(?:agents|agentsite|streaming|containers|clients|tests|benchmarks|scripts)/[\w./-]*"
NAMED = sorted(
    {
        (document.name, path, name)
        for document in DOCUMENTS
        for path, name in re.findall(rf"`({PATH})(?::(\w+…?))?[^`\s]*`", document.read_text())
    }
)
"""Document, path and, where one is named, a function or class in it. `test_what_…` stands for all that begin so."""


@pytest.mark.parametrize(("document", "path", "name"), NAMED)
def test_what_documents_name_exists(document: str, path: str, name: str):
    assert (ROOT / path).exists()
    if name:
        end = "" if name.endswith("…") else r"\b"
        source = (ROOT / path).read_text()
        assert re.search(rf"\b(def|class|function) {name.rstrip('…')}{end}|^{name}\b", source, re.MULTILINE), name


def test_documents_name_the_code():
    assert len(NAMED) > 200


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
