"""A large, untidy CSV file of a person: uploaded, analysed in a container, followed live, and checked by pandas."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic, time
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
import pytest_asyncio

from streaming.events import Event, decode
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
Json = dict[str, Any]
NAME = "sales of 2023.csv"
LEAST_BYTES = 50 * 10**6
ROWS = 120_000
RUN_S = 300.0
LIVE_S = 5.0
"""Most seconds from when an event was made until it was heard."""
EXACT = 1e-9
TYPES = {
    "order": "integer",
    "customer": "integer",
    "amount": "number",
    "temperature": "number",
    "share": "number",
    "balance": "number",
    "ordered at": "datetime",
    "region": "category",
    "returned": "boolean",
    "code": "text",
    "note": "text",
}
NUMBERS = [name for name, kind in TYPES.items() if kind in ("integer", "number")]
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
    """`read`: the file by pandas. `found`: by the agent. `late_s`: how long after it was made each event was heard."""

    path: Path
    read: pd.DataFrame
    found: Json
    report: str
    events: list[Event]
    heard_at: list[float]
    late_s: list[float]
    subscriber: Subscriber

    def column(self, name: str) -> Json:
        return next(column for column in self.found["columns"] if column["name"] == name)


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
        (found,) = (await client.get(f"{files}/analysis.json")).json()["files"]
        report = (await client.get(f"{files}/report.md")).text
    events = [decode(seen.payload.decode()) for seen in subscriber.events]
    heard_at = [seen.at for seen in subscriber.events]
    late_s = [
        at + offset - datetime.fromisoformat(event.timestamp).timestamp()
        for at, event in zip(heard_at, events, strict=True)
    ]
    read = await asyncio.to_thread(read_by_pandas, path)
    return Analysed(path, read, found, report, events, heard_at, late_s, subscriber)


def has_ended(subscriber: Subscriber) -> bool:
    return any(seen.payload.startswith(b'{"type":"done"') for seen in subscriber.events[-1:])


def read_by_pandas(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"code": str}, parse_dates=["ordered at"])


def same(ours: float, theirs: float) -> None:
    assert ours == pytest.approx(theirs, rel=EXACT, abs=0)


async def test_it_is_large_and_was_analysed_to_its_end(analysed: Analysed):
    assert analysed.path.stat().st_size >= LEAST_BYTES
    assert analysed.found["bytes"] == analysed.path.stat().st_size
    assert analysed.found["sampled_every"] == 1
    assert analysed.events[-1].data["status"] == "completed"
    assert [event for event in analysed.events if event.type == "error"] == []
    assert f"{ROWS:,}" in analysed.report


async def test_it_was_followed_without_a_gap(analysed: Analysed):
    assert analysed.subscriber.problems == []
    assert [event.seq for event in analysed.events] == list(range(1, len(analysed.events) + 1))
    assert [event.type for event in analysed.events].count("done") == 1


async def test_it_was_followed_live(analysed: Analysed):
    """Progress came while the program worked, each event soon after it was made."""
    progress = [
        at
        for at, event in zip(analysed.heard_at, analysed.events, strict=True)
        if event.type == "tool-output" and "pass " in event.data["content"]
    ]
    assert len(progress) >= 4
    assert progress[-1] - progress[0] > 2
    assert max(analysed.late_s) < LIVE_S


async def test_rows_and_types_are_right(analysed: Analysed):
    assert analysed.found["rows"] == len(analysed.read) == ROWS
    assert analysed.found["ragged"] == {"short": 0, "long": 0}
    types = {column["name"]: column["type"] for column in analysed.found["columns"]}
    assert types == TYPES
    for name in analysed.read:
        column, series = analysed.column(name), analysed.read[name]
        assert (column["count"], column["missing"]) == (series.count(), series.isna().sum())


@pytest.mark.parametrize("name", NUMBERS)
async def test_numbers_are_those_of_pandas(analysed: Analysed, name: str):
    column, series = analysed.column(name), analysed.read[name].astype(float)
    assert column["distinct"] == series.nunique()
    same(column["mean"], series.mean())
    same(column["std"], series.std())
    for ours, share in {"min": 0, "q1": 0.25, "median": 0.5, "q3": 0.75, "max": 1}.items():
        same(column[ours], series.quantile(share))


async def test_dates_are_those_of_pandas(analysed: Analysed):
    column, series = analysed.column("ordered at"), analysed.read["ordered at"]
    for ours, theirs in {"min": series.min(), "median": series.median(), "max": series.max()}.items():
        assert abs(pd.Timestamp(column[ours]) - theirs) < pd.Timedelta("1ms")


async def test_texts_are_those_of_pandas(analysed: Analysed):
    regions = {top["value"]: top["count"] for top in analysed.column("region")["top"]}
    assert regions == analysed.read["region"].value_counts().to_dict()
    lengths = analysed.read["note"].dropna().str.strip().str.len()
    column = analysed.column("note")["length"]
    assert (column["min"], column["max"]) == (lengths.min(), lengths.max())
    same(column["mean"], lengths.mean())


async def test_correlations_are_those_of_pandas(analysed: Analysed):
    theirs = analysed.read[NUMBERS].astype(float).corr()
    pairs = analysed.found["correlations"]
    assert len(pairs) == len(NUMBERS) * (len(NUMBERS) - 1) // 2
    for pair in pairs:
        # Of a correlation of nothing with nothing, the last digits are rounding; 1 is its scale.
        assert pair["r"] == pytest.approx(theirs.loc[pair["a"], pair["b"]], rel=EXACT, abs=1e-13)
        assert pair["n"] == len(analysed.read[[pair["a"], pair["b"]]].dropna())


async def test_groups_are_those_of_pandas(analysed: Analysed):
    groups = analysed.found["groups"]
    assert groups["by"] == "region"
    assert set(groups["columns"]) >= {"amount", "temperature", "share", "balance"}
    for name, parts in groups["columns"].items():
        series = analysed.read[name].astype(float).groupby(analysed.read["region"])
        assert {part["value"] for part in parts} == set(series.groups)
        for part in parts:
            values = series.get_group(part["value"])
            assert part["count"] == values.count()
            for ours, theirs in {"mean": values.mean(), "std": values.std(), "median": values.median()}.items():
                same(part[ours], theirs)
