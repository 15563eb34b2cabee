"""The errors that the person who starts the site, or calls a command of it, can mend."""

from __future__ import annotations


class SiteProblem(Exception):
    """The site, or a command, can't work as it is set up. The message is one line that says what to do.

    SiteProblem
    ├── DataDirectoryNotPrivate   agentsite.data_directory
    ├── EnvironmentInvalid        agentsite.environment
    └── CliProblem                agentsite.cli.problem
    """

    exit_code = 2
