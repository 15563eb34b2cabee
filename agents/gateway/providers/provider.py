"""The table of providers: what each is called, where it is, how its key is sent and what may be asked of it.

A path that is not here is refused: keys of providers can also read files, train models and manage accounts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Dialect = Literal["openai", "anthropic", "gemini", "ollama"]
"""The shape of a provider's errors and counts. Ollama's is its own beside OpenAI's."""
_ID = r"[A-Za-z0-9_][A-Za-z0-9._:@-]{0,199}"
"""A model's name in a path. It can't be `..`, nor hold a slash or a percent sign."""


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request that is passed on. `counts`: it uses a model, so it is counted, and stopped by a budget.
    `changed`: its body is read whole and looked at (requests.py)."""

    method: str
    path: re.Pattern[str]
    counts: bool = False
    changed: bool = False

    def matches(self, method: str, path: str) -> re.Match[str] | None:
        return self.path.fullmatch(path) if method == self.method else None


@dataclass(frozen=True, slots=True)
class Provider:
    """`key_setting` None: it asks for no key. `prefix`: what of the program's path the base URL holds already.
    `inside`: environment of a program that may use it; `{gateway}` is the address in front of its paths."""

    name: str
    title: str
    dialect: Dialect
    base_setting: str
    key_setting: str | None
    prefix: str
    key_headers: Callable[[str], Mapping[str, str]]
    calls: tuple[Call, ...]
    inside: Mapping[str, str]

    def call(self, method: str, path: str) -> tuple[Call, str] | None:
        """What is asked, and the model that its path names ("" if it names none); None if it may not be asked."""
        for call in self.calls:
            if (match := call.matches(method, path)) is not None:
                return call, match.groupdict().get("model") or ""
        return None

    def dialect_of(self, path: str) -> Dialect:
        """Ollama also has OpenAI's API."""
        return "openai" if self.dialect == "ollama" and path.startswith("/v1/") else self.dialect

    def url(self, base: str, path: str) -> str:
        return base.rstrip("/").removesuffix(self.prefix) + path


def _get(path: str) -> Call:
    return Call("GET", re.compile(path))


def _post(path: str, *, counts: bool = True, changed: bool = False) -> Call:
    return Call("POST", re.compile(path), counts, changed)


_OPENAI_CALLS = (
    _post("/v1/chat/completions", changed=True),
    _post("/v1/responses", changed=True),
    _post("/v1/embeddings"),
    _get("/v1/models"),
    _get(f"/v1/models/{_ID}"),
)
_GEMINI_MODEL = rf"/v1(beta)?/models/(?P<model>{_ID}?)"
PLACEHOLDER = "agentsite"
"""What programs find where clients want a key: most refuse to start without one."""

PROVIDERS: Mapping[str, Provider] = {
    one.name: one
    for one in (
        Provider(
            name="openai",
            title="OpenAI",
            dialect="openai",
            base_setting="OPENAI_BASE_URL",
            key_setting="OPENAI_API_KEY",
            prefix="/v1",
            key_headers=lambda key: {"Authorization": f"Bearer {key}"},
            calls=_OPENAI_CALLS,
            inside={"OPENAI_BASE_URL": "{gateway}/v1", "OPENAI_API_KEY": PLACEHOLDER},
        ),
        Provider(
            name="anthropic",
            title="Anthropic",
            dialect="anthropic",
            base_setting="ANTHROPIC_BASE_URL",
            key_setting="ANTHROPIC_API_KEY",
            prefix="",
            key_headers=lambda key: {"x-api-key": key},
            calls=(
                _post("/v1/messages"),
                _post("/v1/messages/count_tokens", counts=False),
                _get("/v1/models"),
                _get(f"/v1/models/{_ID}"),
            ),
            inside={"ANTHROPIC_BASE_URL": "{gateway}", "ANTHROPIC_API_KEY": PLACEHOLDER},
        ),
        Provider(
            name="gemini",
            title="Gemini",
            dialect="gemini",
            base_setting="GEMINI_BASE_URL",
            key_setting="GEMINI_API_KEY",
            prefix="",
            key_headers=lambda key: {"x-goog-api-key": key},
            calls=(
                _post(f"{_GEMINI_MODEL}:(generateContent|streamGenerateContent|embedContent|batchEmbedContents)"),
                _post(f"{_GEMINI_MODEL}:countTokens", counts=False),
                _get("/v1(beta)?/models"),
                _get(f"/v1(beta)?/models/{_ID}"),
            ),
            inside={"GOOGLE_GEMINI_BASE_URL": "{gateway}", "GEMINI_API_KEY": PLACEHOLDER},
        ),
        Provider(
            name="ollama",
            title="Ollama",
            dialect="ollama",
            base_setting="OLLAMA_BASE_URL",
            key_setting=None,
            prefix="/v1",
            key_headers=lambda key: {},
            calls=(
                *_OPENAI_CALLS,
                _post("/api/(chat|generate|embed|embeddings)"),
                _post("/api/show", counts=False),
                _get("/api/(tags|ps|version)"),
            ),
            inside={"OLLAMA_BASE_URL": "{gateway}"},
        ),
    )
}


ANOTHER_API = {"openai-chat": "openai"}
"""Names before a model for another API of a provider: the chat completions of servers that know no other."""


def provider_of_model(model: str | None) -> str | None:
    """The provider in `provider:model`; None where there is none that we know."""
    name, colon, _ = (model or "").partition(":")
    name = ANOTHER_API.get(name, name)
    return name if colon and name in PROVIDERS else None
