"""The gateway: who may be connected to, what passes, what is reported, and what a hostile program can't do with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from containers.gateway import Allowlist, Connection, Destination, DestinationInvalid, Gateway, GatewayPlace, Pattern
from containers.gateway import server as gateway_server
from containers.gateway.addresses import is_public
from containers.gateway.destinations import patterns
from containers.gateway.server import Streams

PUBLIC = "93.184.216.34"
EVERYTHING = patterns("*:*")


# Destinations and addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("web.test:443", "web.test", 443),
        ("Web.test.:443", "web.test", 443),
        ("_srv.a-b.example:1", "_srv.a-b.example", 1),
        ("bücher.example:443", "xn--bcher-kva.example", 443),
        ("93.184.216.34:65535", PUBLIC, 65535),
        ("[2606:2800:0220:1::1]:443", "2606:2800:220:1::1", 443),
    ],
)
def test_destinations(text: str, host: str, port: int):
    assert Destination.parse(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "", "web.test", ":443", "web.test:", "web.test:0", "web.test:65536", "web.test:44three", "web.test:+443",
        "a..b:1", "-a.b:1", "a_.b-:1", "a b:1", "a/b:1", "user@a.b:1", "*.a.b:1", "a" * 64 + ".b:1", "a." * 200 + "b:1",
        "127.1:80", "0x7f000001:80", "2130706433:80", "0177.0.0.1:80", "1.2.3.4.5:80", "::1:80", "[::1:80", "[a.b]:80",
        "a\x00b:1", "a\nb:1", "a.b:\u0661", "\ud800.b:1",
    ],
)  # fmt: skip
def test_what_is_no_destination(text: str):
    with pytest.raises(DestinationInvalid):
        Destination.parse(text)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("web.test:443", ["web.test:443"], ["web.test:80", "www.web.test:443", "xweb.test:443", "web.test.evil:443"]),
        ("*.web.test:443", ["a.web.test:443", "a.b.web.test:443"], ["web.test:443", "xweb.test:443", "a.web.test:80"]),
        ("*:443", ["web.test:443", "1.1.1.1:443"], ["web.test:80"]),
        ("*:*", ["web.test:80"], []),
        ("web.test:*", ["web.test:1"], ["a.web.test:1"]),
        ("[2606::1]:443", ["[2606::0:1]:443"], ["[2606::2]:443"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]):
    made = Pattern.parse(pattern)
    assert Pattern.parse(str(made)) == made
    assert all(made.matches(Destination.parse(one)) for one in matching)
    assert not any(made.matches(Destination.parse(one)) for one in other)


@pytest.mark.parametrize("text", ["*", "web.test", "*.1.2.3.4:1", "a*b.org:1", "*.*.org:1", "https://a.b:1"])
def test_what_is_no_pattern(text: str):
    with pytest.raises(DestinationInvalid):
        Pattern.parse(text)


def test_a_definition_gets_no_more_than_the_site_allows():
    allowlist = Allowlist(patterns("web.test:443, a.example:22"), patterns("*:443"))
    assert allowlist.refusal(Destination("web.test", 443)) is None
    assert "the site's" in (allowlist.refusal(Destination("a.example", 22)) or "")
    assert "the definition's" in (allowlist.refusal(Destination("b.example", 443)) or "")
    assert Allowlist(EVERYTHING, ()).refusal(Destination("a.example", 443))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
        "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
        "255.255.255.255", "192.88.99.1",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::5db8:d822", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "4000::1",
        "", "web.test", "1.2.3", "1.2.3.4.5",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::5db8:d822", "2002:5db8:d822::1"]
)
def test_addresses_that_are_public(address: str):
    assert is_public(address)


def test_this_machines_own_public_address_is_not(monkeypatch: pytest.MonkeyPatch):
    class Socket:
        def __init__(self, *_: object) -> None:
            self.to = ("", 0)

        def __enter__(self) -> Socket:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def connect(self, to: tuple[str, int]) -> None:
            self.to = to

        def getsockname(self) -> tuple[str, int]:
            return (PUBLIC, 1)  # what the kernel would send from

    monkeypatch.setattr("containers.gateway.addresses.socket.socket", Socket)
    assert not is_public(PUBLIC)
    assert is_public("1.1.1.1")


# The gateway ------------------------------------------------------------------------------------------------------


class Outside:
    """The Internet: a server on a port of this machine, which names and addresses are made to lead to."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.dialled: list[str] = []
        self.dead: set[str] = set()
        self._server: asyncio.Server | None = None

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError(-2, "Name or service not known")
        return self.names[host]

    async def connect(self, address: str, port: int) -> Streams:
        self.dialled.append(address)
        if address in self.dead:
            raise ConnectionRefusedError(111, "Connection refused")
        assert self._server is not None
        return await asyncio.open_connection(*self._server.sockets[0].getsockname())

    async def open(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._server = await asyncio.start_server(serve, "127.0.0.1", 0)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers everything, at the end of it, in capitals."""
    with contextlib.suppress(ConnectionError):
        writer.write((await reader.read()).upper())
        await writer.drain()
    writer.close()


class Site:
    def __init__(self, directory: Path, outside: Outside) -> None:
        self.outside = outside
        self.reports: list[Connection] = []
        self.directory = directory
        self.gateways: list[Gateway] = []

    async def gateway(self, wanted: str = "*:*", site: str = "*:*") -> Gateway:
        async def report(connection: Connection) -> None:
            self.reports.append(connection)

        made = Gateway(
            Allowlist(patterns(wanted), patterns(site)),
            report,
            resolve=self.outside.resolve,
            connect=self.outside.connect,
        )
        await made.open(self.directory)
        self.gateways.append(made)
        return made

    async def ask(self, text: str, body: bytes = b"") -> bytes:
        """Everything that comes back."""
        reader, writer = await self.connect()
        writer.write(text.encode("latin-1") + body)
        if body or not text.endswith("\r\n\r\n"):
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def connect(self) -> Streams:
        return await asyncio.open_unix_connection(self.directory / "gateway.sock")

    async def reported(self, count: int) -> list[Connection]:
        async with asyncio.timeout(20):
            while len(self.reports) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return self.reports


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    made = Outside()
    made.names["a.example"] = [PUBLIC]
    await made.open(shout)
    yield made
    made.close()


@pytest.fixture
async def site(tmp_path: Path, outside: Outside) -> AsyncIterator[Site]:
    made = Site(GatewayPlace(tmp_path / "gateway").prepare("r1"), outside)
    yield made
    for gateway in made.gateways:
        await gateway.close()


async def test_bytes_pass_both_ways_unchanged_and_are_counted(site: Site):
    await site.gateway("a.example:443")
    body = b"abc\r\n\r\n\0" * 50_000
    answer = await site.ask("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", body)
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert rest == body.upper()
    (connection,) = await site.reported(1)
    assert (connection.destination, connection.problem) == ("a.example:443", None)
    assert (connection.sent_bytes, connection.received_bytes) == (len(body), len(body))
    assert site.outside.dialled == [PUBLIC]


async def test_a_name_that_is_not_allowed_is_not_even_looked_up(site: Site):
    """A lookup alone would carry words out."""
    await site.gateway("a.example:443")
    answer = await site.ask("CONNECT secrets.evil.example:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"the definition's `egress` does not name it" in answer
    (connection,) = await site.reported(1)
    assert str(connection) == ("egress to secrets.evil.example:443 refused: the definition's `egress` does not name it")
    assert site.outside.asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1", "::ffff:10.0.0.5"])
async def test_a_name_that_leads_home_is_refused(site: Site, address: str):
    site.outside.names["a.example"] = [address]
    await site.gateway()
    answer = await site.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"not on the public Internet" in answer
    assert site.outside.dialled == []


async def test_what_was_judged_is_what_is_connected_to(site: Site):
    """One lookup, and of its answers only those that are public: rebinding finds nothing to bind to."""
    site.outside.names["a.example"] = ["127.0.0.1", PUBLIC, "10.0.0.1"]
    await site.gateway()
    assert (await site.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n", b"x")).endswith(b"X")
    assert site.outside.asked == ["a.example"]
    assert site.outside.dialled == [PUBLIC]


async def test_an_address_is_judged_as_a_name_is(site: Site):
    site.outside.names |= {"169.254.169.254": ["169.254.169.254"], "1.1.1.1": ["1.1.1.1"]}
    await site.gateway()
    assert (await site.ask("CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
    assert (await site.ask("CONNECT 1.1.1.1:80 HTTP/1.1\r\n\r\n", b"x")).startswith(b"HTTP/1.1 200 ")


async def test_the_next_address_is_tried(site: Site):
    site.outside.names["a.example"], site.outside.dead = ["1.1.1.1", PUBLIC], {"1.1.1.1"}
    await site.gateway()
    assert (await site.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n", b"x")).endswith(b"X")
    site.outside.dead.add(PUBLIC)
    answer = await site.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"Connection refused" in answer


async def test_a_name_that_is_not_there(site: Site):
    await site.gateway()
    answer = await site.ask("CONNECT nowhere.example:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"Name or service not known" in answer


async def test_a_resolver_that_hangs(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gateway_server, "CONNECT_TIMEOUT_S", 0.1)

    async def hang(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    site.outside.resolve = hang  # type: ignore[method-assign]
    await site.gateway()
    assert (await site.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("GET http://a.example/ HTTP/1.1\r\n\r\n", 405),
        ("POST /v1/messages HTTP/1.1\r\n\r\n", 405),
        ("CONNECT a.example HTTP/1.1\r\n\r\n", 400),
        ("CONNECT http://a.example:443/ HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a.example:443 HTTP/2\r\n\r\n", 400),
        ("CONNECT a.example:443\r\n\r\n", 400),
        ("CONNECT \x1b[2J\xe4:443 HTTP/1.1\r\n\r\n", 400),
        ("\x16\x03\x01 not http at all", 400),
        ("CONNECT a.example:443 HTTP/1.1\r\nUnfinished: ", 400),
        ("CONNECT a.example:443 HTTP/1.1\r\nX: " + "y" * 20_000 + "\r\n\r\n", 400),
    ],
)
async def test_bad_requests(site: Site, request_text: str, status: int):
    await site.gateway()
    assert (await site.ask(request_text)).startswith(f"HTTP/1.1 {status} ".encode())
    (connection,) = await site.reported(1)
    assert connection.problem
    assert str(connection).isprintable()
    assert len(str(connection)) < 500
    assert (await site.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n", b"x")).endswith(b"X")


async def test_who_says_nothing_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gateway_server, "REQUEST_TIMEOUT_S", 0.1)
    await site.gateway()
    reader, writer = await site.connect()
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_who_only_looks_in_is_not_reported(site: Site):
    await site.gateway()
    _, writer = await site.connect()
    writer.close()
    await site.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n", b"x")
    assert len(await site.reported(1)) == 1


async def test_a_silent_tunnel_is_closed_but_one_way_traffic_keeps_it(site: Site, monkeypatch: pytest.MonkeyPatch):
    """Time is the thing itself here: the gateway counts seconds of silence, and ten gaps of a tenth are more than its
    patience, of which each is a quarter."""
    monkeypatch.setattr(gateway_server, "IDLE_TIMEOUT_S", 0.4)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(10):
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.1)
        await reader.read()
        writer.close()

    site.outside.close()
    await site.outside.open(drip)
    await site.gateway()
    reader, writer = await site.connect()
    writer.write(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n")
    assert (await reader.read()).endswith(b"." * 10), "one second of one-way traffic, then silence"
    writer.close()
    (connection,) = await site.reported(1)
    assert connection.received_bytes == 10


async def test_no_more_connections_at_once_than_allowed(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gateway_server, "CONNECTIONS", 2)
    open_now = most = 0

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        writer.write(await reader.read())
        open_now -= 1
        writer.close()

    site.outside.close()
    await site.outside.open(hold)
    await site.gateway()
    ends = [await site.connect() for _ in range(5)]
    for _, writer in ends:
        writer.write(b"CONNECT a.example:443 HTTP/1.1\r\n\r\nx")
    for number, (reader, writer) in enumerate(ends):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 "), number
        writer.write_eof()
        assert await reader.read() == b"x"
        writer.close()
    assert most == 2


async def test_a_flood_of_connections_is_no_flood_of_reports(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gateway_server, "REPORTS_AT_ONCE", 3)
    monkeypatch.setattr(gateway_server, "REPORTS_PER_S", 10.0)
    await site.gateway("b.example:1")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.gather(*(site.ask("CONNECT a.example:1 HTTP/1.1\r\n\r\n") for _ in range(13)))
    assert len(site.reports) == 13
    assert loop.time() - begun >= 0.95, "three at once, and ten a second after"


async def test_closing_ends_what_is_open_and_reports_it(site: Site):
    gateway = await site.gateway()
    reader, writer = await site.connect()
    _, idle = await site.connect()
    writer.write(b"CONNECT a.example:443 HTTP/1.1\r\n\r\nabc")
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(5):
        await gateway.close()
        assert await reader.read() == b""
    assert [connection.destination for connection in site.reports] == ["a.example:443"]
    with pytest.raises(OSError):
        await site.connect()
    for end in (writer, idle):
        end.close()


async def test_a_takeover_binds_the_same_place_anew(site: Site):
    first = await site.gateway("a.example:443")
    await site.gateway("a.example:443")  # the first one's worker may not even know yet that it is fenced
    assert (await site.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n", b"x")).endswith(b"X")
    await first.close()
    assert (await site.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n", b"x")).endswith(b"X")


async def test_a_directory_deeper_than_a_sockets_path_may_be(tmp_path: Path, outside: Outside):
    deep = tmp_path.joinpath(*["d" * 40] * 5)
    site = Site(GatewayPlace(deep).prepare("r1"), outside)
    gateway = await site.gateway()
    assert (site.directory / "gateway.sock").is_socket()
    await gateway.close()


# The forwarder ----------------------------------------------------------------------------------------------------

ASKS = """
import os, socket, sys
host, port = os.environ["HTTPS_PROXY"].removeprefix("http://").split(":")
with socket.create_connection((host, int(port))) as proxy:
    proxy.sendall(b"CONNECT a.example:443 HTTP/1.1\\r\\n\\r\\nhello")
    proxy.shutdown(socket.SHUT_WR)
    answer = b"".join(iter(lambda: proxy.recv(65536), b""))
sys.stdout.write(answer.decode())
sys.stdout.write(sys.stdin.read())
sys.exit(7)
"""


@contextlib.asynccontextmanager
async def forwarded(site: Site, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(site.directory / "forward.py"),
        *arguments,
        env={"AGENTSITE_GATEWAY": str(site.directory / "gateway.sock"), "PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # as the end of a container does
    await process.wait()


async def test_the_forwarder_is_a_proxy_for_a_program_that_knows_only_proxies(site: Site):
    """The program's own stdin, stdout and exit code are untouched."""
    await site.gateway("a.example:443")
    async with forwarded(site, "--port", "0", "--", sys.executable, "-c", ASKS) as program:
        out, err = await asyncio.wait_for(program.communicate(b"to stdin"), 20)
        assert (program.returncode, err.decode()) == (7, "")
    assert out.endswith(b"\r\n\r\nHELLOto stdin")


async def test_the_forwarder_waits_for_a_gateway_that_is_being_taken_over(site: Site):
    gateway = await site.gateway()
    await gateway.close()
    program = f"print('asks', flush=True){ASKS}"
    async with forwarded(site, "--port", "0", "--", sys.executable, "-c", program) as process:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"asks\n"
        done, _ = await asyncio.wait([asyncio.create_task(process.wait())], timeout=1)
        assert not done, "it has given up, or was not refused"
        await site.gateway()
        out, _ = await asyncio.wait_for(process.communicate(b""), 20)
    assert b"HELLO" in out


async def test_a_command_that_is_not_there(site: Site):
    async with forwarded(site, "--port", "0", "--", "no-such-command") as program:
        _, err = await asyncio.wait_for(program.communicate(), 20)
    assert program.returncode == 1
    assert err.startswith(b"forward.py: cannot run 'no-such-command'")


@pytest.mark.parametrize("arguments", [[], ["--"], ["true"], ["--port", "--", "true"], ["--port", "x", "--", "true"]])
async def test_how_the_forwarder_is_called(site: Site, arguments: list[str]):
    async with forwarded(site, *arguments) as program:
        _, err = await asyncio.wait_for(program.communicate(), 20)
    assert program.returncode == 1
    assert err.startswith(b"usage: forward.py")


def test_places(tmp_path: Path):
    place = GatewayPlace(tmp_path / "gateway")
    assert place.run_ids() == []
    directory = place.prepare("r1")
    assert directory.stat().st_mode & 0o777 == 0o755
    assert place.path.stat().st_mode & 0o777 == 0o700
    assert (directory / "forward.py").stat().st_mode & 0o777 == 0o644
    assert place.prepare("r1") == directory
    assert place.run_ids() == ["r1"]
    place.remove("r1")
    assert place.run_ids() == []
