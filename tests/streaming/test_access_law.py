"""The law of access: whoever loses it loses what is open within five seconds, on every transport; commands are refused
at once; and a browser's pages reach the WebSocket only from origins that may.

Real: the server as `agentsite web` starts it, Redis, PostgreSQL, sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from django.test import Client

from agents.auth import credentials
from agents.log.brief_writer import end_streams
from agents.models import Agent, ApiToken, Run
from streaming.store import journal
from streaming.store.database import in_database
from tests.streaming.server import REPOSITORY, Serve, WebServer
from tests.streaming.world import until, until_async

WITHIN_S = 5.0
CSRF = "a" * 32
STREAMS = {"stream": "", "ai-sdk": "?format=ai-sdk&after=0-0", "ag-ui": "?format=ag-ui", "until done": "?until=done"}
OF_AN_AGENT = {"socket", "prompt", "execute", *STREAMS}
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "Content-Encoding": "identity",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
"""Of every stream: a proxy neither compresses it nor holds it back."""
Request = AbstractAsyncContextManager[aiohttp.ClientResponse]
PASSWORD = "correct horse battery staple"


@dataclass
class Caller:
    """A user with an agent, let in by a token or by a login session."""

    user: User
    agent_id: str
    headers: dict[str, str]
    session_key: str | None = None
    browser: Client | None = None

    @classmethod
    def create(cls, name: str, *, by_token: bool) -> Caller:
        user = User.objects.create_user(name, password=PASSWORD)
        agent = Agent.objects.create(owner=user, definition="demo")
        journal.create(str(agent.pk))
        if by_token:
            token = credentials.create_token(user, "tests")
            return cls(user, str(agent.pk), {"Authorization": f"Bearer {token}"})
        browser = Client()
        browser.force_login(user)
        key = browser.cookies["sessionid"].value
        headers = {"Cookie": f"sessionid={key}; csrftoken={CSRF}", "X-CSRFToken": CSRF}
        return cls(user, str(agent.pk), headers, key, browser)


@dataclass
class Open:
    """Everything that one caller has open; when each of it ended, and how."""

    caller: Caller
    ended_at: dict[str, float] = field(default_factory=dict)
    close_code: int | None = None
    status_of_execute: int | None = None
    code_of_execute: str | None = None
    begun: set[str] = field(default_factory=set)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, client: aiohttp.ClientSession) -> None:
        agent = f"/api/agents/{self.caller.agent_id}"
        self._begin("socket", self._hear(client, "socket"))
        self._begin("feed", self._read(client.get("/api/feed", headers=self.caller.headers), "feed"))
        self._begin("prompt", self._read(self._post(client, f"{agent}/stream"), "prompt"))
        self._begin("execute", self._wait(self._post(client, f"{agent}/execute")))
        for name, query in STREAMS.items():
            self._begin(name, self._follow(client.get(f"{agent}/stream{query}", headers=self.caller.headers), name))

    def _begin(self, name: str, follow: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(self._until_end(name, follow)))

    async def _until_end(self, name: str, follow: Coroutine[Any, Any, None]) -> None:
        await follow
        self.ended_at[name] = monotonic()

    def _post(self, client: aiohttp.ClientSession, path: str) -> Request:
        return client.post(path, json={"input": "Go"}, headers=self.caller.headers)

    async def _read(self, request: Request, name: str) -> None:
        async with request as response:
            assert response.status == 200, await response.text()
            assert HEADERS.items() <= response.headers.items()
            async for _ in response.content:
                self.begun.add(name)

    async def _follow(self, request: Request, name: str) -> None:
        """Once there is a run: without one `until=done` is over at once."""
        await until(lambda: "prompt" in self.begun, "its run is in the log")
        await self._read(request, name)

    async def _wait(self, request: Request) -> None:
        """It answers when it has ended, and not before."""
        async with request as response:
            self.status_of_execute = response.status
            self.code_of_execute = (await response.json())["error"]["code"]

    async def _hear(self, client: aiohttp.ClientSession, name: str) -> None:
        async with client.ws_connect("/ws", headers=self.caller.headers) as socket:
            await socket.send_json({"type": "attach", "agent_id": self.caller.agent_id})
            async for message in socket:
                kind = message.json()["type"]
                if kind == "snapshot":
                    self.begun.add(name)
                if kind == "detached":
                    return
            self.close_code = socket.close_code


@pytest_asyncio.fixture
async def web(serve: Serve) -> WebServer:
    return await serve(DEFINITIONS=REPOSITORY / "agents.toml")


@pytest_asyncio.fixture
async def client(web: WebServer) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(web.url, connector=connector, timeout=aiohttp.ClientTimeout(None)) as made:
        yield made


# How access ends ------------------------------------------------------------------------------------------------------


def delete_token(caller: Caller) -> None:
    ApiToken.objects.get(user=caller.user).delete()


def expire_token(caller: Caller) -> None:
    ApiToken.objects.filter(user=caller.user).update(expires_at=Now())


def log_out(caller: Caller) -> None:
    assert caller.browser
    caller.browser.logout()


def expire_session(caller: Caller) -> None:
    Session.objects.filter(session_key=caller.session_key).update(expire_date=Now() - timedelta(seconds=1))


def deactivate(caller: Caller) -> None:
    caller.user.is_active = False
    caller.user.save()


def deactivate_by_update(caller: Caller) -> None:
    User.objects.filter(pk=caller.user.pk).update(is_active=False)


def change_password(caller: Caller) -> None:
    caller.user.set_password("another long password")
    caller.user.save()


def delete_agent(caller: Caller) -> None:
    journal.delete(caller.agent_id)
    Agent.objects.filter(pk=caller.agent_id).delete()
    end_streams(caller.agent_id)


def give_agent_away(caller: Caller) -> None:
    Agent.objects.filter(pk=caller.agent_id).update(owner=User.objects.create(username="heir"))


BY_TOKEN: tuple[Callable[[Caller], None], ...] = (delete_token, expire_token, deactivate, deactivate_by_update)
BY_SESSION: tuple[Callable[[Caller], None], ...] = (
    *(log_out, expire_session, deactivate, deactivate_by_update, change_password),
    *(delete_agent, give_agent_away),
)
OF_THE_AGENT = (delete_agent, give_agent_away)


async def test_whoever_loses_access_loses_everything_open_within_five_seconds(
    web: WebServer, client: aiohttp.ClientSession
):
    """All of them at once, beside two who keep theirs."""
    losing: list[tuple[Callable[[Caller], None], Open]] = []
    for by_token, ways in ((True, BY_TOKEN), (False, BY_SESSION)):
        for way in ways:
            caller = await in_database(Caller.create, f"{way.__name__} {by_token}", by_token=by_token)
            losing.append((way, Open(caller)))
    keeping = [Open(await in_database(Caller.create, f"keeps {one}", by_token=one)) for one in (True, False)]
    everybody = [*(opened for _, opened in losing), *keeping]
    for opened in everybody:
        opened.start(client)
    at_once = {"feed", *OF_AN_AGENT} - {"execute"}
    await until(lambda: all(opened.begun == at_once for opened in everybody), "all are live")
    await until_async(both_runs_of(everybody), "all that execute wait")

    began: dict[str, float] = {}
    for way, opened in losing:
        await in_database(way, opened.caller)
        began[opened.caller.user.username] = monotonic()
    expected = {opened.caller.user.username: set(OF_AN_AGENT) for _, opened in losing}
    for way, opened in losing:
        expected[opened.caller.user.username] |= set() if way in OF_THE_AGENT else {"feed"}
    await until(
        lambda: all(opened.ended_at.keys() == expected[opened.caller.user.username] for _, opened in losing),
        "all have ended",
    )
    late = {
        (name, kind): at - began[name]
        for _, opened in losing
        for kind, at in opened.ended_at.items()
        if at - began[name := opened.caller.user.username] > WITHIN_S
    }
    assert late == {}
    assert {opened.close_code for way, opened in losing if way not in OF_THE_AGENT} == {4401}
    assert [opened.ended_at for opened in keeping] == [{}, {}]
    for way, opened in losing:
        status, code = (404, "not-found") if way in OF_THE_AGENT else (401, "not-authenticated")
        assert (opened.status_of_execute, opened.code_of_execute) == (status, code)
        async with client.get(f"/api/agents/{opened.caller.agent_id}/stream", headers=opened.caller.headers) as refused:
            assert refused.status == status
    await stop(everybody)
    assert web.complaints() == []


def both_runs_of(opened: list[Open]) -> Callable[[], Awaitable[bool]]:
    """That of `prompt` and that of `execute`, each."""

    async def are_there() -> bool:
        return await in_database(Run.objects.count) == 2 * len(opened)

    return are_there


async def stop(opened: list[Open]) -> None:
    tasks = [task for one in opened for task in one.tasks]
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert result is None or isinstance(result, asyncio.CancelledError), result


@pytest.mark.parametrize("command", ["input", "cancel", "approve", "attach"])
async def test_a_command_is_refused_at_once_when_access_has_ended(serve: Serve, command: str):
    """Without word of it: the command looks for itself, unless the look at what is open happens to come first."""
    web = await serve(ACCESS_CHECK_S=4)
    caller = await in_database(Caller.create, "ada", by_token=True)
    run = await in_database(Run.objects.create, agent_id=caller.agent_id, number=1, input="Go")
    async with aiohttp.ClientSession(web.url) as client, client.ws_connect("/ws", headers=caller.headers) as socket:
        await socket.send_json({"type": "cancel", "id": 0, "run_id": "x"})
        assert (await socket.receive_json())["error"]["code"] == "not-found"
        await in_database(expire_token, caller)
        fields = {
            "input": {"agent_id": caller.agent_id, "input": "Go"},
            "cancel": {"run_id": str(run.pk)},
            "approve": {"run_id": str(run.pk), "approval_id": "a", "decision": "allow"},
            "attach": {"agent_id": caller.agent_id},
        }[command]
        await socket.send_json({"type": command, "id": 1, **fields})
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            answer = message.json()
            assert (answer["type"], answer["id"], answer["error"]["code"]) == ("error", 1, "not-authenticated")
            await socket.receive()
        assert socket.close_code == 4401
    assert await in_database(Run.objects.filter(cancel_requested_at=None).count) == 1


# Commands -------------------------------------------------------------------------------------------------------------


async def test_commands_over_a_socket_are_those_of_the_api(serve: Serve):
    web = await serve(DEFINITIONS=REPOSITORY / "agents.toml")
    caller = await in_database(Caller.create, "ada", by_token=True)
    stranger = await in_database(Caller.create, "eve", by_token=True)
    mine = caller.agent_id
    async with aiohttp.ClientSession(web.url) as client, client.ws_connect("/ws", headers=caller.headers) as socket:

        async def ask(**message: Any) -> Any:
            """The answer's code, or its run."""
            await socket.send_json({**message, "id": "x"})
            while (answer := await socket.receive_json())["type"] not in ("ack", "error"):
                pass
            assert (answer["id"], answer["for"]) == ("x", message["type"])
            return answer["error"]["code"] if answer["type"] == "error" else answer["run_id"]

        assert await ask(type="input", agent_id=mine) == "invalid-input"
        assert await ask(type="input", agent_id=mine, input="x" * 300_000) == "input-too-large"
        await in_database(Agent.objects.filter(pk=mine).update, definition="gone")
        assert await ask(type="input", agent_id=mine, input="Go") == "unknown-definition"
        await in_database(Agent.objects.filter(pk=mine).update, definition="demo")
        run_id = await ask(type="input", agent_id=mine, input="Go", idempotency_key="k")
        assert await ask(type="input", agent_id=mine, input="Go", idempotency_key="k") == run_id
        assert await ask(type="cancel", run_id=run_id) == run_id
        assert await ask(type="dance") == "invalid-input"
        foreign = await in_database(Run.objects.create, agent_id=stranger.agent_id, number=1, input="Go")
        assert await ask(type="input", agent_id=stranger.agent_id, input="Go") == "not-found"
        assert await ask(type="attach", agent_id=stranger.agent_id) == "not-found"
        assert await ask(type="cancel", run_id=str(foreign.pk)) == "not-found"
        answered = {"run_id": str(foreign.pk), "approval_id": "a", "decision": "allow"}
        assert await ask(type="approve", **answered) == "not-found"
    cancelled = await in_database(lambda: list(Run.objects.exclude(cancel_requested_at=None)))
    assert [str(run.pk) for run in cancelled] == [run_id]


