"""What is owed for an alert that changed: who gets it now, and who hears of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from forwarder.alert import Alert, Change, got_worse
from forwarder.connector import Kind
from forwarder.store.connection import Connection
from forwarder.store.enqueue import enqueue, enqueue_discarded, record_change
from forwarder.store.holds import release_alert
from forwarder.store.links import STANDS
from forwarder.store.records import RoutedAlert
from forwarder.store.responses import reopen_worse


def enqueue_change(
    connection: Connection,
    item: RoutedAlert,
    changes: Sequence[Change],
    *,
    revision: int,
    connectors: Collection[str],
    now: float,
) -> set[str]:
    """Owes what follows from an alert's new form, and returns the connectors that are owed something.

    It is opened where its targets never had it, and for the worse where a person discarded it. Of ``connectors``, those
    in use, the ones that have it hear of ``changes``; of worse news the others do, too.
    """
    alert, worse = item.alert, got_worse(changes)
    opened, discarded = _opened(connection, alert.id, worse=worse), _discarded(connection, alert.id)
    why = "changed: " + ", ".join(change.field for change in changes)
    opens = {
        connector: reason
        for connector, reason in item.targets.items()
        if connector not in opened and connector not in discarded
    }
    for connector, reason in opens.items():
        hold = None if worse else item.holds.get(connector)
        enqueue(connection, alert.id, connector, Kind.OPEN, revision=revision, why=reason, now=now, hold=hold)
    reached = set(opens)
    if worse:
        reached |= release_alert(connection, alert.id, now=now)
        # Wherever the routes lead by now: had it arrived there, that place would hear of this as well.
        for connector in sorted(discarded - opened.keys()):
            reason = item.targets.get(connector, why)
            enqueue_discarded(connection, alert.id, connector, revision=revision, why=reason, now=now)
            reached.add(connector)
    if changes:
        record_change(connection, alert.id, revision, changes, now)
        _reorder(connection, alert, worse=worse)
        if worse:
            reopen_worse(connection, alert.id, why, now)
        for connector in _told(opened, connectors, worse=worse):
            enqueue(connection, alert.id, connector, Kind.UPDATE, revision=revision, why=why, now=now, worse=worse)
            reached.add(connector)
    return reached


def _opened(connection: Connection, alert_id: str, *, worse: bool) -> dict[str, bool]:
    """The connectors that were owed the alert, and whether an update of it has something to follow there.

    What was never tried, is held, or waits as a dead letter, will tell the new form by itself; what a digest alone told
    is told again for the ``worse``.
    """
    rows = connection.execute(
        "SELECT o.connector, o.state NOT IN ('dead', 'held') AND NOT (o.state = 'ready' AND o.attempts = 0)"
        f" AND (? OR {STANDS}) FROM deliveries AS o WHERE o.alert_id = ? AND o.kind = 'open'",
        (worse, alert_id),
    )
    return {connector: bool(follows) for connector, follows in rows}


def _discarded(connection: Connection, alert_id: str) -> set[str]:
    rows = connection.execute("SELECT connector FROM discards WHERE alert_id = ?", (alert_id,))
    return {connector for (connector,) in rows}


def _told(opened: Mapping[str, bool], connectors: Collection[str], *, worse: bool) -> list[str]:
    """Those to whom an update is owed, of all that were owed the alert.

    A connector that left the config may be about to be renamed, or come back. Worse news waits for that, and shows as
    orphaned until a person decides; any other change would only pile up.
    """
    return [connector for connector, follows in opened.items() if follows and (worse or connector in connectors)]


def _reorder(connection: Connection, alert: Alert, *, worse: bool) -> None:
    """Puts what is owed of a changed alert where it belongs in the line by now."""
    # Whatever its state: what is being sent may come back, and people repeat what is settled.
    connection.execute(
        "UPDATE deliveries SET rank = ? WHERE alert_id = ? AND revision > 0", (alert.severity.rank, alert.id)
    )
    if worse:
        # Nobody knows the alert yet where its open waits in a backoff, and it tells the news by itself.
        connection.execute(
            "UPDATE deliveries SET due_at = 0 WHERE alert_id = ? AND kind = 'open' AND state IN ('ready', 'uncertain')",
            (alert.id,),
        )
