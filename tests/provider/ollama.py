"""Ollama's own: `POST /api/chat`, JSON lines. (Its OpenAI-compatible one is chat.py.)"""

from __future__ import annotations

import json
from collections.abc import Iterator

from .script import Asked, Call, Kind, Message, Text, Thinking, Turn
from .wire import Frame, Json, Refusal, loads, retry_after

MEDIA_TYPE = "application/x-ndjson"
CREATED_AT = "2026-11-21T12:00:00Z"
ERRORS: dict[Kind, tuple[int, str]] = {
    "unauthorized": (401, "unauthorized"),
    "rate-limited": (429, "too many requests"),
    "quota": (429, "you have reached your usage limit"),
    "overloaded": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "server-error": (500, "llama runner process has terminated"),
    "context-too-long": (400, "the input length exceeds the context length"),
    "unknown-model": (404, "model 'no-such-model' not found"),
    "bad-request": (400, "The script of the mock provider is over."),
    "no-streaming": (400, "streaming is not supported"),
    "no-such-path": (404, "404 page not found"),
}


def understand(body: Json, path: str) -> Asked:
    return Asked(
        model=str(body.get("model")),
        streaming=body.get("stream", True) is not False,
        messages=tuple(map(_message, body.get("messages", []))),
        tools=tuple(tool["function"]["name"] for tool in body.get("tools") or []),
        thinking=bool(body.get("think")),
    )


def _message(given: Json) -> Message:
    calls = (call["function"] for call in given.get("tool_calls") or [])
    return Message(
        given["role"],
        given.get("content") or "",
        tuple(Call(call["name"], loads(call["arguments"])) for call in calls),
    )


def stream(turn: Turn, asked: Asked) -> Iterator[Frame]:
    for part in turn.parts:
        if isinstance(part, Call):
            yield Frame(_line(_chunk(asked, {"content": "", "tool_calls": [_call(part)]})), is_piece=True)
            continue
        for piece in turn.pieces(part.content):
            message = {"content": "", "thinking": piece} if isinstance(part, Thinking) else {"content": piece}
            yield Frame(_line(_chunk(asked, message)), is_piece=True)
    yield Frame(_line({**_chunk(asked, {"content": ""}), **_end(turn, asked)}))


def whole(turn: Turn, asked: Asked) -> Json:
    message: Json = {
        "content": "".join(part.content for part in turn.parts if isinstance(part, Text)),
        "thinking": "".join(part.content for part in turn.parts if isinstance(part, Thinking)),
        "tool_calls": [_call(part) for part in turn.parts if isinstance(part, Call)],
    }
    filled = {name: value for name, value in message.items() if value or name == "content"}
    return {**_chunk(asked, filled), **_end(turn, asked)}


def refuse(kind: Kind, asked: Asked, retry_after_s: float | None) -> Refusal:
    return Refusal(ERRORS[kind][0], {"error": ERRORS[kind][1]}, retry_after(retry_after_s))


def garble(content: str) -> bytes:
    return content.encode() + b"\n"


def break_off(kind: Kind, asked: Asked) -> bytes:
    return _line({"error": ERRORS[kind][1]})


def _call(call: Call) -> Json:
    return {"function": {"name": call.name, "arguments": loads(call.arguments)}}


def _chunk(asked: Asked, message: Json) -> Json:
    return {
        "model": asked.model,
        "created_at": CREATED_AT,
        "message": {"role": "assistant", **message},
        "done": False,
    }


def _end(turn: Turn, asked: Asked) -> Json:
    given, said = turn.tokens(asked)
    return {"done": True, "done_reason": "stop", "prompt_eval_count": given, "eval_count": said}


def _line(data: Json) -> bytes:
    return json.dumps(data).encode() + b"\n"
