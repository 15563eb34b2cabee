"""Other protocols' words for the same log: what `?format=` chooses. `native` is the log as it is, and needs none.

saying       what is said of one event
runs         which run a response tells of, and what the log has said of each
dialect      the interface, and its implementations: ai_sdk, ag_ui. Pure
translation  a subscriber's frames in a dialect, with ids to resume from
"""

from __future__ import annotations

from streaming.http.dialects.ag_ui import AgUi
from streaming.http.dialects.ai_sdk import AiSdk
from streaming.http.dialects.dialect import Dialect
from streaming.http.dialects.saying import Part, Saying

NATIVE = "native"
DIALECTS: dict[str, type[Dialect]] = {"ai-sdk": AiSdk, "ag-ui": AgUi}
FORMATS = (NATIVE, *DIALECTS)

__all__ = ["DIALECTS", "FORMATS", "NATIVE", "Dialect", "Part", "Saying"]
