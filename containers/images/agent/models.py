"""`provider:model` → a model that can be asked. Keys are placeholders: the site's gateway adds the real ones."""

from __future__ import annotations

import os

import httpx2
from pydantic_ai.models import Model
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings

from .errors import AgentError

PROVIDERS = ("openai", "openai-chat", "anthropic", "gemini", "ollama")
PLACEHOLDER = "agentsite"
CONNECT_TIMEOUT_S = 15.0
FIRST_EVENT_TIMEOUT_S = 600.0
"""A model that thinks long says nothing for long; one that says nothing at all ends somewhere."""
WHOLE_ANSWER_TOKENS = 16_384
"""Of an answer that is not streamed: Anthropic's client streams what may get longer, behind our back."""


def open_model(wanted: str | None, transport: httpx2.AsyncBaseTransport) -> Model:
    """Raises AgentError. What a provider's client needs is imported only if it is wanted: that takes a second."""
    provider, _, name = (wanted or "").partition(":")
    if not wanted:
        raise AgentError("no-model", 'The definition names no model: set it, as in model = "openai:gpt-5-mini".')
    if provider not in PROVIDERS or not name:
        known = ", ".join(PROVIDERS)
        raise AgentError("unknown-model", f"{wanted!r} is not provider:model with one of these providers: {known}.")
    if provider == "openai":
        return _openai_responses(name, transport)
    if provider == "openai-chat":
        return _openai_chat(name, transport)
    if provider == "anthropic":
        return _anthropic(name, transport)
    return _gemini(name, transport) if provider == "gemini" else _ollama(name, transport)


def images_are_taken(wanted: str | None) -> bool:
    """Of models behind other servers nobody knows."""
    return (wanted or "").partition(":")[0] in ("openai", "anthropic", "gemini")


def older_api(wanted: str, transport: httpx2.AsyncBaseTransport) -> Model | None:
    """For servers that are compatible with OpenAI, but know only its chat completions."""
    provider, _, name = wanted.partition(":")
    return _openai_chat(name, transport) if provider == "openai" else None


def settings_of(model: Model, streaming: bool) -> ModelSettings:
    """Thinking is asked for where the model has it. Retrying is ours, so that nothing is said twice."""
    settings = ModelSettings(max_retries=0)
    if streaming:
        settings["first_event_timeout"] = FIRST_EVENT_TIMEOUT_S
    else:
        settings["max_tokens"] = WHOLE_ANSWER_TOKENS
    if model.profile.get("supports_thinking"):
        settings["thinking"] = True
        if model.system == "openai":
            settings["openai_reasoning_summary"] = "auto"  # type: ignore[typeddict-unknown-key]  # a setting of one provider
    return settings


def _client(transport: httpx2.AsyncBaseTransport) -> httpx2.AsyncClient:
    timeout = httpx2.Timeout(FIRST_EVENT_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    return httpx2.AsyncClient(transport=transport, timeout=timeout, follow_redirects=True)


def _openai_responses(name: str, transport: httpx2.AsyncBaseTransport) -> Model:
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIResponsesModel(
        name, provider=OpenAIProvider(api_key=_key("OPENAI_API_KEY"), http_client=_client(transport))
    )


def _openai_chat(name: str, transport: httpx2.AsyncBaseTransport) -> Model:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(api_key=_key("OPENAI_API_KEY"), http_client=_client(transport))
    return OpenAIChatModel(name, provider=provider, profile=_strict())


def _anthropic(name: str, transport: httpx2.AsyncBaseTransport) -> Model:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    return AnthropicModel(
        name, provider=AnthropicProvider(api_key=_key("ANTHROPIC_API_KEY"), http_client=_client(transport))
    )


def _gemini(name: str, transport: httpx2.AsyncBaseTransport) -> Model:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    base_url = os.environ.get("GOOGLE_GEMINI_BASE_URL")
    return GoogleModel(
        name, provider=GoogleProvider(api_key=_key("GEMINI_API_KEY"), base_url=base_url, http_client=_client(transport))
    )


def _ollama(name: str, transport: httpx2.AsyncBaseTransport) -> Model:
    from pydantic_ai.models.ollama import OllamaModel
    from pydantic_ai.providers.ollama import OllamaProvider

    base_url = os.environ.get("OLLAMA_BASE_URL", "").rstrip("/")
    if not base_url:
        raise AgentError("provider-not-configured", "The site has no Ollama server: set OLLAMA_BASE_URL.")
    url = base_url if base_url.endswith("/v1") else f"{base_url}/v1"
    provider = OllamaProvider(base_url=url, api_key=_key("OLLAMA_API_KEY"), http_client=_client(transport))
    return OllamaModel(name, provider=provider, profile=_strict())


def _strict() -> ModelProfile:
    """An answer that just ends is one that was cut: half of it must not pass for all."""
    from pydantic_ai.profiles.openai import OpenAIModelProfile

    return OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)


def _key(name: str) -> str:
    return os.environ.get(name) or PLACEHOLDER
