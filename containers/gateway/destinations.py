"""Where a program may connect to: hosts and ports by name. What the names resolve to is judged in addresses.py."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple, Self

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
HOST_CHARS = 253
ANY = "*"


class DestinationInvalid(ValueError):
    """Not a host and a port. The message says what is wrong with it."""


class Destination(NamedTuple):
    """`host` in lower case, without a dot at its end; an IPv6 address without brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`host:port` as in CONNECT, or `[address]:port`. Raises DestinationInvalid."""
        name, colon, number = text.rpartition(":")
        if not colon:
            raise DestinationInvalid("must be host:port")
        return cls(_host(name), _port(number))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Pattern(NamedTuple):
    """`example.org:443`; `*.example.org:443` for every name below it, at any depth, but not itself; `*:443`; `*:*`."""

    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises DestinationInvalid."""
        name, colon, number = text.strip().rpartition(":")
        if not colon:
            raise DestinationInvalid("must be host:port, for example example.org:443")
        port = None if number == ANY else _port(number)
        if name == ANY:
            return cls(ANY, port)
        below = name.startswith("*.")
        host = _host(name[2:] if below else name)
        if below and _is_address(host):
            raise DestinationInvalid("*. goes before a name, not an address")
        return cls(f"*.{host}" if below else host, port)

    def matches(self, destination: Destination) -> bool:
        if self.port not in (None, destination.port):
            return False
        if self.host.startswith("*."):
            return destination.host.endswith(self.host[1:])
        return self.host in (ANY, destination.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{ANY if self.port is None else self.port}"


def patterns(text: str) -> tuple[Pattern, ...]:
    """A comma-separated list. Raises DestinationInvalid, which names the one that is wrong."""
    found = []
    for one in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(Pattern.parse(one))
        except DestinationInvalid as error:
            raise DestinationInvalid(f"{one!r}: {error}") from None
    return tuple(found)


class Allowlist:
    """What a definition asks for, within what the site lets any definition have."""

    def __init__(self, wanted: Iterable[Pattern], site: Iterable[Pattern]) -> None:
        self._wanted, self._site = tuple(wanted), tuple(site)

    def refusal(self, destination: Destination) -> str | None:
        """Why not, in words for the program and the log; None if it is allowed."""
        if not any(pattern.matches(destination) for pattern in self._wanted):
            return "the definition's `egress` does not name it"
        if not any(pattern.matches(destination) for pattern in self._site):
            return "the site's AGENTSITE_EGRESS does not allow it"
        return None


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        return _address(text[1:-1])
    try:
        name = text.removesuffix(".").encode("idna").decode("ascii").lower() if not text.isascii() else text.lower()
    except UnicodeError:
        raise DestinationInvalid("is not a host name") from None
    name = name.removesuffix(".")
    labels = name.split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        return _address(name)  # resolvers also take 127.1 and 0x7f000001 for addresses: only the plain form is one here
    if len(name) > HOST_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise DestinationInvalid("is not a host name")
    return name


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise DestinationInvalid("is not an address") from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536:
        return int(text)
    raise DestinationInvalid("the port must be 1 to 65535")
