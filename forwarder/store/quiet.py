"""What becomes of an alert that a mute keeps quiet, or kept quiet until it changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from forwarder.store.connection import Connection
from forwarder.store.mute_records import MutedBy
from forwarder.store.records import RoutedAlert

_QUIET: Final = """
SELECT muted_by IS NOT NULL AS quiet,
  EXISTS (SELECT 1 FROM deliveries AS d WHERE d.alert_id = a.id AND d.kind = 'open')
    OR EXISTS (SELECT 1 FROM discards AS d WHERE d.alert_id = a.id) AS gone_out
FROM alerts AS a WHERE id = ?
"""


def changed(connection: Connection, item: RoutedAlert) -> RoutedAlert:
    """An alert that changed, with its targets by whether it was kept quiet before, and whether it is now.

    What has gone out already, no mute takes back. What was kept quiet and is not any more is routed anew, whole.
    """
    row = connection.execute(_QUIET, (item.alert.id,)).fetchone()
    if item.muted and (row["quiet"] or not row["gone_out"]):
        return replace(item, targets={})
    if row["quiet"] and item.decision:
        return replace(item, targets=item.decision.targets)
    return replace(item, muted=None)


def columns(muted: MutedBy | None) -> tuple[str | None, str | None]:
    """What ``muted_by`` and ``mute`` of an alert hold."""
    return (muted.id, json.dumps(muted.facts)) if muted else (None, None)
