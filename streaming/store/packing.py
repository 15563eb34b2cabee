"""Text as it is stored: zstd, which packs a chunk of events into a fifth, and a page into a tenth of the log that it
came from (docs/benchmarks.md)."""

from __future__ import annotations

import zstandard

LEVEL = 6


def pack(text: str) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL).compress(text.encode())


def unpack(packed: bytes) -> str:
    """Of what `pack` made."""
    return zstandard.ZstdDecompressor().decompress(packed).decode()
