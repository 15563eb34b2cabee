"""The gateway of one run: what its definition names may be connected to or asked of a provider, and all of it is in the
log."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from agents.definitions import Definition
from agents.gateway.budgets.guard import Guard
from agents.gateway.providers import access
from agents.gateway.providers.server import ProviderGateway
from agents.gateway.providers.upstream import upstream
from agents.gateway.usage_ledger import RunLedger
from containers.gateway import Allowlist, Connection, Gateway, GatewayPlace, Pattern
from streaming.errors import Fenced
from streaming.model.events import Draft, draft


def place() -> GatewayPlace:
    """Where the gateways of this host are."""
    return GatewayPlace(settings.LOCAL_DIR / "gateway")


class RunGateway:
    """Both halves on one socket: tunnels to the Internet, and calls of models."""

    def __init__(self, tunnels: Gateway, calls: ProviderGateway | None) -> None:
        self._tunnels, self._calls = tunnels, calls

    async def close(self) -> None:
        if self._calls is not None:
            await self._calls.close()
        await self._tunnels.close()


def is_wanted(definition: Definition) -> bool:
    return bool(definition.egress or access.allowed(definition))


async def open_gateway(
    run_id: str,
    definition: Definition,
    append: Callable[[list[Draft]], Awaitable[object]],
    total: Callable[[], dict[str, Any]],
    guard: Guard,
) -> RunGateway:
    """In a directory of its own, which is then `directory(run_id)`. `total`: what the run has used. Raises OSError."""

    async def report(connection: Connection) -> None:
        with contextlib.suppress(Fenced):  # another is the writer: its gateway reports from now on
            await append([draft("log", run_id, stream="egress", content=f"{connection}\n")])

    allowed = access.allowed(definition)
    calls = ProviderGateway(allowed, upstream(), RunLedger(run_id, append, total, guard)) if allowed else None
    wanted = map(Pattern.parse, definition.egress)
    tunnels = Gateway(Allowlist(wanted, settings.EGRESS), report, http=calls.serve if calls else None)
    await tunnels.open(place().prepare(run_id))
    return RunGateway(tunnels, calls)


def directory(run_id: str) -> Path:
    return place().of(run_id)
