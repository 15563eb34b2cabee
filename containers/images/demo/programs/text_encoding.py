"""In which encoding a text is written. What neither a byte order mark nor a rule of Unicode decides is called a guess.

Written by the Agentsite demo agent; analysis.py and text_analysis.py need it beside themselves. Standard library only.
The texts that matter here are short (a header and three rows), where counting letters says little. So each candidate
has to decode all of it, and is judged by how much of what is not ASCII is common in it.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from pathlib import Path

NAMES = {
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32",
    "cp1252": "Windows-1252",
    "gb18030": "GBK",
    "cp932": "Shift_JIS",
    "latin-1": "ISO 8859-1",
}
MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
"""The longer ones first: that of UTF-32 begins as that of UTF-16 does."""
SAMPLE, PIECE = 64 * 1024, 1024 * 1024
PAIRS = ("“”", "„“", "«»", "\u2039\u203a")
MARKED = "\u2019\u2013—…€£§°·©®™½²³µ\xd7\xa0"
"""Apostrophe, dashes and signs of western texts."""
UTF16_NULS = 0.2
"""Least share of NUL bytes, all of them in every second place: each ASCII character has one."""
LEAST = 0.5
"""Of a score; below it no candidate is better than the one that most files without Unicode have."""


def name_of(codec: str) -> str:
    name = NAMES.get(codec, codec)
    return f"{name} (guessed)" if codec in CANDIDATES or codec == "latin-1" else name


def encoding_of(path: Path) -> str:
    """Of a whole file, which is read up to three times and never held. Raises ValueError if it is no text."""
    with path.open("rb") as file:
        head = file.read(SAMPLE)
    if not head.strip():
        raise ValueError("it is empty")
    if codec := of_unicode(head, is_cut=len(head) == SAMPLE):
        return codec
    if b"\0" in head:
        raise ValueError("it is not a text file (it has NUL bytes)")
    if decodes(path, "utf-8-sig"):
        return "utf-8-sig"
    return next(codec for codec in ranked(unusual_lines(path)) if decodes(path, codec))


def detect(content: bytes, *, is_cut: bool = False) -> str | None:
    """Of bytes that are all there is, or its beginning. None if they are no text."""
    if codec := of_unicode(content, is_cut=is_cut):
        return codec
    if b"\0" in content:
        return None
    if decoded(content, "utf-8-sig", is_cut=is_cut) is not None:
        return "utf-8-sig"
    lines = (line for line in io.BytesIO(content) if not line.isascii())
    sample = b"".join(lines)[:SAMPLE]
    return next(codec for codec in ranked(sample) if decoded(content, codec, is_cut=is_cut) is not None)


def of_unicode(head: bytes, *, is_cut: bool) -> str | None:
    """By its byte order mark, or by where its NUL bytes are."""
    for mark, codec in MARKS:
        if head.startswith(mark):
            return codec
    if b"\0" not in head:
        return None
    # A character of UTF-32 ends (or begins) with a NUL: Unicode ends at U+10FFFF.
    for codec, nuls in (("utf-32-le", head[3::4]), ("utf-32-be", head[0::4])):
        if nuls and not nuls.strip(b"\0") and decoded(head, codec, is_cut=is_cut) is not None:
            return codec
    low, high = head[0::2].count(0), head[1::2].count(0)
    codec = "utf-16-le" if high > low else "utf-16-be"
    if min(low, high) or max(low, high) < UTF16_NULS * len(head) or decoded(head, codec, is_cut=is_cut) is None:
        return None
    return codec


def decoded(content: bytes, codec: str, *, is_cut: bool = False) -> str | None:
    """None if it is not written in that. A character that the cut went through is left out."""
    try:
        return codecs.getincrementaldecoder(codec)().decode(content, final=not is_cut)
    except UnicodeDecodeError:
        return None


def decodes(path: Path, codec: str) -> bool:
    try:
        with path.open(encoding=codec, newline="") as text:
            while text.read(PIECE):
                pass
    except UnicodeDecodeError:
        return False
    return True


def unusual_lines(path: Path) -> bytes:
    """The first ones that are not ASCII: they may come late."""
    found = bytearray()
    with path.open("rb") as file:
        while len(found) < SAMPLE and (line := file.readline(SAMPLE)):
            found += b"" if line.isascii() else line
    return bytes(found)


def ranked(sample: bytes) -> Iterator[str]:
    """Candidates, the best first. The last one decodes anything."""
    scores = {codec: score(sample, codec) for codec in CANDIDATES}
    if max(scores.values()) >= LEAST:
        yield from sorted(scores, key=lambda codec: -scores[codec])
    yield from ("cp1252", "latin-1")


def score(sample: bytes, codec: str) -> float:
    """The share of what is not ASCII that is common in texts of that encoding. 0 if it can't be decoded."""
    text = decoded(sample, codec, is_cut=True)
    if text is None:
        return 0.0
    common = CANDIDATES[codec](text)
    points = [common(at) for at, one in enumerate(text) if not one.isascii()]
    return sum(points) / len(points) if points else 0.0


def western(text: str) -> Callable[[int], float]:
    """Letters stand in words of other letters, or alone between spaces; quotes come in pairs. Characters of two bytes
    that are read so make neither."""
    padded = f" {text} "
    quoted = {mark for pair in PAIRS if all(mark in text for mark in pair) for mark in pair}

    def common(at: int) -> float:
        before, one, after = padded[at], padded[at + 1], padded[at + 2]
        alone = before.isascii() and after.isascii()
        if one.isalpha():
            in_a_word = any(other.isascii() and other.isalpha() for other in (before, after))
            is_odd = (one.isupper() and before.islower()) or one in "ŽŠŒƒˆ"
            return float((in_a_word or alone) and not is_odd)
        return float(alone and (one in MARKED or one in quoted)) or 0.75 * (one in quoted)

    return common


def chinese(text: str) -> Callable[[int], float]:
    """GB 2312 has the common characters in its first level, marks and full-width letters before them."""

    def common(at: int) -> float:
        try:
            lead = text[at].encode("gb2312")[0]
        except UnicodeEncodeError:
            return 0.0
        return 1.0 if lead <= 0xA3 or 0xB0 <= lead <= 0xD7 else 0.5

    return common


def japanese(text: str) -> Callable[[int], float]:
    """Kana, marks and full-width letters, and the first level of JIS X 0208. Half-width kana are what bytes of other
    encodings are read as."""

    def common(at: int) -> float:
        code = text[at].encode("cp932")
        return 0.2 if len(code) == 1 else 1.0 if code <= b"\x98\x72" else 0.3

    return common


CANDIDATES = {"cp1252": western, "gb18030": chinese, "cp932": japanese}
"""By how often they are met: the first of two that are equally likely is taken."""
