"""A small MCP server on the Internet: streamable HTTP over TLS, with a certificate of an authority of its own."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from containers.gateway.server import Streams

PATIENCE_S = 20.0
PUBLIC_ADDRESS = "93.184.216.34"


class McpOnTheInternet:
    """As `host`: whatever the gateway connects to at any public address is this server. Its one tool adds numbers."""

    def __init__(self, directory: Path, host: str = "mcp.example") -> None:
        self.host = host
        self.authority = directory / "authority.pem"
        self._key = directory / "key.pem"
        self._write_certificate()
        self._server = uvicorn.Server(
            uvicorn.Config(
                _tools().streamable_http_app(
                    transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False)
                ),
                port=0,
                ssl_certfile=str(self.authority),
                ssl_keyfile=str(self._key),
                log_config=None,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._server.run, name="mcp", daemon=True)
        self.connections: list[str] = []

    @property
    def url(self) -> str:
        return f"https://{self.host}/mcp"

    async def resolve(self, host: str, port: int) -> list[str]:
        return [PUBLIC_ADDRESS]

    async def connect(self, address: str, port: int) -> Streams:
        self.connections.append(f"{address}:{port}")
        return await asyncio.open_connection("127.0.0.1", self._port)

    def __enter__(self) -> Self:
        from tests.agents.site import until

        self._thread.start()
        until(lambda: self._server.started, "the MCP server listens", PATIENCE_S)
        self._port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)

    def _write_certificate(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.host)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(self.host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = serialization.PrivateFormat.PKCS8
        self._key.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))


def _tools() -> Any:
    server = MCPServer("sums")

    @server.tool()
    def add(a: float, b: float) -> str:
        """Adds two numbers."""
        return f"The sum is {a + b:g}."

    return server
