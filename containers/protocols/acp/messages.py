"""JSON-RPC 2.0, one message a line. What can't be read as a message is no message: None, never an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from containers.interface import BEGINNING, Offset
from containers.protocols.jsonl import Parser

LINE_BYTES = 8 * 1024 * 1024
"""An edit carries the whole file twice, as it was and as it will be."""
METHOD_NOT_FOUND, INVALID_REQUEST, INVALID_PARAMS = -32601, -32600, -32602
AUTH_REQUIRED = -32000
ID_CHARS = 150
"""Longer ids of requests are refused: ours of what they ask are made of them."""
Id = int | str


class Request(NamedTuple):
    id: Id
    method: str
    params: dict[str, Any]


class Notification(NamedTuple):
    method: str
    params: dict[str, Any]


class Response(NamedTuple):
    """`error` is None, or what went wrong: `code`, `message`, perhaps `data`."""

    id: Id
    result: Any
    error: dict[str, Any] | None


Message = Request | Notification | Response


def parser(after: Offset = BEGINNING) -> Parser:
    return Parser(after=after, line_bytes=LINE_BYTES, is_object=lambda value: read(value) is not None)


def read(value: Mapping[str, Any]) -> Message | None:
    """`jsonrpc` is not asked for: some leave it out, and there is nothing else that it could be."""
    id_, method, params = value.get("id"), value.get("method"), value.get("params")
    has_id = isinstance(id_, int | str) and not isinstance(id_, bool)
    if isinstance(method, str):
        named = params if isinstance(params, dict) else {}
        return Request(id_, method, named) if has_id else Notification(method, named)  # type: ignore[arg-type]
    if not has_id or not ("result" in value or "error" in value):
        return None
    error = value.get("error")
    if error is None:
        return Response(id_, value.get("result"), None)  # type: ignore[arg-type]
    return Response(id_, None, error if isinstance(error, dict) else {"message": str(error)})  # type: ignore[arg-type]


def request(id_: Id, method: str, params: Mapping[str, Any]) -> bytes:
    return _encode(id=id_, method=method, params=params)


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    return _encode(method=method, params=params)


def result(id_: Id, value: Mapping[str, Any]) -> bytes:
    return _encode(id=id_, result=value)


def error(id_: Id, code: int, message: str) -> bytes:
    return _encode(id=id_, error={"code": code, "message": message})


def _encode(**fields: Any) -> bytes:
    """ASCII only, so nothing inside can be a newline to any reader, and lone surrogates pass."""
    return json.dumps({"jsonrpc": "2.0", **fields}, separators=(",", ":"), allow_nan=False).encode("ascii")
