"""Canaries: keys of every provider are planted, in the environment and in the store; runs succeed, fail and crash, and
providers repeat the keys they are given. Then everything that a program, a user, an admin or a copy of the site's data
could see is searched for each key."""

from __future__ import annotations

import io
import json
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from aiohttp import web
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from agents.auth import credentials
from agents.models import ProviderKey, Run
from agentsite.environment import Environment
from tests.agents import mock_upstream as said
from tests.agents.conftest import Parts
from tests.agents.mock_upstream import Handler, MockUpstream, stream, whole
from tests.agents.site import Site, errors, text
from tests.agents.test_providers import WALLED, caller
from tests.api.conftest import ApiClient

pytestmark = pytest.mark.slow
KEYS = {
    "openai": "QzWv7Kx3Jp9RmYt5HnBd2LcGf8SuXe4A",
    "anthropic": "Vb6NqMw1ZkEj0TrPy3UhDx7CgLs9FaIo",
    "gemini": "J2xHf5YvKdQ8nWzRt4BmLp6GcSe1UaXk",
}
LOOKS = """
import glob
def everything():
    '''All that the program can see of itself and its container.'''
    seen = [json.dumps(dict(os.environ)), json.dumps(start)]
    for pattern in ("/proc/*/environ", "/proc/*/cmdline", "/run/agentsite/*", "/etc/*", "/tmp/*"):
        for path in glob.glob(pattern):
            try:
                with open(path, "rb") as file:
                    seen.append(path + " " + file.read(1 << 20).decode("latin-1"))
            except OSError:
                pass
    return "\\n".join(seen).replace("\\n", "\\n| ")  # so that no line of a file is taken for an event
def ask(path, body):
    answer = post("/providers/" + path, body, Authorization="Bearer mine")
    words = json.dumps(dict(answer.getheaders())) + answer.read().decode()
    note("answers.txt", words + "\\n")
    say("text", content=words)
    sys.stderr.write(words + "\\n")
ASKED = (
    ("openai/v1/chat/completions", {"model": "gpt-5-mini", "stream": True, "messages": []}),
    ("openai/v1/responses", {"model": "gpt-5-mini", "stream": True, "input": "x"}),
    ("anthropic/v1/messages", {"model": "claude-sonnet-4-5", "stream": True}),
    ("gemini/v1beta/models/gemini-2.5-flash:generateContent?key=mine", {}),
)
for path, body in ASKED:
    for _ in range(6):
        try:
            ask(path, body)
        except (OSError, http.client.HTTPException) as error:
            note("answers.txt", repr(error))
for path in ("openai/v1/files", "nobody/v1", "ollama/api/chat"):
    ask(path, {})
note("seen.txt", everything())
note("ready")
wait("go")
print(everything())
sys.exit(3)
"""


class Search:
    """`find` answers which keys are in what it is given."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.bytes = 0

    def find(self, place: str, content: str | bytes) -> list[str]:
        found = content.decode("latin-1") if isinstance(content, bytes) else content
        self.places.append(place)
        self.bytes += len(found)
        return [f"{name} in {place}" for name, key in KEYS.items() if key in found]


def gossip(request: web.Request) -> str:
    """The key that a provider was given, in the forms in which they repeat it."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    key = given or request.headers.get("x-api-key") or request.headers.get("x-goog-api-key") or ""
    return f"Incorrect API key provided: {key}, that is {key[:8]}***{key[-6:]}"


async def refuses(request: web.Request) -> web.Response:
    headers = {"x-your-key": gossip(request), "Set-Cookie": f"k={gossip(request)[-6:]}"}
    return web.json_response({"error": {"message": gossip(request), "code": 401}}, status=401, headers=headers)


async def babbles(request: web.Request) -> web.Response:
    return web.Response(text=f"<h1>{gossip(request)}</h1>", status=500, content_type="text/html")


async def breaks(request: web.Request) -> web.StreamResponse:
    """A stream that ends with an error."""
    (error,) = said.events({"type": "error", "error": {"message": gossip(request)}})
    return await stream(said.chat_stream()[0], error)(request)


async def tells(request: web.Request) -> web.StreamResponse:
    """A model that says the key, in one piece and in several."""
    pieces = said.chat_stream(text=gossip(request))
    return await stream(*(pieces if len(request.path) % 2 else said.events(gossip(request)) + pieces))(request)


async def tells_whole(request: web.Request) -> web.Response:
    return web.json_response(said.chat_whole(text=gossip(request)))


