"""The evidence for single alerts: what GET /alerts/:id says beyond the list, for those who must act on an alert.

Its shape is not documented. Whatever comes is shown as a few short lines of plain text, and nothing waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, Protocol

from forwarder.alert import Alert
from forwarder.common.accounts import DEFAULT
from forwarder.common.backoff import Backoff
from forwarder.common.clock import Now
from forwarder.common.text import clean, cut, one_line
from forwarder.feed.client import KeyRefused, NotFound, SentrytexError, TooManyRequests, Unavailable
from forwarder.logs import get_logger
from forwarder.replicas.roles import of_feed
from forwarder.store import Store
from forwarder.store.evidence import LATEST, EvidenceStore, Unread

log = get_logger(__name__)

MAX_LINES: Final = 8
MAX_LINE: Final = 160
"""Lines that are shown, and characters of each."""
MAX_DEPTH: Final = 6
"""Levels of lists and objects whose insides are shown."""

READ_EVERY: Final = 30.0
"""Seconds between two looks for alerts that were not read."""
AT_ONCE: Final = 10
"""Alerts that one turn reads, so that a reload or an end does not wait for all."""
AGAIN: Final = Backoff(first=60.0, most=LATEST)
"""Until an alert that could not be read is read again."""
PAUSE: Final = Backoff(first=2.0, most=240.0)
"""Until another one is read, after failures in a row."""
KEY_AGAIN: Final = 300.0
"""Seconds until the next try with a key that was refused."""

_LISTED: Final = frozenset(field.name for field in fields(Alert))
"""Fields that the reference names for an alert of the list, whether or not that had them."""
_HEADING: Final = "evidence"
"""What the name of a field holds that is evidence wherever it stands."""
_TITLES: Final = frozenset({_HEADING, "evidence_state"})
"""Fields whose name says no more than the heading under which the lines stand."""


class AlertSource(Protocol):
    """Where single alerts come from; raises SentrytexError."""

    def alert(self, alert_id: str) -> Mapping[str, Any]: ...


class EvidenceReader:
    """Reads the evidence for the alerts that the store says are still to be read. One turn at a time.

    ``source`` is where those of an account come from just now, ``connectors`` are those whose alerts are read,
    ``accounts`` all that the config has, and ``reads`` says which of them this process reads: all of that changes.
    """

    def __init__(
        self,
        store: Store,
        source: Callable[[str], AlertSource],
        connectors: Callable[[], Collection[str]],
        *,
        now: Now,
        random: Callable[[], float],
        accounts: Callable[[], Collection[str]] = lambda: (DEFAULT,),
        reads: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._store, self._source, self._connectors = store, source, connectors
        self._accounts, self._reads = accounts, reads
        self._now, self._random = now, random
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def read(self) -> float:
        """Reads what is due, as far as the API lets us, and returns the seconds until the next turn."""
        now, here = self._now(), [account for account in self._accounts() if self._reads(account)]
        if not here:
            return math.inf
        # A clock that was set back must not put it off for long.
        pauses = {
            account: until - now
            for account in here
            if now < (until := self._not_before.get(account, -math.inf)) <= now + LATEST
        }
        accounts = [account for account in here if account not in pauses]
        if not accounts:
            return min(pauses.values(), default=READ_EVERY)
        connectors = self._connectors()
        if not connectors:
            self._kept_by(accounts[0]).unwanted()
        unread = self._store.evidence.unread(connectors, now=now, limit=AT_ONCE, accounts=accounts)
        waits = [self._read_by(one, pauses) for one in unread]
        if len(pauses) == len(here):
            return min(pauses.values())
        return 0.0 if len(unread) == AT_ONCE and not all(waits) else READ_EVERY

    def _read_by(self, one: Unread, pauses: dict[str, float]) -> bool:
        """Reads an alert by one of the accounts that see it; whether that has to wait. Adds to the ``pauses``."""
        for account in one.accounts:
            if account in pauses:
                continue
            try:
                self._read(one, account)
            except NotFound as error:
                # Withdrawn, or out of the stack: that is an answer, too, unless another account still sees it.
                self._failures[account] = 0
                kept, every = self._kept_by(account), self._accounts()
                if kept.absent(one, str(error), now=self._now(), account=account, accounts=every):
                    log.debug("evidence_absent", alert=one.alert_id)
                    return False
            except SentrytexError as error:
                pauses[account] = self._put_off(one, error, account)
                self._not_before[account] = self._now() + pauses[account]
                return True
            else:
                self._failures[account] = 0
                return False
        return True

    def _kept_by(self, account: str) -> EvidenceStore:
        """Where what an account reads is written down, for as long as this process reads that."""
        return self._store.acting_as(of_feed(account)).evidence

    def _read(self, one: Unread, account: str) -> None:
        source = self._source(account)
        try:
            answer = source.alert(one.alert_id)
        except RuntimeError as error:
            if source is self._source(account):
                raise
            raise Unavailable("A reload closed the client in the midst of it.") from error
        lines = evidence_in(answer, one.listed)
        self._kept_by(account).keep(one, lines, account=account)
        log.debug("evidence_read", alert=one.alert_id, lines=len(lines))

    def _put_off(self, one: Unread, error: SentrytexError, account: str) -> float:
        """The seconds until the next one is read; what is no fault of the alert's leaves it as it is."""
        reason, now, kept = str(error), self._now(), self._kept_by(account)
        if isinstance(error, TooManyRequests):
            kept.refused(reason, now=now, account=account)
            return max(error.after, 1.0)
        failures = self._failures[account] = self._failures.get(account, 0) + 1
        if failures == 1:
            log.warning("evidence_unread", alert=one.alert_id, reason=reason)
        if isinstance(error, KeyRefused):
            kept.refused(reason, now=now, account=account)
            return KEY_AGAIN
        wait = AGAIN.after(one.failures + 1, self._random)
        kept.failed(one, reason, now=now, due_at=now + wait, account=account)
        return PAUSE.after(failures, self._random)


