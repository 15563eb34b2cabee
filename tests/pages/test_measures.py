"""Durations and sizes in words. The same cases hold in the browser: tests/browser/test_modules.py."""

from __future__ import annotations

import pytest

from agents.pages import measures

DURATIONS = [
    (0, "0 ms"),
    (999, "999 ms"),
    (1000, "1.0 s"),
    (59_949, "59.9 s"),
    (59_950, "1 min 0 s"),
    (3_725_000, "1 h 2 min"),
]
SIZES = [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (999_600, "1.0 MB"), (51_200_000, "51 MB")]


@pytest.mark.parametrize(("ms", "words"), DURATIONS)
def test_durations_in_words(ms: float, words: str) -> None:
    assert measures.duration(ms) == words


@pytest.mark.parametrize(("count", "words"), SIZES)
def test_sizes_in_words(count: int, words: str) -> None:
    assert measures.size(count) == words
