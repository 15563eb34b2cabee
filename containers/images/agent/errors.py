"""What may go wrong with a provider, as codes and words that say what to do. The codes are in README.md."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from pydantic_ai import exceptions as wrong

from .protocol import AgentError as AgentError

GATEWAY_CODES = (
    "budget-exceeded",
    "provider-not-allowed",
    "provider-not-configured",
    "path-not-allowed",
    "provider-unreachable",
    "provider-echoed-key",
)
"""The site's own gateway answers with these, inside the provider's shape of an error."""
DETAIL_CHARACTERS = 400
_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|exceeds? (the|its) (available |maximum )?context|"
    r"context (length|window|size) (is|of) only|maximum context length|context the overflows",
    re.I,
)
EXCERPT_CHARACTERS = 300
"""Of a page that came in place of an error."""
_PASSING = re.compile(
    r"overload|over capacity|rate.?limit|too.?many.?requests|resource.?exhausted|unavailable|time[d ]?.?out|temporar|"
    r"later|internal|server.?error|api_error|connection",
    re.I,
)
"""In the codes, types and words of errors that may be gone the next time."""
_STATUSES = {
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "api_error": 500,
    "overloaded_error": 529,
}
"""By the type or code of an error, for those that come without a status."""
_MARKUP = re.compile(r"(?s)<(script|style)\b.*?</\1>|<!--.*?-->|<[a-z!/][^>]*>", re.I)
_PAGE = re.compile(r"<(!doctype|html|head|body)\b", re.I)
_KNOWN_CODES = ("model_not_found", "invalid_api_key", "insufficient_quota", "content_policy_violation")
ENDED_EARLY = "ended without"
"""As pydantic-ai words it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A failed call of a model. `again`: trying it again may help, after `wait_s` if the provider said so."""

    code: str
    message: str
    again: bool = False
    wait_s: float | None = None

    def error(self) -> AgentError:
        return AgentError(self.code, self.message, self.again)


class ContextTooLong(AgentError):
    """The conversation is longer than the model takes."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code, problem.message)


def describe(error: BaseException, model: str) -> Problem:
    """The most specific kind first: several of these are subclasses of others."""
    provider = model.partition(":")[0]
    detail = detail_of(error)
    wait_s = getattr(error, "retry_after", None)
    if code := next((code for code in GATEWAY_CODES if code in detail), None):
        return Problem(code, detail.rpartition(f"{code}: ")[2], again=code == "provider-unreachable")
    match error:
        case wrong.ModelAuthenticationError():
            return Problem("provider-auth", f"{provider} refused the key: check the site's key of it. {detail}")
        case wrong.ModelQuotaExceededError():
            return Problem("quota-exceeded", f"The account at {provider} has no quota or credit left. {detail}")
        case wrong.ModelRateLimitError():
            words = f"{provider} limits how often it may be asked; try again later, or ask for a higher limit. {detail}"
            return Problem("rate-limited", words, True, wait_s)
        case wrong.ModelUnavailableError():
            words = f"{provider} is overloaded; try again later, or choose another model. {detail}"
            return Problem("provider-overloaded", words, True, wait_s)
        case wrong.ModelServerError():
            return Problem("provider-error", f"{provider} failed; try again later. {detail}", True, wait_s)
        case wrong.ModelRequestTimeout() | wrong.ModelTimeoutError():
            return Problem("provider-timeout", f"{provider} did not answer in time; try again. {detail}", True)
        case wrong.ModelConnectionError(phase="pool" | "connect" | "write"):
            return Problem("provider-unreachable", f"{provider} cannot be reached. {detail}", True)
        case wrong.ModelConnectionError():
            return Problem("stream-cut", f"The answer of {provider} broke off; run it again. {detail}", True)
        case _ if exceeds_context(error):
            return Problem("context-too-long", f"The conversation is too long for {model}; start a new one. {detail}")
        case wrong.ModelNotFoundError():
            return Problem("unknown-model", f"{provider} does not know {model}: check the definition. {detail}")
        case wrong.ModelRequestRejectedError():
            return Problem("provider-refused", f"{provider} refused the request. {detail}")
        case wrong.ModelAPIError(in_stream=True) if not _passes(error, detail):
            return Problem("provider-refused", f"{provider} refused the request. {detail}")
        case wrong.ModelAPIError(in_stream=True):
            return Problem("provider-error", f"{provider} broke off with an error; try again. {detail}", True)
        case wrong.AgentRunError() if ENDED_EARLY in detail:
            return Problem("stream-cut", f"The answer of {provider} broke off; run it again. {detail}", True)
        case wrong.ModelHTTPError():
            return Problem("provider-refused", f"{provider} refused the request. {detail}")
        case wrong.ContentFilterError():
            return Problem("content-filtered", f"{provider} filtered the answer: put it another way. {detail}")
        case wrong.UserError():
            return Problem("unknown-model", f"{model} cannot be used: {detail}")
        case _:
            return Problem("provider-garbage", f"{provider} answered something that is no answer. {detail}", True)


