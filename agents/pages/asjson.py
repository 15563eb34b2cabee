"""JSON as a browser writes it, so that a page reads the same from the server and live: numbers as JavaScript says them,
and names that are numbers first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

INDENT = "  "
LARGEST_INDEX = 2**32 - 2
"""Beyond it a name is a name like any other (ECMAScript, OrdinaryOwnPropertyKeys)."""


def dumps(value: Any, margin: str = "\n") -> str:
    inner = margin + INDENT
    if isinstance(value, dict) and value:
        items = [f"{json.dumps(name, ensure_ascii=False)}: {dumps(value[name], inner)}" for name in names(value)]
        return "{" + inner + f",{inner}".join(items) + margin + "}"
    if isinstance(value, list) and value:
        return "[" + inner + f",{inner}".join(dumps(one, inner) for one in value) + margin + "]"
    return _number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def names(given: Mapping[str, Any]) -> list[str]:
    return sorted(given, key=lambda name: (0, int(name)) if _is_index(name) else (1, 0))


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdigit() and str(int(name[:11])) == name and int(name) <= LARGEST_INDEX


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 1e21:
        return str(int(Decimal(repr(value))))
    digits, _, exponent = repr(value).partition("e")
    if not exponent:
        return digits
    return format(Decimal(repr(value)), "f") if 1e-6 <= abs(value) < 1 else f"{digits}e{int(exponent):+d}"
