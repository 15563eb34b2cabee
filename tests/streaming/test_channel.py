"""The channel alone: what it takes, holds and refuses of what it is offered, and what its ring still has."""

from __future__ import annotations

import pytest

from streaming.model.cursor import START, Cursor
from streaming.read.channel import Channel
from streaming.read.frames import Frame
from streaming.store.bus import Message

pytestmark = pytest.mark.sqlite


def message(epoch: int, seq: int, size: int = 10) -> Message:
    return Message(Cursor(epoch, seq), b"x" * size)


def frame(epoch: int, seq: int, size: int = 10) -> Frame:
    return Frame.event(*message(epoch, seq, size))


def cursors(channel: Channel, after: Cursor) -> list[Cursor] | None:
    frames = channel.after(after, 10**9)
    return None if frames is None else [one.cursor for one in frames]


def placed(at: Cursor) -> Channel:
    channel = Channel("a")
    channel.place(at)
    return channel


def test_channel_takes_what_follows_in_its_epoch_and_drops_repeats():
    channel = placed(Cursor(1, 3))
    channel.offer([message(1, 2), message(1, 3), message(1, 4), message(1, 4), message(1, 5)])
    assert cursors(channel, Cursor(1, 3)) == [(1, 4), (1, 5)]
    assert not channel.wanted.is_set()


def test_channel_holds_what_does_not_follow_until_it_is_filled():
    channel = placed(Cursor(1, 3))
    channel.offer([message(1, 5), message(1, 6)])
    assert channel.wanted.is_set()
    assert channel.last == (1, 3)
    assert channel.fill(Cursor(1, 3), [frame(1, 4)])
    assert channel.last == (1, 6)
    assert not channel.holding


def test_first_event_of_an_epoch_is_for_the_log_to_judge():
    channel = placed(START)
    channel.offer([message(1, 1)])
    assert channel.last == START
    assert channel.wanted.is_set()
    assert channel.fill(START, [frame(1, 1)])
    assert cursors(channel, START) == [(1, 1)]


def test_frames_that_do_not_fit_what_arrived_meanwhile_are_refused():
    channel = placed(Cursor(1, 3))
    channel.offer([message(1, 4), message(1, 5)])
    assert not channel.fill(Cursor(1, 3), [frame(2, 4), frame(2, 5), frame(2, 6)])
    assert channel.last == (1, 5)
    assert channel.fill(Cursor(1, 3), [frame(1, 4), frame(1, 5), frame(2, 6)])
    assert channel.last == (2, 6)


def test_frames_that_live_has_passed_already_change_nothing():
    channel = placed(Cursor(1, 3))
    channel.offer([message(1, 4), message(1, 5), message(1, 6)])
    assert channel.fill(Cursor(1, 3), [frame(1, 4), frame(1, 5)])
    assert cursors(channel, Cursor(1, 3)) == [(1, 4), (1, 5), (1, 6)]


def test_ring_is_bounded_and_says_what_it_no_longer_holds(settings):
    settings.STREAM_QUEUE_EVENTS, settings.STREAM_QUEUE_BYTES = 10, 2000
    channel = placed(START)
    channel.fill(START, [frame(1, 1)])
    channel.offer([message(1, seq) for seq in range(2, 31)])
    assert cursors(channel, Cursor(1, 19)) is None
    assert len(cursors(channel, Cursor(1, 20)) or []) == 10
    channel.offer([message(1, 31, size=5000)])
    assert cursors(channel, Cursor(1, 30)) == [(1, 31)], "the newest is kept, however large"
    assert cursors(channel, Cursor(1, 29)) is None


def test_held_messages_are_bounded(settings):
    settings.STREAM_QUEUE_EVENTS, settings.STREAM_QUEUE_BYTES = 10, 2000
    channel = placed(Cursor(1, 3))
    channel.offer([message(1, seq) for seq in range(5, 500)])
    assert len(channel._held) <= 11
    channel.offer([message(1, seq, size=900) for seq in range(500, 600)])
    assert channel._held_bytes <= 3000


def test_place_of_another_epoch_is_not_in_the_ring():
    channel = placed(Cursor(1, 3))
    channel.fill(Cursor(1, 3), [frame(1, 4), frame(2, 5), frame(2, 6)])
    assert cursors(channel, Cursor(1, 5)) is None
    assert cursors(channel, Cursor(1, 4)) == [(2, 5), (2, 6)]
    assert cursors(channel, Cursor(2, 6)) == []
    assert cursors(channel, Cursor(2, 7)) is None
    assert cursors(channel, START) is None


def test_one_piece_is_about_as_large_as_wanted_and_never_empty():
    channel = placed(START)
    channel.fill(START, [frame(1, seq, size=100) for seq in range(1, 11)])
    assert len(channel.after(START, 1) or []) == 1
    assert 3 <= len(channel.after(START, 400) or []) <= 5
