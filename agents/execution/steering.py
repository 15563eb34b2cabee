"""Steering: the prompt of a queued run, handed to the program that is at work, which takes it up between two steps.

The queued run is then completed: it has its own place in the log, its own `done`, and no container. Whatever fails
before that leaves it in the queue, and it is executed when its turn comes: nothing that somebody posted is lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agents.execution.errands import Errands
from agents.tally import Tally
from containers.protocols import jsonl
from streaming.events import Draft, draft
from streaming.fold import State


class Steering:
    """`run_id`: the run at work. `append` puts drafts into the log, `state` is what they fold to."""

    def __init__(
        self,
        run_id: str,
        errands: Errands,
        send: Callable[[bytes], Awaitable[None]],
        append: Callable[[list[Draft]], Awaitable[object]],
        state: Callable[[], State],
    ) -> None:
        self._run_id = run_id
        self._errands = errands
        self._send = send
        self._append = append
        self._state = state

    def take(self, steering_run_id: str, content: str) -> None:
        """Any number of times, until it is in the log."""
        if steering_run_id in self._state()["queue"]:
            self._errands.run(f"steer {steering_run_id}", lambda: self._pass_on(steering_run_id, content))

    async def _pass_on(self, steering_run_id: str, content: str) -> None:
        """To the program first: a crash in between repeats it, and programs drop repeats."""
        await self._send(jsonl.message(content, command_id=steering_run_id))
        if steering_run_id not in self._state()["queue"]:  # cancelled meanwhile
            return
        reason = f"handed to run {self._run_id}"
        ended = draft("status", steering_run_id, status="completed", reason=reason)
        await self._append([ended, Tally(steering_run_id).done("completed", None, 0)])
