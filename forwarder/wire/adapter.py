"""Connections of requests that end by the deadline of the whole; its own time-outs are for each wait."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from requests import Session
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context, resolve_cert_reqs

from forwarder.wire.deadline import connect, encrypted


def _without_address(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


# What urllib3 notes of each request holds the path, which may be a secret.
logging.getLogger("urllib3.connectionpool").addFilter(_without_address)


def _connected(connection: HTTPConnection) -> socket.socket:
    """As urllib3 connects, within the deadline, whatever the number of the name's addresses."""
    seconds = connection.timeout if isinstance(connection.timeout, int | float) else None
    try:
        return connect(connection._dns_host, connection.port, seconds)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, "timed out") from error
    except OSError as error:
        raise NewConnectionError(connection, str(error)) from error


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)

    def connect(self) -> None:
        self.ssl_context = encrypted(create_urllib3_context(cert_reqs=resolve_cert_reqs(self.cert_reqs)))
        super().connect()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class DeadlineAdapter(HTTPAdapter):
    """An adapter whose requests end by the deadline of their thread, through a proxy too."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy.lower().startswith("https:"):
            options.setdefault("proxy_ssl_context", encrypted(create_urllib3_context()))
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


def read_environment(session: Session, url: str) -> None:
    """Takes proxies and certificates from the environment now: doing it for each request costs a seventh of its time.

    A .netrc, which the session would obey too, must not replace an account.
    """
    settings = session.merge_environment_settings(url, {}, None, None, None)
    # requests has variables of its own for authorities, and does not know the one of all other clients.
    session.verify = os.environ.get("SSL_CERT_FILE") or settings["verify"]
    session.proxies.update(get_environ_proxies(url, no_proxy=None))
    session.trust_env = False
