"""Characters that can't be seen, or that change how others are seen, made visible.

A diff is read to find out what changed. Terminal escapes, direction overrides (CVE-2021-42574, "Trojan Source") and
text without a glyph (tag characters: instructions to a model that no reader sees) would show something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_HIDDEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"  # controls, but for the tab
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_PICTURES = 0x2400
"""Unicode's pictures of the first 32 controls begin there."""


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """(text, whether it stands for a hidden character), in order."""
    at = 0
    for match in _HIDDEN.finditer(text):
        if match.start() > at:
            yield text[at : match.start()], False
        yield name(match[0]), True
        at = match.end()
    if at < len(text):
        yield text[at:], False


def plain(text: str) -> str:
    """The same as one string, for where there is no markup: titles, attributes."""
    return _HIDDEN.sub(lambda match: name(match[0]), text)


def name(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\u2421" if code == 0x7F else f"U+{code:04X}"
