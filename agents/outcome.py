"""How a run ended: from what stopped it, how its program exited, and what its program said. Pure."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from agents.definitions import DefinitionLimits
from containers.interface import Exit
from streaming.model.events import Draft

STDERR_CHARS = 4000
Problem = tuple[str, str]
"""Code and message of a run's error event."""


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a container is stopped, or was never started. Without a `status` the program's own word counts. `error`: code
    and message of the run's error event, None for a cancel. `patience_s`: from `cancel` on stdin to SIGTERM."""

    outcome: str
    status: str = ""
    error: Problem | None = None
    reason: str | None = None
    patience_s: float = 0.0
    retryable: bool = False

    @classmethod
    def failed(cls, code: str, message: str, *, retryable: bool = False) -> StopReason:
        return cls(code, "failed", (code, message), retryable=retryable)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`outcome` is the attempt's: one word for the admin."""

    status: str
    outcome: str
    problem: Problem | None = None
    reason: str | None = None
    retryable: bool = False


def decide_outcome(
    exit_: Exit | None,
    stop: StopReason | None,
    said: Draft | None,
    limits: DefinitionLimits,
    stderr: Sequence[str],
    unsaid: Problem | None = None,
) -> Outcome:
    """`said`: the program's `done`. `unsaid`: what is wrong if it ended well, but without the word that it owed."""
    if stop is not None and stop.status:
        return Outcome(stop.status, stop.outcome, stop.error, stop.reason, stop.retryable)
    if exit_ is None:
        return Outcome("failed", "container-gone", ("container-gone", "the container is not there any more"))
    if exit_.oom_killed and (exit_.code or said is None):
        message = f"the program needed more than {limits.memory_mib} MiB of memory"
        return Outcome("failed", "out-of-memory", ("out-of-memory", message))
    if exit_.code and stop is None:
        return Outcome("failed", "container-exit", ("container-exit", _exit_message(exit_.code, stderr)))
    if unsaid is not None and said is None and stop is None:
        return Outcome("failed", unsaid[0], unsaid)
    return Outcome(said.data["status"] if said else "completed", stop.outcome if stop else "exit")


def _exit_message(code: int, stderr: Sequence[str]) -> str:
    tail = "\n".join(stderr)[-STDERR_CHARS:]
    return f"the program ended with code {code}{_signal_name(code)}" + (f":\n{tail}" if tail else "")


def _signal_name(code: int) -> str:
    try:
        return f" ({signal.Signals(code - 128).name})"
    except ValueError:
        return ""
