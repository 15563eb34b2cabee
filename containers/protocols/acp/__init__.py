"""The Agent Client Protocol (agentclientprotocol.com), version 1, from the client's side.

    messages.py      JSON-RPC 2.0, one message a line
    prompt.py        what an agent is given: capabilities, servers of tools, the prompt
    content.py       content blocks to text, diffs, results
    updates.py       session/update to what a program of container protocol v1 would have said
    permissions.py   session/request_permission, and the answers
    session.py       the whole: a fold of everything the agent has printed, and what is to be sent to it

No I/O. An agent's state is never stored: whoever takes a run over reads the agent's output again from its beginning, so
all ids of our requests follow from it. What Gemini CLI and OpenCode do differently is said where it is dealt with.
"""

from containers.protocols.acp.session import Outgoing, Session

__all__ = ["Outgoing", "Session"]
