"""One alert's story as its page tells it: what happened, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from forwarder.alert import in_names
from forwarder.connector import Response
from forwarder.response import COMMAND_LINE, PAGE
from forwarder.store.query_records import AlertHistory, AlertRow, DeliveryRow
from forwarder.store.records import State
from forwarder.web.filters import KINDS

MOST: Final = 100
"""Connectors, and routes, that the page of one alert shows: with an account each there may be a thousand."""
MOST_EVENTS: Final = 500
"""Events that it shows."""
MOST_NAMED: Final = 12
"""Connectors that a sentence names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of an alert's history. ``mark`` is the kind of sign before it."""

    at: float
    mark: str
    title: str
    text: str = ""
    connector: str | None = None
    seconds: float | None = None


def events(history: AlertHistory) -> list[Event]:
    """What happened to an alert, in order; how it began and the latest, where that is more than a page can show."""
    found = sorted(_events(history), key=attrgetter("at"))
    left_out = len(found) - MOST_EVENTS
    if left_out <= 0:
        return found
    latest = found[2 + left_out :]
    return [*found[:2], Event(at=latest[0].at, mark="dot", title=f"{left_out} more before this are left out"), *latest]


def places(row: AlertRow) -> list[tuple[str, list[DeliveryRow]]]:
    """The deliveries of each connector, by name; where they are many, first those that wait for something."""
    by_name: dict[str, list[DeliveryRow]] = {}
    for delivery in row.deliveries:
        by_name.setdefault(delivery.connector, []).append(delivery)
    found = sorted(by_name.items())
    return found if len(found) <= MOST else sorted(found, key=lambda place: _has_arrived(place[1]))


def _has_arrived(deliveries: Sequence[DeliveryRow]) -> bool:
    return all(delivery.state is State.DELIVERED for delivery in deliveries)


def _events(history: AlertHistory) -> Iterator[Event]:
    """What happened to an alert, in no order yet."""
    row = history.row
    yield Event(at=row.alert.published_at.timestamp(), mark="dot", title="Published")
    yield Event(at=row.seen_at, mark="dot", title="Seen by the forwarder", text=_sent_to(history))
    for revision in history.revisions:
        changes = "; ".join(
            f"{change.field}: {_value(change.old)} → {_value(change.new)}"
            for change in (in_names(change, row.vendors) for change in revision.changes)
        )
        yield Event(at=revision.at, mark="dot", title=f"Changed (revision {revision.revision})", text=changes)
    for response in history.responses:
        yield Event(at=response.at.timestamp(), mark=response.status.value, title=response.words, text=_said(response))
    for delivery in row.deliveries:
        for attempt in history.attempts.get(delivery.id, ()):
            yield Event(
                at=attempt.at,
                mark=attempt.outcome,
                title=_ATTEMPT_TITLES[delivery.kind],
                text=attempt.reason,
                connector=delivery.connector,
                seconds=attempt.seconds,
            )


def _said(response: Response) -> str:
    """Where a person decided something, and why."""
    on = "On" if response.place in (PAGE, COMMAND_LINE) else "In"
    where = f"{on} {response.place}." if response.person else ""
    return " ".join(part for part in (where, response.reason) if part)


_ATTEMPT_TITLES: Final = {**{kind: word.capitalize() for kind, word in KINDS.items()}, "open": "Alert"}


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "none" if value is None else str(value)


def _sent_to(history: AlertHistory) -> str:
    opened = [delivery for delivery in history.row.deliveries if delivery.kind == "open"]
    if opened:
        names = [delivery.connector for delivery in opened]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return f"Owed to {', '.join(names[:MOST_NAMED])}{more}."
    if history.row.muted:
        return "Muted, so it went nowhere."
    if history.row.unrouted:
        return "No route names a connector for it."
    return "It was there before the first start, so it went nowhere." if not history.trail else "It is owed to nobody."
