"""Commands of programs that run without an image: what stands for this site's interpreter and bundled programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

IMAGES_DIR = Path(__file__).resolve().parent / "images"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def filled_in(command: Sequence[str], python: str, images: str) -> list[str]:
    """`{python}` and `{images}` as the program sees them. Not by `format`: other braces are the command's own."""
    return [part.replace("{python}", python).replace("{images}", images) for part in command]
