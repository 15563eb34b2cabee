"""Joins characters whose two halves came in two deltas.

JSON may spell a character beyond U+FFFF as two escapes (a surrogate pair), and programs that cut text by UTF-16 units
put the halves into two deltas of one message or call. A half alone can't be stored, so the first half waits for the
second. Where none comes before the message or call ends, U+FFFD stands for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from agents.programs.translator import DELTAS
from streaming.model.events import Draft, clean

_HALF = re.compile("[\ud800-\udfff]")
_FIRST_HALVES = ("\ud800", "\udbff")
Target = tuple[str, str]


class SurrogateJoiner:
    """A fold of one attempt's drafts. A worker that takes over folds the lines since `waits_since` again."""

    def __init__(self) -> None:
        self._waiting: dict[Target, tuple[str, int]] = {}
        """The first half, and where the line with it begins in the program's output."""

    @property
    def waits_since(self) -> int | None:
        """Where the first line begins whose half waits for its other one."""
        return min((start for _, start in self._waiting.values()), default=None)

    def join(self, drafts: Iterable[Draft], line_start: int) -> list[Draft]:
        """The drafts of the line that begins at `line_start`, with no half in them."""
        joined: list[Draft] = []
        for draft in drafts:
            if draft.type in DELTAS:
                joined += self._delta(draft, line_start)
            else:
                joined += self._end_targets(draft)
                joined.append(draft)
        return joined

    def finish(self, run_id: str | None) -> list[Draft]:
        """For the halves whose other one does not come any more."""
        ended = [_unpaired(run_id, target) for target in self._waiting]
        self._waiting.clear()
        return ended

    def _delta(self, draft: Draft, line_start: int) -> list[Draft]:
        target, content = (draft.type, draft.data[DELTAS[draft.type]]), draft.data["content"]
        if not content or (target not in self._waiting and not _HALF.search(content)):
            return [draft]
        first, start = self._waiting.pop(target, ("", line_start))
        whole = first + content
        if _FIRST_HALVES[0] <= whole[-1] <= _FIRST_HALVES[1]:
            self._waiting[target] = (whole[-1], start if len(whole) == 1 else line_start)
            whole = whole[:-1]
        return [Draft(draft.type, draft.run_id, {**draft.data, "content": clean(whole)})] if whole else []

    def _end_targets(self, draft: Draft) -> list[Draft]:
        if not self._waiting:
            return []
        if draft.type == "tool-result":
            ends = [("tool-output", draft.data["call_id"])]
        elif draft.type == "message":
            ends = [(type_, draft.data["message_id"]) for type_ in ("text", "thinking")]
        else:
            return []
        return [_unpaired(draft.run_id, target) for target in ends if self._waiting.pop(target, None)]


def _unpaired(run_id: str | None, target: Target) -> Draft:
    type_, id_ = target
    return Draft(type_, run_id, {DELTAS[type_]: id_, "content": "\ufffd"})
