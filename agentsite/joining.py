"""Checks before a process joins the site: the data directory is the right one and, for a worker, the host id is not in
use on another machine. A problem is one line on stderr and exit code 2."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, connections

from agents.fleet import data_directory, hosts

log = structlog.get_logger(__name__)
RETRY_S = 1.0
T = TypeVar("T")


def join_as_worker() -> None:
    """Join as a worker. Waits for the database, without which a worker can do nothing."""
    _retry_until_database_answers(_verify)
    host = _id()
    if not settings.HOST_ID:  # given, it may well name an engine that several machines share
        _refuse_second_machine(host)
    _retry_until_database_answers(lambda: hosts.renew(host))
    connections.close_all()


def join_as_web() -> None:
    """Join as a web process. Without the database it starts all the same; pages and /readyz say what is missing."""
    try:
        _verify()
    except DatabaseError as error:
        log.warning("the data directory was not compared with the database", error=str(error).strip())
    connections.close_all()


def _verify() -> None:
    try:
        data_directory.verify()
    except (data_directory.WrongDataDirectory, OSError) as problem:
        _refuse(str(problem))


def _refuse_second_machine(host: str) -> None:
    # After a crash of the machine its host seems alive for as long as a lease.
    deadline = time.monotonic() + settings.LEASE_S + RETRY_S
    while _retry_until_database_answers(lambda: hosts.is_another_machine(host)):
        if time.monotonic() > deadline:
            _refuse(
                f"another machine is host {host} now. Hosts that share a data directory need an AGENTSITE_LOCAL_DIR "
                "each, on a disk of their own"
            )
        time.sleep(RETRY_S)


def _id() -> str:
    try:
        return hosts.host_id()
    except OSError as error:
        _refuse(f"can't write to the local directory {settings.LOCAL_DIR}: {error.strerror}")


def _retry_until_database_answers(call: Callable[[], T]) -> T:
    while True:
        try:
            return call()
        except DatabaseError as error:
            log.warning("waiting for the database", error=str(error).strip())
            connections.close_all()
            time.sleep(RETRY_S)


def _refuse(reason: str) -> NoReturn:
    print(f"agentsite: {reason}", file=sys.stderr)
    raise SystemExit(2)
