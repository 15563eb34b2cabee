"""A run's page, its changes, all runs of an agent, and what can be done about a run without JavaScript."""

from __future__ import annotations

import re
from contextlib import closing
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client

from agents import lifecycle, retention
from agents.models import Agent, Run
from agents.pages import advice
from agents.pages import run as run_of
from agents.workspace import Workspace
from agents.workspace.history import History
from tests.pages import story
from tests.pages.hostile import HOSTILE

pytestmark = pytest.mark.django_db(transaction=True)
DOCS = Path(__file__).resolve().parents[2] / "docs"
OURS = (
    r"a|bdi|body|button|caption|code|col|colgroup|dd|defs|details|div|dl|dt|form|g|h[123]|head|header|html|input|li|line"
    r"|link|main|meta|nav|p|path|pre|rect|section|span|strong|summary|svg|table|tbody|td|text|th|thead|time|title|tr|ul|use"
)
"""The tags that these pages are made of."""
PARTS = ("", "live/", "changes/")


@pytest.fixture
def agent(ada: User) -> Agent:
    return lifecycle.create_agent(ada, "demo")[0]


@pytest.fixture
def run(agent: Agent) -> Run:
    """Ended well, and left files."""
    run = story.new_run(agent, "Analyse the sales.")
    story.write(run, story.FINISHED)
    story.keep(run, story.BEFORE, story.AFTER)
    return run


def html_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def text_of(client: Client, path: str) -> str:
    """What a reader sees, with single spaces."""
    html = html_of(client, path)
    main = html.partition("<main")[2] or html
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())


