"""The catalog of definitions, read again whenever its file changes.

A mistake in one definition concerns that definition only. A mistake that hides all of them (no TOML, an unknown table)
leaves all of them as they were. In both cases the last good version stays in force, if this process has read one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import structlog
from django.conf import settings
from pydantic import ValidationError

from agents.definitions.ceilings import Ceilings, TooWide
from agents.definitions.definition import Definition
from agents.definitions.location import line_of
from streaming.model.validation import plain_problems

log = structlog.get_logger(__name__)
Identity = tuple[int, int, int, int]
"""What changes with a file, also if its time is set back or another takes its place."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")


@dataclass(frozen=True, slots=True)
class Catalog:
    """`definitions`: those that can be run. `invalid`: the mistake of each definition that has one; it is among
    `definitions` only where its last good version is known. `problem`: the first mistake, with the file's name. Each
    mistake is one line that names line and field. `is_stale`: the file can't be read now, and this is what it was."""

    definitions: Mapping[str, Definition] = field(default_factory=dict)
    invalid: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    is_stale: bool = False

    def mistake_of(self, name: str) -> str | None:
        """Why no definition of that name can be run; None if it can be, or if there is none."""
        return None if name in self.definitions else self.invalid.get(name)


class Mistake(Exception):
    """In the file. The message names line and field."""


class CatalogFile:
    """Looks at the file's time and size on every call: a stat costs less than wondering why an edit has no effect."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: Identity | None = None
        self._catalog = Catalog()
        self._lock = Lock()

    def current(self) -> Catalog:
        with self._lock:
            try:
                stat = self._path.stat()
                seen = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
                if seen != self._seen:
                    ceilings = Ceilings(**settings.DEFINITION_CEILINGS)
                    self._take(seen, read(self._path.read_text(encoding="utf-8-sig"), ceilings))
            except OSError as error:
                self._keep(None, f"{self._path.name}: {error.strerror or error}")
            except UnicodeDecodeError:
                self._keep(seen, f"{self._path.name}: is not UTF-8")
            except Mistake as mistake:
                self._keep(seen, f"{self._path.name}: {mistake}")
            return self._catalog

    def _take(self, seen: Identity, found: Catalog) -> None:
        for name, mistake in found.invalid.items():
            if self._catalog.invalid.get(name) != mistake:
                log.error("a definition has a mistake", file=self._path.name, mistake=mistake)
        known = self._catalog.definitions
        last_good = {name: known[name] for name in found.invalid if name in known}
        problem = f"{self._path.name}: {found.problem}" if found.problem else None
        self._seen = seen
        self._catalog = Catalog({**found.definitions, **last_good}, found.invalid, problem)

    def _keep(self, seen: Identity | None, problem: str) -> None:
        if problem != self._catalog.problem:
            log.error("definitions not read, the last good ones stay in force", problem=problem)
        self._seen = seen
        self._catalog = Catalog(self._catalog.definitions, self._catalog.invalid, problem, is_stale=True)


class _SiteCatalog:
    """The site's catalog. The file is looked up when it is first needed: tests and commands may change the setting."""

    def current(self) -> Catalog:
        return _file(settings.DEFINITIONS_FILE).current()


@cache
def _file(path: Path) -> CatalogFile:
    return CatalogFile(path)


catalog = _SiteCatalog()


def read(text: str, ceilings: Ceilings) -> Catalog:
    """The definitions in a TOML text, none wider than `ceilings`. Raises Mistake for one that hides all of them."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = "" if "line" in str(error) else f"line {max(1, len(text.splitlines()))}: "
        raise Mistake(f"{where}{error}") from None
    for key in document:
        if key != "definitions":
            raise _mistake(text, [key], key, "unknown table; definitions are [definitions.NAME]")
    tables = document.get("definitions", {})
    if not isinstance(tables, dict):
        raise _mistake(text, ["definitions"], "definitions", "must be tables [definitions.NAME]")
    definitions: dict[str, Definition] = {}
    invalid: dict[str, str] = {}
    for name, table in tables.items():
        try:
            definitions[name] = _held(text, _definition(text, name, table), ceilings)
        except Mistake as mistake:
            invalid[name] = str(mistake)
    return Catalog(definitions, invalid, next(iter(invalid.values()), None))


def _mistake(text: str, path: Sequence[str], field_name: str, problem: str) -> Mistake:
    line = line_of(text, path)
    return Mistake(f"{f'line {line}: ' if line else ''}{field_name}: {problem}")


def _held(text: str, definition: Definition, ceilings: Ceilings) -> Definition:
    try:
        return ceilings.hold(definition)
    except TooWide as error:
        field_name = ".".join((definition.name, *error.path))
        raise _mistake(text, ["definitions", definition.name, *error.path], field_name, error.problem) from None


def _definition(text: str, name: str, table: Any) -> Definition:
    where = ["definitions", name]
    if not _NAME.fullmatch(name):
        raise _mistake(text, where, name, "a name is made of a-z, 0-9, - and _")
    if not isinstance(table, dict):
        raise _mistake(text, where, name, f"must be a table [definitions.{name}]")
    if "name" in table:
        raise _mistake(text, [*where, "name"], f"{name}.name", f"the name is that of the table, {name}")
    try:
        return Definition(**{**table, "name": name})
    except ValidationError as error:
        (found, message), *_ = plain_problems(error.errors(), "a table")
        path = [*where, *found]
        raise _mistake(text, path, ".".join(path[1:]), message) from None
