"""The forwarder's own troubles, sent through connectors that work.

A trouble is sent as an alert of our own, with everything that an alert has: it is owed, tried again, and sent once.
People are notified when it begins, again after a day, and when it ends; what happens in between sends nothing more.
"""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from forwarder.alert import Alert, Change, Severity
from forwarder.common.clock import Now, iso
from forwarder.common.text import ago
from forwarder.config import Config
from forwarder.connector import Origin, format_duration
from forwarder.events import AttemptFinished, Listener
from forwarder.feed.client import KeyRefused, SentrytexError
from forwarder.logs import get_logger
from forwarder.routing import Decision
from forwarder.store import Store, StoreError
from forwarder.store.records import Alarm, AttemptResult, Feed, PollResult, Queue, RoutedAlert

log = get_logger(__name__)

DAY: Final = 86400.0
UNREAD_AFTER: Final = 600.0
"""Seconds without a complete poll after which the feed counts as unread, or three polls where these are rarer."""
SWEEPS_MISSED: Final = 3
"""Times ``sweep_every`` without a complete sweep, or sweeps in vain, after which sweeps are overdue."""
FREE_BYTES: Final = 200 * 1024 * 1024
"""Less free room than this on the database's disk is an alarm: SQLite needs some to commit at all."""


class AlarmType(StrEnum):
    """Every trouble that people are notified of: its name, how bad it is, its title, and what a person does about it.

    ``{subject}`` in a title is the connector. ``passes`` is true for what happens and is over: it counts as ended after
    a day in which it did not happen again.
    """

    severity: Severity
    title_template: str
    remedy: str
    passes: bool

    def __new__(cls, value: str, severity: Severity, title: str, remedy: str, passes: bool = False) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.severity, member.title_template, member.remedy, member.passes = severity, title, remedy, passes
        return member

    KEY_REFUSED = (
        "key_refused",
        Severity.CRITICAL,
        "The Sentrytex API refuses the key: no new alerts are read",
        "Put a valid key into sentrytex.api_key and restart. What is already owed is still delivered.",
    )
    FEED_UNREAD = (
        "feed_unread",
        Severity.CRITICAL,
        "The Sentrytex feed cannot be read",
        "Look at the reason; polls go on, and what is missed meanwhile is read when they succeed again.",
    )
    GAP = (
        "gap",
        Severity.HIGH,
        "The Sentrytex API may not have shown all alerts",
        "Look at the stretch on the vendor's site: more alerts came at once than the API can show.",
        True,
    )
    SWEEP_SHORT = (
        "sweep_short",
        Severity.HIGH,
        "Sweeps do not reach all of look_back: {subject}",
        "Shorten look_back, or look at older alerts on the vendor's site: the API does not show more of one severity.",
    )
    SWEEP_OVERDUE = (
        "sweep_overdue",
        Severity.HIGH,
        "The Sentrytex feed is polled, but not swept",
        "Look at the reason; poll less often (poll_every), or find what else uses the key's requests.",
    )
    PAUSED = (
        "paused",
        Severity.HIGH,
        "{subject} is not accepting deliveries",
        "Fix the cause shown as the reason; what is owed is kept, and goes out when a probe succeeds.",
    )
    DEAD_LETTER = (
        "dead_letter",
        Severity.HIGH,
        "A delivery to {subject} became a dead letter",
        "See `forwarder deliveries --state dead`, then `forwarder retry` or `forwarder discard`.",
    )
    SET_ASIDE = (
        "set_aside",
        Severity.MEDIUM,
        "The feed contains an item that is not a valid alert",
        "Its text is on the status page; the other alerts went on.",
        True,
    )
    UNROUTED = (
        "unrouted",
        Severity.LOW,
        "An alert matched no route",
        "See `forwarder alerts --unrouted`, and add a route if it should have gone somewhere.",
        True,
    )
    TEMPLATE_FAILED = (
        "template_failed",
        Severity.MEDIUM,
        "A template of {subject} failed: the built-in text was sent",
        "Fix the template; `forwarder check` tries it on alerts of every shape.",
        True,
    )
    STORE_FAILED = (
        "store_failed",
        Severity.CRITICAL,
        "The database cannot be written",
        "Free space or repair the disk: until then nothing new is sent, so that nothing is sent twice.",
        True,
    )
    DISK_FULL = (
        "disk_full",
        Severity.CRITICAL,
        "The database's disk is nearly full",
        "Free space, or shorten `keep`.",
    )


