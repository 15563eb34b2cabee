"""The reaper: finds runs that nobody cares for, whatever the reason, and asks the workers again. Synchronous.

Limits: it finds a run whose worker died only when the lease has run out (LEASE_S), and asks again for a queued run only
every ASK_AGAIN_S, so that a broker whose workers are all away does not fill up. Asking twice is harmless. What was
asked while somebody still held the lease does not count: a worker that came then has gone away again.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from agents.fleet import hosts
from agents.models import Run
from agents.models.run import update_together
from streaming.models import Log

ASK_AGAIN_S = 15.0
RUNS_A_TURN = 1000
"""What one turn looks at, longest not asked for first: so that none waits for ever, however many there are."""


def stranded() -> list[str]:
    """Agents with an open run and no living writer, not asked for lately, but for those that wait for a host.
    Marks them as asked for."""
    leases = Log.objects.filter(agent_id=OuterRef("agent_id")).exclude(owner=None)
    alive = leases.filter(lease_until__gte=Now())
    lately = Q(enqueued_at__gte=Now() - timedelta(seconds=ASK_AGAIN_S))
    asked_too_early = Exists(leases.filter(lease_until__gte=OuterRef("enqueued_at")))
    asked = ~lately | Q(asked_too_early) | Q(enqueued_at=None)
    runs = Run.objects.filter(asked, ~Exists(alive), ~hosts.waits_for_a_host(), finished_at=None)
    waiting_longest = runs.order_by(F("enqueued_at").asc(nulls_first=True), "created_at")
    agent_ids = {str(agent_id) for agent_id in waiting_longest.values_list("agent_id", flat=True)[:RUNS_A_TURN]}
    update_together(Run.objects.filter(agent_id__in=agent_ids, finished_at=None), enqueued_at=Now())
    return sorted(agent_ids)
