"""Commands of programs that run without an image: what stands for this site's interpreter, the bundled programs and a
virtual environment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

IMAGES_DIR = Path(__file__).resolve().parent / "images"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def filled_in(command: Sequence[str], python: str, images: str, venv: Path | None = None) -> list[str]:
    """`{python}`, `{images}` and `{venv}` as the program sees them. Not by `format`: other braces are the command's."""
    known = {"{python}": python, "{images}": images, "{venv}": str(venv)}
    return [re.sub(r"\{(?:python|images|venv)\}", lambda found: known[found[0]], part) for part in command]


def refusal(command: Sequence[str], venv: Path | None, *, isolates: bool, trusted: bool) -> str | None:
    """Why an engine without images can't run a program; None if nothing that a definition says is against it."""
    if not command:
        return "says no process_command, so it runs in a container only (Docker or Podman)"
    if venv is None and any("{venv}" in part for part in command):
        return "needs packages here: its definition has to name a virtual environment that has them (venv)"
    if not isolates and not trusted:
        return "is not marked trusted, and the process engine isolates nothing"
    return None
