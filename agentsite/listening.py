"""Host names that the site answers to. Other names in a Host header are refused, because a foreign domain could point
here (DNS rebinding), and links would be made with it."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses of RFC 5737 and RFC 3849. Connecting a UDP socket sends nothing and shows which own address would be
used."""


def list_host_names(address: str) -> list[str]:
    """Return the names for ALLOWED_HOSTS of a site that listens on `address`. Loopback names are always among them."""
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return [*dict.fromkeys((*LOOPBACK, address.lower()))]
    if parsed.is_unspecified:
        return [*dict.fromkeys((*LOOPBACK, *_own_names(), *_own_addresses()))]
    return [*dict.fromkeys((*LOOPBACK, _as_host(str(parsed))))]


def _own_names() -> list[str]:
    name = socket.gethostname().lower()
    return [name, f"{name}.local"] if "." not in name else [name]


def _own_addresses() -> list[str]:
    """Return the addresses that other networks reach this machine by, and those of its host name."""
    found = []
    for family, outside in OUTSIDE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((outside, 9))
            found.append(_as_host(str(probe.getsockname()[0])))
    with suppress(OSError):
        found += [_as_host(str(info[4][0])) for info in socket.getaddrinfo(socket.gethostname(), None)]
    return found


def _as_host(address: str) -> str:
    address = address.partition("%")[0]
    return f"[{address}]" if ":" in address else address
