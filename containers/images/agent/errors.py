"""What may go wrong with a provider, as codes and words that say what to do. The codes are in README.md."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic_ai import exceptions as wrong

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
ENDED_EARLY = "ended without"
"""As pydantic-ai words it."""


class AgentError(Exception):
    """Ends the run with an `error` event of this code. `retryable`: the same run may work later."""

    def __init__(self, code: str, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.code, self.retryable = code, retryable


@dataclass(frozen=True, slots=True)
class Problem:
    """A failed call of a model. `again`: trying it again may help, after `wait_s` if the provider said so."""

    code: str
    message: str
    again: bool = False
    wait_s: float | None = None

    def error(self) -> AgentError:
        return AgentError(self.code, self.message, self.again)


def describe(error: BaseException, model: str) -> Problem:
    """The most specific kind first: several of these are subclasses of others."""
    provider = model.partition(":")[0]
    detail = detail_of(error)
    wait_s = getattr(error, "retry_after", None)
    if code := next((code for code in GATEWAY_CODES if code in detail), None):
        return Problem(code, detail.rpartition(f"{code}: ")[2])
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
        case wrong.ModelContextWindowExceededError():
            return Problem("context-too-long", f"The conversation is too long for {model}; start a new one. {detail}")
        case wrong.ModelNotFoundError():
            return Problem("unknown-model", f"{provider} does not know {model}: check the definition. {detail}")
        case wrong.ModelAPIError(in_stream=True):
            return Problem("provider-error", f"{provider} broke off with an error; try again. {detail}", True)
        case wrong.AgentRunError() if ENDED_EARLY in detail:
            return Problem("stream-cut", f"The answer of {provider} broke off; run it again. {detail}", True)
        case wrong.ModelRequestRejectedError() | wrong.ModelHTTPError():
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
    return re.sub(r"\s+", " ", words).strip()[:DETAIL_CHARACTERS]


def refuses_streams(error: BaseException) -> bool:
    """A model that can't stream, or an account that may not."""
    if isinstance(error, NotImplementedError):
        return True
    refused = isinstance(error, wrong.ModelRequestRejectedError) and not isinstance(error, wrong.ModelNotFoundError)
    return refused and re.search(r"\bstream(ing|ed)?\b", detail_of(error), re.I) is not None


def knows_no_such_path(error: BaseException) -> bool:
    """A server that does not have this API, rather than this model."""
    if not isinstance(error, wrong.ModelHTTPError) or error.status_code not in (404, 405, 501):
        return False
    return error.provider_error_code != "model_not_found" and "model" not in detail_of(error).lower()
