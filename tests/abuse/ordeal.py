"""One abusive program: what became of its run, and whether everybody else came through."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from agents.models import Agent
from agents.runs import commands
from containers.engines import cgroups
from containers.engines.bwrap_command import counts_processes
from streaming.model.events import Event
from tests.agents.site import Site, errors, text, until

MIB = 2**20
SAYS_WHAT_IT_MAY = """
import errno
def attempt(name, act, *arguments):
    try:
        act(*arguments)
        say("text", content=f"{name}: done\\n")
    except OSError as error:
        say("text", content=f"{name}: {errno.errorcode.get(error.errno, error)}\\n")
"""


class Ordeal:
    """`events` of the abusive run, checked against every law of a log. Then a sane program runs on the same agent in
    the same worker, and nothing of the first is left."""

    def __init__(self, site: Site, code: str, *, cancel_at: str = "", patience_s: float = 60, **fields: Any) -> None:
        if not site.workers:
            site.worker()
        self.site = site
        name = site.define("abuses", SAYS_WHAT_IT_MAY + code, **fields)
        self.agent: Agent = site.agent(name)
        run = commands.submit_run(self.agent, "go")
        if cancel_at:
            site.wait_file(run, cancel_at)
            commands.request_cancel(run)
        self.events: list[Event] = site.end(run, patience_s)
        until(lambda: not site.containers(run), "its container is gone")
        site.define("abuses", 'say("text", content="fine")')
        again = site.end(commands.submit_run(self.agent, "again"), patience_s)
        assert (again[-1].data["status"], text(again)) == ("completed", "fine"), "the next run of the same agent"

    @property
    def status(self) -> str:
        return str(self.events[-1].data["status"])

    @property
    def errors(self) -> list[str]:
        return errors(self.events)

    @property
    def said(self) -> dict[str, str]:
        """What `attempt` found out."""
        return dict(line.split(": ", 1) for line in text(self.events).splitlines())

    @property
    def workspace(self) -> Path:
        return self.site.workspace(self.agent)


def limits(site: Site, what: str) -> bool:
    """Whether the site's engine can limit memory, processes or files in /tmp on this machine: bwrap needs control
    groups for the first, these or Linux 5.14 for the second, and root for the last."""
    if site.engine == "docker":
        return True
    if what == "files in /tmp":
        return os.geteuid() == 0
    counted = what == "processes" and counts_processes(platform.release())
    return counted or what not in cgroups.find_groups().missing


def resident_mib() -> float:
    """Of this process, which is also the worker, at most so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def processes_named(marker: str) -> list[int]:
    """Of the whole machine, containers included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