def is_unread(feed: Feed, config: Config, *, started_at: float, now: float) -> bool:
    """Whether the feed counts as unread: for the alarm, the status page and the readiness probe alike."""
    # A process that just started is given the time to poll.
    since = max(feed.polled_at or 0.0, started_at)
    return now - since > max(UNREAD_AFTER, 3 * config.sentrytex.poll_every.total_seconds())


def is_sweep_overdue(feed: Feed, config: Config, *, started_at: float, now: float) -> bool:
    """Whether no sweep was complete for a few times ``sweep_every``, though the feed is read."""
    if feed.cursor is None or is_unread(feed, config, started_at=started_at, now=now):
        return False
    # A process that just started is given the time to sweep. A run that polls just once has none: its tries count.
    tried = now - started_at > _sweep_patience(config) if started_at else feed.sweeps_failed >= SWEEPS_MISSED
    return tried and not is_swept(feed, config, now)


def is_swept(feed: Feed, config: Config, now: float) -> bool:
    """Whether a sweep was complete lately, or the first start was."""
    since = feed.started_at if feed.swept_at is None else feed.swept_at
    return now - (since or 0.0) <= _sweep_patience(config)


def _sweep_patience(config: Config) -> float:
    return max(SWEEPS_MISSED * config.sentrytex.sweep_every.total_seconds(), UNREAD_AFTER)


def last_sweep(feed: Feed, now: float) -> str:
    """When the last complete sweep was, and why the latest one failed; for people."""
    last = "No sweep was ever complete."
    if feed.swept_at is not None:
        last = f"The last complete sweep was {ago(now - feed.swept_at)}."
    return f"{last} {feed.sweep_error or ''}".strip()


def reaches(feed: Feed) -> dict[Severity, str]:
    """How far sweeps reach, in a sentence for each severity of which they do not reach all; for people."""
    return {
        severity: f"Sweeps read {severity.value} alerts published since {iso(math.floor(since))}. Older ones that are"
        " verified late, or change, are not seen."
        for severity, since in feed.reach.items()
    }


def last_poll(feed: Feed, now: float) -> str:
    """When the last complete poll was, and why the latest one failed; for people."""
    last = "No poll was ever complete."
    if feed.polled_at is not None:
        last = f"The last complete poll was {ago(now - feed.polled_at)}."
    return f"{last} {feed.poll_error or ''}".strip()


