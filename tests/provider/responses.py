"""OpenAI's responses: `POST /v1/responses`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from .openai_errors import ERRORS, error_of
from .openai_errors import refuse as refuse
from .script import Asked, Call, Kind, Message, Part, Thinking, Turn
from .wire import Frame, Json, loads, sse, text_of

MEDIA_TYPE = "text/event-stream"
CREATED = 1_780_000_000


def understand(body: Json, path: str) -> Asked:
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    instructions = [Message("system", body["instructions"])] if body.get("instructions") else []
    return Asked(
        model=str(body.get("model")),
        streaming=bool(body.get("stream")),
        messages=(*instructions, *(_message(item) for item in items if item.get("type") != "reasoning")),
        tools=tuple(tool["name"] for tool in body.get("tools") or [] if tool.get("type") == "function"),
        thinking=bool((body.get("reasoning") or {}).get("summary")),
    )


def _message(item: Json) -> Message:
    if item.get("type") == "function_call":
        return Message("assistant", "", (Call(item["name"], loads(item["arguments"])),))
    if item.get("type") == "function_call_output":
        return Message("tool", text_of(item["output"]))
    role = "system" if item["role"] == "developer" else item["role"]
    return Message(role, text_of(item.get("content")))


def stream(turn: Turn, asked: Asked) -> Iterator[Frame]:
    numbers = count()

    def event(kind: str, **data: object) -> Frame:
        return Frame(sse({"type": kind, "sequence_number": next(numbers), **data}, kind), kind.endswith(".delta"))

    yield event("response.created", response=_response(turn, asked, "in_progress"))
    yield event("response.in_progress", response=_response(turn, asked, "in_progress"))
    for index, part in enumerate(turn.parts):
        item = {"item_id": _id(asked, part, index), "output_index": index}
        yield event("response.output_item.added", output_index=index, item=_item(asked, part, index, begun=True))
        if isinstance(part, Call):
            for piece in turn.pieces(part.json):
                yield event("response.function_call_arguments.delta", **item, delta=piece)
            yield event("response.function_call_arguments.done", **item, name=part.name, arguments=part.json)
        elif isinstance(part, Thinking):
            place = {**item, "summary_index": 0}
            empty = {"type": "summary_text", "text": ""}
            yield event("response.reasoning_summary_part.added", **place, part=empty)
            for piece in turn.pieces(part.content):
                yield event("response.reasoning_summary_text.delta", **place, delta=piece)
            yield event("response.reasoning_summary_text.done", **place, text=part.content)
            done = {"type": "summary_text", "text": part.content}
            yield event("response.reasoning_summary_part.done", **place, part=done)
        else:
            place = {**item, "content_index": 0}
            yield event("response.content_part.added", **place, part=_text(""))
            for piece in turn.pieces(part.content):
                yield event("response.output_text.delta", **place, delta=piece, logprobs=[])
            yield event("response.output_text.done", **place, text=part.content, logprobs=[])
            yield event("response.content_part.done", **place, part=_text(part.content))
        yield event("response.output_item.done", output_index=index, item=_item(asked, part, index))
    yield event("response.completed", response=_response(turn, asked, "completed"))


def whole(turn: Turn, asked: Asked) -> Json:
    return _response(turn, asked, "completed")


def garble(content: str) -> bytes:
    return sse(content)


def break_off(kind: Kind, asked: Asked) -> bytes:
    failed = {
        **_response(Turn(), asked, "failed"),
        "error": {"code": ERRORS[kind][2] or "server_error", "message": error_of(kind)["message"]},
    }
    return sse({"type": "response.failed", "sequence_number": 99, "response": failed}, "response.failed")


def _id(asked: Asked, part: Part, index: int) -> str:
    kind = "fc" if isinstance(part, Call) else "rs" if isinstance(part, Thinking) else "msg"
    return f"{kind}_{asked.call_id(index)}"


def _item(asked: Asked, part: Part, index: int, begun: bool = False) -> Json:
    around = {"id": _id(asked, part, index), "status": "in_progress" if begun else "completed"}
    if isinstance(part, Call):
        arguments = "" if begun else part.json
        return {
            **around,
            "type": "function_call",
            "call_id": f"call_{asked.call_id(index)}",
            "name": part.name,
            "arguments": arguments,
        }
    if isinstance(part, Thinking):
        summary = [] if begun else [{"type": "summary_text", "text": part.content}]
        return {**around, "type": "reasoning", "summary": summary}
    return {**around, "type": "message", "role": "assistant", "content": [] if begun else [_text(part.content)]}


def _text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response(turn: Turn, asked: Asked, status: str) -> Json:
    done = status == "completed"
    given, said = turn.tokens(asked)
    return {
        "id": "resp_mock",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": asked.model,
        "error": None,
        "incomplete_details": None,
        "output": [_item(asked, part, index) for index, part in enumerate(turn.parts)] if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": given,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": given + said,
        }
        if done
        else None,
    }
