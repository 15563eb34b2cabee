"""Errors that the person who starts the site, or runs a command, can solve."""

from __future__ import annotations


class SiteProblem(Exception):
    """The site or a command can't work with its current set-up. The message is one line that says what to do.

    SiteProblem
    ├── DataDirectoryNotPrivate   agentsite.data_directory
    ├── EnvironmentInvalid        agentsite.environment
    └── CliProblem                agentsite.cli.problem
    """

    exit_code = 2
