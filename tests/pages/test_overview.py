"""The overview says what is true: of whom it should, on honest scales, by a few queries; what nobody knows is said."""

from __future__ import annotations

import html as html_of
import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as site_settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from agents.fleet import workers
from agents.gateway.budgets import daily, spending
from agents.models import Agent, Attempt, DailyUse, Run
from agents.pages import charts, figures
from agents.pages.figures import Day
from agents.pages.percentiles import Percentiles
from tests.pages.hostile import HOSTILE
from tests.pages.test_list import assert_inert

LABEL_CHARS = 7
"""What has room left of a chart."""
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture(autouse=True)
def nobody_works() -> None:
    with redis.Redis.from_url(site_settings.REDIS_URL) as client:
        for key in client.scan_iter(f"{workers.PRESENCE}*"):
            client.delete(key)


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def works(name: str, active: int = 0, engine: str = "docker") -> None:
    said = {"worker": name, "engine": engine, "active": active, "concurrency": 4, "providers": {}}
    with redis.Redis.from_url(site_settings.REDIS_URL) as client:
        client.set(f"{workers.PRESENCE}{name}", json.dumps(said), ex=60)


def runs(owner: User, statuses: str, *, days_ago: int = 0, durations: Sequence[int] = (), title: str = "x") -> Agent:
    """One run a letter: c, f, x (cancelled), q, r."""
    words = {"c": "completed", "f": "failed", "x": "cancelled", "q": "queued", "r": "running"}
    agent = Agent.objects.create(owner=owner, definition="demo", title=title)
    at = datetime.combine(date.fromisoformat(spending.today()), time(12), UTC) - timedelta(days=days_ago)
    for number, letter in enumerate(statuses, 1):
        ended = letter in "cfx"
        run = Run.objects.create(
            agent=agent,
            number=number,
            input="x",
            status=words[letter],
            finished_at=at if ended else None,
            duration_ms=durations[number - 1] if ended and durations else None,
        )
        Run.objects.filter(pk=run.pk).update(created_at=at)
    return agent


def used(owner: User, model: str, cost: float | None, definition: str = "demo") -> None:
    step = {"model": model, "input_tokens": 10, "output_tokens": 5, "cost_usd": cost}
    daily.add(owner.pk, definition, spending.today(), [step])


def text_of(client: Client, address: str = "/overview/") -> str:
    page = client.get(address)
    assert page.status_code == 200
    text = re.sub(r"<(style|script).*?</\1>", "", page.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html_of.unescape(re.sub(r"<[^>]*>", " ", text)))


# What it counts -------------------------------------------------------------------------------------------------------


def test_runs_are_counted_by_day_and_outcome(ada: User) -> None:
    runs(ada, "ccfx", durations=[100, 200, 300, 400])
    runs(ada, "cq", days_ago=3, durations=[1000])
    runs(ada, "c" * 5, days_ago=30)
    found = figures.of(ada.pk)
    assert len(found.days) == 30
    today, earlier = found.days[-1], found.days[-4]
    assert (today.completed, today.failed, today.cancelled, today.open) == (2, 1, 1, 0)
    assert (earlier.completed, earlier.open) == (1, 1)
    assert found.total == 6, "not those of 30 days ago"
    assert found.success == 0.75, "what was cancelled is neither"
    assert found.open["queued"] == 1


def test_percentiles_are_those_of_the_textbook(ada: User) -> None:
    runs(ada, "c" * 40, durations=[ms * 10 for ms in range(40, 0, -1)])
    runs(ada, "c", days_ago=2, durations=[7])
    found = figures.of(ada.pk)
    assert found.days[-1].durations == Percentiles(p50=200, p95=380)
    assert found.days[-3].durations == Percentiles(p50=7, p95=7)
    assert found.days[-2].durations == Percentiles(), "a day without runs has none"
    assert found.durations == Percentiles(p50=200, p95=380)


def test_cost_is_added_up_by_model_and_definition_and_what_is_unknown_is_not_nothing(ada: User, client: Client) -> None:
    for cost in (0.5, 0.25):
        used(ada, "openai:small", cost)
    used(ada, "anthropic:large", 2.0, definition="other")
    used(ada, "ollama:own", None)
    used(ada, "openai:small", None)
    found = figures.of(ada.pk)
    assert [(cost.name, cost.usd) for cost in found.by_model][:2] == [("anthropic:large", 2.0), ("openai:small", 0.75)]
    assert [(cost.name, cost.usd) for cost in found.by_definition] == [("other", 2.0), ("demo", 0.75)]
    text = text_of(client)
    assert "price not known" in text
    assert "$0.7500 or more" in text
    assert f"Counted since {spending.today()}" in text


