"""Read a file's bytes as text, whatever encoding it is written in: for its page, its download and diffs."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from charset_normalizer import from_bytes

CONTROLS_SHARE = 0.05
"""Most of a text that may be control characters."""
SAMPLE_BYTES = 64 * 1024
"""Of lines that are not ASCII, to guess an encoding from."""
UTF16_NULS_SHARE = 0.2
"""UTF-16 without a byte order mark has at least so many NUL bytes, all of them the upper or all the lower halves."""
_CONTROLS = re.compile("[\0-\x07\x0b\x0e-\x1a\x1c-\x1f]")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins the same
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CANDIDATES = ["cp1252", "gb18030", "cp932"]
"""Encodings that are guessed. Among all that exist, a text as short as the first rows of a table is guessed wrong."""
_GUESSED_NAMES = {"cp1252": "Windows-1252", "gb18030": "GBK", "cp932": "Shift_JIS", "latin-1": "ISO 8859-1"}
"""For people, by Python's codec. Nothing in a file says that it is written in one of these."""
_CHARSETS = {
    "utf-8-sig": "utf-8",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16le",
    "utf-16-be": "utf-16be",
    "cp1252": "windows-1252",
    "gb18030": "gb18030",
    "cp932": "shift_jis",
    "latin-1": "iso-8859-1",
}
"""Labels of https://encoding.spec.whatwg.org, by Python's codec. Browsers do not decode UTF-32."""


class Text(NamedTuple):
    """`content`: without a byte order mark. `codec`: Python's."""

    content: str
    codec: str

    @property
    def is_utf8(self) -> bool:
        return self.codec == "utf-8-sig"

    @property
    def encoding(self) -> str:
        """For people: `UTF-16`, `Windows-1252 (guessed)`."""
        if self.codec in _GUESSED_NAMES:
            return f"{_GUESSED_NAMES[self.codec]} (guessed)"
        return "-".join(self.codec.upper().split("-")[:2])

    @property
    def charset(self) -> str | None:
        """For a `Content-Type`. None: no browser decodes it."""
        return _CHARSETS.get(self.codec)


def read_text(content: bytes, *, is_cut: bool = False) -> Text | None:
    """None for what is no text. `is_cut`: `content` is the beginning of a longer file."""
    for codec in _possible_codecs(content, is_cut=is_cut):
        text = _decode(content, codec, is_cut=is_cut)
        if text is not None:
            # Any bytes are a text in some encoding; in none of them are so many control characters one.
            return None if len(_CONTROLS.findall(text)) > CONTROLS_SHARE * len(text) else Text(text, codec)
    return None


def read_text_exactly(content: bytes) -> Text | None:
    """The same, but a byte order mark of UTF-8 stays in the text: the bytes can be made of it again."""
    text = read_text(content)
    if text is not None and text.is_utf8 and content.startswith(codecs.BOM_UTF8):
        return text._replace(content="\ufeff" + text.content)
    return text


def _possible_codecs(content: bytes, *, is_cut: bool) -> Iterator[str]:
    """Most likely first. A byte order mark or NUL bytes leave nothing to guess."""
    mark_codec = next((codec for mark, codec in _MARKS if content.startswith(mark)), None)
    if mark_codec:
        yield mark_codec
    elif b"\0" in content:
        yield from _codecs_with_nuls(content)
    else:
        yield "utf-8-sig"
        yield from _guessed_codecs(content, is_cut=is_cut)
        yield from ("cp1252", "latin-1")  # the most common one, and the one that decodes any bytes


def _codecs_with_nuls(content: bytes) -> Iterator[str]:
    # A character of UTF-32 ends (or begins) with a NUL: Unicode ends at U+10FFFF.
    for codec, top_bytes in (("utf-32-le", content[3::4]), ("utf-32-be", content[0::4])):
        if top_bytes and not top_bytes.strip(b"\0"):
            yield codec
    even, odd = content[0::2].count(0), content[1::2].count(0)
    if not min(even, odd) and max(even, odd) >= UTF16_NULS_SHARE * len(content):
        yield "utf-16-le" if odd else "utf-16-be"


def _guessed_codecs(content: bytes, *, is_cut: bool) -> Iterator[str]:
    lines = io.BytesIO(content).readlines()
    if is_cut and len(lines) > 1:
        lines.pop()  # the cut may go through a character
    sample = b"".join(line for line in lines if not line.isascii())[:SAMPLE_BYTES]
    yield from (match.encoding for match in from_bytes(sample, cp_isolation=_CANDIDATES))


def _decode(content: bytes, codec: str, *, is_cut: bool) -> str | None:
    """None if it is not written in that. A character that the cut went through is left out."""
    try:
        return codecs.getincrementaldecoder(codec)().decode(content, final=not is_cut)
    except UnicodeDecodeError:
        return None
