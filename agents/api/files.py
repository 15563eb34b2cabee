"""Files of a workspace: list, download, upload, delete.

What an agent wrote is served from our own origin, next to the reader's session. So nothing of it may run there: each
answer is sandboxed by its own policy (no scripts, no forms, an origin of its own), its type is not sniffed, and only
images and plain text are shown at all; everything else is a download.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, BinaryIO
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import register_converter
from django.urls.converters import PathConverter
from django.utils.http import content_disposition_header, http_date
from ninja import Query, Router
from ninja.responses import Status

from agents.api.auth import caller
from agents.api.bodies import announced_bytes, body
from agents.auth.permissions import agent_for
from agents.errors import NotFound
from agents.http.schemas import FileAnswer, FileList
from agents.runs import commands
from agents.workspace import Entry, FileTooLarge, OpenFile, Workspace
from agents.workspace.errors import PathInvalid
from agents.workspace.types import shown_as

router = Router(tags=["files"])
CHUNK_BYTES = 256 * 1024
TYPE_BYTES = 512 * 1024
"""Of a file that are read to find out in which charset it is written; as many as its page reads."""
# An SVG may style itself; under a sandbox without scripts and without any fetch that shows nothing but its own picture.
POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_BINARY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


Download = Annotated[bool, Query(description="To be saved, whatever it is.")]


class AnyPath(PathConverter):
    """Django's knows no line breaks. Ours are refused where all the other control characters are."""

    regex = r"[\s\S]+"


register_converter(AnyPath, "any")


@router.get("/agents/{agent_id}/files", response=FileList)
def list_files(request: HttpRequest, agent_id: str) -> FileList:
    """Regular files, sorted by path. 503 `workspace-missing` if they can't be reached."""
    listing = Workspace(agent_for(caller(request), agent_id).pk).entries()
    return FileList(files=[_answer(entry) for entry in listing.entries], complete=listing.complete)


@router.get(
    "/agents/{agent_id}/files/{any:path}",
    openapi_extra={"responses": {200: {"description": "The file.", **_BINARY}}},
)
def download_file(request: HttpRequest, agent_id: str, path: str, download: Download = False) -> HttpResponseBase:
    """Images and text to be shown, anything else to be saved; `download=true` to save it whatever it is. The charset of
    a text is found in its first 512 KiB; text that browsers do not decode (UTF-32) is to be saved."""
    agent = agent_for(caller(request), agent_id)
    _refuse_undecodable(request)
    opened = Workspace(agent.pk).open_file(path)
    response = StreamingHttpResponse(_chunks(request, opened))
    response._resource_closers.append(opened.file.close)  # type: ignore[attr-defined]  # Django closes these after the last byte; no public name
    type_ = None if download else _shown_as(path, opened)
    response["Content-Type"] = type_ or "application/octet-stream"
    response["Content-Length"] = str(opened.entry.size)
    response["Last-Modified"] = http_date(opened.entry.modified_at.timestamp())
    response["Cache-Control"] = "private, no-cache"
    response["Content-Security-Policy"] = POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    disposition = content_disposition_header(type_ is None, PurePosixPath(path).name)
    if disposition:
        response["Content-Disposition"] = disposition
    return response


@router.put(
    "/agents/{agent_id}/files/{any:path}",
    response={200: FileAnswer, 201: FileAnswer},
    openapi_extra={"requestBody": {"required": False, **_BINARY}},
)
def upload_file(request: HttpRequest, agent_id: str, path: str) -> Any:
    """The raw body becomes the file, whole or not at all. 201 if it is new; 413 above the site's limit for a file, or
    the definition's for the workspace; 507 where the disk is almost full."""
    agent = agent_for(caller(request), agent_id)
    _refuse_undecodable(request)
    _refuse_large(request)
    workspace = Workspace(agent.pk)
    existed = _exists(workspace, path)
    entry = workspace.upload(path, body(request), announced_bytes(request), commands.workspace_bytes(agent))
    commands.files_changed(agent)
    return Status(200 if existed else 201, _answer(entry))


@router.delete("/agents/{agent_id}/files/{any:path}", response={204: None})
def delete_file(request: HttpRequest, agent_id: str, path: str) -> Any:
    """A file, or a directory that is empty."""
    agent = agent_for(caller(request), agent_id)
    _refuse_undecodable(request)
    Workspace(agent.pk).delete(path)
    commands.files_changed(agent)
    return Status(204, None)


def _chunks(request: HttpRequest, opened: OpenFile) -> Iterator[bytes] | AsyncIterator[bytes]:
    """Exactly as many bytes as were announced, even if the agent is still writing. Django reads a plain iterator into
    memory as a whole when it serves ASGI, so there it gets an asynchronous one."""
    if isinstance(request, ASGIRequest):
        return _read_later(opened.file, opened.entry.size)
    return _read(opened.file, opened.entry.size)


def _shown_as(path: str, opened: OpenFile) -> str | None:
    beginning = opened.file.read(TYPE_BYTES)
    opened.file.seek(0)
    return shown_as(path, beginning, is_cut=opened.entry.size > len(beginning))


def _read(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size and (chunk := file.read(min(CHUNK_BYTES, size))):
        size -= len(chunk)
        yield chunk


async def _read_later(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    while size and (chunk := await asyncio.to_thread(file.read, min(CHUNK_BYTES, size))):
        size -= len(chunk)
        yield chunk


def _refuse_undecodable(request: HttpRequest) -> None:
    """Servers put U+FFFD for what is not UTF-8 in an address: two names would be one file."""
    raw = request.scope.get("raw_path") if isinstance(request, ASGIRequest) else None
    try:
        unquote_to_bytes(raw or b"").decode()
    except UnicodeDecodeError:
        raise PathInvalid("is not UTF-8", field="path") from None


def _refuse_large(request: HttpRequest) -> None:
    if announced_bytes(request) > settings.UPLOAD_MAX_BYTES:
        raise FileTooLarge(f"a file may have {settings.UPLOAD_MAX_BYTES} bytes", limit_bytes=settings.UPLOAD_MAX_BYTES)


def _exists(workspace: Workspace, path: str) -> bool:
    try:
        workspace.open_file(path).file.close()
    except NotFound:
        return False
    return True


def _answer(entry: Entry) -> FileAnswer:
    return FileAnswer(path=entry.path, size=entry.size, modified_at=entry.modified_at)
