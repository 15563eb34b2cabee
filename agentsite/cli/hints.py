"""What one can do next, as command lines that can be pasted."""

from __future__ import annotations

from typing import Any

from agentsite.cli.client import Client
from agentsite.cli.invocation import command_line
from agentsite.cli.safe import safe


class Hints:
    """About one agent of a site."""

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
        """A line for each answer, and where the page is."""
        commands = [self._command("approve", run_id, question["approval_id"], option) for option in question["options"]]
        return "\n".join(f"  {line}" for line in [*commands, f"or on its page: {self._page}"])

    def _command(self, name: str, *arguments: str) -> str:
        """The agent chose some of the arguments: they are quoted for the shell (once they are safe: what is dropped
        later could be a quote), and none is an option (`--url=…` would be sent the token)."""
        end = ["--"] if any(argument.startswith("-") for argument in arguments) else []
        return command_line([name, *self._options, *end, *map(safe, arguments)], self._variables)
