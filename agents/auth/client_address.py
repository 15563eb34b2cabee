"""The address that a request comes from: the peer's, or what proxies that the operator named say of it.

`X-Forwarded-For` is a header that every client can send. Each proxy adds the address that it was called from at the
end, so the list is read from the end for as long as the address that added an entry is in TRUSTED_PROXIES.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest

FORWARDED_FOR = "x-forwarded-for"
UNKNOWN = "unknown"
"""Of a peer without an address, as over a Unix socket."""
ENTRIES_MOST = 50


def address_of_request(request: HttpRequest) -> str:
    return client_address(request.META.get("REMOTE_ADDR") or "", request.headers.get(FORWARDED_FOR, ""))


def address_of_scope(scope: Mapping[str, Any]) -> str:
    """Of an ASGI scope."""
    peer = (scope.get("client") or ("",))[0]
    values = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == FORWARDED_FOR.encode()]
    return client_address(str(peer), ",".join(values))


def client_address(peer: str, forwarded_for: str) -> str:
    address = _parsed(peer)
    for entry in reversed(forwarded_for.split(",")[-ENTRIES_MOST:]):
        if address is None or not _is_trusted(address) or (before := _parsed(entry)) is None:
            break
        address = before
    return UNKNOWN if address is None else str(address)


def _is_trusted(address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
