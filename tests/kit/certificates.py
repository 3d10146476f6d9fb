"""Certificates of an authority of one's own, for servers on this machine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """An authority, a server's and a client's certificate of it, and one that vouches for itself: PEM files."""

    ca: Path
    server: Path
    client: Path
    client_key: Path
    stranger: Path

    @classmethod
    def made(cls, folder: Path) -> Certificates:
        ca = _issued(folder, "ca")
        server = _issued(folder, "server", ca)
        client = _issued(folder, "client", ca)
        both = folder / "server-both.pem"
        both.write_text(server.read_text() + server.with_suffix(".key").read_text())
        stranger = _issued(folder, "stranger")
        (folder / "stranger-both.pem").write_text(stranger.read_text() + stranger.with_suffix(".key").read_text())
        return cls(
            ca=ca,
            server=both,
            client=client,
            client_key=client.with_suffix(".key"),
            stranger=folder / "stranger-both.pem",
        )


def _issued(folder: Path, name: str, by: Path | None = None) -> Path:
    made = folder / f"{name}.pem"
    signed = ("-CA", str(by), "-CAkey", str(by.with_suffix(".key"))) if by else ()
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "1", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(made.with_suffix(".key")), "-out", str(made), *signed),
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return made
