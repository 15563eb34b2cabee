"""A registry of one image (OCI distribution, version 2), on 127.0.0.1, where engines need no TLS. Its layer comes as
slowly as the test says.

The image is a few hundred bytes of program and as much noise as is wanted, so that no engine has its layer already.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
import tarfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PIECE_BYTES = 64 * 1024
SAYS = b'{"type":"text","content":"pulled and run"}\n'


def program() -> bytes:
    """A static executable for Linux on x86_64: writes SAYS, and ends."""
    # mov edx, length; syscall; mov eax, 60 (exit); xor edi, edi; syscall
    rest = b"\xba" + struct.pack("<i", len(SAYS)) + b"\x0f\x05\xb8\x3c\0\0\0\x31\xff\x0f\x05"
    # mov eax, 1 (write); mov edi, 1 (stdout); lea rsi, [rip + what is behind `rest`]
    code = b"\xb8\x01\0\0\0\xbf\x01\0\0\0\x48\x8d\x35" + struct.pack("<i", len(rest)) + rest + SAYS
    base, headers = 0x400000, 64 + 56
    size = headers + len(code)
    elf = b"\x7fELF\x02\x01\x01" + bytes(9)
    elf += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    elf += struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return elf + code


class ImageRegistry:
    def __init__(self, layer_bytes: int) -> None:
        self.name = f"agentsite-test-{uuid.uuid4().hex[:12]}"
        self.asked: list[str] = []
        self.broken_off = threading.Event()
        self._may_send = threading.Semaphore(0)
        self._unlimited = threading.Event()
        layer = _layer(layer_bytes)
        packed = gzip.compress(layer, compresslevel=1)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/program"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        self.layer = _digest(packed)
        self.blobs = {_digest(config): config, self.layer: packed}
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _about(config, "application/vnd.docker.container.image.v1+json"),
                "layers": [_about(packed, "application/vnd.docker.image.rootfs.diff.tar.gzip")],
            }
        ).encode()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def reference(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}/{self.name}:1"

    def let(self, pieces: int) -> None:
        """Send so much more of the layer."""
        self._may_send.release(pieces)

    def let_all(self) -> None:
        self._unlimited.set()
        self._may_send.release()

    def is_broken_off(self, patience_s: float = 0.02) -> bool:
        """Sends the rest, a piece after the other: does the engine give up in the middle of it?"""
        for _ in range(len(self.blobs[self.layer]) // PIECE_BYTES + 1):
            self.let(1)
            if self.broken_off.wait(patience_s):
                return True
        return False

    def wait_piece(self) -> None:
        if not self._unlimited.is_set():
            self._may_send.acquire()

    def close(self) -> None:
        self.let_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def image_registry(layer_bytes: int = 2**20) -> Iterator[ImageRegistry]:
    registry = ImageRegistry(layer_bytes)
    try:
        yield registry
    finally:
        registry.close()


def _handler(registry: ImageRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            registry.asked.append(f"{self.command} {self.path}")
            kind, body = self._found()
            if body is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Content-Digest", _digest(body))
            self.end_headers()
            if with_body:
                self._send(body, slowly=self.path.endswith(registry.layer))

        def _found(self) -> tuple[str, bytes | None]:
            if self.path == "/v2/":
                return "application/json", b"{}"
            at = f"/v2/{registry.name}"
            if self.path in (f"{at}/manifests/1", f"{at}/manifests/{_digest(registry.manifest)}"):
                return MANIFEST, registry.manifest
            return "application/octet-stream", registry.blobs.get(self.path.removeprefix(f"{at}/blobs/"))

        def _send(self, body: bytes, *, slowly: bool) -> None:
            try:
                for start in range(0, len(body), PIECE_BYTES):
                    if slowly:
                        registry.wait_piece()
                    self.wfile.write(body[start : start + PIECE_BYTES])
                    self.wfile.flush()
            except OSError:
                registry.broken_off.set()
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _layer(noise_bytes: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in (("program", program()), ("noise", os.urandom(noise_bytes))):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _about(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "size": len(content), "digest": _digest(content)}


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
