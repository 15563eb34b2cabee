"""Durations, sizes and costs in words. The agent page has the same words from static/agents/measures.js."""

from __future__ import annotations

from math import floor
from typing import Any


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
