"""A workspace's files as folders, for the page of one of them."""

from __future__ import annotations

from collections.abc import Iterable

FOLDER_PAGE_ROWS = 500
"""Entries of one folder on a page. The panel of the agent page is drawn by static/agents/tree.js."""


def folder(paths: Iterable[str], within: str) -> tuple[list[tuple[str, int]], list[str]]:
    """((names of folders, files in each), names of files) directly in that folder (empty: the top)."""
    prefix = f"{within}/" if within else ""
    counts: dict[str, int] = {}
    files = []
    for path in paths:
        if path.startswith(prefix):
            name, slash, _ = path[len(prefix) :].partition("/")
            if slash:
                counts[name] = counts.get(name, 0) + 1
            else:
                files.append(name)
    return sorted(counts.items()), sorted(files)
