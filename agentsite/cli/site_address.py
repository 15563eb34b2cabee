"""Where people reach the site, for links that a command prints."""

from __future__ import annotations

from contextlib import suppress

from agentsite.environment import Environment

URL_FILE = "url"
"""In the data directory: the address of the `up` that was last ready there, whatever port it was given."""


def address_of(environment: Environment) -> str:
    """Of a site that listens as these settings say. Without a slash at its end."""
    host = environment.host
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{environment.port}"


def public_address(environment: Environment) -> str:
    """Of the proxy in front if there is one, else of `up`, else by the settings. Without a slash at its end."""
    for origin in environment.csrf_trusted_origins.split(","):
        if origin.strip().startswith("https://") and "*" not in origin:
            return origin.strip().rstrip("/")
    with suppress(OSError):
        return (environment.directory() / URL_FILE).read_text().strip().rstrip("/")
    return address_of(environment)
