"""Tokens and keys of providers in the admin: what goes in, and what never comes out."""

from __future__ import annotations

import re

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from pydantic import SecretStr

from agents.auth import credentials
from agents.gateway.providers import keys
from agents.models import ApiToken, ProviderKey
from tests.admin.pages import get

# Tokens ------------------------------------------------------------------------------------------------------------


def test_a_new_token_is_shown_once_and_works(admin, user):
    response = admin.post("/admin/agents/apitoken/add/", {"user": user.pk, "name": "laptop"})
    assert "no-store" in response["Cache-Control"]
    found = re.search(r'id="token">(as_[^<]+)<', response.content.decode())
    assert found
    assert credentials.user_of_token(found[1]) == user
    assert found[1] not in get(admin, "agents/apitoken/")
    row = ApiToken.objects.get(name="laptop")
    page = get(admin, f"agents/apitoken/{row.pk}/change/")
    assert found[1] not in page
    assert row.sha256 not in page


def test_a_revoked_token_works_no_more(admin, user):
    token = credentials.create_token(user, "laptop")
    row = ApiToken.objects.get(name="laptop")
    admin.post(f"/admin/agents/apitoken/{row.pk}/delete/", {"post": "yes"})
    assert credentials.user_of_token(token) is None


def test_a_token_can_not_be_changed(admin, user):
    credentials.create_token(user, "laptop")
    row = ApiToken.objects.get(name="laptop")
    assert admin.post(f"/admin/agents/apitoken/{row.pk}/change/", {"name": "x"}).status_code == 403


# Keys of providers -------------------------------------------------------------------------------------------------


def test_a_key_goes_in_and_never_comes_out(admin, settings):
    key = "sk-proj-Zq8vT3nLw0xKd7RbYcPf"
    for wrong in ({"provider": "nobody", "key": key}, {"provider": "openai", "key": key + " \u00fc"}):
        page = admin.post("/admin/agents/providerkey/add/", wrong)
        assert page.status_code == 200
        assert key[:8] not in page.content.decode()
    admin.post("/admin/agents/providerkey/add/", {"provider": "openai", "key": f" {key} "})
    row = ProviderKey.objects.get()
    assert keys.decrypt(row.ciphertext) == key
    assert row.updated_by == User.objects.get(username="root")
    admin.post(f"/admin/agents/providerkey/{row.pk}/change/", {"key": key + "2"})
    row.refresh_from_db()
    assert keys.decrypt(row.ciphertext) == key + "2"
    pages = [get(admin, f"agents/providerkey/{path}") for path in ("", f"{row.pk}/change/", f"{row.pk}/history/")]
    pages += [get(admin, ""), str(list(LogEntry.objects.values()))]
    parts = [key[at : at + 6] for at in range(len(key) - 5)]
    assert [part for page in pages for part in parts if part in page] == []
    assert row.ciphertext not in "".join(pages)
    assert LogEntry.objects.count() == 2, "who and when is kept"


def test_a_key_stored_under_another_secret_is_of_no_use_and_says_so(admin, settings):
    admin.post("/admin/agents/providerkey/add/", {"provider": "gemini", "key": "AIza-secret"})
    settings.PROVIDER_KEYS = {**settings.PROVIDER_KEYS, "gemini": SecretStr("")}
    assert ">yes<" in get(admin, "agents/providerkey/")
    settings.SECRET_KEY = "another"
    admin.force_login(User.objects.get(username="root"))
    assert "enter it again" in get(admin, "agents/providerkey/")