# Origins --------------------------------------------------------------------------------------------------------------


async def connects(client: aiohttp.ClientSession, headers: dict[str, str]) -> int:
    """101, or how the handshake is refused."""
    try:
        async with client.ws_connect("/ws", headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


@pytest.mark.parametrize("by_token", [True, False])
async def test_a_page_connects_from_the_sites_own_origin_and_those_that_are_named(serve: Serve, by_token: bool):
    web = await serve(
        CSRF_TRUSTED_ORIGINS="https://agents.example.org",
        CORS_ORIGINS="https://app.example.org,http://127.0.0.1:1",
        TRUSTED_PROXIES="127.0.0.1",
    )
    caller = await in_database(Caller.create, "ada", by_token=by_token)
    port = web.url.rpartition(":")[2]
    allowed = [web.url, "https://agents.example.org", "https://app.example.org", "http://127.0.0.1:1"]
    foreign = [
        *("https://elsewhere.example", "null", "https://app.example.org.evil.example"),
        *(f"https://127.0.0.1:{port}", f"http://localhost:{port}", f"http://127.0.0.1:{int(port) + 1}"),
        *("http://127.0.0.1", "https://app.example.org:444", f"http://evil@127.0.0.1:{port}"),
    ]
    async with aiohttp.ClientSession(web.url) as client:
        answers = {origin: await connects(client, {**caller.headers, "Origin": origin}) for origin in allowed + foreign}
        assert answers == {**dict.fromkeys(allowed, 101), **dict.fromkeys(foreign, 403)}
        for malformed in ("", "*", f"{web.url}.evil.example"):
            assert await connects(client, {**caller.headers, "Origin": malformed}) in (400, 403)
        assert await connects(client, caller.headers) == 101
        assert await connects(client, {**caller.headers, "Origin": web.url, "Host": "evil.example"}) in (400, 403)
    assert web.complaints() == []


async def test_from_another_origin_the_session_counts_for_nothing_and_a_token_comes_first(serve: Serve):
    web = await serve(CORS_ORIGINS="https://app.example.org")
    caller = await in_database(Caller.create, "ada", by_token=False)
    token = await in_database(credentials.create_token, caller.user, "app")
    headers = {**caller.headers, "Origin": "https://app.example.org"}
    async with aiohttp.ClientSession(web.url) as client:
        async with client.ws_connect("/ws", headers=headers) as socket:
            await socket.send_json({"type": "attach", "agent_id": caller.agent_id})
            assert (await socket.receive_json())["error"]["code"] == "not-authenticated"
            await socket.receive()
            assert socket.close_code == 4401
        async with client.ws_connect("/ws", headers=headers) as socket:
            await socket.send_json({"type": "authenticate", "token": token})
            assert (await socket.receive_json())["type"] == "ack"
            await socket.send_json({"type": "attach", "agent_id": caller.agent_id})
            assert (await socket.receive_json())["type"] == "ack"
            assert (await socket.receive_json())["type"] == "snapshot"
        async with client.get(f"/api/agents/{caller.agent_id}/stream", headers=headers) as stream:
            assert stream.status == 401
    assert web.complaints() == []


async def test_whatever_comes_before_a_close_leaves_nothing_in_the_log(web: WebServer):
    """Messages to a socket that is being refused, wrong addresses, and clients that break off."""
    async with aiohttp.ClientSession(web.url) as client:
        for headers in (
            {"Authorization": "Bearer as_wrong"},
            {"Cookie": "sessionid=x"},
            {"Origin": "https://evil.example"},
        ):
            with contextlib.suppress(aiohttp.WSServerHandshakeError):
                async with client.ws_connect("/ws", headers=headers) as socket:
                    for _ in range(50):
                        with contextlib.suppress(ConnectionError):
                            await socket.send_str('{"type":"input","content":"x"}')
        for path in ("/ws/", "/ws/agents/x", "/nothing", "/api/feed"):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await client.ws_connect(path)
    socket_ = await web.never_reading("GET /ws HTTP/1.1")
    socket_.say({"type": "attach", "agent_id": "x"})
    socket_.reset()
    await asyncio.sleep(1.1)  # daphne looks at what has failed once a second
    assert web.complaints() == []
