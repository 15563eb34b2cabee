from __future__ import annotations

from agentsite.problem import SiteProblem


class CliProblem(SiteProblem):
    """A problem that the person at the terminal can solve. It is shown as one line."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        self.exit_code = exit_code
        super().__init__(message)
