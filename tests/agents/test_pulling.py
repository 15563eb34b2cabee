"""Runs whose image is not there: what people see, and pulling where the site allows it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from agents.models import Run
from agents.runs import attempts as attempts_module
from agents.runs import commands
from agents.worker import image_pulling, supervisor
from containers.engines.docker import DockerEngine
from containers.images.base import is_local
from containers.interface import PullProgress
from streaming.model.events import Event
from streaming.models import Log
from tests.agents.site import Site, attempts, errors, statuses, text, until
from tests.agents.takeover import take
from tests.containers.image_registry import ImageRegistry, image_registry

needs_x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the image's program is for x86_64")


@pytest.fixture
def registry(docker_site: Site) -> Iterator[ImageRegistry]:
    with image_registry(8 * 2**20) as registry:
        docker_site.settings.IMAGE_PULL = "missing"
        yield registry
        worker = docker_site.workers[-1] if docker_site.workers else docker_site.worker()
        worker.submit(_remove(worker, registry.reference)).result(30)


async def _remove(worker: Any, reference: str) -> None:
    engine = await worker.engines()
    assert isinstance(engine, DockerEngine)
    if await is_local(engine._api, reference):
        await engine._api.delete_image(reference)


def define(site: Site, registry: ImageRegistry, **fields: Any) -> str:
    return site.define("pulled", image=registry.reference, command=["/program"], **fields)


def pulls(events: list[Event]) -> list[str]:
    reasons = [event.data.get("reason") or "" for event in events if event.type == "status"]
    return [reason for reason in reasons if reason.startswith("pulling")]


def wait_bytes(site: Site, run: Run) -> None:
    until(lambda: any(" of " in reason for reason in pulls(site.events(run))), "bytes of the layer are reported")


def seconds(event: Event) -> float:
    return datetime.fromisoformat(event.timestamp).timestamp()


@pytest.mark.docker
def test_by_default_nothing_is_pulled(docker_site: Site, registry: ImageRegistry, settings: Any) -> None:
    from agentsite.environment import Environment

    settings.IMAGE_PULL = Environment.model_fields["image_pull"].default
    docker_site.worker()
    events = docker_site.ended(define(docker_site, registry))
    (error,) = [event.data for event in events if event.type == "error"]
    assert (error["code"], error["retryable"]) == ("image-missing", False)
    assert error["message"] == (
        f"image '{registry.reference}' is not on this machine: run `docker pull {registry.reference}`"
    )
    assert statuses(events) == ["queued", "running", "failed"]
    assert registry.asked == []


@pytest.mark.docker
@needs_x86_64
def test_a_missing_image_is_pulled_and_run_with_progress_on_the_way(docker_site: Site, registry: ImageRegistry) -> None:
    docker_site.worker()
    run = docker_site.start(define(docker_site, registry))
    until(lambda: pulls(docker_site.events(run)) == [f"pulling {registry.reference}"], "it says so at once")
    registry.let(10)
    wait_bytes(docker_site, run)
    registry.let_all()
    events = docker_site.end(run)
    assert (errors(events), text(events)) == ([], "pulled and run")
    times = [
        seconds(event) for event in events if event.type == "status" and "pulling" in (event.data.get("reason") or "")
    ]
    assert all(after - before >= image_pulling.PROGRESS_S * 0.9 for before, after in pairwise(times))
    again = docker_site.end(commands.retry(run))
    assert pulls(again) == []


@pytest.mark.docker
def test_a_run_can_be_cancelled_while_its_image_is_pulled(docker_site: Site, registry: ImageRegistry) -> None:
    docker_site.worker()
    run = docker_site.start(define(docker_site, registry))
    registry.let(10)
    wait_bytes(docker_site, run)
    commands.request_cancel(run)
    events = docker_site.end(run, patience_s=5)
    assert (events[-1].data["status"], errors(events)) == ("cancelled", [])
    assert registry.is_broken_off(), "the daemon goes on pulling"


@pytest.mark.docker
def test_a_worker_that_stops_while_it_pulls_gives_the_run_back(
    docker_site: Site, registry: ImageRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not when its patience with all that may be stuck is at its end."""
    monkeypatch.setattr(supervisor, "DETACH_MOST_S", 60.0)
    first = docker_site.worker()
    run = docker_site.start(define(docker_site, registry))
    registry.let(10)
    wait_bytes(docker_site, run)
    docker_site.worker()
    docker_site.detach(first)
    until(lambda: Log.objects.get(agent_id=run.agent_id).owner != first.worker, "the lease is given back", 10)
    registry.let_all()
    assert docker_site.end(run)[-1].data["status"] == "completed"
    assert len(attempts(run)) == 1


