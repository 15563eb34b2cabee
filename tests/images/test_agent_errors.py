"""What goes wrong at a provider ends as an error with a code and words, is tried again where that helps, and never
takes away what had arrived."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError

from agents.gateway.providers.provider import PROVIDERS
from agents.gateway.providers.refusals import ProviderEchoedKey, ProviderUnreachable, stream_error
from agents.gateway.providers.refusals import body as refusal_body
from containers.images.agent.errors import GATEWAY_CODES, describe
from tests.provider import Call, Fault, MockProvider, Raw, Thinking, refusal, turn
from tests.provider.script import Kind, Manner

from .agent_driving import MODELS, Agent
from .agent_fixtures import Launch

ERRORS: dict[Kind, tuple[str, str]] = {
    "unauthorized": ("provider-auth", "check the site's key"),
    "quota": ("quota-exceeded", "no quota or credit"),
    "context-too-long": ("context-too-long", "start a new one"),
    "unknown-model": ("unknown-model", "check the definition"),
    "bad-request": ("provider-refused", "script of the mock provider is over"),
}
PASSING: dict[Kind, str] = {
    "rate-limited": "rate-limited",
    "overloaded": "provider-overloaded",
    "server-error": "provider-error",
}


def error_of(one: Agent) -> dict[str, object]:
    """The one error, with which the run failed."""
    (error,) = one.of("error")
    assert one.events[-1]["type"] == "done"
    assert one.events[-1]["status"] == "failed"
    assert one.events[-1]["result"] == error["message"]
    return error


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("model", MODELS)
def test_what_trying_again_does_not_help_fails_at_once(
    provider: MockProvider, agent: Launch, model: str, kind: Kind
) -> None:
    apis = 2 if (model, kind) == ("openai", "bad-request") else 1  # it may be the first API that is refused
    provider.say(*[refusal(kind)] * apis, turn("Never asked for."))
    one = agent(model=model)
    one.finish()
    error = error_of(one)
    code, words = ERRORS[kind]
    assert error["code"] == code
    assert words in str(error["message"])
    assert not error["retryable"]
    assert len(provider.requests) == apis


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("model", MODELS)
def test_what_passes_is_tried_again(provider: MockProvider, agent: Launch, model: str, kind: Kind) -> None:
    provider.say(refusal(kind, 0), refusal(kind, 0), turn("There you are."))
    one = agent(model=model)
    assert one.finish()[-1]["result"] == "There you are."
    assert not one.of("error")
    assert len(provider.requests) == 3
    assert "Trying again" in one.stderr


@pytest.mark.parametrize("kind", PASSING)
def test_what_does_not_pass_ends_after_five_tries(provider: MockProvider, agent: Launch, kind: Kind) -> None:
    provider.say(*[refusal(kind, 0)] * 6)
    one = agent()
    one.finish()
    error = error_of(one)
    assert error["code"] == PASSING[kind]
    assert error["retryable"]
    assert len(provider.requests) == 5


@pytest.mark.parametrize("model", MODELS)
def test_it_waits_as_long_as_the_provider_says(provider: MockProvider, agent: Launch, model: str) -> None:
    provider.say(refusal("rate-limited", 2), turn("Now."))
    one = agent(model=model)
    assert one.finish()[-1]["result"] == "Now."
    first, second = provider.requests
    assert second.at_s - first.at_s >= 2


def test_who_should_come_back_much_later_is_told_at_once(provider: MockProvider, agent: Launch) -> None:
    provider.say(refusal("rate-limited", 3600), turn("Never asked for."))
    one = agent()
    one.finish()
    assert error_of(one)["code"] == "rate-limited"
    assert len(provider.requests) == 1


BROKEN: list[tuple[Manner, str]] = [
    ("cut", "stream-cut"),
    ("end-early", "stream-cut"),
    ("break", "provider-error"),
    ("garbage", "provider-garbage"),
]


@pytest.mark.parametrize(("manner", "code"), BROKEN)
@pytest.mark.parametrize("model", MODELS)
def test_what_had_arrived_stays(provider: MockProvider, agent: Launch, model: str, manner: Manner, code: str) -> None:
    provider.say(
        turn("One two three four.", piece_characters=4, fault=Fault(manner, after=2)), turn("Never asked for.")
    )
    one = agent(model=model)
    one.finish()
    error = error_of(one)
    assert one.text() == "One two "
    assert error["code"] == code
    assert error["retryable"]
    assert len(provider.requests) == 1


@pytest.mark.parametrize("manner", ["cut", "break", "garbage"])
@pytest.mark.parametrize("model", MODELS)
def test_what_breaks_before_anything_was_said_is_tried_again(
    provider: MockProvider, agent: Launch, model: str, manner: Manner
) -> None:
    provider.say(turn("Never heard.", fault=Fault(manner)), turn("Whole."))
    one = agent(model=model)
    assert one.finish()[-1]["result"] == "Whole."
    assert one.text() == "Whole."


@pytest.mark.parametrize("model", MODELS)
def test_a_call_that_arrived_in_part_is_not_made(provider: MockProvider, agent: Launch, model: str) -> None:
    provider.say(
        turn("I go.", Call("bash", {"command": "touch made"}), piece_characters=5, fault=Fault("cut", after=1))
    )
    one = agent(model=model)
    one.finish()
    assert error_of(one)["code"] == "stream-cut"
    assert not one.of("tool-call")
    assert not (one.workspace / "made").exists()


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_can_not_stream_is_asked_for_whole_answers(
    provider: MockProvider, agent: Launch, model: str
) -> None:
    provider.say(
        refusal("no-streaming"), turn(Thinking("Hm."), "I look.", Call("list_files", {})), turn("Nothing there.")
    )
    one = agent(model=model)
    assert one.finish()[-1]["result"] == "Nothing there."
    assert one.text("thinking") == "Hm."
    assert one.text() == "I look.Nothing there."
    assert [request.asked.streaming for request in provider.requests] == [True, False, False]


def test_a_server_that_knows_only_chat_completions_is_asked_for_those(agent: Launch) -> None:
    with MockProvider(without=["responses"]) as provider:
        provider.say(turn("I look.", Call("list_files", {})), turn("Hello."))
        one = agent(model="openai", environment=provider.environment())
        assert one.finish()[-1]["result"] == "Hello."
        assert [request.format for request in provider.requests] == ["responses", "chat", "chat"]


WRONG_MODELS = {
    None: ("no-model", "names no model"),
    "gpt-5-mini": ("unknown-model", "provider:model"),
    "nobody:x": ("unknown-model", "openai, openai-chat, anthropic, gemini, ollama"),
    "openai:": ("unknown-model", "provider:model"),
}


@pytest.mark.parametrize("model", WRONG_MODELS)
def test_a_model_that_nobody_has_is_said_before_anything_is_asked(
    provider: MockProvider, agent: Launch, model: str | None
) -> None:
    one = agent(model=model)
    one.finish()
    code, words = WRONG_MODELS[model]
    assert error_of(one)["code"] == code
    assert words in str(error_of(one)["message"])
    assert not provider.requests


def spoken_by(model: str) -> tuple[Any, str]:
    """The dialect in which the agent asks that model, and the path of its requests."""
    path = "/v1/chat/completions" if model in ("openai-chat:gpt-4o", "ollama") else "/v1/responses"
    return PROVIDERS[model.partition("-")[0]].dialect_of(path), path


@pytest.mark.parametrize("model", ["openai", "openai-chat:gpt-4o", "anthropic", "gemini", "ollama"])
def test_an_answer_that_the_gateway_ended_says_why_and_is_not_asked_for_again(
    provider: MockProvider, agent: Launch, model: str
) -> None:
    dialect, path = spoken_by(model)
    echoed = stream_error(ProviderEchoedKey("it holds the key"), dialect, path, is_event_stream=True)
    provider.say(turn(raw=Raw(echoed)), turn("Never asked for."))
    one = agent(model=model)
    one.finish()
    error = error_of(one)
    assert (error["code"], error["message"], error["retryable"]) == ("provider-echoed-key", "it holds the key", False)
    assert len(provider.requests) == 1


def test_a_provider_that_is_not_there_is_unreachable(provider: MockProvider, agent: Launch) -> None:
    with MockProvider() as gone:
        nowhere = gone.environment()
    one = agent(environment=nowhere)
    one.finish()
    error = error_of(one)
    assert error["code"] == "provider-unreachable"
    assert error["retryable"]


@pytest.mark.parametrize("model", ["openai", "openai-chat:gpt-4o", "anthropic", "gemini", "ollama"])
def test_a_provider_that_the_gateway_did_not_reach_is_asked_again(
    provider: MockProvider, agent: Launch, model: str
) -> None:
    """Its connection was refused, or broke before anything came."""
    dialect, _ = spoken_by(model)
    unreachable = ProviderUnreachable("It does not answer: ServerDisconnectedError")
    body = json.dumps(refusal_body(unreachable, dialect)).encode()
    unreached = turn(raw=Raw(body, unreachable.status, "application/json"))
    provider.say(unreached, unreached, turn("There you are."), *[unreached] * 6)
    one = agent(model=model)
    assert one.finish()[-1]["result"] == "There you are."
    assert not one.of("error")
    one = agent(model=model)
    one.finish()
    error = error_of(one)
    assert (error["code"], error["retryable"]) == ("provider-unreachable", True)
    assert "It does not answer" in str(error["message"])
    assert len(provider.requests) == 3 + 5


@pytest.mark.parametrize("model", ["openai", "openai-chat:gpt-4o", "anthropic", "gemini", "ollama"])
def test_a_connection_that_drops_before_the_answer_begins_is_made_again(agent: Launch, model: str) -> None:
    """At every call, with nothing at all; the client on the other side sees no status."""
    with MockProvider() as provider:
        provider.say(*[turn(drop=True)] * 2, turn("There you are."), *[turn(drop=True)] * 6)
        environment = provider.environment()
        one = agent(model=model, environment=environment)
        assert one.finish()[-1]["result"] == "There you are."
        one = agent(model=model, environment=environment)
        one.finish()
        assert error_of(one)["retryable"] is True
        assert len(provider.requests) == 3 + 5


def test_the_gateways_own_refusals_keep_their_codes_and_say_them_once() -> None:
    for code in GATEWAY_CODES:
        body = {"error": {"message": f"{code}: the site says no.", "type": "agentsite"}}
        problem = describe(ModelHTTPError(429, "m", body), "openai:m")
        assert (problem.code, problem.again) == (code, code == "provider-unreachable")
        assert problem.message == "the site says no."
