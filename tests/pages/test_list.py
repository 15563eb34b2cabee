"""The list of agents: found, filtered, a page at a time, several at once; and nobody else's anywhere."""

from __future__ import annotations

import html as html_of
import re
from collections.abc import Collection
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from agents.models import Agent, Run, Spending
from agents.pages import search
from agents.runs import commands
from tests.pages.hostile import HOSTILE

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]
writes_logs = pytest.mark.django_db(transaction=True)
"""By threads of their own, which see only what is committed."""


def titles(client: Client, **query: str) -> list[str]:
    page = client.get(f"/?{urlencode(query)}")
    assert page.status_code == 200
    found = re.findall(r'class="agent-title"><bdi>(.*?)</bdi>', page.content.decode(), re.DOTALL)
    return [html_of.unescape(title) for title in found]


def make(owner: User, title: str, *, prompt: str = "", minutes_ago: float = 0, **fields: object) -> Agent:
    """Straight into the tables: the list looks at nothing else."""
    agent = Agent.objects.create(**{"owner": owner, "definition": "demo", "title": title, **fields})
    if prompt:
        Run.objects.create(agent=agent, number=1, input=prompt)
    Agent.objects.filter(pk=agent.pk).update(updated_at=now() - timedelta(minutes=minutes_ago))
    agent.refresh_from_db()
    return agent


# Finding --------------------------------------------------------------------------------------------------------------


def test_agents_are_found_by_title_definition_prompt_and_id(ada: User, client: Client) -> None:
    report = make(ada, "Quarterly Report", prompt="Summarise the sales of Ghent")
    make(ada, "Weather", definition="forecaster")
    make(ada, "Other", prompt="nothing")
    assert titles(client, q="quarterly") == ["Quarterly Report"]
    assert titles(client, q="forecast") == ["Weather"]
    assert titles(client, q="GHENT") == ["Quarterly Report"]
    assert titles(client, q=str(report.pk)) == titles(client, q=report.pk.hex) == ["Quarterly Report"]
    assert "Quarterly Report" in titles(client, q=str(report.pk)[:20])
    assert titles(client, q="100%") == titles(client, q="_") == [], "signs of patterns stand for themselves"


def test_agents_without_a_title_are_told_apart_and_found_by_their_names(ada: User, client: Client) -> None:
    """Ids of one minute begin alike: the first digits are the time."""
    names = {str(make(ada, "")) for _ in range(5)}
    assert set(titles(client)) == names
    assert len(names) == 5
    for name in names:
        assert titles(client, q=name.removeprefix("demo ").upper()) == [name]


def test_filters_narrow_and_say_when_nothing_is_left(ada: User, client: Client) -> None:
    make(ada, "One", status="failed")
    make(ada, "Two", status="completed", definition="other")
    make(ada, "Gone", status="failed", archived_at=now())
    assert titles(client, status="failed") == ["One"]
    assert titles(client, definition="other") == ["Two"]
    assert titles(client, archived="1") == ["Gone"]
    assert titles(client, status="failed", definition="other") == []
    page = client.get("/?status=failed&definition=other").content.decode()
    assert "No agent matches" in page
    assert "No agents yet" not in page
    assert "Nothing is archived" not in client.get("/?archived=1").content.decode()


def test_prompts_are_looked_through_of_the_latest_agents_only(ada: User, client: Client, monkeypatch) -> None:
    monkeypatch.setattr(search, "PROMPTS_OF", 2)
    for age in range(3):
        make(ada, f"{age} old", prompt="needle", minutes_ago=age)
    assert titles(client, q="needle") == ["0 old", "1 old"]
    assert "the prompts of your 2 latest agents" in client.get("/").content.decode()


