"""Tools of MCP servers, as the bundled agent on a site has them: over its egress, and inside its container."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agents.gateway import run_gateway
from agents.models import Run
from agents.runs import commands
from containers.gateway import Gateway
from streaming.model.events import Event
from tests.agents.bundled import PATIENCE_S, define
from tests.agents.mcp_site import PUBLIC_ADDRESS, McpOnTheInternet
from tests.agents.site import Site, errors
from tests.provider import Call, MockProvider, turn

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
MODEL = "anthropic:claude-haiku-5-5"
PROGRAM = Path(__file__).parents[1] / "images" / "mcp_server.py"
SUM = Call("sums__add", {"a": 2, "b": 3})


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[McpOnTheInternet]:
    with McpOnTheInternet(tmp_path) as running:
        monkeypatch.setattr(run_gateway, "Gateway", partial(Gateway, resolve=running.resolve, connect=running.connect))
        yield running


def start(site: Site, image: str, servers: dict[str, Any], files: dict[str, str], **fields: Any) -> Run:
    """With `files` in the workspace. Its clients trust the authority there."""
    name = define(site, image, MODEL, mcp_servers=servers, **fields)
    agent = site.agent(name)
    for path, content in files.items():
        (site.workspace(agent) / path).write_text(content)
        (site.workspace(agent) / path).chmod(0o644)
    site.worker()
    return commands.submit_run(agent, "Add them.")


def connections(events: list[Event]) -> list[str]:
    logs = [event.data for event in events if event.type == "log"]
    return [log["content"].strip() for log in logs if log["stream"] == "egress"]


def test_a_server_that_egress_names_is_called_through_the_gateway(
    docker_site: Site, provider: MockProvider, agent_image: str, server: McpOnTheInternet
) -> None:
    provider.say(turn(SUM), turn("Five."))
    run = start(
        docker_site,
        agent_image,
        {"sums": {"url": server.url}},
        {"authority.pem": server.authority.read_text()},
        egress=[f"{server.host}:443"],
        env={"SSL_CERT_FILE": "/workspace/authority.pem"},
    )
    events = docker_site.end(run, PATIENCE_S)
    assert errors(events) == []
    assert "sums__add" in provider.requests[0].asked.tools
    assert "The sum is 5." in provider.requests[1].asked.texts("tool")[0]
    assert set(server.connections) == {f"{PUBLIC_ADDRESS}:443"}
    assert connections(events)
    assert all(one.startswith(f"egress to {server.host}:443: ") for one in connections(events))


@pytest.mark.parametrize(
    ("allowed", "scheme", "why", "asked"),
    [
        ("other.example:443", "https", "the definition's `egress` does not name it", 1),
        ("mcp.example:80", "http", "its url must begin with https", 0),
    ],
)
def test_a_server_that_may_not_be_reached_is_said_with_the_reason_and_the_run_goes_on(
    docker_site: Site,
    provider: MockProvider,
    agent_image: str,
    server: McpOnTheInternet,
    allowed: str,
    scheme: str,
    why: str,
    asked: int,
) -> None:
    provider.say(turn("Without, then."))
    url = server.url.replace("https", scheme)
    events = docker_site.end(start(docker_site, agent_image, {"sums": {"url": url}}, {}, egress=[allowed]), PATIENCE_S)
    (error,) = [event.data for event in events if event.type == "error"]
    assert error["code"] == "mcp-server-failed"
    assert "MCP server sums cannot be used" in error["message"]
    assert why in error["message"]
    refused = f"egress to mcp.example:443 refused: {why}"
    assert connections(events) == [refused] * asked
    assert events[-1].data["result"] == "Without, then."
    assert "sums__add" not in provider.requests[0].asked.tools
    assert server.connections == []


def test_a_server_that_is_a_program_runs_in_the_container(
    docker_site: Site, provider: MockProvider, agent_image: str
) -> None:
    provider.say(turn(SUM), turn("Five apples."))
    servers = {"sums": {"command": "python3", "args": ["/workspace/server.py"], "env": {"UNIT": "apples"}}}
    run = start(docker_site, agent_image, servers, {"server.py": PROGRAM.read_text()})
    events = docker_site.end(run, PATIENCE_S)
    assert errors(events) == []
    assert "5 apples" in provider.requests[1].asked.texts("tool")[0]
