"""How far a pull has come, from what the daemon says of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from containers.interface import PullProgress

_WHOLE = ("Download complete", "Verifying Checksum", "Extracting", "Pull complete")


class Layers:
    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._total: dict[str, int] = {}

    def take(self, step: Mapping[str, Any]) -> PullProgress:
        """One line of the daemon's answer."""
        layer, status, detail = step.get("id"), step.get("status"), step.get("progressDetail") or {}
        if isinstance(layer, str):
            if status == "Downloading" and "total" in detail:
                self._total[layer] = max(int(detail["total"]), 0)
                self._done[layer] = max(self._done.get(layer, 0), min(int(detail["current"]), self._total[layer]))
            elif status in _WHOLE and layer in self._total:
                self._done[layer] = self._total[layer]
        return PullProgress(sum(self._done.values()), sum(self._total.values()))
