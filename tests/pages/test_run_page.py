"""A run's page: who may see it, what it says, and what can be done about a run without JavaScript."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client

from agents.log import run_events
from agents.models import Agent, Run
from agents.pages import advice
from agents.runs import commands
from streaming.model.cursor import Cursor
from streaming.store import journal
from tests.pages import story
from tests.pages.reader import html_of, text_of

pytestmark = pytest.mark.django_db(transaction=True)
DOCS = Path(__file__).resolve().parents[2] / "docs"
PARTS = ("", "live/", "changes/")


# Who may see what -----------------------------------------------------------------------------------------------------


def test_somebody_elses_run_is_not_there(run: Run, stranger: Client) -> None:
    gets = [f"/runs/{run.pk}/{part}" for part in PARTS]
    gets += [f"/agents/{run.agent_id}/{part}" for part in ("changes/", "runs/")]
    posts = [f"/runs/{run.pk}/{part}" for part in ("retry/", "continue/", "stop/")]
    for response in (*map(stranger.get, gets), *map(stranger.post, posts)):
        assert response.status_code == 404
        assert "sales" not in response.content.decode()
    assert run.agent.runs.count() == 1


def test_every_page_of_a_run_asks_for_a_login(run: Run) -> None:
    for path in (*(f"/runs/{run.pk}/{part}" for part in PARTS), f"/agents/{run.agent_id}/runs/"):
        assert Client().get(path)["Location"] == f"/login/?next={path}"
    for part in ("retry/", "continue/", "stop/"):
        assert Client().post(f"/runs/{run.pk}/{part}").status_code == 302
    assert run.agent.runs.count() == 1


def test_what_changes_something_is_a_post_with_a_token(run: Run, ada: User, client: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    for part in ("retry/", "continue/", "stop/"):
        assert client.get(f"/runs/{run.pk}/{part}").status_code == 405
        assert strict.post(f"/runs/{run.pk}/{part}").status_code == 403
    assert run.agent.runs.count() == 1


# The page -------------------------------------------------------------------------------------------------------------


def test_page_says_what_the_run_did_used_and_left(run: Run, client: Client) -> None:
    run.attempts.create(number=1, engine="docker", worker="worker-1", takeovers=2, exit_code=0, outcome="exit")
    Run.objects.filter(pk=run.pk).update(engine="docker", isolation="container")
    text = text_of(client, f"/runs/{run.pk}/")
    for words in (
        "Run 1 completed",
        "Analyse the sales.",
        "Result North leads.",
        "docker, isolation: container",
        "Took 19.6 s",
        "7,345 tokens · $0.0298",
        "Model calls 3",
        "Tool calls 3",
        "1 docker worker-1 2\N{MULTIPLICATION SIGN} exit 0",
        "It waited 400 ms in the queue",
        "bash tool rm -rf old · failed",
        "Waiting for an answer question approve, by ada",
        "renamed notes.txt",
        "modified report.py +4 \N{MINUS SIGN}3",
    ):
        assert words in text, words
    assert "Continue" not in text, "there is nothing to go on with"


def test_links_lead_to_the_turn_and_to_every_event(run: Run, client: Client) -> None:
    later = story.new_run(run.agent, "And again.")
    story.write(later, story.FAILED)
    for one in (run, later):
        html = html_of(client, f"/runs/{one.pk}/")
        assert f'href="/agents/{one.agent_id}/#run-{one.pk}"' in html
        link = re.search(r'href="(/api/agents/[^"]*/events[^"]*)"', html)
        assert link
        events = client.get(unescape(link[1])).json()["events"]
        assert {event["run_id"] for event in events} == {str(one.pk)}
        assert (events[0]["type"], events[-1]["type"]) == ("message", "done")
        assert "in the admin" not in html


def test_staff_is_led_to_the_admin(run: Run, ada: User, client: Client) -> None:
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    assert f'href="/admin/agents/run/{run.pk}/timeline/"' in html_of(client, f"/runs/{run.pk}/")


def test_a_failed_run_says_what_to_do_and_can_be_continued(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Too much.")
    story.write(run, story.FAILED)
    text = text_of(client, f"/runs/{run.pk}/")
    assert "The run failed. out-of-memory The program needed more than 256 MiB." in text
    assert advice.of("out-of-memory") in text
    assert "Try again Continue" in text


def test_a_run_that_said_nothing_or_was_followed_by_another_can_only_be_tried_again(
    agent: Agent, client: Client
) -> None:
    silent = story.new_run(agent, "Nothing.")
    missing = (1.0, "error", {"code": "image-missing", "message": "It is not here."})
    story.write(silent, [story.FAILED[0], missing, story.FAILED[-1]])
    assert "Continue" not in text_of(client, f"/runs/{silent.pk}/")
    first = story.new_run(agent, "Too much.")
    story.write(first, story.FAILED)
    assert "Continue" in text_of(client, f"/runs/{first.pk}/")
    story.write(story.new_run(agent, "Less."), story.FAILED)
    assert "Continue" not in text_of(client, f"/runs/{first.pk}/")


def test_a_run_that_never_began_was_withdrawn_and_can_only_be_tried_again(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Never mind.")
    story.write(run, [(1, "done", {"status": "cancelled"})])
    text = text_of(client, f"/runs/{run.pk}/")
    assert "Run 1 cancelled Try again Withdrawn" in text
    assert "Started never" in text
    assert "Continue" not in text


def test_a_run_in_the_queue_says_so(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Later.")
    text = text_of(client, f"/runs/{run.pk}/")
    assert "Run 1 queued Stop" in text
    assert "In the queue" in text
    assert "Started not yet" in text


def test_a_run_that_is_not_in_the_log_yet_has_a_page(agent: Agent, client: Client) -> None:
    run = Run.objects.create(agent=agent, number=1, input="Soon.")
    assert "Nothing happened yet." in text_of(client, f"/runs/{run.pk}/")


def test_an_active_run_can_be_stopped_and_shows_what_it_used_so_far(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Go on.")
    story.write(run, story.ANALYSIS[:8])
    assert "1,285 tokens · $0.0049" in text_of(client, f"/runs/{run.pk}/")
    assert "so far" in text_of(client, f"/runs/{run.pk}/live/")
    assert client.post(f"/runs/{run.pk}/stop/")["Location"] == f"/runs/{run.pk}/"
    run.refresh_from_db()
    assert (run.cancel_reason, run.cancel_requested_at is not None) == ("stopped by ada", True)
    assert "Stopping…" in text_of(client, f"/runs/{run.pk}/")


def test_only_the_runs_own_events_are_shown(agent: Agent, client: Client) -> None:
    run, other = story.new_run(agent, "One."), story.new_run(agent, "Other.")
    story.write(run, story.ANALYSIS)
    story.write(other, [(30, "error", {"code": "secret-code", "message": "of another run"})])
    assert "secret-code" not in text_of(client, f"/runs/{run.pk}/")


# A long run -----------------------------------------------------------------------------------------------------------


def part_of(run: Run, client: Client, address: str) -> tuple[str, dict[str, str]]:
    """The page's text, and where its links between the parts of the run lead."""
    html = html_of(client, address)
    links = dict(re.findall(r'<a href="([^"]*)#run-timeline">(Show [^<]*)</a>', html))
    return text_of(client, address), {words: unescape(link) for link, words in links.items()}


