"""How fast the agent speaks: text comes in small pieces, as from a model. DEMO_PACE scales the pauses; 0 is none."""

from __future__ import annotations

import os
import random
import re
import threading
from collections.abc import Iterator

from .protocol import Wire


class Cancelled(Exception):
    """Somebody asked the run to stop."""


def scale_from(value: str | None) -> float:
    try:
        return min(10.0, max(0.0, float(value or "1")))
    except ValueError:
        return 1.0


class Pace:
    """Every pause is also the place where a cancel is noticed."""

    def __init__(self, cancelled: threading.Event, scale: float | None = None) -> None:
        self.cancelled = cancelled
        self.scale = scale_from(os.environ.get("DEMO_PACE")) if scale is None else scale
        self._random = random.Random(7)  # the same rhythm every time

    def pause(self, seconds: float) -> None:
        if self.cancelled.wait(seconds * self.scale) if self.scale else self.cancelled.is_set():
            raise Cancelled

    def pieces(self, text: str) -> Iterator[str]:
        """The text in runs of one to four words; together exactly the text."""
        words = re.findall(r"\s*\S+|\s+$", text)
        while words:
            count = self._random.randint(1, 4)
            yield "".join(words[:count])
            del words[:count]


class Voice:
    """Says and thinks, paced."""

    def __init__(self, wire: Wire, pace: Pace) -> None:
        self.wire, self.pace, self.said = wire, pace, ""

    def think(self, text: str) -> None:
        self._speak("thinking", text + "\n\n", 0.025)

    def say(self, text: str) -> None:
        self._speak("text", text + "\n\n", 0.03)
        self.said = text

    def _speak(self, kind: str, text: str, seconds: float) -> None:
        for piece in self.pace.pieces(text):
            self.wire.send(kind, content=piece)
            self.pace.pause(seconds)
