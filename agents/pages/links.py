"""Where an agent's Markdown may point. The same rules as static/agents/links.js; tests/pages/links.json proves both.

An agent's words are not ours: a link may lead to the web (in a new tab) or to a file of its own workspace, an image
only to a file of its workspace. Never to our own site (`/admin/logout`: a request with the reader's cookies), nor to
another host's picture (it would tell that host who reads what, and when).
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE | re.ASCII)
_IGNORED = re.compile(r"[\x00-\x20\x7f]+")
"""Browsers drop tabs and newlines inside a URL and controls around it: `java\\nscript:` is javascript: to them."""
_WEB = frozenset(("http", "https", "mailto"))
WORKSPACE = "/workspace/"


def link(href: str, files_url: str, directory: str = "") -> str | None:
    """The address for an `<a>`, or None for one that must stay text. `files_url` ends in a slash; `directory`: of the
    workspace, to which relative paths are relative."""
    scheme = _SCHEME.match(_IGNORED.sub("", href))
    if scheme:
        return href.strip() if scheme[1].lower() in _WEB and not _IGNORED.search(href.strip()) else None
    return workspace_file(href, files_url, directory)


def image(src: str, files_url: str, directory: str = "") -> str | None:
    """The address for an `<img>`: a file of the workspace, else None."""
    return None if _SCHEME.match(_IGNORED.sub("", src)) else workspace_file(src, files_url, directory)


def workspace_file(path: str, files_url: str, directory: str = "") -> str | None:
    """A path relative to the workspace, or absolute inside the container (`/workspace/…`). None if it leads out."""
    path = path.strip()
    segments = [] if path.startswith(WORKSPACE) or not directory else directory.split("/")
    path = path.removeprefix(WORKSPACE)
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    path = unquote(path, errors="replace")
    if not path or path.startswith(("/", "\\")) or _IGNORED.search(path.replace(" ", "")):
        return None
    for segment in path.split("/"):
        if segment == "..":
            if not segments:
                return None
            segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    return file_url("/".join(segments), files_url) if segments else None


def file_url(path: str, files_url: str) -> str | None:
    """Of a workspace path as the log has it. None if a browser would read it as another place."""
    segments = path.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        return None
    return files_url + "/".join(quote(segment, safe="!'()*-._~") for segment in segments)