def detail_of(error: BaseException) -> str:
    """The provider's own words, if it had some."""
    body = getattr(error, "body", None)
    while isinstance(body, dict):
        inner = body.get("error", body.get("message"))
        if inner is None:
            break
        body = inner
    words = body if isinstance(body, str) else str(error)
    if _PAGE.search(words):
        status = getattr(error, "status_code", None)
        return f"It answered {status}: {page_text(words)}" if status else page_text(words)
    return re.sub(r"\s+", " ", words).strip()[:DETAIL_CHARACTERS]


def page_text(page: str) -> str:
    """What a reader of an HTML page sees first."""
    return " ".join(html.unescape(_MARKUP.sub(" ", page)).split())[:EXCERPT_CHARACTERS]


def status_of(error: object) -> int:
    """The HTTP status of an error that was sent with 200: its own, that of its type, or one that clients understand."""
    fields = error if isinstance(error, dict) else {"message": error}
    names = [fields.get(name) for name in ("code", "type", "status", "message")]
    for name in names[:2]:
        text = str(name)
        status = int(text) if re.fullmatch("[0-9]{3}", text) else _STATUSES.get(text, 0)
        if 400 <= status < 600:
            return status
    return 503 if _PASSING.search(" ".join(map(str, names))) else 400


def _passes(error: wrong.ModelAPIError, detail: str) -> bool:
    """Whether an error inside a stream may be gone the next time. Those that do not say so come again."""
    status = getattr(error, "status_code", 0)
    if status >= 400:
        return status in (408, 409, 429) or status >= 500
    return _PASSING.search(f"{error.provider_error_type} {error.provider_error_code} {detail}") is not None


def refuses_streams(error: BaseException) -> bool:
    """A model that can't stream, or an account that may not."""
    if isinstance(error, NotImplementedError):
        return True
    refused = isinstance(error, wrong.ModelRequestRejectedError) and not isinstance(error, wrong.ModelNotFoundError)
    return refused and re.search(r"\bstream(ing|ed)?\b", detail_of(error), re.I) is not None


def exceeds_context(error: BaseException) -> bool:
    """In the words of any server: llama.cpp, LM Studio and others have no code for it that clients know."""
    if isinstance(error, wrong.ModelContextWindowExceededError):
        return True
    refused = isinstance(error, wrong.ModelAPIError) and not isinstance(error, wrong.ModelRateLimitError)
    return refused and _OVERFLOW.search(f"{detail_of(error)} {getattr(error, 'body', '')}") is not None


def may_lack_api(error: BaseException) -> bool:
    """A server that does not have this API answers in any shape; one that has it names what it refuses by a code."""
    if not isinstance(error, wrong.ModelHTTPError) or error.status_code not in (400, 404, 405, 501):
        return False
    return not isinstance(error, wrong.ModelQuotaExceededError) and error.provider_error_code not in _KNOWN_CODES
