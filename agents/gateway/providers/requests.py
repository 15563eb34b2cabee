"""What is changed in a request, so that its answer says what it cost; and what can't be passed on for want of that.

OpenAI's streams report usage only when they are asked to. A server that refuses to be asked is asked again without, and
its answers are estimated. Nothing else is touched, and nothing is hidden.
"""

from __future__ import annotations

import json
import re
from typing import Any

from agents.gateway.providers.refusals import PathNotAllowed


def refuses_stream_options(said: bytes) -> bool:
    """In an error of a server that does not know them: it names the field, in whatever words."""
    return re.search(rb"stream.?options|include.?usage", said, re.I) is not None


def without_stream_options(body: bytes) -> bytes | None:
    """None if the body has none."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or "stream_options" not in asked:
        return None
    del asked["stream_options"]
    return json.dumps(asked).encode()


def counted(path: str, body: bytes) -> tuple[bytes, str]:
    """The body to send, and the model it names. What is no JSON object goes as it is: its provider will say so."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return body, ""
    if not isinstance(asked, dict):
        return body, ""
    model = asked.get("model")
    return _changed(path, asked, body), model if isinstance(model, str) else ""


def _changed(path: str, asked: dict[str, Any], body: bytes) -> bytes:
    if asked.get("background"):
        raise PathNotAllowed("a response in the background (`background`) could not be counted")
    options = asked.get("stream_options")
    if path != "/v1/chat/completions" or not asked.get("stream"):
        return body
    if isinstance(options, dict) and options.get("include_usage") is True:
        return body
    options = {**options, "include_usage": True} if isinstance(options, dict) else {"include_usage": True}
    return json.dumps({**asked, "stream_options": options}).encode()
