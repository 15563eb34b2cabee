"""What a dialect says of one event. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from streaming.model.events import Event

Part = dict[str, Any]


class Saying(NamedTuple):
    """`parts`: the last of them carries the event's cursor. So it is the one that a client must not take twice: cut
    before it, the event comes again; cut behind it, what is in `closing` is lost, which says nothing new."""

    parts: Sequence[Part]
    closing: Sequence[Part] = ()


def with_run(event: Event) -> dict[str, Any]:
    """An event's data, for parts of our own: with the run that it belongs to."""
    return {"run_id": event.run_id, **event.data}


def field_of(call: dict[str, Any], name: str) -> Any:
    """A call's arguments or result. Where the state leaves it out because it is large: an object with its size."""
    omitted = call.get("omitted_bytes", {}).get(name)
    return call[name] if omitted is None else {"omitted_bytes": omitted}
