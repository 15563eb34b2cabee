"""What must hold of a site: at every moment, and once it has been let run out."""

from __future__ import annotations

from django.conf import settings

from streaming.model.cursor import START, superseded
from streaming.model.events import decode
from streaming.model.fold import State, apply, initial
from streaming.write.writer import PENDING_SHARE
from tests.model.browser import Browser
from tests.model.scale import BATCH_LINES
from tests.model.site import Site


class Checks:
    """Holds a site against what is promised."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.states: list[State] = [initial()]
        """The fold at each seq."""
        self._lines = 0
        self._remarked: set[str] = set()

    def now(self) -> None:
        self._log()
        self._bounds()
        assert not self.site.loop.errors, self.site.loop.errors

    def at_rest(self) -> None:
        """Everything is up, and nothing more happens."""
        row = self.site.row
        assert self._lines == self.site.lines, "not every line is in the log"
        assert row.position == (str(self.site.lines) if self.site.lines else "")
        for browser in self.site.browsers:
            self._browser(browser)

    def is_at_rest(self) -> bool:
        row = self.site.row
        if row.position != (str(self.site.lines) if self.site.lines else ""):
            return False
        writers = [worker.writer for worker in self.site.workers if worker.writer is not None]
        if not writers or any(writer.committed < writer.seq for writer in writers):
            return False
        return all(browser.cursor is not None and browser.cursor == row.tip for browser in self.site.browsers)

    def _log(self) -> None:
        row = self.site.row
        for at in range(len(self.states), len(row.history) + 1):
            stored, event = row.history[at - 1], decode(row.history[at - 1].payload)
            assert stored.cursor == (event.epoch, event.seq)
            assert event.seq == at, "the log has a hole, or an event twice"
            assert at == 1 or event.epoch >= row.history[at - 2].cursor.epoch, "epochs don't ascend"
            assert not superseded(stored.cursor, row.starts), "an event got in after a later epoch began"
            self._content(event.data["content"])
            self.states.append(apply(self.states[-1], event))
        assert row.tip.seq == len(row.history)

    def _content(self, content: str) -> None:
        if content in self.site.remarks:
            assert content not in self._remarked, "an event is there twice"
            self._remarked.add(content)
        else:
            self._lines += 1
            assert content == f"{self._lines} ", "a line of the container's is missing, or there twice"

    def _bounds(self) -> None:
        for worker in self.site.workers:
            if worker.writer is not None:
                most = settings.STREAM_MAXLEN // PENDING_SHARE + BATCH_LINES
                assert len(worker.writer._pending) <= most, "too much is pending"
        for channel in self.site.hub._channels.values():
            assert len(channel._ring) <= settings.STREAM_QUEUE_EVENTS, "the ring is too long"
            assert len(channel._held) <= settings.STREAM_QUEUE_EVENTS, "too much is held"

    def _browser(self, browser: Browser) -> None:
        log = self.site.row.history
        name, base = browser.name, browser.base
        assert browser.cursor is not None
        assert browser.cursor == self.site.row.tip, f"{name} is deaf at {browser.cursor}"
        assert base is not None
        assert base == START or log[base.seq - 1].cursor == base, f"{name} began at {base}, which is not in the log"
        assert browser.events == [tuple(stored) for stored in log[base.seq :]], f"{name} has another log"
        if browser.state is not None:
            assert browser.state == self.states[base.seq], f"{name} got a wrong state"
        for reset in browser.resets:
            if reset.reason == "superseded":
                kept = 0 < reset.cursor.seq <= len(log) and log[reset.cursor.seq - 1].cursor == reset.cursor
                assert not kept, f"{name} was reset at {reset.cursor}, which is in the log"
