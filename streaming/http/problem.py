"""Error answers. There is one form of them, `{"error": {"code", "message", "details"?}}`, over HTTP and WebSockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder


@dataclass(eq=False)
class Problem(Exception):
    """An error answer: raise it where a request is refused.

    `code` is kebab-case and stable. `details.field` names the field that is wrong, where there is one.
    """

    status: int
    code: str
    message: str
    details: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self, **beside: Any) -> str:
        """Return `{"error": {...}}` as ASCII, with the fields of `beside` before it. Empty details are left out."""
        error = {"code": self.code, "message": self.message}
        if self.details:
            error["details"] = self.details
        return json.dumps({**beside, "error": error}, cls=DjangoJSONEncoder, separators=(",", ":"))

    @property
    def body(self) -> bytes:
        """The body of an HTTP response."""
        return self.to_json().encode()

    @property
    def all_headers(self) -> dict[str, str]:
        """`headers` and those of every HTTP error, except for Content-Length."""
        # An error describes one moment, so nobody may cache it.
        common = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        challenge = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        return {**common, **challenge, **self.headers}
