"""Where every call to a store waits: before it takes effect, between its statements, and before its answer arrives.

Nothing moves by itself. Whoever holds the gate chooses which waiting step is next, so every order can be had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, ParamSpec, Protocol

from redis.exceptions import RedisError

from streaming.errors import StreamingError
from tests.model.loop import OWNER

P = ParamSpec("P")
Store = Literal["redis", "database", "client"]
Work = Generator[None, None, Any]
"""A call's statements; it yields between two of them. Each runs as one."""


def at_once(function: Callable[P, Any]) -> Callable[P, Work]:
    """A call that is one statement, or one transaction."""

    @wraps(function)
    def work(*args: P.args, **kwargs: P.kwargs) -> Work:
        yield from ()
        return function(*args, **kwargs)

    return work


class Step(Protocol):
    """Something that waits to be moved on. `key` names it, the same in every run that made the same choices."""

    key: str

    def take(self) -> None: ...


@dataclass(eq=False)
class Call:
    """One call. If its caller has gone, what it asked for may happen all the same."""

    key: str
    gate: Gate
    owner: str
    store: Store
    name: str
    work: Work
    writes: bool
    future: asyncio.Future[Any]
    unsent: bool
    """Its process was stopped when it made this call."""
    is_over: bool = False
    abandoned: bool = False
    answer: Any = None
    error: Exception | None = None

    def take(self) -> None:
        if self.is_over:
            self._answer()
            return
        unavailable = self.gate.unavailable.get(self.store) or self.gate.refused.pop(self.name, None)
        if unavailable is not None:
            self.fail(unavailable())
            return
        try:
            next(self.work)
        except StopIteration as stop:
            self.is_over, self.answer = True, stop.value
        except (StreamingError, RedisError) as error:
            self.fail(error)
        self._forget_if_done()

    def fail(self, error: Exception) -> None:
        """No answer, or this one. What has taken effect has taken effect."""
        self.is_over, self.error = True, error
        self._forget_if_done()

    def abandon(self) -> None:
        self.abandoned = True
        if not self.writes:
            self.gate.forget(self)
        self._forget_if_done()

    def _forget_if_done(self) -> None:
        if self.is_over and self.abandoned:
            self.gate.forget(self)

    def _answer(self) -> None:
        self.gate.forget(self)
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


class Gate:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        """In the order in which they were made."""
        self.unavailable: dict[Store, Callable[[], Exception]] = {}
        self.refused: dict[str, Callable[[], Exception]] = {}
        """The next call of that name fails."""
        self.held: Call | None = None
        """One that is slow: everything else overtakes it."""
        self.stopped: set[str] = set()
        """Processes that don't run: they send nothing and take no answer; what they have sent may take effect."""
        self.dead: set[str] = set()
        self._made: dict[str, int] = {}

    async def call(self, store: Store, name: str, work: Work, *, writes: bool) -> Any:
        owner = OWNER.get()
        if owner in self.dead:
            await asyncio.Future()  # never runs again
        number = self._made[owner] = self._made.get(owner, 0) + 1
        call = Call(
            f"{owner}.{number} {name}",
            self,
            owner,
            store,
            name,
            work,
            writes,
            asyncio.get_running_loop().create_future(),
            unsent=owner in self.stopped,
        )
        self.calls.append(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            call.abandon()
            raise

    def forget(self, call: Call) -> None:
        if call in self.calls:
            self.calls.remove(call)

    def movable(self) -> list[Call]:
        return [call for call in self.calls if self._can_move(call)]

    def go_down(self, store: Store, why: Callable[[], Exception]) -> None:
        """Who waits for an answer does not get it; whether it took effect nobody says."""
        self.unavailable[store] = why
        for call in [call for call in self.calls if call.store == store and call.is_over]:
            call.fail(why())

    def come_back(self, store: Store) -> None:
        self.unavailable.pop(store, None)

    def stop(self, owner: str) -> None:
        self.stopped.add(owner)

    def go_on(self, owner: str) -> None:
        self.stopped.discard(owner)
        for call in self.calls:
            if call.owner == owner:
                call.unsent = False

    def _can_move(self, call: Call) -> bool:
        if call is self.held:
            return False
        if call.owner not in self.stopped:
            return True
        return not call.unsent and not call.is_over
