"""Which troubles are there, judged from facts alone. Pure: the same facts give the same findings."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from forwarder.alarms.types import OF_CONNECTORS, AlarmType, most_severe
from forwarder.alert import Alert, Change, MalformedAlert, Severity
from forwarder.common.clock import iso
from forwarder.common.text import ago
from forwarder.common.units import format_duration
from forwarder.config import Config
from forwarder.delivery.throughput import about
from forwarder.store.alarm_records import Alarm, Symptom
from forwarder.store.late import LATE_AFTER
from forwarder.store.records import Feed

DAY: Final = 86400.0
"""Seconds without a new instance after which a trouble that passes is over."""
UNREAD_AFTER: Final = 600.0
"""Seconds without a complete poll after which the feed counts as unread, or three polls where these are rarer."""
SWEEPS_MISSED: Final = 3
"""Times ``sweep_every`` without a complete sweep, or sweeps in vain, after which sweeps are overdue."""
UNREAD_STARTS: Final = 3
"""How many processes in a row may fail to read the feed where none of them ran for that long."""
FREE_BYTES: Final = 200 * 1024 * 1024
"""Less free room than this on the database's disk is an alarm: SQLite needs some to commit at all."""
FAILS_FOR: Final[Mapping[Severity, float]] = {
    Severity.CRITICAL: 60.0,
    Severity.HIGH: 300.0,
    Severity.MEDIUM: 1800.0,
    Severity.LOW: 1800.0,
}
"""Seconds for which a connector may fail before people are told, by the worst that waits there.

What is on CISA's list counts as critical. With the review's period, a critical is told within two minutes.
"""
UNHEARD_FOR: Final = 120.0
"""Seconds for which people may not be heard before that is told: connections are renewed every few hours."""
ALONE_FOR: Final = 600.0
"""Seconds for which one critical alert may fail while others arrive: longer than a lost answer is looked up."""
AFTER_A_START: Final = 60.0
"""Seconds in which a process that just started may send what waited meanwhile, before that is late."""
UNHELD_AFTER: Final = 60.0
"""Seconds for which a role may have no holder: one that is killed is followed within a third of that."""
ROOM_AGAIN: Final = FREE_BYTES * 5 // 4
"""What must be free again before that ends: what wavers around the limit is told once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the findings rest on: the store's rows, and what only the process knows.

    ``standing`` are the alarms that stand, ``started_at`` is when the process began, ``free`` the bytes that are free
    on the database's disk at ``place`` (None where that is another machine's), ``refused`` why the store
    refused a write, where it has no row of that, and ``unheld`` for how many seconds no replica has had which roles.
    """

    now: float
    started_at: float
    config: Config
    feed: Feed
    symptoms: Sequence[Symptom]
    standing: Sequence[Alarm]
    free: int | None
    place: str
    refused: str | None = None
    unheld: Mapping[str, float] = field(default_factory=dict)

    @property
    def broken(self) -> Mapping[str, str]:
        """The connectors by which nobody can be reached now, each with what is wrong with it in a word."""
        found = {}
        for symptom in self.symptoms:
            if symptom.type == AlarmType.PAUSED:
                found[symptom.subject] = "paused"
            elif symptom.type == AlarmType.CONNECTOR_FAILING and self._fails_for(symptom, FAILS_FOR[Severity.CRITICAL]):
                found[symptom.subject] = "failing"
            elif symptom.type == AlarmType.LATE and self.is_late(symptom):
                found.setdefault(symptom.subject, "late")
        return found

    def is_late(self, symptom: Symptom) -> bool:
        """Whether a critical has waited for too long, whatever the reason.

        Once told, it is so for as long as one waits that long; before, what came during an outage is given its time.
        """
        line = symptom.line
        if symptom.subject not in self.config.connectors or line is None:
            return False
        if self._stands(symptom.type, symptom.subject):
            return self.now - symptom.last_at > LATE_AFTER
        if any(self._stands(kind, symptom.subject) for kind in (AlarmType.PAUSED, AlarmType.CONNECTOR_FAILING)):
            return False
        tried = line.tried_at is not None and line.tried_at >= self.started_at
        since = max(symptom.last_at, line.since)
        return self.now - since > LATE_AFTER and (tried or self.now - self.started_at >= AFTER_A_START)

    def is_told_otherwise(self, symptom: Symptom) -> bool:
        """Whether another trouble says why a critical is late; where it is an alarm, what that is about does."""
        if symptom.line is not None and symptom.line.own:
            return True
        if self._stands(symptom.type, symptom.subject):
            return False
        # What has only just begun to fail is told of soon, where a critical waits.
        kinds = (AlarmType.PAUSED, AlarmType.CONNECTOR_FAILING)
        return any(other.subject == symptom.subject and other.type in kinds for other in self.symptoms)

    def fails_for_long(self, symptom: Symptom) -> bool:
        """Whether what fails has done so for long enough to tell people, who are told of it until it is over."""
        if symptom.type in _UNHEARD:
            return self._fails_for(symptom, UNHEARD_FOR)
        if symptom.type == AlarmType.DELIVERY_FAILING:
            return self._fails_for(symptom, ALONE_FOR)
        worst = Severity.CRITICAL if symptom.kev else symptom.severity or Severity.LOW
        return self._fails_for(symptom, FAILS_FOR[worst])

    def _fails_for(self, symptom: Symptom, seconds: float) -> bool:
        return self._stands(symptom.type, symptom.subject) or self.now - symptom.last_at >= seconds

    def _stands(self, kind: str, subject: str) -> bool:
        return any((alarm.type, alarm.subject) == (kind, subject) for alarm in self.standing)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A trouble that is there.

    ``subject`` is the connector, empty where it is none's. ``severity`` and ``kev`` say how bad the worst instance is,
    ``instance`` which that is, and ``text`` what happened. ``last_at`` is when it last did, None where it goes on.
    """

    type: AlarmType
    text: str
    subject: str = ""
    severity: Severity
    kev: bool = False
    instance: str = ""
    last_at: float | None = None

    @property
    def key(self) -> str:
        """What it is known by for as long as it stands."""
        return f"{self.type.value}-{self.subject}" if self.subject else self.type.value

    @property
    def alarm_severity(self) -> Severity:
        """How severe its alarm is: as its type is, or as its worst instance where that is more."""
        return most_severe(self.type.severity, self.severity)

    def changes_from(self, alarm: Alarm) -> tuple[Change, ...]:
        """In what it is worse than people were told; nothing where it is no worse."""
        worse = []
        if self.severity.rank < alarm.severity.rank:
            worse.append(Change(field="severity", old=alarm.severity.value, new=self.severity.value))
        if self.kev and not alarm.kev:
            worse.append(Change(field="cisa_kev", old=False, new=True))
        if worse and self.text != alarm.text:
            worse.append(Change(field="reason", old=alarm.text, new=self.text))
        return tuple(worse)


def findings(facts: Facts) -> list[Finding]:
    """Every trouble that is there, each once."""
    return [finding for judge in _JUDGES for finding in judge(facts)]


def is_unread(feed: Feed, config: Config, *, started_at: float, now: float) -> bool:
    """Whether the feed counts as unread: for the alarm, the status page and the readiness probe alike.

    A process that just started is given the time to poll. One that ends before that, for it is run by cron or it
    crashes, is judged with those before it: one failed run between two is nothing to speak of, a third in a row is.
    """
    patience = max(UNREAD_AFTER, 3 * config.sentrytex.poll_every.total_seconds())
    if now - max(feed.polled_at or 0.0, started_at) > patience:
        return True
    return (
        feed.unread_starts >= UNREAD_STARTS and feed.unread_since is not None and now - feed.unread_since > UNREAD_AFTER
    )


def is_still_unread(feed: Feed, standing: Iterable[Alarm]) -> bool:
    """Whether people were told so and no poll was complete since: that a process just started ends nothing."""
    return feed.unread_starts > 0 and any(alarm.type == AlarmType.FEED_UNREAD for alarm in standing)


def is_sweep_overdue(feed: Feed, config: Config, *, started_at: float, now: float) -> bool:
    """Whether no sweep was complete for a few times ``sweep_every``, though the feed is read."""
    if feed.cursor is None or is_unread(feed, config, started_at=started_at, now=now):
        return False
    # A process that just started is given the time to sweep. A run that polls just once has none: its tries count.
    tried = now - started_at > _sweep_patience(config) or feed.sweeps_failed >= SWEEPS_MISSED
    return tried and not is_swept(feed, config, now)


def is_swept(feed: Feed, config: Config, now: float) -> bool:
    """Whether a sweep was complete lately, or the first start was."""
    since = feed.started_at if feed.swept_at is None else feed.swept_at
    return now - (since or 0.0) <= _sweep_patience(config)


def last_sweep(feed: Feed, now: float) -> str:
    """When the last complete sweep was, and why the latest one failed; for people."""
    last = "No sweep was ever complete."
    if feed.swept_at is not None:
        last = f"The last complete sweep was {ago(now - feed.swept_at)}."
    return f"{last} {feed.sweep_error or ''}".strip()


def last_poll(feed: Feed, now: float) -> str:
    """When the last complete poll was, and why the latest one failed; for people."""
    last = "No poll was ever complete."
    if feed.polled_at is not None:
        last = f"The last complete poll was {ago(now - feed.polled_at)}."
    return f"{last} {feed.poll_error or ''}".strip()


def _of_feed(facts: Facts) -> Iterator[Finding]:
    feed, now = facts.feed, facts.now
    if feed.key_refused is not None:
        yield _lasting(AlarmType.KEY_REFUSED, feed.key_refused, instance=feed.key_refused)
    if is_unread(feed, facts.config, started_at=facts.started_at, now=now) or is_still_unread(feed, facts.standing):
        yield _lasting(AlarmType.FEED_UNREAD, last_poll(feed, now), instance=feed.poll_error or "")


def _of_sweeps(facts: Facts) -> Iterator[Finding]:
    feed, config, now = facts.feed, facts.config, facts.now
    for severity, since in feed.reach.items():
        yield Finding(
            type=AlarmType.SWEEP_SHORT,
            subject=severity.value,
            severity=AlarmType.SWEEP_SHORT.severity,
            text=f"Sweeps read {severity.value} alerts published since {iso(math.floor(since))}. Older ones that are"
            " verified late, or change, are not seen.",
            instance=iso(math.floor(since)),
        )
    overdue = is_sweep_overdue(feed, config, started_at=facts.started_at, now=now)
    stands = any(alarm.type == AlarmType.SWEEP_OVERDUE for alarm in facts.standing)
    if overdue or (stands and not is_swept(feed, config, now)):
        yield _lasting(AlarmType.SWEEP_OVERDUE, last_sweep(feed, now), instance=feed.sweep_error or "")


def _sweep_patience(config: Config) -> float:
    return max(SWEEPS_MISSED * config.sentrytex.sweep_every.total_seconds(), UNREAD_AFTER)


def _of_disk(facts: Facts) -> Iterator[Finding]:
    stands = any(alarm.type == AlarmType.DISK_FULL for alarm in facts.standing)
    if facts.free is not None and facts.free < (ROOM_AGAIN if stands else FREE_BYTES):
        yield _lasting(AlarmType.DISK_FULL, f"{facts.free // 2**20} MiB are free at {facts.place}.")


def _of_store(facts: Facts) -> Iterator[Finding]:
    if facts.refused is not None:
        yield _lasting(AlarmType.STORE_FAILED, facts.refused, instance=facts.refused)


def _of_roles(facts: Facts) -> Iterator[Finding]:
    for role, seconds in facts.unheld.items():
        if seconds > UNHELD_AFTER:
            text = f"No replica has had the role {role} for {format_duration(round(seconds))}, though some could."
            yield Finding(type=AlarmType.ROLE_UNHELD, subject=role, severity=AlarmType.ROLE_UNHELD.severity, text=text)


def _of_rows(facts: Facts) -> Iterator[Finding]:
    """What the store has rows of. A connector that the config does not name has no alarm, for nobody could end it."""
    types = {kind.value: kind for kind in AlarmType}
    for symptom in facts.symptoms:
        kind = types.get(symptom.type)
        if kind is None or (kind in OF_CONNECTORS and symptom.subject not in facts.config.connectors):
            continue
        if kind is AlarmType.STORE_FAILED and facts.refused is not None:
            continue
        if kind in _LASTING and not facts.fails_for_long(symptom):
            continue
        if kind is AlarmType.LATE and (not facts.is_late(symptom) or facts.is_told_otherwise(symptom)):
            continue
        if kind is AlarmType.ORPHANED and symptom.subject in facts.config.connectors:
            continue
        yield Finding(
            type=kind,
            subject=symptom.subject,
            severity=_severity(kind, symptom),
            kev=symptom.kev,
            text=_text(kind, symptom, facts),
            instance=symptom.instance,
            last_at=symptom.last_at,
        )


_JUDGES: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    _of_feed,
    _of_sweeps,
    _of_disk,
    _of_store,
    _of_roles,
    _of_rows,
)
"""Each yields the findings of one sort of facts; a further trouble is one more of them, or one more line in one.

