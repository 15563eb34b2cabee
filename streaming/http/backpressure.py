"""Backpressure and a clean end for daphne.

Its `send` never waits, so a client that does not read fills the server's memory (measured: 76 to 411 MB in 6 s). Here
`send` waits while Twisted says that the transport is full, and a client that takes nothing for too long is cut off. The
hook is Twisted's push-producer interface (IPushProducer), registered with the transport for the length of a response or
a WebSocket.

Daphne also reads WebSocket messages faster than the application takes them, into a queue without bound. Here the socket
is not read while WAITING_MESSAGES wait.

On shutdown daphne cancels every application at once; here streams end by themselves first.
Other servers need none of this: their `send` waits by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import daphne.server  # type: ignore[import-untyped]  # no types
from daphne.cli import CommandLineInterface  # type: ignore[import-untyped]  # no types
from daphne.server import Server, reactor
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol  # type: ignore[import-untyped]  # no types
from django.conf import settings
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer  # type: ignore[import-untyped]  # no types

from streaming.http.request_limits import BoundedFactory, BoundedRequest, BoundOf

log = logging.getLogger(__name__)
WAITING_MESSAGES = 32
DRAINED_S = 0.05
"""How often a socket that is not read is looked at again."""


@implementer(IPushProducer)
class Valve:
    """Open while the transport takes bytes."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    def pauseProducing(self) -> None:
        self.open.clear()

    def resumeProducing(self) -> None:
        self.open.set()

    def stopProducing(self) -> None:
        self.open.set()


class PatientServer(Server):  # type: ignore[misc]  # no types
    before_shutdown: ClassVar[Callable[[], Awaitable[None]] | None] = None

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and hasattr(protocol, "registerProducer"):
            await super().handle_reply(protocol, message)
            self._register(protocol)
            return
        if message["type"] == "websocket.accept":
            await super().handle_reply(protocol, message)
            _register_websocket(protocol)
            return
        valve = getattr(protocol, "valve", None)
        if message["type"] == "websocket.send" and valve is not None and not await self._opens(protocol, valve):
            return
        if message["type"] == "http.response.body" and valve is not None:
            if not await self._opens(protocol, valve):
                return
            if not message.get("more_body", False):
                self._release(protocol)
        await super().handle_reply(protocol, message)

    def _register(self, protocol: Any) -> None:
        if getattr(protocol, "channel", None) and not protocol.finished:  # the client may have gone already
            protocol.valve = Valve()
            protocol.registerProducer(protocol.valve, True)

    async def _opens(self, protocol: Any, valve: Valve) -> bool:
        try:
            async with asyncio.timeout(settings.STREAM_SEND_TIMEOUT_S):
                await valve.open.wait()
        except TimeoutError:
            self._cut_off(protocol)
            return False
        except asyncio.CancelledError:  # the application has lost its patience before us
            if not isinstance(protocol, WebSocketProtocol):  # that one goes on with what else it has to say, or closes
                self._cut_off(protocol)
            raise
        return True

    def _cut_off(self, protocol: Any) -> None:
        protocol.valve = None
        if isinstance(protocol, WebSocketProtocol):
            protocol.dropConnection(abort=True)
        elif getattr(protocol, "channel", None):
            protocol.channel.forceAbortClient()

    def _release(self, protocol: Any) -> None:
        protocol.valve = None
        if not getattr(protocol, "finished", False) and getattr(protocol, "channel", None):
            protocol.unregisterProducer()

    def application_checker(self) -> None:
        """Daphne's, once a second. An application that fails after its response has begun makes it raise, and then it
        would never be called again: connections that have ended would be kept for ever."""
        try:
            super().application_checker()
        except Exception:
            log.exception("a response broke off")
            self._cut_off_failed()
            reactor.callLater(1, self.application_checker)

    def _cut_off_failed(self) -> None:
        for protocol, details in self.connections.items():
            application = details.get("application_instance")
            if application and application.done() and not application.cancelled() and application.exception():
                del details["application_instance"]
                self._cut_off(protocol)

    def kill_all_applications(self) -> Any:
        """Daphne's trigger before shutdown; the connections are still there while we wait."""
        ending = _told(type(self).before_shutdown)
        ending.addBoth(lambda _: self._kill())
        return ending

    def _kill(self) -> Any:
        for details in self.connections.values():  # daphne expects one on idle keep-alive connections, too
            details.setdefault("application_instance", _finished())
        return super().kill_all_applications()


def _register_websocket(protocol: Any) -> None:
    """The transport still has the HTTP channel as its producer, which the upgrade has left without a purpose."""
    protocol.valve = Valve()
    protocol.unregisterProducer()
    protocol.registerProducer(protocol.valve, True)


class BoundedWebSocket(WebSocketProtocol):  # type: ignore[misc]  # no types
    failByDrop = False
    """Autobahn would answer a message that is too large or malformed by a reset, and the client never see the close
    code. Now it discards what comes, and drops a client that has not closed after a second."""
    max_message_bytes: ClassVar[Callable[[], int]]

    def connectionMade(self) -> None:
        super().connectionMade()
        self.maxMessagePayloadSize = self.maxFramePayloadSize = type(self).max_message_bytes()

    def sendMessage(self, payload: bytes, *args: Any, **options: Any) -> None:
        """Autobahn applies the limit to what we send, too: a snapshot may be larger."""
        limit, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            super().sendMessage(payload, *args, **options)
        finally:
            self.maxMessagePayloadSize = limit

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        super().onMessage(payload, isBinary)
        if self.application_queue.qsize() == WAITING_MESSAGES:
            self.transport.pauseProducing()
            reactor.callLater(DRAINED_S, self._resume_when_drained)

    def _resume_when_drained(self) -> None:
        if self.state != self.STATE_OPEN:
            return
        if self.application_queue.qsize() < WAITING_MESSAGES:
            self.transport.resumeProducing()
        else:
            reactor.callLater(DRAINED_S, self._resume_when_drained)


class BoundedWebSocketFactory(WebSocketFactory):  # type: ignore[misc]  # no types
    protocol = BoundedWebSocket


def _told(before_shutdown: Callable[[], Awaitable[None]] | None) -> Deferred[Any]:
    if before_shutdown is None:
        return Deferred.fromFuture(_finished())
    return Deferred.fromFuture(asyncio.ensure_future(before_shutdown()))


def _finished() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_event_loop().create_future()
    future.set_result(None)
    return future


class PatientDaphne(CommandLineInterface):  # type: ignore[misc]  # no types
    server_class = PatientServer


def serve(
    arguments: list[str],
    before_shutdown: Callable[[], Awaitable[None]],
    bound_of: BoundOf,
    max_message_bytes: Callable[[], int],
) -> None:
    """Run daphne with its own command-line arguments until SIGTERM or SIGINT; `before_shutdown` runs first. `bound_of`
    says how large a request's body may be, `max_message_bytes` how large a message over a WebSocket."""
    PatientServer.before_shutdown = before_shutdown
    BoundedRequest.bound_of = bound_of
    BoundedWebSocket.max_message_bytes = max_message_bytes
    daphne.server.HTTPFactory = BoundedFactory  # daphne makes its own, and asks nobody which
    daphne.server.WebSocketFactory = BoundedWebSocketFactory
    PatientDaphne().run(arguments)
