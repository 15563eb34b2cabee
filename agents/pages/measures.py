"""Durations, sizes and costs in words. The same words as static/agents/measures.js."""

from __future__ import annotations

from datetime import datetime
from math import floor
from typing import Any

WHOSE = {"run": "This run's", "agent": "This agent's", "user-day": "Today's"}


def duration(ms: float) -> str:
    """840 ms · 8.4 s · 2 min 5 s · 1 h 2 min"""
    if ms < 1000:
        return f"{floor(ms + 0.5)} ms"  # as JavaScript rounds
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(floor(ms / 1000 + 0.5), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def run_duration(run: dict[str, Any]) -> str:
    """Of a run in the folded state; empty until it has both started and ended."""
    if run["started_at"] is None or run["finished_at"] is None:
        return ""
    passed = datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(run["started_at"])
    return duration(max(0.0, passed.total_seconds() * 1000))


def size(count: int) -> str:
    """512 B · 1.5 KB · 20 MB, in powers of 1000 as disks are sold."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("KB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def usage(total: dict[str, Any]) -> str:
    """1,210 + 90 tokens · $0.0013; empty where no model was asked."""
    tokens = total["input_tokens"] + total["output_tokens"]
    if not tokens:
        return ""
    words = f"{tokens:,} tokens"
    return words if total["cost_usd"] is None else f"{words} · {cost(total['cost_usd'])}"


def cost(usd: float) -> str:
    return f"${usd:.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def budget(share: dict[str, Any]) -> str:
    """82 % of this run's budget is used: 820 of 1,000 tokens."""
    whose, used, limit = WHOSE[share["scope"]], share["used"], share["limit"]
    amounts = _amounts(share["kind"], used, limit)
    if used >= limit:
        return f"{whose} budget is used up: {amounts}."
    return f"{floor(used / limit * 100)} % of {whose[0].lower()}{whose[1:]} budget is used: {amounts}."


def _amounts(kind: str, used: float, limit: float) -> str:
    if kind == "cost_usd":
        return f"{cost(used)} of {cost(limit)}"
    if kind == "wall_s":
        return f"{duration(used * 1000)} of {duration(limit * 1000)}"
    return f"{floor(used):,} of {floor(limit):,} {kind.replace('_', ' ')}"


def elapsed(ms: float) -> str:
    """Of something that goes on, as it ticks: 8 s · 2 min 5 s"""
    seconds = max(0, floor(ms / 1000))
    return f"{seconds} s" if seconds < 60 else duration(seconds * 1000)


def run_elapsed(run: dict[str, Any], now: datetime) -> str:
    """Of an active run in the folded state, so far."""
    if run["started_at"] is None:
        return ""
    return elapsed((now - datetime.fromisoformat(run["started_at"])).total_seconds() * 1000)