class _Reader(HTMLParser):
    """Notes what no page of ours has."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        is_script = (
            values.get("type") in ("module", "application/json") or values.get("src") == "/static/agents/boot.js"
        )
        ours = is_script if tag == "script" else re.fullmatch(OURS, tag)
        if not ours or any(name.startswith("on") or name == "style" for name in values):
            self.problems.append(self.get_starttag_text() or tag)
        for name in ("href", "src", "action"):
            if not re.match(r"/(?!/)|[?#]|$", values.get(name) or ""):
                self.problems.append(f"{tag} leads to {values[name]}")


def problems_of(html: str) -> list[str]:
    reader = _Reader()
    reader.feed(html)
    return reader.problems


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
        assert f'id="run-{one.pk}"' in html_of(client, f"/agents/{one.agent_id}/")
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


def test_only_the_runs_own_events_are_read_and_no_more_than_the_limit(
    agent: Agent, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = story.new_run(agent, "One."), story.new_run(agent, "Other.")
    story.write(run, story.ANALYSIS)
    story.write(other, [(30, "error", {"code": "secret-code", "message": "of another run"})])
    assert "secret-code" not in text_of(client, f"/runs/{run.pk}/")
    monkeypatch.setattr(run_of, "EVENTS_MOST", 8)
    assert "It has more events than are read for this page" in text_of(client, f"/runs/{run.pk}/")


def test_a_run_whose_events_were_trimmed_says_so(
    run: Run, client: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "is_trimmed", lambda run: True)
    assert "Its oldest events are not stored any more" in text_of(client, f"/runs/{run.pk}/")


def test_every_documented_error_of_a_run_has_its_advice() -> None:
    table = (DOCS / "errors.md").read_text().partition("Programs may report")[0]
    codes = {
        code for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for code in re.findall(r"`([^`]+)`", row)
    }
    assert len(codes) > 20
    assert codes == set(advice.ADVICE)


# What can be done -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "input"), [("retry/", "Too much."), ("continue/", lifecycle.RESUME_INPUT)])
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


# Changes --------------------------------------------------------------------------------------------------------------


def test_both_views_of_the_changes_show_the_same_lines(run: Run, client: Client) -> None:
    for view in ("", "?view=split", "?view=nonsense"):
        text = text_of(client, f"/runs/{run.pk}/changes/{view}")
        for words in (
            "- print(total([]))",
            "+ print(total(csv.DictReader(file)))",
            "Not a text file.",
            "old/notes.txt → notes.txt",
        ):
            assert words.replace("+ ", "+ ") in re.sub(r"([+-]) +", r"\1 ", text), (view, words)
    split = html_of(client, f"/runs/{run.pk}/changes/?view=split")
    assert 'class="diff split"' in split
    assert '<a href="?view=split" aria-current="true">' in split


def test_a_file_alone_keeps_the_view(run: Run, client: Client) -> None:
    html = html_of(client, f"/runs/{run.pk}/changes/?view=split&file=report.py")
    assert html.count('class="panel diff-file"') == 1
    assert 'href="?file=report.py&amp;view=unified"' in html
    assert 'href="?view=split">All files' in html


def test_changes_in_total_reach_from_before_the_first_run_until_now(run: Run, client: Client) -> None:
    again = story.new_run(run.agent, "More.")
    story.keep(again, story.AFTER, {**story.AFTER, "report.md": "# Another\n", "more.txt": "more\n"})
    Workspace(run.agent_id).write_file("uploaded.txt", [b"now\n"])
    text = text_of(client, f"/agents/{run.agent_id}/changes/")
    assert "between the start of run 1 and now" in text
    for words in ("added more.txt +1", "added uploaded.txt +1", "added report.md +1", "deleted old/gone.txt"):
        assert words in text, words
    of_second = text_of(client, f"/runs/{again.pk}/changes/")
    assert "gone.txt" not in of_second
    assert "modified report.md +1 \N{MINUS SIGN}5" in of_second


def test_changes_in_total_of_an_agent_without_history_say_so(agent: Agent, client: Client) -> None:
    text = text_of(client, f"/agents/{agent.pk}/changes/")
    assert "What the workspace was before is not known." in text
    assert "No file was changed." in text


# All runs -------------------------------------------------------------------------------------------------------------


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


# Files ----------------------------------------------------------------------------------------------------------------


def files_event(agent: Agent) -> story.Step:
    changes = [
        {"path": entry.path, "change": "added", "size": entry.size, "sha256": None}
        for entry in Workspace(agent.pk).entries().entries
    ]
    return (21, "files", {"changes": changes})


def test_files_of_somebody_else_are_not_there(run: Run, stranger: Client) -> None:
    for part in ("files/", "files/report.py", "files/charts/", "files/charts", "side/"):
        assert stranger.get(f"/agents/{run.agent_id}/{part}").status_code == 404
        assert Client().get(f"/agents/{run.agent_id}/{part}").status_code == 302


def test_a_file_says_in_which_runs_it_changed(run: Run, client: Client) -> None:
    later = story.new_run(run.agent, "More.")
    story.keep(later, story.AFTER, {**story.AFTER, "report.py": "print()\n"})
    html = html_of(client, f"/agents/{run.agent_id}/files/report.py")
    assert f'<a href="/runs/{later.pk}/changes/?file=report.py">run 2</a> (modified)' in html
    assert f'<a href="/runs/{run.pk}/changes/?file=report.py">run 1</a> (modified)' in html
    assert "Changed in" not in html_of(client, f"/agents/{run.agent_id}/files/sales.csv")


def test_files_are_shown_for_what_they_are(run: Run, client: Client) -> None:
    base = f"/agents/{run.agent_id}/files/"
    assert '<span class="keyword">def</span>' in html_of(client, f"{base}report.py")
    assert "<h1>Report</h1>" in html_of(client, f"{base}report.md")
    assert "# Report" in text_of(client, f"{base}report.md?view=source")
    assert '<td dir="auto">north</td>' in html_of(client, f"{base}sales.csv")
    picture = f"/api/agents/{run.agent_id}/files/charts/amount.svg"
    assert f'<img src="{picture}"' in html_of(client, f"{base}charts/amount.svg")
    with closing(client.get(picture)) as response:
        assert "sandbox" in response["Content-Security-Policy"]
    assert "Not a text file" in text_of(client, f"{base}picture.bin")


def test_a_folder_has_a_page_and_an_address_without_its_slash_leads_there(run: Run, client: Client) -> None:
    base = f"/agents/{run.agent_id}/files/"
    assert "charts/ 1 file" in text_of(client, base)
    assert "amount.svg" in text_of(client, f"{base}charts/")
    assert client.get(f"{base}charts")["Location"] == f"{base}charts/"
    for path in ("nothing", "nothing/", "../x", "a//b", ".", "report.py/x"):
        assert client.get(f"{base}{path}").status_code == 404, path


def test_panels_say_what_the_latest_run_changed_and_used(run: Run, client: Client) -> None:
    story.write(run, [files_event(run.agent)])
    side = client.get(f"/agents/{run.agent_id}/side/").json()
    assert side["marks"] == {
        "charts/amount.svg": "added",
        "notes.txt": "added",
        "picture.bin": "added",
        "report.md": "added",
        "report.py": "modified",
    }
    assert side["spent"] == {str(run.pk): "7,345 tokens · $0.0298"}
    text = text_of(client, f"/agents/{run.agent_id}/")
    assert "Run 1 changed 5: see how" in text
    assert "report.py modified 171 B" in text
    assert "Run 1 completed 19.6 s 20 Nov 2026 12:00 UTC · 7,345 tokens · $0.0298 Again" in text


def test_while_a_run_goes_on_the_marks_are_of_what_it_changed_so_far(run: Run, client: Client) -> None:
    story.write(run, [files_event(run.agent)])
    later = story.new_run(run.agent, "More.")
    History(run.agent_id).keep(str(later.pk), "before", Workspace(run.agent_id))
    story.write(later, story.ANALYSIS[:3])
    changes = [
        {"path": "report.py", "change": "modified", "size": 1},
        {"path": "new.txt", "change": "added", "size": 1},
    ]
    story.write(later, [(30, "files", {"changes": changes})])
    side = client.get(f"/agents/{run.agent_id}/side/").json()
    assert side["marks"] == {"new.txt": "added", "report.py": "modified"}
    assert side["run"]["number"] == 2


def test_a_result_reads_as_on_the_agents_page(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Go")
    done = {"status": "completed", "result": "**Done.** <script>alert(1)</script>"}
    story.write(run, [(1, "status", {"status": "running"}), (2, "done", done)])
    html = client.get(f"/runs/{run.pk}/").content.decode()
    assert "<strong>Done.</strong>" in html
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html


# Hostile --------------------------------------------------------------------------------------------------------------


def test_nothing_that_a_run_left_becomes_markup(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "\n".join(HOSTILE))
    steps: list[story.Step] = [(1, "status", {"status": "running"})]
    for at, text in enumerate(HOSTILE):
        steps += [
            (2, "tool-call", {"call_id": f"c{at}", "name": text[:200], "title": text}),
            (2, "tool-result", {"call_id": f"c{at}", "is_error": True}),
            (2, "approval-request", {"approval_id": f"a{at}", "question": text, "options": [text]}),
            (2, "approval-response", {"approval_id": f"a{at}", "decision": text, "by": text}),
            (2, "usage", {"model": text, "input_tokens": 1, "output_tokens": 1}),
            (3, "error", {"code": "odd", "message": text}),
        ]
    story.write(run, [*steps, (4, "done", {"status": "failed", "result": {text: text for text in HOSTILE}})])
    names = {
        text.replace("/", "\N{DIVISION SLASH}").replace("\n", "")[:200]: text + "\n"
        for text in HOSTILE
        if text.isprintable()
    }
    story.keep(run, {}, names)
    for path in (
        f"/runs/{run.pk}/",
        f"/runs/{run.pk}/changes/",
        f"/runs/{run.pk}/changes/?view=split",
        f"/agents/{agent.pk}/changes/",
        f"/agents/{agent.pk}/runs/",
    ):
        html = html_of(client, path)
        assert "alert(1)" in html
        assert problems_of(html) == [], path