@pytest.mark.docker
def test_a_worker_that_dies_while_it_pulls_is_followed_by_one_that_pulls(
    docker_site: Site, registry: ImageRegistry
) -> None:
    first = docker_site.worker()
    run = docker_site.start(define(docker_site, registry))
    registry.let(10)
    wait_bytes(docker_site, run)
    docker_site.kill(first)
    take(docker_site, run, docker_site.worker())
    registry.let_all()
    assert docker_site.end(run)[-1].data["status"] == "completed"


@pytest.mark.docker
@needs_x86_64
def test_the_time_that_a_pull_takes_is_not_the_programs(
    docker_site: Site, registry: ImageRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of it."""
    monkeypatch.setattr(attempts_module, "_age_s", lambda attempt: 3600.0)
    docker_site.worker()
    registry.let_all()
    run = docker_site.start(define(docker_site, registry, limits={"wall_s": 60}))
    events = docker_site.end(run)
    assert (errors(events), text(events)) == ([], "pulled and run")
    assert events[-1].data["duration_ms"] < 60_000


@pytest.mark.docker
def test_a_pull_takes_no_longer_than_a_run_may(docker_site: Site, registry: ImageRegistry) -> None:
    docker_site.settings.RUN_TIME_LIMIT_S = 1.0
    docker_site.worker()
    events = docker_site.ended(define(docker_site, registry))
    (error,) = [event.data for event in events if event.type == "error"]
    assert (error["code"], error["retryable"]) == ("image-pull-failed", True)
    assert "longer than 1 s" in error["message"]


@pytest.mark.docker
def test_what_can_not_be_pulled_says_why(docker_site: Site) -> None:
    docker_site.settings.IMAGE_PULL = "missing"
    docker_site.worker()
    events = docker_site.ended(docker_site.define("absent", image="127.0.0.1:1/nothing:1"))
    (error,) = [event.data for event in events if event.type == "error"]
    assert error["code"] == "image-pull-failed"
    assert "127.0.0.1:1/nothing:1" in error["message"]
    assert "connection refused" in error["message"]


class Torrent:
    """A registry of an engine that says the same or something new far more often than anybody wants to know."""

    def __init__(self, said: list[PullProgress]) -> None:
        self._said = said
        self.reports: list[tuple[float, str]] = []

    async def pull(self, image: str) -> AsyncIterator[PullProgress]:
        for progress in self._said:
            yield progress
            await asyncio.sleep(0)
        await asyncio.Event().wait()  # the registry stops in the middle

    async def report(self, text: str) -> None:
        self.reports.append((asyncio.get_running_loop().time(), text))

    def reported_until(self, last: str) -> list[str]:
        async def pull() -> None:
            engine: Any = self
            task = asyncio.create_task(image_pulling.pull(engine, "x:1", self.report))
            async with asyncio.timeout(10):
                while not self.reports or self.reports[-1][1] != last:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(pull())
        return [text for _, text in self.reports]


def test_progress_is_reported_once_in_a_while_and_the_newest_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_pulling, "PROGRESS_S", 0.2)
    torrent = Torrent([PullProgress(step * 10**6, 10**10) for step in range(10_001)])
    reports = torrent.reported_until("pulling x:1: 10000.0 of 10000.0 MB")
    times = [time for time, _ in torrent.reports]
    assert len(reports) >= 2
    assert all(after - before >= 0.19 for before, after in pairwise(times))


def test_what_has_not_moved_is_not_reported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_pulling, "PROGRESS_S", 0.0)
    stuck = [PullProgress(0, 0)] * 100 + [PullProgress(1, 10**6)] * 100 + [PullProgress(10**6, 10**6)]
    reports = Torrent(stuck).reported_until("pulling x:1: 1.0 of 1.0 MB")
    assert reports == ["pulling x:1", "pulling x:1: 0.0 of 1.0 MB", "pulling x:1: 1.0 of 1.0 MB"]