def test_many_models_are_shown_as_a_few_and_the_rest_together(ada: User) -> None:
    for n in range(20):
        used(ada, f"m{n:02}", 1.0 + n)
    found = figures.of(ada.pk).by_model
    assert len(found) == figures.SLICES
    assert found[-1].name == "13 others"
    assert sum(cost.usd for cost in found) == sum(1.0 + n for n in range(20))


def test_a_program_that_makes_up_models_makes_no_end_of_rows(ada: User) -> None:
    for n in range(daily.MODELS_MOST + 20):
        used(ada, f"made-up-{n}" + "x" * 500, 1.0)
    assert DailyUse.objects.count() == daily.MODELS_MOST + 1
    assert DailyUse.objects.get(model=daily.OTHERS).model_calls == 20


def test_it_costs_a_bounded_number_of_queries(ada: User, root: Client) -> None:
    with CaptureQueriesContext(connection) as few:
        text_of(root)
    for n in range(20):
        owner = User.objects.create_user(f"user{n}")
        runs(owner, "cfxqc", days_ago=n, durations=[n + 1] * 5)
        used(owner, f"m{n}", 1.0, definition=f"d{n}")
    with CaptureQueriesContext(connection) as many:
        assert "20 others" not in text_of(root)
    assert len(many) == len(few) <= figures.QUERIES_MOST + 3, "those of session, user and messages"


# Whose ----------------------------------------------------------------------------------------------------------------


def test_nobody_elses_runs_costs_and_attempts_are_counted(ada: User, stranger: Client, client: Client) -> None:
    agent = runs(ada, "ccfqr", durations=[1, 2, 3])
    Attempt.objects.create(run=agent.runs.get(status="running"), number=1, engine="docker", worker="secret-worker")
    used(ada, "secret-model", 5.0, definition="secret-definition")
    own, theirs = text_of(client), text_of(stranger)
    assert "secret-model" in own
    assert "secret" not in theirs
    assert "No run in these days" in theirs
    assert "No model was asked yet" in theirs
    assert figures.of(User.objects.get(username="eve").pk).open == {"queued": 0, "running": 0, "waiting": 0}
    assert "secret-worker" not in own, "machines are the operators' business"
    assert "secret" not in text_of(stranger, "/overview/?mine=0")


def test_a_superuser_sees_all_or_only_their_own(ada: User, root: Client) -> None:
    runs(ada, "cc")
    used(ada, "the-model", 1.0)
    assert "the-model" in text_of(root)
    mine = text_of(root, "/overview/?mine=1")
    assert "the-model" not in mine
    assert "No run in these days" in mine


def test_it_asks_for_a_login() -> None:
    assert Client().get("/overview/")["Location"] == "/login/?next=/overview/"


# Who does the work ----------------------------------------------------------------------------------------------------


def test_workers_are_those_that_answer(client: Client, root: Client) -> None:
    assert "No worker answers." in text_of(client)
    works("alpha", active=1)
    works("beta", active=2, engine="bwrap")
    assert "3 of 8 places taken" in text_of(client)
    text = text_of(root)
    assert "alpha docker 1 of 4" in text
    assert "No worker answers" not in text


def test_a_worker_that_is_silent_with_attempts_of_its_own_is_named(ada: User, root: Client) -> None:
    works("alpha", active=1)
    agent = runs(ada, "r")
    Attempt.objects.create(run=agent.runs.get(), number=1, engine="bwrap", worker="gone")
    text = text_of(root)
    assert "gone does not answer bwrap unknown 1" in text
    assert "bwrap 0 1" in text, "an engine with an attempt and no worker"


def test_without_redis_nobody_knows(client: Client, root: Client, settings: Any) -> None:
    settings.REDIS_URL = settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    for text in (text_of(client), text_of(root)):
        assert "nobody knows which workers there are" in text
        assert "No worker answers. What" not in text
    assert "How many messages wait in the broker is not known" in text


# Charts ---------------------------------------------------------------------------------------------------------------

FIRST = date(2026, 11, 1)


def days(*given: dict[str, Any]) -> list[Day]:
    return [Day(FIRST + timedelta(days=at), **one) for at, one in enumerate(given)]


def test_bars_stand_on_zero_and_are_as_high_as_their_number() -> None:
    chart = charts.runs(days({"completed": 8, "failed": 2}, {}, {"completed": 4}))
    assert chart.ticks[0].label == "0"
    floor, top = float(chart.ticks[0].at), float(chart.ticks[-1].at)
    unit = (floor - top) / float(chart.ticks[-1].label)
    completed, failed, later = chart.bars
    assert float(completed.height) == pytest.approx(8 * unit, abs=0.1)
    assert float(failed.height) == pytest.approx(2 * unit, abs=0.1)
    assert float(later.height) == pytest.approx(4 * unit, abs=0.1)
    assert float(completed.y) + float(completed.height) == pytest.approx(floor, abs=0.1)
    assert float(failed.y) + float(failed.height) == pytest.approx(float(completed.y), abs=0.2)


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7, 10, 11, 99, 1_000_000])
def test_ticks_begin_at_zero_reach_the_highest_and_are_whole(most: int) -> None:
    chart = charts.runs(days({"completed": most}))
    values = [int(tick.label.replace(",", "")) for tick in chart.ticks]
    assert values[0] == 0
    assert max(1, most) <= values[-1] <= max(1, most) * 2
    assert len(set(values)) == len(values) <= 7
    assert all(float(bar.y) >= charts.TOP - 0.1 for bar in chart.bars)


