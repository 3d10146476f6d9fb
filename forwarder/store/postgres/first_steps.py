"""The tables with which a PostgreSQL database begins."""

from __future__ import annotations

from typing import Final

TABLES: Final = """
CREATE TABLE feed (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  cursor REAL,
  polled_at REAL,
  poll_error TEXT,
  swept_at REAL,
  sweep_reach REAL,
  floor REAL,
  floor_is_local INTEGER NOT NULL DEFAULT 0 CHECK (floor_is_local IN (0, 1)),
  started_at REAL,
  reach TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(reach)),
  sweep_error TEXT,
  sweeps_failed INTEGER NOT NULL DEFAULT 0 CHECK (sweeps_failed >= 0),
  key_refused TEXT,
  unread_since REAL,
  unread_starts INTEGER NOT NULL DEFAULT 0 CHECK (unread_starts >= 0),
  stack_read INTEGER NOT NULL DEFAULT 0 CHECK (stack_read IN (0, 1))
) WITH (fillfactor = 20);
INSERT INTO feed (id) VALUES (1);

CREATE TABLE alerts (
  id TEXT PRIMARY KEY CHECK (id <> ''),
  origin TEXT NOT NULL CHECK (origin IN ('feed', 'alarm', 'test', 'digest', 'report')),
  severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
  cve_id TEXT,
  published_at REAL NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body)),
  revision INTEGER NOT NULL DEFAULT 1 CHECK (revision >= 1),
  seen_at REAL NOT NULL,
  trail TEXT NOT NULL CHECK (json_valid(trail)),
  unrouted INTEGER NOT NULL CHECK (unrouted IN (0, 1)),
  past INTEGER NOT NULL DEFAULT 0 CHECK (past IN (0, 1)),
  exact INTEGER NOT NULL DEFAULT 1 CHECK (exact IN (0, 1)),
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'acknowledged', 'resolved')),
  muted_by TEXT CHECK (muted_by <> ''),
  mute TEXT CHECK (mute IS NULL OR json_valid(mute)) CHECK ((mute IS NULL) = (muted_by IS NULL))
) WITH (fillfactor = 90);
CREATE INDEX alerts_seen ON alerts (seen_at);
CREATE INDEX alerts_published ON alerts (published_at);
-- An index holds no text of any length, and people's questions are for what looks like a CVE.
CREATE INDEX alerts_cve ON alerts (cve_id) WHERE cve_id IS NOT NULL AND length(cve_id) < 100;
CREATE INDEX alerts_unrouted ON alerts (seen_at) WHERE unrouted = 1;
CREATE INDEX alerts_muted ON alerts (muted_by) WHERE muted_by IS NOT NULL;
CREATE INDEX alerts_unresolved ON alerts (severity, status, seen_at, muted_by)
  WHERE origin = 'feed' AND status <> 'resolved' AND past = 0 AND unrouted = 0;

CREATE TABLE changes (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  revision INTEGER NOT NULL CHECK (revision >= 2),
  at REAL NOT NULL,
  changes TEXT NOT NULL CHECK (json_valid(changes)),
  PRIMARY KEY (alert_id, revision)
);
CREATE INDEX changes_at ON changes (at);

CREATE TABLE deliveries (
  id IDENTITY PRIMARY KEY,
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL CHECK (connector <> ''),
  kind TEXT NOT NULL CHECK (kind IN ('open', 'update', 'withdraw', 'acknowledge', 'resolve', 'reopen', 'remind')),
  revision INTEGER NOT NULL CHECK (revision >= 0),
  state TEXT NOT NULL CHECK (state IN ('held', 'ready', 'sending', 'uncertain', 'delivered', 'dead')),
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
  sent_as TEXT,
  tried_at REAL,
  excused INTEGER NOT NULL DEFAULT 0 CHECK (excused >= 0),
  uncertain_since REAL,
  worse INTEGER NOT NULL DEFAULT 0 CHECK (worse IN (0, 1)),
  first_revision INTEGER,
  refused_at REAL,
  held_until REAL,
  held_for TEXT,
  UNIQUE (alert_id, connector, kind, revision),
  CHECK (state <> 'sending' OR (claim IS NOT NULL AND lease_until IS NOT NULL)),
  CHECK ((state IN ('delivered', 'dead')) = (settled_at IS NOT NULL)),
  CHECK (state <> 'delivered' OR receipt_id IS NOT NULL),
  CHECK (state <> 'held' OR (held_until IS NOT NULL AND held_for IS NOT NULL))
-- A row changes three or four times: ready, sending, delivered.
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
CREATE UNIQUE INDEX deliveries_one_open ON deliveries (alert_id, connector) WHERE kind = 'open';
CREATE INDEX deliveries_waiting ON deliveries (connector, rank, published_at, id) WHERE state IN ('ready', 'uncertain');
CREATE INDEX deliveries_due ON deliveries (connector, due_at) WHERE state IN ('ready', 'uncertain');
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE state = 'sending';
CREATE INDEX deliveries_dead ON deliveries (connector) WHERE state = 'dead';
CREATE INDEX deliveries_settled ON deliveries (connector, settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX deliveries_receipt ON deliveries (lower(left(receipt_id, 200))) WHERE receipt_id IS NOT NULL;
CREATE INDEX deliveries_failing ON deliveries (connector, rank, published_at, id)
  WHERE state IN ('ready', 'uncertain') AND failing_since IS NOT NULL;
CREATE INDEX deliveries_unknown ON deliveries (id)
  WHERE state NOT IN ('held', 'ready', 'sending', 'uncertain', 'delivered', 'dead');
CREATE INDEX deliveries_enqueued ON deliveries (enqueued_at, id);
CREATE INDEX deliveries_held ON deliveries (held_until) WHERE state = 'held';

CREATE TABLE attempts (
  delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
  number INTEGER NOT NULL CHECK (number >= 1),
  at REAL NOT NULL,
  seconds REAL NOT NULL CHECK (seconds >= 0),
  outcome TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (delivery_id, number)
);

CREATE TABLE pauses (
  connector TEXT PRIMARY KEY,
  since REAL NOT NULL,
  reason TEXT NOT NULL,
  probes INTEGER NOT NULL DEFAULT 0 CHECK (probes >= 0),
  probe_at REAL NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE gaps (
  severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
  since REAL NOT NULL,
  until REAL NOT NULL CHECK (until >= since),
  noticed_at REAL NOT NULL,
  PRIMARY KEY (severity, since, until)
);

CREATE TABLE set_aside (
  digest TEXT PRIMARY KEY,
  raw TEXT NOT NULL,
  reason TEXT NOT NULL,
  seen_at REAL NOT NULL,
  severity TEXT CHECK (severity IN ('critical', 'high', 'medium', 'low')),
  told TEXT NOT NULL DEFAULT ''
);

CREATE TABLE alarms (
  key TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  subject TEXT NOT NULL,
  text TEXT NOT NULL,
  alert_id TEXT NOT NULL,
  since REAL NOT NULL,
  notified_at REAL NOT NULL,
  last_at REAL NOT NULL,
  severity TEXT NOT NULL DEFAULT 'low' CHECK (severity IN ('critical', 'high', 'medium', 'low')),
  kev INTEGER NOT NULL DEFAULT 0 CHECK (kev IN (0, 1)),
  instance TEXT NOT NULL DEFAULT '',
  notified TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(notified))
);

CREATE TABLE failures (
  type TEXT NOT NULL CHECK (type <> ''),
  subject TEXT NOT NULL,
  at REAL NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (type, subject)
);

CREATE TABLE searchable (
  id IDENTITY PRIMARY KEY,
  alert_id TEXT NOT NULL UNIQUE REFERENCES alerts (id) ON DELETE CASCADE,
  words TEXT NOT NULL
);
CREATE INDEX searchable_trigrams ON searchable USING gin (trigrams(words));

CREATE TABLE sessions (
  digest TEXT PRIMARY KEY CHECK (digest <> ''),
  began_at REAL NOT NULL,
  seen_at REAL NOT NULL
);

CREATE TABLE web_token (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  salt BLOB NOT NULL,
  digest BLOB NOT NULL
);

CREATE TABLE connector_memory (
  connector TEXT NOT NULL CHECK (connector <> ''),
  key TEXT NOT NULL CHECK (key <> ''),
  value TEXT NOT NULL CHECK (value <> ''),
  PRIMARY KEY (connector, key)
);

CREATE TABLE discards (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL CHECK (connector <> ''),
  enqueued_at REAL NOT NULL,
  uncertain INTEGER NOT NULL CHECK (uncertain IN (0, 1)),
  sent_as TEXT,
  PRIMARY KEY (alert_id, connector)
);

CREATE TABLE undated (
  alert_id TEXT PRIMARY KEY CHECK (alert_id <> ''),
  first_seen_at REAL NOT NULL
);

CREATE TABLE daemon (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  pid INTEGER,
  began INTEGER,
  config TEXT,
  started_at REAL,
  ended_at REAL,
  config_since REAL,
  requested INTEGER NOT NULL DEFAULT 0 CHECK (requested >= 0),
  answered INTEGER NOT NULL DEFAULT 0 CHECK (answered >= 0),
  verdict TEXT CHECK (verdict IN ('taken_over', 'refused', 'needs_restart', 'failed')),
  verdict_at REAL,
  problems TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(problems)),
  CHECK ((verdict IS NULL) = (verdict_at IS NULL))
);
INSERT INTO daemon (id) VALUES (1);

CREATE TABLE vendors (
  key TEXT PRIMARY KEY CHECK (key <> ''),
  name TEXT NOT NULL CHECK (name <> ''),
  categories TEXT CHECK (categories IS NULL OR json_valid(categories))
);

CREATE TABLE uncategorized (
  alert_id TEXT PRIMARY KEY REFERENCES alerts (id) ON DELETE CASCADE,
  vendors TEXT NOT NULL CHECK (json_valid(vendors))
);

CREATE TABLE evidence (
  alert_id TEXT PRIMARY KEY REFERENCES alerts (id) ON DELETE CASCADE,
  revision INTEGER NOT NULL CHECK (revision >= 0),
  lines TEXT NOT NULL CHECK (json_valid(lines)),
  failures INTEGER NOT NULL CHECK (failures >= 0),
  due_at REAL NOT NULL
);

CREATE TABLE responses (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  number INTEGER NOT NULL CHECK (number >= 1),
  action TEXT NOT NULL CHECK (action IN ('acknowledge', 'resolve', 'reopen')),
  resolution TEXT CHECK (resolution IN ('done', 'not_affected', 'withdrawn')),
  at REAL NOT NULL,
  place TEXT NOT NULL CHECK (place <> ''),
  person TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (alert_id, number),
  CHECK ((action = 'resolve') = (resolution IS NOT NULL))
);

CREATE TABLE heard (
  connector TEXT NOT NULL,
  key TEXT NOT NULL CHECK (key <> ''),
  at REAL NOT NULL,
  PRIMARY KEY (connector, key)
);
CREATE INDEX heard_at ON heard (at);

CREATE TABLE looks (
  connector TEXT PRIMARY KEY CHECK (connector <> ''),
  cursor TEXT NOT NULL DEFAULT '',
  looked_at REAL,
  failing_since REAL,
  error TEXT,
  deaf_since REAL,
  deaf TEXT
) WITH (fillfactor = 50);

CREATE TABLE digest_items (
  digest_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  position INTEGER NOT NULL CHECK (position >= 0),
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  PRIMARY KEY (digest_id, position)
);
CREATE INDEX digest_items_alert ON digest_items (alert_id);

CREATE TABLE reminders (reminder TEXT PRIMARY KEY CHECK (reminder <> ''), since REAL NOT NULL);
CREATE TABLE reports (report TEXT PRIMARY KEY CHECK (report <> ''), made_at REAL NOT NULL);

CREATE TABLE reminded (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  reminder TEXT NOT NULL,
  response INTEGER NOT NULL,
  step INTEGER NOT NULL CHECK (step >= 0),
  PRIMARY KEY (alert_id, reminder)
);

CREATE TABLE sightings (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('open', 'acknowledged', 'resolved')),
  PRIMARY KEY (alert_id, connector)
);

CREATE TABLE mutes (
  id IDENTITY PRIMARY KEY,
  conditions TEXT NOT NULL CHECK (json_valid(conditions)),
  even_if_worse INTEGER NOT NULL CHECK (even_if_worse IN (0, 1)),
  until REAL NOT NULL,
  reason TEXT NOT NULL CHECK (reason <> ''),
  person TEXT NOT NULL,
  place TEXT NOT NULL CHECK (place <> ''),
  created_at REAL NOT NULL,
  ended_at REAL,
  ended_by TEXT,
  CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
"""
"""As SQLite's steps until ``0017_mutes`` leave them."""
