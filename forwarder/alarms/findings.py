"""Which troubles are there, judged from facts alone. Pure: the same facts give the same findings."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from forwarder.alarms.facts import Facts, Finding
from forwarder.alarms.feeds import TOGETHER, lasting, of_feeds, of_sweeps, told_of
from forwarder.alarms.types import OF_CONNECTORS, AlarmType, most_severe
from forwarder.alert import Alert, MalformedAlert, Severity
from forwarder.common.accounts import DEFAULT, named
from forwarder.common.clock import iso
from forwarder.common.units import format_duration
from forwarder.delivery.throughput import about
from forwarder.replicas.roles import accounts_in, is_feed
from forwarder.store.alarm_records import Symptom

DAY: Final = 86400.0
"""Seconds without a new instance after which a trouble that passes is over."""
FREE_BYTES: Final = 200 * 1024 * 1024
"""Less free room than this on the database's disk is an alarm: SQLite needs some to commit at all."""
OF_FEEDS: Final = "feed:*"
"""The subject where nobody has the feeds of many accounts."""
UNHELD_AFTER: Final = 60.0
"""Seconds for which a role may have no holder: one that is killed is followed within a third of that."""
ROOM_AGAIN: Final = FREE_BYTES * 5 // 4
"""What must be free again before that ends: what wavers around the limit is told once."""


def findings(facts: Facts) -> list[Finding]:
    """Every trouble that is there, each once."""
    return [finding for judge in _JUDGES for finding in judge(facts)]


def _of_disk(facts: Facts) -> Iterator[Finding]:
    stands = any(alarm.type == AlarmType.DISK_FULL for alarm in facts.standing)
    if facts.free is not None and facts.free < (ROOM_AGAIN if stands else FREE_BYTES):
        yield lasting(AlarmType.DISK_FULL, f"{facts.free // 2**20} MiB are free at {facts.place}.")


def _of_store(facts: Facts) -> Iterator[Finding]:
    if facts.refused is not None:
        yield lasting(AlarmType.STORE_FAILED, facts.refused, instance=facts.refused)


def _of_roles(facts: Facts) -> Iterator[Finding]:
    unheld = {role: seconds for role, seconds in facts.unheld.items() if seconds > UNHELD_AFTER}
    feeds = [role for role in unheld if is_feed(role)]
    if len(feeds) > TOGETHER:
        accounts = named(accounts_in(feeds))
        lasts = format_duration(round(max(unheld.pop(role) for role in feeds)))
        text = f"No replica has had the feeds of {len(feeds)} accounts ({accounts}) for {lasts}, though some could."
        yield lasting(AlarmType.ROLE_UNHELD, text, subject=OF_FEEDS)
    for role, seconds in unheld.items():
        text = f"No replica has had the role {role} for {format_duration(round(seconds))}, though some could."
        yield lasting(AlarmType.ROLE_UNHELD, text, subject=role)


def _of_rows(facts: Facts) -> Iterator[Finding]:
    """What the store has rows of. A connector that the config does not name has no alarm, for nobody could end it."""
    types = {kind.value: kind for kind in AlarmType}
    of_accounts: dict[AlarmType, list[Finding]] = {AlarmType.GAP: [], AlarmType.EVIDENCE_UNREAD: []}
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
        if kind is AlarmType.EVIDENCE_UNREAD and (symptom.subject or DEFAULT) not in facts.feeds:
            continue
        finding = Finding(
            type=kind,
            subject=symptom.subject,
            severity=_severity(kind, symptom),
            kev=symptom.kev,
            text=_text(kind, symptom, facts),
            instance=symptom.instance,
            last_at=symptom.last_at,
        )
        if kind in of_accounts:
            of_accounts[kind].append(finding)
        else:
            yield finding
    for found in of_accounts.values():
        yield from told_of(sorted(found, key=lambda one: (one.severity.rank, -(one.last_at or 0.0))), facts)


_JUDGES: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    of_feeds,
    of_sweeps,
    _of_disk,
    _of_store,
    _of_roles,
    _of_rows,
)
"""Each yields the findings of one sort of facts; a further trouble is one more of them, or one more line in one.

A trouble that stands until the store says otherwise, not only for as long as it is seen, looks at ``facts.standing``.
"""


_FAILING: Final = frozenset({AlarmType.CONNECTOR_FAILING, AlarmType.DELIVERY_FAILING})
_LASTING: Final = _FAILING | {AlarmType.LOOK_FAILED, AlarmType.NOT_HEARD}
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
