"""Request bodies in JSON as RFC 8259 defines it: without NaN, and only where the request says that it is JSON."""

from __future__ import annotations

import json
from typing import Any

from agents.http.problems import JsonInvalid, MediaTypeWrong


def require_json(content_type: str) -> None:
    """Raise MediaTypeWrong for a Content-Type other than application/json."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise MediaTypeWrong("send the body as application/json")


def parse_json(body: bytes) -> Any:
    """Return the parsed body. Raises JsonInvalid."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise JsonInvalid("the body is nested too deeply") from None
    except ValueError as error:
        # Python limits the digits of an integer with a plain ValueError; other ValueErrors mean that it is not JSON.
        too_large = str(error).startswith("Exceeds the limit")
        raise JsonInvalid("a number is too large" if too_large else "the body is not JSON") from None


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
