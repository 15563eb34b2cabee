"""Login by a one-time link, which `agentsite up` and `agentsite login` print, or by password. Tries are limited."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from agents.auth import credentials, throttle
from agents.auth.client_address import address_of_request
from agents.errors import TooManyFailures


@never_cache
@require_GET
def login_link(request: HttpRequest, token: str) -> HttpResponse:
    """Logs in once. Somebody who is logged in and follows an old link just goes on."""
    throttle.refuse_blocked(address_of_request(request))
    user = credentials.redeem_login_link(token)
    if user is not None:
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return redirect("/")
    if request.user.is_authenticated:
        return redirect("/")
    throttle.count_wrong_token(address_of_request(request))
    return render(request, "registration/link_used.html", status=410)


class PasswordThrottle:
    """An authentication backend that logs nobody in. It comes first and counts what is asked of those behind it, so it
    holds for every form and for whatever else calls `authenticate` for a request."""

    def authenticate(self, request: HttpRequest | None, username: str | None = None, **credentials: Any) -> None:
        """Raises TooManyFailures."""
        if request is not None and username:
            counted = (username, address_of_request(request))
            throttle.count_login(*counted)
            request.counted_login = counted  # type: ignore[attr-defined]  # ours, for the receiver below


@receiver(user_logged_in)
def _forget_login(request: HttpRequest, user: User, **_: Any) -> None:
    if (counted := getattr(request, "counted_login", None)) is not None:
        throttle.forget_login(*counted)


class TooManyFailuresPage(MiddlewareMixin):
    """Makes a page of TooManyFailures, from whichever view it comes. The API has its own answer."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, TooManyFailures):
            return None
        context = {"retry_after_s": exception.retry_after_s}
        response = render(request, "registration/too_many.html", context, status=429)
        response["Retry-After"] = str(exception.retry_after_s)
        response["Cache-Control"] = "no-store"
        return response
