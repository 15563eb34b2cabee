"""What a model call costs: by the list of prices that genai-prices brings along. Nobody is asked over the network.

The list is as old as the package. A model that is not on it costs null: unknown, not nothing.
"""

from __future__ import annotations

from genai_prices import Usage, calc_price

from agents.gateway.providers.counting import Counted

_LISTED_AS = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}
COST_DIGITS = 9
"""Of a dollar; below what a single token costs."""


def cost_usd(provider: str, counted: Counted) -> float | None:
    listed = _LISTED_AS.get(provider)
    if listed is None or not counted.model:
        return None
    used = Usage(
        input_tokens=counted.input_tokens or 0,
        output_tokens=counted.output_tokens or 0,
        cache_read_tokens=min(counted.cache_read_tokens, counted.input_tokens or 0),
        cache_write_tokens=counted.cache_write_tokens,
    )
    try:
        return round(float(calc_price(used, counted.model, provider_id=listed).total_price), COST_DIGITS)
    except (LookupError, ValueError):  # no such model, or counts that contradict each other
        return None