def evidence_in(answer: Mapping[str, Any], listed: Collection[str]) -> tuple[str, ...]:
    """What a single alert's answer says beyond the fields ``listed``, as at most MAX_LINES lines of plain text."""
    told = {
        name: value
        for name, value in answer.items()
        if _HEADING in name.lower() or not (name in listed or name in _LISTED)
    }
    lines: list[str] = []
    for path, text in _values({name: value for name, value in told.items() if value not in (None, "")}, (), 0):
        if len(lines) == MAX_LINES:
            return (*lines[:-1], "… and more")
        lines.append(_line(path, text))
    return tuple(lines)


def _line(path: Sequence[str], text: str) -> str:
    name = ".".join(path[1:] if path[0] in _TITLES and len(path) > 1 else path)
    return cut(one_line(clean(f"{cut(name, MAX_LINE // 2)}: {text}")), MAX_LINE)


def _values(value: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each value that is no list or object with the way to it; a list of such values is one."""
    parts: Iterable[tuple[str, Any]]
    if isinstance(value, Mapping) and value:
        parts = ((str(name)[:MAX_LINE], inner) for name, inner in value.items())
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        parts = ((str(number), inner) for number, inner in enumerate(value, start=1))
    else:
        if path:
            yield path, _text(value)
        return
    if depth == MAX_DEPTH:
        yield path, "…"
        return
    for name, inner in parts:
        yield from _values(inner, (*path, name), depth + 1)


def _text(value: Any) -> str:
    if isinstance(value, list):
        # No more than can be shown: a list can have a million items.
        return ", ".join(_text(item) for item in value[:MAX_LINE]) or "none"
    if isinstance(value, Mapping) or value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not math.isfinite(value):
        return "none"
    return str(value)[: MAX_LINE * 2]