@pytest.mark.parametrize(
    ("most_ms", "labels"),
    [
        (3, ["0", "1 ms", "2 ms", "3 ms"]),
        (999, ["0", "0.5 s", "1 s"]),
        (5_000, ["0", "2 s", "4 s", "6 s"]),
        (45_000, ["0", "20 s", "40 s", "60 s"]),
        (80_000, ["0", "20 s", "40 s", "60 s", "80 s"]),
        (250_000, ["0", "2 min", "4 min", "6 min"]),
        (1_500_000, ["0", "10 min", "20 min", "30 min"]),
        (5_400_000, ["0", "30 min", "60 min", "90 min"]),
        (14_000_000, ["0", "1 h", "2 h", "3 h", "4 h"]),
        (400_000_000, ["0", "50 h", "100 h", "150 h"]),
    ],
)
def test_ticks_of_time_are_numbers_that_people_count_in(most_ms: int, labels: list[str]) -> None:
    chart = charts.durations(days({"durations": Percentiles(most_ms, most_ms)}))
    assert chart is not None
    assert [tick.label for tick in chart.ticks] == labels


@given(st.integers(1, 10**10))
def test_a_label_of_an_axis_is_short_and_says_where_it_stands(most_ms: int) -> None:
    """Longer ones would be cut at the edge of the picture: 33.3333 min read 333 min."""
    chart = charts.durations(days({"durations": Percentiles(most_ms, most_ms)}))
    assert chart is not None
    assert 2 <= len(chart.ticks) <= 7
    assert all(len(tick.label) <= LABEL_CHARS for tick in chart.ticks)
    units = {"0": 0, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
    floor, top = float(chart.ticks[0].at), float(chart.ticks[-1].at)
    values = [float(tick.label.split()[0].replace(",", "")) * units[tick.label.split()[-1]] for tick in chart.ticks]
    assert values[-1] >= most_ms
    for tick, value in zip(chart.ticks, values, strict=True):
        assert float(tick.at) == pytest.approx(floor - (floor - top) * value / values[-1], abs=0.11)


def test_a_day_that_is_not_known_is_a_gap_in_the_line() -> None:
    known = {"durations": Percentiles(1000, 2000)}
    chart = charts.durations(days(known, known, {}, known, {}, known, known, known))
    assert chart is not None
    for line in chart.lines:
        assert [len(piece.split()) for piece in line.pieces] == [2, 3]
        assert len(line.dots) == 6
    assert charts.durations(days({}, {})) is None


def test_a_scale_that_is_not_linear_says_so() -> None:
    near = charts.durations(days({"durations": Percentiles(1000, 20_000)}))
    far = charts.durations(days({"durations": Percentiles(200, 700_000)}))
    assert near is not None
    assert far is not None
    assert "from 0" in near.scale
    assert near.ticks[0].label == "0"
    assert "logarithmic" in far.scale
    assert [tick.label for tick in far.ticks] == ["100 ms", "1 s", "10 s", "1 min", "10 min", "1 h"]
    for chart in (near, far):
        for line in chart.lines:
            assert all(charts.TOP <= float(y) <= chart.bottom for _, y, _ in line.dots)


def test_what_programs_call_their_models_stays_text(ada: User, client: Client) -> None:
    runs(ada, "cf", durations=[1, 2])
    for words in HOSTILE:
        DailyUse.objects.all().delete()
        used(ada, words, 1.0, definition=words[:100])
        page = client.get("/overview/").content.decode()
        tags = {"section", "dl", "dt", "dd", "figure", "figcaption", "line", "text", "rect", "polyline", "circle"}
        tags |= {"details", "summary", "table", "thead", "tbody", "tr", "th", "td", "caption", "strong"}
        assert_inert(page, tags)
        assert not re.search(r"\sstyle=", page)


def test_every_chart_has_a_text_in_its_place(ada: User, client: Client) -> None:
    runs(ada, "cf", durations=[1, 2])
    page = client.get("/overview/").content.decode()
    assert page.count('class="chart"') == page.count('role="img" aria-label=') == 2
    table = page.split("The same as a table", 1)[1]
    assert table.count('<th scope="row">') >= figures.DAYS
