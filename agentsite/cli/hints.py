"""Hints on what to do next, as command lines that can be pasted."""

from __future__ import annotations

from typing import Any

from agentsite.cli.client import Client
from agentsite.cli.invocation import command_line
from agentsite.cli.safe import strip_control_characters


class Hints:
    """Hints about one agent of a site."""

    def __init__(self, client: Client, agent_id: str) -> None:
        self._options = client.options
        self._variables = client.variables
        self._agent_id = agent_id
        self._page = f"{client.url}/agents/{agent_id}/"

    def started(self, run_id: str) -> str:
        return f"agent {self._agent_id}, run {run_id}: {self._page}"

    def goes_on(self, run_id: str) -> str:
        return f"the run goes on; {self._command('attach', self._agent_id)} or {self._command('cancel', run_id)}"

    def answers(self, run_id: str, question: dict[str, Any]) -> str:
        """Return a command for each possible answer, and the address of the page."""
        commands = [self._command("approve", run_id, question["approval_id"], option) for option in question["options"]]
        return "\n".join(f"  {line}" for line in [*commands, f"or on its page: {self._page}"])

    def _command(self, name: str, *arguments: str) -> str:
        """Return a command line. The agent chose some of the arguments, so they are cleaned and then quoted for the
        shell, and none can become an option (`--url=…` would receive the token)."""
        end = ["--"] if any(argument.startswith("-") for argument in arguments) else []
        return command_line([name, *self._options, *end, *map(strip_control_characters, arguments)], self._variables)
