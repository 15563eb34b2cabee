"""Who is asking: API tokens, login sessions, one-time login links, and whose agent that is.

Synchronous; coroutines call it through `streaming.store.database.in_database`. Raw ASGI applications use `identify` and
`csrf_problem`; Django's views have `request.user`, and the API's own callables in `agents.api.auth`.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from io import BytesIO
from typing import Any, Literal, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, parse_cookie
from django.middleware.csrf import CsrfViewMiddleware

from agents.auth import throttle
from agents.errors import NotAuthenticated
from agents.models import ApiToken, LoginLink, StreamTicket

TOKEN_PREFIX = "as_"
"""So that a token in a log or a repository is recognised by those who look for such things."""
TOKEN_BYTES = 32
TOKEN_LENGTH_MOST = 200
TOUCH_S = 60
"""How exactly `last_used_at` is kept: a write with every request would cost more than the request."""
BEARER = "bearer"
UNKNOWN_TOKEN = "this token is not known here: it may have expired or been deleted, or be another site's"
Headers = Iterable[tuple[bytes, bytes]]


class Credential(NamedTuple):
    """What somebody identified themselves with, by the name of its row. It can be looked up again later."""

    kind: Literal["token", "session", "ticket"]
    key: str
    """Primary key of a token or a ticket; session key."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`only_agent`: no more than reading that agent's stream."""

    user: User
    credential: Credential
    only_agent: uuid.UUID | None = None

    @property
    def check_csrf(self) -> bool:
        """The browser sent the credentials by itself, so an unsafe method must prove where it comes from."""
        return self.credential.kind == "session"


# Tokens ------------------------------------------------------------------------------------------------------------


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def create_token(user: User, name: str, ttl: timedelta | None = None) -> str:
    """A new bearer token. This is the only time that anybody sees it. `ttl` runs by the database's clock; None: it does
    not expire."""
    token = new_token()
    expires_at = None if ttl is None else Now() + ttl
    ApiToken.objects.create(user=user, name=name, sha256=hash_token(token), expires_at=expires_at)
    return token


def usable_tokens() -> QuerySet[ApiToken]:
    """Those that identify somebody now, by the database's clock."""
    return ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), user__is_active=True)


def usable_tickets() -> QuerySet[StreamTicket]:
    """Those that may be used now; what each was made with has to identify somebody, too (agents.auth.grants)."""
    return StreamTicket.objects.filter(Q(connect_by__gt=Now()) | Q(used_at__isnull=False), expires_at__gt=Now())


def identify_token(token: str) -> Identity | None:
    """Looked up by its hash, so the time it takes says nothing about how much of a guess was right."""
    if not token.startswith(TOKEN_PREFIX) or len(token) > TOKEN_LENGTH_MOST:
        return None
    known = usable_tokens().filter(sha256=hash_token(token))
    row = known.select_related("user").annotate(is_stale=_stale()).first()
    if row is None:
        return None
    if row.is_stale:
        ApiToken.objects.filter(_stale(), pk=row.pk).update(last_used_at=Now())
    return Identity(row.user, Credential("token", str(row.pk)))


def user_of_token(token: str) -> User | None:
    identity = identify_token(token)
    return identity.user if identity else None


def identify_bearer(token: str, address: str) -> Identity:
    """The same for a token that came from a client's address, "" for a header without one. Raises NotAuthenticated;
    TooManyFailures where too many wrong ones came from, without a look at this one."""
    throttle.refuse_blocked(address)
    identity = identify_token(token)
    if identity is None:
        throttle.count_wrong_token(address)
        raise NotAuthenticated(UNKNOWN_TOKEN if token else "send a token as Authorization: Bearer <token>")
    return identity


def _stale() -> Q:
    return Q(last_used_at=None) | Q(last_used_at__lt=Now() - timedelta(seconds=TOUCH_S))


# Sessions ----------------------------------------------------------------------------------------------------------


def user_of_session(session_key: str) -> User | None:
    """None for a session that is over, that of an inactive user, and one from before a change of password."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return user if isinstance(user, User) else None


def identify(headers: Headers, address: str, *, may_use_session: bool = True) -> Identity | None:
    """The sender of these raw headers (of an ASGI scope); None if they have no token, and no session that counts.

    A bearer token counts before a session. A wrong token is refused even where there is a valid session, too.

    Args:
        address: of the client, for the limit on wrong tokens.
        may_use_session: False for requests of another origin.

    Raises:
        NotAuthenticated: for a wrong token.
        TooManyFailures
    """
    names = [(name.lower(), value) for name, value in headers]
    authorization = next((value for name, value in names if name == b"authorization"), None)
    if authorization is not None:
        return identify_bearer(bearer_token(authorization.decode("latin-1")) or "", address)
    if not may_use_session:
        return None
    cookies = parse_cookie("; ".join(value.decode("latin-1") for name, value in names if name == b"cookie"))
    session_key = cookies.get(settings.SESSION_COOKIE_NAME)
    user = user_of_session(session_key) if session_key else None
    return Identity(user, Credential("session", session_key)) if session_key and user else None


def bearer_token(authorization: str) -> str | None:
    """The token of an `Authorization` header (RFC 6750, section 2.1); None if it is of another scheme."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == BEARER and token.strip() else None


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        return HttpResponse(reason, status=403)


def csrf_problem(request: HttpRequest) -> str | None:
    """Why this request may come from another site; None if it does not. Safe methods never have a problem."""
    check = _CsrfCheck(lambda _: HttpResponse())
    request.csrf_processing_done = False  # type: ignore[attr-defined]  # set by Django's own middleware, not in its stubs
    check.process_request(request)
    answer = check.process_view(request, lambda _: HttpResponse(), (), {})
    return answer.content.decode() if answer is not None else None


def csrf_problem_of(scope: Mapping[str, Any]) -> str | None:
    """The same for an ASGI scope. The token must be in the header: a raw application's body is not a form."""
    return csrf_problem(ASGIRequest(dict(scope), BytesIO()))


# Login links -------------------------------------------------------------------------------------------------------


def create_login_link(user: User, ttl: timedelta) -> str:
    """The secret part of a link that logs `user` in once, within `ttl` by the database's clock: who makes it and who
    follows it may be on machines whose clocks differ."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    LoginLink.objects.create(user=user, sha256=hash_token(token), expires_at=Now() + ttl)
    return token


def redeem_login_link(token: str) -> User | None:
    """Whom it logs in; None if it is unknown, used, too old, or its user inactive. Of two at once, one wins."""
    mine = LoginLink.objects.filter(sha256=hash_token(token))
    # The link's own columns only: with the user's in the condition the update would select by a subquery, which
    # PostgreSQL does not look at again after it has waited for the row, and two would win.
    if mine.filter(used_at=None, expires_at__gt=Now()).update(used_at=Now()) != 1:
        return None
    link = mine.select_related("user").first()  # none if its user has just been deleted
    return link.user if link is not None and link.user.is_active else None


# Agents ------------------------------------------------------------------------------------------------------------
