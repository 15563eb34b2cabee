"""Who may be connected to: destinations, patterns of them, and addresses that are public."""

from __future__ import annotations

import pytest

from containers.gateway import Allowlist, Destination, DestinationInvalid, Pattern
from containers.gateway.addresses import is_public
from containers.gateway.destinations import patterns
from tests.containers.gateway.site import PUBLIC

EVERYTHING = patterns("*:*")


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
        "2001:4:112::1", "2001:20::1", "3fff::1", "0.1.2.3",
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
