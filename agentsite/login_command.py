"""The command that prints a login link, for the login page."""

from __future__ import annotations

import shlex

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from agents.auth.client_address import address_of_request

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def context(request: HttpRequest) -> dict[str, object]:
    """Add `login_command` to the template context. Only a browser on the site's own machine gets the full command;
    others do not learn where the site's files are."""
    return {"login_command": SimpleLazyObject(lambda: _command(request))}


def _command(request: HttpRequest) -> str:
    host = request.get_host().rpartition(":")[0] or request.get_host()
    if address_of_request(request) not in _LOOPBACK or host.strip("[]") not in _LOOPBACK:
        return "agentsite login"
    from agentsite.cli.invocation import command_line

    data_dir = shlex.quote(str(settings.DATA_DIR))
    return f"AGENTSITE_DATA_DIR={data_dir} {command_line(['login'], is_absolute=True)}"
