"""Nothing that a run says or leaves becomes markup of its pages."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.test import Client

from agents.models import Agent
from tests.pages import story
from tests.pages.hostile import HOSTILE
from tests.pages.reader import html_of

pytestmark = pytest.mark.django_db(transaction=True)
OURS = (
    r"a|bdi|body|br|button|caption|code|col|colgroup|dd|defs|details|div|dl|dt|form|g|h[123]|head|header|html|input|li|line"
    r"|link|main|meta|nav|ol|p|path|pre|rect|section|span|strong|summary|svg|table|tbody|td|text|th|thead|time|title|tr|ul|use"
)
"""The tags that these pages are made of."""


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
