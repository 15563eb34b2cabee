"""A program's terminal output as safe HTML: basic colours, and nothing else of what escapes can do.

The same rules as static/agents/terminal.js; tests/pages/terminal.json proves both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

KEPT = 20_000
"""Characters of one output that are shown: its end. The whole is in the log."""

_ESCAPE = re.compile(
    "\x1b(?:"
    r"\[(?P<arguments>[0-9;:?<=>!]*)[ -/]*(?P<final>[@-~])"  # CSI, of which `m` is colour
    "|[\\]PX^_][^\x07\x1b]{0,2000}(?:\x07|\x1b\\\\|\\Z)"  # OSC, DCS, …: titles, links, clipboard
    r"|[ -/]*[0-~]?)"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OVERWRITTEN = re.compile(r"(?<![^\n])[^\n]*\r(?=[^\r\n])")
"""A progress bar: what stands before a carriage return is overwritten by what comes after it. Its colours go on."""
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


def to_html(text: str) -> SafeString:
    html = []
    for classes, piece in pieces(text):
        html.append(f'<span class="{classes}">{escape(piece)}</span>' if classes else escape(piece))
    return mark_safe("".join(html))


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """(classes, text) of each run of characters that look the same. The text holds no control character."""
    style: dict[str, bool | str] = {}
    classes, held = "", ""
    for classes_now, piece in _split(_OVERWRITTEN.sub(_colours_of, text), style):
        plain = _CONTROL.sub("", piece)
        if not plain:
            continue
        if classes_now != classes and held:
            yield classes, held
            held = ""
        classes, held = classes_now, held + plain
    if held:
        yield classes, held


def _colours_of(overwritten: re.Match[str]) -> str:
    return "".join(_COLOUR.findall(overwritten[0]))


def _split(text: str, style: dict[str, bool | str]) -> Iterator[tuple[str, str]]:
    at = 0
    for match in _ESCAPE.finditer(text):
        yield _classes(style), text[at : match.start()]
        if match["final"] == "m":
            _select(style, match["arguments"])
        at = match.end()
    yield _classes(style), text[at:]


def _select(style: dict[str, bool | str], arguments: str) -> None:
    """SGR (ECMA-48, 8.3.117): weight, slant, underline and the sixteen foreground colours."""
    codes = [int(code) if code.isdigit() else 0 for code in re.split("[;:]", arguments)]
    while codes:
        code = codes.pop(0)
        if code == 0:
            style.clear()
        elif code in (38, 48):  # 256 or 16 million colours: read past them
            del codes[: {5: 2, 2: 4}.get(codes[0] if codes else 0, 0)]
        elif code in (1, 2, 3, 4):
            style[("bold", "dim", "italic", "underline")[code - 1]] = True
        elif code in (22, 23, 24):
            for name in (("bold", "dim"), ("italic",), ("underline",))[code - 22]:
                style.pop(name, None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style["colour"] = _COLOURS[code % 10]
        elif code == 39:
            style.pop("colour", None)


def _classes(style: dict[str, bool | str]) -> str:
    names = [name for name in ("bold", "dim", "italic", "underline") if style.get(name)]
    return " ".join(f"t-{name}" for name in (*names, *([str(style["colour"])] if "colour" in style else ())))


def tail(text: str) -> tuple[int, str]:
    """(characters left out, the end of the text)."""
    return max(0, len(text) - KEPT), text[-KEPT:]