def calls(run: Run, first: int, last: int, size: int = 4) -> list[story.Step]:
    steps: list[story.Step] = []
    for number in range(first, last):
        call = {"call_id": f"c{number}", "name": f"tool-{number}-", "arguments": {"path": "x" * size}}
        steps.append((number, "tool-call", call))
        steps.append((number + 0.5, "tool-result", {"call_id": f"c{number}", "result": "y" * size, "duration_ms": 500}))
    return steps


def test_a_long_run_is_shown_in_parts_that_lose_nothing(
    agent: Agent, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_events, "PART_EVENTS", 10)
    monkeypatch.setattr(run_events, "LATEST_EVENTS", 4)
    run = story.new_run(agent, "Long.")
    story.write(run, [(0, "status", {"status": "running"}), *calls(run, 0, 12), (20, "done", {"status": "completed"})])
    address, seen, parts = f"/runs/{run.pk}/", [], 0
    while address:
        text, links = part_of(run, client, address)
        seen += re.findall(r"tool-(\d+)-", text)
        assert ("Show the beginning" in links) == (parts > 0)
        parts += 1
        address = links.get("Show the next part", "")
    assert {int(number) for number in seen} == set(range(12))
    assert parts == 3
    text, links = part_of(run, client, f"/runs/{run.pk}/")
    assert "tool-11-" not in text
    assert "tool-11-" in text_of(client, links["Show the latest events"])


