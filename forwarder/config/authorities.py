"""The files of certificate authorities that the environment names, for every client that speaks TLS.

A file that is missing is an error of OpenSSL, of the SDK or of nobody at the first request, in each client another.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from forwarder.config.problems import Problem
from forwarder.config.variables import os_reason

_TAKES_FOLDERS: Final = {"SSL_CERT_FILE": False, "REQUESTS_CA_BUNDLE": True, "CURL_CA_BUNDLE": True}
"""What OpenSSL reads, and what requests, below Jira's SDK, reads where that is not set."""


def unusable(env: Mapping[str, str]) -> Iterator[Problem]:
    """A problem for each variable of ``env`` that names a file from which no authority can be read."""
    for name, takes_folders in _TAKES_FOLDERS.items():
        path = env.get(name)
        if path and not (takes_folders and Path(path).is_dir()) and (reason := _why_unusable(path)):
            yield Problem(file=name, line=None, path="", message=f"the file {path} cannot be read: {reason}")


def _why_unusable(path: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "it holds no certificate in PEM form"
    except OSError as error:
        return os_reason(error)
    return ""
