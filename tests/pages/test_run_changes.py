"""Pages of what a run changed, and of what all runs of an agent changed together."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from agents.models import Agent, Run
from agents.workspace import Workspace
from tests.pages import story
from tests.pages.reader import html_of, text_of

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_a_text_that_is_not_utf_8_is_shown_as_text_with_its_encoding(run: Run, client: Client) -> None:
    later = story.new_run(run.agent, "More.")
    before = {"old.txt": "Müller\n".encode("cp1252"), "same.txt": "Thé\n".encode("cp1252")}
    story.keep(later, before, {"old.txt": "Möller\n".encode("cp1252"), "same.txt": "Thé\n"})
    text = re.sub(r"([+-]) +", r"\1 ", text_of(client, f"/runs/{later.pk}/changes/"))
    assert "old.txt modified +1 \N{MINUS SIGN}1 Windows-1252 (guessed)" in text
    assert "- Müller" in text
    assert "+ Möller" in text
    assert "Windows-1252 (guessed) → UTF-8 Its text is the same; it is written in another way." in text


def test_carriage_returns_of_all_lines_are_named_once_and_a_change_of_them_is_shown(run: Run, client: Client) -> None:
    later = story.new_run(run.agent, "More.")
    before = {"same.txt": "a\r\nb\r\nlast", "new-ends.txt": "a\nb\n"}
    story.keep(later, before, {"same.txt": "a\r\nc\r\nlast", "new-ends.txt": "a\r\nb\r\n"})
    html = html_of(client, f"/runs/{later.pk}/changes/")
    new_ends, same = html.split('<section class="panel diff-file"')[1:]
    assert "CRLF line ends" in same
    assert ">CR<" not in same
    assert "CRLF line ends" not in new_ends
    assert new_ends.count(">CR<") == 2
