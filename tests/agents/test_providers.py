"""Runs that call models: what a program finds inside, what its log says of it, and what becomes of a call whose worker
dies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from agents.gateway.providers import keys
from agents.models import ProviderKey
from streaming.model.events import Event
from tests.agents import mock_upstream as said
from tests.agents.conftest import Parts
from tests.agents.mock_upstream import MockUpstream, stream, whole
from tests.agents.site import PRELUDE, Site, errors, text, until

CALLS = """
import http.client, socket, urllib.parse
class OverSocket(http.client.HTTPConnection):
    def connect(self):
        here = os.getcwd()
        os.chdir(os.path.dirname(os.environ["AGENTSITE_GATEWAY"]))  # a socket's path may be short only
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("gateway.sock")
        os.chdir(here)
def connection():
    if os.environ.get("HTTPS_PROXY"):
        return http.client.HTTPConnection("127.0.0.1", 3128, timeout=100)
    return OverSocket("localhost", timeout=100)
def post(path, body, **headers):
    made = connection()
    made.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    return made.getresponse()
def chat(words="hi", model="gpt-5-mini", streams=True):
    '''The text of the answer, said as it comes.'''
    base = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"]).path
    body = {"model": model, "stream": streams, "messages": [{"role": "user", "content": words}]}
    answer = post(base + "/chat/completions", body, Authorization="Bearer " + os.environ["OPENAI_API_KEY"])
    if answer.status != 200:
        say("text", content=f"{answer.status} {answer.read().decode()}")
        return answer.status
    for line in answer:
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                say("text", content=choice["delta"]["content"])
        if line.startswith(b"data: [DONE]"):
            return 200
    raise ConnectionError("the answer broke off")  # http.client says nothing of it
