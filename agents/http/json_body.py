"""JSON as RFC 8259 has it: no NaN, and no guessing what else a body may be."""

from __future__ import annotations

import json
from typing import Any

from agents.http.problems import JsonInvalid


def parse_json(body: bytes) -> Any:
    """Raises JsonInvalid."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except RecursionError:
        raise JsonInvalid("the body is nested too deeply") from None
    except ValueError as error:
        # Python's own limit of digits for an integer is no error of the decoder, and neither is what we refuse.
        too_large = str(error).startswith("Exceeds the limit")
        raise JsonInvalid("a number is too large" if too_large else "the body is not JSON") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
