"""Agents of others, as their makers publish them: in images of their own, with a mock behind the worker's gateway."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agents.models import Run
from agents.runs import commands
from streaming.model.events import Event
from tests.acp.real_agents import AGENTS, CONTENT, Real, check_log, documented, writes
from tests.agents.site import Site, attempts, errors, text
from tests.agents.test_canary import KEYS, Search, of_processes, of_stores
from tests.containers.bench import built_image
from tests.provider import MockProvider, by_progress, turn

pytestmark = [pytest.mark.docker, pytest.mark.npm, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
"""Whoever is first builds the image."""
PATIENCE_S = 180.0
"""They begin with seconds of work, more where many work."""


@pytest.fixture
def provider(real: Real, settings: Any) -> Iterator[MockProvider]:
    """Takes the site's key, and no other."""
    with MockProvider(key=KEYS[real.provider]) as running:
        running.author = writes(real)
        settings.OPENAI_BASE_URL = f"{running.url}/v1"
        settings.GEMINI_BASE_URL = running.url
        settings.PROVIDER_KEYS = {name: SecretStr(key) for name, key in KEYS.items()}
        yield running


def define(site: Site, real: Real) -> str:
    """As docs/acp.md has it."""
    asyncio.run(built_image(real.name))
    fields = tomllib.loads(documented(real))["definitions"][real.name]
    return site.define(real.name, command=[], trusted=False, **fields)


def waiting(site: Site, real: Real, prompt: str) -> Run:
    """A run that has asked whether it may write."""
    run = site.start(define(site, real), prompt)
    site.wait_status(run, "waiting", "failed", "completed", patience_s=PATIENCE_S)
    assert run.status == "waiting", [event.data for event in site.events(run)]
    return run


@AGENTS
def test_it_writes_a_file_with_an_approval_and_over_the_death_of_its_worker(
    docker_site: Site, provider: MockProvider, real: Real
) -> None:
    site = docker_site
    first = site.worker()
    run = waiting(site, real, "Write hello.txt.")
    (asked,) = site.state(run)["approvals"]
    assert "hello.txt" in asked["question"]
    file = site.workspace(run) / "hello.txt"
    assert not file.exists()
    site.kill(first)
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))
    search = Search()
    found = of_processes(search, site, run)
    commands.answer_approval(run, asked["approval_id"], real.allow, "ada")
    events = site.end(run, PATIENCE_S)
    assert errors(events) == []
    assert file.read_text() == CONTENT
    check_log(events, real, "ada")
    assert len(attempts(run)) == 1
    assert len(provider.requests) == 2  # nothing was asked twice
    assert found + keys_in(search, site, run, events) == []


def keys_in(search: Search, site: Site, run: Run, events: list[Event]) -> list[str]:
    found = [place for event in events for place in search.find(f"event {event.type}", event.encode())]
    for path in site.settings.DATA_DIR.rglob("*"):
        if path.is_file() and not path.is_symlink():
            found += search.find(f"file {path}", path.read_bytes())
    found += of_stores(search, site)
    assert search.bytes > 50_000, search.places
    return found


@AGENTS
def test_the_next_run_goes_on_with_the_session_of_the_last(
    docker_site: Site, provider: MockProvider, real: Real
) -> None:
    """In another container: what it keeps of a session is in the workspace."""
    site = docker_site
    site.worker()
    provider.author = by_progress([turn("Noted.")])
    agent = site.agent(define(site, real))
    for prompt in ("The word is heron.", "Which word was it?"):
        events = site.end(commands.submit_run(agent, prompt), PATIENCE_S)
        assert errors(events) == []
        assert text(events) == "Noted."
        as_if_a_minute_ago(site.workspace(agent))
    said = [message.text for message in provider.requests[-1].asked.messages if message.role == "user"]
    assert said[-1].endswith("Which word was it?")
    assert any(one.endswith("The word is heron.") for one in said[:-1])
    assert "What was said before" not in json.dumps(provider.requests[-1].body)


def as_if_a_minute_ago(workspace: Path) -> None:
    """Gemini CLI loses a session that is loaded in the minute in which it was begun: a file's name has that minute, and
    what is begun writes to it."""
    for path in workspace.glob(".home/.gemini/tmp/*/chats/session-*.jsonl"):
        path.rename(path.with_name(re.sub(r"T\d\d-\d\d", "T00-00", path.name)))
