"""What can go wrong in the domain. `code` and `status` (HTTP) are what the API answers with.

AgentsError
├── NotFound              no such agent or run for this user                                      404
├── UnknownDefinition     no definition of that name                                              422
│   └── DefinitionInvalid     it has a mistake in agents.toml                                     422
├── ChoiceNotAllowed      the definition does not allow (any more) what its agent was made with   422
├── AgentBusy             `reject` was asked for and a run is active or queued                    409
├── IdempotencyConflict   the same key was used for another request                               409
├── RunFinished           the run has ended; there is nothing to answer                           409
├── RunNotEnded           the run goes on; there is nothing to continue                           409
├── RunNotQueued          the run, or the one to put it before, waits in the queue no more            409
├── AlreadyAnswered       somebody answered that approval first                                   409
├── NoSuchApproval        the run asked for no such approval                                      404
├── NotSupported          a strategy or format that this version does not have                    422
└── InputInvalid          input that can't be stored or is too large                              422 / 413
"""

from __future__ import annotations

from typing import Any


class AgentsError(Exception):
    code = "agents-error"
    status = 400
    retryable = False

    def __init__(self, message: str, **details: Any) -> None:
        self.message = message
        self.details = details
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


class IdempotencyConflict(AgentsError):
    code, status = "idempotency-conflict", 409


class RunFinished(AgentsError):
    code, status = "run-finished", 409


class RunNotEnded(AgentsError):
    code, status = "run-not-ended", 409


class RunNotQueued(AgentsError):
    code, status = "run-not-queued", 409


class AlreadyAnswered(AgentsError):
    code, status = "already-answered", 409


class NoSuchApproval(AgentsError):
    code, status = "not-found", 404


class NotSupported(AgentsError):
    code, status = "not-supported", 422


class InputInvalid(AgentsError):
    code, status = "invalid-input", 422


class InputTooLarge(InputInvalid):
    code, status = "input-too-large", 413
