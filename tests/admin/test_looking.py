"""The admin: everything can be looked at, by staff only, and no history can be edited."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client

from agents.admin import filters, search
from agents.admin.runs import RunAdmin
from agents.models import ApiToken, Attempt, Run
from tests.admin.pages import get

# Looking -----------------------------------------------------------------------------------------------------------


def test_everything_has_a_list_and_a_page(admin, run, user):
    token = ApiToken.objects.get()
    attempt = run.attempts.get()
    for path in ("", "agents/", "agents/agent/definitions/"):
        get(admin, path)
    for model, pk in (("agent", run.agent_id), ("run", run.pk), ("attempt", attempt.pk), ("apitoken", token.pk)):
        get(admin, f"agents/{model}/")
        get(admin, f"agents/{model}/{pk}/change/")


def test_every_page_of_the_admin_names_its_icon(admin, run):
    for path in ("", "agents/run/", f"agents/run/{run.pk}/change/"):
        assert re.search(r'<link rel="icon" href="/static/agents/favicon[^"]*\.svg"', get(admin, path))


@pytest.mark.parametrize(
    "query",
    [
        *("?q=hello", "?q=" + "x" * 50, "?status__exact=queued", "?engine=docker", "?error_code=x", "?o=7.-3"),
        *("?p=999999", "?p=-1", "?p=x", "?engine=%00", "?_facets=True", "?q=01a1-%00x"),
    ],
)
def test_runs_are_searched_and_filtered(admin, run, query):
    if "%00" in query:
        admin.raise_request_exception = False
        assert admin.get(f"/admin/agents/run/{query}").status_code in (200, 302, 400)
    else:
        get(admin, f"agents/run/{query}")


def test_agents_are_searched_and_lead_to_their_runs(admin, run):
    page = get(admin, f"agents/agent/?q={run.agent_id}")
    assert f"/admin/agents/run/?agent__id__exact={run.agent_id}" in page
    assert "run 1" in get(admin, f"agents/run/?agent__id__exact={run.agent_id}")


def test_an_id_or_its_beginning_finds_and_text_is_found_in_the_newest(admin, run, monkeypatch):
    other = Run.objects.create(agent=run.agent, number=2, input="needle", status="failed", error_message="broke")

    def found(query: str, model: str = "run") -> set[str]:
        return set(re.findall(r'name="_selected_action" value="([^"]+)"', get(admin, f"agents/{model}/?q={query}")))

    Run.objects.filter(pk=run.pk).update(input="haystack")
    both = {str(run.pk), str(other.pk)}
    assert found(str(other.pk)) == found(str(other.pk).replace("-", "").upper()) == {str(other.pk)}
    assert found(str(run.agent_id)) == both
    assert found("needle") == found("BROKE") == {str(other.pk)}
    assert found("facade") == set(), "a word that could begin an id"
    assert found(str(run.agent_id), "agent") == {str(run.agent_id)}
    assert found("haystack") == {str(run.pk)}
    monkeypatch.setattr(search, "SEARCHED_MOST", 1)
    assert found("needle") == {str(other.pk)}
    assert found("haystack") == set()
    assert "text in the newest" in get(admin, "agents/run/?q=hello")


def test_a_list_says_no_number_it_does_not_know(admin, run, monkeypatch):
    monkeypatch.setattr(RunAdmin, "list_per_page", 2)
    for number in range(2, 6):
        Run.objects.create(agent=run.agent, number=number, input="x")
    seen, address = [], "agents/run/"
    while address:
        page = get(admin, address)
        seen += re.findall(r'name="_selected_action" value="([^"]+)"', page)
        assert not re.search(r"\d+ (runs|results|total)", page)
        older = re.search(r'<a href="([^"]+)">Older</a>', page)
        address = "agents/run/" + html.unescape(older[1]) if older else ""
    assert len(seen) == len(set(seen)) == 5
    assert "Newer" in page


def test_choices_of_a_filter_are_what_there_is(admin, run):
    for number, code in enumerate(["time-limit", "a-code", "", "time-limit"], 2):
        Run.objects.create(agent=run.agent, number=number, input="x", error_code=code)
    assert filters.values(Run, "error_code") == ["a-code", "time-limit"]
    assert filters.values(Attempt, "outcome") == ["exit"]
    assert "?error_code=a-code" in get(admin, "agents/run/")


def test_definitions_are_shown_without_the_values_of_their_environment(admin, settings):
    page = get(admin, "agents/agent/definitions/")
    assert "SECRET" in page
    assert "nobody" not in page
    settings.DEFINITIONS_FILE.write_text("[definitions.demo]\nimage = 3\n")
    page = get(admin, "agents/agent/definitions/")
    assert "line 2" in page
    assert "demo" in page


def test_the_admin_is_for_staff_only(user, run):
    client = Client()
    for _ in range(2):
        for path in ("agents/run/", "agents/agent/definitions/", f"agents/run/{run.pk}/timeline/"):
            assert client.get(f"/admin/{path}").status_code == 302
        client.force_login(user)


# Editing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["agent", "run", "attempt"])
def test_history_can_not_be_edited(admin, run, model):
    pk = {"agent": run.agent_id, "run": run.pk, "attempt": run.attempts.get().pk}[model]
    assert admin.get(f"/admin/agents/{model}/add/").status_code == 403
    assert admin.post(f"/admin/agents/{model}/{pk}/change/", {"status": "completed"}).status_code == 403
    assert admin.post(f"/admin/agents/{model}/{pk}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in get(admin, f"agents/{model}/")
    form = re.sub(
        r'<input type="hidden"[^>]*>', "", get(admin, f"agents/{model}/{pk}/change/").split('id="content"')[1]
    )
    assert "<input" not in form
