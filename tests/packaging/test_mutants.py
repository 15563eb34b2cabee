"""Every mutant still quotes one place of the code, and names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.abuse import mutants as abuse
from tests.model import mutants as model
from tests.mutation import Change, QuoteNotFoundError, apply_change, find_quote

ROOT = Path(__file__).resolve().parents[2]
CHANGES = {name: mutant.changes for name, mutant in abuse.MUTANTS.items()} | model.MUTANTS
TESTS = {name: mutant.test for name, mutant in abuse.MUTANTS.items()}


@pytest.mark.parametrize("name", CHANGES)
def test_mutant_changes_exactly_one_place_per_quote(name: str):
    texts: dict[str, str] = {}
    for change in CHANGES[name]:
        before = texts.get(change.path) or (ROOT / change.path).read_text()
        texts[change.path] = apply_change(change, before)
        assert texts[change.path] != before


@pytest.mark.parametrize("name", TESTS)
def test_test_of_mutant_exists(name: str):
    path, _, function = TESTS[name].partition("::")
    source = (ROOT / path).read_text()
    assert not function or re.search(rf"\bdef {function.partition('[')[0]}\(", source)


CODE = """
def settle(found, limit):
    if found.size > limit:
        raise TooLarge(found)
    if found.age > limit:
        raise TooOld(found)
"""
RENAMED = CODE.replace("found", "chunk").replace("limit", "limit_bytes")


def test_quote_survives_a_rename_and_its_replacement_takes_the_new_names():
    change = Change("x.py", "if found.size > limit:", "if found.size > limit + 1:")
    assert "if chunk.size > limit_bytes + 1:" in apply_change(change, RENAMED)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        pytest.param("if found.weight > limit:", RENAMED, id="two places fit equally well"),
        pytest.param("if found.size >= limit:", CODE, id="the comparison is another one"),
        pytest.param("if other.thing > bound:", CODE, id="too few words are the same"),
        pytest.param("(found)", CODE, id="it is there twice"),
    ],
)
def test_quote_without_one_clear_place_is_refused(quote: str, text: str):
    with pytest.raises(QuoteNotFoundError):
        find_quote(quote, text)
