"""The conversation as plain text: for text browsers, and for readers without JavaScript."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.models import Agent, Run
from agents.runs import commands
from streaming.store import journal
from tests.pages import story
from tests.pages.hostile import HOSTILE
from tests.pages.reader import html_of, text_of
from tests.pages.test_run_markup import problems_of

pytestmark = pytest.mark.django_db(transaction=True)
FILLER = "lorem ipsum " * 600


def address(agent: Agent) -> str:
    return f"/agents/{agent.pk}/transcript/"


def test_it_tells_who_said_what_and_how_runs_ended(run: Run, client: Client) -> None:
    failed = story.new_run(run.agent, "Again.")
    story.write(failed, story.FAILED)
    text = text_of(client, address(run.agent))
    for words in (
        "Run 1 : completed, 19.6 s You Analyse the sales. Agent Thinking: The user wants an overview. First I look",
        "I'll look at **sales.csv** first. Tool call: read_file: sales.csv (done, 380 ms) Tool call: search: north",
        "Tool call: bash: rm -rf old (failed, 1.4 s) Question: Run rm -rf old? (approve, by ada) # Report",
        "# Report North leads. Run 2",
        "Run 2 : failed, 3.6 s out-of-memory The program needed more than 256 MiB. You Again. Agent I begin.",
    ):
        assert words in text
    assert "<br>North leads." in html_of(client, address(run.agent)), "text browsers know no other line ends"


def test_prompt_that_a_run_took_while_it_worked_stands_there(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Begin.")
    story.write(run, [(1, "status", {"status": "running"}), (1, "text", {"message_id": "m", "content": "One."})])
    steering = story.new_run(agent, "Keep it short.")
    story.write(
        steering, [(2, "status", {"status": "completed", "into": str(run.pk)}), (2, "done", {"status": "completed"})]
    )
    story.write(run, [(3, "text", {"message_id": "m", "content": "Two."})])
    waits = story.new_run(agent, "Then this.")
    text = text_of(client, address(agent))
    assert (
        "You Begin. Agent One. You, while it worked Keep it short. Agent Two. Waiting in the queue Then this." in text
    )
    assert f"Run {waits.number}" not in text


def test_text_of_several_parts_is_one_text(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Begin.")
    long = "x" * 40_000 + "END"
    story.write(run, [(1, "status", {"status": "running"}), (1, "text", {"message_id": "m", "content": long})])
    assert len(journal.load(str(agent.pk)).state["messages"][1]["parts"]) == 2
    assert long in html_of(client, address(agent))


def test_older_pages_are_links_and_every_word_is_on_one_of_them(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Begin.")
    texts = [(1, "text", {"message_id": f"m{at}", "content": f"[{at}] {FILLER}"}) for at in range(120)]
    for at in range(0, 120, 20):
        story.write(run, [(1, "status", {"status": "running"}), *texts[at : at + 20]])
    html = html_of(client, address(agent))
    seen = [html]
    while link := re.search(r'rel="prev" href="(\?before=[^"]+)"', html):
        html = html_of(client, address(agent) + unescape(link[1]))
        seen.append(html)
    found = [[int(number) for number in re.findall(r"\[(\d+)\]", page)] for page in reversed(seen)]
    assert len(found) > 2
    assert [number for page in found for number in page] == list(range(120))
    back = [html]
    while link := re.search(r'rel="next" href="(\?[^"]*)"', html):
        html = html_of(client, address(agent) + unescape(link[1]))
        back.append(html)
    assert [re.findall(r"\[\d+\]", page) for page in back] == [re.findall(r"\[\d+\]", page) for page in reversed(seen)]


def test_page_before_the_conversation_was_cleared_says_so(run: Run, client: Client) -> None:
    story.write(run, [(30, "clear", {"by": "ada"})])
    assert "Report" not in html_of(client, address(run.agent))
    before = journal.load(str(run.agent_id)).state["earlier"]["before"]
    older = text_of(client, f"{address(run.agent)}?before={before}")
    assert "North leads. The conversation begins anew here Newer" in older


def test_only_pages_that_there_are_have_an_address_and_only_for_their_owner(
    ada: User, client: Client, stranger: Client
) -> None:
    agent, _ = commands.create_agent(ada, "demo")
    assert "Nothing has been said yet." in html_of(client, address(agent))
    for before in ("1-8", "nonsense", ""):
        assert client.get(f"{address(agent)}?before={before}").status_code == 404
    assert stranger.get(address(agent)).status_code == 404
    assert Client().get(address(agent)).status_code == 302


def test_agent_page_leads_there_without_javascript(ada: User, client: Client) -> None:
    agent, _ = commands.create_agent(ada, "demo", input="hello")
    noscript = re.search(r"<noscript>(.*?)</noscript>", html_of(client, f"/agents/{agent.pk}/"))
    assert noscript
    assert f'href="{address(agent)}"' in noscript[1]


def test_nothing_that_was_said_becomes_markup(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "\n".join(HOSTILE))
    steps: list[story.Step] = [(1, "status", {"status": "running"})]
    for at, text in enumerate(HOSTILE):
        steps += [
            (2, "text", {"message_id": f"m{at}", "content": text}),
            (2, "thinking", {"message_id": f"m{at}", "content": text}),
            (2, "tool-call", {"call_id": f"c{at}", "name": text[:200], "title": text}),
            (2, "approval-request", {"approval_id": f"a{at}", "question": text, "options": [text]}),
            (2, "error", {"code": "odd", "message": text}),
        ]
    story.write(run, steps)
    story.new_run(agent, "\n".join(HOSTILE))
    html = html_of(client, address(agent))
    assert "alert(1)" in html
    assert problems_of(html) == []


def test_question_that_waits_is_told_also_where_its_call_is_not_there(agent: Agent, client: Client) -> None:
    run = story.new_run(agent, "Begin.")
    asked = {"approval_id": "a", "question": "May I?", "options": ["yes"]}
    story.write(run, [(1, "status", {"status": "running"}), (1, "approval-request", {**asked, "call_id": "gone"})])
    assert "Run 1 : running You Begin. Question: May I? (not answered)" in text_of(client, address(agent))
