"""An agent's workspace: the directory that is mounted into its containers, seen from outside. Synchronous.

The program inside writes whatever it likes at any moment, also while we look: links to /etc/shadow, pipes that block
whoever opens them, directories swapped for links between two system calls. So nothing here resolves a path by name
twice: every component is opened beneath the one before it (openat with O_NOFOLLOW), and what is not a regular file is
never opened.

    paths       what a path may be
    walk        what is there
    directory   `Workspace`: make, open, write, delete
    types       what a file is shown as, by its name
    changes     what is different from what the log knows, for `files` events
    digests     SHA-256, once per content
    usage       how much room it takes
    room        whether there is room for more: the disk's free space, one upload at a time
    removal     taking a tree down, however deep
    history     what was in it before and after each run
    belongings  a workspace and its history: what an agent has on disk
    unowned     those of agents that are not there any more
"""

from agents.workspace.changes import Change
from agents.workspace.directory import Workspace
from agents.workspace.errors import (
    DiskFull,
    FileTooLarge,
    PathInvalid,
    PathTaken,
    WorkspaceError,
    WorkspaceFull,
    WorkspaceMissing,
    WorkspaceNotKept,
)
from agents.workspace.walk import Entry, Listing, OpenFile

__all__ = [
    "Change",
    "DiskFull",
    "Entry",
    "FileTooLarge",
    "Listing",
    "OpenFile",
    "PathInvalid",
    "PathTaken",
    "Workspace",
    "WorkspaceError",
    "WorkspaceFull",
    "WorkspaceMissing",
    "WorkspaceNotKept",
]
