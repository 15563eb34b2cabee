"""Which lines are different: Myers' greedy algorithm ("An O(ND) Difference Algorithm", 1986), with a bound.

difflib is quadratic, and worse where lines repeat, and what is compared here was written by programs that we don't
trust. This costs at most STEPS_MOST.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

EDITS_MOST = 1000
"""Lines added and deleted in what lies between the common beginning and end. Beyond that all of it is shown as
replaced: right too, only not short. Memory grows with its square: 4 MB."""
STEPS_MOST = 1_000_000
"""Comparisons of two lines, then the same: at most half a second."""


class Replaced(NamedTuple):
    """Lines [old_start, old_end) became lines [new_start, new_end). One of the two may be empty."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


def edits(old: Sequence[str], new: Sequence[str]) -> list[Replaced]:
    """In order, none touching the next."""
    start = _common(old, new)
    most = min(len(old), len(new)) - start
    end = 0
    while end < most and old[-1 - end] == new[-1 - end]:
        end += 1
    old_middle, new_middle = old[start : len(old) - end], new[start : len(new) - end]
    if not old_middle and not new_middle:
        return []
    found = None if set(old_middle).isdisjoint(new_middle) else _middle(old_middle, new_middle)
    if found is None:
        found = [Replaced(0, len(old_middle), 0, len(new_middle))]
    return [Replaced(*(place + start for place in one)) for one in found]


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    count = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        count += 1
    return count


def _middle(old: Sequence[str], new: Sequence[str]) -> list[Replaced] | None:
    """None above EDITS_MOST or STEPS_MOST.

    `furthest[middle + k]` is how many old lines are dealt with on the diagonal k = old lines - new lines.
    """
    most = min(EDITS_MOST, len(old) + len(new))
    middle = most + 1
    furthest = array("i", bytes(4 * (2 * most + 3)))
    trace: list[array[int]] = []
    steps = 0
    for cost in range(most + 1):
        trace.append(furthest[middle - cost - 1 : middle + cost + 2])
        for diagonal in range(-cost, cost + 1, 2):
            at = middle + diagonal
            down = diagonal == -cost or (diagonal != cost and furthest[at - 1] < furthest[at + 1])
            begun = x = furthest[at + 1] if down else furthest[at - 1] + 1
            y = x - diagonal
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            furthest[at] = x
            if x >= len(old) and y >= len(new):
                return _walk_back(trace, len(old), len(new))
            steps += x - begun + 1
        if steps > STEPS_MOST:
            return None
    return None


def _walk_back(trace: Sequence[array[int]], x: int, y: int) -> list[Replaced]:
    """From the end to the beginning, one edit a step; those that touch are one."""
    found: list[Replaced] = []
    for cost in range(len(trace) - 1, 0, -1):
        furthest, diagonal = trace[cost], x - y
        at = cost + 1 + diagonal
        down = diagonal == -cost or (diagonal != cost and furthest[at - 1] < furthest[at + 1])
        x_before = furthest[at + 1] if down else furthest[at - 1]
        y_before = x_before - (diagonal + 1 if down else diagonal - 1)
        # The edit comes first on the way from there, then what is equal.
        one = Replaced(x_before, x_before + (not down), y_before, y_before + down)
        if found and (found[-1].old_start, found[-1].new_start) == (one.old_end, one.new_end):
            after = found.pop()
            one = Replaced(one.old_start, after.old_end, one.new_start, after.new_end)
        found.append(one)
        x, y = x_before, y_before
    return found[::-1]
