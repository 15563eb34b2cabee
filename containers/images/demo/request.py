"""What a prompt asks for, as far as plain words tell: files, columns, a grouping, kinds of charts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

CHARTS = {
    "heat-map": ("correl", "relation", "heat"),
    "scatter": ("scatter", " vs ", "versus", "against", "relation", "correl"),
    "histogram": ("histogram", "distribut", "spread", "outlier"),
    "boxes": ("box", "compare", "differ", "group", " by ", " per "),
    "bars": ("count", "frequen", "bar chart", "categor", "how many"),
    "trend": ("trend", "over time", "time series", "timeline"),
    "timeline": ("timeline", "over time", "when"),
}
UNITS = {"mm", "cm", "m", "km", "g", "kg", "t", "s", "ms", "h", "usd", "eur", "gbp", "pct", "id", "c", "f", "l", "ml"}
BEFORE_GROUP = r"(?:by|per|across|between|each|every|within|group(?:ed)? (?:by|on))(?: the| each| different)? "


@dataclass
class Request:
    """What was understood. Empty lists mean: nothing in particular, give an overview."""

    prompt: str
    files: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    by: str | None = None
    charts: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, prompt: str, files: list[str]) -> Request:
        padded = f" {prompt.casefold()} "
        charts = [kind for kind, signs in CHARTS.items() if any(sign in padded for sign in signs)]
        return cls(prompt, [path for path in files if names_file(prompt, path)], charts=charts)

    def find_columns(self, names: list[str]) -> None:
        """Columns that the prompt names, and the one it groups by."""
        words = normal(self.prompt)
        for name in names:
            forms = [form for form in spellings(name) if mentions(words, form, self.prompt, name)]
            if forms and name not in self.columns:
                self.columns.append(name)
            if self.by is None and any(re.search(rf"\b{BEFORE_GROUP}{re.escape(form)}s?\b", words) for form in forms):
                self.by = name

    def add(self, message: str, names: list[str]) -> None:
        """A later message adds to the prompt."""
        more = Request.read(message, [])
        more.find_columns(names)
        self.columns += [name for name in more.columns if name not in self.columns]
        self.charts += [kind for kind in more.charts if kind not in self.charts]
        self.by = self.by or more.by


def normal(text: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())


def names_file(prompt: str, path: str) -> bool:
    """By its name, or by the stem if that is more than a word anybody would use."""
    name, stem = PurePosixPath(path).name, PurePosixPath(path).stem
    in_full = path.casefold() in prompt.casefold() or name.casefold() in prompt.casefold()
    return in_full or (
        len(stem) > 3 and stem.casefold() not in ("data", "file", "text", "table", "test") and said(prompt, stem)
    )


def said(prompt: str, words: str) -> bool:
    found = normal(words)
    return bool(found) and f" {found} " in f" {normal(prompt)} "


def spellings(name: str) -> list[str]:
    """`body_mass_g` is also said "body mass"."""
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    full = normal(words)
    head, _, unit = full.rpartition(" ")
    return [form for form in dict.fromkeys([full, normal(name), head if unit in UNITS else full]) if form]


def mentions(words: str, form: str, prompt: str, name: str) -> bool:
    """Names of one or two letters, and those that are everyday words, count only where they are clearly meant."""
    if len(form) < 3 or form in ("the", "and", "for", "all", "file", "data", "name", "count", "value", "text", "time"):
        meant = rf"[`\"'“]{re.escape(name)}[`\"'”]|column {re.escape(name)}\b|\b{re.escape(name)} column"
        return bool(re.search(meant, prompt, re.I))
    return bool(re.search(rf"\b{re.escape(form)}(?:s|es)?\b", words))
