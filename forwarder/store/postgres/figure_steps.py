"""What SQLite's steps of the same names do: the figures' columns and indexes, and what of the evidence is unread."""

from __future__ import annotations

from typing import Final

_KEEP: Final = """
  INSERT INTO forwarder.unfinished SELECT a.id, d.connector, a.severity, d.enqueued_at
  FROM forwarder.alerts AS a JOIN forwarder.deliveries AS d ON d.alert_id = a.id
  WHERE d.kind = 'open' AND d.state <> 'held' AND a.origin = 'feed' AND a.past = 0 AND a.unrouted = 0
    AND a.muted_by IS NULL AND a.status <> 'resolved' AND {}
  ON CONFLICT (alert_id, connector) DO UPDATE SET severity = excluded.severity, enqueued_at = excluded.enqueued_at;
"""

FIGURES: Final = f"""
ALTER TABLE alerts ADD COLUMN acknowledged_at REAL;
ALTER TABLE alerts ADD COLUMN resolved_at REAL;
UPDATE alerts SET acknowledged_at = done.acknowledged, resolved_at = done.resolved
FROM (
  SELECT alert_id, min(at) AS acknowledged, min(at) FILTER (WHERE action = 'resolve') AS resolved
  FROM responses WHERE action IN ('acknowledge', 'resolve') GROUP BY alert_id
) AS done WHERE done.alert_id = alerts.id;
CREATE INDEX alerts_acknowledged ON alerts (severity, acknowledged_at, seen_at) WHERE acknowledged_at IS NOT NULL;
CREATE INDEX alerts_resolved ON alerts (severity, resolved_at, seen_at) WHERE resolved_at IS NOT NULL;

DROP INDEX alerts_unresolved;
CREATE INDEX alerts_unresolved ON alerts (severity, status, seen_at, muted_by, origin, past, unrouted)
  WHERE origin = 'feed' AND status <> 'resolved' AND past = 0 AND unrouted = 0;
DROP INDEX alerts_unrouted;
CREATE INDEX alerts_unrouted ON alerts (seen_at, origin, unrouted) WHERE unrouted = 1;
CREATE INDEX alerts_counted ON alerts (severity, seen_at, origin, past, unrouted, muted_by)
  WHERE origin = 'feed' AND past = 0 AND unrouted = 0 AND muted_by IS NULL;

CREATE TABLE unfinished (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL CHECK (connector <> ''),
  severity TEXT NOT NULL,
  enqueued_at REAL NOT NULL,
  PRIMARY KEY (alert_id, connector)
);
{_KEEP.format("true")}
CREATE INDEX unfinished_since ON unfinished (connector, severity, enqueued_at);

CREATE FUNCTION unfinished_owed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  {_KEEP.format("d.id = new.id")}
  RETURN NULL;
END $$;
CREATE FUNCTION unfinished_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM forwarder.unfinished WHERE alert_id = old.alert_id AND connector = old.connector;
  {_KEEP.format("d.id = new.id")}
  RETURN NULL;
END $$;
CREATE FUNCTION unfinished_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM forwarder.unfinished WHERE alert_id = old.alert_id AND connector = old.connector;
  RETURN NULL;
END $$;
CREATE FUNCTION unfinished_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM forwarder.unfinished WHERE alert_id = new.id;
  {_KEEP.format("a.id = new.id")}
  RETURN NULL;
END $$;
CREATE TRIGGER unfinished_owed AFTER INSERT ON deliveries
  FOR EACH ROW WHEN (new.kind = 'open') EXECUTE FUNCTION unfinished_owed();
CREATE TRIGGER unfinished_moved AFTER UPDATE OF connector, enqueued_at, state ON deliveries
  FOR EACH ROW WHEN (new.kind = 'open' AND ((old.connector, old.enqueued_at) <> (new.connector, new.enqueued_at)
    OR (old.state = 'held') <> (new.state = 'held'))) EXECUTE FUNCTION unfinished_moved();
CREATE TRIGGER unfinished_gone AFTER DELETE ON deliveries
  FOR EACH ROW WHEN (old.kind = 'open') EXECUTE FUNCTION unfinished_gone();
CREATE TRIGGER unfinished_stands AFTER UPDATE OF severity, status, past, unrouted, muted_by ON alerts
  FOR EACH ROW WHEN (
    (old.severity, old.status, old.past, old.unrouted) <> (new.severity, new.status, new.past, new.unrouted)
    OR old.muted_by IS DISTINCT FROM new.muted_by
  ) EXECUTE FUNCTION unfinished_stands();
"""

EVIDENCE_UNREAD: Final = """
ALTER TABLE feed ADD COLUMN evidence_failing_since REAL;
ALTER TABLE feed ADD COLUMN evidence_failed_at REAL;
ALTER TABLE feed ADD COLUMN evidence_failures INTEGER NOT NULL DEFAULT 0 CHECK (evidence_failures >= 0);
ALTER TABLE feed ADD COLUMN evidence_error TEXT;
"""

_IS_UNFINISHED: Final = """{0}.origin = 'feed' AND {0}.past = 0 AND {0}.unrouted = 0 AND {0}.muted_by IS NULL
    AND {0}.status <> 'resolved'"""
# The alert is read by nothing but its id: as long as a table has not been analyzed, an index that is limited by what
# else is asked looks as good, and is gone through as a whole.
_KEEP_ONE: Final = f"""
  IF new.state <> 'held' THEN
    SELECT * INTO a FROM forwarder.alerts WHERE id = new.alert_id;
    IF {_IS_UNFINISHED.format("a")} THEN
      INSERT INTO forwarder.unfinished VALUES (new.alert_id, new.connector, a.severity, new.enqueued_at)
      ON CONFLICT (alert_id, connector) DO UPDATE SET severity = excluded.severity, enqueued_at = excluded.enqueued_at;
    END IF;
  END IF;
  RETURN NULL;
"""
QUICK_WATCHES: Final = f"""
CREATE OR REPLACE FUNCTION unfinished_owed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  a forwarder.alerts;
BEGIN
  {_KEEP_ONE}
END $$;
CREATE OR REPLACE FUNCTION unfinished_moved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  a forwarder.alerts;
BEGIN
  DELETE FROM forwarder.unfinished WHERE alert_id = old.alert_id AND connector = old.connector;
  {_KEEP_ONE}
END $$;
CREATE OR REPLACE FUNCTION unfinished_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM forwarder.unfinished WHERE alert_id = new.id;
  IF {_IS_UNFINISHED.format("new")} THEN
    INSERT INTO forwarder.unfinished SELECT new.id, connector, new.severity, enqueued_at FROM forwarder.deliveries
    WHERE alert_id = new.id AND kind = 'open' AND state <> 'held'
    ON CONFLICT (alert_id, connector) DO UPDATE SET severity = excluded.severity, enqueued_at = excluded.enqueued_at;
  END IF;
  RETURN NULL;
END $$;
"""
"""What keeps ``unfinished`` does so in the same time however many alerts there are."""
