"""What can go wrong with a log.

StreamingError          the root; `retryable` says whether the same call may succeed later
├── EventInvalid        data that does not fit its event type
├── Fenced              somebody else became the writer of this log: nothing more of ours gets in
│   └── WriterClosed    this writer was closed or abandoned: it takes nothing more
├── LogMissing          no log for that agent (deleted, or never there)
├── LogBroken           events are missing that no snapshot holds: somebody has changed the database by hand
├── PageMissing         a page of the conversation that the state names is not there: as above
├── BusUnavailable      Redis does not answer                                                    retryable
├── Unbarred            Redis was emptied, and with it went the barrier of this epoch            retryable
└── JournalUnavailable  the database does not answer                                             retryable
"""

from __future__ import annotations


class StreamingError(Exception):
    retryable = False


class EventInvalid(StreamingError):
    def __init__(self, type_: str, problem: str) -> None:
        self.type = type_
        self.problem = problem
        super().__init__(f"{type_}: {problem}")


class Fenced(StreamingError):
    def __init__(self, agent_id: str, epoch: int) -> None:
        self.agent_id = agent_id
        self.epoch = epoch
        super().__init__(f"epoch {epoch} is no longer the writer of the log of agent {agent_id}")


class WriterClosed(Fenced):
    """Not because of somebody else; but who asks has to act in the same way."""


class LogMissing(StreamingError):
    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id
        super().__init__(f"agent {agent_id} has no log")


class LogBroken(StreamingError):
    def __init__(self, agent_id: str, snapshot_seq: int, first_seq: int) -> None:
        self.agent_id = agent_id
        self.snapshot_seq = snapshot_seq
        self.first_seq = first_seq
        super().__init__(f"agent {agent_id}: the snapshot ends at {snapshot_seq}, the log begins at {first_seq}")


class PageMissing(StreamingError):
    def __init__(self, agent_id: str, before: str) -> None:
        self.agent_id = agent_id
        self.before = before
        super().__init__(f"agent {agent_id}: the page of the conversation before {before} is missing")


class BusUnavailable(StreamingError):
    retryable = True


class Unbarred(StreamingError):
    retryable = True

    def __init__(self, agent_id: str, epoch: int) -> None:
        self.agent_id = agent_id
        self.epoch = epoch
        super().__init__(f"Redis holds no barrier of epoch {epoch} of agent {agent_id}")


class JournalUnavailable(StreamingError):
    retryable = True
