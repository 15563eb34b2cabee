"""Whose key is used for a provider: the environment's, else the one that was entered in the admin.

The stored one is encrypted (Fernet) with a key that is made from AGENTSITE_SECRET_KEY: a copy of the database alone
gives nothing away. Who has both, as the worker's machine has, can read it. When the secret key changes, keys have to be
entered again.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from agents.gateway.providers.provider import PROVIDERS, Provider
from agents.gateway.providers.refusals import ProviderNotConfigured
from agents.models import ProviderKey
from streaming.store.database import in_database

_PURPOSE = b"agentsite provider keys v1"
KEPT_S = 5.0
"""How long a worker uses a stored key before it looks whether it is another."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a provider is reached. Its `repr` is for logs."""

    provider: Provider
    base_url: str
    key: str

    def __repr__(self) -> str:
        return f"Access({self.provider.name!r})"


class StoredKeyUnreadable(Exception):
    """It was encrypted with another AGENTSITE_SECRET_KEY."""


def encrypt(key: str) -> str:
    return _fernet(settings.SECRET_KEY).encrypt(key.encode()).decode("ascii")


def decrypt(ciphertext: str) -> str:
    """Raises StoredKeyUnreadable."""
    try:
        return _fernet(settings.SECRET_KEY).decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        raise StoredKeyUnreadable from None


@lru_cache(maxsize=4)
def _fernet(secret: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def access(provider: Provider) -> Access:
    """How to reach it now. Synchronous, may ask the database. Raises ProviderNotConfigured, with what to do."""
    return _given(provider) or Access(provider, _base_url(provider), _stored(provider))


def _given(provider: Provider) -> Access | None:
    """What the environment alone says; None if its key has to be looked up."""
    if provider.key_setting is None:
        return Access(provider, _base_url(provider), "")
    key: str = settings.PROVIDER_KEYS[provider.name].get_secret_value().strip()
    return Access(provider, _base_url(provider), key) if key else None


def _base_url(provider: Provider) -> str:
    base_url: str = getattr(settings, provider.base_setting)
    if not base_url:
        raise ProviderNotConfigured(f"{provider.base_setting} is not set")
    if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
        raise ProviderNotConfigured(f"{provider.base_setting} is no http(s) address")
    return base_url


def _stored(provider: Provider) -> str:
    row = ProviderKey.objects.filter(provider=provider.name).values_list("ciphertext", flat=True).first()
    if row is None:
        raise ProviderNotConfigured(f"{provider.key_setting} is not set, and the admin has no key for it")
    try:
        return decrypt(row)
    except StoredKeyUnreadable:
        raise ProviderNotConfigured(
            "its key in the admin was stored under another AGENTSITE_SECRET_KEY; enter it again"
        ) from None


def why_not(provider: Provider) -> str | None:
    """Why it can't be used on this site; None if it can. Synchronous."""
    try:
        access(provider)
    except ProviderNotConfigured as problem:
        return problem.message
    return None


def reasons() -> dict[str, str | None]:
    """Of every provider why it can't be used from this process; None if it can. Synchronous."""
    return {name: why_not(provider) for name, provider in PROVIDERS.items()}


class Keyring:
    """Of one worker. Looks into the database for stored keys only, at most every KEPT_S."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Access]] = {}

    async def access(self, name: str) -> Access:
        """Raises ProviderNotConfigured; JournalUnavailable when the database is needed and away."""
        if (given := _given(PROVIDERS[name])) is not None:
            return given
        kept = self._kept.get(name)
        if kept is not None and monotonic() < kept[0] + KEPT_S:
            return kept[1]
        found = await in_database(access, PROVIDERS[name])
        self._kept[name] = (monotonic(), found)
        return found
