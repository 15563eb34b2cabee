"""What an administrator can do: release a lease, cancel, retry; asked first, and noted with who did it."""

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

from agents.admin import operations
from agents.fleet import workers
from agents.log import lease as leases
from agents.models import Run
from streaming.errors import Fenced
from streaming.model.cursor import Cursor
from streaming.model.events import Event, draft
from streaming.model.events import now as now_text
from streaming.models import Log
from streaming.store import journal
from tests.admin.pages import get
from tests.api.conftest import write


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
    monkeypatch.setattr(workers, "ask", lambda: [{"worker": "new-worker"}])
    assert "worker new-worker answers" in act(admin, "release_lease", run)
    monkeypatch.setattr(workers, "ask", lambda: None)
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
