"""The Celery application: threads that wait for coroutines (agents.worker.runner), and the beat schedule."""

from __future__ import annotations

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import (
    celeryd_after_setup,
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentsite.settings")

from django.conf import settings

# Celery warns of running as root because of pickle; messages here are JSON, and nothing else is accepted.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("agentsite")
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_concurrency=settings.WORKER_CONCURRENCY,
    worker_pool="threads",
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"socket_connect_timeout": 2, "socket_keepalive": True, "retry_on_timeout": True},
    worker_cancel_long_running_tasks_on_connection_loss=False,
    task_serializer="json",
    accept_content=["json"],
    beat_schedule_filename=str(settings.DATA_DIR / "celerybeat-schedule"),
    beat_schedule={
        "reap": {"task": "agents.reap", "schedule": settings.REAPER_INTERVAL_S},
        "sweep": {"task": "agents.sweep", "schedule": 60.0},
        "sweep-workspaces": {"task": "agents.sweep-workspaces", "schedule": 600.0},
        "trim": {"task": "agents.trim", "schedule": 60.0},
        "upgrade": {"task": "agents.upgrade", "schedule": 15.0},
    },
)
app.autodiscover_tasks(["agents.worker"])


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Keep Celery from configuring logging: Django's settings have done it."""


@worker_init.connect
def _join_site(**_: Any) -> None:
    from agentsite.joining import join_as_worker

    join_as_worker()


@celeryd_after_setup.connect
def _take_from_own_queue(instance: Any, **_: Any) -> None:
    """Take messages from the queue of this host, too, beside the common one."""
    from agents.fleet import hosts

    instance.app.amqp.queues.select_add(hosts.queue(hosts.host_id()))


@worker_ready.connect
def _start_runner(**_: Any) -> None:
    from agents.worker.runner import runner

    runner()


@worker_shutting_down.connect
def _detach(**_: Any) -> None:
    from agents.worker.runner import running

    if (current := running()) is not None:
        current.detach()


@worker_shutdown.connect
def _hang_up(**_: Any) -> None:
    from agents.worker.runner import running

    if (current := running()) is not None:
        current.hang_up()
