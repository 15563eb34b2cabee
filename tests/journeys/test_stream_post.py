"""`POST …/stream` to a site as a person has it: a prompt goes in, and the answer comes in the same response, in the
words of whoever asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from streaming.model.events import Event
from streaming.model.fold import fold
from tests.faults.waiting import aside, until
from tests.journeys.acts import answered
from tests.journeys.site import UpSite
from tests.streaming.dialect_clients import CLIENTS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(240)]
RUN_S = 60.0
Parts = list[dict[str, Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UpSite]:
    up = UpSite(tmp_path_factory.mktemp("up"))
    try:
        await aside(up.start)
        yield up
    finally:
        await aside(up.close)


async def new_agent(client: httpx.AsyncClient) -> str:
    return str((await answered(client.post("/api/agents", json={"definition": "demo"})))["id"])


async def said(client: httpx.AsyncClient, agent_id: str, format: str, prompt: str, key: str = "") -> Parts:
    """All parts of a response, which ends by itself."""
    headers = {"Idempotency-Key": key} if key else {}
    address = f"/api/agents/{agent_id}/stream?format={format}"
    async with asyncio.timeout(RUN_S):  # one that does not end says that it is there, and would go on for ever
        async with client.stream("POST", address, json={"input": prompt}, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            frames = [line[6:] async for line in response.aiter_lines() if line.startswith("data: ")]
    if format == "ai-sdk":
        assert frames.pop() == "[DONE]"
    return [json.loads(frame) for frame in frames]


async def runs_of(site: UpSite, agent_id: str, count: int) -> dict[str, list[Event]]:
    """Events by run, when that many have ended."""

    def ended() -> list[str]:
        return [str(event.run_id) for event in site.log(agent_id).events if event.type == "done"]

    await until(lambda: len(ended()) == count, RUN_S, "the runs in the database")
    log = site.log(agent_id)
    assert log.problems == []
    return {run_id: [event for event in log.events if event.run_id == run_id] for run_id in ended()}


def answers(events: list[Event]) -> dict[str, str]:
    """The assistant's text, by message."""
    said: dict[str, str] = {}
    for message in fold(events)["messages"]:
        texts = [part["text"] for part in message["parts"] if part["type"] == "text"]
        if message["role"] == "assistant" and texts:
            said[message["id"]] = "".join(texts)
    return said


async def test_each_response_is_the_log_of_its_run(site: UpSite):
    async with site.client() as client:
        agent_id = await new_agent(client)
        heard = [await said(client, agent_id, "native", prompt) for prompt in ("Analyse the data.", "And again.")]
    runs = await runs_of(site, agent_id, 2)
    for parts, (run_id, events) in zip(heard, runs.items(), strict=True):
        of_the_run = [part for part in parts if part["run_id"] == run_id]
        assert [part["seq"] for part in of_the_run] == [event.seq for event in events]
        assert [part["type"] for part in parts].count("done") == 1
        assert [part["seq"] for part in parts] == list(range(parts[0]["seq"], parts[0]["seq"] + len(parts)))


@pytest.mark.parametrize("name", sorted(CLIENTS))
async def test_a_client_of_another_protocol_has_the_whole_answer(site: UpSite, name: str):
    talk = CLIENTS[name]()
    async with site.client() as client:
        agent_id = await new_agent(client)
        for prompt in ("Analyse the data.", "And again."):
            talk.reconnect()
            for part in await said(client, agent_id, name, prompt):
                talk.take(part)
    runs = await runs_of(site, agent_id, 2)
    assert [run_id for run_id, _ in talk.finished if run_id in runs] == list(runs)
    for run_id, events in runs.items():
        assert answers(events)
        for message_id, text in answers(events).items():
            assert talk.text_of(run_id, message_id) == text


@pytest.mark.parametrize("name", sorted(CLIENTS))
async def test_asked_again_with_its_key_it_is_the_same_answer(site: UpSite, name: str):
    """What a client does whose connection was cut before it had seen an id."""
    async with site.client() as client:
        agent_id = await new_agent(client)
        first = await said(client, agent_id, name, "Analyse the data.", "k")
        again = await said(client, agent_id, name, "Analyse the data.", "k")
    assert again == first
    assert len(await runs_of(site, agent_id, 1)) == 1
