"""The admin: everything can be looked at, no history can be edited, cancel and retry are actions."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.utils.timezone import now
from pydantic import SecretStr

from agents import access, presence
from agents import lease as leases
from agents.admin import filters, operations, search, timeline
from agents.admin.runs import RunAdmin
from agents.models import ApiToken, Attempt, ProviderKey, Run
from agents.providers import keys
from streaming import journal
from streaming.cursor import Cursor
from streaming.errors import Fenced
from streaming.events import Event, draft
from streaming.events import now as now_text
from streaming.models import Log
from tests.api.conftest import write


@pytest.fixture
def admin(user) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def run(api, agent_id) -> Run:
    run_id = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "<b>Hello</b>"})[1]["id"]
    Attempt.objects.create(
        run_id=run_id, number=1, engine="docker", worker="w", exit_code=0, outcome="exit", finished_at=now()
    )
    return Run.objects.get(pk=run_id)


def get(admin: Client, path: str) -> str:
    response = admin.get(f"/admin/{path}")
    assert response.status_code == 200, response.content[:300]
    return response.content.decode()


# Looking -----------------------------------------------------------------------------------------------------------


def test_everything_has_a_list_and_a_page(admin, run, user):
    token = ApiToken.objects.get()
    attempt = run.attempts.get()
    for path in ("", "agents/", "agents/agent/definitions/"):
        get(admin, path)
    for model, pk in (("agent", run.agent_id), ("run", run.pk), ("attempt", attempt.pk), ("apitoken", token.pk)):
        get(admin, f"agents/{model}/")
        get(admin, f"agents/{model}/{pk}/change/")


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


# Actions -----------------------------------------------------------------------------------------------------------


def ask(client: Client, action: str, *runs: Run, model: str = "run", **more: str) -> str:
    """Choose it in the list."""
    data = {"action": action, "_selected_action": [str(run.pk) for run in runs], "index": "0", **more}
    return html.unescape(client.post(f"/admin/agents/{model}/", data, follow=True).content.decode())


def act(client: Client, action: str, *runs: Run, model: str = "run") -> str:
    """And say yes, as its form does."""
    asked = ask(client, action, *runs, model=model)
    form = re.findall(
        r'name="(_selected_action|action|confirmed)" value="([^"]*)"', asked.split('id="content-main"')[-1]
    )
    data: dict[str, list[str]] = {}
    for name, value in form:
        data.setdefault(name, []).append(value)
    return html.unescape(client.post(f"/admin/agents/{model}/", data, follow=True).content.decode())


def history_of(client: Client, run: Run, model: str = "run") -> str:
    return html.unescape(get(client, f"agents/{model}/{run.pk}/history/"))


def hold(agent_id: Any, owner: str, seconds: float = 30) -> None:
    Log.objects.filter(agent_id=agent_id).update(
        owner=owner, lease_until=Now() + timedelta(seconds=seconds), epoch=F("epoch") + 1
    )


def test_nothing_is_done_before_the_question_is_answered(admin, run):
    page = ask(admin, "cancel", run)
    assert "Cancel these runs?" in page
    assert str(run.pk) in page
    run.refresh_from_db()
    assert run.cancel_requested_at is None
    assert not LogEntry.objects.exists()


def test_what_was_done_is_in_the_history_with_who_did_it(admin, run):
    act(admin, "cancel", run)
    act(admin, "retry", run)
    page = history_of(admin, run)
    new = Run.objects.exclude(pk=run.pk).get()
    for said in ("Cancelled.", f"Retried as run 2 ({new.pk}).", "root"):
        assert said in page
    assert "No" not in re.findall(r"<td>(.*?)</td>", page)
    assert act(admin, "cancel", run).count("has ended already") == 1
    assert LogEntry.objects.count() == 2, "what was refused is not in it"


def test_no_more_are_done_at_once_than_somebody_waits_for(admin, run, monkeypatch):
    monkeypatch.setattr(operations, "ACTED_MOST", 0)
    assert "Choose 0 at most." in ask(admin, "cancel", run)
    assert "Choose 0 at most." in ask(admin, "cancel", run, confirmed="1", select_across="1")
    run.refresh_from_db()
    assert run.cancel_requested_at is None


# Leases ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["run", "agent"])
def test_the_lease_of_a_silent_worker_is_released_and_another_takes_over(admin, run, model):
    hold(run.agent_id, "dead-worker")
    one = run if model == "run" else run.agent
    assert leases.acquire(str(run.agent_id), "another") is None
    assert "held by dead-worker" in ask(admin, "release_lease", one, model=model)
    assert leases.acquire(str(run.agent_id), "another") is None, "a question releases nothing"
    assert "1 done" in act(admin, "release_lease", one, model=model)
    assert "Released the lease of worker dead-worker." in history_of(admin, one, model)
    assert leases.acquire(str(run.agent_id), "another") is not None


def test_who_lost_its_lease_so_can_not_write_once_another_has_it(run):
    """Should the worker live after all: the fence keeps it out, not its good will."""
    agent_id, run_id = str(run.agent_id), str(run.pk)
    old = leases.acquire(agent_id, "slow-worker")
    assert old is not None
    journal.begin(agent_id, old.epoch, [], "")
    assert leases.expire(agent_id, "slow-worker")
    write(agent_id, [draft("log", run_id, content="of the new writer")])
    seq = journal.head(agent_id).tip.seq
    late = Event("log", agent_id, run_id, old.epoch, seq + 1, now_text(), {"stream": "stdout", "content": "late"})
    stored = [journal.Stored(Cursor(late.epoch, late.seq), late.encode())]
    with pytest.raises(Fenced):
        journal.commit(journal.Commit(agent_id, old.epoch, stored, ""))
    assert leases.renew([old]) == [old], "its next heartbeat tells it"
    assert journal.head(agent_id).tip.seq == seq


def test_who_lives_has_its_lease_again_if_nobody_was_faster(run):
    held = leases.acquire(str(run.agent_id), "living-worker")
    assert held is not None
    assert leases.expire(str(run.agent_id), "living-worker")
    assert leases.renew([held]) == []
    assert leases.acquire(str(run.agent_id), "another") is None


def test_only_the_lease_that_was_meant_is_released(admin, run, monkeypatch):
    hold(run.agent_id, "new-worker")
    assert not leases.expire(str(run.agent_id), "old-worker")
    monkeypatch.setattr(presence, "ask", lambda: [{"worker": "new-worker"}])
    assert "worker new-worker answers" in act(admin, "release_lease", run)
    monkeypatch.setattr(presence, "ask", lambda: None)
    assert "nobody knows whether the worker lives" in act(admin, "release_lease", run)
    assert leases.acquire(str(run.agent_id), "another") is None
    assert not LogEntry.objects.exists()
    Log.objects.update(owner=None, lease_until=None)
    assert "nobody holds its lease" in act(admin, "release_lease", run)


# Cancel and retry --------------------------------------------------------------------------------------------------


def test_cancel_ends_a_queued_run(admin, run):
    assert "Cancel these runs: 1 done." in act(admin, "cancel", run)
    run.refresh_from_db()
    assert (run.status, run.cancel_reason) == ("cancelled", "cancelled by root")


def test_retry_makes_a_new_run(admin, run):
    act(admin, "cancel", run)
    assert "Retry these runs: 1 done." in act(admin, "retry", run)
    new = Run.objects.exclude(pk=run.pk).get()
    assert (new.input, new.retry_of) == (run.input, run)


def test_what_can_not_be_retried_is_said(admin, run, settings):
    settings.DEFINITIONS_FILE.write_text("[definitions.other]\nimage = 'x'\n")
    assert "no definition 'demo'" in act(admin, "retry", run)
    assert Run.objects.count() == 1


def test_who_may_only_look_has_no_actions(run):
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_run"))
    client = Client()
    client.force_login(viewer)
    assert 'value="cancel"' not in get(client, "agents/run/")
    ask(client, "cancel", run, confirmed="1")
    run.refresh_from_db()
    assert run.cancel_requested_at is None


# Timeline ----------------------------------------------------------------------------------------------------------


def test_the_timeline_joins_deltas_and_escapes_what_agents_write(admin, run):
    run_id = str(run.pk)
    hostile = "<script>alert(1)</script>"
    write(
        str(run.agent_id),
        [
            draft("status", run_id, status="running"),
            *(draft("text", run_id, message_id="m1", content=part) for part in ("Hel", "lo ", hostile)),
            draft("tool-call", run_id, call_id="c1", name=hostile, arguments={hostile: [1]}),
            draft("tool-result", run_id, call_id="c1", result={"a": hostile}),
            draft("files", run_id, changes=[{"path": hostile, "change": "added", "size": 3}]),
            draft("usage", run_id, model="m", input_tokens=1, output_tokens=2),
            draft("error", run_id, code="time-limit", message=hostile),
            draft("done", run_id, status="failed"),
        ],
    )
    page = get(admin, f"agents/run/{run.pk}/timeline/")
    assert hostile not in page
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert f"Hello {hostile}" in text
    assert "4\u20136" in text
    for said in ("time-limit", "tool-call", f"added {hostile} (3 bytes)", "failed"):
        assert said in text


def test_the_timeline_is_that_of_one_run(admin, run, api):
    other = api.call("POST", f"/api/agents/{run.agent_id}/runs", {"input": "something else"})[1]["id"]
    assert "something else" not in get(admin, f"agents/run/{run.pk}/timeline/")
    assert "something else" in get(admin, f"agents/run/{other}/timeline/")


def test_a_long_timeline_comes_in_pages(admin, run, monkeypatch):
    monkeypatch.setattr(timeline, "LINES_MOST", 3)
    run_id = str(run.pk)
    write(str(run.agent_id), [draft("status", run_id, status="running", reason=f"reason {at}") for at in range(5)])
    first = get(admin, f"agents/run/{run.pk}/timeline/")
    assert "reason 0" in first
    assert "reason 4" not in first
    after = re.search(r"\?after=([0-9-]+)", first)
    assert after
    second = get(admin, f"agents/run/{run.pk}/timeline/?after={after[1]}")
    assert "reason 3" in second
    assert "reason 0" not in second


def test_a_timeline_of_an_old_agent_begins_with_its_run(api, run, monkeypatch):
    second = Run.objects.get(pk=api.call("POST", f"/api/agents/{run.agent_id}/runs", {"input": "again"})[1]["id"])
    asked, real = [], journal.page

    def page(agent_id, at):
        asked.append(at)
        return real(agent_id, at)

    monkeypatch.setattr(journal, "page", page)
    assert [line.type for line in timeline.of(second).lines] == ["message", "status"]
    assert [at.seq for at in asked] == [2]


def test_a_timeline_says_that_its_events_were_trimmed(admin, api, run):
    assert "were trimmed" not in get(admin, f"agents/run/{run.pk}/timeline/")
    assert api.get(f"/api/runs/{run.pk}")["events_trimmed"] is False
    run_id = str(run.pk)
    write(str(run.agent_id), [draft("status", run_id, status="running"), draft("error", run_id, code="x", message="y")])
    write(str(run.agent_id), [draft("done", run_id, status="failed")])
    for keep_from in (3, 100):  # its first events, all of them
        journal.trim(str(run.agent_id), keep_from)
        assert "were trimmed" in get(admin, f"agents/run/{run.pk}/timeline/")
        told = api.get(f"/api/runs/{run.pk}")
        assert (told["events_trimmed"], told["status"], told["error"]["code"]) == (True, "failed", "x")
    assert "Hello" in get(admin, f"agents/run/{run.pk}/change/")
    assert [one["id"] for one in api.get(f"/api/agents/{run.agent_id}/runs")["runs"]] == [run_id]
    assert api.get(f"/api/agents/{run.agent_id}/snapshot")["state"]["runs"][0]["status"] == "failed"


def test_a_long_text_is_clipped(admin, run):
    write(str(run.agent_id), [draft("log", str(run.pk), content="x" * 100_000)])
    page = get(admin, f"agents/run/{run.pk}/timeline/")
    assert "96000 more characters" in page
    assert len(page) < 50_000


# Tokens ------------------------------------------------------------------------------------------------------------


def test_a_new_token_is_shown_once_and_works(admin, user):
    response = admin.post("/admin/agents/apitoken/add/", {"user": user.pk, "name": "laptop"})
    assert "no-store" in response["Cache-Control"]
    found = re.search(r'id="token">(as_[^<]+)<', response.content.decode())
    assert found
    assert access.user_of_token(found[1]) == user
    assert found[1] not in get(admin, "agents/apitoken/")
    row = ApiToken.objects.get(name="laptop")
    page = get(admin, f"agents/apitoken/{row.pk}/change/")
    assert found[1] not in page
    assert row.sha256 not in page


def test_a_revoked_token_works_no_more(admin, user):
    token = access.create_token(user, "laptop")
    row = ApiToken.objects.get(name="laptop")
    admin.post(f"/admin/agents/apitoken/{row.pk}/delete/", {"post": "yes"})
    assert access.user_of_token(token) is None


def test_a_token_can_not_be_changed(admin, user):
    access.create_token(user, "laptop")
    row = ApiToken.objects.get(name="laptop")
    assert admin.post(f"/admin/agents/apitoken/{row.pk}/change/", {"name": "x"}).status_code == 403


# Keys of providers -------------------------------------------------------------------------------------------------


def test_a_key_goes_in_and_never_comes_out(admin, settings):
    key = "sk-proj-Zq8vT3nLw0xKd7RbYcPf"
    for wrong in ({"provider": "nobody", "key": key}, {"provider": "openai", "key": key + " \u00fc"}):
        page = admin.post("/admin/agents/providerkey/add/", wrong)
        assert page.status_code == 200
        assert key[:8] not in page.content.decode()
    admin.post("/admin/agents/providerkey/add/", {"provider": "openai", "key": f" {key} "})
    row = ProviderKey.objects.get()
    assert keys.decrypt(row.ciphertext) == key
    assert row.updated_by == User.objects.get(username="root")
    admin.post(f"/admin/agents/providerkey/{row.pk}/change/", {"key": key + "2"})
    row.refresh_from_db()
    assert keys.decrypt(row.ciphertext) == key + "2"
    pages = [get(admin, f"agents/providerkey/{path}") for path in ("", f"{row.pk}/change/", f"{row.pk}/history/")]
    pages += [get(admin, ""), str(list(LogEntry.objects.values()))]
    parts = [key[at : at + 6] for at in range(len(key) - 5)]
    assert [part for page in pages for part in parts if part in page] == []
    assert row.ciphertext not in "".join(pages)
    assert LogEntry.objects.count() == 2, "who and when is kept"


def test_a_key_stored_under_another_secret_is_of_no_use_and_says_so(admin, settings):
    admin.post("/admin/agents/providerkey/add/", {"provider": "gemini", "key": "AIza-secret"})
    settings.PROVIDER_KEYS = {**settings.PROVIDER_KEYS, "gemini": SecretStr("")}
    assert ">yes<" in get(admin, "agents/providerkey/")
    settings.SECRET_KEY = "another"
    admin.force_login(User.objects.get(username="root"))
    assert "enter it again" in get(admin, "agents/providerkey/")
