"""Tells once more what nobody has acted on: an alert that nobody acknowledged, a date that has passed."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from forwarder import routing
from forwarder.alert import Severity
from forwarder.common.clock import Now, instant
from forwarder.common.units import roughly
from forwarder.config import Config
from forwarder.config.life import Reminder
from forwarder.connector import Connector, Status
from forwarder.logs import get_logger
from forwarder.store import Store
from forwarder.store.reminders import Moved, Unresolved

log = get_logger(__name__)

REMIND_EVERY: Final = 30.0
"""Seconds between two looks at what nobody has acted on."""
LOOK_AT_ALL_EVERY: Final = 6 * 3600.0
"""Seconds between two looks at all that is unresolved; in between only at what moved."""
OVERLAP: Final = 60.0
"""Seconds that each look reaches behind the last one: a time is told before what has it is committed."""
TOLD_LATE: Final = 6 * 3600.0
"""Seconds after which a destination may still tell that an alert was reopened there."""
AT_ONCE: Final = 500
"""Alerts that are put off together."""
MICRO: Final = 10**6
"""Times are exact to a microsecond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Looked:
    """When it was last looked at what moved, when at all, and by what that was judged."""

    at: float
    whole_at: float
    basis: tuple[object, ...]


class Reminders:
    """Judges the config's reminders. One is told once for each alert and step, whatever ends in between."""

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        now: Now,
        connectors: Callable[[], Mapping[str, Connector[Any]]],
        wake: Callable[[Collection[str]], None],
    ) -> None:
        self._store, self._now, self._connectors, self._wake = store, now, connectors, wake
        self._reminders = config.reminders
        self._looked: _Looked | None = None

    def use(self, config: Config) -> None:
        """Goes by another config's reminders from now on."""
        self._reminders, self._looked = config.reminders, None

    def judge(self) -> None:
        """Owes the reminders that are due."""
        now = self._now()
        keyed = {key_of(reminder): reminder for reminder in self._reminders}
        since = self._store.reminders.keep(keyed, now=now)
        if not keyed:
            self._looked = None
            return
        basis = (tuple(keyed), self._connectors(), self._store.vendors.known())
        looked = self._looked
        if looked is None or looked.basis != basis or not looked.at <= now < looked.whole_at + LOOK_AT_ALL_EVERY:
            looked = None
        for key, reminder in keyed.items():
            self._judge(key, reminder, since[key], now, looked)
        self._looked = _Looked(at=now, whole_at=looked.whole_at if looked else now, basis=basis)

    def _judge(self, key: str, reminder: Reminder, since: float, now: float, looked: _Looked | None) -> None:
        """Owes one reminder to all for whom it is due, or those that moved since what was ``looked`` at."""
        vendors = self._store.vendors.known() if reminder.categories else {}
        statuses = [Status.OPEN] if reminder.unacknowledged_for else [Status.OPEN, Status.ACKNOWLEDGED]
        moved = None if looked is None else self._moved(reminder, looked.at - OVERLAP, now)
        again: dict[str, float] = {}
        for unresolved in self._store.reminders.unresolved(
            key, severities=reminder.severity or tuple(Severity), statuses=statuses, moved=moved
        ):
            begins = self._begins(reminder, unresolved)
            # What was so before anybody asked for it is the past, and stays quiet.
            if (
                begins is None
                or not since <= begins <= now
                or not routing.matches(unresolved.read(), reminder, vendors, unresolved.accounts)[0]
            ):
                continue
            step = step_at(begins, reminder.every, now)
            next_at = None if reminder.every is None else begins + (step + 1) * reminder.every.total_seconds()
            if (unresolved.told is None or step > unresolved.told) and not self._remind(
                key, reminder, unresolved, step, now=now, begins=begins
            ):
                next_at = now + REMIND_EVERY
            if next_at is not None and next_at != unresolved.again_at:
                again[unresolved.id] = next_at
            if len(again) >= AT_ONCE:
                self._store.reminders.put_off(key, again)
                again.clear()
        self._store.reminders.put_off(key, again)
        self._store.reminders.forget(key, by=now)

    def _remind(
        self, key: str, reminder: Reminder, unresolved: Unresolved, step: int, *, now: float, begins: float
    ) -> bool:
        """Tells an alert; False where somebody acted meanwhile, and it has to be looked at again."""
        why = words(reminder, now - begins)
        owed = self._store.reminders.remind(key, unresolved, step, why=why, connectors=reminder.to, now=now)
        if owed:
            log.info("reminded", alert=unresolved.id, to=sorted(owed), why=why)
            self._wake(owed)
        return owed is not None

    def _moved(self, reminder: Reminder, after: float, now: float) -> Moved:
        """What may have become due ``after`` that time and by now."""
        if reminder.unacknowledged_for is not None:
            patience = reminder.unacknowledged_for.total_seconds()
            spans = [(after - patience, now - patience)]
            return Moved(owed=spans, changed=after, reopened=after - patience - TOLD_LATE, now=now)
        late = (reminder.overdue_for or timedelta()).total_seconds()
        connectors, severities = self._connectors(), reminder.severity or tuple(Severity)
        spans = []
        for severity in severities:
            before = overdue_before(severity, connectors, after - late)
            by = overdue_before(severity, connectors, now - late + 1.0)  # what is due at that very moment is due
            spans += [(before.get(name, -math.inf), limit) for name, limit in by.items()]
        return Moved(owed=spans, changed=after, reopened=after - TOLD_LATE, now=now)

    def _begins(self, reminder: Reminder, unresolved: Unresolved) -> float | None:
        """When the alert is first told by the reminder; None where it never is."""
        if reminder.unacknowledged_for is not None:
            out = max(min(unresolved.opens.values()), unresolved.reopened_at or 0.0)
            return out + reminder.unacknowledged_for.total_seconds()
        due = due_of(unresolved.severity, unresolved.opens, self._connectors())
        return None if due is None or reminder.overdue_for is None else due + reminder.overdue_for.total_seconds()


