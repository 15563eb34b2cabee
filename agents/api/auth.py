"""Who calls: `Authorization: Bearer <token>`, or the login session with a CSRF token for unsafe methods.

A header wins, and a wrong one is not made good by a session: whoever sends a token means that one.
"""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from agents.auth import credentials
from agents.auth.client_address import address_of_request
from agents.auth.credentials import Credential, Identity
from agents.auth.origins import source_of
from agents.http.problems import CsrfFailed


class BearerToken(HttpBearer):
    openapi_description = "An API token: `agentsite token`, or the admin."

    def __call__(self, request: HttpRequest) -> User | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        return self.authenticate(request, credentials.bearer_token(header) or "")

    def authenticate(self, request: HttpRequest, token: str) -> User:
        return _remember(request, credentials.identify_bearer(token, address_of_request(request)))


class LoginSession(APIKeyCookie):
    """The browser's session. Asked for after the token; answers 403 when a page of another site may be behind it."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> User | None:
        if not request.user.is_authenticated:
            return None
        reason = credentials.csrf_problem(request)
        if reason is not None:
            raise CsrfFailed(reason)
        if not source_of(request).may_use_session:
            return None
        return _remember(request, Identity(request.user, Credential("session", request.session.session_key or "")))

    def authenticate(self, request: HttpRequest, key: str | None) -> Any | None:
        """Ninja's abstract method, which only its own `__call__` asks; ours goes round it."""
        raise NotImplementedError("__call__ does it")


def _remember(request: HttpRequest, identity: Identity) -> User:
    request.identity = identity  # type: ignore[attr-defined]  # ours, for `identity_of`
    return identity.user


def identity_of(request: HttpRequest) -> Identity:
    """The caller, and what they identified themselves with."""
    return cast(Identity, request.identity)  # type: ignore[attr-defined]  # set by _remember


def caller(request: HttpRequest) -> User:
    """The authenticated user; ninja has put it there."""
    return cast(User, request.auth)  # type: ignore[attr-defined]  # set by ninja on a request it let in
