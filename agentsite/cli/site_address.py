"""Addresses of the site for links that a command prints."""

from __future__ import annotations

from contextlib import suppress

from agentsite.environment import Environment

URL_FILE = "url"
"""File in the data directory with the address of the last `up` that became ready there."""


def address_of(environment: Environment) -> str:
    """Return the address that follows from the settings, without a slash at its end."""
    host = environment.host
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{environment.port}"


def public_address(environment: Environment) -> str:
    """Return the address of the proxy in front, or else that of the last `up`, or else that of the settings. Without a
    slash at its end."""
    for origin in environment.csrf_trusted_origins.split(","):
        if origin.strip().startswith("https://") and "*" not in origin:
            return origin.strip().rstrip("/")
    with suppress(OSError):
        return (environment.directory() / URL_FILE).read_text().strip().rstrip("/")
    return address_of(environment)
