"""Where a request comes from: for which host name it asks, whether a proxy passed it on, whether it is this machine's.

Nothing that a header says makes a request more trusted: it can only make it less so.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from forwarder.common.urls import is_loopback
from forwarder.config import Listen

_FORWARDING: Final = re.compile(
    r".*forward.*"  # Forwarded, X-Forwarded-For, X-Original-Forwarded-For
    r"|via|max-forwards|cdn-loop|surrogate-.*|front-end-https"
    r"|.*(real|client|connecting|remote|cluster|socket|origin|user|peer|source|external)-?(ip|ipv6|addr|address|host)"
    r"|.*remote-user|.*auth-request-.*|.*webauth-.*|tailscale-.*"
    r"|(cf|cloudfront|fastly|fly|ali|incap|akamai|true|wl|proxy|ssl|ngrok)-.*"
    r"|x-(amz|amzn|appengine|arr|azure|cache|cdn|client|cloud|cluster|envoy|fd|goog|google|gateway|host|http|ms|nginx"
    r"|original|proto|proxy|proxyuser|request-start|rewrite|scheme|script-name|squid|ssl|traefik|tunnel|url"
    r"|varnish)(-.*)?"
)
"""Names of headers that proxies, tunnels and content networks add, and nobody who asks by himself. ``_`` is a ``-``."""

_HTTPS: Final = re.compile(r'(?:^|[;,\s])proto="?https"?(?:[;,\s]|$)', re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Hosts:
    """The names under which the page may be asked for.

    An address that the listening one stands for is always fine: only a *name* can be made to point somewhere else.
    """

    def __init__(self, listen: Listen, further: Collection[str] = ()) -> None:
        self._listen = listen
        self._names = {_host(name) for name in (listen.host, *further)}

    def __contains__(self, header: str) -> bool:
        host = _host(header)
        if host in self._names:
            return host != ""
        address = _address(host)
        if address is None:
            return is_loopback(host)
        return address.is_loopback if self._listen.is_loopback else _is_wildcard(self._listen.host)


def is_this_machine(scope: Scope, headers: Headers) -> bool:
    """Whether somebody on this machine asks by himself: from it, for it, and with no sign of a proxy between."""
    return passed_on_by(scope, headers) is None and is_local_peer(scope) and is_local_host(headers.get("host", ""))


def passed_on_by(scope: Scope, headers: Headers) -> str | None:
    """What shows that a proxy passed a request on, for a sentence; None where nothing does."""
    # The first names are those that the proxy itself wrote; a browser may have sent others.
    for name in headers:
        if _FORWARDING.fullmatch(name.lower().replace("_", "-")):
            return f"the header {name.title()[:60]}"
    # A proxy whose config says no more than where to send things adds no header, but speaks as nobody else does.
    return "HTTP/1.0" if scope.get("http_version") in ("0.9", "1.0") else None


def is_local_peer(scope: Scope) -> bool:
    """Whether the connection comes from this machine. One through a socket of the file system has no address."""
    address = _address(peer(scope))
    return address is not None and address.is_loopback


def is_local_host(header: str) -> bool:
    """Whether a Host header means this machine itself."""
    host = _host(header)
    address = _address(host)
    return is_loopback(host) if address is None else address.is_loopback


def peer(scope: Scope) -> str:
    """The address that is connected."""
    return scope["client"][0] if scope.get("client") else "unknown"


def origin_of(scope: Scope, headers: Headers) -> str:
    """By what one visitor is told from another, where all must share: the address, and the one a proxy speaks for.

    The last that X-Forwarded-For names is what the proxy itself saw. Whoever makes one up is one more among many.
    """
    seen = ",".join(headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()[:64]
    return f"{_network(peer(scope))} for {_network(seen)}" if seen else _network(peer(scope))


def _network(host: str) -> str:
    """An address; of IPv6 the half that one visitor has whole."""
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def came_by_https(headers: Headers) -> bool:
    """Whether the visitor's browser speaks https with a proxy in front of us. Believed for a cookie's Secure alone."""
    said = (headers.get(name, "") for name in ("x-forwarded-proto", "x-forwarded-scheme", "x-scheme"))
    return (
        any(value.partition(",")[0].strip().lower() == "https" for value in said)
        or headers.get("x-forwarded-ssl", "").lower() == "on"
        or _HTTPS.search(headers.get("forwarded", "").partition(",")[0]) is not None
        # A browser names the address that it shows, whatever the proxy forgets to say.
        or headers.get("origin", "").startswith("https://")
    )


def is_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that another site made it send this; programs say nothing about it."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and not _is_origin_of(origin, headers.get("host", ""))


def _is_origin_of(origin: str, host: str) -> bool:
    scheme, separator, netloc = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    # Browsers leave the usual port out; some proxies write it into the Host that they pass on.
    if not separator or port is None:
        return False
    asked = _with_port(host.lower(), port)
    return asked is not None and _with_port(netloc, port) == asked


def _with_port(netloc: str, port: int) -> tuple[str, int] | None:
    """Host and port; None where that is none."""
    try:
        parts = urlsplit(f"//{netloc}")
        return (parts.hostname, parts.port or port) if parts.hostname else None
    except ValueError:
        return None


def _host(header: str) -> str:
    """The host of a Host header, without port, brackets and trailing dot; empty where it is none."""
    header = header.strip().lower()
    if header.startswith("["):
        inside, _, after = header[1:].partition("]")
        return inside if not after or re.fullmatch(r":[0-9]*", after) else ""
    name, colon, port = header.rpartition(":")
    is_port = bool(colon) and re.fullmatch("[0-9]*", port) is not None and ":" not in name
    return (name if is_port else header).rstrip(".")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address; one of IPv4 that is written as of IPv6 as what it is."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_wildcard(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_unspecified
