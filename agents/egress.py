"""The gateway of one run: what its definition names may be connected to, and each connection is in the log."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from django.conf import settings

from agents.definitions import Definition
from containers.gateway import Allowlist, Connection, Gateway, GatewayPlace, Pattern
from streaming.errors import Fenced
from streaming.events import Draft, draft


def place() -> GatewayPlace:
    """Where this site's gateways are."""
    return GatewayPlace(settings.DATA_DIR / "gateway")


async def open_gateway(
    run_id: str, definition: Definition, append: Callable[[list[Draft]], Awaitable[object]]
) -> Gateway:
    """In a directory of its own, which is then `directory(run_id)`. Raises OSError."""

    async def report(connection: Connection) -> None:
        with contextlib.suppress(Fenced):  # another is the writer: its gateway reports from now on
            await append([draft("log", run_id, stream="egress", content=f"{connection}\n")])

    wanted = map(Pattern.parse, definition.egress)
    gateway = Gateway(Allowlist(wanted, settings.EGRESS), report)
    await gateway.open(place().prepare(run_id))
    return gateway


def directory(run_id: str) -> Path:
    return place().of(run_id)