def test_pages_hold_each_agent_once_the_latest_first(ada: User, client: Client, monkeypatch) -> None:
    monkeypatch.setattr(search, "PER_PAGE", 3)
    at = now()
    Agent.objects.bulk_create(Agent(owner=ada, definition="demo", title=str(n), status="failed") for n in range(8))
    Agent.objects.update(updated_at=at)  # the hardest case: all at the same moment
    pages, address = [], "/?status=failed"
    while address:
        text = client.get(address).content.decode()
        pages.append(re.findall(r'class="agent-title"><bdi>(.*?)</bdi>', text))
        found = re.search(r'rel="next" href="([^"]+)"', text)
        address = "/" + html_of.unescape(found[1]) if found else ""
    assert [len(page) for page in pages] == [3, 3, 2]
    assert sorted(title for page in pages for title in page) == [str(n) for n in range(8)]
    newer = re.search(r'rel="prev" href="([^"]+)"', text)
    assert newer
    assert "status=failed" in newer[1]
    text = client.get("/" + html_of.unescape(newer[1])).content.decode()
    assert re.findall(r'class="agent-title"><bdi>(.*?)</bdi>', text) == pages[1]


def test_a_page_costs_the_same_few_queries_however_many_agents(ada: User, client: Client) -> None:
    make(ada, "first")
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get("/")
    for n in range(30):
        make(ada, str(n), prompt="x")
    with CaptureQueriesContext(connection) as many:
        assert len(titles(client)) == 31
    assert len(many) == len(few) <= 7


@pytest.mark.parametrize(
    "query",
    [
        {"q": "\0x"},
        {"q": "x" * 5000},
        {"q": "%' OR 1=1 --"},
        {"status": "nonsense"},
        {"older_than": "nonsense"},
        {"older_than": "9999999999999999-" + "f" * 32},
        {"newer_than": "0-" + "0" * 32, "older_than": "1-" + "0" * 32},
        {"page": "2"},
    ],
)
def test_no_query_is_too_strange(ada: User, client: Client, query: dict[str, str]) -> None:
    make(ada, "x")
    assert client.get(f"/?{urlencode(query)}").status_code == 200


def test_rows_say_what_runs_since_when_and_what_it_cost(ada: User, client: Client) -> None:
    agent = make(ada, "Busy", status="running")
    Run.objects.create(agent=agent, number=1, input="x", status="running", started_at=now())
    Spending.objects.create(scope=f"agent:{agent.pk}", cost_usd=1.5)
    page = client.get("/").content.decode()
    assert "data-since" in page
    assert "$1.50" in page


# Whose ----------------------------------------------------------------------------------------------------------------


def test_nobody_elses_agent_is_in_a_list_or_found(ada: User, stranger: Client) -> None:
    secret = make(ada, "Secret plan", prompt="hidden words", status="failed")
    User.objects.filter(username="eve").update(is_superuser=True)
    for query in ({}, {"q": "secret"}, {"q": "hidden"}, {"q": str(secret.pk)}, {"status": "failed"}):
        assert titles(stranger, **query) == []
    assert "Secret" not in stranger.get(f"/?q=secret&older_than={search.Place.of(secret)}").content.decode()


def test_nobody_elses_agent_is_touched_by_a_bulk_action(ada: User, stranger: Client) -> None:
    agent = make(ada, "Mine", prompt="work")
    for action in ("stop", "archive", "unarchive"):
        page = bulk(stranger, action, agent)
        assert "1 is not there any more." in page
        assert "Mine" not in page
    agent.refresh_from_db()
    assert agent.archived_at is None
    assert not Run.objects.exclude(cancel_requested_at=None).exists()


def test_titles_and_definitions_stay_text(ada: User, client: Client) -> None:
    for words in HOSTILE:
        Agent.objects.all().delete()
        check_inert(ada, client, words)


def check_inert(ada: User, client: Client, words: str) -> None:
    agent = make(ada, words[:200], definition=words[:100])
    make(ada, "another", definition=words[:100])
    pages = [client.get("/"), client.get("/?" + urlencode({"q": words[:200], "definition": words[:100]}))]
    pages.append(client.post("/agents/bulk/", {"action": "stop", "agent": [a.pk for a in Agent.objects.all()]}))
    for page in pages:
        assert_inert(page.content.decode())
    assert agent.title.strip() in [title.strip() for title in titles(client, q=words[:200])]