"""
FORWARDED = ["/run/agentsite/forward.py", "--", "python3", "-u", "-c"]


@pytest.fixture
def mock(settings: Any) -> Iterator[MockUpstream]:
    made = MockUpstream()
    settings.OPENAI_BASE_URL = f"{made.url}/v1"
    settings.ANTHROPIC_BASE_URL = settings.GEMINI_BASE_URL = made.url
    settings.PROVIDER_KEYS = {name: SecretStr("") for name in ("openai", "anthropic", "gemini")}
    settings.PROVIDER_KEYS["openai"] = SecretStr("sk-real")
    yield made
    made.close()


WALLED = [pytest.param("docker", marks=pytest.mark.docker), pytest.param("bwrap", marks=pytest.mark.bwrap)]


@pytest.fixture(params=["process", *WALLED])
def calling_site(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Site]:
    yield from parts.site(request.param)


def caller(site: Site, name: str, code: str, **fields: Any) -> str:
    """A definition whose program calls models: through the forwarder where it has a network of its own."""
    program = PRELUDE + CALLS + code
    fields = {"model": "openai:gpt-5-mini", **fields}
    if site.engine == "process":
        return site.define(name, CALLS + code, **fields)
    forwarded = [*FORWARDED, program]
    return site.define(name, command=["python3", *forwarded], process_command=["{python}", *forwarded], **fields)


def usages(events: list[Event]) -> list[dict[str, Any]]:
    return [event.data for event in events if event.type == "usage"]


def test_a_program_calls_a_model_and_the_gateway_says_what_it_used(calling_site: Site, mock: MockUpstream) -> None:
    site = calling_site
    site.worker()
    mock.always = stream(*said.chat_stream())
    caller(site, "asks", 'chat()\nsay("text", content=" / ")\nchat()')
    run = site.start("asks")
    events = site.end(run)
    assert errors(events) == []
    assert text(events) == "Hello / Hello"
    first, second = usages(events)
    assert {**first, "cost_usd": None, "total": None} == {
        "model": "openai:gpt-5-mini", "input_tokens": 12, "output_tokens": 3, "cost_usd": None, "total": None
    }  # fmt: skip
    assert first["cost_usd"] > 0
    assert second["total"] == {"input_tokens": 24, "output_tokens": 6, "cost_usd": 2 * first["cost_usd"]}
    assert events[-1].data["usage"] == second["total"]
    order = [event.type for event in events if event.type in ("usage", "text")]
    last = next(at for at, event in enumerate(events) if event.type == "text" and "/" in event.data["content"])
    assert "usage" in [event.type for event in events[:last]], order  # what it said after a call comes behind its usage
    assert [one.headers["Authorization"] for one in mock.asked] == ["Bearer sk-real"] * 2
    assert mock.asked[0].json["stream_options"] == {"include_usage": True}


def test_a_program_finds_base_urls_and_no_key(calling_site: Site, mock: MockUpstream) -> None:
    site = calling_site
    site.worker()
    caller(
        site,
        "looks",
        'names = [n for n in os.environ if "API_KEY" in n or "BASE_URL" in n]\n'
        'say("text", content=json.dumps({n: os.environ[n] for n in names}, sort_keys=True))',
        providers=["gemini", "ollama"],
        env={"OLLAMA_BASE_URL": "http://mine.example"},
    )
    assert text(site.ended("looks")) == (
        '{"GEMINI_API_KEY": "agentsite", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:3128/providers/gemini", '
        '"OLLAMA_BASE_URL": "http://mine.example", "OPENAI_API_KEY": "agentsite", '
        '"OPENAI_BASE_URL": "http://127.0.0.1:3128/providers/openai/v1"}'
    )


def test_without_a_provider_there_is_no_gateway(site: Site, mock: MockUpstream) -> None:
    site.worker()
    site.define("looks", 'say("text", content=str("AGENTSITE_GATEWAY" in os.environ))', model="small")
    assert text(site.ended("looks")) == "False"


def test_egress_and_models_share_the_socket(site: Site, mock: MockUpstream) -> None:
    mock.always = stream(*said.chat_stream())
    site.worker()
    caller(
        site,
        "asks",
        'made = connection()\nmade.connect()\nmade.sock.sendall(b"CONNECT b.example:443 HTTP/1.1\\r\\n\\r\\n")\n'
        'say("text", content=made.sock.recv(100).decode()[9:12] + " ")\nchat()',
        egress=["a.example:443"],
    )
    assert text(site.ended("asks")) == "403 Hello"


def test_what_a_program_counts_itself_does_not_count(site: Site, mock: MockUpstream) -> None:
    site.worker()
    says = 'say("usage", model="m", input_tokens=1000, output_tokens=1)'
    site.define("claims", says, model="openai:gpt-5-mini")
    site.define("counts", says)
    claimed = site.ended("claims")
    assert usages(claimed) == []
    assert [event.data["stream"] for event in claimed if event.type == "log"] == ["stdout"]
    assert claimed[-1].data["usage"] == {"input_tokens": 0, "output_tokens": 0, "cost_usd": None}
    assert usages(site.ended("counts"))[0]["total"]["input_tokens"] == 1000, "nobody else counts there"


def test_what_is_refused_or_fails_is_told_to_program_and_people(site: Site, mock: MockUpstream) -> None:
    site.worker()
    mock.always = whole({"error": {"message": "Slow down"}}, 429)
    caller(
        site,
        "asks",
        'chat()\nsay("text", content=" %d" % post("/providers/anthropic/v1/messages", {}).status)\n'
        'say("text", content=" %d" % post("/providers/openai/v1/files", {}).status)',
    )
    events = site.ended("asks")
    assert text(events) == '429 {"error": {"message": "Slow down"}} 403 404'
    notes = [event.data["content"] for event in events if event.type == "log" and event.data["stream"] == "egress"]
    assert [note.split(": ")[0:2] for note in notes] == [
        ["openai answered 429", "Slow down\n"],
        ["model call refused", "provider-not-allowed"],
        ["model call refused", "path-not-allowed"],
    ]
    assert usages(events) == []


def test_a_key_from_the_admin_is_used_and_a_new_one_soon(
    site: Site, mock: MockUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "KEPT_S", 0.0)
    site.settings.PROVIDER_KEYS = {**site.settings.PROVIDER_KEYS, "openai": SecretStr("")}
    mock.always = stream(*said.chat_stream())
    site.worker()
    caller(site, "asks", 'chat()\nnote("first")\nwait("go")\nchat()')
    ProviderKey.objects.create(provider="openai", ciphertext=keys.encrypt("sk-stored"))
    run = site.start("asks")
    site.wait_file(run, "first")
    ProviderKey.objects.update(ciphertext=keys.encrypt("sk-newer"))
    site.let(run, "go")
    assert text(site.end(run)) == "HelloHello"
    assert [one.headers["Authorization"] for one in mock.asked] == ["Bearer sk-stored", "Bearer sk-newer"]
    assert "sk-" not in ProviderKey.objects.get().ciphertext
    site.settings.SECRET_KEY = "another"
    events = site.ended("asks2" if caller(site, "asks2", "chat()") else "")
    assert "provider-not-configured" in text(events)
    assert "enter it again" in text(events)


@pytest.mark.parametrize("calling_site", WALLED, indirect=True)
def test_a_worker_that_dies_in_a_call_and_the_client_s_retry(calling_site: Site, mock: MockUpstream) -> None:
    """Where there is a forwarder: it waits for the next worker."""
    site = calling_site
    first = site.worker()
    never = threading.Event()
    pieces = said.chat_stream()
    mock.then.append(stream(*pieces[:2], b"", wait=never))
    mock.always = stream(*pieces)
    caller(
        site,
        "asks",
        """
while True:
    try:
        chat()
        break
    except (OSError, http.client.HTTPException) as error:
        say("text", content=" (again) ")
""",
    )
    run = site.start("asks")
    until(lambda: len(mock.asked) == 1 and "He" in text(site.events(run)), "the first call has begun")
    site.kill(first)
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))
    events = site.end(run)
    never.set()
    assert errors(events) == []
    assert text(events).endswith(" (again) Hello")
    assert len(mock.asked) == 2
    assert usages(events)[-1]["total"] == events[-1].data["usage"]
