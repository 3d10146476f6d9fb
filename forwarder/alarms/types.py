"""The kinds of trouble that people are notified of, and their words."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import Final, Self

from forwarder.alert import Severity
from forwarder.store.alarm_records import Alarm

_KEY: Final = "sentrytex.api_key"


class AlarmType(StrEnum):
    """Every trouble that people are notified of: its name, how bad it is, its title, and what a person does about it.

    ``{subject}`` in these words is the connector. ``passes`` is true for what happens and is over: it counts as ended
    after a day in which it did not happen again.
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

    def title_for(self, subject: str) -> str:
        """The title of a trouble of ``subject``, a connector or an account; it is empty where it is none's."""
        title = self.title_template.format(subject=subject)
        return title if not subject or "{subject}" in self.title_template else f"{title}: {subject}"

    def remedy_for(self, subject: str) -> str:
        """What a person does about it."""
        if not subject:
            return self.remedy
        told = self.remedy.replace("{subject}", shlex.quote(subject))
        return told.replace(_KEY, f"sentrytex.accounts.{subject}.api_key")

    KEY_REFUSED = (
        "key_refused",
        Severity.CRITICAL,
        "The Sentrytex API refuses the key: no new alerts are read",
        "Put a valid key into sentrytex.api_key, and reload where it comes from a file, else restart. What is already"
        " owed is still delivered; what is published meanwhile is read then, as far back as the API shows it.",
    )
    FEED_UNREAD = (
        "feed_unread",
        Severity.CRITICAL,
        "The Sentrytex feed cannot be read",
        "Look at the reason; polls go on, and what is missed meanwhile is read when they succeed again.",
    )
    GAP = (
        "gap",
        Severity.LOW,
        "Alerts may never have been seen: the Sentrytex API did not show them all",
        "Look at that stretch on Sentrytex's own page, for the API will not show it any more, and deal there with what"
        " you find. The page Gaps lists every stretch.",
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
    EVIDENCE_UNREAD = (
        "evidence_unread",
        Severity.LOW,
        "The evidence for single alerts cannot be read",
        "Look at the reason, and let Sentrytex know if it is theirs. Alerts go out without their evidence; until it is"
        " read again, look for it on Sentrytex's own page.",
    )
    PAUSED = (
        "paused",
        Severity.HIGH,
        "{subject} is not accepting deliveries",
        "Fix the cause shown as the reason, then `forwarder retry --connector {subject}` tries it at once. What is owed"
        " is kept, and goes out when a probe succeeds: until then, read it on the status page.",
    )
    CONNECTOR_FAILING = (
        "connector_failing",
        Severity.LOW,
        "{subject} fails: nothing arrives there",
        "Look at the service's own status page and at the network between; `forwarder check --live` tries it. What is"
        " owed is kept and goes out when it works again: until then, read it on the status page.",
    )
    DELIVERY_FAILING = (
        "delivery_failing",
        Severity.CRITICAL,
        "One alert does not arrive at {subject}, though others do",
        "Read it on the status page and act on it from there. It is tried again until `give_up_after`; `forwarder"
        " explain` with its id shows every try.",
    )
    LATE = (
        "late",
        Severity.CRITICAL,
        "A critical alert waits too long for {subject}",
        "Read what waits on the status page, and act on it from there. If the service asks to wait, look for what else"
        " uses its limit, and at `max_rate`; nothing is lost, and criticals go out first.",
    )
    ORPHANED = (
        "orphaned",
        Severity.LOW,
        "Alerts are owed to {subject}, which the config does not name",
        "They reach nobody until you name it in the config again, hand them over with `forwarder rename`, or give them"
        " up with `forwarder discard`.",
    )
    LOOK_FAILED = (
        "look_failed",
        Severity.HIGH,
        "What people do at {subject} is not seen",
        "Look at the reason; `forwarder check --live` says what is missing. Whoever acknowledges or resolves an alert"
        " there is heard once it works again.",
    )
    NOT_HEARD = (
        "not_heard",
        Severity.HIGH,
        "The buttons at {subject} do nothing",
        "Look at the reason; `forwarder check --live` says what is missing. Until then people can act on the status"
        " page and with `forwarder ack`, `resolve` and `reopen`.",
    )
    DEAD_LETTER = (
        "dead_letter",
        Severity.HIGH,
        "A delivery to {subject} became a dead letter",
        "It did not arrive there, and is not sent again by itself: act on it by hand. `forwarder deliveries --state"
        " dead --connector {subject}` says why; once that is mended, `forwarder retry` sends it; `forwarder discard`"
        " gives it up.",
    )
    SET_ASIDE = (
        "set_aside",
        Severity.MEDIUM,
        "The feed contains an item that is not a valid alert",
        "Nobody is told of it but by this: look for it at its source. Its text is on the status page; the other alerts"
        " went on.",
        True,
    )
    UNROUTED = (
        "unrouted",
        Severity.LOW,
        "An alert matched no route",
        "Nobody is told of it but by this. `forwarder alerts --unrouted` lists all of them. A route that you add is for"
        " what comes from then on: `forwarder replay` sends what came before.",
        True,
    )
    TEMPLATE_FAILED = (
        "template_failed",
        Severity.MEDIUM,
        "A template of {subject} failed: the built-in text was sent",
        "Fix the template; `forwarder check` tries it on alerts of every shape.",
        True,
    )
    RELOAD_REFUSED = (
        "reload_refused",
        Severity.HIGH,
        "The changed config was refused: the old one is still in use",
        "Put right what the reason names (`forwarder check` shows every mistake with its line), and reload. With"
        " mistakes in the file, a restart would not come up.",
    )
    STORE_FAILED = (
        "store_failed",
        Severity.CRITICAL,
        "The database cannot be written",
        "Free space, repair the disk, or bring the database's server back: until then nothing new is sent, so that "
        "nothing is sent twice.",
        True,
    )
    ROLE_UNHELD = (
        "role_unheld",
        Severity.CRITICAL,
        "No replica does what the role {subject} is for",
        "Look at the logs of the replicas (`forwarder status` lists them) for why none takes it, and restart one. What"
        " is owed is kept meanwhile.",
    )
    DISK_FULL = (
        "disk_full",
        Severity.CRITICAL,
        "The database's disk is nearly full",
        "Free space, or shorten `keep`, which makes room within a day. Once it is full, nothing new is read or sent;"
        " nothing is lost.",
    )


OF_CONNECTORS: Final = frozenset(
    {
        AlarmType.PAUSED,
        AlarmType.CONNECTOR_FAILING,
        AlarmType.DELIVERY_FAILING,
        AlarmType.LATE,
        AlarmType.LOOK_FAILED,
        AlarmType.NOT_HEARD,
        AlarmType.DEAD_LETTER,
        AlarmType.TEMPLATE_FAILED,
    }
)
"""Troubles whose subject is a connector, and which end where the config does not name it any more."""


def type_of(alarm: Alarm) -> AlarmType | None:
    """An alarm's type; None where another version knew it alone."""
    return next((kind for kind in AlarmType if kind.value == alarm.type), None)


def severity_of(alarm: Alarm) -> Severity:
    """How severe an alarm is: as its type is, or as its worst instance where that is more."""
    kind = type_of(alarm)
    return alarm.severity if kind is None else most_severe(kind.severity, alarm.severity)


def most_severe(*severities: Severity) -> Severity:
    return min(severities, key=lambda severity: severity.rank)
