"""The one-time login link that `agentsite up` prints."""

from __future__ import annotations

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from agents import access


@never_cache
@require_GET
def login_link(request: HttpRequest, token: str) -> HttpResponse:
    """Logs in once. Somebody who is logged in and follows an old link just goes on."""
    user = access.redeem_login_link(token)
    if user is not None:
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return redirect("/")
    if request.user.is_authenticated:
        return redirect("/")
    return render(request, "registration/link_used.html", status=410)
