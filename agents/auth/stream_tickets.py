"""Stream tickets: one agent's stream for pages that can send no header (docs/events.md).

A ticket is bound to its agent, to the origin that asked for it, and to the token or login session it was asked for
with: it ends when that does. Synchronous.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.conf import settings
from django.db.models.functions import Now

from agents.auth.credentials import TOKEN_BYTES, TOKEN_LENGTH_MOST, Credential, Identity, hash_token, usable_tickets
from agents.auth.grants import users_of
from agents.models import Agent, StreamTicket

PREFIX = "st_"
IN_SCOPE = "agentsite.ticket"


def create(identity: Identity, agent: Agent, origin: str) -> tuple[str, datetime]:
    """A new ticket, and when it expires. `origin`: of the pages that may use it, as `origins.ticket_origin` has it.
    Removes those of the same user that can't be used any more, so that there are no more than are made in a while."""
    StreamTicket.objects.filter(user=identity.user).exclude(pk__in=usable_tickets().values("pk")).delete()
    ticket = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    kind, key = identity.credential
    row = StreamTicket.objects.create(
        user=identity.user,
        agent=agent,
        token_id=int(key) if kind == "token" else None,
        session_key=key if kind == "session" else "",
        sha256=hash_token(ticket),
        origin=origin,
        connect_by=Now() + timedelta(seconds=settings.TICKET_CONNECT_S),
        expires_at=Now() + timedelta(hours=settings.TICKET_TTL_H),
    )
    row.refresh_from_db()
    return ticket, row.expires_at


def identify(ticket: str, origin: str) -> Identity | None:
    """Who made it, if pages of `origin` may use it. The first use is noted."""
    if not ticket.startswith(PREFIX) or len(ticket) > TOKEN_LENGTH_MOST:
        return None
    row = usable_tickets().filter(sha256=hash_token(ticket), origin=origin).select_related("user").first()
    if row is None:
        return None
    credential = Credential("ticket", str(row.pk))
    if credential not in users_of([credential]):
        return None
    StreamTicket.objects.filter(pk=row.pk, used_at=None).update(used_at=Now())
    return Identity(row.user, credential, row.agent_id)


def hide(scope: dict[str, Any]) -> None:
    """Move a ticket out of the address, in place: servers write addresses into their logs."""
    query = scope["query_string"].decode("latin-1")
    if "ticket=" not in query:
        return
    fields = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    scope[IN_SCOPE] = next((value for name, value in reversed(fields) if name == "ticket"), None)
    rest = [(name, value) for name, value in fields if name != "ticket"]
    scope["query_string"] = urlencode(rest, encoding="latin-1").encode()
