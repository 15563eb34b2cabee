"""The numbers of the overview, of one user or of all. A bounded number of queries over indexes, however much there is:
the runs of DAYS by their time, open runs and attempts, which are few, and what was used day by day.

By the database's clock. A run is counted on the day on which it was asked for, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from agents.gateway.budgets import spending
from agents.models import Attempt, DailyUse, Run
from agents.pages.percentiles import Bucket, Percentiles, bucket_of, percentiles

DAYS = 30
SLICES = 8
"""Models and definitions that are shown by themselves; the rest is added up."""
ENDED = ("completed", "failed", "cancelled")
QUERIES_MOST = 7


@dataclass(frozen=True, slots=True)
class Day:
    day: date
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    open: int = 0
    durations: Percentiles = field(default_factory=Percentiles)

    @property
    def total(self) -> int:
        return self.completed + self.failed + self.cancelled + self.open


@dataclass(frozen=True, slots=True)
class Tally:
    """How many runs of a day ended so, and took about as long; `bucket` None: those without a duration."""

    day: date
    outcome: str
    count: int
    bucket: Bucket | None


@dataclass(frozen=True, slots=True)
class Cost:
    """`unpriced`: calls of which nobody knows the cost."""

    name: str
    usd: float
    tokens: int
    calls: int
    unpriced: int


@dataclass(frozen=True, slots=True)
class Figures:
    days: list[Day]
    durations: Percentiles
    by_model: list[Cost]
    by_definition: list[Cost]
    counted_since: date | None
    """The first day of which it is known what models were used; None if none ever was."""
    open: dict[str, int]
    oldest_queued_at: datetime | None
    attempts: list[tuple[str, str, int]] = field(default_factory=list)
    """Worker, engine, and how many of its attempts go on."""

    @property
    def completed(self) -> int:
        return sum(day.completed for day in self.days)

    @property
    def failed(self) -> int:
        return sum(day.failed for day in self.days)

    @property
    def total(self) -> int:
        return sum(day.total for day in self.days)

    @property
    def success(self) -> float | None:
        """Of those that were not cancelled: that was somebody's wish. None where there is nothing to judge."""
        judged = self.completed + self.failed
        return self.completed / judged if judged else None


def of(owner_id: int | None) -> Figures:
    """None: of everybody."""
    first = date.fromisoformat(spending.today()) - timedelta(days=DAYS - 1)
    whose = Q() if owner_id is None else Q(agent__owner=owner_id)
    runs = Run.objects.filter(whose, created_at__gte=datetime.combine(first, time(), UTC)).order_by()
    used = DailyUse.objects.filter(Q() if owner_id is None else Q(owner=owner_id))
    open_runs, oldest = _open(whose)
    tallies = _tallies(runs)
    return Figures(
        days=_days(tallies, first),
        durations=_durations(tallies),
        by_model=_costs(used.filter(day__gte=first), "model"),
        by_definition=_costs(used.filter(day__gte=first), "definition"),
        counted_since=used.aggregate(first=Min("day"))["first"],
        open=open_runs,
        oldest_queued_at=oldest,
        attempts=_attempts() if owner_id is None else [],
    )


def _tallies(runs: QuerySet[Run]) -> list[Tally]:
    """In one pass over the runs: there may be a million."""
    counted = (
        runs.annotate(day=TruncDate("created_at"), bucket=bucket_of("duration_ms"))
        .values_list("day", "status", "bucket")
        .annotate(Count("pk"), Min("duration_ms"), Max("duration_ms"))
    )
    return [
        Tally(day, status if status in ENDED else "open", count, None if at is None else Bucket(int(at), count, *ends))
        for day, status, at, count, *ends in counted
    ]


def _days(tallies: list[Tally], first: date) -> list[Day]:
    by_day: dict[date, list[Tally]] = {}
    for tally in tallies:
        by_day.setdefault(tally.day, []).append(tally)
    return [_day(day, by_day.get(day, [])) for day in (first + timedelta(days=at) for at in range(DAYS))]


def _day(day: date, tallies: list[Tally]) -> Day:
    counts = dict.fromkeys((*ENDED, "open"), 0)
    for tally in tallies:
        counts[tally.outcome] += tally.count
    return Day(day, durations=_durations(tallies), **counts)


def _durations(tallies: list[Tally]) -> Percentiles:
    return percentiles(tally.bucket for tally in tallies if tally.bucket is not None)


def _costs(used: QuerySet[DailyUse], by: str) -> list[Cost]:
    sums = (
        used.order_by()
        .values_list(by)
        .annotate(Sum("cost_usd"), Sum("tokens"), Sum("model_calls"), Sum("unpriced_calls"))
    )
    costs = sorted((Cost(*row) for row in sums), key=lambda cost: (-cost.usd, -cost.tokens, cost.name))
    if len(costs) <= SLICES:
        return costs
    rest = costs[SLICES - 1 :]
    return [
        *costs[: SLICES - 1],
        Cost(
            f"{len(rest)} others",
            sum(cost.usd for cost in rest),
            sum(cost.tokens for cost in rest),
            sum(cost.calls for cost in rest),
            sum(cost.unpriced for cost in rest),
        ),
    ]


def _open(whose: Q) -> tuple[dict[str, int], datetime | None]:
    """How many runs are at what, over the index of open runs; and since when the one waits that waits longest."""
    rows = Run.objects.filter(whose, finished_at=None).order_by().values_list("status")
    counts = {"queued": 0, "running": 0, "waiting": 0}
    oldest = None
    for status, count, first in rows.annotate(Count("pk"), Min("created_at")):
        counts[status] = count
        if status == "queued":
            oldest = first
    return counts, oldest


def _attempts() -> list[tuple[str, str, int]]:
    rows = Attempt.objects.filter(finished_at=None).order_by("worker", "engine").values_list("worker", "engine")
    return list(rows.annotate(Count("pk")))
