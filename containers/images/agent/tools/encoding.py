"""Bytes of files and programs as text: UTF-8, and UTF-16 by its mark or by its many zero bytes."""

from __future__ import annotations

import codecs

SNIFFED_BYTES = 4096
_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
ZEROS_SHARE, OTHERS_SHARE = 0.4, 0.1
"""Of every second byte at least so many are zero, of the others at most: Latin text in UTF-16 without a mark."""
PLAIN_BYTES = 4
"""Fewer bytes may be a part of a character in UTF-16."""
_PLAIN = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n")


def encoding_of(beginning: bytes) -> str:
    """Of a file that begins like this. `utf-8-sig` also reads UTF-8 without a mark."""
    if beginning.startswith(tuple(_MARKS)):
        return "utf-16"
    for encoding, first in (("utf-16-be", 0), ("utf-16-le", 1)):
        zeros, others = beginning[first::2], beginning[1 - first :: 2]
        begins = len(beginning) >= 4 and zeros[:2] == b"\0\0" and 0 not in others[:2]
        if begins and zeros.count(0) >= ZEROS_SHARE * len(zeros) and others.count(0) <= OTHERS_SHARE * len(others):
            return encoding
    return "utf-8-sig"


class Decoder:
    """Of what a program prints, in pieces of any size. From the mark of UTF-16 on, which is never UTF-8, it is that,
    until a piece is plain ASCII again."""

    def __init__(self) -> None:
        self._begun = False
        self._half_mark = b""
        self._switch("utf-8")

    def decode(self, piece: bytes) -> str:
        if not self._begun and piece:
            self._begun = True
            if (encoding := encoding_of(piece)).startswith("utf-16-"):
                self._switch(encoding)
        if self._encoding != "utf-8":
            if len(piece) < PLAIN_BYTES or not set(piece) <= _PLAIN:
                return self._decoder.decode(piece)
            ended = self._decoder.decode(b"", final=True)
            self._switch("utf-8")
            return ended + self._decoder.decode(piece)
        piece, self._half_mark = self._half_mark + piece, b""
        if piece.endswith((b"\xff", b"\xfe")) and not piece.endswith(tuple(_MARKS)):
            piece, self._half_mark = piece[:-1], piece[-1:]
        marks = [(at, mark) for mark in _MARKS if (at := piece.find(mark)) >= 0]
        if not marks:
            return self._decoder.decode(piece)
        at, mark = min(marks)
        before = self._decoder.decode(piece[:at], final=True)
        self._switch(_MARKS[mark])
        return before + self._decoder.decode(piece[at + len(mark) :])

    def finish(self) -> str:
        return self._decoder.decode(self._half_mark, final=True)

    def _switch(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
