"""OpenAI's chat completions: `POST /v1/chat/completions`, also of Ollama and other compatible servers."""

from __future__ import annotations

from collections.abc import Iterator

from .openai_errors import error_of
from .openai_errors import refuse as refuse
from .script import Asked, Call, Kind, Message, Text, Thinking, Turn
from .wire import Frame, Json, loads, sse, text_of

MEDIA_TYPE = "text/event-stream"
CREATED = 1_780_000_000


def understand(body: Json, path: str) -> Asked:
    return Asked(
        model=str(body.get("model")),
        streaming=bool(body.get("stream")),
        messages=tuple(map(_message, body.get("messages", []))),
        tools=tuple(tool["function"]["name"] for tool in body.get("tools") or []),
        thinking="reasoning_effort" in body,
    )


def _message(given: Json) -> Message:
    calls = (call["function"] for call in given.get("tool_calls") or [])
    role = "system" if given["role"] == "developer" else given["role"]
    return Message(
        role, text_of(given.get("content")), tuple(Call(call["name"], loads(call["arguments"])) for call in calls)
    )


def stream(turn: Turn, asked: Asked) -> Iterator[Frame]:
    yield Frame(_chunk(asked, {"role": "assistant", "content": ""}))
    calls = 0
    for part in turn.parts:
        if isinstance(part, Call):
            yield Frame(_chunk(asked, {"tool_calls": [_call(asked, part, calls)]}))
            for piece in turn.pieces(part.json):
                delta = {"tool_calls": [{"index": calls, "function": {"arguments": piece}}]}
                yield Frame(_chunk(asked, delta), is_piece=True)
            calls += 1
            continue
        field = "reasoning" if isinstance(part, Thinking) else "content"
        for piece in turn.pieces(part.content):
            yield Frame(_chunk(asked, {field: piece}), is_piece=True)
    yield Frame(_chunk(asked, {}, _finish(turn)))
    yield Frame(sse({**_around(asked, "chat.completion.chunk"), "choices": [], "usage": _usage(turn, asked)}))
    yield Frame(sse("[DONE]"))


def whole(turn: Turn, asked: Asked) -> Json:
    said = [part for part in turn.parts if isinstance(part, Call)]
    calls = [_call(asked, part, number, whole=True) for number, part in enumerate(said)]
    message: Json = {
        "role": "assistant",
        "content": "".join(part.content for part in turn.parts if isinstance(part, Text)) or None,
        "reasoning": "".join(part.content for part in turn.parts if isinstance(part, Thinking)) or None,
    }
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": _finish(turn)}
    return {**_around(asked, "chat.completion"), "choices": [choice], "usage": _usage(turn, asked)}


def garble(content: str) -> bytes:
    return sse(content)


def break_off(kind: Kind, asked: Asked) -> bytes:
    return sse({"error": error_of(kind)})


def _call(asked: Asked, call: Call, index: int, whole: bool = False) -> Json:
    """In a stream it has a place, and its arguments come later."""
    function = {"name": call.name, "arguments": call.json if whole else ""}
    place = {} if whole else {"index": index}
    return {**place, "id": f"call_{asked.call_id(index)}", "type": "function", "function": function}


def _finish(turn: Turn) -> str:
    return "tool_calls" if any(isinstance(part, Call) for part in turn.parts) else "stop"


def _chunk(asked: Asked, delta: Json, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({**_around(asked, "chat.completion.chunk"), "choices": [choice]})


def _around(asked: Asked, kind: str) -> Json:
    return {"id": "chatcmpl-mock", "object": kind, "created": CREATED, "model": asked.model}


def _usage(turn: Turn, asked: Asked) -> Json:
    given, said = turn.tokens(asked)
    return {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}
