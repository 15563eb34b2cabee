"""The files of a workspace at one moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from agents.workspace.walk import Entry

Reason = Literal["too-large", "binary", "not-kept"]
"""Why there is no content: the file is larger than HISTORY_FILE_KIB; it is no text; or there was no room or time,
or it was dropped since to make room."""


class Record(NamedTuple):
    """What is known of one file. `sha256` is None when it was not read; without a `reason` its content is kept.

    The last three change whenever the content does (see `Identity`). Without the device, whose number may be another
    after the machine was started again.
    """

    size: int
    sha256: str | None
    reason: Reason | None
    inode: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """By path. Not `complete`: there were more files than anybody wanted to look at."""

    records: Mapping[str, Record]
    complete: bool
    taken_at_ns: int

    def encode(self) -> bytes:
        whole = {"complete": self.complete, "taken_at_ns": self.taken_at_ns, "files": self.records}
        return json.dumps(whole, separators=(",", ":")).encode()

    def contents(self) -> set[str]:
        return {record.sha256 for record in self.records.values() if record.sha256 and record.reason is None}


def decode(encoded: bytes) -> Manifest:
    whole = json.loads(encoded)
    records = {path: Record(*fields) for path, fields in whole["files"].items()}
    return Manifest(records, whole["complete"], whole["taken_at_ns"])


def record_of(entry: Entry, sha256: str | None, reason: Reason | None) -> Record:
    identity = entry.identity
    return Record(entry.size, sha256, reason, identity.inode, identity.mtime_ns, identity.ctime_ns)


def is_untouched(one: Record, other: Record) -> bool:
    """By what the kernel says of it."""
    return (one.size, one[3:]) == (other.size, other[3:])


def is_same(one: Record, other: Record) -> bool:
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return is_untouched(one, other)
