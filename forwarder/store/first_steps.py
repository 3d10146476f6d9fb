"""The tables as they first were, and the step that gave them the field's words. Later steps are in ``schema``."""

from __future__ import annotations

from typing import Final

FIRST: Final = """
CREATE TABLE feed (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  cursor REAL,
  stack TEXT CHECK (stack IS NULL OR json_valid(stack)),
  polled_at REAL,
  poll_error TEXT,
  swept_at REAL,
  sweep_reach REAL
) STRICT;
INSERT INTO feed (id) VALUES (1);

CREATE TABLE alerts (
  id TEXT PRIMARY KEY CHECK (id <> ''),
  origin TEXT NOT NULL CHECK (origin IN ('feed', 'alarm', 'test')),
  severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
  cve_id TEXT,
  published_at REAL NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body)),
  revision INTEGER NOT NULL DEFAULT 1 CHECK (revision >= 1),
  seen_at REAL NOT NULL,
  trail TEXT NOT NULL CHECK (json_valid(trail)),
  unrouted INTEGER NOT NULL CHECK (unrouted IN (0, 1))
) STRICT;
CREATE INDEX alerts_seen ON alerts (seen_at);
CREATE INDEX alerts_published ON alerts (published_at);
CREATE INDEX alerts_cve ON alerts (cve_id) WHERE cve_id IS NOT NULL;
CREATE INDEX alerts_unrouted ON alerts (seen_at) WHERE unrouted = 1;

CREATE TABLE changes (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  revision INTEGER NOT NULL CHECK (revision >= 2),
  at REAL NOT NULL,
  changes TEXT NOT NULL CHECK (json_valid(changes)),
  PRIMARY KEY (alert_id, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY,
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL CHECK (connector <> ''),
  kind TEXT NOT NULL CHECK (kind IN ('open', 'update', 'withdraw')),
  -- The alert's revision that is told; 0 for an update that only brings links.
  revision INTEGER NOT NULL CHECK (revision >= 0),
  state TEXT NOT NULL CHECK (state IN ('ready', 'sending', 'unsure', 'delivered', 'dead')),
  rank INTEGER NOT NULL CHECK (rank >= 0),
  published_at REAL NOT NULL,
  why TEXT NOT NULL,
  owed_at REAL NOT NULL,
  due_at REAL NOT NULL,
  claim TEXT,
  lease_until REAL,
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  looks INTEGER NOT NULL DEFAULT 0 CHECK (looks >= 0),
  failing_since REAL,
  last TEXT NOT NULL DEFAULT '',
  settled_at REAL,
  receipt_id TEXT,
  receipt_url TEXT,
  payload BLOB,
  UNIQUE (alert_id, connector, kind, revision),
  CHECK (state <> 'sending' OR (claim IS NOT NULL AND lease_until IS NOT NULL)),
  CHECK ((state IN ('delivered', 'dead')) = (settled_at IS NOT NULL)),
  CHECK (state <> 'delivered' OR receipt_id IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX deliveries_one_open ON deliveries (alert_id, connector) WHERE kind = 'open';
CREATE INDEX deliveries_waiting ON deliveries (connector, rank, published_at, id) WHERE state IN ('ready', 'unsure');
CREATE INDEX deliveries_due ON deliveries (connector, due_at) WHERE state IN ('ready', 'unsure');
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE state = 'sending';
CREATE INDEX deliveries_dead ON deliveries (connector) WHERE state = 'dead';
CREATE INDEX deliveries_settled ON deliveries (connector, settled_at) WHERE settled_at IS NOT NULL;

CREATE TABLE attempts (
  delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
  number INTEGER NOT NULL CHECK (number >= 1),
  at REAL NOT NULL,
  seconds REAL NOT NULL CHECK (seconds >= 0),
  outcome TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE pauses (
  connector TEXT PRIMARY KEY,
  since REAL NOT NULL,
  reason TEXT NOT NULL,
  probes INTEGER NOT NULL DEFAULT 0 CHECK (probes >= 0),
  probe_at REAL NOT NULL
) STRICT;

CREATE TABLE gaps (
  severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
  since REAL NOT NULL,
  until REAL NOT NULL CHECK (until >= since),
  noticed_at REAL NOT NULL,
  PRIMARY KEY (severity, since, until)
) STRICT, WITHOUT ROWID;

CREATE TABLE set_aside (
  digest TEXT PRIMARY KEY,
  raw TEXT NOT NULL,
  reason TEXT NOT NULL,
  seen_at REAL NOT NULL
) STRICT;

CREATE TABLE alarms (
  key TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  text TEXT NOT NULL,
  alert_id TEXT NOT NULL,
  since REAL NOT NULL,
  told_at REAL NOT NULL,
  last_at REAL NOT NULL
) STRICT;
"""

