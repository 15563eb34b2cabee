"""What a file is shown as: images and plain text only, by its name. HTML and XML too are text: so they are harmless,
and people want to read them."""

from __future__ import annotations

from mimetypes import guess_type
from pathlib import PurePosixPath

from agents.workspace.text import read_text

IMAGES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"))
# fmt: off
TEXTS = frozenset((
    "txt", "md", "markdown", "rst", "csv", "tsv", "json", "jsonl", "ndjson", "geojson", "log", "py", "js", "ts",
    "jsx", "tsx", "css", "c", "h", "cpp", "hpp", "rs", "go", "java", "kt", "rb", "sh", "sql", "toml", "yaml", "yml",
    "ini", "cfg", "conf", "diff", "patch", "tex", "r", "jl", "lua", "pl", "html", "htm", "xml",
))
# fmt: on


def ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower().removeprefix(".")


def image_type(path: str) -> str | None:
    guessed, encoding = guess_type(path)
    return guessed if guessed in IMAGES and encoding is None else None


def shown_as(path: str, beginning: bytes, *, is_cut: bool) -> str | None:
    """The content type; None for what is a download only: other files, and text that no browser can decode.

    `beginning`: of its content; `is_cut`: there is more.
    """
    if ending(path) not in TEXTS:
        return image_type(path)
    text = read_text(beginning, is_cut=is_cut)
    return f"text/plain; charset={text.charset}" if text and text.charset else None
