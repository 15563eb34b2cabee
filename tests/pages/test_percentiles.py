"""Percentiles from a histogram are those of the textbook, to within 1 %, whatever the durations are."""

from __future__ import annotations

import random
from dataclasses import astuple
from math import floor, log

import pytest
from django.contrib.auth.models import User
from django.db.models import Count, Max, Min
from hypothesis import given
from hypothesis import strategies as st

from agents.models import Agent, Run
from agents.pages.percentiles import PER_E_FOLD, Bucket, Percentiles, bucket_of, percentiles

DURATIONS = st.lists(st.integers(0, 10**10) | st.integers(0, 300), min_size=1, max_size=300)


def histogram(durations: list[int]) -> list[Bucket]:
    numbered: dict[int, list[int]] = {}
    for duration in durations:
        numbered.setdefault(floor(log(duration + 1) * PER_E_FOLD), []).append(duration)
    return [Bucket(number, len(ms), min(ms), max(ms)) for number, ms in numbered.items()]


def textbook(durations: list[int]) -> list[int]:
    ordered = sorted(durations)
    return [ordered[(len(ordered) * percent + 99) // 100 - 1] for percent in (50, 95)]


def assert_near(found: Percentiles, durations: list[int]) -> None:
    assert found.p50 is not None
    assert found.p95 is not None
    assert [found.p50, found.p95] == pytest.approx(textbook(durations), rel=0.0101, abs=1)


@given(DURATIONS)
def test_they_are_those_of_the_textbook(durations: list[int]) -> None:
    assert_near(percentiles(histogram(durations)), durations)


@given(DURATIONS, DURATIONS)
def test_days_may_be_added_up(one: list[int], other: list[int]) -> None:
    assert_near(percentiles(histogram(one) + histogram(other)), one + other)


@pytest.mark.parametrize("longer", [1.004, 1.02, 1.05])
def test_they_are_where_most_are(longer: float) -> None:
    for shortest in range(10_000, 11_000, 50):
        durations = [shortest] * 95 + [round(shortest * longer)] * 5
        assert_near(percentiles(histogram(durations)), durations)


@given(st.tuples(*[st.integers(0, 10**10) | st.integers(10_000, 10_020)] * 2))
def test_of_two_they_are_exact_also_of_two_days(durations: tuple[int, int]) -> None:
    one, other = durations
    assert astuple(percentiles(histogram([one, other]))) == tuple(textbook([one, other]))
    assert astuple(percentiles(histogram([one]) + histogram([other]))) == tuple(textbook([one, other]))


def test_of_nothing_there_are_none() -> None:
    assert percentiles([]) == Percentiles()


@pytest.mark.django_db
@pytest.mark.sqlite
def test_the_database_makes_the_same_histogram() -> None:
    agent = Agent.objects.create(owner=User.objects.create_user("ada"), definition="demo")
    chosen = random.Random(7)
    durations = [round(chosen.lognormvariate(9, 2)) for _ in range(500)] + [0, 1, 2]
    Run.objects.bulk_create(
        Run(agent=agent, number=number, input="x", status="completed", duration_ms=duration)
        for number, duration in enumerate([*durations, None])
    )
    rows = Run.objects.order_by().annotate(bucket=bucket_of("duration_ms")).values_list("bucket")
    found = {number: rest for number, *rest in rows.annotate(Count("pk"), Min("duration_ms"), Max("duration_ms"))}
    assert found.pop(None) == [1, None, None], "one that goes on has no duration"
    assert_near(percentiles(Bucket(int(number), *rest) for number, rest in found.items()), durations)
