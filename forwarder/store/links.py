"""Where else an alert stands: the receipt at the connector itself, and links to the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from forwarder.connector import Link, Receipt
from forwarder.store.connection import Connection, Row

STANDS: Final = """(
  o.state NOT IN ('dead', 'held') AND (o.receipt_id IS NULL OR o.receipt_id <> '' OR EXISTS (
    SELECT 1 FROM deliveries AS later WHERE later.alert_id = o.alert_id AND later.connector = o.connector
      AND later.kind IN ('update', 'remind') AND later.state <> 'dead'
      AND (later.receipt_id IS NULL OR later.receipt_id <> '')
  ))
)"""
"""Whether an alert stands at a connector, or is about to, given its open ``o`` there.

What is held has gone nowhere. What a digest told has nothing of its own there, until worse news or a reminder of it is
a message.
"""

_ELSEWHERE: Final = """
SELECT alert_id, id, connector, receipt_id, receipt_url FROM deliveries
WHERE alert_id IN (SELECT value FROM json_each(?)) AND state = 'delivered' ORDER BY settled_at, id
"""


def delivered_of(connection: Connection, alert_ids: Sequence[str]) -> dict[str, list[Row]]:
    """The deliveries of each alert that arrived, in the order in which they did."""
    found: dict[str, list[Row]] = {}
    for row in connection.execute(_ELSEWHERE, (json.dumps(alert_ids),)):
        found.setdefault(row["alert_id"], []).append(row)
    return found


def elsewhere(row: Row, delivered: Sequence[Row]) -> tuple[Receipt | None, tuple[Link, ...]]:
    """Where the alert of a delivery stands at its connector, and at the others that gave a link."""
    receipt, links = None, {}
    for other in delivered:
        name, url = other["connector"], other["receipt_url"]
        if other["id"] == row["id"]:
            continue
        if name == row["connector"]:
            # Without an id there was nothing to send, or it was told in a digest.
            receipt = Receipt(remote_id=other["receipt_id"], url=url) if other["receipt_id"] else receipt
        elif url:
            links[name] = Link(connector=name, text=other["receipt_id"], url=url)
    return receipt, tuple(links.values())
