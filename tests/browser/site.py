"""The whole site as a person starts it, for the length of a test: `agentsite up` without containers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.journeys.site import UpSite


@contextmanager
def running(directory: Path, definitions: str = "") -> Iterator[str]:
    """Yields the one-time login link. Raises ServerFailed, with the output, when the site does not start or stop."""
    site = UpSite(directory, engine="process", definitions=definitions)
    # Without containers the bundled agent needs an environment of its own. Here it only has to be offered.
    file = directory / "agents.toml"
    command = 'trusted = true\nprocess_command = ["false"]\n'
    file.write_text(re.sub(r'process_command = \["\{venv\}.*\n', command, file.read_text()))
    try:
        yield site.start().login_link
        site.interrupt()
    finally:
        site.close()
