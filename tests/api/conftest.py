"""Users, tokens and clients of the API, and agents with a log to read."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import django
import pytest

from tests.servers.needs import on_sqlite


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """After the servers' plugin has written its addresses into the environment, and before models are imported."""
    django.setup()


on_postgres = pytest.mark.skipif(on_sqlite(), reason="SQLite is no server")
DEFINITIONS = """
[definitions.demo]
title = "Demo"
image = "demo"
model = "small"
trusted = true
env = { SECRET = "nobody's business" }
process_command = ["true"]
[definitions.demo.mcp_servers.search]
url = "https://search.example"
headers = { authorization = "secret" }
[definitions.other]
image = "other"
model = "small"
"""


class ApiClient:
    """A client that sends and expects JSON. `call` answers (status, body)."""

    def __init__(self, token: str | None = None) -> None:
        from django.test import Client

        self.django = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, bytes | str) else json.dumps(body) if body is not None else ""
        return self.django.generic(
            method, path, data, content_type="application/json", headers={**self.headers, **headers}
        )

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        response = self.send(method, path, body, **headers)
        if response.status_code == 204:
            return 204, None
        assert response["Content-Type"].startswith("application/json"), response.content[:500]
        return response.status_code, response.json()

    def get(self, path: str) -> Any:
        status, body = self.call("GET", path)
        assert status == 200, body
        return body


def problem(answer: tuple[int, Any]) -> tuple[int, str]:
    """(status, code) of an error, whose form is checked on the way."""
    status, body = answer
    assert set(body) == {"error"}, body
    assert set(body["error"]) <= {"code", "message", "details"}
    assert body["error"]["message"]
    return status, body["error"]["code"]


def field(answer: tuple[int, Any]) -> str:
    assert answer[0] in (413, 422), answer
    found: str = answer[1]["error"]["details"]["field"]
    return found


@pytest.fixture(autouse=True)
def site(settings, tmp_path: Path) -> None:
    """The API with definitions and workspaces of this test's own."""
    settings.WORKSPACES_DIR = tmp_path / "workspaces"
    settings.HISTORY_DIR = tmp_path / "history"
    settings.DEFINITIONS_FILE = tmp_path / "agents.toml"
    settings.STATIC_ROOT = None  # no collectstatic in tests, and whitenoise warns of the missing directory
    settings.WHITENOISE_USE_FINDERS = False  # each client would look for all files anew
    (tmp_path / "agents.toml").write_text(DEFINITIONS)


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nobody takes the runs of these tests up; the ids of agents that a worker was asked to look at."""
    asked: list[str] = []
    from agents.runs import commands

    monkeypatch.setattr(commands, "enqueue", asked.append)
    return asked


@pytest.fixture(scope="session")
def database_threads(django_db_setup: None) -> Iterator[None]:
    """The log's own connections, closed before the test database is dropped."""
    yield
    from streaming.store.database import close_threads

    close_threads()


@pytest.fixture
def user(database_threads: None, transactional_db: None) -> Any:
    from django.contrib.auth.models import User

    return User.objects.create_user("ada")


@pytest.fixture
def api(user: Any) -> ApiClient:
    from agents.auth import credentials

    return ApiClient(credentials.create_token(user, "test"))


@pytest.fixture
def database_away(transactional_db: None) -> Iterator[None]:
    """Nobody listens where the database is. The server itself goes on: its recovery would take half a minute, and all
    the other tests with it, if it failed (tests/faults kills real ones)."""
    from django.db import connection

    place = connection.settings_dict
    connection.close()
    port, place["PORT"] = place["PORT"], "1"
    yield
    connection.close()
    place["PORT"] = port


@pytest.fixture
def stranger(user: Any) -> ApiClient:
    from django.contrib.auth.models import User

    from agents.auth import credentials

    return ApiClient(credentials.create_token(User.objects.create_user("eve"), "test"))


@pytest.fixture
def agent_id(api: ApiClient) -> str:
    status, body = api.call("POST", "/api/agents", {"definition": "demo"})
    assert status == 201, body
    created: str = body["id"]
    return created


def write(agent_id: str, drafts: Sequence[Any], *, snapshot: bool = True) -> None:
    """Append events to an agent's log, as a supervisor does."""
    from agents.log import lease as leases
    from agents.log.projection import projection
    from streaming.model.cursor import Cursor
    from streaming.model.events import Event, now
    from streaming.store import journal

    deadline = time.monotonic() + 10
    while (lease := leases.acquire(agent_id, f"test-{uuid.uuid4()}")) is None:
        assert time.monotonic() < deadline, "somebody else goes on writing this log"
        time.sleep(0.02)
    tip = journal.begin(agent_id, lease.epoch, [], "")
    events = [
        Event(draft.type, agent_id, draft.run_id, lease.epoch, tip.seq + at, now(), draft.data)
        for at, draft in enumerate(drafts, 1)
    ]
    folded = journal.load(agent_id)
    folded.take(events)
    stored = [journal.Stored(Cursor(event.epoch, event.seq), event.encode()) for event in events]
    project = projection(agent_id)
    kept = journal.Kept.of(folded) if snapshot else None
    journal.commit(journal.Commit(agent_id, lease.epoch, stored, "", kept, lambda: project(events)))
    leases.release(lease)


async def over_asgi(api: ApiClient, method: str, path: str, body: Any = None) -> tuple[int, list[bytes]]:
    """Through Django's ASGI handler, as a server calls it: (status, the pieces of the body). `path` as it is sent."""
    from asgiref.testing import ApplicationCommunicator
    from django.core.handlers.asgi import ASGIHandler

    headers = {"host": "testserver", "content-type": "application/json", **api.headers}
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    site = ApplicationCommunicator(ASGIHandler(), scope)
    await site.send_input({"type": "http.request", "body": b"" if body is None else json.dumps(body).encode()})
    status: int = (await site.receive_output(timeout=100))["status"]
    pieces: list[bytes] = []
    while (message := await site.receive_output(timeout=100))["type"] == "http.response.body":
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    await site.wait()
    return status, pieces
