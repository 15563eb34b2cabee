"""A mock of the model providers: OpenAI (chat completions and responses), Anthropic, Gemini and Ollama.

    with MockProvider() as provider:
        provider.say(turn(Thinking("Hm."), "Hello.", Call("bash", {"command": "ls"})), turn("Done."))
        client = OpenAI(base_url=provider.base("openai"), api_key="any")

It says what its script says, on any of the formats, streamed or whole, with any fault; and keeps what it was asked.
Ours, since none of those on PyPI speaks all four, and npm's needs Node: see CHANGELOG.md.
`python -m tests.provider --port 9999` runs it by itself.
"""

from .script import Asked, Call, Fault, Message, Queue, Raw, Text, Thinking, Turn, by_progress, refusal, turn
from .server import MockProvider, Recorded

__all__ = [
    "Asked",
    "Call",
    "Fault",
    "Message",
    "MockProvider",
    "Queue",
    "Raw",
    "Recorded",
    "Text",
    "Thinking",
    "Turn",
    "by_progress",
    "refusal",
    "turn",
]
