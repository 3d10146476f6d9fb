"""What is wrong with a PostgreSQL database, in sentences; none of them has a password in it."""

from __future__ import annotations

import re
from typing import Final

import psycopg
import psycopg_pool
from psycopg import errors

from forwarder.common.databases import PostgresAddress
from forwarder.common.text import cut, one_line
from forwarder.store.errors import StoreError

MOST: Final = 300
"""Characters of what a server said that are told."""

CONFLICTS: Final = (errors.SerializationFailure, errors.DeadlockDetected)
"""What is over when it is tried again."""

_OWN: Final = (psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError)
"""What is said of a statement or of a value, and not of the database."""

_BY_STATE: Final[dict[str, str]] = {
    "53100": "the disk of the server is full: make room",
    "53200": "the server has no memory left",
    "53300": "the server takes no more connections: raise its max_connections, or end others",
    "55P03": "another process holds it for too long",
    "57014": "a statement took too long",
    "57P01": "the server is being shut down or restarted",
    "57P02": "the server is being restarted after a crash",
    "57P03": "the server is starting up or shutting down",
    "25006": "the server takes no writes: it is a standby, or was set to read only. Name the primary, or add"
    " ?target_session_attrs=read-write to the address",
    "42501": "the role lacks a right to it: it must own the schema `forwarder` and what is in it",
    "3D000": "the server has no database of that name: create it with `createdb`, or correct the name",
}
"""By the code of the error (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_BY_WORDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), told)
    for pattern, told in (
        ("password authentication failed", "the server refuses the user or the password: correct `database`"),
        ("no password supplied", "the server asks for a password, and `database` has none"),
        (r"role \"[^\"]*\" does not exist", "the server has no such user: create it with `createuser`"),
        (r"role \"[^\"]*\" is not permitted to log in", "the user may not log in: ALTER ROLE … LOGIN allows it"),
        (r"database \"[^\"]*\" does not exist", _BY_STATE["3D000"]),
        ("server does not support SSL", "the address demands TLS, and the server has none: correct its sslmode"),
        (
            r"no pg_hba\.conf entry.*no encryption",
            "the server lets nobody in from here without TLS: add ?sslmode=require to the address, or allow it in"
            " the server's pg_hba.conf",
        ),
        (r"no pg_hba\.conf entry", "the server lets this user in from nowhere here: allow it in its pg_hba.conf"),
        (
            "certificate verify failed|root certificate file",
            "the server's TLS certificate cannot be verified: name its authority with sslrootcert, or correct the host",
        ),
        ("starting up|shutting down|not yet accepting connections|in recovery mode", _BY_STATE["57P03"]),
        ("too many clients|too many connections|remaining connection slots", _BY_STATE["53300"]),
        (
            "could not translate host name|name or service not known|temporary failure in name resolution",
            "the server's name is not known: correct the host, or look at the DNS",
        ),
        (
            "connection refused|no such file or directory|timeout expired|connection timeout|no route to host"
            "|network is unreachable|connection timed out|could not connect",
            "the server is not reachable: look whether it runs, and at the host and port",
        ),
        (
            "server closed the connection|connection reset|consuming input failed|connection (is|was) (lost|closed)"
            "|terminating connection|broken pipe|eof detected|could not (receive|send) data",
            "the connection was lost; it is made anew by itself",
        ),
    )
)


def in_words(address: PostgresAddress, fault: BaseException) -> BaseException:
    """The StoreError for a fault of the database's; any other one, and a row's own, as it is."""
    if not isinstance(fault, psycopg.Error | psycopg_pool.PoolTimeout) or isinstance(fault, psycopg.IntegrityError):
        return fault
    return StoreError(f"The database {address} failed: {_reason(address, fault)}.")


def is_everybodys(fault: BaseException) -> bool:
    """Whether a fault would meet any other write, too."""
    return isinstance(fault, psycopg.Error | StoreError) and not isinstance(fault, _OWN)


def _reason(address: PostgresAddress, fault: psycopg.Error | psycopg_pool.PoolTimeout) -> str:
    state = getattr(fault, "sqlstate", None)
    if state in _BY_STATE:
        return _BY_STATE[state]
    said = str(fault)
    for pattern, told in _BY_WORDS:
        if pattern.search(said):
            return told
    for secret in address.secrets:
        said = said.replace(secret, "***")
    return cut(one_line(said), MOST).rstrip(".")
