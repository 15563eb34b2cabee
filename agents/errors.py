"""What can go wrong in the domain. `code` and `status` (HTTP) are what the API answers with.

AgentsError
├── NotAuthenticated      nobody is known by what was sent, or nothing was                        401
├── NotFound              no such agent or run for this user                                      404
├── UnknownDefinition     no definition of that name                                              422
│   └── DefinitionInvalid     it has a mistake in agents.toml                                     422
├── ChoiceNotAllowed      the definition does not allow (any more) what its agent was made with   422
├── AgentBusy             `reject` was asked for and a run is active or queued                    409
├── QueueFull             as many runs of the agent wait as may; comes with Retry-After               429
├── IdempotencyConflict   the same key was used for another request                               409
├── RunFinished           the run has ended; there is nothing to answer                           409
├── RunDeleted            the run was deleted with its agent, while a worker held it                 404
├── RunStopping           the run was told to stop; nothing more can be asked of it                 409
├── RunNotEnded           the run goes on; there is nothing to continue                           409
├── RunNotQueued          the run, or the one to put it before, waits in the queue no more            409
├── AlreadyAnswered       somebody answered that approval first                                   409
├── NoSuchApproval        the run asked for no such approval                                      404
├── EventsTrimmed         retention has removed the events that would say it                      410
├── TooManyFailures       too many wrong passwords or tokens came from there; try again later     429
├── NotSupported          a strategy or format that this version does not have                    422
└── InputInvalid          input that can't be stored or is too large                              422 / 413
"""

from __future__ import annotations

from typing import Any


class AgentsError(Exception):
    code = "agents-error"
    status = 400
    retryable = False
    retry_after_s: int | None = None
    """When the same may succeed, where that is a matter of time."""

    def __init__(self, message: str, **details: Any) -> None:
        self.message = message
        self.details = details
        super().__init__(message)


class NotAuthenticated(AgentsError):
    code, status = "not-authenticated", 401

    def __init__(self, message: str = "log in, or send a token") -> None:
        super().__init__(message)


class NotFound(AgentsError):
    code, status = "not-found", 404


class UnknownDefinition(AgentsError):
    code, status = "unknown-definition", 422


class DefinitionInvalid(UnknownDefinition):
    code, status = "invalid-definition", 422


class ChoiceNotAllowed(AgentsError):
    code, status = "choice-not-allowed", 422


class AgentBusy(AgentsError):
    code, status = "agent-busy", 409


class QueueFull(AgentsError):
    code, status = "queue-full", 429
    retryable = True
    retry_after_s = 10


class IdempotencyConflict(AgentsError):
    code, status = "idempotency-conflict", 409


class RunFinished(AgentsError):
    code, status = "run-finished", 409


class RunDeleted(NotFound):
    def __init__(self, run_id: str) -> None:
        super().__init__("the run was deleted with its agent", run_id=run_id)


class RunStopping(AgentsError):
    code, status = "run-stopping", 409

    def __init__(self, run_id: str, field: str | None = None) -> None:
        super().__init__("the run was told to stop, so nothing more can be asked of it", run_id=run_id, field=field)


class RunNotEnded(AgentsError):
    code, status = "run-not-ended", 409


class RunNotQueued(AgentsError):
    code, status = "run-not-queued", 409


class AlreadyAnswered(AgentsError):
    code, status = "already-answered", 409


class NoSuchApproval(AgentsError):
    code, status = "not-found", 404


class EventsTrimmed(AgentsError):
    code, status = "trimmed", 410


class TooManyFailures(AgentsError):
    code, status = "too-many-failures", 429

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"too many failed attempts; try again in {retry_after_s} s")


class NotSupported(AgentsError):
    code, status = "not-supported", 422


class InputInvalid(AgentsError):
    code, status = "invalid-input", 422


class InputTooLarge(InputInvalid):
    code, status = "input-too-large", 413
