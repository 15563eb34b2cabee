"""A log folded up to some event: its state, all files of its workspace, and the pages that left it on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from streaming.model import manifest
from streaming.model.bounds import Page
from streaming.model.cursor import START, Cursor
from streaming.model.events import Event
from streaming.model.fold import State, initial, step
from streaming.model.manifest import Manifest


@dataclass(slots=True)
class Folded:
    """`pages`: those that are not stored yet, oldest first. None of the values in it is ever changed, only replaced: a
    copy of the object is a snapshot.

    `stored_chars`: of the JSON of the stored snapshot that it was loaded from, 0 if that has to be stored anew.
    `later_chars`: of the events after that one.
    """

    cursor: Cursor = START
    state: State = field(default_factory=initial)
    files: Manifest = field(default_factory=dict)
    pages: list[Page] = field(default_factory=list)
    stored_chars: int = 0
    later_chars: int = 0

    def take(self, events: Iterable[Event]) -> None:
        """The events that come next."""
        for event in events:
            self.state, page = step(self.state, event)
            if page is not None:
                self.pages = [*self.pages, page]
            if event.type == "files":
                self.files = manifest.changed(self.files, event)
            self.cursor = Cursor(event.epoch, event.seq)
