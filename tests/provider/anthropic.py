"""Anthropic's messages: `POST /v1/messages`."""

from __future__ import annotations

from collections.abc import Iterator

from .script import Asked, Call, Kind, Message, Part, Thinking, Turn
from .wire import Frame, Json, Refusal, retry_after, sse, text_of

MEDIA_TYPE = "text/event-stream"
ERRORS: dict[Kind, tuple[int, str, str]] = {
    "unauthorized": (401, "authentication_error", "invalid x-api-key"),
    "rate-limited": (429, "rate_limit_error", "This request would exceed your rate limit."),
    "quota": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server-error": (500, "api_error", "Internal server error"),
    "context-too-long": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "unknown-model": (404, "not_found_error", "model: no-such-model"),
    "bad-request": (400, "invalid_request_error", "The script of the mock provider is over."),
    "no-streaming": (400, "invalid_request_error", "stream: streaming is not supported for this model"),
    "no-such-path": (404, "not_found_error", "Not Found"),
}


def understand(body: Json, path: str) -> Asked:
    system = text_of(body.get("system"))
    messages = [message for given in body.get("messages", []) for message in _messages(given)]
    return Asked(
        model=str(body.get("model")),
        streaming=bool(body.get("stream")),
        messages=((Message("system", system),) if system else ()) + tuple(messages),
        tools=tuple(tool["name"] for tool in body.get("tools") or []),
        thinking=body.get("thinking", {}).get("type") in ("enabled", "adaptive"),
    )


def _messages(given: Json) -> Iterator[Message]:
    """Results of tools come inside a user's message."""
    content = given["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks:
        if block["type"] == "tool_result":
            yield Message("tool", text_of(block.get("content")))
    calls = tuple(Call(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use")
    text = text_of([block for block in blocks if block["type"] == "text"])
    if text or calls:
        yield Message(given["role"], text, calls)


def stream(turn: Turn, asked: Asked) -> Iterator[Frame]:
    given, said = turn.tokens(asked)
    message = {**_message(asked), "content": [], "stop_reason": None, "usage": _usage(given, 1)}
    yield Frame(sse({"type": "message_start", "message": message}, "message_start"))
    yield Frame(sse({"type": "ping"}, "ping"))
    for index, part in enumerate(turn.parts):
        block = {"type": "content_block_start", "index": index, "content_block": _block(asked, part, index, begun=True)}
        yield Frame(sse(block, "content_block_start"))
        for piece in turn.pieces(part.json if isinstance(part, Call) else part.content):
            yield Frame(_delta(index, _piece(part, piece)), is_piece=True)
        if isinstance(part, Thinking):
            yield Frame(_delta(index, {"type": "signature_delta", "signature": "bW9jaw=="}))
        yield Frame(sse({"type": "content_block_stop", "index": index}, "content_block_stop"))
    end = {"stop_reason": _stop(turn), "stop_sequence": None}
    yield Frame(sse({"type": "message_delta", "delta": end, "usage": {"output_tokens": said}}, "message_delta"))
    yield Frame(sse({"type": "message_stop"}, "message_stop"))


def whole(turn: Turn, asked: Asked) -> Json:
    content = [_block(asked, part, index) for index, part in enumerate(turn.parts)]
    return {**_message(asked), "content": content, "stop_reason": _stop(turn), "usage": _usage(*turn.tokens(asked))}


def refuse(kind: Kind, asked: Asked, retry_after_s: float | None) -> Refusal:
    return Refusal(ERRORS[kind][0], _error(kind), retry_after(retry_after_s))


def garble(content: str) -> bytes:
    return sse(content, "content_block_delta")  # its client skips events without a name


def break_off(kind: Kind, asked: Asked) -> bytes:
    return sse(_error(kind), "error")


def _error(kind: Kind) -> Json:
    return {
        "type": "error",
        "error": {"type": ERRORS[kind][1], "message": ERRORS[kind][2]},
        "request_id": "req_mock",
    }


def _message(asked: Asked) -> Json:
    return {
        "id": "msg_mock",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "stop_sequence": None,
    }


def _usage(given: int, said: int) -> Json:
    return {"input_tokens": given, "output_tokens": said}


def _stop(turn: Turn) -> str:
    return "tool_use" if any(isinstance(part, Call) for part in turn.parts) else "end_turn"


def _block(asked: Asked, part: Part, index: int, begun: bool = False) -> Json:
    if isinstance(part, Call):
        whole = {} if begun or isinstance(part.arguments, str) else part.arguments
        return {"type": "tool_use", "id": f"toolu_{asked.call_id(index)}", "name": part.name, "input": whole}
    if isinstance(part, Thinking):
        content, signature = ("", "") if begun else (part.content, "bW9jaw==")
        return {"type": "thinking", "thinking": content, "signature": signature}
    return {"type": "text", "text": "" if begun else part.content, "citations": None}


def _piece(part: Part, piece: str) -> Json:
    if isinstance(part, Call):
        return {"type": "input_json_delta", "partial_json": piece}
    if isinstance(part, Thinking):
        return {"type": "thinking_delta", "thinking": piece}
    return {"type": "text_delta", "text": piece}


def _delta(index: int, delta: Json) -> bytes:
    return sse({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")
