"""nginx and Caddy in front of a server of the tests, with the configurations of docs/deploying.md or others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Self

from tests.servers import needs
from tests.servers.ports import ReservedPort
from tests.servers.process import ServerProcess, new_directory

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deploying.md"
HOST = "agents.example.com"
UPSTREAM = "127.0.0.1:8000"
NGINX = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{server}
}}
"""
"""Around the configuration of a site: what lets it run as anybody."""
CADDY = """
{{
    admin off
    auto_https disable_redirects
    local_certs
    skip_install_trust
    storage file_system {directory}/storage
}}
{server}
"""


def documented(language: str) -> str:
    """The configuration that docs/deploying.md has for it."""
    [block] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)


def replaced(text: str, **values: tuple[str, str]) -> str:
    for old, new in values.values():
        assert old in text, f"{old!r} is not in the configuration"
        text = text.replace(old, new)
    return text


class Proxy:
    """nginx or Caddy on a port of its own, as an ordinary user."""

    def __init__(self, name: str) -> None:
        user = "nobody" if os.geteuid() == 0 else None
        self._name = name
        self._port = ReservedPort()
        self._directory = new_directory(name, user)
        self._user = user
        self._process: ServerProcess | None = None

    @property
    def address(self) -> str:
        return f"localhost:{self._port.number}"

    def start(self, upstream: str, config: str | None = None) -> Self:
        """Returns when it answers in front of `upstream`, a host and a port: at https://localhost:PORT with the
        documented configuration, else as `config` says, which is one of nginx with PORT and UPSTREAM in it."""
        path = self._directory / "config"
        path.write_text(self._nginx(upstream, config) if self._name == "nginx" else self._caddy(upstream))
        program = needs.proxy_path(self._name)
        assert program is not None
        path.chmod(0o644)
        argv = {
            "nginx": [program, "-e", "stderr", "-p", str(self._directory), "-c", str(path)],
            "caddy": ["env", f"HOME={self._directory}", program, "run", "--adapter=caddyfile", f"--config={path}"],
        }[self._name]
        self._process = ServerProcess(argv, self._directory / "log", user=self._user)
        self._process.wait_until(self._port.is_answering)
        return self

    def close(self) -> None:
        if self._process is not None:
            self._process.end(signal.SIGTERM)
        self._port.release()

    def _nginx(self, upstream: str, config: str | None) -> str:
        if config is None:
            certificate, key = self._certificate()
            server = replaced(
                documented("nginx"),
                port=("listen 443 ", f"listen {self._port.number} "),
                name=(f"server_name {HOST}", "server_name localhost"),
                certificate=(f"/etc/ssl/certs/{HOST}.pem", str(certificate)),
                key=(f"/etc/ssl/private/{HOST}.key", str(key)),
                upstream=(UPSTREAM, upstream),
            )
        else:
            server = replaced(config, port=("PORT", str(self._port.number)), upstream=("UPSTREAM", upstream))
        return NGINX.format(directory=self._directory, server=server)

    def _caddy(self, upstream: str) -> str:
        server = replaced(documented("caddyfile"), name=(HOST, self.address), upstream=(UPSTREAM, upstream))
        return CADDY.format(directory=self._directory, server=server)

    def _certificate(self) -> tuple[Path, Path]:
        certificate, key = self._directory / "certificate.pem", self._directory / "key.pem"
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        keys = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]
        command = ["openssl", "req", "-x509", *keys, "-out", str(certificate), "-days", "1", *subject]
        subprocess.run(command, check=True, capture_output=True)
        key.chmod(0o644)  # of a test
        return certificate, key
