"""Bodies too large for memory, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from streaming.store.database import in_database

CHUNK_BYTES = 256 * 1024


def announced_bytes(request: HttpRequest) -> int:
    """What the client says; 0 if it says nothing that makes sense."""
    announced = request.META.get("CONTENT_LENGTH") or "0"
    return int(announced[:20]) if announced.isascii() and announced.isdigit() else 0


def body(request: HttpRequest) -> Iterator[bytes]:
    while chunk := request.read(CHUNK_BYTES):
        yield chunk


def streamed(request: HttpRequest, pieces: Iterator[bytes]) -> Iterator[bytes] | AsyncIterator[bytes]:
    """`pieces` asks the database. Django reads a plain iterator into memory as a whole when it serves ASGI, so there it
    gets an asynchronous one."""
    return _later(pieces) if isinstance(request, ASGIRequest) else pieces


async def _later(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while chunk := await in_database(_some, pieces):
        yield chunk


def _some(pieces: Iterator[bytes]) -> bytes:
    """At least CHUNK_BYTES while there are as many: a thread for each line would cost more than the line."""
    some, size = [], 0
    for piece in pieces:
        some.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            break
    return b"".join(some)
