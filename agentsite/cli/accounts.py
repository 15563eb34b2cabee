"""Users, tokens and login links for the command line. Needs a migrated database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import django

from agentsite.cli.problem import CliProblem

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LINK_TTL = timedelta(days=1)
ADMIN = "admin"


def ensure_first_admin() -> None:
    """Make an administrator if there is none, and a valid token of theirs in <data-dir>/admin-token (mode 0600)."""
    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User

    from agents.auth import credentials

    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if user is None:
        user = User.objects.create_superuser(ADMIN)
        user.set_unusable_password()
        user.save()
    path = settings.DATA_DIR / "admin-token"
    known = path.read_text().strip() if path.exists() else ""
    if credentials.user_of_token(known) is None:
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(credentials.create_token(user, "admin-token file") + "\n")


def create_login_link_for(username: str | None = None) -> str:
    """Return the secret part of a link that logs this user in once; without a name, the first administrator.

    Raises CliProblem if there is no such user.
    """
    django.setup()
    from django.contrib.auth.models import User

    from agents.auth import credentials

    with _database_errors_as_one_line():
        if username is not None:
            return credentials.create_login_link(_find_active_user(username), LINK_TTL)
        admin = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
        if admin is None:
            raise CliProblem("there is no administrator yet: `agentsite up` makes one, or manage.py createsuperuser")
        return credentials.create_login_link(admin, LINK_TTL)


def create_token_for(username: str, name: str) -> str:
    """Return a new API token. Raises CliProblem if there is no such user."""
    django.setup()
    from agents.auth import credentials

    with _database_errors_as_one_line():
        return credentials.create_token(_find_active_user(username), name)


def _find_active_user(username: str) -> User:
    from django.contrib.auth.models import User

    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CliProblem(f"no active user {username!r}")
    return user


@contextmanager
def _database_errors_as_one_line() -> Iterator[None]:
    """Raise CliProblem instead of DatabaseError, for a database that is down or was never migrated."""
    from django.db import DatabaseError

    try:
        yield
    except DatabaseError as error:
        reason = " ".join(str(error).split())[:300]
        raise CliProblem(
            f"the database can't be used, start the site first or run `agentsite migrate`: {reason}"
        ) from None
