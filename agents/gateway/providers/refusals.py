"""What the gateway itself answers instead of a provider, in that provider's own shape: its clients understand that.

The code stands in front of the message, where every client shows it.
"""

from __future__ import annotations

import json
from typing import Any

from agents.gateway.providers.provider import Dialect


class Refusal(Exception):
    """`status` is chosen by what clients do: they repeat what is answered with 429 or 5xx, and nothing else."""

    code = ""
    status = 403

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class ProviderNotAllowed(Refusal):
    code = "provider-not-allowed"


class ProviderNotConfigured(Refusal):
    code = "provider-not-configured"


class PathNotAllowed(Refusal):
    code, status = "path-not-allowed", 404


class RequestTooLarge(Refusal):
    code, status = "request-too-large", 413


class BudgetExceeded(Refusal):
    code, status = "budget-exceeded", 402


class ProviderUnreachable(Refusal):
    code, status = "provider-unreachable", 502


class ProviderEchoedKey(Refusal):
    """`passed` is what of the answer comes before."""

    code = "provider-echoed-key"
    passed = b""


_GEMINI_STATUS = {402: "RESOURCE_EXHAUSTED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT"}
_ANTHROPIC_TYPE = {402: "billing_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large"}


def body(refusal: Refusal, dialect: Dialect) -> dict[str, Any]:
    message = f"{refusal.code}: {refusal.message}"
    if dialect == "anthropic":
        type_ = _ANTHROPIC_TYPE.get(refusal.status, "api_error")
        return {"type": "error", "error": {"type": type_, "message": message}}
    if dialect == "gemini":
        status = _GEMINI_STATUS.get(refusal.status, "UNAVAILABLE")
        return {"error": {"code": refusal.status, "message": message, "status": status}}
    if dialect == "ollama":  # its native API has the words alone, and OpenAI's clients take those too
        return {"error": message}
    return {"error": {"message": message, "type": "agentsite", "param": None, "code": refusal.code}}


def stream_error(refusal: Refusal, dialect: Dialect, path: str, *, is_event_stream: bool) -> bytes:
    """The same as the last words of a stream that has begun."""
    said = body(refusal, dialect)
    if not is_event_stream:
        return json.dumps(said).encode() + b"\n"
    if dialect == "openai" and path.endswith("/responses"):
        said = {**said["error"], "type": "error", "sequence_number": 0}
    name = "event: error\n" if said.get("type") == "error" else ""
    return f"{name}data: {json.dumps(said)}\n\n".encode()
