"""Output of programs as a terminal would leave it: a progress bar that was redrawn 5,000 times is one line.

Understood is what programs use to redraw: carriage return, backspace, moving the cursor, erasing. Colours and titles
are dropped. Rows further up than ROWS are final, as they are on a screen of that height.
"""

from __future__ import annotations

import re
from collections.abc import Callable

ROWS = 100
ESCAPE_CHARACTERS = 256
"""Of an escape sequence without an end; what is longer is text."""
_TOKEN = re.compile(
    r"\x1b\[(?P<given>[0-9;?]*)[ -/]*(?P<final>[@-~])"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-B]|\x1b[^\[\]()]"
    r"|(?P<control>[\n\r\b])|(?P<text>[^\x1b\n\r\b]+|\x1b)"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*|\][^\x07\x1b]*\x1b?|[()])?\Z")


class Terminal:
    """`keep` is given rows that can't change any more."""

    def __init__(self, keep: Callable[[str], None]) -> None:
        self._keep = keep
        self._rows = [""]
        self._row = self._column = 0
        self._begun = ""
        """An escape sequence whose end has not come."""

    def write(self, text: str) -> None:
        text = self._begun + text
        unfinished = _UNFINISHED.search(text, max(0, len(text) - ESCAPE_CHARACTERS))
        self._begun = unfinished[0] if unfinished else ""
        for token in _TOKEN.finditer(text, 0, len(text) - len(self._begun)):
            if token["text"]:
                self._put(token["text"])
            elif token["control"]:
                self._control(token["control"])
            elif token["final"]:
                self._command(token["final"], token["given"])

    def finish(self) -> None:
        """What is on the screen is final."""
        if self._rows != [""]:
            self._keep("\n".join(self._rows))
        self._rows, self._row, self._column = [""], 0, 0

    def _put(self, text: str) -> None:
        row = self._rows[self._row]
        before = row[: self._column].ljust(self._column)
        self._column += len(text)
        self._rows[self._row] = before + text + row[self._column :]

    def _control(self, control: str) -> None:
        if control == "\b":
            self._column = max(0, self._column - 1)
            return
        self._column = 0
        if control == "\n":
            self._row += 1
        if self._row == len(self._rows):
            self._rows.append("")
        if len(self._rows) > ROWS:
            self._keep(f"{self._rows.pop(0)}\n")
            self._row -= 1

    def _command(self, final: str, given: str) -> None:
        number = int(given.partition(";")[0]) if given.partition(";")[0].isdigit() else 0
        steps = min(number or 1, ROWS)
        if final in "AF":
            self._row = max(0, self._row - steps)
        elif final in "BE":
            self._row = min(len(self._rows) - 1, self._row + steps)
        elif final in "CD":
            self._column = max(0, self._column + (steps if final == "C" else -steps))
        elif final == "G":
            self._column = steps - 1
        elif final == "H":
            self._row, self._column = min(len(self._rows), steps) - 1, 0
        elif final == "K":
            self._erase_in_row(number)
        elif final == "J":
            self._erase_below(number)
        if final in "EF":
            self._column = 0

    def _erase_in_row(self, number: int) -> None:
        row = self._rows[self._row]
        after = row[self._column :] if number == 1 else ""
        before = row[: self._column] if number == 0 else " " * self._column if after else ""
        self._rows[self._row] = before + after

    def _erase_below(self, number: int) -> None:
        if number in (2, 3):
            self._rows, self._row = [""], 0
        else:
            del self._rows[self._row + 1 :]
            self._erase_in_row(0)


def as_left(text: str) -> str:
    """The same for text that is there whole."""
    kept: list[str] = []
    terminal = Terminal(kept.append)
    terminal.write(text)
    terminal.finish()
    return "".join(kept)
