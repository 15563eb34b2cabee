"""Ask the workers to supervise an agent: one Celery message to the queue of the hosts that can.

The task is named and not imported, because the code that asks runs below the workers' code. A lost message costs some
seconds: the reaper asks again.
"""

from __future__ import annotations

from celery import current_app

from agents.fleet import hosts

SUPERVISE = "agents.supervise"
"""The name of the task in agents.worker.tasks."""


def request_supervision(agent_id: str) -> None:
    """Send the message. Raises kombu's OperationalError when the broker does not answer, and DatabaseError."""
    send_supervise(agent_id, hosts.queue_of(agent_id))


def send_supervise(agent_id: str, queue: str) -> None:
    current_app.send_task(SUPERVISE, (agent_id,), queue=queue, retry=False, ignore_result=True)
