"""What a definition's `egress` opens, from inside a real container without network, over a takeover, into the log."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from agents.gateway import run_gateway
from agents.worker import container_cleanup
from containers.gateway import Gateway
from containers.gateway.destinations import patterns
from containers.gateway.server import Streams
from streaming.model.events import Event
from tests.agents.conftest import Parts
from tests.agents.site import PRELUDE, Site, errors, text, until

ASKS = """
import socket
def ask(target, words=b"hello"):
    host, port = os.environ["HTTPS_PROXY"].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as proxy:
        proxy.sendall(f"CONNECT {target} HTTP/1.1\\r\\n\\r\\n".encode() + words)
        proxy.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: proxy.recv(65536), b"")).decode()
"""
FORWARDED = ["/run/agentsite/forward.py", "--", "python3", "-u", "-c"]


@pytest.fixture(
    params=[pytest.param("docker", marks=pytest.mark.docker), pytest.param("bwrap", marks=pytest.mark.bwrap)]
)
def walled_site(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Site]:
    """With every engine that leaves a program no network."""
    yield from parts.site(request.param)


class Internet:
    """One server, reached at whatever name or public address."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._open(), self.loop).result(5)
        self.address = self._server.sockets[0].getsockname()

    async def _open(self) -> asyncio.Server:
        async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.read()).upper())
            writer.close()

        return await asyncio.start_server(shout, "127.0.0.1", 0)

    async def resolve(self, host: str, port: int) -> list[str]:
        return ["169.254.169.254"] if host == "metadata.example" else ["93.184.216.34"]

    async def connect(self, address: str, port: int) -> Streams:
        return await asyncio.open_connection(*self.address)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    made = Internet()
    monkeypatch.setattr(run_gateway, "Gateway", partial(Gateway, resolve=made.resolve, connect=made.connect))
    yield made
    made.close()


def reports(events: list[Event]) -> list[str]:
    found = [event.data["content"] for event in events if event.type == "log" and event.data["stream"] == "egress"]
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in found)
    return [line.strip() for line in found]


def forwarded(site: Site, name: str, code: str, egress: list[str]) -> str:
    program = [*FORWARDED, PRELUDE + ASKS + code]
    return site.define(name, command=["python3", *program], process_command=["{python}", *program], egress=egress)


def test_a_container_reaches_what_its_definition_names_and_nothing_else(walled_site: Site, internet: Internet):
    site = walled_site
    site.worker()
    forwarded(
        site,
        "asks",
        'for target in ("a.example:443", "b.example:443", "metadata.example:443", "93.184.216.34:443"):\n'
        '    say("text", content=ask(target).partition(" ")[2][:3] + " ")\n'
        'say("text", content=ask("a.example:443").splitlines()[-1])',
        egress=["a.example:443", "metadata.example:443"],
    )
    run = site.start("asks")
    events = site.end(run)
    assert errors(events) == []
    assert text(events) == "200 403 403 403 HELLO"
    said = reports(events)
    assert len(said) == 5
    assert said[0].startswith("egress to a.example:443: 5 bytes sent, 5 received, ")
    assert said[1:4] == [
        "egress to b.example:443 refused: the definition's `egress` does not name it",
        "egress to metadata.example:443 refused: it is not on the public Internet",
        "egress to 93.184.216.34:443 refused: the definition's `egress` does not name it",
    ]
    assert run_gateway.place().run_ids() == [], "the gateway is gone with its run"


def test_without_egress_there_is_no_gateway_in_the_container(walled_site: Site):
    walled_site.worker()
    walled_site.define(
        "looks", "say(\"text\", content=f\"{os.path.exists('/run/agentsite')} {'AGENTSITE_GATEWAY' in os.environ}\")"
    )
    assert text(walled_site.ended("looks")) == "False False"


def test_a_program_can_change_nothing_in_the_gateways_directory(walled_site: Site, internet: Internet):
    walled_site.worker()
    walled_site.define(
        "vandal",
        """
for name, act in (("remove", lambda p: os.remove(p)), ("write", lambda p: open(p, "w")),
                  ("chmod", lambda p: os.chmod(p, 0)), ("make", lambda p: open(p + "x", "w"))):
    for path in ("/run/agentsite/gateway.sock", "/run/agentsite/forward.py"):
        try:
            act(path)
            say("text", content=f"{name} {path} ")
        except OSError:
            pass
say("text", content=" ".join(sorted(os.listdir("/run/agentsite"))))
""",
        egress=["a.example:443"],
    )
    assert text(walled_site.ended("vandal")) == "forward.py gateway.sock"


def test_another_worker_takes_the_gateway_over(walled_site: Site, internet: Internet):
    site = walled_site
    first = site.worker()
    forwarded(
        site,
        "asks",
        'say("text", content=ask("a.example:443", b"before").splitlines()[-1])\n'
        'note("middle")\nwait("go")\n'
        'say("text", content=ask("a.example:443", b" after").splitlines()[-1])',
        egress=["a.example:443"],
    )
    run = site.start("asks")
    site.wait_file(run, "middle")
    site.kill(first)
    site.expire(run.agent)
    site.let(run, "go")  # it asks while nobody listens, and waits
    site.ask_worker(site.worker(), str(run.agent_id))
    events = site.end(run)
    assert errors(events) == []
    assert text(events) == "BEFORE AFTER"
    assert len(reports(events)) == 2


def test_a_program_cannot_say_what_only_the_gateway_says(site: Site):
    site.worker()
    site.define("forges", 'say("log", stream="egress", content="egress to nowhere: 0 bytes sent\\n")')
    events = site.ended("forges")
    assert reports(events) == []
    (said,) = [event.data for event in events if event.type == "log"]
    assert said["stream"] == "stdout"
    assert '"stream": "egress"' in said["content"]


def test_the_site_says_how_far_a_definition_may_go(site: Site, internet: Internet):
    """And a program on the machine itself finds the socket by its variable."""
    site.settings.EGRESS = patterns("*.example:22")
    site.worker()
    site.define(
        "asks",
        """
import socket
os.chdir(os.path.dirname(os.environ["AGENTSITE_GATEWAY"]))  # the path of a test is longer than a socket's may be
with socket.socket(socket.AF_UNIX) as gateway:
    gateway.connect("gateway.sock")
    gateway.sendall(b"CONNECT a.example:443 HTTP/1.1\\r\\n\\r\\n")
    say("text", content=gateway.recv(1000).decode().splitlines()[-1])
""",
        egress=["a.example:443"],
    )
    assert text(site.ended("asks")) == "agentsite: the site's AGENTSITE_EGRESS does not allow it"


def test_what_a_crash_has_left_is_removed(site: Site):
    worker = site.worker()
    site.define("waits", 'note("on")\nwait("go")', egress=["a.example:443"])
    run = site.start("waits")
    site.wait_file(run, "on")
    run_gateway.place().prepare("019a0000-0000-7000-8000-000000000000")
    run_gateway.place().prepare("not-ours")
    worker.submit(container_cleanup.sweep(worker.engines)).result(30)
    assert sorted(run_gateway.place().run_ids()) == sorted([str(run.pk), "not-ours"])
    site.let(run, "go")
    site.end(run)
    until(lambda: run_gateway.place().run_ids() == ["not-ours"], "removed with its run")


def test_a_socket_that_cannot_be_made_ends_the_run_with_words(site: Site):
    site.worker()
    site.define("asks", "", egress=["a.example:443"])
    run_gateway.place().path.write_text("in the way")
    events = site.ended("asks")
    assert errors(events) == ["start-failed"]
    assert "the gateway's socket can't be made" in next(e.data["message"] for e in events if e.type == "error")
