"""Why no connection came about, and what to do: one set of sentences for every client and its exceptions.

Clients wrap the system's errors in their own, each in another way. What happened stands somewhere in that chain.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

_TUNNEL: Final = re.compile(r"(?:Tunnel connection failed: |^)(\d{3})\b")
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_ABOUT_OURS: Final = re.compile(
    "ALERT_(?:BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)"
)
_PORTS: Final = {"http": 80, "https": 443}

# What OpenSSL says of a certificate (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _SELF_SIGNED_ROOT, _UNKNOWN_ISSUER, _NO_CHAIN = 9, 10, 18, 19, 20, 21
_OTHER_NAME: Final = frozenset({62, 64})


def why_unreachable(error: BaseException, address: str, setting: str, *, bundle: str = "SSL_CERT_FILE") -> str:
    """What kept a connection to ``address`` from coming about, as a clause that ends with what to do.

    Empty where it came about, or where the error says nothing of it. ``setting`` is the key of the config that has the
    address, ``bundle`` the variable or the key by which the client is told of further authorities. Of the address no
    more than host and port is shown, of a proxy no credentials.
    """
    target = _Target(address, setting, bundle)
    causes = list(_causes(error))
    for sentence in _SENTENCES:
        for cause in causes:
            if said := sentence(cause, target):
                return said
    return ""


def tls_alert(error: BaseException) -> str | None:
    """What the other side says against a certificate of ours, in OpenSSL's words; None where it says nothing of it.

    With TLS 1.3 it says so only after the handshake, to the first who reads.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and _ABOUT_OURS.search(cause.reason or ""):
            return re.sub(r"[^A-Za-z0-9]+", " ", cause.reason or "").lower()
    return None


class _Target:
    """Where the connection should lead. ``first`` is who is connected to: the proxy, where there is one."""

    def __init__(self, address: str, setting: str, bundle: str) -> None:
        parts = urlsplit(address)
        self.host = parts.hostname or "the host"
        self.place = f"{self.host}:{parts.port or _PORTS.get(parts.scheme, 443)}"
        self.setting, self.bundle = setting, bundle
        self.variable = f"{parts.scheme.upper()}_PROXY"
        self.proxy = proxy_of(parts.scheme, self.host)
        self.first = f"the proxy {self.proxy}" if self.proxy else self.place
        self.first_setting = self.variable if self.proxy else setting
        self.first_host = self.first if self.proxy else self.host


def proxy_of(scheme: str, host: str) -> str:
    """The host and port of the proxy that leads to ``host``, by the environment; empty where none does."""
    if scheme not in _PORTS:
        return ""  # proxies of the web lead nothing else
    proxies = getproxies()
    named = proxies.get(scheme) or proxies.get("all")
    if not named or proxy_bypass(host):
        return ""
    parts = urlsplit(named if "://" in named else f"//{named}")
    try:
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    except ValueError:
        return str(parts.hostname)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """All errors that led to this one, whichever way it holds them."""
    waiting, seen = [error], {id(error)}
    while waiting:
        one = waiting.pop(0)
        yield one
        for inner in (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args):
            if isinstance(inner, BaseException) and id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)


def _certificate(cause: BaseException, target: _Target) -> str:
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return ""
    host, code = target.host, cause.verify_code
    if code == _EXPIRED:
        return f"the certificate of {host} has expired: it must be renewed there, unless this machine's clock is wrong"
    if code == _NOT_YET_VALID:
        return f"the certificate of {host} is not valid yet: correct this machine's clock, or the certificate"
    if code in _OTHER_NAME:
        return f"the certificate there is for another name than {host}: correct {target.setting}"
    trust = f"put it into the file that {target.bundle} names, if it is your own"
    if code in (_SELF_SIGNED, _SELF_SIGNED_ROOT):
        return f"the certificate of {host} is self-signed, so nobody vouches for it: {trust}"
    if code in (_UNKNOWN_ISSUER, _NO_CHAIN):
        return f"the certificate of {host} is from an authority that this machine does not know: {trust}"
    return f"the certificate of {host} is not trusted (OpenSSL's code {code}): renew it there, or {trust}"


def _refused_by_proxy(cause: BaseException, target: _Target) -> str:
    if not (isinstance(cause, OSError) or type(cause).__name__ == "ProxyError"):
        return ""
    status = _TUNNEL.search(str(cause))
    if not status or not target.proxy:
        return ""
    if status[1] == "407":
        return f"{target.first} asks for credentials (407): put them into {target.variable}"
    return (
        f"{target.first} refuses to lead to {target.host} ({status[1]}): allow it there, or correct {target.variable} "
        "or NO_PROXY"
    )


def _name(cause: BaseException, target: _Target) -> str:
    if not isinstance(cause, socket.gaierror):
        return ""
    if cause.errno == socket.EAI_AGAIN:
        return f"the name of {target.first_host} could not be looked up: check {target.first_setting} and the DNS"
    return f"the name of {target.first_host} is not known: correct {target.first_setting}, or the DNS"


def _refused(cause: BaseException, target: _Target) -> str:
    if not isinstance(cause, ConnectionRefusedError):
        return ""
    return (
        f"{target.first} refuses the connection, for nothing listens there or a firewall forbids it: "
        f"check {target.first_setting}"
    )


def _no_route(cause: BaseException, target: _Target) -> str:
    if not (isinstance(cause, OSError) and cause.errno in _NO_ROUTE):
        return ""
    return f"there is no route to {target.first}: check the machine's network, and {target.first_setting}"


def _no_tls(cause: BaseException, target: _Target) -> str:
    # Cut off within the handshake is no matter of what the peer speaks.
    if not isinstance(cause, ssl.SSLError) or isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ""
    reason = re.sub(r"[^A-Za-z0-9]+", " ", cause.reason or "").strip().lower()
    return (
        f"{target.place} does not speak TLS as it should ({reason or 'no reason was given'}): "
        f"check the port in {target.setting}"
    )


def _no_answer(cause: BaseException, target: _Target) -> str:
    if type(cause).__name__ not in ("ConnectTimeout", "ConnectTimeoutError"):
        return ""
    return f"no connection to {target.first} in time: check {target.first_setting}, the network and firewalls"


_SENTENCES: Final[tuple[Callable[[BaseException, _Target], str], ...]] = (
    _certificate,
    _refused_by_proxy,
    _name,
    _refused,
    _no_route,
    _no_tls,
    _no_answer,
)
"""The more they say, the earlier they are asked."""