class Alarms(Listener):
    """Notices troubles, keeps them in the store and owes them to ``to``, the connectors that notify people."""

    def __init__(
        self, store: Store, to: Sequence[str], *, now: Now, wake: Callable[[Iterable[str]], None] = lambda _: None
    ) -> None:
        self._to = to
        self._store, self._now, self._wake = store, now, wake
        self._lock = threading.Lock()
        self.started_at = now()
        self._unsent: dict[str, tuple[AlarmType, Alarm]] = {}

    def notify(self, to: Sequence[str]) -> None:
        """Notifies through these connectors from now on."""
        self._to = to

    def begin(self, kind: AlarmType, text: str, subject: str = "") -> None:
        """A trouble is there; sent once, however often it is called."""
        with self._lock:
            try:
                self._begin(kind, text, subject)
            except StoreError as error:
                # It is sent at the next review that finds the database well.
                log.warning("alarm_not_kept", alarm=kind.value, reason=str(error))

    def end(self, kind: AlarmType, subject: str = "", why: str = "It is over.") -> None:
        """A trouble is gone; sent once, to those who heard of it."""
        with self._lock:
            self._unsent.pop(_key(kind, subject), None)
            try:
                alarm = self._standing().get(_key(kind, subject))
                if alarm is not None:
                    self._end(alarm, why)
            except StoreError as error:
                log.warning("alarm_not_kept", alarm=kind.value, reason=str(error))

    def review(self, config: Config, database: Path) -> None:
        """Looks for what begins, lasts or ends without an event; called now and then."""
        now = self._now()
        self._send_late()
        feed = self._store.feed.state()
        if is_unread(feed, config, started_at=self.started_at, now=now):
            self.begin(AlarmType.FEED_UNREAD, last_poll(feed, now))
        self._review_sweeps(feed, config, now)
        free = shutil.disk_usage(database.parent).free
        if free < FREE_BYTES:
            self.begin(AlarmType.DISK_FULL, f"{free // 2**20} MiB are free at {database.parent}.")
        else:
            self.end(AlarmType.DISK_FULL)
        for queue in self._store.queries.queues(config.connectors):
            if queue.dead == 0:
                self.end(AlarmType.DEAD_LETTER, queue.connector, "There are no dead letters any more.")
            if queue.pause is None:
                self.end(AlarmType.PAUSED, queue.connector, "It accepts deliveries again.")
        for alarm in self._store.alarms.active():
            if alarm.type == AlarmType.PAUSED.value and alarm.subject not in config.connectors:
                self.end(AlarmType.PAUSED, alarm.subject, "It is no longer in the config.")
        self._last(now)

    def _review_sweeps(self, feed: Feed, config: Config, now: float) -> None:
        short = reaches(feed)
        for severity in Severity:
            if severity in short:
                self.begin(AlarmType.SWEEP_SHORT, short[severity], severity.value)
            else:
                self.end(AlarmType.SWEEP_SHORT, severity.value, "Sweeps reach all of look_back again.")
        if is_sweep_overdue(feed, config, started_at=self.started_at, now=now):
            self.begin(AlarmType.SWEEP_OVERDUE, last_sweep(feed, now))
        elif is_swept(feed, config, now):
            self.end(AlarmType.SWEEP_OVERDUE, why="The feed is swept again.")

    # What a listener hears

    def polled(self, result: PollResult, seconds: float) -> None:  # noqa: ARG002
        if not result.sweep:
            self.end(AlarmType.KEY_REFUSED, why="The key is accepted.")
            self.end(AlarmType.FEED_UNREAD, why="The feed is read again.")
        for gap in result.gaps:
            stretch = f"from {iso(gap.since)} to {iso(gap.until)}"
            self.begin(AlarmType.GAP, f"Alerts of severity {gap.severity.value} published {stretch} may be missing.")
        for item in result.set_aside:
            self.begin(AlarmType.SET_ASIDE, f"What is wrong with it: {item.reason}.")
        for alert in result.unrouted:
            self.begin(AlarmType.UNROUTED, f"The first one is {alert.title} ({alert.severity_label}).")

    def poll_failed(self, error: SentrytexError, seconds: float) -> None:  # noqa: ARG002
        if isinstance(error, KeyRefused):
            self.begin(AlarmType.KEY_REFUSED, str(error))

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        settlement = attempt.settlement
        if attempt.paused:
            self.begin(AlarmType.PAUSED, settlement.reason, attempt.connector)
        if attempt.resumed:
            self.end(AlarmType.PAUSED, attempt.connector, "It accepts deliveries again.")
        if settlement.outcome in (AttemptResult.REJECTED, AttemptResult.GAVE_UP):
            title = attempt.claimed.delivery.alert.title
            self.begin(AlarmType.DEAD_LETTER, f"{title}: {settlement.reason}", attempt.connector)

    def store_failed(self, reason: str) -> None:
        self.begin(AlarmType.STORE_FAILED, reason)

    def template_failed(self, connector: str, reason: str) -> None:
        self.begin(AlarmType.TEMPLATE_FAILED, reason, connector)

    # How it is sent

    def _standing(self) -> dict[str, Alarm]:
        return {alarm.key: alarm for alarm in self._store.alarms.active()}

    def _begin(self, kind: AlarmType, text: str, subject: str) -> None:
        now, key = self._now(), _key(kind, subject)
        if key in self._unsent:
            self._send(*self._unsent[key])
        elif key in self._standing():
            self._store.alarms.repeat(key, now=now)
        else:
            log.error("alarm", alarm=kind.value, subject=subject, reason=text)
            alarm = Alarm(
                key=key,
                type=kind.value,
                subject=subject,
                text=text,
                alert_id=f"alarm-{key}-{int(now)}",
                since=now,
                notified_at=now,
                last_at=now,
            )
            self._unsent[key] = kind, alarm
            self._send(kind, alarm)

    def _send(self, kind: AlarmType, alarm: Alarm) -> None:
        recipients = self._who_works(self._store.queries.queues(self._to))
        # Whatever comes in between, it is sent once: the same alert is owed only once, and what is owed was not yet.
        self._store.feed.commit_page([_as_alert(alarm, kind, recipients)], now=self._now(), origin=Origin.ALARM)
        self._store.alarms.begin(alarm)
        del self._unsent[alarm.key]
        self._wake(recipients)

    def _send_late(self) -> None:
        """Sends what the database refused when it began."""
        with self._lock:
            for kind, alarm in list(self._unsent.values()):
                self._send(kind, alarm)

    def _end(self, alarm: Alarm, why: str) -> None:
        log.info("alarm_ended", alarm=alarm.type, subject=alarm.subject, reason=why)
        # Forgotten last: what fails in between is withdrawn when it ends once more.
        reached = self._store.outbox.withdraw(alarm.alert_id, now=self._now(), why=why)
        self._store.alarms.end(alarm.key)
        self._wake(reached)

    def _last(self, now: float) -> None:
        """Notifies again of what lasts for a day, and ends what did not happen again for one."""
        passing = {kind.value for kind in AlarmType if kind.passes}
        with self._lock:
            for alarm in self._store.alarms.active():
                if alarm.type in passing and now - alarm.last_at > DAY:
                    self._end(alarm, "It did not happen again for a day.")
                elif alarm.type not in passing and now - alarm.notified_at > DAY:
                    lasting = Change(field="lasting", old=None, new=format_duration(now - alarm.since))
                    self._store.alarms.notified(alarm.key, now=now)
                    self._store.outbox.remind(alarm.alert_id, self._to, now=now, why="it still stands", change=lasting)
                    self._wake(self._to)

    def _who_works(self, queues: Collection[Queue]) -> list[str]:
        """Those that are not paused; all of them where none works, for then it is sent when one does again."""
        working = [queue.connector for queue in queues if queue.connector in self._to and queue.pause is None]
        return working or list(self._to)


def _key(kind: AlarmType, subject: str) -> str:
    return f"{kind.value}-{subject}" if subject else kind.value


def _as_alert(alarm: Alarm, alarm_type: AlarmType, to: Iterable[str]) -> RoutedAlert:
    alert = Alert.parse(
        {
            "id": alarm.alert_id,
            "title": alarm_type.title_template.format(subject=alarm.subject),
            "description": f"{alarm.text}\n\n{alarm_type.remedy}",
            "severity": alarm_type.severity.value,
            "published_at": iso(alarm.since),
            "alert_type": "forwarder_alarm",
        }
    )
    targets = dict.fromkeys(to, "alarms.to names it")
    return RoutedAlert(alert=alert, decision=Decision(targets=targets, trail=()), targets=targets)
