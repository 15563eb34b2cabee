"""One-line mistakes that the model must find: `.venv/bin/python -m tests.model.mutants [NAME …]` says after how many
scripts it did. Each is put into a copy of the tree, never into the tree itself."""

from __future__ import annotations

import random
import sys

from tests.mutation import Change, mutated, run_in

MOST_SCRIPTS = 4000

CHANNEL, HUB, TAKEOVER = "streaming/read/channel.py", "streaming/read/hub.py", "streaming/write/takeover.py"
MUTANTS: dict[str, list[Change]] = {
    "gap taken": [Change(CHANNEL, "if message.cursor.seq != self.last.seq + 1:", "if False:")],
    "later epoch taken": [Change(CHANNEL, "if message.cursor.epoch > self.last.epoch:", "if False:")],
    "earlier epoch taken": [Change(CHANNEL, "if message.cursor.epoch < self.last.epoch:", "if False:")],
    "live without its place": [
        Change(CHANNEL, "return at if at and self._ring[at - 1].cursor == cursor else None", "return at")
    ],
    "fill without a joint": [Change(CHANNEL, "return len(frames) if beyond else None", "return 0")],
    "commit of any epoch": [
        Change("tests/model/database.py", "row is None or row.epoch != write.epoch", "row is None")
    ],
    "publish without a barrier": [Change("tests/model/redis.py", "return [-2, 0]", "pass")],
    "barrier without asking": [
        Change(
            "streaming/write/writer.py",
            "if (await in_database(journal.head, self.agent_id)).epoch != self.epoch:",
            "if False:",
        )
    ],
    "fence that lets pass": [Change("streaming/write/takeover.py", "await bus.fence(agent_id, epoch)", "pass")],
    "nothing adopted": [Change(TAKEOVER, "return await _whole(bus, agent_id, tip, starts)", "return []")],
    "position not adopted": [
        Change(TAKEOVER, 'head.position if not entries else entries[-1].position or ""', "head.position")
    ],
    "half a batch adopted": [Change(TAKEOVER, "while taken and taken[-1].position is None:", "while False:")],
    "no fill after an ack, no poll": [
        Change(HUB, "if channel.last is not None:  # else whoever waits for this places it", "if False:"),
        Change(HUB, "                if self._channels:\n", "                if False:\n"),
    ],
    "no poll": [Change(HUB, "                if self._channels:\n", "                if False:\n")],
    "no recheck": [
        Change("streaming/read/subscriber.py", "await self._hub.recheck(self._channel, cursor)", "pass"),
    ],
    "unannounced, poll blind to what went back": [
        Change(TAKEOVER, "await bus.begun(agent_id)", "pass"),
        Change(HUB, "or (tip.epoch > last.epoch and tip.cursor.seq < last.seq)", ""),
    ],
    "poll blind to what went back": [Change(HUB, "or (tip.epoch > last.epoch and tip.cursor.seq < last.seq)", "")],
    "recheck that fails with Redis": [Change(HUB, "with contextlib.suppress(BusUnavailable):\n", "if True:\n")],
    "pending let go before Redis has it": [
        Change("streaming/write/writer.py", "<= min(self.committed, self.sent)", "<= self.committed")
    ],
    "cursors never superseded": [
        Change("streaming/model/cursor.py", "if superseded(cursor, starts):", "if False:"),
    ],
    "pending without bound": [Change("streaming/write/writer.py", "len(self._pending) < most_events", "True")],
    "ring without bound": [Change(CHANNEL, "if drop:", "if False:")],
}


def main() -> None:
    for name in sys.argv[1:] or MUTANTS:
        print(f"{name}: {_try(MUTANTS[name])}", flush=True)  # noqa: T201


def _try(changes: list[Change]) -> str:
    with mutated(changes) as copy:
        done = run_in(copy, "tests.model.mutants", "--hunt", DJANGO_SETTINGS_MODULE="agentsite.settings")
    return done.stdout.strip() or done.stderr[-2000:]


def hunt() -> None:
    import django

    django.setup()
    from tests.model.script import play
    from tests.model.stand_ins import in_memory

    rng = random.Random(0)
    with in_memory():
        for number in range(1, MOST_SCRIPTS + 1):
            try:
                play(rng.randbytes(2 * rng.randint(20, 80)))
            except Exception as error:  # noqa: BLE001
                print(f"found by script {number}: {str(error).splitlines()[0][:120]}")  # noqa: T201
                return
    print(f"NOT FOUND in {MOST_SCRIPTS}")  # noqa: T201


if __name__ == "__main__":
    hunt() if "--hunt" in sys.argv else main()