SECOND: Final = """
CREATE TABLE deliveries_next (
  id INTEGER PRIMARY KEY,
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL CHECK (connector <> ''),
  kind TEXT NOT NULL CHECK (kind IN ('open', 'update', 'withdraw')),
  -- The alert's revision that is told; 0 for an update that only brings links.
  revision INTEGER NOT NULL CHECK (revision >= 0),
  state TEXT NOT NULL CHECK (state IN ('ready', 'sending', 'uncertain', 'delivered', 'dead')),
  rank INTEGER NOT NULL CHECK (rank >= 0),
  published_at REAL NOT NULL,
  why TEXT NOT NULL,
  enqueued_at REAL NOT NULL,
  due_at REAL NOT NULL,
  claim TEXT,
  lease_until REAL,
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  lookups INTEGER NOT NULL DEFAULT 0 CHECK (lookups >= 0),
  failing_since REAL,
  last TEXT NOT NULL DEFAULT '',
  settled_at REAL,
  receipt_id TEXT,
  receipt_url TEXT,
  payload BLOB,
  UNIQUE (alert_id, connector, kind, revision),
  CHECK (state <> 'sending' OR (claim IS NOT NULL AND lease_until IS NOT NULL)),
  CHECK ((state IN ('delivered', 'dead')) = (settled_at IS NOT NULL)),
  CHECK (state <> 'delivered' OR receipt_id IS NOT NULL)
) STRICT;
INSERT INTO deliveries_next
SELECT id, alert_id, connector, kind, revision, CASE state WHEN 'unsure' THEN 'uncertain' ELSE state END, rank,
  published_at, why, owed_at, due_at, claim, lease_until, attempts, looks, failing_since, last, settled_at, receipt_id,
  receipt_url, payload
FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_next RENAME TO deliveries;
CREATE UNIQUE INDEX deliveries_one_open ON deliveries (alert_id, connector) WHERE kind = 'open';
CREATE INDEX deliveries_waiting ON deliveries (connector, rank, published_at, id)
  WHERE state IN ('ready', 'uncertain');
CREATE INDEX deliveries_due ON deliveries (connector, due_at) WHERE state IN ('ready', 'uncertain');
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE state = 'sending';
CREATE INDEX deliveries_dead ON deliveries (connector) WHERE state = 'dead';
CREATE INDEX deliveries_settled ON deliveries (connector, settled_at) WHERE settled_at IS NOT NULL;

UPDATE attempts SET outcome = CASE outcome
  WHEN 'wait' THEN 'rate_limited' WHEN 'look' THEN 'not_found' WHEN 'reject' THEN 'rejected'
  WHEN 'unsure' THEN 'uncertain' ELSE outcome END;

ALTER TABLE alarms RENAME COLUMN kind TO type;
ALTER TABLE alarms RENAME COLUMN told_at TO notified_at;
UPDATE alarms SET type = 'template_failed', key = replace(key, 'wording_failed', 'template_failed')
  WHERE type = 'wording_failed';
"""
"""The words of the tables, as the field has them."""
