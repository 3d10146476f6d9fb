"""Rows that cannot be read: damaged, edited by hand, or of a version that knows more. None of them stops the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from forwarder.alert import Alert, Change, Severity
from forwarder.common.clock import instant
from forwarder.common.text import one_line
from forwarder.logs import get_logger
from forwarder.store.connection import Connection, Row
from forwarder.store.mute_records import MutedBy
from forwarder.store.payloads import unpack

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

log = get_logger(__name__)

LAST_SECOND: Final = 253_402_214_400.0
"""The last day of 9999, after which no time can be shown."""
MOST: Final = 200
"""Characters of what is wrong with a row that are told."""

KNOWN_STATES: Final = "('held', 'ready', 'sending', 'uncertain', 'delivered', 'dead')"

_SET_ASIDE: Final = """
UPDATE deliveries SET state = 'dead', claim = NULL, lease_until = NULL, settled_at = ?2, last = ?3 WHERE id = ?1
"""
_NOTE: Final = """
INSERT INTO attempts SELECT ?1, coalesce(max(number), 0) + 1, ?2, 0, 'rejected', ?3 FROM attempts WHERE delivery_id = ?1
"""


def decode(raw: bytes) -> str:
    """A text of the database, also where some of its bytes are none."""
    return raw.decode("utf-8", "replace")


def why(error: Exception) -> str:
    """What is wrong with a row, in a sentence."""
    told = one_line(str(error))[:MOST]
    return f"What the database holds of it cannot be read ({type(error).__name__}{f': {told}' if told else ''})."


def set_aside(connection: Connection, delivery_id: int, reason: str, now: float) -> None:
    """Makes a dead letter of a delivery that cannot be read, for a person to decide on."""
    connection.execute(_SET_ASIDE, (delivery_id, now, reason))
    connection.execute(_NOTE, (delivery_id, now, reason))
    log.error("delivery_unreadable", delivery=delivery_id, reason=reason)


def set_aside_unknown(connection: Connection, now: float) -> None:
    """Makes dead letters of deliveries in a state that this version does not know: nothing else would take them up."""
    rows = connection.execute(f"SELECT id, state FROM deliveries WHERE state NOT IN {KNOWN_STATES}").fetchall()
    for delivery_id, state in rows:
        set_aside(connection, delivery_id, f"Its state {one_line(state)[:MOST]!r} is not known to this version.", now)


def read(what: Callable[[], T], instead: Callable[[Exception], T]) -> T:
    """What a row holds, and something in its place where it cannot be read."""
    try:
        return what()
    except Exception as error:
        return instead(error)


def member(enum: type[E], value: object, instead: E) -> E:
    """The member that a row names, and one in its place where there is none of that name."""
    return read(lambda: enum(str(value)), lambda _: instead)


def seconds(value: float) -> float:
    """A time that can be shown."""
    return min(max(value, 0.0), LAST_SECOND) if value == value else 0.0  # noqa: PLR0124 - NaN is not itself


def alert_of(row: Row, alert_id: str) -> tuple[Alert, str]:
    """The alert in a row's ``body``, and what is wrong with it: then another one in its place that says so."""
    try:
        return Alert.parse(json.loads(row["body"])), ""
    except Exception as error:
        reason = "It is missing from the database." if row["body"] is None else why(error)
    published_at = row["published_at"]
    placeholder = Alert(
        id=alert_id,
        title=f"Unreadable alert {one_line(alert_id)}",
        description=reason,
        severity=member(Severity, row["severity"], Severity.CRITICAL),
        published_at=instant(seconds(published_at or 0.0)),
    )
    return placeholder, reason


def changes_in(text: str) -> list[Change]:
    """What changed, as the database holds it; a change that says so where it cannot be read."""
    return read(
        lambda: [Change(**change) for change in json.loads(text)],
        lambda error: [Change(field=why(error), old=None, new=None)],
    )


def trail_in(text: str) -> list[Mapping[str, Any]]:
    """What the routes said; nothing where it cannot be read."""
    return read(
        lambda: [
            {"route": step["route"], "matched": step["matched"], "why": str(step["why"]), "to": list(step["to"])}
            | ({"others": int(step["others"])} if step.get("others") else {})
            for step in json.loads(text)
        ],
        lambda _: [],
    )


def muted_by_in(mute: str | None, note: str | None) -> MutedBy | None:
    """By which mute an alert is kept quiet; one that says so where the note of it cannot be read."""
    if mute is None:
        return None
    return read(
        lambda: _muted_by(mute, json.loads(note or "")),
        lambda error: MutedBy(id=mute, until=LAST_SECOND, reason=why(error), who=""),
    )


def _muted_by(mute: str, note: Mapping[str, Any]) -> MutedBy:
    return MutedBy(id=mute, until=seconds(float(note["until"])), reason=str(note["reason"]), who=str(note["who"]))


def kept_in(blob: bytes) -> dict[str, Any] | None:
    """A payload to be sent again; None where it cannot be read."""
    return read(lambda: unpack(blob), lambda _: None)


def payload_in(blob: bytes) -> dict[str, Any]:
    """A payload as it was sent; what is wrong with it where it cannot be read."""
    return read(lambda: unpack(blob), lambda error: {"unreadable": why(error)})
