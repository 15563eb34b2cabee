"""Read single keys from the terminal. It is changed and read only while a question is open."""

from __future__ import annotations

import os
import select
import sys
import termios
from typing import Any

ESCAPE = b"\x1b"
SEQUENCE_S = 0.05
"""Time in which the rest of an escape sequence arrives. Arrow keys send one that ends in a letter."""


class Keyboard:
    """The keyboard at standard input. Ctrl-C keeps its meaning."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._saved: list[Any] | None = None

    @staticmethod
    def is_there() -> bool:
        """Return whether input and output are a terminal: nobody answers a question that went into a file."""
        return sys.stdin.isatty() and sys.stdout.isatty()

    def fileno(self) -> int:
        return self._fd

    @property
    def is_open(self) -> bool:
        return self._saved is not None

    def open(self) -> bool:
        """Start to read keys, dropping what was typed before. Return False in a background job, which would be
        stopped."""
        if os.tcgetpgrp(self._fd) != os.getpgrp():
            return False
        if self._saved is None:
            self._saved = termios.tcgetattr(self._fd)
            changed = termios.tcgetattr(self._fd)
            changed[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(self._fd, termios.TCSAFLUSH, changed)
        return True

    def close(self) -> None:
        if self._saved is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)
            self._saved = None

    def key(self) -> str:
        """Return the pressed key, or "" for pasted text and escape sequences. Raises EOFError when the terminal is
        gone."""
        data = os.read(self._fd, 256)
        if not data:
            raise EOFError
        if data.startswith(ESCAPE):
            while select.select([self._fd], [], [], SEQUENCE_S)[0] and os.read(self._fd, 256):
                pass
            return ""
        return data.decode("ascii", "replace") if len(data) == 1 else ""

    def line(self) -> str:
        """Return a line that the user edits in the terminal's own way. Close the keyboard before asking for one."""
        try:
            data = os.read(self._fd, 8192)
        finally:
            self.open()
        return data.decode("utf-8", "replace").strip()
