"""What can happen to a site, for hypothesis to choose from: any order of steps, and every fault between any two."""

from __future__ import annotations

from hypothesis import currently_in_test_context, event, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streaming.model.cursor import START, Cursor
from tests.model.checks import Checks
from tests.model.gate import Call
from tests.model.redis import away
from tests.model.scale import AGENT
from tests.model.site import Site
from tests.model.worker import Worker

MOST_WORKERS = 2
MOST_BROWSERS = 3
SETTLED_S = 200.0
"""Within so long after the last fault everybody has everything: a lease, a silent subscription, a poll."""
LATER_S = 7.0
"""Two polls more: nothing may come that undoes it."""
pick = st.integers(0, 11)
GARBAGE = [Cursor(0, 1), Cursor(1, 3), Cursor(1, 9), Cursor(2, 4), Cursor(7, 1), Cursor(1, 10**17)]


class LogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.site = Site()
        self.checks = Checks(self.site)

    @initialize(lines=st.integers(0, 5), cursor=st.sampled_from([None, START]))
    def begin(self, lines: int, cursor: Cursor | None) -> None:
        self.site.start_worker()
        if lines:
            self.site.start_browser(cursor)
            self.site.print_lines(lines)
            self.site.run(self.checks.is_at_rest, 10)

    # What goes on ----------------------------------------------------------------------------------------------------

    @rule(picks=st.lists(pick, min_size=1, max_size=10))
    def go_on(self, picks: list[int]) -> None:
        for number in picks:
            if movable := self.site.movable():
                step = movable[number % len(movable)]
                self._note(step.key)
                self.site.take(step)

    @rule(seconds=st.sampled_from([0.1, 0.6, 3.1]))
    def run_on(self, seconds: float) -> None:
        """First come, first served, for a while."""
        self.site.run(lambda: False, seconds)

    @rule(seconds=st.sampled_from([0.1, 0.6, 3.1, 5.1, 31.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and nobody answers."""
        self.site.loop.pass_to(self.site.loop.time() + seconds)

    @rule(number=pick)
    def hold_a_call(self, number: int) -> None:
        """Or let go of the one that is held: what runs until then overtakes it."""
        calls = self.site.gate.movable()
        was_held, self.site.gate.held = self.site.gate.held, None
        if was_held not in self.site.gate.calls and calls:
            self.site.gate.held = calls[number % len(calls)]
            self._note(f"{self.site.gate.held.key} is slow")

    @rule(count=st.integers(1, 4))
    def print_lines(self, count: int) -> None:
        self.site.print_lines(count)

    @rule(number=pick)
    def remark(self, number: int) -> None:
        if worker := self._worker(number):
            self.site.remark(worker)

    @rule(keep_from=st.integers(1, 12))
    def trim(self, keep_from: int) -> None:
        for _ in self.site.database.trim(AGENT, keep_from):
            raise AssertionError

    # Workers ---------------------------------------------------------------------------------------------------------

    @rule()
    def start_worker(self) -> None:
        if len(self.site.workers) < MOST_WORKERS:
            self.site.start_worker()

    @rule(number=pick, replaced=st.booleans())
    def kill_worker(self, number: int, replaced: bool) -> None:
        if worker := self._worker(number):
            worker.kill()
        if replaced:
            self.site.database.end_lease(AGENT)
            self.site.start_worker()

    @rule(number=pick)
    def stop_worker(self, number: int) -> None:
        if worker := self._worker(number):
            worker.leave()

    @rule(number=pick, overdue=st.booleans())
    def stall_worker(self, number: int, overdue: bool) -> None:
        """SIGSTOP, for as long as its lease lasts if `overdue`."""
        if worker := self._worker(number):
            worker.stall()
        if overdue:
            self.site.database.end_lease(AGENT)

    @rule(number=pick)
    def let_worker_go_on(self, number: int) -> None:
        stalled = [worker for worker in self.site.workers if worker.is_stalled]
        if stalled:
            stalled[number % len(stalled)].go_on()

    @rule()
    def end_lease(self) -> None:
        """A holder that believes in a lease which the database gives to another: worse than what clocks can do."""
        self.site.database.end_lease(AGENT)

    # Stores ----------------------------------------------------------------------------------------------------------

    @rule()
    def flush_redis(self) -> None:
        self.site.redis.flush()

    @rule(number=pick, announced=st.booleans())
    def lose_redis_and_worker(self, number: int, announced: bool) -> None:
        self.kill_worker(number, True)
        self.site.redis.flush()
        if not announced:
            self.site.gate.refused["say !begun"] = away

    @rule()
    def toggle_redis(self) -> None:
        if "redis" in self.site.gate.unavailable:
            self.site.gate.come_back("redis")
        else:
            self.site.redis_down()

    @rule()
    def toggle_database(self) -> None:
        if "database" in self.site.gate.unavailable:
            self.site.gate.come_back("database")
        else:
            self.site.database_down()

    @rule(number=pick)
    def fail_a_call(self, number: int) -> None:
        calls = [step for step in self.site.movable() if isinstance(step, Call) and step.store != "client"]
        if calls:
            call = calls[number % len(calls)]
            self._note(f"{call.key} fails, {'after' if call.is_over else 'before'} its effect")
            self.site.fail(call)

    @rule(silently=st.booleans())
    def break_subscriptions(self, silently: bool) -> None:
        if silently:
            for connection in self.site.redis.connections:
                connection.cut_off()
        else:
            self.site.redis.break_connections()

    # Browsers --------------------------------------------------------------------------------------------------------

    @rule(cursor=st.sampled_from([None, START]))
    def join(self, cursor: Cursor | None) -> None:
        self._join(cursor)

    @rule(cursor=st.sampled_from(GARBAGE))
    def join_with_garbage(self, cursor: Cursor) -> None:
        self._join(cursor)

    @rule(at=pick)
    def join_with_a_cursor_seen_earlier(self, at: int) -> None:
        seen = [cursor for browser in self.site.browsers for cursor, _ in browser.events]
        if seen:
            self._join(seen[at % len(seen)])

    @rule(number=pick, at_once=st.booleans())
    def reconnect(self, number: int, at_once: bool) -> None:
        if not self.site.browsers:
            return
        browser = self.site.browsers[number % len(self.site.browsers)]
        browser.disconnect()
        if not at_once:
            self.site.run(lambda: False, 0.1)
        browser.connect()

    # Checks ----------------------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        self.checks.now()

    def teardown(self) -> None:
        try:
            self._let_run_out()
            self._tell()
        finally:
            self.site.end()

    def _let_run_out(self) -> None:
        site = self.site
        site.gate.come_back("redis")
        site.gate.come_back("database")
        site.gate.held = None
        for worker in site.workers:
            worker.go_on()
        for call in [call for call in site.gate.calls if call.abandoned]:
            while call in site.gate.calls:
                site.take(call)
        if all(worker.is_leaving for worker in site.workers):
            site.start_worker()
        for later_s in (LATER_S, 0):
            site.run(self.checks.is_at_rest, SETTLED_S)
            self.checks.now()
            self.checks.at_rest()
            site.run(lambda: False, later_s)

    def _tell(self) -> None:
        """For --hypothesis-show-statistics."""
        if not currently_in_test_context():
            return
        resets = {reset.reason for browser in self.site.browsers for reset in browser.resets}
        event(f"steps: {self.site.steps // 200 * 200} and more")
        event(f"takeovers: {min(self.site.takeovers, 5)}")
        for reason in sorted(resets):
            event(f"reset: {reason}")

    def _note(self, what: str) -> None:
        if currently_in_test_context():
            note(f"{self.site.loop.time():.1f} s: {what}")

    def _worker(self, number: int) -> Worker | None:
        return self.site.workers[number % len(self.site.workers)] if self.site.workers else None

    def _join(self, cursor: Cursor | None) -> None:
        if len(self.site.browsers) < MOST_BROWSERS:
            self.site.start_browser(cursor)
