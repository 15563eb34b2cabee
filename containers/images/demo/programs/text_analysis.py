#!/usr/bin/env python3
"""Describe texts: lines, words, sentences, characters, the most common words, how long lines and words are.

    python3 text_analysis.py FILE... [--output analysis.json] [--append]

Written by the Agentsite demo agent, with text_encoding.py beside it. Standard library only; reads a file in pieces and
never holds all of it.
A word is a run of letters (with apostrophes and hyphens inside); a sentence ends in . ! ? or … before a space.
Reading time is at 238 words a minute, the mean for silent reading of English (Brysbaert 2019).
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))  # last: a file beside this one must not replace Python's own modules
from text_encoding import encoding_of, name_of

MADE_BY = "Agentsite demo agent"
WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
SENTENCE = re.compile(r"[.!?…]+(?=[\"'\u201d\u2019)\]]*(?:\s|$))")
WORDS_PER_MINUTE = 238
DISTINCT_CAP = 200_000
PIECE = 1024 * 1024  # a longer line is read in pieces; a word at the seam may be counted twice
COMMON_ENGLISH = (
    "a about after again all also am an and any are as at be because been before being but by can could "
    "did do does down for from had has have he her here him his how i if in into is it its just like me "
    "more most my no not now of off on only or other our out over own said same she should so some such "
    "than that the their them then there these they this those through to too under up upon us very was "
    "we were what when where which while who whom why will with would you your "
)
COMMON = frozenset(COMMON_ENGLISH.split())


class Text:
    """What is counted while the lines go by."""

    def __init__(self) -> None:
        self.lines = self.blank = self.paragraphs = self.characters = self.letters = self.sentences = self.words = 0
        self.counts: Counter[str] = Counter()
        self.word_lengths: Counter[int] = Counter()
        self.line_lengths: Counter[int] = Counter()
        self.capped = False
        self._length, self._after_blank = 0, True

    def add(self, piece: str) -> None:
        body = piece.rstrip("\r\n")
        self.characters += len(piece)
        self._length += len(body)
        self.sentences += sum(1 for _ in SENTENCE.finditer(body))
        self.add_words([match.group() for match in WORD.finditer(body)])
        if piece.endswith("\n"):
            self.end_line()

    def add_words(self, words: list[str]) -> None:
        lengths = list(map(len, words))
        self.words, self.letters = self.words + len(words), self.letters + sum(lengths)
        self.word_lengths.update(lengths)
        folded = map(str.casefold, words)
        self.counts.update((word for word in folded if word in self.counts) if self.capped else folded)
        self.capped = len(self.counts) >= DISTINCT_CAP

    def end_line(self) -> None:
        self.lines += 1
        self.line_lengths[self._length] += 1
        self.blank += not self._length
        self.paragraphs += bool(self._length) and self._after_blank
        self._length, self._after_blank = 0, not self._length


def pieces(path: Path, encoding: str) -> Iterator[str]:
    size, told = path.stat().st_size, time.monotonic()
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding) as text:
        while piece := text.readline(PIECE):
            yield piece
            if time.monotonic() - told > 1:
                told = time.monotonic()
                print(f"  {100 * raw.tell() // size} %", flush=True)


def quantile(counts: Counter[int], share: float) -> float:
    """Linear between the two neighbours, as numpy does it."""
    position = (counts.total() - 1) * share
    low, high, seen = None, None, 0
    for value in sorted(counts):
        seen += counts[value]
        low = value if low is None and seen > int(position) else low
        if seen > int(position) + 1 or seen == counts.total():
            high = value
            break
    return (low or 0) + ((high or 0) - (low or 0)) * (position - int(position))


def spread(counts: Counter[int]) -> dict[str, Any]:
    total = counts.total()
    mean = sum(value * count for value, count in counts.items()) / total
    quartiles = {"q1": quantile(counts, 0.25), "median": quantile(counts, 0.5), "q3": quantile(counts, 0.75)}
    return {"count": total, "mean": mean, "min": min(counts), **quartiles, "max": max(counts)}


def histogram(counts: Counter[int]) -> dict[str, Any]:
    step = max(1, -(-(max(counts) + 1) // 24))
    step = next(size for size in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, step) if size >= step)
    bins = [0] * (max(counts) // step + 1)
    for value, count in counts.items():
        bins[value // step] += count
    return {"edges": [number * step for number in range(len(bins) + 1)], "counts": bins}


def top(counts: Counter[str], without: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    ranked = (
        (word, count) for word, count in counts.most_common() if not without or (word not in without and len(word) > 1)
    )
    return [{"word": word, "count": count} for (word, count), _ in zip(ranked, range(15), strict=False)]


def analyse(path: Path) -> dict[str, Any]:
    encoding, size = encoding_of(path), path.stat().st_size
    print(f"{path}: {size:,} bytes, {name_of(encoding)}", flush=True)
    text, piece = Text(), ""
    for piece in pieces(path, encoding):
        text.add(piece)
    if not piece.endswith("\n"):
        text.end_line()
    print(f"  {text.lines:,} lines, {text.words:,} words, {text.characters:,} characters", flush=True)
    about: dict[str, Any] = {"file": str(path), "kind": "text", "bytes": size, "encoding": name_of(encoding)}
    for name in ("lines", "blank", "paragraphs", "sentences", "words", "characters", "letters"):
        about[name] = getattr(text, name)
    about |= {"distinct_words": len(text.counts), "distinct_exact": not text.capped}
    about |= {"used_once": sum(count == 1 for count in text.counts.values()), "top_words": top(text.counts)}
    about |= {"top_uncommon_words": top(text.counts, COMMON), "reading_minutes": text.words / WORDS_PER_MINUTE}
    about |= {"line_length": spread(text.line_lengths), "line_histogram": histogram(text.line_lengths)}
    if text.words:
        about |= {"word_length": spread(text.word_lengths), "word_histogram": histogram(text.word_lengths)}
    return about


def attempt(path: str) -> dict[str, Any]:
    try:
        return analyse(Path(path))
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    print(f"{path}: not analysed: {reason}", flush=True)
    return {"file": path, "kind": "text", "error": reason}


def main() -> None:
    parser = argparse.ArgumentParser(description="Describe texts.")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--output", default="analysis.json")
    parser.add_argument("--append", action="store_true", help="keep what is in the output already")
    options = parser.parse_args()
    part, output = Path(options.output + ".part"), Path(options.output)
    found: list[dict[str, Any]] = []
    if options.append:
        found = json.loads(output.read_text(encoding="utf-8"))["files"]
    found += [attempt(path) for path in options.files]
    with part.open("w", encoding="utf-8") as file:
        json.dump({"made_by": MADE_BY, "files": found}, file, allow_nan=False, indent=1)
    part.replace(output)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