A trouble that stands until the store says otherwise, not only for as long as it is seen, looks at ``facts.standing``.
"""


def _lasting(kind: AlarmType, text: str, *, instance: str = "") -> Finding:
    return Finding(type=kind, severity=kind.severity, text=text, instance=instance)


_UNHEARD: Final = frozenset({AlarmType.LOOK_FAILED, AlarmType.NOT_HEARD})
"""Troubles by which what people do is not heard."""
_FAILING: Final = frozenset({AlarmType.CONNECTOR_FAILING, AlarmType.DELIVERY_FAILING})
_LASTING: Final = _FAILING | _UNHEARD
"""Troubles that are told only when they last."""
_WAITED_FOR: Final = _FAILING | {AlarmType.PAUSED, AlarmType.LATE, AlarmType.ORPHANED}
"""Troubles that are as bad as what waits for a connector; what is on CISA's list counts as critical there."""


def _severity(kind: AlarmType, symptom: Symptom) -> Severity:
    severity = symptom.severity or kind.severity
    if symptom.kev and kind in _WAITED_FOR:
        return Severity.CRITICAL
    # A pause is serious whatever waits: a medium one behind a low one is no news.
    return most_severe(severity, kind.severity) if kind is AlarmType.PAUSED else severity


def _text(kind: AlarmType, symptom: Symptom, known: Facts) -> str:
    facts, now = symptom.facts, known.now
    match kind:
        case AlarmType.GAP:
            severity = (symptom.severity or kind.severity).value
            stretch = f"from {iso(facts['since'])} to {iso(facts['until'])}"
            return (
                f"Alerts of severity {severity} published {stretch} were possibly never seen: more came at once than"
                " the API shows, and nobody was told of those."
            )
        case AlarmType.EVIDENCE_UNREAD:
            return f"None was read for {_span(symptom, now)}, though the feed was. {_sentence(symptom.reason)}"
        case AlarmType.PAUSED:
            return f"{_sentence(symptom.reason)} {_waiting(symptom)}".strip()
        case AlarmType.CONNECTOR_FAILING:
            return (
                f"Nothing has arrived there for {_span(symptom, now)}: {_sentence(symptom.reason)} {_waiting(symptom)}"
            )
        case AlarmType.DELIVERY_FAILING:
            return f"{_named(facts)} has failed for {_span(symptom, now)}: {_sentence(symptom.reason)}"
        case AlarmType.LATE:
            return f"{_named(facts)} has waited for {_span(symptom, now)}: {_sentence(_holdup(symptom, known))}"
        case AlarmType.ORPHANED:
            name = shlex.quote(symptom.subject)
            return (
                f"{_waiting(symptom)} `forwarder rename {name} NEW` hands that over to a connector of another name, and"
                f" `forwarder discard --connector {name}` gives it up."
            )
        case AlarmType.SET_ASIDE:
            told = f"What can be read of it: {facts['told']}. " if facts.get("told") else ""
            return f"{told}What is wrong with it: {symptom.reason}."
        case AlarmType.UNROUTED:
            return f"The worst one is {_named(facts)}."
        case AlarmType.DEAD_LETTER:
            return f"{_named(facts)}: {symptom.reason}"
    return symptom.reason


