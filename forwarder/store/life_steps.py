"""The step that gave alerts a life: what people decide about them, and deliveries that are held for their time."""

from __future__ import annotations

from typing import Final

_ALERTS: Final = """
CREATE TABLE alerts_next (
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
  -- How far it has come, by the last response to it.
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'acknowledged', 'resolved'))
) STRICT;
INSERT INTO alerts_next
SELECT id, origin, severity, cve_id, published_at, body, revision, seen_at, trail, unrouted, past, exact, 'open'
FROM alerts;
DROP TABLE alerts;
ALTER TABLE alerts_next RENAME TO alerts;
CREATE INDEX alerts_seen ON alerts (seen_at);
CREATE INDEX alerts_published ON alerts (published_at);
CREATE INDEX alerts_cve ON alerts (cve_id) WHERE cve_id IS NOT NULL;
CREATE INDEX alerts_unrouted ON alerts (seen_at) WHERE unrouted = 1;
CREATE INDEX alerts_unresolved ON alerts (severity, status, seen_at)
  WHERE origin = 'feed' AND status <> 'resolved' AND past = 0 AND unrouted = 0;
"""

_DELIVERIES: Final = """
CREATE TABLE deliveries_next (
  id INTEGER PRIMARY KEY,
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL CHECK (connector <> ''),
  kind TEXT NOT NULL CHECK (
    kind IN ('open', 'update', 'withdraw', 'acknowledge', 'resolve', 'reopen', 'remind')
  ),
  -- The alert's revision that is told, 0 for an update that only brings links; of a response its number.
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
  -- Until when it is held, by the wall clock, and for what: a schedule, or a digest.
  held_until REAL,
  held_for TEXT,
  UNIQUE (alert_id, connector, kind, revision),
  CHECK (state <> 'sending' OR (claim IS NOT NULL AND lease_until IS NOT NULL)),
  CHECK ((state IN ('delivered', 'dead')) = (settled_at IS NOT NULL)),
  CHECK (state <> 'delivered' OR receipt_id IS NOT NULL),
  CHECK (state <> 'held' OR (held_until IS NOT NULL AND held_for IS NOT NULL))
) STRICT;
INSERT INTO deliveries_next
SELECT id, alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at, claim, lease_until,
  attempts, lookups, failing_since, last, settled_at, receipt_id, receipt_url, payload, sent_as, tried_at, excused,
  uncertain_since, worse, first_revision, refused_at, NULL, NULL
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
CREATE INDEX deliveries_receipt ON deliveries (receipt_id COLLATE NOCASE) WHERE receipt_id IS NOT NULL;
CREATE INDEX deliveries_failing ON deliveries (connector, rank, published_at, id)
  WHERE state IN ('ready', 'uncertain') AND failing_since IS NOT NULL;
CREATE INDEX deliveries_unknown ON deliveries (id)
  WHERE state NOT IN ('held', 'ready', 'sending', 'uncertain', 'delivered', 'dead');
CREATE INDEX deliveries_enqueued ON deliveries (enqueued_at, id);
CREATE INDEX deliveries_held ON deliveries (held_until) WHERE state = 'held';
"""

_RESPONSES: Final = """
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
) STRICT, WITHOUT ROWID;

-- What destinations may tell of more than once, by their own names for it.
CREATE TABLE heard (
  connector TEXT NOT NULL,
  key TEXT NOT NULL CHECK (key <> ''),
  at REAL NOT NULL,
  PRIMARY KEY (connector, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX heard_at ON heard (at);

-- How far each connector's destination was looked at, and how each alert stood there then.
CREATE TABLE looks (
  connector TEXT PRIMARY KEY CHECK (connector <> ''),
  cursor TEXT NOT NULL DEFAULT '',
  looked_at REAL,
  failing_since REAL,
  error TEXT,
  -- Since when nobody is heard there who acts, and why.
  deaf_since REAL,
  deaf TEXT
) STRICT, WITHOUT ROWID;
-- What each digest tells; a digest itself is an alert of that origin.
CREATE TABLE digest_items (
  digest_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  position INTEGER NOT NULL CHECK (position >= 0),
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  PRIMARY KEY (digest_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX digest_items_alert ON digest_items (alert_id);
-- Since when each reminder is in the config, by what it asks for, and how often each alert was told by it.
CREATE TABLE reminders (
  reminder TEXT PRIMARY KEY CHECK (reminder <> ''),
  since REAL NOT NULL
) STRICT, WITHOUT ROWID;
-- When each report was last made, by what it asks for.
CREATE TABLE reports (
  report TEXT PRIMARY KEY CHECK (report <> ''),
  made_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE reminded (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  reminder TEXT NOT NULL,
  -- The last response before it: an alert that is open again is told again.
  response INTEGER NOT NULL,
  step INTEGER NOT NULL CHECK (step >= 0),
  PRIMARY KEY (alert_id, reminder)
) STRICT, WITHOUT ROWID;
CREATE TABLE sightings (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('open', 'acknowledged', 'resolved')),
  PRIMARY KEY (alert_id, connector)
) STRICT, WITHOUT ROWID;
"""

MISSED: Final = """
-- Responses that a connector could not be told, for it was not in use: the first one, of an alert that stands there.
CREATE TABLE missed (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL CHECK (connector <> ''),
  number INTEGER NOT NULL CHECK (number > 0),
  PRIMARY KEY (alert_id, connector)
) STRICT, WITHOUT ROWID;
-- Those in use are asked for again and again, and have missed nothing as a rule.
CREATE INDEX missed_connector ON missed (connector);
"""
"""What people decided while a connector was out of the config."""

LIFE: Final = _ALERTS + "{search}" + _DELIVERIES + _RESPONSES
"""With the triggers of the search in the place of ``{search}``: they went with the table that they watch."""
