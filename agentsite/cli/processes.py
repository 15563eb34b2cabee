"""Run one of the site's processes in the foreground."""

from __future__ import annotations

import sys

import django


def run_web() -> None:
    django.setup()
    from django.conf import settings

    from agents.asgi.request_limits import bound_of
    from agentsite.asgi import drain
    from agentsite.joining import join_as_web
    from streaming.http.backpressure import serve
    from streaming.http.websocket import max_message_bytes

    join_as_web()
    host, port = settings.ENVIRONMENT.host, settings.ENVIRONMENT.port
    arguments = ["-b", host, "-p", str(port), "--no-server-name", "-v", "0", "agentsite.asgi:application"]
    serve(arguments, drain, bound_of, max_message_bytes)


def run_worker() -> None:
    _celery("worker", "--pool", "threads", "--without-gossip", "--without-mingle", "--loglevel", "WARNING")


def run_beat() -> None:
    _celery("beat", "--loglevel", "WARNING")


def migrate() -> None:
    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


def upgrade_states() -> None:
    """Upgrade all stored states, and print a line every hundred agents. `up` leaves this to its worker."""
    from agents.worker import state_upgrade

    count = state_upgrade.count_old()
    for done, _ in enumerate(state_upgrade.upgrade(most=None), 1):
        if done % 100 == 0 or done == count:
            print(f"upgraded the stored state of {done:,} of {count:,} agents", flush=True)
    if left := state_upgrade.count_old():
        print(f"{left:,} agents could not be upgraded; the log says why, and the worker tries again", flush=True)


def _celery(*arguments: str) -> None:
    from agentsite.celery import app

    sys.argv = ["celery", "--quiet", *arguments]
    app.start(sys.argv[1:])
