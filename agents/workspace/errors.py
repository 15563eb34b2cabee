"""What a request about a file can't have.

WorkspaceError
├── PathInvalid     not a relative path of ordinary names                     422
├── FileTooLarge    more bytes than allowed                                   413
├── WorkspaceFull   the workspace would take more than its definition allows  413
├── PathTaken       something is there that can't be replaced or removed      409
├── WorkspaceNotKept  not all of what was in it at that time is there now     409
├── DiskFull                                                                  507, retryable
└── WorkspaceMissing  its directory is not where it was made                  503, retryable

Beside them `agents.errors.NotFound`: no regular file there.
"""

from __future__ import annotations

from agents.errors import AgentsError


class WorkspaceError(AgentsError):
    code = "workspace-error"


class PathInvalid(WorkspaceError):
    code, status = "invalid-path", 422


class FileTooLarge(WorkspaceError):
    code, status = "file-too-large", 413


class WorkspaceFull(WorkspaceError):
    code, status = "workspace-full", 413


class PathTaken(WorkspaceError):
    code, status = "path-taken", 409


class WorkspaceNotKept(WorkspaceError):
    code, status = "workspace-not-kept", 409


class DiskFull(WorkspaceError):
    code, status = "disk-full", 507
    retryable = True


class WorkspaceMissing(WorkspaceError):
    """Every agent's workspace is made with the agent. One that is not there is lost, or on a disk that is not mounted:
    taken for an empty one, it would say that all files were deleted."""

    code, status = "workspace-missing", 503
    retryable = True
