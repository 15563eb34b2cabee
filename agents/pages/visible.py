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
_NAMES = {0: "NUL", 7: "BEL", 8: "BS", 10: "LF", 11: "VT", 12: "FF", 13: "CR", 27: "ESC", 127: "DEL"}
"""Not Unicode's pictures of controls, which few fonts have."""


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
    return _HIDDEN.sub(lambda match: f"[{name(match[0])}]", text)


def name(char: str) -> str:
    return _NAMES.get(ord(char), f"U+{ord(char):04X}")
