"""Percentiles of durations from a histogram, which any database makes in one pass and without sorting.

A bucket holds durations that differ by less than 1 %, and knows its smallest and its largest: with up to two durations
in it their places are exact, with more they are taken as spread evenly between those two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import FloatField, Value
from django.db.models.functions import Cast, Floor, Ln

PER_E_FOLD = 100
"""Buckets from a duration to one 2.718 times as long."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of durations, ms: the smallest that half of them, and 95 of 100, do not exceed; to within 1 %."""

    p50: int | None = None
    p95: int | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """`count` durations from `least` to `most`, ms."""

    number: int
    count: int
    least: int
    most: int

    def place(self, rank: int) -> int:
        """The duration that is the `rank`th of them, from 1."""
        return self.least + round((self.most - self.least) * (rank - 1) / max(1, self.count - 1))


def bucket_of(duration_ms: str) -> Floor:
    """Which one a row's duration belongs to; NULL for one that has none. As doubles: PostgreSQL's exact numbers would
    take ten times as long."""
    shifted = Cast(duration_ms, FloatField()) + Value(1, output_field=FloatField())
    return Floor(Ln(shifted) * Value(PER_E_FOLD, output_field=FloatField()))


def percentiles(buckets: Iterable[Bucket]) -> Percentiles:
    """There may be several of one number, of different days for example."""
    merged: dict[int, Bucket] = {}
    for one in buckets:
        had = merged.get(one.number, one)
        count = one.count if had is one else had.count + one.count
        merged[one.number] = Bucket(one.number, count, min(had.least, one.least), max(had.most, one.most))
    ordered = [merged[number] for number in sorted(merged)]
    among = sum(bucket.count for bucket in ordered)
    if not among:
        return Percentiles()
    return Percentiles(*(_at(ordered, (among * percent + 99) // 100) for percent in (50, 95)))


def _at(ordered: list[Bucket], rank: int) -> int:
    for bucket in ordered:
        if rank <= bucket.count:
            return bucket.place(rank)
        rank -= bucket.count
    raise AssertionError("a rank beyond the last")
