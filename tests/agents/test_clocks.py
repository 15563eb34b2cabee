"""Machines whose clocks are wrong: the database's is ten minutes off for everybody here, or one worker's for all.

Whatever has to be compared with a time of the database is compared there. What is left of local clocks is listed.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from agents.auth import credentials
from agents.log import run_summary
from agents.models import ApiToken, Run
from agents.worker import container_cleanup, reaper, retention, tasks
from streaming.models import EventChunk, Log
from streaming.store import journal
from tests.agents.site import Site, attempts, errors, until
from tests.agents.takeover import COUNTS, is_whole, let_all

ROOT = Path(__file__).resolve().parents[2]
SKEWS_S = (-600, 600)
LEASE_S = 2.0


@pytest.fixture(params=SKEWS_S)
def skewed(request: pytest.FixtureRequest, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> float:
    """The database's clock is that far ahead of every process's."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's clock is the process's own")
    template = f"(STATEMENT_TIMESTAMP() + INTERVAL '{request.param} seconds')"

    def as_postgresql(self: Now, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template=template, **context)

    monkeypatch.setattr(Now, "as_postgresql", as_postgresql)
    skew_s: float = request.param
    return skew_s


@pytest.fixture
def short_lease(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LEASE_S = LEASE_S
    monkeypatch.setattr(reaper, "ASK_AGAIN_S", 0.2)


def test_a_run_goes_from_worker_to_worker_as_ever(site: Site, short_lease: None, skewed: float) -> None:
    """A living worker is not robbed, a dead one is followed when its lease has run out, and not before."""
    first = site.worker()
    run = site.start(site.define("counts", COUNTS))
    site.wait_event(run, "tool-result", 10)
    epoch, began = Log.objects.get(pk=run.agent_id).epoch, time.monotonic()
    site.worker()
    while time.monotonic() < began + 1.5 * LEASE_S:
        tasks.reap()
        assert Log.objects.get(pk=run.agent_id).epoch == epoch
    site.kill(first)
    died_at = time.monotonic()
    until(lambda: (tasks.reap(), Log.objects.get(pk=run.agent_id).epoch > epoch)[1], "another takes over")
    assert 0.2 * LEASE_S < time.monotonic() - died_at < 5 * LEASE_S
    let_all(site, run)
    is_whole(site, run)


def test_the_time_limit_is_as_long_as_ever(site: Site, short_lease: None, skewed: float) -> None:
    first = site.worker()
    run = site.start(site.define("sleeps", 'say("text", content="x"); time.sleep(600)', limits={"wall_s": 6.0}))
    began = time.monotonic()
    site.wait_event(run, "text")
    site.kill(first)
    site.worker()
    until(lambda: (tasks.reap(), Run.objects.get(pk=run.pk).is_finished)[1], "the time is over")
    assert errors(site.end(run)) == ["time-limit"]
    assert 5 < time.monotonic() - began < 15


@pytest.mark.parametrize("skew_s", SKEWS_S)
def test_a_run_lasts_as_long_as_it_lasts(site: Site, monkeypatch: pytest.MonkeyPatch, skew_s: float) -> None:
    """The worker that took it over has another clock than the one that began it."""
    first = site.worker()
    run = site.start(site.define("counts", COUNTS))
    began = time.monotonic()
    site.wait_event(run, "tool-result", 10)
    site.kill(first)
    site.expire(run.agent)
    skewed_now = datetime.now(UTC) + timedelta(seconds=skew_s)
    monkeypatch.setattr(run_summary, "now", lambda: skewed_now.isoformat())
    site.ask_worker(site.worker(), str(run.agent_id))
    let_all(site, run)
    duration_ms = site.end(run)[-1].data["duration_ms"]
    assert 0 < duration_ms <= (time.monotonic() - began + 1) * 1000


def test_an_attempt_is_closed_when_nobody_holds_its_lease(site: Site, skewed: float) -> None:
    first = site.worker()
    run = site.start(site.define("waits", 'note("up"); wait("go")'))
    site.wait_file(run, "up")
    site.kill(first)
    Run.objects.filter(pk=run.pk).update(finished_at=timezone.now(), status="failed")
    second = site.worker()
    second.submit(container_cleanup.sweep(second.engines)).result(20)
    assert attempts(run)[0].finished_at is None
    site.expire(run.agent)
    second.submit(container_cleanup.sweep(second.engines)).result(20)
    assert attempts(run)[0].finished_at is not None


def test_retention_is_as_long_as_ever(site: Site, skewed: float) -> None:
    site.settings.RETENTION_DAYS = 30
    site.worker()
    run = site.start(site.define("talks", 'say("text", content="x")'))
    site.end(run)
    for minutes, gone in ((-5, False), (5, True)):
        age = timedelta(days=30, minutes=minutes)
        EventChunk.objects.filter(agent_id=run.agent_id).update(created_at=Now() - age)
        retention.trim()
        assert (journal.head(str(run.agent_id)).first_seq > 1) == gone


@pytest.fixture(params=SKEWS_S)
def wrong_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """This process's clock is off; the database's is right. `undo` sets it right."""
    real = timezone.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", lambda: real() + timedelta(seconds=request.param))
        yield patch


def test_a_login_link_is_good_for_as_long_as_it_says(site: Site, wrong_here: pytest.MonkeyPatch) -> None:
    """Made by one machine, followed on another."""
    good = credentials.create_login_link(site.owner, timedelta(minutes=5))
    old = credentials.create_login_link(site.owner, timedelta(seconds=-1))
    wrong_here.undo()
    assert credentials.redeem_login_link(old) is None
    assert credentials.redeem_login_link(good) == site.owner


def test_a_login_link_is_refused_for_its_age_only(site: Site, wrong_here: pytest.MonkeyPatch) -> None:
    good = credentials.create_login_link(site.owner, timedelta(minutes=5))
    old = credentials.create_login_link(site.owner, timedelta(seconds=-1))
    assert credentials.redeem_login_link(old) is None
    assert credentials.redeem_login_link(good) == site.owner


def test_the_last_use_of_a_token_is_kept_whoever_served_it(site: Site, wrong_here: pytest.MonkeyPatch) -> None:
    token = credentials.create_token(site.owner, "laptop")
    used: list[Any] = []
    for age_s in (None, credentials.TOUCH_S - 30, credentials.TOUCH_S + 30):
        if age_s is not None:
            ApiToken.objects.update(last_used_at=Now() - timedelta(seconds=age_s))
        before = ApiToken.objects.get().last_used_at
        assert credentials.user_of_token(token) == site.owner
        used.append(ApiToken.objects.get().last_used_at != before)
    assert used == [True, False, True]


# No other place asks a local clock ---------------------------------------------------------------------------------

ALLOWED = {
    "agents/runs/attempts.py:note_start_sent": "a stamp: only whether there is one is asked",
    "agents/runs/attempts.py:close_attempt": "a stamp for people",
    "agents/runs/attempts.py:close_all": "a stamp for people",
    "agents/runs/attempts.py:close_stale": "a stamp for people",
    "agents/runs/commands.py:archive": "a stamp: only whether there is one is asked",
    "agents/runs/commands.py:request_cancel": "a stamp: only whether there is one is asked",
    "agents/runs/commands.py:_interrupt": "a stamp: only whether there is one is asked",
    "agents/pages/run.py:facts": "how long a run goes on so far, for people",
    "agents/pages/run.py:_duration": "how long a run goes on so far, for people",
    "agents/pages/views.py:page_context": "what the page tells times by, for people",
    "agents/worker/container_cleanup.py:_is_old": "compared with the engine's clock; rows decide what may go",
    "agents/workspace/cleanup.py:_is_due": "compared with the disk's clock",
    "agentsite/cli/image_commands.py:age": "for people, of what the engine says",
    "containers/engines/recorded.py:_age_s": "compared with the disk's clock",
    "containers/engines/recorder.py:start": "a stamp for people, and for the sweep's grace",
    "containers/engines/recorder.py:record": "a stamp for people, and for the sweep's grace",
    "streaming/model/events.py:now": "events' timestamps are for people; order is by seq",
}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "localtime", "gmtime"}


def test_nothing_else_asks_the_clock_of_its_machine() -> None:
    """A new place has to say what it compares it with."""
    found = {
        f"{path.relative_to(ROOT)}:{name}"
        for package in ("agents", "agentsite", "streaming", "containers")
        for path in (ROOT / package).rglob("*.py")
        if "images" not in path.parts and "migrations" not in path.parts
        for name in _askers(ast.parse(path.read_text()))
    }
    assert found == set(ALLOWED)


def _askers(tree: ast.AST, inside: str = "") -> Iterator[str]:
    """Functions that call datetime.now, timezone.now, time.time and the like."""
    for node in ast.iter_child_nodes(tree):
        name = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else inside
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id in ("datetime", "date", "timezone", "time"):
                yield inside
        yield from _askers(node, name)