@pytest.fixture
def canary_mock(settings: Any) -> Iterator[MockUpstream]:
    mock = MockUpstream()
    settings.OPENAI_BASE_URL = settings.ANTHROPIC_BASE_URL = settings.GEMINI_BASE_URL = mock.url
    good: list[Handler] = [
        stream(*said.chat_stream()),
        stream(*said.responses_stream()),
        stream(*said.messages_stream()),
        whole({"modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 1}}),
    ]
    for answer in good:
        mock.then.extend([answer, refuses, babbles, breaks, tells, tells_whole])
    yield mock
    mock.close()


def plant(where: str, settings: Any, monkeypatch: pytest.MonkeyPatch, admin: Client) -> None:
    for name, key in KEYS.items():
        variable = f"{name.upper()}_API_KEY"
        if where == "environment":
            monkeypatch.setenv(variable, key)
        else:
            monkeypatch.delenv(variable, raising=False)
            assert admin.post("/admin/agents/providerkey/add/", {"provider": name, "key": key}).status_code == 302
    given = Environment()
    settings.PROVIDER_KEYS = {name: getattr(given, f"{name}_api_key") for name in KEYS}


@pytest.mark.parametrize("where", ["environment", "store"])
@pytest.mark.parametrize("engine", ["process", *WALLED])
def test_no_key_is_anywhere(
    parts: Parts,
    engine: str,
    where: str,
    canary_mock: MockUpstream,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    parts.settings.STATIC_ROOT = None  # no collectstatic in tests, and whitenoise warns of the missing directory
    for site in parts.site(engine):
        admin = Client()
        admin.force_login(User.objects.create_superuser("root"))
        plant(where, parts.settings, parts.monkeypatch, admin)
        search, found = Search(), list[str]()
        site.worker()
        caller(site, "looks", LOOKS, providers=["anthropic", "gemini"], trusted=True)
        run = site.start("looks")
        site.wait_file(run, "ready")
        found += of_processes(search, site, run)
        site.let(run, "go")
        events = site.end(run)
        assert errors(events) == ["container-exit"]
        assert sorted({event.data["model"].split(":")[0] for event in events if event.type == "usage"}) == sorted(KEYS)
        assert "Incorrect API key provided" in text(events)
        assert text(events).count("provider-echoed-key") >= len(KEYS)
        for event in events:
            found += search.find(f"event {event.type}", event.encode())
        found += of_files(search, parts.directory)
        found += of_stores(search, site)
        found += of_pages(search, site, run, admin)
        out, err = capfd.readouterr()
        records = "\n".join(str(vars(record)) for record in caplog.records)
        found += search.find("our own log", out + err + caplog.text + records + repr(site.settings.PROVIDER_KEYS))
        assert found == []
        # That the keys were in use, and that this search finds what is there:
        sent = json.dumps([one.headers for one in canary_mock.asked])
        assert [place.split(" ")[0] for place in search.find("what the providers got", sent)] == list(KEYS)
        assert search.bytes > 50_000, search.places


def of_processes(search: Search, site: Site, run: Run) -> list[str]:
    """Arguments of every process of this machine; environment and settings of the container."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += search.find(f"arguments {path}", path.read_bytes())
        except OSError:
            continue
    if site.engine == "docker":
        ref = site.containers(run)[0].ref
        inspected = subprocess.run(["docker", "inspect", ref], capture_output=True, check=True).stdout
        found += search.find("docker inspect", inspected)
        (inside,) = json.loads(inspected)
        found += search.find("environ", Path(f"/proc/{inside['State']['Pid']}/environ").read_bytes())
        for command in (["image", "inspect"], ["history", "--no-trunc"]):
            shown = subprocess.run(["docker", *command, inside["Image"]], capture_output=True, check=True).stdout
            found += search.find(" ".join(command), shown)
        found += search.find("docker logs", subprocess.run(["docker", "logs", ref], capture_output=True).stdout)
        found += search.find("docker diff", subprocess.run(["docker", "diff", ref], capture_output=True).stdout)
    return found


def of_files(search: Search, directory: Path) -> list[str]:
    """The data directory: workspaces, what is kept for diffs, journals of processes, gateways."""
    found: list[str] = []
    for path in directory.rglob("*"):
        found += search.find(f"name of {path}", str(path))
        if path.is_file() and not path.is_symlink():
            found += search.find(f"file {path}", path.read_bytes())
    assert any(place.endswith("seen.txt") for place in search.places)
    return found


def of_stores(search: Search, site: Site) -> list[str]:
    """Database and Redis, whole."""
    dump = io.StringIO()
    call_command("dumpdata", stdout=dump)
    found = search.find("database", dump.getvalue())
    client = redis.Redis.from_url(site.settings.REDIS_URL)
    for name in client.scan_iter("*", count=1000):
        found += search.find(f"redis {name!r}", bytes(name) + bytes(client.dump(name) or b""))
        if client.type(name) == b"stream":
            found += search.find(f"redis {name!r}", str(client.xrange(name)))
    client.close()
    return found


def of_pages(search: Search, site: Site, run: Run, admin: Client) -> list[str]:
    """The API and the pages as the agent's owner and as an admin sees them, and the admin itself."""
    found: list[str] = []
    api = ApiClient(credentials.create_token(site.owner, "test"))
    agent = f"/api/agents/{run.agent_id}"
    paths = [
        "/api/providers", "/api/models", "/api/definitions", "/api/agents", "/api/openapi.json", "/api/nothing", agent,
        f"{agent}/events?limit=1000", f"{agent}/runs", f"{agent}/files", f"{agent}/files/answers.txt", f"{agent}/diff",
        f"{agent}/snapshot", f"/api/runs/{run.pk}", "/metrics", "/readyz",
    ]  # fmt: skip
    for path in paths:
        response = api.send("GET", path)
        assert response.status_code in (200, 404, 503), (path, response.status_code)
        body = b"".join(response.streaming_content) if response.streaming else response.content
        found += search.find(path, f"{dict(response.headers)}".encode() + body)
    keys = [
        f"providerkey/{row.pk}/{page}/" for row in ProviderKey.objects.all() for page in ("change", "history", "delete")
    ]
    lists = ["", "agent/", "run/", "attempt/", "apitoken/", "providerkey/", "providerkey/add/", "agent/definitions/"]
    pages = [
        f"/admin/agents/{page}" for page in (*lists, f"agent/{run.agent_id}/change/", f"run/{run.pk}/change/", *keys)
    ]
    for path in ("/", "/admin/", *pages, f"/agents/{run.agent_id}/"):
        response = admin.get(path, follow=True)
        found += search.find(path, response.content)
    return found
