"""Who is signed in at the status page, so that a restart signs nobody out. What is kept here opens nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from forwarder.store.connection import Connection
from forwarder.store.engine import Engine


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRow:
    """One signed-in browser: a digest of its cookie, when it signed in and when it was last seen."""

    digest: str
    began_at: float
    seen_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenMark:
    """By what a token is known again without being kept: a slow digest of it, and the salt of that."""

    salt: bytes
    digest: bytes


class SessionStore:
    """The side of the store that the status page's sign-in writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[SessionRow]:
        """Every session that was not ended, those past their time included."""
        with self._engine.read() as connection:
            rows = connection.execute("SELECT digest, began_at, seen_at FROM sessions").fetchall()
        return [SessionRow(**dict(row)) for row in rows]

    def begin(self, digest: str, *, now: float) -> None:
        """Keeps a new one."""
        self._engine.write(
            lambda connection: connection.execute("INSERT INTO sessions VALUES (?, ?, ?)", (digest, now, now))
        )

    def seen(self, digest: str, *, now: float) -> None:
        """Notes that it was used."""
        self._engine.write(
            lambda connection: connection.execute("UPDATE sessions SET seen_at = ? WHERE digest = ?", (now, digest))
        )

    def end(self, digests: Collection[str]) -> None:
        """Forgets sessions."""

        def work(connection: Connection) -> None:
            connection.executemany("DELETE FROM sessions WHERE digest = ?", [(digest,) for digest in digests])

        self._engine.write(work)

    def mark(self) -> TokenMark | None:
        """The mark of the token under which the sessions began; None where there was none."""
        with self._engine.read() as connection:
            row = connection.execute("SELECT salt, digest FROM web_token").fetchone()
        return TokenMark(**dict(row)) if row else None

    def begin_anew(self, mark: TokenMark | None) -> None:
        """Ends every session, and keeps the mark of the token that counts from now on."""

        def work(connection: Connection) -> None:
            connection.execute("DELETE FROM sessions")
            connection.execute("DELETE FROM web_token")
            if mark is not None:
                connection.execute("INSERT INTO web_token VALUES (1, ?, ?)", (mark.salt, mark.digest))

        self._engine.write(work)
