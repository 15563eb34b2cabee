"""Names of tools as every provider takes them: letters, digits, `_` and `-`, at most 64, no two alike."""

from __future__ import annotations

import re
from hashlib import sha256

NAME_CHARACTERS = 64
DIGEST_CHARACTERS = 8
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def safe_name(name: str) -> str:
    """The same for the same name, another one for another. A name that is safe stays."""
    safe = _UNSAFE.sub("_", name)
    if safe == name and len(name) <= NAME_CHARACTERS and name[:1].isalpha():
        return name
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
    beginning = safe if safe[:1].isalpha() else f"t_{safe}"
    return f"{beginning[: NAME_CHARACTERS - DIGEST_CHARACTERS - 1]}_{digest}"
