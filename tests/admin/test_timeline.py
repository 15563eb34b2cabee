"""The timeline of a run in the admin: its events in order, joined, clipped, and as text."""

from __future__ import annotations

import html
import re

from agents.admin import timeline
from agents.log import intents
from agents.models import Run
from streaming.model.events import draft
from streaming.store import journal
from tests.admin.pages import get
from tests.api.conftest import write


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


def test_a_worker_that_takes_a_run_over_reads_its_stretch_of_the_log_only(api, run, monkeypatch):
    run_id = api.call("POST", f"/api/agents/{run.agent_id}/runs", {"input": "again"})[1]["id"]
    write(str(run.agent_id), [draft("status", run_id, status="running")])
    asked, real = [], journal.page

    def page(agent_id, at):
        asked.append(at.seq)
        return real(agent_id, at)

    monkeypatch.setattr(journal, "page", page)
    events = intents.load_run_events(str(run.agent_id), run_id)
    assert [event.type for event in events] == ["message", "status", "status"]
    assert asked == [2]


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
