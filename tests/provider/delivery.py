"""Puts a turn on an open connection: piece by piece, and with what goes wrong in it."""

from __future__ import annotations

import asyncio
import threading

from aiohttp import web

from .script import Asked, Fault, Turn
from .wire import Wire

GARBAGE = "<html><body>502 Bad Gateway</body></html>"
LOOK_EVERY_S = 0.005


async def deliver(request: web.Request, wire: Wire, turn: Turn, asked: Asked) -> web.StreamResponse:
    if turn.hold:
        await _wait_for(turn.hold, request)
    if turn.drop:
        _lose(request)
        return web.Response()
    if turn.raw:
        return web.Response(body=turn.raw.body, status=turn.raw.status, content_type=turn.raw.content_type)
    fault = turn.fault
    if fault and (fault.manner == "refuse" or not asked.streaming):
        return _fail_whole(request, wire, fault, asked)
    if not asked.streaming:
        return web.json_response(wire.whole(turn, asked))
    response = web.StreamResponse(headers={"content-type": wire.MEDIA_TYPE, "cache-control": "no-cache"})
    await response.prepare(request)
    pieces, total = 0, sum(frame.is_piece for frame in wire.stream(turn, asked))
    for frame in wire.stream(turn, asked):
        if frame.is_piece:
            if fault and pieces == fault.after:
                return await _fail(request, response, wire, fault, asked)
            pieces += 1
            if turn.hold_last and pieces == total:
                await _wait_for(turn.hold_last, request)
        await response.write(frame.data)
        if frame.is_piece and turn.pause_s:
            await asyncio.sleep(turn.pause_s)
    if fault:
        return await _fail(request, response, wire, fault, asked)
    await response.write_eof()
    return response


async def _fail(
    request: web.Request, response: web.StreamResponse, wire: Wire, fault: Fault, asked: Asked
) -> web.StreamResponse:
    if fault.manner == "cut":
        _lose(request)
        return response
    if fault.manner == "break":
        await response.write(wire.break_off(fault.kind, asked))
    elif fault.manner == "garbage":
        await response.write(wire.garble(GARBAGE))
    await response.write_eof()
    return response


def _fail_whole(request: web.Request, wire: Wire, fault: Fault, asked: Asked) -> web.StreamResponse:
    if fault.manner == "cut":
        _lose(request)
    elif fault.manner == "garbage":
        return web.Response(text=GARBAGE, content_type="text/html")
    status, body, headers = wire.refuse(fault.kind, asked, fault.retry_after_s)
    return web.json_response(body, status=status, headers=headers)


def _lose(request: web.Request) -> None:
    """As when the other side dies: what was written goes out, the end of the answer never comes."""
    if request.transport:
        request.transport.close()


async def _wait_for(event: threading.Event, request: web.Request) -> None:
    while not event.is_set():
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError
        await asyncio.sleep(LOOK_EVERY_S)
