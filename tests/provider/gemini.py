"""Gemini: `POST /v1beta/models/MODEL:streamGenerateContent?alt=sse` and `:generateContent`."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from .script import Asked, Call, Kind, Message, Part, Thinking, Turn
from .wire import Frame, Json, Refusal, retry_after, sse, text_of

MEDIA_TYPE = "text/event-stream"
ERRORS: dict[Kind, tuple[int, str, str]] = {
    "unauthorized": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "rate-limited": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota for requests per minute."),
    "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "server-error": (500, "INTERNAL", "An internal error has occurred."),
    "context-too-long": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "unknown-model": (404, "NOT_FOUND", "models/no-such-model is not found for API version v1beta."),
    "bad-request": (400, "INVALID_ARGUMENT", "The script of the mock provider is over."),
    "no-streaming": (400, "INVALID_ARGUMENT", "Streaming is not supported for this model."),
    "no-such-path": (404, "NOT_FOUND", "Requested entity was not found."),
}


def understand(body: Json, path: str) -> Asked:
    model, _, method = unquote(path.rpartition("/")[2]).partition(":")
    system = text_of((body.get("systemInstruction") or {}).get("parts"))
    messages = [message for content in body.get("contents", []) for message in _messages(content)]
    declared = [tool for tools in body.get("tools") or [] for tool in tools.get("functionDeclarations") or []]
    thinking = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
    return Asked(
        model=model,
        streaming=method.startswith("stream"),
        messages=((Message("system", system),) if system else ()) + tuple(messages),
        tools=tuple(tool["name"] for tool in declared),
        thinking=bool(thinking.get("includeThoughts")),
    )


def _messages(content: Json) -> Iterator[Message]:
    for part in content["parts"]:
        if "functionResponse" in part:
            answer = part["functionResponse"]["response"]
            yield Message("tool", str(answer.get("return_value", answer.get("output", answer))))
    calls = tuple(Call(one["name"], one.get("args") or {}) for part in content["parts"] if (one := _called(part)))
    text = text_of([part for part in content["parts"] if not part.get("thought")])
    if text or calls:
        yield Message("assistant" if content.get("role") == "model" else "user", text, calls)


def _called(part: Json) -> Json | None:
    call: Json | None = part.get("functionCall")
    return call


def stream(turn: Turn, asked: Asked) -> Iterator[Frame]:
    for part in turn.parts:
        if isinstance(part, Call):
            yield Frame(sse(_chunk(turn, asked, [_part(part)])), is_piece=True)
            continue
        for piece in turn.pieces(part.content):
            yield Frame(sse(_chunk(turn, asked, [_part(part, piece)])), is_piece=True)
    yield Frame(sse(_chunk(turn, asked, [{"text": ""}], "STOP")))


def whole(turn: Turn, asked: Asked) -> Json:
    parts = [_part(part, "" if isinstance(part, Call) else part.content) for part in turn.parts]
    return _chunk(turn, asked, parts, "STOP")


def refuse(kind: Kind, asked: Asked, retry_after_s: float | None) -> Refusal:
    return Refusal(ERRORS[kind][0], _error(kind, retry_after_s), retry_after(retry_after_s))


def garble(content: str) -> bytes:
    return sse(content)


def break_off(kind: Kind, asked: Asked) -> bytes:
    return sse(_error(kind, None))


def _error(kind: Kind, retry_after_s: float | None) -> Json:
    status, name, message = ERRORS[kind]
    details: list[Json] = []
    if kind == "unauthorized":
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"})
    if kind == "quota":
        violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}
        details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})
    if retry_after_s is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after_s:g}s"})
    return {"error": {"code": status, "message": message, "status": name, "details": details}}


def _part(part: Part, piece: str = "") -> Json:
    if isinstance(part, Call):
        arguments = part.arguments if isinstance(part.arguments, dict) else {}
        return {"functionCall": {"name": part.name, "args": arguments}}
    return {"text": piece, **({"thought": True} if isinstance(part, Thinking) else {})}


def _chunk(turn: Turn, asked: Asked, parts: list[Json], finish: str | None = None) -> Json:
    given, said = turn.tokens(asked)
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    return {
        "candidates": [{**candidate, **({"finishReason": finish} if finish else {})}],
        "usageMetadata": {
            "promptTokenCount": given,
            "candidatesTokenCount": said if finish else 0,
            "totalTokenCount": given + (said if finish else 0),
        },
        "modelVersion": asked.model,
        "responseId": "gemini-mock",
    }