def test_a_call_that_began_in_an_earlier_part_is_shown_where_it_ends(
    agent: Agent, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = story.new_run(agent, "Long.")
    story.write(run, [(0, "status", {"status": "running"}), *calls(run, 0, 2), (20, "done", {"status": "completed"})])
    monkeypatch.setattr(run_events, "PART_EVENTS", 4)  # the prompt, two statuses, a call
    _, links = part_of(run, client, f"/runs/{run.pk}/")
    assert "Tool of an earlier part" in text_of(client, links["Show the next part"])


def test_a_page_of_a_long_run_reads_a_bounded_part_of_the_log(
    agent: Agent, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = story.new_run(agent, "Long.")
    story.write(run, [(0, "status", {"status": "running"})])
    story.write(run, calls(run, 0, 1000, 4000))  # 8 MB
    last = {"call_id": "c", "name": "tool-last-", "arguments": {}}
    story.write(
        run, [(2000, "tool-call", last), (2900, "tool-result", {"call_id": "c", "result": "", "duration_ms": 1})]
    )
    read: list[int] = []
    real = journal.page

    def page(agent_id: str, after: Cursor) -> journal.Page:
        found = real(agent_id, after)
        read.append(sum(len(stored.payload) for stored in found.events))
        return found

    monkeypatch.setattr(journal, "page", page)
    monkeypatch.setattr(run_events, "PART_BYTES", 2 * journal.PAGE_BYTES)
    monkeypatch.setattr(run_events, "LATEST_EVENTS", 100)
    most = run_events.PART_BYTES + 2 * journal.PAGE_BYTES
    _, links = part_of(run, client, f"/runs/{run.pk}/live/")
    later = links["Show the latest events"]
    live = re.search(r'data-live="([^"]*)"', html_of(client, later))
    assert live
    assert live[1] == f"/runs/{run.pk}/live/?{later.partition('?')[2]}"
    for address in (f"/runs/{run.pk}/", later, live[1]):
        read.clear()
        client.get(address)
        assert 0 < sum(read) < most
        read.clear()
    assert "tool-last-" in text_of(client, live[1])


def test_a_run_that_waited_behind_a_long_one_is_shown_at_once(
    agent: Agent, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its prompt is in the log before all that the other did, which is more than one page of a run reads."""
    monkeypatch.setattr(run_events, "PART_BYTES", 2 * journal.PAGE_BYTES)
    long, run, withdrawn = (story.new_run(agent, words) for words in ("Long.", "Waits.", "Waits, too."))
    story.write(long, [(0, "status", {"status": "running"})])
    story.write(long, calls(long, 0, 600, 4000))
    story.write(long, [(2000, "done", {"status": "completed"})])
    story.write(run, [(2001, "status", {"status": "running"}), *calls(run, 3000, 3001), story.FINISHED[-1]])
    story.write(withdrawn, [(2001, "error", {"code": "time-limit", "message": "Withdrawn in vain."}), story.FAILED[-1]])
    text, links = part_of(run, client, f"/runs/{run.pk}/")
    assert "tool-3000-" in text
    assert not links
    assert "Withdrawn in vain." in text_of(client, f"/runs/{withdrawn.pk}/")


def test_a_run_whose_events_were_trimmed_says_so(
    run: Run, client: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.pages.run.is_trimmed", lambda run: True)
    assert "Its oldest events are not stored any more" in text_of(client, f"/runs/{run.pk}/")


def test_every_documented_error_of_a_run_has_its_advice() -> None:
    table = (DOCS / "errors.md").read_text().partition("Programs may report")[0]
    codes = {
        code for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for code in re.findall(r"`([^`]+)`", row)
    }
    assert len(codes) > 20
    assert codes == set(advice.ADVICE)


def test_a_result_reads_as_on_the_agents_page(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Go")
    done = {"status": "completed", "result": "**Done.** <script>alert(1)</script>"}
    story.write(run, [(1, "status", {"status": "running"}), (2, "done", done)])
    html = client.get(f"/runs/{run.pk}/").content.decode()
    assert "<strong>Done.</strong>" in html
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html


# What can be done -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "input"), [("retry/", "Too much."), ("continue/", commands.RESUME_INPUT)])
def test_again_makes_a_run_and_leads_to_its_turn(agent: Agent, client: Client, part: str, input: str) -> None:
    run = story.new_run(agent, "Too much.")
    story.write(run, story.FAILED)
    response = client.post(f"/runs/{run.pk}/{part}")
    made = Run.objects.get(retry_of=run)
    assert made.input == input
    assert response["Location"] == f"/agents/{agent.pk}/#run-{made.pk}"
    assert f'href="/runs/{run.pk}/"' in html_of(client, f"/runs/{made.pk}/")


def test_what_can_not_be_done_is_said_on_the_page(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Go on.")
    response = client.post(f"/runs/{run.pk}/continue/", follow=True)
    assert "only one that has ended can be continued" in response.content.decode()
    assert agent.runs.count() == 1
