"""Coalescing: many small deltas become few events, because each event costs every subscriber.

The first delta goes out at once, then one batch per COALESCE_S. Neighbours of the same kind and target are joined, so
the order of what was said never changes.
"""

from __future__ import annotations

from streaming.model.events import Draft

COALESCE_S = 0.025
MERGED_CHARS = 64 * 1024
"""A joined delta grows no larger than this."""
OTHER_CHARS = 1000
"""What an event that is no delta counts."""
_TARGET = {"text": "message_id", "thinking": "message_id", "tool-output": "call_id", "log": "stream"}


class Intake:
    """What has been said since the last batch. `chars` is about how much that is."""

    def __init__(self) -> None:
        self.chars = 0
        self._drafts: list[Draft] = []
        self._joined: list[str] = []
        """Contents that belong to the last draft, put together only when it is complete: a million tiny lines would
        else cost the square of that."""
        self._joined_chars = 0

    def __bool__(self) -> bool:
        return bool(self._drafts)

    def add(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            size = _size(draft)
            self.chars += size
            if self._drafts and self._joined_chars + size <= MERGED_CHARS and same_target(self._drafts[-1], draft):
                self._joined.append(draft.data["content"])
                self._joined_chars += size
            else:
                self._complete()
                self._drafts.append(draft)
                self._joined_chars = size

    def take(self) -> list[Draft]:
        self._complete()
        taken, self._drafts, self.chars, self._joined_chars = self._drafts, [], 0, 0
        return taken

    def _complete(self) -> None:
        if self._joined:
            last = self._drafts[-1]
            content = "".join((last.data["content"], *self._joined))
            self._drafts[-1] = Draft(last.type, last.run_id, {**last.data, "content": content})
            self._joined = []


def same_target(first: Draft, second: Draft) -> bool:
    """Are both deltas of the same thing?"""
    target = _TARGET.get(first.type)
    if target is None or second.type != first.type or second.run_id != first.run_id:
        return False
    return bool(first.data[target] == second.data[target])


def _size(draft: Draft) -> int:
    content = draft.data.get("content")
    if not isinstance(content, str):
        return OTHER_CHARS
    return len(content) if draft.type in _TARGET else OTHER_CHARS + len(content)
