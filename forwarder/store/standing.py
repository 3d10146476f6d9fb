"""An alert that an update brought to its destination, where its open never arrived: it stands there all the same."""

from __future__ import annotations

from typing import Final

from forwarder.alert import got_worse
from forwarder.connector import Kind
from forwarder.store import unreadable
from forwarder.store.connection import Connection
from forwarder.store.enqueue import enqueue, enqueue_discarded

_TOLD: Final = "an update has told it there"

# A receipt without an id says that there was nothing to send.
_ARRIVED: Final = """
SELECT receipt_id, receipt_url, settled_at, coalesce(tried_at, settled_at) AS told_at FROM deliveries
WHERE alert_id = ? AND connector = ? AND kind = 'update' AND state = 'delivered' AND receipt_id <> ''
ORDER BY settled_at DESC, id DESC LIMIT 1
"""

_ADOPT: Final = """
UPDATE deliveries SET state = 'delivered', settled_at = ?, receipt_id = ?, receipt_url = ?, last = ?,
  failing_since = NULL, uncertain_since = NULL, lookups = 0
WHERE alert_id = ? AND connector = ? AND kind = 'open' AND state IN ('dead', 'ready', 'uncertain')
  AND receipt_id IS NULL
"""

_UNTOLD: Final = """
SELECT revision, changes FROM changes WHERE alert_id = ?1 AND at > ?3 AND revision > (
  SELECT coalesce(max(revision), 0) FROM deliveries WHERE alert_id = ?1 AND connector = ?2 AND kind = 'update'
) ORDER BY revision
"""

OVER: Final = "what it told of is over"

_STANDS: Final = """
SELECT EXISTS (SELECT 1 FROM alarms WHERE alarms.alert_id = o.alert_id) AS stands, (
  SELECT max(coalesce(tried_at, settled_at)) FROM deliveries AS d
  WHERE d.alert_id = o.alert_id AND d.connector = o.connector AND d.state = 'delivered'
) AS told_at
FROM deliveries AS o JOIN alerts AS a ON a.id = o.alert_id
WHERE o.alert_id = ? AND o.connector = ? AND o.kind = 'open' AND a.origin = 'alarm'
  AND o.state <> 'dead' AND NOT (o.state = 'ready' AND o.attempts = 0)
"""


def adopt(connection: Connection, alert_id: str, connector: str, *, now: float) -> bool:
    """Settles an open that did not arrive by what an update left there; False where none did, or the open has.

    So nobody sends it once more, and later changes reach it. What changed since that update is owed. It takes back a
    discard, too: news for the worse went there after all.
    """
    arrived = connection.execute(_ARRIVED, (alert_id, connector)).fetchone()
    if arrived is None:
        return False
    enqueue_discarded(connection, alert_id, connector, revision=1, why=_TOLD, now=now)
    where = (arrived["settled_at"], arrived["receipt_id"], arrived["receipt_url"], _TOLD)
    if not connection.execute(_ADOPT, (*where, alert_id, connector)).rowcount:
        return False
    _enqueue_untold(connection, alert_id, connector, arrived["told_at"], now)
    return True


def catch_up(connection: Connection, alert_id: str, connector: str, *, now: float) -> None:
    """Owes what an alarm's message missed while the config did not name its connector: what changed, or the end."""
    row = connection.execute(_STANDS, (alert_id, connector)).fetchone()
    if row is None:
        return
    if not row["stands"]:
        enqueue(connection, alert_id, connector, Kind.WITHDRAW, revision=1, why=OVER, now=now)
    elif row["told_at"] is not None:
        _enqueue_untold(connection, alert_id, connector, row["told_at"], now)


def _enqueue_untold(connection: Connection, alert_id: str, connector: str, told_at: float, now: float) -> None:
    """Owes the changes after ``told_at``: of an alert whose open is dead nobody is told any."""
    untold = connection.execute(_UNTOLD, (alert_id, connector, told_at)).fetchall()
    if not untold:
        return
    revision = untold[-1]["revision"]
    worse = any(got_worse(unreadable.changes_in(row["changes"])) for row in untold)
    why = "changed before it could be told there"
    enqueue(connection, alert_id, connector, Kind.UPDATE, revision=revision, why=why, now=now, worse=worse)
    connection.execute(
        "UPDATE deliveries SET first_revision = ?"
        " WHERE alert_id = ? AND connector = ? AND kind = 'update' AND revision = ?",
        (untold[0]["revision"], alert_id, connector, revision),
    )