def due_of(severity: Severity, opens: Mapping[str, float], connectors: Mapping[str, Connector[Any]]) -> float | None:
    """The first date by which an alert should be resolved anywhere, given since when each connector was owed it."""
    dates = [
        due.timestamp()
        for name, since in opens.items()
        if name in connectors and (due := connectors[name].due(severity, instant(since)))
    ]
    return min(dates, default=None)


def overdue_before(severity: Severity, connectors: Mapping[str, Connector[Any]], now: float) -> dict[str, float]:
    """What each of ``connectors`` was owed before this time is overdue at ``now``; those that have a date for it.

    A store can count by a time, and not by a connector's dates. These come in the order in which alerts were owed.
    """
    found = {}
    for name, connector in connectors.items():
        if connector.due(severity, instant(now)) is not None:
            first = bisect_left(range(round(now * MICRO)), True, key=partial(_is_in_time, connector, severity, now))
            found[name] = first / MICRO
    return found


def _is_in_time(connector: Connector[Any], severity: Severity, now: float, since: int) -> bool:
    """Whether an alert that was owed ``since``, in microseconds, is not overdue."""
    due = connector.due(severity, instant(since / MICRO))
    return due is None or due.timestamp() >= now


def step_at(begins: float, every: timedelta | None, now: float) -> int:
    """How often a reminder was repeated by now, 0 at the first time; what was missed counts as one."""
    return 0 if every is None else int((now - begins) // every.total_seconds())


def words(reminder: Reminder, late: float) -> str:
    """What it is time for, ``late`` seconds after the reminder was first due."""
    if reminder.unacknowledged_for is not None:
        return f"Nobody has acknowledged it for {roughly(reminder.unacknowledged_for.total_seconds() + late)}"
    late += (reminder.overdue_for or timedelta()).total_seconds()
    return f"It is overdue for {roughly(late)}, and nobody has resolved it"


def key_of(reminder: Reminder) -> str:
    """What names a reminder by what it asks for: whoever else is told by it, or moves it, makes no other of it."""
    # Versions that knew no accounts named it without them.
    left_out = {"to"} if reminder.account else {"to", "account"}
    return hashlib.sha256(reminder.model_dump_json(exclude=left_out).encode()).hexdigest()[:32]
