"""The forwarder's own troubles, told through connectors that work.

A trouble is told as an alert of our own, with everything that an alert has: it is owed, tried again, and sent once. It
is told when it begins, again after a day, and when it ends; what happens in between tells nothing more.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from forwarder.alert import Alert, Change, Severity
from forwarder.clock import Now, iso
from forwarder.config import Config
from forwarder.connector import Origin, format_duration
from forwarder.logs import get_logger
from forwarder.poller import Turn
from forwarder.routing import Decision
from forwarder.sentrytex import KeyRefused, SentrytexError
from forwarder.store import Store, StoreError
from forwarder.store.records import Alarm, Fresh, Queue, Routed
from forwarder.watching import Attempted, Watcher

log = get_logger(__name__)

DAY: Final = 86400.0
UNREAD_AFTER: Final = 600.0
"""Seconds without a complete poll after which people are told, or three polls where these are rarer."""
FREE_BYTES: Final = 200 * 1024 * 1024
"""Less free room than this on the database's disk is an alarm: SQLite needs some to commit at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """A kind of trouble: how bad it is, its title, and what a person does about it.

    ``passes`` is true for what happens and is over: it counts as ended after a day in which it did not happen again.
    """

    name: str
    severity: Severity
    title: str
    remedy: str
    passes: bool = False


class Kind(Enum):
    """Every trouble that is told. ``{subject}`` in a title is the connector."""

    KEY_REFUSED = Trouble(
        name="key_refused",
        severity=Severity.CRITICAL,
        title="The Sentrytex API refuses the key: no new alerts are read",
        remedy="Put a valid key into sentrytex.api_key and restart. What is already owed is still delivered.",
    )
    FEED_UNREAD = Trouble(
        name="feed_unread",
        severity=Severity.CRITICAL,
        title="The Sentrytex feed cannot be read",
        remedy="Look at the reason; polls go on, and what is missed meanwhile is read when they succeed again.",
    )
    GAP = Trouble(
        name="gap",
        severity=Severity.HIGH,
        title="The Sentrytex API may not have shown all alerts",
        remedy="Look at the stretch on the vendor's site: more alerts came at once than the API can show.",
        passes=True,
    )
    PAUSED = Trouble(
        name="paused",
        severity=Severity.HIGH,
        title="{subject} takes no deliveries",
        remedy="Put right what the reason says; what is owed is kept, and goes out when a probe succeeds.",
    )
    DEAD_LETTER = Trouble(
        name="dead_letter",
        severity=Severity.HIGH,
        title="A delivery to {subject} became a dead letter",
        remedy="See `forwarder deliveries --state dead`, then `forwarder retry` or `forwarder discard`.",
    )
    SET_ASIDE = Trouble(
        name="set_aside",
        severity=Severity.MEDIUM,
        title="The Sentrytex feed holds something that is no alert",
        remedy="Its text is on the status page; the other alerts went on.",
        passes=True,
    )
    UNROUTED = Trouble(
        name="unrouted",
        severity=Severity.LOW,
        title="An alert matched no route",
        remedy="See `forwarder alerts --unrouted`, and add a route if it should have gone somewhere.",
        passes=True,
    )
    WORDING_FAILED = Trouble(
        name="wording_failed",
        severity=Severity.MEDIUM,
        title="A template of {subject} failed: the built-in words went out",
        remedy="Mend the template; `forwarder check` tries it on alerts of every shape.",
        passes=True,
    )
    STORE_FAILED = Trouble(
        name="store_failed",
        severity=Severity.CRITICAL,
        title="The database does not take writes",
        remedy="Make room or mend the disk: until then nothing new is sent, so that nothing is sent twice.",
        passes=True,
    )
    DISK_FULL = Trouble(
        name="disk_full",
        severity=Severity.CRITICAL,
        title="The database's disk is nearly full",
        remedy="Make room, or shorten `keep`.",
    )


class Alarms(Watcher):
    """Notices troubles, keeps them in the store and owes them to ``to``, the connectors that tell people."""

    def __init__(
        self, store: Store, to: Sequence[str], *, now: Now, wake: Callable[[Iterable[str]], None] = lambda _: None
    ) -> None:
        self.to = to
        self._store, self._now, self._wake = store, now, wake
        self._lock = threading.Lock()
        self._started = now()
        self._untold: dict[str, tuple[Kind, Alarm]] = {}

    def begin(self, kind: Kind, text: str, subject: str = "") -> None:
        """A trouble is there; told once, however often it is called."""
        with self._lock:
            try:
                self._begin(kind, text, subject)
            except StoreError as error:
                # It is told at the next review that finds the database well.
                log.warning("alarm_not_kept", alarm=kind.value.name, reason=str(error))

    def end(self, kind: Kind, subject: str = "", why: str = "It is over.") -> None:
        """A trouble is gone; told once, to those who heard of it."""
        with self._lock:
            self._untold.pop(_key(kind, subject), None)
            try:
                alarm = self._standing().get(_key(kind, subject))
                if alarm is not None:
                    self._end(alarm, why)
            except StoreError as error:
                log.warning("alarm_not_kept", alarm=kind.value.name, reason=str(error))

    def review(self, config: Config, database: Path) -> None:
        """Looks for what begins, lasts or ends without an event; called now and then."""
        now = self._now()
        self._tell_late()
        feed = self._store.feed()
        unread = now - (feed.polled_at or self._started)
        patience = max(UNREAD_AFTER, 3 * config.sentrytex.poll_every.total_seconds())
        if unread > patience:
            reason = feed.poll_error or "No poll was completed."
            self.begin(Kind.FEED_UNREAD, f"The last complete poll was {format_duration(unread)} ago. {reason}")
        free = shutil.disk_usage(database.parent).free
        if free < FREE_BYTES:
            self.begin(Kind.DISK_FULL, f"{free // 2**20} MiB are free at {database.parent}.")
        else:
            self.end(Kind.DISK_FULL)
        for queue in self._store.queues(config.connectors):
            if queue.dead == 0:
                self.end(Kind.DEAD_LETTER, queue.connector, "There is no dead letter any more.")
            if queue.pause is None:
                self.end(Kind.PAUSED, queue.connector, "It takes deliveries again.")
        for alarm in self._store.alarms():
            if alarm.kind == Kind.PAUSED.value.name and alarm.subject not in config.connectors:
                self.end(Kind.PAUSED, alarm.subject, "It is no longer in the config.")
        self._last(now)

    # What a watcher hears

    def polled(self, turn: Turn, seconds: float) -> None:  # noqa: ARG002
        found = turn.committed
        if not turn.sweep:
            self.end(Kind.KEY_REFUSED, why="The key is accepted.")
            self.end(Kind.FEED_UNREAD, why="The feed is read again.")
        for gap in found.gaps:
            stretch = f"from {iso(gap.since)} to {iso(gap.until)}"
            self.begin(Kind.GAP, f"Alerts of severity {gap.severity.value} published {stretch} may be missing.")
        for reason in found.set_aside:
            self.begin(Kind.SET_ASIDE, f"What is wrong with it: {reason}.")
        for alert in found.unrouted:
            self.begin(Kind.UNROUTED, f"The first one is {alert.title} ({alert.severity_label}).")

    def poll_failed(self, error: SentrytexError, seconds: float) -> None:  # noqa: ARG002
        if isinstance(error, KeyRefused):
            self.begin(Kind.KEY_REFUSED, str(error))

    def attempted(self, attempt: Attempted) -> None:
        settlement = attempt.settlement
        if attempt.paused:
            self.begin(Kind.PAUSED, settlement.reason, attempt.connector)
        if attempt.resumed:
            self.end(Kind.PAUSED, attempt.connector, "It takes deliveries again.")
        if settlement.outcome in ("reject", "gave_up"):
            title = attempt.claimed.delivery.alert.title
            self.begin(Kind.DEAD_LETTER, f"{title}: {settlement.reason}", attempt.connector)

    def store_failed(self, reason: str) -> None:
        self.begin(Kind.STORE_FAILED, reason)

    def wording_failed(self, connector: str, reason: str) -> None:
        self.begin(Kind.WORDING_FAILED, reason, connector)

    # How it is told

    def _standing(self) -> dict[str, Alarm]:
        return {alarm.key: alarm for alarm in self._store.alarms()}

    def _begin(self, kind: Kind, text: str, subject: str) -> None:
        now, key = self._now(), _key(kind, subject)
        if key in self._untold:
            self._tell(*self._untold[key])
        elif key in self._standing():
            self._store.alarm_again(key, now=now)
        else:
            log.error("alarm", alarm=kind.value.name, subject=subject, reason=text)
            alarm = Alarm(
                key=key,
                kind=kind.value.name,
                subject=subject,
                text=text,
                alert_id=f"alarm-{key}-{int(now)}",
                since=now,
                told_at=now,
                last_at=now,
            )
            self._untold[key] = kind, alarm
            self._tell(kind, alarm)

    def _tell(self, kind: Kind, alarm: Alarm) -> None:
        told_to = self._who_works(self._store.queues(self.to))
        # Whatever comes in between, it is told once: the same alert is owed only once, and what is owed was not yet.
        self._store.commit_page([_as_alert(alarm, kind.value, told_to)], now=self._now(), origin=Origin.ALARM)
        self._store.alarm_begins(alarm)
        del self._untold[alarm.key]
        self._wake(told_to)

    def _tell_late(self) -> None:
        """Tells what the database did not take when it began."""
        with self._lock:
            for kind, alarm in list(self._untold.values()):
                self._tell(kind, alarm)

    def _end(self, alarm: Alarm, why: str) -> None:
        log.info("alarm_ended", alarm=alarm.kind, subject=alarm.subject, reason=why)
        # Forgotten last: what fails in between is withdrawn when it ends once more.
        reached = self._store.withdraw(alarm.alert_id, now=self._now(), why=why)
        self._store.alarm_ends(alarm.key)
        self._wake(reached)

    def _last(self, now: float) -> None:
        """Tells again what lasts for a day, and ends what did not happen again for one."""
        passing = {kind.value.name for kind in Kind if kind.value.passes}
        with self._lock:
            for alarm in self._store.alarms():
                if alarm.kind in passing and now - alarm.last_at > DAY:
                    self._end(alarm, "It did not happen again for a day.")
                elif alarm.kind not in passing and now - alarm.told_at > DAY:
                    lasting = Change(field="lasting", old=None, new=format_duration(now - alarm.since))
                    self._store.alarm_told(alarm.key, now=now)
                    self._store.remind(alarm.alert_id, self.to, now=now, why="it still stands", change=lasting)
                    self._wake(self.to)

    def _who_works(self, queues: Collection[Queue]) -> list[str]:
        """Those that are not paused; all of them where none works, for then it is told when one does again."""
        working = [queue.connector for queue in queues if queue.connector in self.to and queue.pause is None]
        return working or list(self.to)


def _key(kind: Kind, subject: str) -> str:
    return f"{kind.value.name}-{subject}" if subject else kind.value.name


def _as_alert(alarm: Alarm, trouble: Trouble, to: Iterable[str]) -> Routed:
    alert = Alert.parse(
        {
            "id": alarm.alert_id,
            "title": trouble.title.format(subject=alarm.subject),
            "description": f"{alarm.text}\n\n{trouble.remedy}",
            "severity": trouble.severity.value,
            "published_at": iso(alarm.since),
            "alert_type": "forwarder_alarm",
        }
    )
    owes = dict.fromkeys(to, "alarms.to names it")
    return Routed(fresh=Fresh(alert=alert), decision=Decision(targets=owes, trail=()), owes=owes)
