"""Errors as OpenAI words them: of both its formats, and of the servers that are compatible with it."""

from __future__ import annotations

from .script import Asked, Kind
from .wire import Json, Refusal, retry_after

# status, type, code, message
ERRORS: dict[Kind, tuple[int, str, str | None, str]] = {
    "unauthorized": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "rate-limited": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests per min (RPM)."),
    "quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "overloaded": (503, "server_error", None, "The engine is currently overloaded, please try again later."),
    "server-error": (500, "server_error", None, "The server had an error while processing your request."),
    "context-too-long": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens.",
    ),
    "unknown-model": (404, "invalid_request_error", "model_not_found", "The model does not exist."),
    "bad-request": (400, "invalid_request_error", None, "The script of the mock provider is over."),
    "no-streaming": (
        400,
        "invalid_request_error",
        "unsupported_value",
        "Your organization must be verified to stream this model.",
    ),
    "no-such-path": (404, "invalid_request_error", None, "Unknown request URL. Please check the URL for typos."),
}


def error_of(kind: Kind) -> Json:
    _, type_, code, message = ERRORS[kind]
    return {"message": message, "type": type_, "param": "stream" if kind == "no-streaming" else None, "code": code}


def refuse(kind: Kind, asked: Asked, retry_after_s: float | None) -> Refusal:
    return Refusal(ERRORS[kind][0], {"error": error_of(kind)}, retry_after(retry_after_s))
