"""Read a file's bytes as text, whatever encoding it is written in: for its page, its download and diffs."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from containers.images.demo.programs import text_encoding

CONTROLS_SHARE = 0.05
"""Most of a text that may be control characters."""
_CONTROLS = re.compile("[\0-\x07\x0b\x0e-\x1a\x1c-\x1f]")
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
        return text_encoding.name_of(self.codec)

    @property
    def charset(self) -> str | None:
        """For a `Content-Type`. None: no browser decodes it."""
        return _CHARSETS.get(self.codec)


def read_text(content: bytes, *, is_cut: bool = False) -> Text | None:
    """None for what is no text. `is_cut`: `content` is the beginning of a longer file."""
    codec = text_encoding.detect(content, is_cut=is_cut)
    text = text_encoding.decoded(content, codec, is_cut=is_cut) if codec else None
    # Any bytes are a text in some encoding; in none of them are so many control characters one.
    if codec is None or text is None or len(_CONTROLS.findall(text)) > CONTROLS_SHARE * len(text):
        return None
    return Text(text, codec)


def read_text_exactly(content: bytes) -> Text | None:
    """The same, but a byte order mark of UTF-8 stays in the text: the bytes can be made of it again."""
    text = read_text(content)
    if text is not None and text.is_utf8 and content.startswith(codecs.BOM_UTF8):
        return text._replace(content="\ufeff" + text.content)
    return text
