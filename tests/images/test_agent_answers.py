"""What a model's answer is taken for: whole, empty, half, an error, or something that is no stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.provider import Call, MockProvider, Raw, Thinking, Turn, turn

from .agent_driving import MODELS
from .agent_fixtures import Launch
from .test_agent_errors import error_of

EVERY_MODEL = [*MODELS, "openai-chat:gpt-4o"]
FIRST, SECOND = "\ud83d", "\ude00"


def sse(*values: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def chunk(content: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def candidate(text: str | None, finish: str | None = None) -> dict[str, Any]:
    content = {} if text is None else {"role": "model", "parts": [{"text": text}]}
    found = {"content": content, "index": 0, **({"finishReason": finish} if finish else {})}
    return {"candidates": [found], "modelVersion": "m"}


# Ends ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_an_empty_answer_after_tools_is_the_end_and_says_what_was_done(
    provider: MockProvider, agent: Launch, model: str
) -> None:
    call = Call("write_file", {"path": "a.txt", "content": "a"})
    provider.say(turn("I write.", call, Call("bash", {"command": "ls"})), turn(), turn("Never asked for."))
    one = agent(model=model)
    done = one.finish()[-1]
    assert (done["status"], len(provider.requests)) == ("completed", 2)
    assert done["result"] == "[The model gave no answer. It did: write file a.txt; bash ls.]"
    assert one.text().endswith(done["result"])


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_thinking_alone_is_an_end_without_an_answer(provider: MockProvider, agent: Launch, model: str) -> None:
    provider.say(turn(Thinking("Hm.")), turn("Never asked for."))
    one = agent(model=model)
    done = one.finish()[-1]
    assert (done["status"], done["result"]) == ("completed", "[The model gave no answer.]")
    assert one.text("thinking") == "Hm."
    assert len(provider.requests) == 1


def test_after_thinking_alone_a_message_goes_on(provider: MockProvider, agent: Launch) -> None:
    """Anthropic refuses a turn of thinking alone, as the mock does."""
    provider.say(turn(Call("bash", {"command": "touch a; until [ -e b ]; do sleep 0.01; done"})), turn(Thinking("Hm.")))
    provider.say(turn("More."))
    one = agent(model="anthropic")
    one.until_type("tool-call")
    one.tell({"type": "message", "content": "And then?"})
    one.wait_until_read()
    (one.workspace / "b").touch()
    assert one.finish()[-1]["status"] == "completed"


def test_half_an_answer_with_a_malformed_call_is_not_completed(provider: MockProvider, agent: Launch) -> None:
    half = sse(candidate("I will now"), candidate(None, "MALFORMED_FUNCTION_CALL"))
    provider.say(turn(raw=Raw(half)), turn("Never asked for."))
    one = agent(model="gemini")
    one.finish()
    error = error_of(one)
    assert (error["code"], error["retryable"]) == ("provider-garbage", True)
    assert "MALFORMED_FUNCTION_CALL" in str(error["message"])
    assert one.text() == "I will now"


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("openai-chat:gpt-4o", sse(chunk("All of it."), chunk("", "eos")) + b"data: [DONE]\n\n"),
        ("ollama", sse(chunk("All of it."), chunk("", "eos"))),
        ("gemini", sse(candidate("All of it."), candidate(None, "SOMETHING_NEW"))),
    ],
)
def test_an_unknown_reason_to_finish_is_one(provider: MockProvider, agent: Launch, model: str, answer: bytes) -> None:
    provider.say(turn(raw=Raw(answer)))
    assert agent(model=model).finish()[-1]["result"] == "All of it."


# Not a stream -------------------------------------------------------------------------------------------------------


WHOLE: dict[str, Any] = {
    "openai-chat:gpt-4o": {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Whole."}}],
    },
    "anthropic": {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": "Whole."}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "gemini": [candidate("Whole.", "STOP")],
}  # fmt: skip


@pytest.mark.parametrize("model", WHOLE)
def test_a_whole_answer_in_place_of_a_stream_is_used(provider: MockProvider, agent: Launch, model: str) -> None:
    provider.say(turn(raw=Raw(json.dumps(WHOLE[model]).encode(), content_type="application/json")))
    one = agent(model=model)
    assert one.finish()[-1]["result"] == "Whole."
    assert one.text() == "Whole."
    assert len(provider.requests) == 1, "it is not paid for twice"


@pytest.mark.parametrize("model", WHOLE)
@pytest.mark.parametrize(
    ("body", "type_", "words"),
    [
        (b'{"error": {"message": "No such deployment.", "code": null}}', "application/json", "No such deployment."),
        (b"<html><style>p {}</style><p>Please <b>log in</b></p></html>", "text/html", "Please log in"),
    ],
)
def test_an_error_in_place_of_a_stream_is_told_in_its_words(
    provider: MockProvider, agent: Launch, model: str, body: bytes, type_: str, words: str
) -> None:
    provider.say(turn(raw=Raw(body, content_type=type_)), turn("Never asked for."))
    one = agent(model=model)
    one.finish()
    assert words in str(error_of(one)["message"])
    assert len(provider.requests) == 1


FINAL: dict[str, Any] = {
    "openai-chat:gpt-4o": {"error": {"message": "No such deployment.", "type": "invalid_request_error"}},
    "openai": {"error": {"message": "No such deployment.", "type": "invalid_request_error", "code": None}},
    "anthropic": {"type": "error", "error": {"type": "not_found_error", "message": "No such deployment."}},
    "gemini": {"error": {"code": 404, "message": "No such deployment.", "status": "NOT_FOUND"}},
    "ollama": {"error": "No such deployment."},
}
PASSING: dict[str, Any] = {
    "openai-chat:gpt-4o": {"error": {"message": "Come back later.", "type": "server_error"}},
    "openai": {"error": {"message": "Come back later.", "code": "rate_limit_exceeded"}},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    "gemini": {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}},
    "ollama": {"error": "the server is overloaded"},
}
AS_SENT = ["application/json", "text/plain", "text/event-stream", "event"]
"""As a whole answer under any content type, or as the first event of a stream."""


def in_place_of_an_answer(error: dict[str, Any], sent: str) -> Turn:
    body = json.dumps(error).encode()
    if sent != "event":
        return turn(raw=Raw(body, content_type=sent))
    name = b"event: error\n" if error.get("type") == "error" else b""
    return turn(raw=Raw(name + b"data: " + body + b"\n\n"))


@pytest.mark.parametrize("sent", AS_SENT)
@pytest.mark.parametrize("model", FINAL)
def test_an_error_with_status_200_that_is_final_is_not_tried_again(
    provider: MockProvider, agent: Launch, model: str, sent: str
) -> None:
    refused = in_place_of_an_answer(FINAL[model], sent)
    apis = 2 if model == "openai" and sent != "event" else 1  # it may be the first API that is refused
    provider.say(*[refused] * apis, turn("Never asked for."))
    one = agent(model=model)
    one.finish()
    error = error_of(one)
    assert not error["retryable"]
    assert "No such deployment." in str(error["message"])
    assert len(provider.requests) == apis


@pytest.mark.parametrize("sent", ["application/json", "event"])
@pytest.mark.parametrize("model", PASSING)
def test_an_error_with_status_200_that_passes_is_tried_again(
    provider: MockProvider, agent: Launch, model: str, sent: str
) -> None:
    provider.say(in_place_of_an_answer(PASSING[model], sent), turn("There you are."))
    one = agent(model=model)
    assert one.finish()[-1]["result"] == "There you are."
    assert len(provider.requests) == 2


@pytest.mark.parametrize("model", EVERY_MODEL)
@pytest.mark.parametrize("status", [404, 502])
def test_a_page_with_a_status_of_an_error_is_told_as_its_status_and_its_text(
    provider: MockProvider, agent: Launch, model: str, status: int
) -> None:
    page = (
        b"<html><head><title>Oh</title><style>p { color: red }</style></head><body><p>Bad&nbsp;gateway &amp; more</p>"
    )
    provider.say(*[turn(raw=Raw(page + b" x" * 900, status, "text/html"))] * 6)
    one = agent(model=model)
    one.finish()
    message = str(error_of(one)["message"])
    assert f"{status}: Oh Bad gateway & more x x" in message
    assert len(message) < 600
    assert "<" not in message


# Nothing but its end ------------------------------------------------------------------------------------------------

USAGE = sse({**chunk(""), "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}})
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("model", ["openai-chat:gpt-4o", "ollama"])
def test_a_stream_of_nothing_but_usage_after_tools_is_an_empty_answer(
    provider: MockProvider, agent: Launch, model: str
) -> None:
    provider.say(turn(Call("bash", {"command": "true"})), turn(raw=Raw(USAGE + DONE)), turn("Never asked for."))
    one = agent(model=model)
    done = one.finish()[-1]
    assert (done["status"], len(provider.requests)) == ("completed", 2)
    assert done["result"] == "[The model gave no answer. It did: bash true.]"


@pytest.mark.parametrize("body", [sse(chunk("Half")) + USAGE + DONE, sse(chunk("Half")), b"", DONE])
def test_half_an_answer_and_no_answer_are_not_taken_for_an_empty_one(
    provider: MockProvider, agent: Launch, body: bytes
) -> None:
    provider.say(turn(Call("bash", {"command": "true"})), *[turn(raw=Raw(body))] * 5)
    one = agent(model="openai-chat:gpt-4o")
    one.finish()
    error = error_of(one)
    assert (error["code"], error["retryable"]) == ("stream-cut", True)


# Other servers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal",
    [
        Raw(b'{"detail": "nope"}', 400, "application/json"),
        Raw(b'{"error": {"message": "this model has no such path", "code": 404}}', 404, "application/json"),
        Raw(b"<html>404 page not found", 404, "text/html"),
        Raw(b"", 405, "text/plain"),
    ],
)
def test_a_server_without_responses_may_say_so_in_any_shape(
    provider: MockProvider, agent: Launch, refusal: Raw
) -> None:
    provider.say(turn(raw=refusal), turn("I look.", Call("list_files", {})), turn("Hello."))
    assert agent(model="openai").finish()[-1]["result"] == "Hello."
    assert [request.format for request in provider.requests] == ["responses", "chat", "chat"]


IN_STREAM: dict[str, bytes] = {
    "openai-chat:gpt-4o": sse({"error": {"message": "bad tool", "code": 400}}),
    "openai": b'event: error\ndata: {"type":"error","code":"invalid_prompt","message":"bad tool","param":null,'
    b'"sequence_number":0}\n\n',
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"invalid_request_error","message":"bad tool"}}'
    b"\n\n",
    "gemini": sse({"error": {"code": 400, "message": "bad tool", "status": "INVALID_ARGUMENT"}}),
}


@pytest.mark.parametrize("model", IN_STREAM)
def test_a_refusal_inside_a_stream_is_not_tried_again(provider: MockProvider, agent: Launch, model: str) -> None:
    provider.say(turn(raw=Raw(IN_STREAM[model])), turn("Never asked for."))
    one = agent(model=model)
    one.finish()
    error = error_of(one)
    assert (error["code"], error["retryable"]) == ("provider-refused", False)
    assert "bad tool" in str(error["message"])
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        {"message": "the request exceeds the available context size, try increasing it", "n_ctx": 4096, "code": 400},
        {"message": "request (9000 tokens) is too long", "type": "exceed_context_size_error", "code": 400},
        {"message": "the model is loaded with context length of only 4096 tokens, which is not enough", "code": 400},
    ],
)
def test_a_context_that_is_too_small_is_known_in_other_words_too(
    provider: MockProvider, agent: Launch, error: dict[str, Any]
) -> None:
    refused = turn(raw=Raw(json.dumps({"error": error}).encode(), 400, "application/json"))
    provider.say(refused)
    one = agent(model="openai-chat:local")
    one.finish()
    assert error_of(one)["code"] == "context-too-long"


# Text ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_halves_of_characters_end_no_run(provider: MockProvider, agent: Launch, model: str) -> None:
    said: tuple[Turn, ...] = (
        turn(
            f"a{FIRST}{SECOND}b",
            Call("bash", {"command": f"echo {FIRST} x; touch $(printf 'bad\\377')", "timeout_s": 5}),
            piece_characters=2,
        ),
        turn(Call("list_files", {})),
        turn(f"The end {FIRST}"),
    )
    provider.say(*said)
    one = agent(model=model)
    done = one.finish()[-1]
    assert (done["status"], done["result"]) == ("completed", "The end \ufffd")
    assert [event["content"] for event in one.of("text")][:2] == [f"a{FIRST}", f"{SECOND}b"], "the site joins them"
    assert one.of("tool-call")[0]["arguments"]["command"].startswith("echo \ufffd x")
    listed = provider.requests[-1].asked.texts("tool")[-1]
    assert "bad\ufffd" in listed
