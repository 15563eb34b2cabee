"""No page shows or changes anything of another user's, and none can be seen without a login.

The pages are those of agents.pages.urls, so a new one is tested without being named here.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern

from agents.models import Agent, Run
from agents.pages.urls import urlpatterns

pytestmark = pytest.mark.django_db
OWN = ("list", "new", "overview", "bulk")
"""Pages that name no agent: they show the reader's own ones (tests/pages/test_list.py, test_overview.py,
test_new.py)."""


def address(pattern: URLPattern, agent: Agent, run: Run) -> str:
    route = str(pattern.pattern)
    for name, value in {"<uuid:agent_id>": agent.pk, "<uuid:run_id>": run.pk, "<path:path>": "a.txt"}.items():
        route = route.replace(name, str(value))
    assert "<" not in route, "a page with another parameter needs a value here"
    return f"/{route}"


def statuses(client: Client, path: str) -> set[tuple[int, str]]:
    answers: list[Any] = [client.get(path), client.post(path, {})]
    return {
        (answer.status_code, answer.get("Location", "").partition("?")[0])
        for answer in answers
        if answer.status_code != 405  # the page has no such method
    }


@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda pattern: pattern.name)
def test_page_asks_for_a_login(pattern: URLPattern, agent: Agent, run: Run) -> None:
    assert statuses(Client(), address(pattern, agent, run)) == {(302, "/login/")}


@pytest.mark.parametrize(
    "pattern", [one for one in urlpatterns if one.name not in OWN], ids=lambda pattern: pattern.name
)
def test_page_of_somebody_elses_agent_is_not_found(
    pattern: URLPattern, agent: Agent, run: Run, stranger: Client
) -> None:
    assert statuses(stranger, address(pattern, agent, run)) == {(404, "")}


def test_pages_that_name_no_agent_are_listed():
    assert {one.name for one in urlpatterns if "<" not in str(one.pattern)} == set(OWN)
