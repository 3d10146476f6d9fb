"""A real nginx with a config of docs/proxy.md, for tests of what people meet behind a proxy."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.kit.core import PATIENCE, free_port, until

PAGE: Final = Path(__file__).parents[2] / "docs" / "proxy.md"
# Debian has it where only root looks.
NGINX: Final = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
OPENSSL: Final = shutil.which("openssl")
HOST: Final = "alerts.example.com"

_AROUND: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A running nginx. ``url`` is what a browser shows; ``client`` is a program that trusts its certificate."""

    url: str
    port: int
    client: httpx2.Client

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        return self.client.get(path, headers=headers, extensions={"sni_hostname": HOST})

    def post(self, path: str, fields: Mapping[str, object], *, origin: str | None = None) -> httpx2.Response:
        """Sends a form as a browser does, which says where the page came from."""
        headers = {"Origin": origin or self.url, "Sec-Fetch-Site": "cross-site" if origin else "same-origin"}
        return self.client.post(path, data=fields, headers=headers, extensions={"sni_hostname": HOST})


def shown(title: str) -> str:
    """The nginx config of that title in the documentation."""
    fence = re.compile(rf'^```nginx title="{re.escape(title)}"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    found = fence.search(PAGE.read_text("utf-8"))
    assert found, f"docs/proxy.md has no config with the title {title}"
    return found[1]


@contextmanager
def proxying(folder: Path, server: str, *, to: str) -> Iterator[Proxy]:
    """nginx with a ``server`` of the documentation, in which only ports and the certificate are replaced."""
    if NGINX is None or OPENSSL is None:
        pytest.skip("no nginx or no openssl: Debian has them in the packages nginx-light and openssl")
    certificate, key = _certificate(OPENSSL, folder)
    port = free_port()
    for old, new in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (f"/etc/ssl/certs/{HOST}.pem", str(certificate)),
        (f"/etc/ssl/private/{HOST}.key", str(key)),
        ("http://127.0.0.1:8585", to.rstrip("/")),
    ):
        assert old in server, f"the config does not say {old}"
        server = server.replace(old, new)
    config = folder / "nginx.conf"
    config.write_text(_AROUND.format(folder=folder, server=server), "utf-8")
    running = subprocess.Popen([NGINX, "-p", folder, "-c", config, "-e", folder / "error.log"])
    try:
        until(lambda: running.poll() is not None or _answers(port))
        assert running.poll() is None, (folder / "error.log").read_text("utf-8")
        with httpx2.Client(
            base_url=f"https://127.0.0.1:{port}",
            verify=ssl.create_default_context(cafile=str(certificate)),
            headers={"Accept": "text/html", "Host": f"{HOST}:{port}"},
            timeout=PATIENCE,
        ) as client:
            yield Proxy(url=f"https://{HOST}:{port}", port=port, client=client)
    finally:
        running.terminate()
        running.wait(PATIENCE)


def _certificate(openssl: str, folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        # To find a key of RSA takes twenty times as long.
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
