"""What a tool of an MCP server answers, for the model: text and structure as text, images as images where the model
takes them, everything else as a file in the workspace and its path."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
from hashlib import sha256
from typing import Any

from pydantic_ai.messages import BinaryContent

from .names import safe_name
from .tools import Output
from .tools.workspace import root

FOLDER = "mcp"
"""In the workspace."""
IMAGE_BYTES = 3 * 2**20
"""Larger images are files: providers take 5 MB in base64 at most."""
IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""What every provider that takes images takes."""


def show(answer: Any, server: str, output: Output, *, takes_images: bool) -> None:
    """Puts the parts of a result (CallToolResult) out, in their order."""
    shown: list[str] = []
    for part in answer.content or ():
        if text := _text(part, server, output, takes_images):
            shown.append(text)
    structure = getattr(answer, "structured_content", None)
    if structure is not None and not any(_is_json_of(text, structure) for text in shown):
        shown.append(json.dumps(structure, ensure_ascii=False))
    if shown:
        output.write("\n".join(shown) + "\n")


def _text(part: Any, server: str, output: Output, takes_images: bool) -> str:
    if part.type == "text":
        return str(part.text)
    if part.type == "resource_link":
        about = [part.description] if part.description else []
        return " ".join([f"[{part.title or part.name}]({part.uri})", *about])
    if part.type == "resource":
        resource = part.resource
        if (text := getattr(resource, "text", None)) is not None:
            return f"{resource.uri}\n{text}"
        return f"{resource.uri}\n{_binary(resource.blob, resource.mime_type, server, output, takes_images)}"
    if part.type in ("image", "audio"):
        return _binary(part.data, part.mime_type, server, output, takes_images)
    return json.dumps(part.model_dump(mode="json"), ensure_ascii=False)


def _binary(data: str, type_: str | None, server: str, output: Output, takes_images: bool) -> str:
    type_ = type_ or "application/octet-stream"
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return f"[{type_}: its data is not base64]"
    if takes_images and type_ in IMAGE_TYPES and len(content) <= IMAGE_BYTES:
        output.attach(BinaryContent(content, media_type=type_))
        return f"[{type_}, {len(content):,} bytes: the image is attached]"
    return _save(content, type_, server)


def _save(content: bytes, type_: str, server: str) -> str:
    digest = sha256(content).hexdigest()[:12]
    extension = mimetypes.guess_extension(type_) or mimetypes.guess_extension(type_.replace("/", "/x-")) or ".bin"
    name = f"{safe_name(server)}-{digest}{extension}"
    try:
        (root() / FOLDER).mkdir(exist_ok=True)
        (root() / FOLDER / name).write_bytes(content)
    except OSError as error:
        return f"[{type_}, {len(content):,} bytes: it cannot be saved: {error.strerror}]"
    return f"[{type_}, {len(content):,} bytes: saved as {FOLDER}/{name}]"


def _is_json_of(text: str, structure: Any) -> bool:
    try:
        return bool(json.loads(text) == structure)
    except (ValueError, RecursionError):
        return False
