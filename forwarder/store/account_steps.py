"""The steps that give each account a feed of its own, and each alert the accounts that see it, and how they see it."""

from __future__ import annotations

from typing import Final

ACCOUNTS: Final = """
CREATE TABLE feed_next (
  id INTEGER PRIMARY KEY,
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
  stack_read INTEGER NOT NULL DEFAULT 0 CHECK (stack_read IN (0, 1)),
  evidence_failing_since REAL,
  evidence_failed_at REAL,
  evidence_failures INTEGER NOT NULL DEFAULT 0 CHECK (evidence_failures >= 0),
  evidence_error TEXT,
  account TEXT NOT NULL DEFAULT 'default' UNIQUE CHECK (account <> ''),
  -- The newest time of publication of what was forgotten: no account's floor lies before it.
  forgotten REAL
) STRICT;
INSERT INTO feed_next (id, cursor, polled_at, poll_error, swept_at, sweep_reach, floor, floor_is_local, started_at,
  reach, sweep_error, sweeps_failed, key_refused, unread_since, unread_starts, stack_read, evidence_failing_since,
  evidence_failed_at, evidence_failures, evidence_error)
SELECT id, cursor, polled_at, poll_error, swept_at, sweep_reach, floor, floor_is_local, started_at, reach, sweep_error,
  sweeps_failed, key_refused, unread_since, unread_starts, stack_read, evidence_failing_since, evidence_failed_at,
  evidence_failures, evidence_error FROM feed;
DROP TABLE feed;
ALTER TABLE feed_next RENAME TO feed;

CREATE TABLE alert_accounts (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  account TEXT NOT NULL CHECK (account <> ''),
  seen_at REAL NOT NULL,
  -- Whether it is from before this account's floor, and is never owed for it.
  past INTEGER NOT NULL CHECK (past IN (0, 1)),
  -- The last revision of it that the API, asked for it alone, did not show this account; 0 where there is none.
  absent INTEGER NOT NULL DEFAULT 0 CHECK (absent >= 0),
  -- The digest of the form that this account showed last, where another one has shown a different form since.
  shown TEXT,
  PRIMARY KEY (alert_id, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_accounts_account ON alert_accounts (account);
CREATE INDEX alert_accounts_seen ON alert_accounts (seen_at) WHERE account <> 'default';
INSERT INTO alert_accounts (alert_id, account, seen_at, past)
SELECT id, 'default', seen_at, past FROM alerts WHERE origin = 'feed';

-- How often it was routed anew: who routes it says which form that rests on.
ALTER TABLE alerts ADD COLUMN version INTEGER NOT NULL DEFAULT 0 CHECK (version >= 0);

CREATE TABLE stacks (
  account TEXT NOT NULL CHECK (account <> ''),
  key TEXT NOT NULL CHECK (key <> ''),
  PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX stacks_key ON stacks (key);
INSERT INTO stacks SELECT 'default', key FROM vendors;

-- Here and below the key's columns come first, in its order: else SQLite's checks (seen in 3.40) read other columns of
-- a table without rowids than they name, find NULL in them, and a whole file counts as damaged.
CREATE TABLE uncategorized_next (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  account TEXT NOT NULL CHECK (account <> ''),
  vendors TEXT NOT NULL CHECK (json_valid(vendors)),
  PRIMARY KEY (alert_id, account)
) STRICT, WITHOUT ROWID;
INSERT INTO uncategorized_next SELECT alert_id, 'default', vendors FROM uncategorized;
DROP TABLE uncategorized;
ALTER TABLE uncategorized_next RENAME TO uncategorized;

CREATE TABLE gaps_next (
  account TEXT NOT NULL CHECK (account <> ''),
  severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
  since REAL NOT NULL,
  until REAL NOT NULL CHECK (until >= since),
  noticed_at REAL NOT NULL,
  PRIMARY KEY (account, severity, since, until)
) STRICT, WITHOUT ROWID;
INSERT INTO gaps_next SELECT 'default', severity, since, until, noticed_at FROM gaps;
DROP TABLE gaps;
ALTER TABLE gaps_next RENAME TO gaps;
"""

VIEWS: Final = """
-- What the routes said that this account alone has brought the alert to.
ALTER TABLE alert_accounts ADD COLUMN trail TEXT CHECK (trail IS NULL OR json_valid(trail));
-- What routes and people go by of the form that ``shown`` is the digest of.
ALTER TABLE alert_accounts ADD COLUMN view TEXT CHECK (view IS NULL OR json_valid(view));
"""
"""What each account adds to where an alert goes, and how it shows it: nothing of that is the alert's own."""
