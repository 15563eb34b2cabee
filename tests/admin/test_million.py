"""Lists of the admin and the overview with a million runs: what the database does for them, not how long it takes on
this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.admin.search import SEARCHED_MOST
from agents.models import Agent, Attempt, Run
from tests.api.conftest import on_postgres

pytestmark = [on_postgres, pytest.mark.slow, pytest.mark.long, pytest.mark.django_db, pytest.mark.timeout(240)]
RUNS = 1_000_000
ATTEMPTS = 200_000
AGENTS = 1000
PAGE_BLOCKS = 2000
"""Of 8 KiB that a page may look at: fifty rows, and what they belong to."""
SEARCH_BLOCKS = 12 * SEARCHED_MOST
"""A few for each of the rows that are looked through."""
QUERIES_MOST = 12

ID = "(lpad(to_hex(1795000000000 + {n} * 1000), 12, '0') || '7000a000' || lpad(to_hex({n}), 12, '0'))::uuid"
SEED = f"""
INSERT INTO agents_agent (id, owner_id, definition, title, status, model, budget, metadata, created_at, updated_at)
SELECT {ID.format(n="n")}, %(owner)s, 'demo', 'agent ' || n, 'idle', '', '{{}}', '{{}}', now(),
  now() - n * interval '1 min'
FROM generate_series(1, {AGENTS}) n;
INSERT INTO agents_run (id, agent_id, number, input, strategy, metadata, budget, cancel_reason, status, engine,
  isolation, created_at, finished_at, error_code, error_message, tool_calls, files_changed, usage, duration_ms)
SELECT {ID.format(n="n")}, {ID.format(n=f"(1 + n %% {AGENTS})")}, n, 'prompt ' || n, 'enqueue', '{{}}', '{{}}', '',
  CASE WHEN n %% 1000 = 0 THEN 'failed' ELSE 'completed' END,
  CASE WHEN n %% 100000 = 0 THEN 'bwrap' ELSE 'docker' END, 'container',
  now() - ({RUNS} - n) * interval '2 s', now(),
  CASE WHEN n %% 1000 = 0 THEN 'time-limit' ELSE '' END, '', 0, 0, '{{}}', n
FROM generate_series(1, {RUNS}) n;
INSERT INTO agents_attempt (id, run_id, number, engine, container_ref, worker, host, takeovers, session, started_at,
  waited_s, finished_at, outcome)
SELECT id, id, 1, engine, 'ref', 'worker', '', 0, '', created_at, 0, finished_at, 'exit'
FROM agents_run WHERE number %% {RUNS // ATTEMPTS} = 0
"""
ANALYZE = "ANALYZE agents_agent, agents_run, agents_attempt"
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes LEFT JOIN pg_constraint ON conname = indexname
WHERE tablename IN ('agents_run', 'agents_attempt') AND conname IS NULL
"""


@pytest.fixture
def admin() -> Client:
    """All tables of a site with a million runs, until the test's transaction is rolled back."""
    root = User.objects.create_superuser("root")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # foreign keys hold: they were made so
        cursor.execute("SET LOCAL maintenance_work_mem = '256MB'")
        cursor.execute(INDEXES)  # made anew afterwards, which takes a third of the time
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        for statement in [*SEED.split(";"), *(definition for _, definition in indexes), ANALYZE]:
            cursor.execute(statement, {"owner": root.pk} if "%(owner)s" in statement or "%%" in statement else None)
        cursor.execute("SET LOCAL session_replication_role = origin")
    client = Client()
    client.force_login(root)
    return client


def test_every_list_filter_and_search_reads_a_bounded_part_of_the_tables(admin: Client) -> None:
    run = Run.objects.order_by("id")[9]
    lists = {
        "run/": PAGE_BLOCKS,
        "run/?p=3": PAGE_BLOCKS,
        "run/?status__exact=failed": PAGE_BLOCKS,
        "run/?status__exact=queued": PAGE_BLOCKS,
        "run/?engine=bwrap": PAGE_BLOCKS,
        "run/?engine=podman": PAGE_BLOCKS,
        "run/?error_code=time-limit": PAGE_BLOCKS,
        f"run/?agent__id__exact={run.agent_id}": PAGE_BLOCKS,
        f"run/?q={run.pk}": PAGE_BLOCKS,
        f"run/?q={str(run.pk)[:13]}": PAGE_BLOCKS,
        f"run/?q={run.agent_id}": PAGE_BLOCKS,
        "run/?q=nothing+says+this": SEARCH_BLOCKS,
        "run/?q=nothing+says+this&status__exact=failed": SEARCH_BLOCKS,
        "attempt/": PAGE_BLOCKS,
        "attempt/?outcome=exit": PAGE_BLOCKS,
        "attempt/?engine=bwrap": PAGE_BLOCKS,
        "attempt/?open=1": PAGE_BLOCKS,
        f"attempt/?q={run.pk}": PAGE_BLOCKS,
        "attempt/?q=nothing": SEARCH_BLOCKS,
        "agent/": PAGE_BLOCKS,
        "agent/?status=idle": PAGE_BLOCKS,
        "agent/?definition=demo": PAGE_BLOCKS,
    }
    wrong = [f"{path}: {problem}" for path, most in lists.items() for problem in problems(admin, path, most)]
    assert [*wrong, *overview_problems(admin)] == []
    assert (Run.objects.count(), Attempt.objects.count(), Agent.objects.count()) == (RUNS, ATTEMPTS, AGENTS)


def problems(admin: Client, path: str, most_blocks: int) -> Iterator[str]:
    with CaptureQueriesContext(connection) as captured:
        answer = admin.get(f"/admin/agents/{path}")
    assert answer.status_code == 200, (path, answer)
    asked = [query["sql"] for query in captured if query["sql"].startswith(("SELECT", "WITH"))]
    if len(asked) > QUERIES_MOST:
        yield f"{len(asked)} queries"
    for sql in asked:
        if "agents_" not in sql:
            continue
        if re.search(r"COUNT\(", sql):
            yield f"counts: {sql[:200]}"
        plan = explain(sql)
        if (blocks := blocks_of(plan)) > most_blocks:
            yield f"{blocks} blocks: {sql[:600]}"
        for node in nodes(plan):
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in ("agents_run", "agents_attempt"):
                yield f"reads all of {node['Relation Name']}: {sql[-600:]}"


def overview_problems(admin: Client) -> Iterator[str]:
    """All of these runs are of its thirty days: it may look at each of them, but once, and without sorting them."""
    with CaptureQueriesContext(connection) as captured:
        assert admin.get("/overview/").status_code == 200
    plans = [explain(query["sql"]) for query in captured if "agents_run" in query["sql"]]
    readings = [plan for plan in plans if blocks_of(plan) > PAGE_BLOCKS]
    if len(readings) != 1:
        yield f"the overview reads the runs {len(readings)} times"
    if any(plan.get("Temp Written Blocks") for plan in plans):
        yield "the overview has the database write to its disk"


def explain(sql: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
        found = cursor.fetchone()[0]
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def blocks_of(plan: dict[str, Any]) -> int:
    found: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