def _holdup(symptom: Symptom, known: Facts) -> str:
    """What a critical waits for: what the last try came to, or else the rate at which all of its kind go out."""
    settings = known.config.connectors.get(symptom.subject)
    rate, length = settings.max_rate if settings else None, symptom.line.length if symptom.line else 0
    if symptom.reason or rate is None or length < 2:
        return symptom.reason or "it has not been tried yet"
    return f"{length:,} as bad wait, and at {rate} (max_rate) they take {about(length * rate.interval)}"


def _span(symptom: Symptom, now: float) -> str:
    return format_duration(max(round(now - symptom.last_at), 1))


def _sentence(reason: str) -> str:
    return f"{reason.rstrip('. ')}." if reason else "the last try failed."


def _waiting(symptom: Symptom) -> str:
    """What waits for a connector, for people; nothing where nothing does."""
    if not symptom.waiting:
        return ""
    if symptom.waiting == 1:
        return f"What waits is {_named(symptom.facts)}."
    return f"{symptom.waiting} deliveries wait; the worst is {_named(symptom.facts)}."


def _named(facts: Mapping[str, Any]) -> str:
    try:
        alert = Alert.parse(facts)
    except MalformedAlert:
        # One row that is damaged must not silence all other alarms.
        return "an alert that cannot be read"
    return f"{alert.title} ({alert.severity_label}{', on CISA KEV' if alert.cisa_kev else ''})"
