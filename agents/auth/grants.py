"""Access that ends while it is in use: which callers of open streams may go on, and word of a change at once.

What no signal tells of (a table changed as a whole, time that passes) is found by the regular look of
agents.auth.access_watch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Self

import structlog
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models.functions import Now
from django.db.models.signals import post_delete, post_save
from django.utils.crypto import constant_time_compare
from redis.exceptions import RedisError

from agents.auth.credentials import Credential, Identity, usable_tickets, usable_tokens
from agents.fleet.redis_client import redis_client
from agents.models import Agent, ApiToken
from streaming.read.hub import HUB_CHANNEL

log = structlog.get_logger(__name__)
NOTICE = b"access "
"""Begins a message on the hub's channel; the id of the user whose access may have changed follows."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody was let in with. `agent_id`: what is open is of that agent."""

    credential: Credential
    user_id: int
    agent_id: str | None = None

    @classmethod
    def of(cls, identity: Identity, agent: Agent | None = None) -> Self:
        """What the caller's credentials allow; `agent`: to that agent alone."""
        return cls(identity.credential, identity.user.pk, None if agent is None else str(agent.pk))


def ended(grants: Iterable[Grant]) -> set[Grant]:
    """Those that are worth nothing any more. A few queries, however many grants."""
    grants = set(grants)
    users = users_of({grant.credential for grant in grants})
    agent_ids = {grant.agent_id for grant in grants if grant.agent_id is not None}
    owners = {str(pk): owner for pk, owner in Agent.objects.filter(pk__in=agent_ids).values_list("pk", "owner_id")}
    return {
        grant
        for grant in grants
        if users.get(grant.credential) != grant.user_id
        or (grant.agent_id is not None and owners.get(grant.agent_id) != grant.user_id)
    }


def users_of(credentials: Iterable[Credential]) -> dict[Credential, int]:
    """Whom each of them identifies now; those that identify nobody are left out."""
    by_kind: dict[str, set[str]] = {}
    for credential in credentials:
        by_kind.setdefault(credential.kind, set()).add(credential.key)
    found: dict[Credential, int] = {}
    if tokens := by_kind.get("token"):
        rows = usable_tokens().filter(pk__in=tokens).values_list("pk", "user_id")
        found |= {Credential("token", str(pk)): user_id for pk, user_id in rows}
    if sessions := by_kind.get("session"):
        found |= {Credential("session", key): user_id for key, user_id in _users_of_sessions(sessions).items()}
    if tickets := by_kind.get("ticket"):
        made_with = {
            Credential("ticket", str(pk)): Credential("token", str(token)) if token else Credential("session", session)
            for pk, token, session in usable_tickets()
            .filter(pk__in=tickets)
            .values_list("pk", "token_id", "session_key")
        }
        users = users_of(made_with.values())
        found |= {ticket: users[credential] for ticket, credential in made_with.items() if credential in users}
    return found


def _users_of_sessions(keys: Iterable[str]) -> dict[str, int]:
    """As `django.contrib.auth.get_user`, for many at once."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    rows = store.get_model_class().objects.filter(session_key__in=keys, expire_date__gt=Now())
    contents = {row.session_key: row.get_decoded() for row in rows}
    ids = {int(content[SESSION_KEY]) for content in contents.values() if SESSION_KEY in content}
    users = User.objects.filter(is_active=True).in_bulk(ids)
    return {
        key: user.pk
        for key, content in contents.items()
        if (user := users.get(int(content.get(SESSION_KEY, 0)))) and _has_todays_password(user, content)
    }


def _has_todays_password(user: User, content: dict[str, Any]) -> bool:
    hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(content.get(HASH_SESSION_KEY, ""), one) for one in hashes)


# Word of a change ---------------------------------------------------------------------------------------------------


def tell(user_id: int) -> None:
    """Have every web process look at the open streams of that user, once what was changed is committed."""
    transaction.on_commit(partial(_publish, user_id))


def _publish(user_id: int) -> None:
    try:
        with redis_client() as redis:
            redis.publish(HUB_CHANNEL, NOTICE + str(user_id).encode())
    except (RedisError, OSError) as error:
        log.info("change of access not told, it will be seen", within_s=settings.ACCESS_CHECK_S, error=str(error))


def connect_signals() -> None:
    post_delete.connect(_token_deleted, sender=ApiToken)
    post_delete.connect(_session_deleted, sender=Session)
    post_save.connect(_user_saved, sender=User)
    post_delete.connect(_user_deleted, sender=User)


def _token_deleted(instance: ApiToken, **kwargs: object) -> None:
    tell(instance.user_id)


def _session_deleted(instance: Session, **kwargs: object) -> None:
    user_id = instance.get_decoded().get(SESSION_KEY)
    if user_id is not None:
        tell(int(user_id))


def _user_deleted(instance: User, **kwargs: object) -> None:
    if instance.pk is not None:
        tell(instance.pk)


def _user_saved(instance: User, created: bool, **kwargs: object) -> None:
    if not created:
        tell(instance.pk)
