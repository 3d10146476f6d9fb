"""What lets a visitor in: the token, and the session that signing in with it begins; and what shows a form was ours."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from forwarder.common.clock import Now
from forwarder.logs import get_logger
from forwarder.store import StoreError
from forwarder.store.sessions import SessionRow, SessionStore, TokenMark

log = get_logger(__name__)

IDLE: Final = 12 * 3600.0
"""Seconds after which a session that nobody uses ends. A page that is open asks every few seconds, and counts."""
LONGEST: Final = 30 * 86400.0
"""Seconds after which every session ends."""
MOST: Final = 200
"""Sessions that are kept: the one that was not used for longest makes room for a new one."""
SAVE_EVERY: Final = 300.0
"""Seconds between two notes in the database that a session is in use: reading must not keep the disk busy."""

_BEARER: Final = "bearer "


class Keys:
    """The config's token, and the key of forms for those who need no session. ``token`` of None: there is none."""

    def __init__(self, token: str | None) -> None:
        self.open = token is None
        self._token = (token or "").encode()
        self._form = secrets.token_hex(32)

    def admits(self, token: str) -> bool:
        """Whether ``token`` is the one that signs in."""
        return not self.open and _same(token, self._token)

    def form_of(self, session: str) -> str:
        """What every form of ours carries; another site can make a browser post, but not know this.

        A session has its own, which opens nothing and stays good for as long as the session does.
        """
        return hmac.digest(session.encode(), b"form", "sha256").hex() if session else self._form

    def admits_form(self, value: str, session: str) -> bool:
        """Whether a form was made by one of our pages, for this visitor."""
        return _same(value, self.form_of(session).encode())


def bearer(authorization: str) -> str:
    """The token that a program shows as ``Authorization: Bearer …``; empty where it shows none."""
    return authorization[len(_BEARER) :].strip() if authorization[: len(_BEARER)].lower() == _BEARER else ""


class Sessions:
    """Who is signed in. A session is a random text, kept nowhere but in its cookie.

    What the store has is a digest that only the token's owner could make, so neither a copy of the database nor a
    session of an earlier token lets anybody in. Safe to use from several threads; ``begin``, ``save`` and ``end`` wait
    for the database, ``admits`` does not.
    """

    def __init__(
        self,
        store: SessionStore,
        token: str | None,
        *,
        now: Now,
        draw: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        self._store, self._now, self._draw = store, now, draw
        self._key = hashlib.sha256(b"session " + (token or "").encode()).digest()
        self._lock = threading.Lock()
        self._rows: dict[str, SessionRow] = {}
        self._saved: dict[str, float] = {}
        try:
            self._take_over(token)
        except StoreError as error:
            # Those who were signed in sign in once more; the page is there to show what is wrong with the database.
            log.warning("web_sessions_unread", reason=str(error))

    def begin(self) -> str:
        """Begins a session, and returns what its cookie holds."""
        cookie, now = self._draw(), self._now()
        digest = self._digest(cookie)
        with self._lock:
            gone = self._expired(now)
            kept = sorted(self._rows.values(), key=_seen_at)
            gone += [row.digest for row in kept[: max(len(kept) - MOST + 1, 0)]]
            self._forget(gone)
            self._rows[digest] = SessionRow(digest=digest, began_at=now, seen_at=now)
            self._saved[digest] = now
        try:
            self._store.end(gone)
            self._store.begin(digest, now=now)
        except StoreError as error:
            # It holds until the next restart. A full disk must not keep out whoever comes to look at it.
            log.warning("web_session_unsaved", reason=str(error))
        return cookie

    def admits(self, cookie: str) -> bool:
        """Whether a cookie is of somebody who is signed in; from now on it counts as just used."""
        digest, now = self._digest(cookie), self._now()
        with self._lock:
            row = self._rows.get(digest)
            if row is None or _is_over(row, now):
                return False
            self._rows[digest] = replace(row, seen_at=max(now, row.seen_at))
        return True

    def is_unsaved(self, cookie: str) -> bool:
        """Whether it is time to ``save`` that the session is in use."""
        return self._now() - self._saved.get(self._digest(cookie), self._now()) >= SAVE_EVERY

    def save(self, cookie: str) -> None:
        """Writes down that the session is in use, so that a restart knows it."""
        digest, now = self._digest(cookie), self._now()
        with self._lock:
            if digest not in self._rows:
                return
            self._saved[digest] = now
        try:
            self._store.seen(digest, now=now)
        except StoreError as error:
            log.debug("web_session_unsaved", reason=str(error))

    def end(self, cookies: Iterable[str]) -> None:
        """Ends sessions: their cookies, and every copy of them, open nothing any more.

        Raises StoreError, with the sessions still there, where the database cannot forget them: a restart would bring
        them back.
        """
        digests = [self._digest(cookie) for cookie in cookies]
        self._store.end(digests)
        with self._lock:
            self._forget(digests)

    def _take_over(self, token: str | None) -> None:
        """Goes on with the sessions of the process before, where the token is the one that it had."""
        mark = self._store.mark()
        if not _is_of(mark, token):
            self._store.begin_anew(None if token is None else _mark(token, secrets.token_bytes(16)))
            return
        self._rows = {row.digest: row for row in self._store.all()}
        self._saved = {row.digest: row.seen_at for row in self._rows.values()}
        gone = self._expired(self._now())
        self._forget(gone)
        if gone:
            self._store.end(gone)

    def _digest(self, cookie: str) -> str:
        return hmac.digest(self._key, cookie.encode(errors="replace"), "sha256").hex()

    def _expired(self, now: float) -> list[str]:
        return [row.digest for row in self._rows.values() if _is_over(row, now)]

    def _forget(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self._rows.pop(digest, None)
            self._saved.pop(digest, None)


def _is_over(row: SessionRow, now: float) -> bool:
    return now - row.seen_at >= IDLE or now - row.began_at >= LONGEST


def _seen_at(row: SessionRow) -> float:
    return row.seen_at


def _mark(token: str, salt: bytes) -> TokenMark:
    """Slow on purpose: whoever has a copy of the database must not find a token by trying words."""
    digest = hashlib.scrypt(token.encode(), salt=salt, n=2**13, r=8, p=1)
    return TokenMark(salt=salt, digest=digest)


def _is_of(mark: TokenMark | None, token: str | None) -> bool:
    if mark is None or token is None:
        return mark is None and token is None
    return hmac.compare_digest(_mark(token, mark.salt).digest, mark.digest)


def _same(given: str, wanted: bytes) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted)
