"""The page of all runs of an agent: found by status, a page at a time."""

from __future__ import annotations

import pytest
from django.test import Client

from agents.models import Agent, Run
from tests.pages import story
from tests.pages.reader import html_of, text_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_yesterdays_failed_run_is_found_by_its_status(run: Run, client: Client) -> None:
    failed = story.new_run(run.agent, "Too <much>.")
    story.write(failed, story.FAILED)
    path = f"/agents/{run.agent_id}/runs/"
    assert text_of(client, path).index("Too <much>.") < text_of(client, path).rindex("Analyse the sales.")
    only = html_of(client, f"{path}?status=failed")
    assert f'href="/runs/{failed.pk}/"' in only
    assert f'href="/runs/{run.pk}/"' not in only
    assert "out-of-memory" in only
    assert "No run is waiting." in text_of(client, f"{path}?status=waiting")
    assert client.get(f"{path}?status=nonsense").status_code == 200


def test_all_runs_have_pages_that_keep_the_filter(agent: Agent, client: Client) -> None:
    Run.objects.bulk_create(Run(agent=agent, number=number, input=f"number {number}") for number in range(1, 120))
    first = html_of(client, f"/agents/{agent.pk}/runs/?status=queued")
    assert first.count('class="run-number"') == 50
    assert 'href="?page=2&amp;status=queued"' in first
    last = html_of(client, f"/agents/{agent.pk}/runs/?page=3")
    assert last.count('class="run-number"') == 19
