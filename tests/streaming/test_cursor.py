"""The one rule that says whether a cursor can be honoured, against a model that knows every event ever written."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.model.cursor import START, Cursor, EpochStart, judge, parse, superseded

EPOCHS = [EpochStart(1, 1), EpochStart(3, 6), EpochStart(4, 6), EpochStart(7, 10)]


@pytest.mark.parametrize(
    ("cursor", "verdict"),
    [
        ("0-0", None),
        ("1-1", None),
        ("1-5", None),  # the last of epoch 1 that is part of the log
        ("1-6", "superseded"),  # epoch 3 began at 6
        ("3-6", "superseded"),  # epoch 3 wrote nothing that lasted
        ("4-6", None),
        ("4-9", None),
        ("4-10", "superseded"),
        ("7-10", None),
        ("7-12", None),  # the tip
        ("7-13", "unknown-cursor"),  # ahead of everything
        ("7-9", "unknown-cursor"),  # epoch 7 has no such event
        ("2-5", "unknown-cursor"),  # an epoch that never began
        ("8-13", "unknown-cursor"),
        ("0-1", "unknown-cursor"),
        ("1-0", "unknown-cursor"),
    ],
)
def test_cursor_is_judged_by_where_epochs_begin(cursor: str, verdict: str | None):
    at = parse(cursor)
    assert at is not None
    assert judge(at, EPOCHS, tip_seq=12, first_seq=1) == verdict
    starts = [start for start in EPOCHS if start.epoch >= at.epoch]
    assert judge(at, starts, tip_seq=12, first_seq=1) == verdict, "later epochs are enough"


@pytest.mark.parametrize(
    ("cursor", "verdict"),
    [("0-0", "trimmed"), ("1-2", "trimmed"), ("1-3", "trimmed"), ("1-4", None), ("1-6", "superseded")],
)
def test_cursor_before_what_is_still_stored_is_trimmed(cursor: str, verdict: str | None):
    at = parse(cursor)
    assert at is not None
    assert judge(at, EPOCHS, tip_seq=12, first_seq=5) == verdict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "a-b",
        "1-2-3",
        "1.5-2",
        "+1-2",
        "01-2",
        "1-02",
        "1 -2",
        "\u0661-\u0662",
        "0x1-1",
        "1-" + "9" * 19,
        "\x00",
    ],
)
def test_what_is_no_cursor_is_none(text: str):
    assert parse(text) is None


@given(st.text() | st.from_regex(r"[0-9]{1,30}-[0-9]{1,30}", fullmatch=True))
def test_parsing_never_raises_and_gives_only_what_a_database_can_hold(text: str):
    cursor = parse(text)
    if cursor is not None:
        assert str(cursor) == text.strip()
        assert max(cursor) < 2**63


@dataclass
class Model:
    """A log as it was written, including events that were published and then lost with Redis and their writer."""

    log: list[int] = field(default_factory=list)
    """log[seq - 1]: the epoch of that event."""
    seen: set[Cursor] = field(default_factory=lambda: {START})
    """Cursors that were ever given out."""
    starts: list[EpochStart] = field(default_factory=list)
    first_seq: int = 1

    def take_over(self, epoch: int, lost: int) -> None:
        del self.log[len(self.log) - lost :]
        self.starts.append(EpochStart(epoch, len(self.log) + 1))

    def write(self, count: int) -> None:
        for _ in range(count):
            self.log.append(self.starts[-1].epoch)
            self.seen.add(Cursor(self.starts[-1].epoch, len(self.log)))

    def holds(self, cursor: Cursor) -> bool:
        return cursor == START or (cursor.seq <= len(self.log) and self.log[cursor.seq - 1] == cursor.epoch)


takeovers = st.tuples(st.integers(1, 3), st.integers(0, 5), st.integers(0, 6))


@st.composite
def models(draw: st.DrawFn) -> Model:
    model, epoch = Model(), 0
    for skipped, lost, written in draw(st.lists(takeovers, min_size=1, max_size=8)):
        epoch += skipped
        model.take_over(epoch, min(lost, len(model.log)))
        model.write(written)
    model.first_seq = draw(st.integers(1, len(model.log) + 1))
    return model


@given(models())
def test_every_cursor_ever_given_out_is_honoured_exactly_if_its_event_is_still_in_the_log(model: Model):
    for cursor in model.seen:
        verdict = judge(cursor, model.starts, len(model.log), model.first_seq)
        if not model.holds(cursor):
            assert verdict == "superseded"
        elif cursor.seq + 1 < model.first_seq:
            assert verdict == "trimmed"
        else:
            assert verdict is None
        later = [start for start in model.starts if start.epoch >= cursor.epoch]
        assert judge(cursor, later, len(model.log), model.first_seq) == verdict


@given(models(), st.integers(0, 30), st.integers(0, 50))
def test_a_cursor_that_was_never_given_out_is_not_honoured(model: Model, epoch: int, seq: int):
    cursor = Cursor(epoch, seq)
    if cursor not in model.seen:
        assert judge(cursor, model.starts, len(model.log), model.first_seq) is not None


@given(models())
def test_exactly_the_lost_events_are_superseded(model: Model):
    for cursor in model.seen - {START}:
        assert superseded(cursor, model.starts) == (not model.holds(cursor))
