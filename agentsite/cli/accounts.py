"""Users, tokens and login links for the command line. Needs a migrated database."""

from __future__ import annotations

from datetime import timedelta

import django

from agentsite.cli.problem import CliProblem

LINK_TTL = timedelta(days=1)
ADMIN = "admin"


def first_admin() -> None:
    """The first administrator, and a token in <data-dir>/admin-token (mode 0600) that works."""
    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User

    from agents import access

    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if user is None:
        user = User.objects.create_superuser(ADMIN)
        user.set_unusable_password()
        user.save()
    path = settings.DATA_DIR / "admin-token"
    known = path.read_text().strip() if path.exists() else ""
    if access.user_of_token(known) is None:
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(access.create_token(user, "admin-token file") + "\n")


def login_link(username: str) -> str:
    """The secret part of a link that logs the first administrator in, once."""
    django.setup()
    from django.contrib.auth.models import User

    from agents import access

    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    assert user is not None, f"no administrator {username}"
    return access.create_login_link(user, LINK_TTL)


def new_token(username: str, name: str) -> str:
    django.setup()
    from django.contrib.auth.models import User

    from agents import access

    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CliProblem(f"no active user {username!r}")
    return access.create_token(user, name)
