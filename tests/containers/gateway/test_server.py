"""The gateway: what passes, what is reported, and what a hostile program can't do with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from containers.gateway import GatewayPlace
from containers.gateway import server as gateway_server
from tests.containers.gateway.site import PUBLIC, Outside, Site


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
