"""Which addresses credentials may be sent to, and which may be shown."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost"})
_ONE_WORD: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"(?:https?:)?//(?:[^/?#@]*@)?([\w.-]{1,100})(?:[:/?#]|$)", re.IGNORECASE | re.ASCII)


def is_loopback(host: str) -> bool:
    """Whether a host name or address (IPv6 without brackets) is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in LOOPBACK_NAMES


def web_address(url: str) -> str:
    """``url``, where it is https, or http to this machine; raises ValueError with a sentence where it is not."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no valid address") from None
    if parts.scheme not in {"http", "https"} or not host or not _ONE_WORD.fullmatch(url):
        raise ValueError("must be an address that begins with https://")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must begin with https://: plain http is allowed to this machine (127.0.0.1) only")
    return url


def redirect_host(location: str | None, *secrets: str) -> str:
    """The host that a redirect's Location names, for people: without its path, which may repeat what was sent."""
    host = _HOST.match(location or "")
    if not host or any(secret and secret.lower() in host[1].lower() for secret in secrets):
        return "another page"
    return host[1]
