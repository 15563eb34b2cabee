"""Every number that the demo agent reports is the one that pandas gives."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nightly import examples

DEMO = Path(__file__).parents[2] / "containers" / "images" / "demo"
BIG_ROWS = int(os.environ.get("DEMO_BIG_ROWS", "40000"))
Json = dict[str, Any]
Analyse = Callable[..., Json]


def same(ours: float | None, theirs: float, scale: float = 1.0) -> None:
    """Equal up to rounding; what pandas calls NaN is null here."""
    if ours is None or math.isnan(theirs):
        assert ours is None
        assert math.isnan(theirs)
    else:
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9 * scale)


def compare_numbers(column: Json, series: pd.Series) -> None:
    series = series.astype(float).replace([np.inf, -np.inf], np.nan)
    scale = float(series.abs().max())
    assert column["distinct"] == series.nunique()
    assert column["distinct_exact"]
    same(column["mean"], series.mean(), scale)
    same(column["std"], series.std(), scale)
    same(column["min"], series.min())
    same(column["max"], series.max())
    for name, share in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
        same(column[name], series.quantile(share), scale)
    if column.get("histogram"):
        assert sum(column["histogram"]["counts"]) == series.count()


def compare_table(about: Json, frame: pd.DataFrame) -> None:
    assert about["rows"] == len(frame)
    assert [column["name"] for column in about["columns"]] == list(frame.columns)
    for column in about["columns"]:
        series = frame[column["name"]]
        assert column["missing"] == series.isna().sum()
        assert column["count"] == series.count()
        if column["type"] in ("integer", "number"):
            compare_numbers(column, series)
        elif column["type"] == "category":
            assert {t["value"]: t["count"] for t in column["top"]} == dict(series.value_counts().head(10))
    compare_correlations(about, frame)


def compare_correlations(about: Json, frame: pd.DataFrame) -> None:
    numeric = [c["name"] for c in about["columns"] if c["type"] in ("integer", "number") and c["count"]]
    theirs = frame[numeric].astype(float).replace([np.inf, -np.inf], np.nan).corr(min_periods=2)
    assert len(about["correlations"]) == len(numeric) * (len(numeric) - 1) // 2
    for pair in about["correlations"]:
        same(pair["r"], theirs.loc[pair["a"], pair["b"]])
        assert pair["n"] == len(frame[[pair["a"], pair["b"]]].dropna())


def compare_groups(about: Json, frame: pd.DataFrame) -> None:
    groups = about["groups"]
    for name, parts in groups["columns"].items():
        by = frame.groupby(groups["by"])[name]
        for part in parts:
            series = by.get_group(part["value"])
            assert part["count"] == series.count()
            for ours, theirs in (("mean", series.mean()), ("std", series.std()), ("median", series.median())):
                same(part[ours], theirs)


def test_penguins_have_the_numbers_that_pandas_finds(analyse: Analyse) -> None:
    path = DEMO / "data" / "penguins.csv"
    about, frame = analyse(path.read_bytes()), pd.read_csv(path)
    compare_table(about, frame)
    compare_groups(about, frame)
    assert about["groups"]["by"] == "species"
    assert (
        next(p["r"] for p in about["correlations"] if p["b"] == "body_mass_g" and p["a"].startswith("flipper")) > 0.87
    )


def test_explained_variance_is_that_of_a_one_way_analysis(analyse: Analyse) -> None:
    path = DEMO / "data" / "penguins.csv"
    about, frame = analyse(path.read_bytes()), pd.read_csv(path)
    mass = frame["body_mass_g"]
    between = frame.groupby("species")["body_mass_g"].transform("mean").where(mass.notna())
    share = ((between - mass.mean()) ** 2).sum() / ((mass - mass.mean()) ** 2).sum()
    assert about["groups"]["explained"]["body_mass_g"] == pytest.approx(share)


def generated(rows: int, seed: int = 5) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": np.arange(1, rows + 1),
            "when": pd.date_range("2021-03-01", periods=rows, freq="37min").strftime("%Y-%m-%d %H:%M:%S"),
            "city": random.choice(["Zürich", 'New "York"', "São Paulo, SP", "東京"], rows),
            "ok": random.choice(["true", "false"], rows),
            "amount": random.integers(-500, 500, rows),
            "price": random.lognormal(3, 1, rows).round(4),
            "temp": random.normal(15, 8, rows).round(2),
        }
    )
    frame["total"] = (frame["amount"] * 0.5 + random.normal(0, 20, rows)).round(3)
    frame.loc[random.random(rows) < 0.1, "temp"] = np.nan
    frame.loc[random.random(rows) < 0.05, "city"] = None
    return frame


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_mixed_table_agrees_with_pandas(analyse: Analyse, separator: str) -> None:
    frame = generated(600)
    about = analyse(frame.to_csv(index=False, sep=separator, na_rep="NA"))
    assert about["delimiter"] == separator
    types = ["integer", "datetime", "category", "boolean", "integer", "number", "number", "number"]
    assert [column["type"] for column in about["columns"]] == types
    compare_table(about, frame)
    compare_groups(about, frame)


def test_rows_without_a_group_are_in_none(analyse: Analyse) -> None:
    frame = generated(500)
    about = analyse(frame.to_csv(index=False), "data.csv", "--by=city")
    assert about["groups"]["by"] == "city"
    compare_groups(about, frame)


def test_only_the_most_common_groups_are_compared(analyse: Analyse) -> None:
    frame = pd.DataFrame({"shop": [f"s{n % 17 if n < 170 else n % 10}" for n in range(400)], "sales": range(400)})
    about = analyse(frame.to_csv(index=False), "data.csv", "--by=shop")
    assert about["groups"]["distinct"] == 17
    assert len(about["groups"]["values"]) == 12
    compare_groups(about, frame)


def test_dates_have_the_limits_that_pandas_finds(analyse: Analyse) -> None:
    when = analyse(generated(301).to_csv(index=False))["columns"][1]
    theirs = pd.to_datetime(generated(301)["when"])
    assert pd.Timestamp(when["min"]) == theirs.min()
    assert pd.Timestamp(when["max"]) == theirs.max()
    assert pd.Timestamp(when["median"]) == theirs.median()
    assert pd.Timestamp(when["q1"]) == theirs.quantile(0.25)


def peak_kib(workspace: Path) -> int:
    """Of the analysis alone. By a process in between, since what a child of ours once took is among our own children's,
    and a child begins with what we take."""
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-I", "-B", str(DEMO / "programs" / "analysis.py"), "data.csv"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", measure, *command], cwd=workspace, check=True, capture_output=True
    )
    return int(done.stdout)


def test_a_big_file_agrees_with_pandas_within_512_mib(analyse: Analyse, workspace: Path) -> None:
    frame = generated(BIG_ROWS)
    about = analyse(frame.to_csv(index=False))
    compare_table(about, frame)
    assert peak_kib(workspace) < 450 * 1024
    assert (workspace / "data.csv").stat().st_size > 60 * BIG_ROWS


def test_a_file_beyond_the_memory_cap_is_sampled_evenly_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("n,m\n" + "".join(f"{n},{n % 7}\n" for n in range(50_000)))
    analysis = load()
    vars(analysis)["KEPT_PER_COLUMN"] = 10_000
    about = quietly(analysis, path)
    assert about["sampled_every"] == 5
    assert about["rows"] == 50_000
    column = about["columns"][0]
    assert column["count"] == 50_000
    assert column["mean"] == pytest.approx(np.arange(0, 50_000, 5).mean())


def load() -> ModuleType:
    """The program as a module, for tests that need many small tables."""
    spec = importlib.util.spec_from_file_location("demo_analysis", DEMO / "programs" / "analysis.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def quietly(analysis: ModuleType, path: Path) -> Json:
    with contextlib.redirect_stdout(io.StringIO()):
        about = analysis.without_nan(analysis.attempt(str(path), None, []))
    return json.loads(json.dumps(about, allow_nan=False))  # type: ignore[no-any-return]


ANALYSIS = load()
FLOATS = st.floats(-1e12, 1e12, allow_nan=False).map(lambda value: 0.0 if abs(value) < 1e-9 else value)
CELLS = st.one_of(st.none(), FLOATS, st.integers(-1000, 1000).map(float))
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=40)
)


@settings(max_examples=examples(150), deadline=None)
@given(rows=TABLES)
def test_any_table_of_numbers_agrees_with_pandas(rows: list[list[float | None]], tmp_path_factory: Any) -> None:
    frame = pd.DataFrame(rows, columns=[f"c{n}" for n in range(len(rows[0]))], dtype=float)
    path = tmp_path_factory.mktemp("any") / "any.csv"
    frame.to_csv(path, index=False, na_rep="NA")
    about = quietly(ANALYSIS, path)
    for column in about["columns"]:
        series = frame[column["name"]]
        assert column["missing"] == series.isna().sum()
        if series.count():
            compare_numbers(column, series)
    for pair in about["correlations"]:
        compare_pair(pair, frame)


def compare_pair(pair: Json, frame: pd.DataFrame) -> None:
    """By the definition, in numpy: pandas keeps rounding noise where a column is almost constant."""
    both = frame[[pair["a"], pair["b"]]].dropna()
    assert pair["n"] == len(both)
    x, y = both[pair["a"]], both[pair["b"]]
    if len(both) < 2 or x.nunique() == 1 or y.nunique() == 1:
        assert pair["r"] is None
    elif pair["r"] is not None and min(x.std() / x.abs().max(), y.std() / y.abs().max()) > 1e-6:
        assert pair["r"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-8)


def test_the_program_runs_by_itself_as_its_first_lines_say(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n")
    command = [sys.executable, str(DEMO / "programs" / "analysis.py"), "t.csv", "--by", "b", "--focus", "a"]
    subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    )
    about = json.loads((tmp_path / "analysis.json").read_text())["files"][0]
    assert about["groups"]["by"] == "b"
    assert about["columns"][0]["mean"] == 1.5
