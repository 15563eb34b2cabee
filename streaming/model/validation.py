"""Say in plain English what pydantic found wrong, for people who write requests, definitions and settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "value_error": "{error}",
    "assertion_error": "{error}",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length:,} characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "string_unicode": "must be text in UTF-8",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:,}",
    "greater_than_equal": "must be at least {ge:,}",
    "less_than": "must be less than {lt:,}",
    "less_than_equal": "must be at most {le:,}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have at least {min_length:,} entries",
    "too_long": "must have at most {max_length:,} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "none_required": "must be null",
    "timezone_aware": "must have a time zone, as in 2026-11-20T12:00:00Z",
    "timezone_naive": "must have no time zone",
    "json_invalid": "is not JSON",
    "recursion_loop": "must not contain itself",
}
_KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "decimal": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "bytes": "must be text",
    "list": "must be a list",
    "tuple": "must be a list",
    "set": "must be a list",
    "frozen": "must be a list",
    "iterable": "must be a list",
    "dict": "must be {object}",
    "model": "must be {object}",
    "mapping": "must be {object}",
    "dataclass": "must be {object}",
    "uuid": "must be a UUID",
    "datetime": "must be a date and time, as 2026-11-20T12:00:00Z",
    "date": "must be a date, as 2026-11-20",
    "time": "must be a time or a duration",
    "url": "must be an address, as https://example.org/",
    "path": "must be a path",
    "union": "has an unknown type",
    "json": "must be JSON",
}
"""For all other types of errors, by the word that they begin with."""
_BRANCH = re.compile(r"\[key\]|[a-z-]+\[.*\]|str|int|float|bool|none|constrained-[a-z]+", re.DOTALL)
"""What pydantic adds to a field's path inside unions and for keys."""


def plain_problems(
    errors: Iterable[Mapping[str, Any]], object_word: str = "an object"
) -> list[tuple[tuple[str, ...], str]]:
    """(path of a field, what is wrong with it), of `ValidationError.errors()`. One entry a field: where several kinds
    of values are allowed, all of them are named. `object_word`: what the format calls a set of fields."""
    found: dict[tuple[str, ...], list[str]] = {}
    for error in errors:
        path = tuple(str(part) for part in error["loc"] if isinstance(part, int) or not _BRANCH.fullmatch(part))
        message = _message(error, object_word)
        if message not in found.setdefault(path, []):
            found[path].append(message)
    return [(path, ", or ".join(messages)) for path, messages in found.items()]


def _message(error: Mapping[str, Any], object_word: str) -> str:
    type_, context = str(error["type"]), dict(error.get("ctx") or {})
    if context.get("min_length") == 1:
        return "must not be empty"
    template = _MESSAGES.get(type_) or _KINDS.get(type_.partition("_")[0], "is not valid")
    try:
        return template.format(**{**context, "object": object_word})
    except (LookupError, ValueError, TypeError):  # an error of ours without a context: its words are ours, too
        return str(error["msg"]).removeprefix("Value error, ")
