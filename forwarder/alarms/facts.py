"""What the findings rest on, and what one of them says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from forwarder.alarms.types import AlarmType, most_severe
from forwarder.alert import Change, Severity
from forwarder.config import Config
from forwarder.store.alarm_records import Alarm, Symptom
from forwarder.store.late import LATE_AFTER
from forwarder.store.records import Feed

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
_UNHEARD: Final = frozenset({AlarmType.LOOK_FAILED, AlarmType.NOT_HEARD})
"""Troubles by which what people do is not heard."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the findings rest on: the store's rows, and what only the process knows.

    ``feeds`` are those of the config's accounts, ``began`` since when this process reads those that were not there at
    its start. ``standing`` are the alarms that stand, ``started_at`` is when the process began, ``free`` the bytes that
    are free on the database's disk at ``place`` (None where that is another machine's), ``refused`` why the store
    refused a write, where it has no row of that, and ``unheld`` for how many seconds no replica has had which roles.
    """

    now: float
    started_at: float
    config: Config
    feeds: Mapping[str, Feed]
    symptoms: Sequence[Symptom]
    standing: Sequence[Alarm]
    free: int | None
    place: str
    refused: str | None = None
    unheld: Mapping[str, float] = field(default_factory=dict)
    began: Mapping[str, float] = field(default_factory=dict)

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
        if self.stands(symptom.type, symptom.subject):
            return self.now - symptom.last_at > LATE_AFTER
        if any(self.stands(kind, symptom.subject) for kind in (AlarmType.PAUSED, AlarmType.CONNECTOR_FAILING)):
            return False
        tried = line.tried_at is not None and line.tried_at >= self.started_at
        since = max(symptom.last_at, line.since)
        return self.now - since > LATE_AFTER and (tried or self.now - self.started_at >= AFTER_A_START)

    def is_told_otherwise(self, symptom: Symptom) -> bool:
        """Whether another trouble says why a critical is late; where it is an alarm, what that is about does."""
        if symptom.line is not None and symptom.line.own:
            return True
        if self.stands(symptom.type, symptom.subject):
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
        return self.stands(symptom.type, symptom.subject) or self.now - symptom.last_at >= seconds

    def stands(self, kind: str, subject: str) -> bool:
        """Whether people were told of a trouble of one subject."""
        return any((alarm.type, alarm.subject) == (kind, subject) for alarm in self.standing)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A trouble that is there.

    ``subject`` is the connector or the account, empty where it is none's. ``severity`` and ``kev`` say how bad the
    worst instance is, ``instance`` which that is, and ``text`` what happened. ``last_at`` is when it last did, None
    where it goes on.
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
    def remedy(self) -> str:
        """What a person does about it."""
        return self.type.remedy_for(self.subject)

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return self.type.title_for(self.subject)

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
