"""Ids as people type them: whole, or their beginning."""

from __future__ import annotations

import re
import uuid

FEWEST_DIGITS = 6
"""Shorter beginnings are words (`face`, `decade`) or would be half of all ids: they begin with their time."""
_DIGITS = 32


def id_range(text: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """The ids that begin so, from the first to the last: a range of an index. None if no id can."""
    digits = text.strip().lower().replace("-", "")
    if not FEWEST_DIGITS <= len(digits) <= _DIGITS or not re.fullmatch(r"[0-9a-f]+", digits, re.ASCII):
        return None
    return uuid.UUID(digits.ljust(_DIGITS, "0")), uuid.UUID(digits.ljust(_DIGITS, "f"))
