"""The same machine driven by bytes: two are one action. A tenth of the time goes to hypothesis then, not most of it,
and a failure still shrinks; each action says what it is."""

from __future__ import annotations

from collections.abc import Callable

from streaming.model.cursor import START
from tests.model.machine import GARBAGE, LogMachine

Action = Callable[[LogMachine, int], object]
ACTIONS: list[tuple[int, str, Action]] = [
    (10, "remark", lambda machine, n: machine.remark(n)),
    (16, "hold a call", lambda machine, n: machine.hold_a_call(n)),
    (70, "go on", lambda machine, n: machine.go_on([n % 12, n // 12 % 12, n // 16])),
    (24, "run on", lambda machine, n: machine.run_on([0.1, 0.6, 3.1][n % 3])),
    (12, "wait", lambda machine, n: machine.wait([0.1, 0.6, 3.1, 5.1, 31.0][n % 5])),
    (20, "print lines", lambda machine, n: machine.print_lines(n % 4 + 1)),
    (6, "trim", lambda machine, n: machine.trim(n % 12 + 1)),
    (4, "start worker", lambda machine, n: machine.start_worker()),
    (9, "kill worker", lambda machine, n: machine.kill_worker(n // 2, bool(n % 2))),
    (2, "stop worker", lambda machine, n: machine.stop_worker(n)),
    (6, "stall worker", lambda machine, n: machine.stall_worker(n // 2, bool(n % 2))),
    (6, "let worker go on", lambda machine, n: machine.let_worker_go_on(n)),
    (4, "end lease", lambda machine, n: machine.end_lease()),
    (9, "flush Redis", lambda machine, n: machine.flush_redis()),
    (6, "lose Redis and worker", lambda machine, n: machine.lose_redis_and_worker(n // 2, bool(n % 2))),
    (6, "Redis down or up", lambda machine, n: machine.toggle_redis()),
    (4, "database down or up", lambda machine, n: machine.toggle_database()),
    (10, "fail a call", lambda machine, n: machine.fail_a_call(n)),
    (8, "break subscriptions", lambda machine, n: machine.break_subscriptions(n % 3 == 0)),
    (8, "join", lambda machine, n: machine.join([None, START][n % 2])),
    (3, "join with garbage", lambda machine, n: machine.join_with_garbage(GARBAGE[n % len(GARBAGE)])),
    (5, "join with a cursor seen", lambda machine, n: machine.join_with_a_cursor_seen_earlier(n)),
    (8, "reconnect", lambda machine, n: machine.reconnect(n // 2, bool(n % 2))),
]
TABLE = [(name, action) for weight, name, action in ACTIONS for _ in range(weight)]
assert len(TABLE) == 256


def play(script: bytes) -> None:
    machine = LogMachine()
    try:
        machine.begin(script[0] % 6, [None, START][script[1] % 2])
        for code, number in zip(script[2::2], script[3::2], strict=False):
            name, action = TABLE[code]
            if name != "go on":
                machine._note(f"{name} ({number})")
            action(machine, number)
            machine.holds()
    except BaseException:
        machine.site.end()
        raise
    machine.teardown()
