"""`agentsite …`: the whole stack on one machine, each of its processes, and a client for the terminal."""

from agentsite.cli.main import main

__all__ = ["main"]
