"""Steering: the prompt of a queued run, handed to the program that is at work, which takes it up between two steps.

The queued run is then completed: it has its own place in the log, its own `done`, and no container. Whatever fails
before that leaves it in the queue, and it is executed when its turn comes: nothing that somebody posted is lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agents.log.intents import prompt_again
from agents.log.run_summary import RunSummary
from agents.worker.execution.deliveries import Deliveries
from agents.worker.execution.run_log import RunLog
from containers.protocols import jsonl
from streaming.model.events import draft
from streaming.model.fold import waiting_runs


class Steering:
    """`run_log` is that of the run at work, `send` writes to its program's stdin unless that run, or the one that is
    named, was told to stop (CancelRequested). `listens` says whether the program may read that: it has begun to read,
    and not said `done`."""

    def __init__(
        self,
        run_log: RunLog,
        deliveries: Deliveries,
        send: Callable[[bytes, str], Awaitable[None]],
        listens: Callable[[], bool],
    ) -> None:
        self._run_log = run_log
        self._deliveries = deliveries
        self._send = send
        self._listens = listens

    def take(self, steering_run_id: str, content: str) -> None:
        """Any number of times, until it is in the log."""
        if self._listens() and steering_run_id in waiting_runs(self._run_log.state):
            self._deliveries.run(f"steer {steering_run_id}", lambda: self._pass_on(steering_run_id, content))

    async def _pass_on(self, steering_run_id: str, content: str) -> None:
        """To the program first: a crash in between repeats it, and programs drop repeats."""
        await self._send(jsonl.message(content, command_id=steering_run_id), steering_run_id)
        if steering_run_id not in waiting_runs(self._run_log.state):  # cancelled meanwhile
            return
        if not self._listens():  # nobody knows whether it has read that: rather twice than never
            return
        reason = f"handed to run {self._run_log.run_id}"
        ended = draft("status", steering_run_id, status="completed", reason=reason, into=self._run_log.run_id)
        again = prompt_again(self._run_log.state, steering_run_id, content)
        await self._run_log.append([ended, *again, RunSummary(steering_run_id).done("completed", None, 0)])
