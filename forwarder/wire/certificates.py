"""What the config says of certificates: whom the forwarder trusts there, and how it says who it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ssl import SSLContext

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_ENCRYPTED: Final = b"ENCRYPTED"

Print = tuple[tuple[int, int, int], ...]
"""By what it is seen that files were replaced: when each was changed, its size, and which it is."""


def checked_authorities(path: str) -> str:
    """``path``; raises ValueError with a sentence where no certificates can be read from there."""
    if _CERTIFICATE not in _read(path):
        raise ValueError("the file holds no certificate: it must be in PEM form, with BEGIN CERTIFICATE in it")
    _parse(path)
    return path


def checked_certificate(path: str) -> str:
    """``path``; raises ValueError where it holds no certificate."""
    return checked_authorities(path)


def checked_key(path: str | None, certificate: str) -> None:
    """Raises ValueError where no private key of ``certificate`` can be read from ``path``, else from the same file."""
    from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLError

    text = _read(path or certificate)
    if _KEY not in text and not path:
        raise ValueError("cert_file holds no private key beside the certificate: name the file that does in key_file")
    if _KEY not in text:
        raise ValueError("the file holds no private key: it must be in PEM form, with BEGIN PRIVATE KEY in it")
    if _ENCRYPTED in text:
        raise ValueError(
            "the private key asks for a passphrase: the forwarder needs one without, as openssl pkey makes it"
        )
    try:
        SSLContext(PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, path, password=_nobody)
    except SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError("the private key belongs to another certificate than that in cert_file") from None
        raise ValueError("the private key cannot be read: it is damaged, or of a kind that is not known") from None


def context(authorities: str | None, certificate: str | None, key: str | None) -> SSLContext:
    """How connections are encrypted; raises OSError, which ssl.SSLError is one of, where a file cannot be used."""
    from ssl import create_default_context

    # With authorities of its own, the system's are not trusted there.
    made = create_default_context(cafile=authorities)
    if certificate:
        made.load_cert_chain(certificate, key, password=_nobody)
    return made


def printed(*paths: str | None) -> Print:
    """How the files are now; raises OSError."""
    states = [os.stat(path) for path in paths if path]  # noqa: PTH116 - three of them, before each send
    return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)


def _read(path: str) -> bytes:
    if not Path(path).is_absolute():
        raise ValueError("must be the whole path of a file, from / on")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        # These words are those of a secret's file, for a command that needs no file gets along without it.
        raise ValueError(f"the file that it names cannot be read: {(error.strerror or 'no reason').lower()}") from None


def _parse(path: str) -> None:
    from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLError

    try:
        SSLContext(PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except SSLError:
        raise ValueError("the file's certificate cannot be read: it is damaged, or not in PEM form") from None


def _nobody() -> str:
    """A passphrase, in place of OpenSSL's asking at the terminal."""
    return ""
