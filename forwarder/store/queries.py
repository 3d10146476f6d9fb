"""What people look at: lists, counts and the story of one alert. Nothing here writes."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from forwarder.alert import SetAside, Severity
from forwarder.common.accounts import label
from forwarder.connector import NOTICE, Kind, Origin, Receipt, Response, Status
from forwarder.store import evidence, failing, filters, search, unreadable, vendors
from forwarder.store.accounts import added_to, seen_by
from forwarder.store.connection import Connection, Row
from forwarder.store.digests import items_of
from forwarder.store.engine import Engine
from forwarder.store.query_records import AlertHistory, AlertRow, DeliveryRow, Filter, Revision
from forwarder.store.records import Attempt, AttemptResult, Gap, Lateness, Pause, Queue, State
from forwarder.store.responses import responses_of

_DELIVERIES: Final = """
SELECT d.*, a.severity, a.cve_id, a.origin, a.body
FROM deliveries AS d LEFT JOIN alerts AS a ON a.id = d.alert_id
"""
_DELIVERIES_OF: Final = _DELIVERIES + " WHERE d.alert_id IN (SELECT value FROM json_each(?)) ORDER BY d.id"


class Queries:
    """The side of the store that commands and pages read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def alerts(self, wanted: Filter) -> list[AlertRow]:
        """Alerts, the newest seen first or as the filter says, each with its deliveries."""
        with self._engine.read() as connection:
            if wanted.vendor:
                wanted = replace(wanted, vendor=vendors.key_of(connection, wanted.vendor))
            rows = filters.alerts(connection, wanted)
            ids = [row["id"] for row in rows]
            deliveries, responses = _deliveries_of(connection, ids), responses_of(connection, ids)
            found = [_alert_row(row, deliveries.get(row["id"], ()), responses.get(row["id"], ())) for row in rows]
            known = vendors.of_all(connection, (row.alert for row in found))
            accounts = seen_by(connection, ids)
        return [replace(row, vendors=known, accounts=accounts.get(row.alert.id, ())) for row in found]

    def deliveries(self, wanted: Filter) -> list[DeliveryRow]:
        """Deliveries, the newest owed first."""
        with self._engine.read() as connection:
            rows = filters.deliveries(connection, _DELIVERIES, wanted)
        return [_delivery_row(row) for row in rows]

    def nearest(self, text: str) -> list[str]:
        """CVEs that were seen and are most like the one in ``text``, for whom nothing was found."""
        with self._engine.read() as connection:
            return search.nearest(connection, text)

    def history(self, alert_id: str) -> AlertHistory | None:
        """All that is known of one alert, by its id."""
        with self._engine.read() as connection:
            row = connection.execute("SELECT * FROM alerts WHERE id = ?", (alert_id,)).fetchone()
            if row is None:
                return None
            deliveries = _deliveries_of(connection, [row["id"]]).get(row["id"], ())
            responses = responses_of(connection, [row["id"]]).get(row["id"], ())
            shown, revisions = _alert_row(row, deliveries, responses), _revisions(connection, row["id"])
            changes = [change for revision in revisions for change in revision.changes]
            return AlertHistory(
                row=replace(
                    shown,
                    vendors=vendors.of(connection, shown.alert, changes),
                    accounts=seen_by(connection, [alert_id]).get(alert_id, ()),
                ),
                trail=_trail(connection, row),
                revisions=revisions,
                responses=responses,
                attempts={delivery.id: _attempts(connection, delivery.id) for delivery in deliveries},
                payloads=_payloads(connection, row["id"]),
                evidence=evidence.of(connection, [row["id"]]).get(row["id"], ()),
                items=items_of(connection, [row["id"]]).get(row["id"], ()),
            )

    def queues(self, connectors: Collection[str], *, since: float = 0.0) -> list[Queue]:
        """What each connector is owed: those named, then those that are owed something but not named.

        ``since`` is where the count of what was delivered begins.
        """
        with self._engine.read() as connection:
            orphans = [name for (name,) in connection.execute(_CONNECTORS_WITH_WORK) if name not in connectors]
            return [_queue(connection, name, since) for name in (*connectors, *orphans)]

    def connectors(self) -> list[str]:
        """Every connector that was ever owed something that is still kept, by name."""
        with self._engine.read() as connection:
            return [name for (name,) in connection.execute(_CONNECTORS)]

    def outstanding(self, connectors: Collection[str]) -> int:
        """How many deliveries of ``connectors`` are not settled."""
        queues = self.queues(connectors, since=math.inf)
        return sum(queue.waiting for queue in queues if queue.connector in connectors)

    def gaps(self) -> list[Gap]:
        """Stretches of the feed that were not shown, the newest first."""
        with self._engine.read() as connection:
            rows = connection.execute("SELECT * FROM gaps ORDER BY noticed_at DESC, since").fetchall()
        return [
            Gap(
                severity=_severity(row["severity"]),
                since=unreadable.seconds(row["since"]),
                until=unreadable.seconds(row["until"]),
                noticed_at=unreadable.seconds(row["noticed_at"]),
                account=label(row["account"]),
            )
            for row in rows
        ]

    def set_aside(self, limit: int = 100) -> list[SetAside]:
        """Texts from the feed that are no alert, the newest first."""
        with self._engine.read() as connection:
            rows = connection.execute("SELECT * FROM set_aside ORDER BY seen_at DESC LIMIT ?", (limit,)).fetchall()
        return [
            SetAside(**{**dict(row), "severity": Severity(row["severity"]) if row["severity"] else None})
            for row in rows
        ]

    def totals(self) -> Mapping[str, int]:
        """How many alerts, unrouted alerts, gaps and texts set aside there are."""
        with self._engine.read() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM gaps) AS gaps, (SELECT count(*) FROM set_aside) AS set_aside,"
                " (SELECT count(*) FROM alerts WHERE unrouted = 1 AND origin = 'feed') AS unrouted"
            ).fetchone()
        return dict(row)

    def alerts_a_day(self, since: float) -> list[tuple[str, Severity, int]]:
        """How many alerts were seen each UTC day since then, by severity."""
        with self._engine.read() as connection:
            rows = connection.execute(_BY_DAY, (since,)).fetchall()
        return [(day, _severity(severity), count) for day, severity, count in rows]

    def lateness(self, since: float) -> Lateness | None:
        """How late alerts were seen since then; None where there were none.

        What was published before anything was ever seen is left out: nobody could have seen it earlier.
        """
        with self._engine.read() as connection:
            late = [seconds for (seconds,) in connection.execute(_LATENESS, (since,)).fetchall()]
        return Lateness(count=len(late), median=late[(len(late) - 1) // 2], worst=late[-1]) if late else None

    def last_seen_at(self) -> float | None:
        """When an alert of the feed was last seen; None where none ever was."""
        with self._engine.read() as connection:
            row = connection.execute(
                "SELECT seen_at FROM alerts WHERE origin = 'feed' ORDER BY seen_at DESC LIMIT 1"
            ).fetchone()
        return None if row is None else unreadable.seconds(row["seen_at"])

    def delivered(self, since: Mapping[str, float]) -> Mapping[str, int]:
        """How many deliveries each connector has brought to its destination since its time in ``since``."""
        with self._engine.read() as connection:
            return {name: connection.execute(_DELIVERED, (name, start)).fetchone()[0] for name, start in since.items()}

    def latencies(self, since: float) -> list[tuple[str, float]]:
        """Each delivery settled since then: its connector, and the seconds from owed to delivered."""
        with self._engine.read() as connection:
            return [(connector, seconds) for connector, seconds in connection.execute(_LATENCIES, (since,))]


def _deliveries_of(connection: Connection, alert_ids: Sequence[str]) -> dict[str, list[DeliveryRow]]:
    rows = connection.execute(_DELIVERIES_OF, (json.dumps(alert_ids),)).fetchall()
    found: dict[str, list[DeliveryRow]] = {}
    for row in rows:
        found.setdefault(row["alert_id"], []).append(_delivery_row(row))
    return found


def _alert_row(row: Row, deliveries: Sequence[DeliveryRow], responses: Sequence[Response]) -> AlertRow:
    alert, fault = unreadable.alert_of(row, row["id"])
    return AlertRow(
        alert=alert,
        origin=unreadable.member(Origin, row["origin"], Origin.FEED),
        revision=row["revision"],
        seen_at=unreadable.seconds(row["seen_at"]),
        unrouted=bool(row["unrouted"]),
        muted=unreadable.muted_by_in(row["muted_by"], row["mute"]),
        status=unreadable.member(Status, row["status"], Status.OPEN),
        deliveries=deliveries,
        unreadable=fault,
        past=bool(row["past"]),
        latest=responses[-1] if responses else None,
    )


def _delivery_row(row: Row) -> DeliveryRow:
    receipt_id, settled_at = row["receipt_id"], row["settled_at"]
    alert, fault = unreadable.alert_of(row, row["alert_id"])
    return DeliveryRow(
        id=row["id"],
        alert_id=row["alert_id"],
        title=alert.title,
        severity=_severity(row["severity"]),
        cve_id=row["cve_id"],
        origin=unreadable.member(Origin, row["origin"], Origin.FEED),
        connector=row["connector"],
        kind=unreadable.member(Kind, row["kind"], Kind.OPEN),
        revision=row["revision"],
        # A state that is not known becomes dead when the daemon looks at it next.
        state=unreadable.member(State, row["state"], State.DEAD),
        why=row["why"],
        enqueued_at=unreadable.seconds(row["enqueued_at"]),
        due_at=unreadable.seconds(row["due_at"]),
        settled_at=None if settled_at is None else unreadable.seconds(settled_at),
        attempts=row["attempts"],
        last=row["last"],
        receipt=Receipt(remote_id=receipt_id, url=row["receipt_url"]) if receipt_id else None,
        unreadable=fault,
    )


def _severity(value: str | None) -> Severity:
    return unreadable.member(Severity, value, Severity.CRITICAL)


def _revisions(connection: Connection, alert_id: str) -> list[Revision]:
    rows = connection.execute(
        "SELECT revision, at, changes FROM changes WHERE alert_id = ? ORDER BY revision", (alert_id,)
    ).fetchall()
    return [
        Revision(revision=revision, at=unreadable.seconds(at), changes=unreadable.changes_in(changes))
        for revision, at, changes in rows
    ]


def _attempts(connection: Connection, delivery_id: int) -> list[Attempt]:
    rows = connection.execute(
        "SELECT number, at, seconds, outcome, reason FROM attempts WHERE delivery_id = ? ORDER BY number",
        (delivery_id,),
    ).fetchall()
    return [_attempt(row) for row in rows]


def _attempt(row: Row) -> Attempt:
    outcome = unreadable.member(AttemptResult, row["outcome"], AttemptResult.UNCERTAIN)
    unknown = "" if outcome == row["outcome"] else f"Recorded as {row['outcome']!r}, which this version does not know. "
    return Attempt(
        number=row["number"],
        at=unreadable.seconds(row["at"]),
        seconds=row["seconds"],
        outcome=outcome,
        reason=f"{unknown}{row['reason']}",
    )


def _trail(connection: Connection, row: Row) -> list[Mapping[str, Any]]:
    """What the routes said of an alert, of each that matched that it did: by whom first, where several led there."""
    routed = unreadable.trail_in(row["trail"])
    added = [step for text in added_to(connection, row["id"]) for step in unreadable.trail_in(text)]
    matched = {step["route"]: step for step in reversed([*routed, *added]) if step["matched"]}
    rest = [step for step in routed if step["route"] not in matched or step.get("others")]
    return sorted([*matched.values(), *rest], key=lambda step: step["route"])


def _payloads(connection: Connection, alert_id: str) -> dict[int, dict[str, Any]]:
    rows = connection.execute(
        "SELECT id, payload FROM deliveries WHERE alert_id = ? AND payload IS NOT NULL", (alert_id,)
    ).fetchall()
    return {delivery_id: unreadable.payload_in(payload) for delivery_id, payload in rows}


_WAITING: Final = "connector = ?1 AND state IN ('ready', 'uncertain')"
# Each step asks an index for the next name: it costs the same after a million deliveries.
_CONNECTORS: Final = """
WITH RECURSIVE names (name) AS (
  SELECT min(connector) FROM deliveries INDEXED BY deliveries_settled WHERE settled_at IS NOT NULL
  UNION ALL
  SELECT (SELECT min(connector) FROM deliveries INDEXED BY deliveries_settled
    WHERE settled_at IS NOT NULL AND connector > name)
  FROM names WHERE name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL
UNION SELECT connector FROM deliveries WHERE state IN ('ready', 'uncertain')
UNION SELECT connector FROM deliveries WHERE state = 'sending'
ORDER BY name
"""
_LATENCIES: Final = f"""
SELECT d.connector, max(d.settled_at - d.enqueued_at, 0)
FROM ({_CONNECTORS}) AS names CROSS JOIN deliveries AS d INDEXED BY deliveries_settled ON d.connector = names.name
WHERE d.settled_at IS NOT NULL AND d.settled_at >= ? AND d.state = 'delivered' AND d.kind = 'open'
"""
_CONNECTORS_WITH_WORK: Final = """
SELECT connector FROM deliveries WHERE state IN ('ready', 'uncertain')
UNION SELECT connector FROM deliveries WHERE state = 'sending'
UNION SELECT connector FROM deliveries WHERE state = 'dead'
ORDER BY connector
"""

_DELIVERED: Final = """
SELECT count(*) FROM deliveries
WHERE connector = ?1 AND settled_at IS NOT NULL AND settled_at >= ?2 AND state = 'delivered'
"""
_BY_DAY: Final = """
SELECT day, severity, count(*) FROM (
  SELECT date(seen_at, 'unixepoch') AS day, severity FROM alerts WHERE seen_at >= ? AND origin = 'feed'
) AS seen WHERE day IS NOT NULL GROUP BY day, severity ORDER BY day
"""
_LATENESS: Final = """
SELECT max(seen_at - published_at, 0) AS late FROM alerts INDEXED BY alerts_seen
WHERE seen_at >= ? AND origin = 'feed' AND published_at >= (SELECT min(seen_at) FROM alerts) ORDER BY late
"""

# Each count walks an index that holds only what is not settled: it costs the same after a million alerts.
_QUEUE: Final = f"""
SELECT
  (SELECT count(*) FROM deliveries WHERE {_WAITING} AND state = 'ready') AS ready,
  (SELECT count(*) FROM deliveries WHERE {_WAITING} AND state = 'uncertain') AS uncertain,
  (SELECT count(*) FROM deliveries WHERE connector = ?1 AND state = 'sending') AS sending,
  (SELECT count(*) FROM deliveries WHERE connector = ?1 AND state = 'dead') AS dead,
  (SELECT count(*) FROM deliveries
    WHERE connector = ?1 AND settled_at IS NOT NULL AND settled_at >= ?2 AND state = 'delivered') AS delivered,
  (SELECT min(enqueued_at) FROM deliveries WHERE {_WAITING}) AS oldest_enqueued_at,
  (SELECT settled_at FROM deliveries WHERE connector = ?1 AND settled_at IS NOT NULL AND state = 'delivered'
    ORDER BY settled_at DESC LIMIT 1) AS last_delivered_at,
  coalesce((SELECT value FROM connector_memory WHERE connector = ?1 AND key = ?3), '') AS notice,
  (SELECT last FROM deliveries WHERE {_WAITING} AND last <> '' ORDER BY due_at DESC LIMIT 1) AS last_error
"""


def _queue(connection: Connection, name: str, since: float) -> Queue:
    counts: dict[str, Any] = dict(connection.execute(_QUEUE, (name, since, NOTICE)).fetchone())
    counts |= failing.of(connection, name, last_error=counts["last_error"])
    pause = connection.execute("SELECT * FROM pauses WHERE connector = ?", (name,)).fetchone()
    return Queue(connector=name, **counts, pause=Pause(**dict(pause)) if pause else None)
