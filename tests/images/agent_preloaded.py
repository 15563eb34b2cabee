"""What the bundled agent imports, done once: processes of the tests are forked from one that has it (seconds each)."""

import pydantic_ai.models.anthropic
import pydantic_ai.models.google
import pydantic_ai.models.ollama
import pydantic_ai.models.openai  # noqa: F401

import containers.images.agent.session  # noqa: F401
