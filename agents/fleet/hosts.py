"""Hosts: the machines of a site. A container can be followed and stopped only from the host that started it, so a run
with an open attempt belongs to the host of that attempt, and the workers of that host have a queue of their own.

    alive   seen within LEASE_S
    away    not seen for longer. Its containers may be running, so its runs wait for it
    lost    not seen for HOST_LOST_S, while another host was: its runs end with `host-lost`

All times are the database's. A database that was away makes nobody lost: that takes another host that was seen without
a gap for as long. Synchronous; see streaming.store.database.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Case, Exists, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from agents.models import Attempt, Host, Run
from containers.errors import EngineError

ID_FILE = "host-id"
ANY_HOST = "celery"
"""The queue of all workers: Celery's own name for the one it uses unless it is told of another."""
QUEUE = "host."
KEPT = timedelta(days=7)
"""How long the row of a host that is not seen any more is kept."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class HostLost(EngineError):
    """The host that started a run's container is lost."""

    code = "host-lost"
    retryable = True


class OnAnotherHost(Exception):
    """Only workers of another host can go on with this run."""


def host_id() -> str:
    """HOST_ID, or what is kept in LOCAL_DIR, where it is made on first use. Raises OSError."""
    return settings.HOST_ID or read_or_make(Path(settings.LOCAL_DIR) / ID_FILE)


def read_or_make(path: Path) -> str:
    """The random id in a file. It is made whole or not at all: of two processes that make it, one wins."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        try:
            new.write_text(f"{secrets.token_hex(8)}\n")
            with contextlib.suppress(FileExistsError):
                os.link(new, path)
        finally:
            new.unlink(missing_ok=True)
    return path.read_text().strip()


def boot_id() -> str:
    """Of the running kernel: the same in all containers of a machine, and another after each boot."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:  # not Linux
        return socket.gethostname()[:64]


# Presence ----------------------------------------------------------------------------------------------------------


def renew(host: str) -> None:
    """A worker of this host is at work."""
    since = Case(When(seen_at__lt=_ago(settings.LEASE_S), then=Now()), default=F("present_since"))
    if not Host.objects.filter(pk=host).update(present_since=since, seen_at=Now(), boot_id=boot_id()):
        new = Host(pk=host, boot_id=boot_id(), seen_at=Now(), present_since=Now())
        Host.objects.bulk_create([new], ignore_conflicts=True)


def is_another_machine(host: str) -> bool:
    """Whether workers on another machine are at work under this id now."""
    return _alive().filter(pk=host).exclude(boot_id=boot_id()).exists()


def is_lost(host: str) -> bool:
    # Not less than LEASE_S: until then its workers may be the writers of their logs.
    long_ago = _ago(max(settings.HOST_LOST_S, settings.LEASE_S))
    witnesses = _alive().filter(present_since__lte=long_ago)
    return witnesses.exists() and not Host.objects.filter(pk=host, seen_at__gte=long_ago).exists()


def queues() -> list[str]:
    """Of all hosts that are alive."""
    return [queue(host) for host in _alive().order_by("pk").values_list("pk", flat=True)]


def forget_old() -> None:
    Host.objects.filter(seen_at__lt=Now() - KEPT).delete()


# Whose run it is ---------------------------------------------------------------------------------------------------


def queue(host: str) -> str:
    """Only workers of that host take messages from it."""
    return QUEUE + host


def queue_of(agent_id: str) -> str:
    """Where workers are to be asked to look at this agent."""
    for host in _bound(Attempt.objects.filter(run__agent_id=agent_id)).values_list("host", flat=True):
        if not is_lost(host):
            return queue(host)
    return ANY_HOST


def hosts_of_open_runs(agent_id: str) -> list[str]:
    """An item for each run that has not ended: the host that its attempt belongs to, "" without one."""
    attempts = Attempt.objects.filter(run=OuterRef("pk"), finished_at=None).order_by("-number").values("host")
    open_runs = Run.objects.filter(agent_id=agent_id, finished_at=None).order_by()
    return list(open_runs.values_list(Coalesce(Subquery(attempts[:1]), Value("")), flat=True))


def is_elsewhere(found: Collection[str], host: str) -> bool:
    """Whether runs of these hosts (as `hosts_of_open_runs` has them) are for another host than this one."""
    return any(other not in ("", host) and not is_lost(other) for other in found)


def check(attempt: Attempt, host: str) -> None:
    """Raises OnAnotherHost or HostLost, unless workers of this host can go on with the attempt."""
    if attempt.host in ("", host):
        return
    if not is_lost(attempt.host):
        raise OnAnotherHost
    silent = f"has not been seen for {settings.HOST_LOST_S:g} s"
    raise HostLost(f"the run's host {silent} (host {attempt.host}); its program may still be at work there")


def waits_for_a_host() -> Exists:
    """In a query of runs: whether the run's agent has to wait for a host that is away."""
    away = Host.objects.exclude(pk__in=_alive().values("pk")).values_list("pk", flat=True)
    waited_for = [host for host in away if not is_lost(host)]
    return Exists(_bound(Attempt.objects.filter(run__agent_id=OuterRef("agent_id"), host__in=waited_for)))


def _bound(attempts: QuerySet[Attempt]) -> QuerySet[Attempt]:
    return attempts.filter(finished_at=None, run__finished_at=None).exclude(host="").order_by()


def _alive() -> QuerySet[Host]:
    return Host.objects.filter(seen_at__gte=_ago(settings.LEASE_S))


def _ago(seconds: float) -> Combinable:
    return Now() - timedelta(seconds=seconds)
