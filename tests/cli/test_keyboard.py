"""Keys of a terminal: only one that was pressed by itself counts."""

from __future__ import annotations

import os
import pty
import tty
from collections.abc import Iterator

import pytest

from agentsite.cli.keyboard import Keyboard
from agentsite.cli.questions import Choice, assign_keys


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where to write what somebody types."""
    master, slave = pty.openpty()
    tty.setcbreak(slave)
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield master
    os.close(master)


@pytest.mark.parametrize("keys", ["\x1b[A", "\x1b[D", "\x1bOD", "\x1b[1~", "\x1b", "\x1by", "yes", "y\n", "\u00e4"])
def test_arrow_keys_and_pasted_text_are_no_answer(typed: int, keys: str):
    """Arrow keys end in A to D."""
    keyboard = Keyboard()
    os.write(typed, keys.encode())
    assert keyboard.key() == ""
    os.write(typed, b"n")
    assert keyboard.key() == "n"


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["approve", "deny"], ["ya1", "nd2"]),
        (["Reject", "Allow once", "Always allow"], ["nd1", "ya2", "3"]),
        (["Tea", "Coffee"], ["1", "2"]),
        ([f"option {n}" for n in range(12)], [str(n) for n in range(1, 10)]),
    ],
)
def test_each_option_has_a_key_of_its_own(options: list[str], keys: list[str]):
    assert assign_keys(options) == [Choice(*one) for one in zip(keys, options, strict=False)]