class Reader(HTMLParser):
    """What a browser would make of a page: its tags, and what in it would run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            leads = name in ("href", "src", "action", "formaction", "xlink:href")
            if name.startswith("on") or (leads and not re.match(r"(/|\?|#|$)", value or "")):
                self.running.append(f"{tag} {name}={value}")


def assert_inert(page: str, more_tags: Collection[str] = ()) -> None:
    """No tag that our templates do not have, no attribute that runs anything or leads out of the site."""
    reader = Reader()
    reader.feed(page)
    known = {"html", "head", "meta", "title", "link", "script", "body", "a", "svg", "path", "header", "nav", "main"}
    known |= {"form", "input", "span", "button", "div", "h1", "h2", "p", "label", "select", "option", "ul", "li"}
    known |= {"bdi", "time", "code"}
    assert reader.tags <= known | {*more_tags}, reader.tags - known
    assert reader.running == []
    scripts = re.findall(r"<script[^>]*>", page)
    assert all(re.match(r"""<script (type="module" )?src="/static/[^"]*"( [^"]*)?>""", tag) for tag in scripts), scripts


# Several at once ------------------------------------------------------------------------------------------------------


def bulk(client: Client, action: str, *agents: Agent, **more: str) -> str:
    data = {"action": action, "agent": [str(agent.pk) for agent in agents], **more}
    return html_of.unescape(client.post("/agents/bulk/", data, follow=True).content.decode())


@writes_logs
def test_one_agent_is_stopped_at_once(ada: User, client: Client) -> None:
    agent, run = commands.create_agent(ada, "demo", input="work")
    assert run is not None
    assert "1 stopped." in bulk(client, "stop", agent)
    run.refresh_from_db()
    assert (run.status, run.cancel_reason) == ("cancelled", "stopped by ada")


@writes_logs
def test_more_than_one_is_asked_about_first_and_the_answer_says_what_became_of_each(ada: User, client: Client) -> None:
    agents = [commands.create_agent(ada, "demo", input=f"work {n}")[0] for n in range(3)]
    idle, _ = commands.create_agent(ada, "demo", title="Idle")
    asked = bulk(client, "stop", *agents, idle)
    assert "Stop 4 agents?" in asked
    assert "work 2" in asked
    assert not Run.objects.exclude(cancel_requested_at=None).exists(), "a question stops nothing"
    assert "3 stopped, 1 was not running." in bulk(client, "stop", *agents, idle, confirmed="1")
    assert set(Run.objects.values_list("status", flat=True)) == {"cancelled"}


@writes_logs
def test_stop_ends_what_is_queued_too(ada: User, client: Client) -> None:
    agent, _ = commands.create_agent(ada, "demo", input="first")
    commands.submit_run(agent, "second")
    bulk(client, "stop", agent)
    assert list(agent.runs.values_list("status", flat=True)) == ["cancelled", "cancelled"]


def test_agents_are_archived_and_brought_back(ada: User, client: Client) -> None:
    one, two = make(ada, "One"), make(ada, "Two", archived_at=now())
    assert "1 archived, 1 was archived before." in bulk(client, "archive", one, two, confirmed="1")
    assert titles(client) == []
    assert sorted(titles(client, archived="1")) == ["One", "Two"]
    assert "2 brought back." in bulk(client, "unarchive", one, two, confirmed="1")
    assert sorted(titles(client)) == ["One", "Two"]


def test_the_list_comes_back_as_it_was(ada: User, client: Client) -> None:
    agent = make(ada, "One", status="failed")
    data = {"action": "archive", "agent": agent.pk, "list": "status=failed&q=one&next=//example.org"}
    assert client.post("/agents/bulk/", data)["Location"] == "/?q=one&status=failed"


@pytest.mark.parametrize("data", [{}, {"action": "stop"}, {"action": "delete", "agent": "x"}, {"agent": ["", "x\0"]}])
def test_nothing_chosen_is_said(client: Client, data: dict[str, str]) -> None:
    assert "Tick the agents first" in client.post("/agents/bulk/", data, follow=True).content.decode()


def test_bulk_actions_need_a_login_a_csrf_token_and_a_post(ada: User) -> None:
    agent = make(ada, "One")
    client = Client(enforce_csrf_checks=True)
    assert client.get("/agents/bulk/").status_code in (302, 405)
    client.force_login(ada)
    assert client.get("/agents/bulk/").status_code == 405
    assert client.post("/agents/bulk/", {"action": "archive", "agent": agent.pk}).status_code == 403
    agent.refresh_from_db()
    assert agent.archived_at is None
