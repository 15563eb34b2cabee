"""What a tool call is about, for people: its command, the diff it asks for, and the rest of its arguments by name.

Told from the names of arguments, since tools differ (the bundled agent's, Gemini CLI's, OpenCode's, Claude Code's). The
same sections as static/agents/call.js; tests/pages/calls.json proves both.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from agents.pages import asjson

KEPT_TEXT = 20_000
"""Characters of one section in a card. A reader can have the rest."""
KEPT_ASKED = 200_000
"""The same of what somebody is asked to approve: nobody should approve what is not shown."""
MOST_TEXT = 2_000_000
"""The same for a reader who has asked for all: a page has to hold it."""
LINE_SHARE = 50
"""Of a diff as many lines are kept as such lines on average fill the characters."""
CONTEXT_LINES = 3
COMMANDS = ("command", "cmd")
PATHS = ("path", "file_path", "filePath", "filename", "abs_path")
OLD = ("old", "old_string", "oldString", "old_str", "old_text")
NEW = ("new", "new_string", "newString", "new_str", "new_text")
CONTENTS = ("content", "file_text")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Controls, and what turns or hides text: a command must not look like another one."""


@dataclass(frozen=True, slots=True)
class Section:
    """`kind`: command, diff (of the file `name`), field (the argument `name`). `cut`: what is left out, in words."""

    kind: str
    name: str = ""
    text: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)
    """(sign, line) of a diff"""
    is_long: bool = False
    cut: str = ""


def sections(given: Mapping[str, Any], kept: int = KEPT_TEXT) -> list[Section]:
    rest, found = dict(given), []
    for name in COMMANDS:
        if command := _command(rest.get(name)):
            del rest[name]
            text, cut = clip(plainly(command), kept)
            found.append(Section("command", text=text, cut=cut))
            break
    if (change := _change(rest)) is not None:
        path, old, new = change
        found.append(diff(rest[path], rest[old] if old else None, rest[new], kept))
        for used in filter(None, change):
            del rest[used]
    return [*found, *_fields(rest, kept)]


def diffs(result: Any, kept: int = KEPT_TEXT) -> list[Section]:
    """Of a result over ACP: {"text", "diffs": [{"path", "old_text", "new_text"}]}."""
    listed = result.get("diffs") if isinstance(result, dict) else None
    found = []
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and isinstance(one.get("new_text"), str):
            old = one.get("old_text")
            path = one.get("path")
            found.append(
                diff(
                    path if isinstance(path, str) else "", old if isinstance(old, str) else None, one["new_text"], kept
                )
            )
    return found


def diff(path: str, old: str | None, new: str, kept: int = KEPT_TEXT) -> Section:
    """Lines that begin and end both texts are context; what is between is taken out and put in."""
    before, after = _lines(old or ""), _lines(new)
    same = 0
    for one, other in zip_longest(before, after):
        if one is None or one != other:
            break
        same += 1
    end = 0
    while end < min(len(before), len(after)) - same and before[-1 - end] == after[-1 - end]:
        end += 1
    tail = after[len(after) - end :][:CONTEXT_LINES]
    made = [
        *((" ", line) for line in after[max(0, same - CONTEXT_LINES) : same]),
        *(("-", line) for line in before[same : len(before) - end]),
        *(("+", line) for line in after[same : len(after) - end]),
        *((" ", line) for line in tail),
    ]
    shown = _within(made, kept)
    cut = f"… {len(made) - len(shown):,} more lines" if len(shown) < len(made) else ""
    return Section("diff", name=path, lines=shown, cut=cut)


def plainly(text: str) -> str:
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def clip(text: str, kept: int = KEPT_TEXT) -> tuple[str, str]:
    """(the beginning of a text, how much is left out in words)."""
    return (text, "") if len(text) <= kept else (text[:kept], f"… {len(text) - kept:,} more characters")


def readable(value: Any) -> str:
    return value if isinstance(value, str) else asjson.dumps(value)


def _command(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return shlex.join(value)
    return value if isinstance(value, str) else ""


def _change(given: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Names of path, old text (empty for a whole file) and new text."""
    path, old, new, content = (_first(given, names) for names in (PATHS, OLD, NEW, CONTENTS))
    if path and old and new:
        return path, old, new
    return (path, "", content) if path and content else None


def _first(given: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((name for name in names if isinstance(given.get(name), str)), "")


def _fields(given: Mapping[str, Any], kept: int) -> Iterator[Section]:
    for name in asjson.names(given):
        text, cut = clip(plainly(readable(given[name])), kept)
        yield Section("field", name=name, text=text, is_long="\n" in text or len(text) > 80, cut=cut)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _within(lines: list[tuple[str, str]], kept: int) -> list[tuple[str, str]]:
    shown: list[tuple[str, str]] = []
    room = kept
    for sign, line in lines[: kept // LINE_SHARE] if kept < MOST_TEXT else lines:
        room -= len(line)
        if room < 0:
            break
        shown.append((sign, plainly(line)))
    return shown
