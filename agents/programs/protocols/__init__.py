"""What the site and a program say to each other, by the protocol that its definition names.

conversation.py   the interface: one attempt's talk with its program, and what it needs to begin
jsonl.py          container protocol v1
acp.py            the Agent Client Protocol
"""

from __future__ import annotations

from agents.definitions import Definition
from agents.gateway.providers import access
from agents.programs.protocols.acp import AcpConversation
from agents.programs.protocols.conversation import Conversation, Opening
from agents.programs.protocols.jsonl import JsonlConversation
from agents.programs.translator import Translator

__all__ = ["Conversation", "Opening", "conversation"]


def conversation(run_id: str, definition: Definition) -> Conversation:
    translator = Translator(run_id, counted_here=bool(access.allowed(definition)))
    return AcpConversation(translator) if definition.protocol == "acp" else JsonlConversation(translator)
