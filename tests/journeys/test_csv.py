"""A large, untidy CSV file of a person: uploaded, analysed in a container, followed live, and checked by pandas."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic, time

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
import pytest_asyncio

from streaming.model.events import Event, decode
from tests.faults.subscriber import Habits, Subscriber
from tests.faults.waiting import aside, until
from tests.journeys.site import UpSite

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(400),
]
NAME = "sales of 2023.csv"
LEAST_BYTES = 50 * 10**6
ROWS = 120_000
RUN_S = 300.0
LIVE_S = 5.0
"""Most seconds from when an event was made until it was heard."""
NUMBERS = ["order", "customer", "amount", "temperature", "share", "balance"]
WORDS = [
    "größer",
    "said, again",
    'the "best"',
    "line\nbreak",
    "東京",
    "naïve",
    "100 %",
    "a;b",
    "tab\there",
    "🐧 ok",
    "it's",
]


def table(rows: int, seed: int) -> pd.DataFrame:
    """Whole and broken numbers, dates, texts with all that CSV has to quote, and holes in most columns."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3, 1.2, rows)
    frame = pd.DataFrame(
        {
            "order": np.arange(700_001, 700_001 + rows),
            "customer": pd.array(rng.integers(1, 9_000, rows), dtype="Int64"),
            "amount": amount,
            "temperature": (12 + np.log(amount) * 2 + rng.normal(0, 6, rows)).round(1),
            "share": rng.random(rows) * 1e-7,
            "balance": (amount * -3 + rng.normal(0, 90, rows)).round(2),
            "ordered at": pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 31_536_000, rows), unit="s"),
            "region": rng.choice(["Nord", "Süd, West", 'The "Rest"', "東"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "returned": rng.choice(["yes", "no"], rows, p=[0.1, 0.9]),
            "code": [f"{number:06d}" for number in rng.integers(0, 400_000, rows)],
            "note": notes(rng, rows),
        }
    )
    for column, part in {"customer": 0.03, "temperature": 0.08, "balance": 0.01, "ordered at": 0.02}.items():
        frame.loc[rng.random(rows) < part, column] = pd.NA if column == "customer" else None
    for column in ("region", "note"):
        frame.loc[rng.random(rows) < 0.05, column] = None
    return frame


def notes(rng: np.random.Generator, rows: int) -> list[str]:
    phrases = [" ".join(rng.choice(WORDS, 45)) for _ in range(400)]
    return [f"{phrases[pick]} {row}" for row, pick in enumerate(rng.integers(0, len(phrases), rows))]


@dataclass
class Analysed:
    """`read`: the file by pandas. `late_s`: how long after it was made each event was heard."""

    path: Path
    read: pd.DataFrame
    report: str
    events: list[Event]
    late_s: list[float]
    subscriber: Subscriber

    def row(self, column: str) -> list[str]:
        """What the report's table says of a column."""
        (line,) = (line for line in self.report.splitlines() if line.startswith(f"| `{column}` |"))
        return [cell.strip() for cell in line.split("|")[2:-1]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def analysed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Analysed]:
    path = tmp_path_factory.mktemp("csv") / NAME
    table(ROWS, seed=2023).to_csv(path, index=False)
    site = UpSite(tmp_path_factory.mktemp("up"), engine="docker")
    try:
        await aside(site.start)
        yield await analyse(site, path)
    finally:
        await aside(site.close)


async def analyse(site: UpSite, path: Path) -> Analysed:
    offset = time() - monotonic()
    async with site.client() as client:
        agent_id = (await client.post("/api/agents", json={"definition": "demo"})).json()["id"]
        files = f"/api/agents/{agent_id}/files"
        uploaded = await client.put(f"{files}/{NAME}", content=path.read_bytes())
        assert uploaded.status_code == 201, uploaded.text
        subscriber = Subscriber(agent_id, site.token, site.addresses, Habits("0-0"), random.Random(1))
        subscriber.start()
        prompt = {"input": f"Compare the regions in {NAME}: amount by region."}
        assert (await client.post(f"/api/agents/{agent_id}/runs", json=prompt)).status_code == 202
        await until(lambda: has_ended(subscriber), RUN_S, "the end of the analysis", every_s=0.1)
        await subscriber.stop()
        report = (await client.get(f"{files}/report.md")).text
    events = [decode(seen.payload.decode()) for seen in subscriber.events]
    heard_at = [seen.at for seen in subscriber.events]
    late_s = [
        at + offset - datetime.fromisoformat(event.timestamp).timestamp()
        for at, event in zip(heard_at, events, strict=True)
    ]
    read = await asyncio.to_thread(read_by_pandas, path)
    return Analysed(path, read, report, events, late_s, subscriber)


def has_ended(subscriber: Subscriber) -> bool:
    return any(seen.payload.startswith(b'{"type":"done"') for seen in subscriber.events[-1:])


def read_by_pandas(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"code": str}, parse_dates=["ordered at"])


def shown(number: float) -> str:
    """As the report has numbers."""
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.4g}"


async def test_it_is_large_and_was_analysed_to_its_end(analysed: Analysed):
    assert analysed.path.stat().st_size >= LEAST_BYTES
    assert analysed.events[-1].data["status"] == "completed"
    assert [event for event in analysed.events if event.type == "error"] == []
    assert f"{len(analysed.read):,} rows, {len(analysed.read.columns)} columns." in analysed.report
    assert len(analysed.read) == ROWS


async def test_it_was_followed_without_a_gap(analysed: Analysed):
    assert analysed.subscriber.problems == []
    assert [event.seq for event in analysed.events] == list(range(1, len(analysed.events) + 1))
    assert [event.type for event in analysed.events].count("done") == 1


async def test_it_was_followed_live(analysed: Analysed):
    """Progress came while the program worked, each event soon after it was made."""
    output = "".join(event.data["content"] for event in analysed.events if event.type == "tool-output")
    assert output.count("rows read ...") == ROWS // 20_000
    assert max(analysed.late_s) < LIVE_S


async def test_values_and_gaps_are_counted_as_by_pandas(analysed: Analysed):
    for name in analysed.read:
        series = analysed.read[name]
        assert analysed.row(name)[:2] == [f"{series.count():,}", f"{series.isna().sum():,}"], name


@pytest.mark.parametrize("name", NUMBERS)
async def test_numbers_are_those_of_pandas(analysed: Analysed, name: str):
    series = analysed.read[name].astype(float)
    assert analysed.row(name)[2:6] == [
        f"{series.nunique():,}",
        *map(shown, (series.min(), series.mean(), series.max())),
    ]


async def test_texts_are_those_of_pandas(analysed: Analysed):
    common = analysed.read["region"].value_counts().index[:3]
    assert analysed.row("region")[6] == ", ".join(f"`{value}`" for value in common)
    assert analysed.row("code")[3:6] == ["", "", ""], "leading zeros: no numbers"


async def test_groups_are_those_of_pandas(analysed: Analysed):
    means = analysed.read.groupby("region")["amount"].mean()
    low, high = (f"`{name}` ({shown(means[name])})" for name in (means.idxmin(), means.idxmax()))
    assert f"`amount` by `region`: its mean is lowest for {low}, highest for {high}." in analysed.report
