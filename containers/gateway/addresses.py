"""Which addresses are the public Internet. Anything else is refused, whatever a name says: the site's own machine and
network, and the metadata services of clouds, from which keys can be had.

A name is resolved here, once, and what was judged is what is connected to: a second answer of the resolver (rebinding)
is never asked for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            # IANA's registries of special-purpose addresses. Not `is_global`: its answers differ between the patch
            # releases of one Python version.
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",  # where Oracle's cloud has its metadata, too
            "192.0.2.0/24",
            "192.88.99.0/24",  # 6to4 relays, which anybody could offer
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
            # Public by its number: the host of a machine inside Azure, which answers every guest.
            "168.63.129.16/32",
        ),
    )
)

RESOLVER_THREADS = 4
"""Own threads, since a resolver that hangs for half a minute would else keep the worker's others."""
_resolver = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")


def is_public(text: str) -> bool:
    """Whether an address, and every one that is packed into it, is of the public Internet and not this machine's."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(_is_global(one) for one in (address, *_packed(address))) and not _is_ours(address)


def _is_global(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST and address not in _NAT64:
        return False
    return not any(address in network for network in _NOT_PUBLIC)


def _packed(address: Address) -> Iterator[Address]:
    """The IPv4 address that a router on the way would unpack from an IPv6 one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None:
            yield address.sixtofour
        if address in _NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _is_ours(address: Address) -> bool:
    """A machine with a public address has servers there that are meant for its own network. The kernel says that it is
    ours by choosing it as the source towards itself; nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:  # no way there
        return False


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, in the system's order. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_resolver, _lookup, host, port)
    return list(dict.fromkeys(found))


def _lookup(host: str, port: int) -> list[str]:
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
