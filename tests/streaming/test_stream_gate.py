"""Which dialect a request gets, by the site's own gate."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from agents.asgi.stream_gate import AgentGate
from agents.auth import credentials
from agents.models import Agent, Run
from streaming.http.dialects import DIALECTS, FORMATS
from streaming.http.sse import SseApplication
from streaming.model.events import draft
from streaming.store import journal
from streaming.store.database import in_database
from tests.streaming.endpoint import Response, Site
from tests.streaming.world import World, text


def _agent_with_token() -> tuple[Agent, str]:
    user = User.objects.create(username="reader")
    agent = Agent.objects.create(owner=user, definition="demo")
    journal.create(str(agent.pk))
    return agent, credentials.create_token(user, "tests")


class Gated:
    """The site's own gate before the stream of one agent, for its owner."""

    def __init__(self, world: World, site: Site, agent: Agent, token: str) -> None:
        self.agent = agent
        self._site = site
        self._app = SseApplication(lambda: world.hub, AgentGate())
        self._headers = [(b"authorization", f"Bearer {token}".encode())]

    def get(self, query: str) -> Response:
        async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
            route = {"kwargs": {"agent_id": str(self.agent.pk)}}
            await self._app({**scope, "url_route": route}, receive, send)

        return self._site.get(str(self.agent.pk), query, self._headers, app)


@pytest.fixture
async def gated(world: World, site: Site) -> Gated:
    agent, token = await in_database(_agent_with_token)
    return Gated(world, site, agent, token)


@pytest.mark.parametrize("query", ["format=aisdk", "format=", "format=AI-SDK", "format=ag-ui&format=x"])
async def test_an_unknown_format_is_refused_with_those_that_there_are(gated: Gated, query: str):
    response = gated.get(query)
    await response.ends()
    assert response.status == 400
    error = json.loads(response.body)["error"]
    assert (error["code"], error["details"]) == ("unsupported-format", {"field": "format"})
    assert all(format_ in error["message"] for format_ in FORMATS)


@pytest.mark.parametrize("name", FORMATS)
async def test_each_format_is_served_with_its_headers(gated: Gated, name: str):
    response = gated.get(f"format={name}&until=done")
    await response.ends()
    assert response.status == 200
    assert ("x-vercel-ai-ui-message-stream" in response.headers) == (name == "ai-sdk")


@pytest.mark.parametrize("name", sorted(DIALECTS))
async def test_a_run_is_taken_up_where_its_row_says_that_it_begins(gated: Gated, world: World, name: str):
    run = await in_database(lambda: Run.objects.create(agent=gated.agent, number=1, input="Go", first_seq=2))
    run_id = str(run.pk)
    writer = await world.writer(str(gated.agent.pk))
    before = draft("done", None, status="completed")
    call = draft("tool-call", run_id, call_id="c1", name="shell", arguments={})
    await writer.append([before, draft("status", run_id, status="running"), call, text("a", run_id=run_id)])
    await writer.append(
        [draft("tool-result", run_id, call_id="c1", result="ok"), draft("done", run_id, status="completed")]
    )
    await writer.flush()
    response = gated.get(f"format={name}&after=1-4&until=done")
    await response.ends()
    said = response.body.decode()
    assert ('"tool-output-available"' if name == "ai-sdk" else '"TOOL_CALL_RESULT"') in said, "the call was learnt"
