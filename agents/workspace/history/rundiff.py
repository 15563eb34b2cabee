"""The difference that a run made to its workspace: between the manifests before and after it. While it goes on, between
the one before it and the disk. Whoever wrote it: files that people uploaded meanwhile are in it too.

In total: between what was there before the oldest run of which that is kept, and the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from agents.models import Agent, Run
from agents.workspace.directory import Workspace
from agents.workspace.errors import WorkspaceMissing
from agents.workspace.history.manifest import Manifest, Reason, Record, is_same
from agents.workspace.history.store import History
from agents.workspace.history.taking import take
from agents.workspace.history.unified import unified
from agents.workspace.text import Text, read_text_exactly

DIFF_BYTES = 1024 * 1024
"""Of text in one answer, and of changed files that are held for it while a run goes on."""
DIFF_S = 2.0
"""How long files are compared for one answer. What is left then is `too-large`, as is what DIFF_BYTES leaves out."""
DIFF_FILES = 1000
"""Files in one answer."""


@dataclass(frozen=True, slots=True)
class FileDiff:
    """`additions`, `deletions` (lines) and `diff` are None when there is no diff; `reason` says why. `encoding`: what
    the file is written in, where that is not UTF-8; `A → B` where that changed. Its diff is of the decoded texts."""

    path: str
    status: Literal["added", "modified", "deleted"]
    additions: int | None = None
    deletions: int | None = None
    diff: str | None = None
    reason: Reason | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class RunDiff:
    """Sorted by path. Not `complete`: there may have been changes that are not in it."""

    files: list[FileDiff]
    complete: bool


def of_run(run: Run) -> RunDiff:
    """Raises OSError. Bounded by the constants above."""
    history = History(run.agent_id)
    before = history.manifest(str(run.pk), "before")
    if before is None:
        return RunDiff([], complete=not run.attempts.exclude(container_ref="").exists())
    held: dict[str, bytes] = {}
    after = history.manifest(str(run.pk), "after") or _now(run, history, before, held)
    if after is None:
        return RunDiff([], complete=False)
    return compare(before, after, _reader(history, held))


@dataclass(frozen=True, slots=True)
class TotalDiff:
    """`since`: the number of the run before which it begins; None if nothing is kept."""

    diff: RunDiff
    since: int | None


def of_agent(agent: Agent) -> TotalDiff:
    """The same in total, up to now. Raises OSError."""
    history = History(agent.pk)
    for run_id in history.runs():
        before = history.manifest(run_id, "before")
        run = Run.objects.filter(pk=run_id, agent=agent).first()
        if before is None or run is None:
            continue
        held: dict[str, bytes] = {}
        try:
            now = take(Workspace(agent.pk), history.newest() or before, _Held(history, held))
        except WorkspaceMissing:
            return TotalDiff(RunDiff([], complete=False), run.number)
        return TotalDiff(compare(before, now, _reader(history, held)), run.number)
    return TotalDiff(RunDiff([], complete=not agent.runs.exclude(started_at=None).exists()), None)


def _reader(history: History, held: dict[str, bytes]) -> Callable[[str], bytes | None]:
    return lambda sha256: held[sha256] if sha256 in held else history.objects.get(sha256)


def _now(run: Run, history: History, before: Manifest, held: dict[str, bytes]) -> Manifest | None:
    """What is on disk, if that is still what the run made of it."""
    try:
        now = take(Workspace(run.agent_id), before, _Held(history, held))
    except WorkspaceMissing:
        return None
    if Run.objects.filter(pk=run.pk, finished_at=None).exists():
        return now
    return history.manifest(str(run.pk), "after")


class _Held:
    """Contents in memory: who only looks writes nothing."""

    def __init__(self, history: History, held: dict[str, bytes]) -> None:
        self._history = history
        self._held = held
        self._left_bytes = DIFF_BYTES

    def has(self, sha256: str) -> bool:
        return sha256 in self._held or sha256 in self._history.objects

    def keep(self, content: bytes, sha256: str) -> bool:
        if len(content) > self._left_bytes:
            return False
        self._left_bytes -= len(content)
        self._held[sha256] = content
        return True


def compare(before: Manifest, after: Manifest, read: Callable[[str], bytes | None]) -> RunDiff:
    changed = []
    for path in sorted({*before.records, *after.records}):
        old, new = before.records.get(path), after.records.get(path)
        # Of two listings that were cut off, one may lack what is in the other.
        unknown = (old is None and not before.complete) or (new is None and not after.complete)
        if not unknown and not (old and new and is_same(old, new)):
            changed.append((path, old, new))
    comparison = _Comparison(read)
    files = [comparison.file(*one) for one in changed[:DIFF_FILES]]
    return RunDiff(files, before.complete and after.complete and len(changed) <= DIFF_FILES)


class _Comparison:
    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read
        self._left_bytes = DIFF_BYTES
        self._deadline = monotonic() + DIFF_S

    def file(self, path: str, old: Record | None, new: Record | None) -> FileDiff:
        status: Literal["added", "modified", "deleted"] = (
            "added" if old is None else "deleted" if new is None else "modified"
        )
        reasons = {record.reason for record in (old, new) if record and record.reason}
        for reason in ("binary", "too-large", "not-kept"):
            if reason in reasons:
                return FileDiff(path, status, reason=reason)
        texts = [self._text(old), self._text(new)]
        if (old and texts[0] is None) or (new and texts[1] is None):
            return FileDiff(path, status, reason="not-kept")
        if self._left_bytes <= 0 or monotonic() > self._deadline:
            return FileDiff(path, status, reason="too-large")
        found = unified(path, *(text and text.content for text in texts))
        size = len(found.text.encode())
        if size > self._left_bytes:
            return FileDiff(path, status, reason="too-large")
        self._left_bytes -= size
        return FileDiff(path, status, found.additions, found.deletions, found.text, encoding=_encoding(texts))

    def _text(self, record: Record | None) -> Text | None:
        content = self._read(record.sha256) if record and record.sha256 else None
        return None if content is None else read_text_exactly(content)


def _encoding(texts: Sequence[Text | None]) -> str | None:
    names = list(dict.fromkeys(text.encoding for text in texts if text))
    return None if all(text.is_utf8 for text in texts if text) else " → ".join(names)
