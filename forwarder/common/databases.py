"""Where the state is kept: a SQLite file, or the address of a PostgreSQL database, which shows its password nowhere."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import unquote

SCHEME: Final = re.compile(r"postgres(ql)?://", re.IGNORECASE)
_ADDRESS: Final = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?(?P<hosts>[^@/?#]*)"
    r"(?:/(?P<name>[^/?#@]*))?(?:\?(?P<options>[^#]*))?",
    re.IGNORECASE,
)
_OF_A_KIND: Final = re.compile(
    r"(?:(?P<kind>[a-z][a-z0-9+.-]+):|postgres(?:ql)?//)(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
_HOST: Final = r"(?:\[[0-9a-fA-F:.]+\]|[^\[\]:,]*)(?::\d{0,5})?"
_HOSTS: Final = re.compile(rf"{_HOST}(?:,{_HOST})*")
_SECRET: Final = frozenset({"password", "sslpassword"})
MASK: Final = "***"
EXTRA: Final = "pip install 'sentrytex-forwarder[postgres]'"
"""What brings the driver."""


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a PostgreSQL database is; as text it is shown without its password and its options.

    ``url`` is all of it, as libpq reads it: https://www.postgresql.org/docs/current/libpq-connect.html
    """

    url: str = field(repr=False)

    @property
    def secrets(self) -> frozenset[str]:
        """The passwords in it, as they are written and as they are meant."""
        parts = _parts(self.url)
        options = (one.partition("=") for one in (parts["options"] or "").split("&"))
        told = [parts["password"] or "", *(value for key, _, value in options if unquote(key) in _SECRET)]
        return frozenset(secret for one in told for secret in (one, unquote(one)) if secret)

    @property
    def user(self) -> str:
        """Whom it names; empty where libpq takes that from elsewhere."""
        return unquote(_parts(self.url)["user"] or "")

    @property
    def name(self) -> str:
        """The database's name; empty where libpq takes that from elsewhere."""
        return unquote(_parts(self.url)["name"] or "")

    def __str__(self) -> str:
        parts = _parts(self.url)
        secret = f":{MASK}" if self.secrets else ""
        user = f"{parts['user'] or ''}{secret}@" if parts["user"] or secret else ""
        return f"postgresql://{user}{parts['hosts']}/{parts['name'] or ''}"

    def __repr__(self) -> str:
        return f"PostgresAddress({self})"


Database = Path | PostgresAddress
"""A SQLite file, or a database on a PostgreSQL server."""


def parse_database(told: object) -> Database:
    """The database that a text names; raises ValueError, without the text, where it is no address that can be read."""
    if isinstance(told, Path | PostgresAddress):
        return told
    if not isinstance(told, str):
        raise ValueError("must be the path of a SQLite file or a postgresql:// address")  # noqa: TRY004 - for pydantic
    if not (scheme := SCHEME.match(told)):
        return _file(told)
    match = _ADDRESS.fullmatch(told)
    if match is None or not _HOSTS.fullmatch(match["hosts"]):
        raise ValueError(
            "is no address of the form postgresql://user:password@host:5432/name; characters such as @ / ? # : and % "
            "in a password are written as %40 %2F %3F %23 %3A and %25"
        )
    # libpq knows its scheme in small letters alone.
    return PostgresAddress(scheme[0].lower() + told[scheme.end() :])


def _file(told: str) -> Path:
    # Another kind of address is no path: the password in it would be a folder's name, which messages show.
    of_a_kind = _OF_A_KIND.fullmatch(told)
    if of_a_kind is None:
        return Path(told)
    rest = of_a_kind["rest"]
    if (of_a_kind["kind"] or "").lower() != "sqlite" or not rest or rest.startswith("//"):
        raise ValueError("must be a SQLite file (forwarder.db or sqlite:forwarder.db) or postgresql://user@host/name")
    return Path(rest)


def in_folder(place: Database, folder: Path) -> Database:
    """A path as it counts from ``folder``; an address as it is."""
    return place if isinstance(place, PostgresAddress) else folder / place.expanduser()


def missing_driver() -> str | None:
    """Why no PostgreSQL database can be used here, for who named one; None where one can."""
    if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
        return f"is a PostgreSQL database, which needs the extra `postgres`: {EXTRA}"
    return None


def _parts(url: str) -> dict[str, str | None]:
    match = _ADDRESS.fullmatch(url)
    if match is None:
        raise ValueError("is no PostgreSQL address")
    return match.groupdict()
