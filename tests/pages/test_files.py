"""Files of an agent: their pages, and the panels beside its conversation that mark what a run changed."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from django.test import Client

from agents.models import Agent, Run
from agents.workspace import Workspace
from agents.workspace.history import History
from streaming.store import journal
from tests.pages import story
from tests.pages.reader import html_of, text_of

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_what_is_not_there_leads_back_to_what_is(run: Run, client: Client) -> None:
    base = f"/agents/{run.agent_id}/files/"
    for path in ("gone.txt", "gone/"):
        page = client.get(base + path)
        assert page.status_code == 404
        assert f'<a href="{base}">Files of <bdi>' in page.content.decode()


def test_a_folder_has_a_page_and_an_address_without_its_slash_leads_there(run: Run, client: Client) -> None:
    base = f"/agents/{run.agent_id}/files/"
    assert "charts/ 1 file" in text_of(client, base)
    story.put(run.agent, {"charts/more/deep.txt": "x\n"})
    assert "Files 7 charts/ 2 files" in text_of(client, base)
    assert "Files 2 more/ 1 file" in text_of(client, f"{base}charts/")
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
    assert side["numbers"] == {str(run.pk): 1}


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
    assert side["seq"] == journal.load(str(run.agent_id)).cursor.seq


def test_a_file_with_an_odd_name_is_reached_from_its_folder(run: Run, client: Client) -> None:
    (Workspace(run.agent_id).path / os.fsdecode(b"bad\xff\n.txt")).write_text("its content")
    base = f"/agents/{run.agent_id}/files/"
    assert f'<a href="{base}bad%5Cxff%5Cx0a.txt"><bdi>bad\\xff\\x0a.txt</bdi></a>' in html_of(client, base)
    assert "its content" in text_of(client, f"{base}bad%5Cxff%5Cx0a.txt")


def test_a_workspace_that_is_lost_is_said_to_be_unreachable(run: Run, client: Client) -> None:
    path = Workspace(run.agent_id).path
    path.rename(path.with_name("away"))
    for part in ("files/", "files/report.py", "files/charts/"):
        page = client.get(f"/agents/{run.agent_id}/{part}")
        assert page.status_code == 503
        assert "can&#x27;t be reached" in page.content.decode() or "can't be reached" in page.content.decode()
    for part in (f"/runs/{run.pk}/", f"/runs/{run.pk}/changes/", f"/agents/{run.agent_id}/changes/"):
        assert client.get(part).status_code == 200
