"""Requests for daphne, bounded while they come in: a head that is too long is answered, too, and a body by its limit.

Daphne calls the application when a body is there as a whole, and keeps it in a file of /tmp until then: what the
application would refuse has filled the disk by that time. So a limit is asked for when the headers are there, and an
answer given at once, or as soon as a body without an announced length goes beyond it.
Other servers hand bodies on piece by piece.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

from daphne.http_protocol import HTTPFactory, WebRequest  # type: ignore[import-untyped]  # no types
from daphne.server import reactor  # type: ignore[import-untyped]  # no types
from twisted.web.http import HTTPChannel

from streaming.http.problem import Problem

LINGER_S = 2.0
"""How long a refused client may go on sending, to nobody: a connection that is closed on unread bytes is reset, and the
answer lost with it (RFC 9112, section 9.6)."""
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110, section 5.6.2."""
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Bound:
    """How many bytes a body may have, and what is answered to one that has more."""

    max_bytes: int
    problem: Problem


BoundOf = Callable[[str, bytes, Headers], Bound]
"""Method, target as it was sent, headers."""


class BoundedRequest(WebRequest):  # type: ignore[misc]  # no types
    bound_of: ClassVar[BoundOf | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Twisted would read a whole form into memory, and break off without a word at one that it can't read.
        self._parsePOSTFormSubmission = False
        self._bound: Bound | None = None
        self._is_refused = False

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)
        bound_of = type(self).bound_of
        if bound_of is not None and length != 0:
            self._bound = bound_of(self.channel._command.decode("latin-1"), self.channel._path, self._headers())
            self._check(length or 0)

    def handleContentChunk(self, data: bytes) -> None:
        self._check(self.content.tell() + len(data))
        if not self._is_refused:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._is_refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def process(self) -> Any:
        """Refuse what daphne would fail on, with a traceback in the log and a 500."""
        # Meant for a proxy, but any client can send it, and it would decide what addresses on pages begin with.
        self.requestHeaders.removeHeader(b"daphne-root-path")
        if not _METHOD.fullmatch(self.method):
            self.basic_error(400, b"Bad Request", "Invalid method")
            return None
        return super().process()

    def _headers(self) -> Headers:
        return [(name.lower(), value) for name, values in self.requestHeaders.getAllRawHeaders() for value in values]

    def _check(self, length: int) -> None:
        if self._bound is not None and length > self._bound.max_bytes and not self._is_refused:
            self._is_refused = True
            self._refuse(self._bound.problem)

    def _refuse(self, problem: Problem) -> None:
        self.requestHeaders.removeHeader(b"Expect")  # the channel would ask for the body behind our answer
        refuse(self.channel.transport, problem)


class AnsweringChannel(HTTPChannel):
    """Says what was wrong with a request's head, where Twisted closes the connection without a word."""

    def lineLengthExceeded(self, line: bytes) -> None:
        if self._receivedHeaderSize == 0:  # so it is the first line
            problem = Problem(414, "uri-too-long", f"the first line of a request may have {self.MAX_LENGTH} bytes")
        else:
            problem = self._headers_too_large()
        self._refuse(problem)

    def _respondToBadRequestAndDisconnect(self) -> None:
        is_large = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        malformed = Problem(400, "bad-request", "this is not an HTTP/1.1 request")
        self._refuse(self._headers_too_large() if is_large else malformed)

    def _headers_too_large(self) -> Problem:
        most = f"a request may have {self.maxHeaders} headers, of {self.totalHeadersSize} bytes together"
        return Problem(431, "headers-too-large", most)

    def _refuse(self, problem: Problem) -> None:
        self._buffer = b""
        self.dataReceived = _discard  # type: ignore[method-assign]  # as Twisted itself does behind a last request
        refuse(self.transport, problem)


def _discard(data: bytes) -> None:
    pass


class BoundedFactory(HTTPFactory):  # type: ignore[misc]  # no types
    protocol = AnsweringChannel  # not Twisted's choice between this and HTTP/2, which needs TLS: that is the proxy's

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = BoundedRequest
        return protocol


def refuse(transport: Any, problem: Problem) -> None:
    """Answer, and end the connection once the client has had the time to read that."""
    transport.write(_answer(problem))
    transport.loseWriteConnection()
    reactor.callLater(LINGER_S, transport.abortConnection)


def _answer(problem: Problem) -> bytes:
    body = problem.body
    headers = {**problem.all_headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
