"""The step that made the figures quick: what they count is kept with each alert, and indexed, so that none is read."""

from __future__ import annotations

from typing import Final

_UNRESOLVED: Final = """
a.origin = 'feed' AND a.past = 0 AND a.unrouted = 0 AND a.muted_by IS NULL AND a.status <> 'resolved'
"""
# What is held is due nowhere yet: its time begins when it goes out.
_OWED: Final = "d.kind = 'open' AND d.state <> 'held'"
_KEEP: Final = f"""
  INSERT INTO unfinished SELECT a.id, d.connector, a.severity, d.enqueued_at
  FROM alerts AS a JOIN deliveries AS d ON d.alert_id = a.id WHERE {_OWED} AND {_UNRESOLVED} AND {{}}
  ON CONFLICT (alert_id, connector) DO UPDATE SET severity = excluded.severity, enqueued_at = excluded.enqueued_at;
"""

UNFINISHED_WATCHES: Final = f"""
CREATE TRIGGER unfinished_owed AFTER INSERT ON deliveries WHEN new.kind = 'open' BEGIN
  {_KEEP.format("d.id = new.id")}
END;
CREATE TRIGGER unfinished_moved AFTER UPDATE OF connector, enqueued_at, state ON deliveries
WHEN new.kind = 'open' AND ((old.connector, old.enqueued_at) <> (new.connector, new.enqueued_at)
  OR (old.state = 'held') <> (new.state = 'held'))
BEGIN
  DELETE FROM unfinished WHERE alert_id = old.alert_id AND connector = old.connector;
  {_KEEP.format("d.id = new.id")}
END;
CREATE TRIGGER unfinished_gone AFTER DELETE ON deliveries WHEN old.kind = 'open' BEGIN
  DELETE FROM unfinished WHERE alert_id = old.alert_id AND connector = old.connector;
END;
CREATE TRIGGER unfinished_stands AFTER UPDATE OF severity, status, past, unrouted, muted_by ON alerts
WHEN (old.severity, old.status, old.past, old.unrouted) <> (new.severity, new.status, new.past, new.unrouted)
  OR old.muted_by IS NOT new.muted_by
BEGIN
  DELETE FROM unfinished WHERE alert_id = new.id;
  {_KEEP.format("a.id = new.id")}
END;
"""
"""A step that rebuilds ``alerts`` or ``deliveries`` drops these with it, and makes them anew."""

FIGURES: Final = f"""
-- When it was first acknowledged, or resolved without that, and when it was first resolved.
ALTER TABLE alerts ADD COLUMN acknowledged_at REAL;
ALTER TABLE alerts ADD COLUMN resolved_at REAL;
UPDATE alerts SET (acknowledged_at, resolved_at) = (
  SELECT min(at), min(iif(action = 'resolve', at, NULL)) FROM responses
  WHERE alert_id = alerts.id AND action IN ('acknowledge', 'resolve')
) WHERE id IN (SELECT alert_id FROM responses WHERE action IN ('acknowledge', 'resolve'));
CREATE INDEX alerts_acknowledged ON alerts (severity, acknowledged_at, seen_at) WHERE acknowledged_at IS NOT NULL;
CREATE INDEX alerts_resolved ON alerts (severity, resolved_at, seen_at) WHERE resolved_at IS NOT NULL;

-- SQLite reads a row for every column that a query names, also for those by which the index itself is limited.
DROP INDEX alerts_unresolved;
CREATE INDEX alerts_unresolved ON alerts (severity, status, seen_at, muted_by, origin, past, unrouted)
  WHERE origin = 'feed' AND status <> 'resolved' AND past = 0 AND unrouted = 0;
DROP INDEX alerts_unrouted;
CREATE INDEX alerts_unrouted ON alerts (seen_at, origin, unrouted) WHERE unrouted = 1;
CREATE INDEX alerts_counted ON alerts (severity, seen_at, origin, past, unrouted, muted_by)
  WHERE origin = 'feed' AND past = 0 AND unrouted = 0 AND muted_by IS NULL;

-- Since when each connector was owed each alert that is not resolved: whether that is overdue, the config says.
CREATE TABLE unfinished (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL CHECK (connector <> ''),
  -- Of any word: an alert whose severity cannot be read must not keep anything else from being written.
  severity TEXT NOT NULL,
  enqueued_at REAL NOT NULL,
  PRIMARY KEY (alert_id, connector)
) STRICT, WITHOUT ROWID;
INSERT INTO unfinished SELECT a.id, d.connector, a.severity, d.enqueued_at
FROM alerts AS a JOIN deliveries AS d ON d.alert_id = a.id WHERE {_OWED} AND {_UNRESOLVED};
CREATE INDEX unfinished_since ON unfinished (connector, severity, enqueued_at);
{UNFINISHED_WATCHES}"""
