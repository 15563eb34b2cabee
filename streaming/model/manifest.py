"""All files of a workspace as its log has them. The state holds only those that changed last
(streaming.model.bounds)."""

from __future__ import annotations

from typing import Any

from streaming.model.events import Event

Manifest = dict[str, dict[str, Any]]
"""Path → {size (bytes), sha256}."""


def changed(manifest: Manifest, event: Event) -> Manifest:
    """After an event of the type `files`."""
    manifest = dict(manifest)
    for change in event.data["changes"]:
        if change["change"] == "deleted":
            manifest.pop(change["path"], None)
        else:
            manifest[change["path"]] = {"size": change["size"], "sha256": change["sha256"]}
    return manifest
