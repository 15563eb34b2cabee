"""Web processes that die or leave with 200 open streams, and subscribers that stop reading."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from itertools import pairwise
from time import monotonic

from tests.faults.cast import Cast
from tests.faults.plan import Plan
from tests.faults.row import Row, Scene
from tests.faults.stack import Profile
from tests.faults.subscriber import Habits, Subscriber
from tests.faults.waiting import aside, until

STREAMS = 200
LEAVE_S = 5.0
BACK_S = 30.0
"""Most until everybody hears again; with 200 coming back at once to one process."""
CALM = Plan(pace_s=(0.1, 0.4))
FLOOD = Plan(pace_s=(0.01, 0.03), pad=4000, tool_every=20)
"""200 kB/s an agent: it fills the kernel's buffers of one who stops reading within seconds, and is about what this
process, which is every subscriber, can take fifty times."""
STALL_S = 3.0
"""AGENTSITE_STREAM_SEND_TIMEOUT_S of the stacks here."""
GROWTH_MIB = 64.0


def _crowd(scene: Scene, agents: int) -> list[Habits]:
    each = (40 if scene.quick else STREAMS) // agents
    return [Habits("0-0"), Habits(None)] * (each // 2)


async def kill_web(scene: Scene) -> None:
    async with scene.cast(CALM, _crowd(scene, scene.agents)) as cast:
        await _all_connected(cast)
        await asyncio.sleep(scene.moment())
        began, victim = monotonic(), scene.stack.webs[0]
        await aside(victim.kill)
        await scene.restart(victim)
        await _all_back(scene, cast, began)


async def end_web(scene: Scene) -> None:
    """SIGTERM: each stream is ended by the server, with a time to come back that differs."""
    async with scene.cast(CALM, _crowd(scene, scene.agents)) as cast:
        await _all_connected(cast)
        await asyncio.sleep(scene.moment())
        began, victim = monotonic(), scene.stack.webs[0]
        victim.signal(signal.SIGTERM)
        await until(lambda: not victim.is_running, 6 * LEAVE_S, "web process gone")
        scene.tally.note_most("process gone s", monotonic() - began)
        _ended_well(scene, _everybody(cast), began)
        await scene.restart(victim)
        await _all_back(scene, cast, began)


def _ended_well(scene: Scene, subscribers: Sequence[Subscriber], began: float) -> None:
    endings = [ending for one in subscribers for ending in one.endings if ending.at >= began]
    unclean = sum(1 for ending in endings if not ending.clean)
    pauses = {ending.retry_ms for ending in endings if ending.retry_ms != 1000}
    scene.tally.expect(endings, "no stream was ended by the server")
    last_s = max((ending.at - began for ending in endings), default=0.0)
    scene.tally.expect(last_s <= LEAVE_S, f"the last stream ended after {last_s:.1f} s")
    scene.tally.note_most("streams ended s", last_s)
    scene.tally.expect(not unclean, f"{unclean} of {len(endings)} streams broke off instead of ending")
    scene.tally.expect(
        len(pauses) > len(endings) / 4, f"{len(pauses)} different retry times for {len(endings)} streams"
    )


def _everybody(cast: Cast) -> list[Subscriber]:
    return [subscriber for agent in cast.agents for subscriber in agent.subscribers]


async def _all_connected(cast: Cast) -> None:
    await until(lambda: all(one.connected and one.last for one in _everybody(cast)), 90, "everybody connected")


async def _all_back(scene: Scene, cast: Cast, began: float) -> None:
    heard = dict.fromkeys(_everybody(cast), 0.0)

    def all_heard() -> bool:
        for one, at in heard.items():
            if not at and (since := [seen for seen in one.events[-20:] if seen.at > began + 0.5]):
                heard[one] = since[0].at
        return all(heard.values())

    await until(all_heard, 90, "everybody hears again")
    scene.tally.took(max(heard.values()) - began, BACK_S, "hearing again")
    scene.tally.repetitions += len(cast.agents)


# Subscribers that stop reading ---------------------------------------------------------------------------------------


async def stall(scene: Scene, stalled: int) -> None:
    """Beside `stalled` ones, one per agent goes on reading, and must not be slower; another comes and goes. Then all of
    the stalled ones resume."""
    async with scene.cast(FLOOD, (Habits("0-0"), Habits("0-0", cut_every_s=0.4))) as cast:
        lazy = [cast.subscribe(agent, Habits(None, buffer_bytes=4096)) for agent in cast.agents for _ in range(stalled)]
        await until(lambda: all(one.events for one in lazy), 60, "everybody hears")
        before, calm_s = _memory(scene), await _slowest_gap(scene, cast)
        for one in lazy:
            one.reading.clear()
        stalled_s = await _slowest_gap(scene, cast)
        await _bounded(scene, before)
        await until(lambda: not any(one.connected for one in lazy), 60, "stalled ones disconnected")
        await _bounded(scene, before)
        for one in lazy:
            one.reading.set()
        scene.tally.expect(stalled_s < max(2.0, 5 * calm_s), f"others waited {stalled_s:.1f} s, before {calm_s:.1f} s")
        scene.tally.took(stalled_s, STALL_S, "the others' longest pause")
        scene.tally.repetitions += len(lazy)


def _memory(scene: Scene) -> float:
    return sum(web.rss_mib() for web in scene.stack.webs)


async def _bounded(scene: Scene, before: float) -> None:
    growth = _memory(scene) - before
    scene.tally.note_most("growth MiB", growth)
    scene.tally.expect(growth < GROWTH_MIB, f"web processes grew by {growth:.0f} MiB")


async def _slowest_gap(scene: Scene, cast: Cast) -> float:
    """The longest pause that any reading subscriber sees, over some seconds of flood."""
    began = monotonic()
    window_s = STALL_S if scene.quick else 2 * STALL_S + 2
    await until(lambda: monotonic() > began + window_s, 60, "the window is over")
    gaps = []
    for agent in cast.agents:
        times = [began, *(seen.at for seen in agent.first.since(began)), monotonic()]
        gaps.append(max(later - earlier for earlier, later in pairwise(times)))
    return max(gaps)


async def stall_one(scene: Scene) -> None:
    await stall(scene, 1)


async def stall_fifty(scene: Scene) -> None:
    await stall(scene, 10 if scene.quick else 50)


TWO_WEBS = Profile(webs=2)
ROWS = [
    Row("web-kill", f"SIGKILL of a web process with {STREAMS} streams", kill_web),
    Row("web-term", f"SIGTERM of one of two web processes, {STREAMS} streams", end_web, TWO_WEBS),
    Row("stall-1", "a subscriber that stops reading", stall_one, agents=3, quick_agents=1),
    Row("stall-50", "50 subscribers that stop reading", stall_fifty, agents=1, quick_agents=1),
]
