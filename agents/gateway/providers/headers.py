"""What of a request reaches the provider, and what of its answer the program: lists of what passes, never of what does
not. So no credentials, cookies, addresses or names of the site's account pass in either direction, whatever they are
called next year.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlencode

_ASKED = frozenset(
    (
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-encoding",
        "content-type",
        "idempotency-key",
        "openai-beta",
        "user-agent",
        "x-goog-api-client",
    )
)
_ASKED_PREFIX = "x-stainless-"
"""What the SDKs of OpenAI and Anthropic say of themselves."""
_ANSWERED = frozenset(("content-type", "request-id", "retry-after", "retry-after-ms", "x-request-id", "x-should-retry"))
_QUERY = frozenset(("alt", "beta", "limit", "after_id", "before_id", "pageSize", "pageToken"))
"""Gemini also takes a key there."""


def asked(headers: Iterable[tuple[str, str]], key_headers: Mapping[str, str]) -> dict[str, str]:
    """`headers` may name one several times. Answers must come uncompressed: they are read on their way."""
    passed = {name: value for name, value in headers if _passes(name.lower())}
    return {**passed, "Accept-Encoding": "identity", **key_headers}


def _passes(name: str) -> bool:
    return name in _ASKED or name.startswith(_ASKED_PREFIX)


def answered(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    passed = {name: value for name, value in headers if name.lower() in _ANSWERED}
    return {**passed, "Cache-Control": "no-store", "Server": "agentsite"}


def query(text: str) -> str:
    return urlencode([(name, value) for name, value in parse_qsl(text, keep_blank_values=True) if name in _QUERY])
