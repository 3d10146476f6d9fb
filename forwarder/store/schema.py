"""The tables, and how a database of an older version becomes one of this.

Every invariant that a row can break is a constraint. Times are seconds since the epoch; JSON is text.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from typing import Final

from forwarder.store.account_steps import ACCOUNTS, VIEWS
from forwarder.store.claim_steps import CLAIMS
from forwarder.store.figure_steps import FIGURES
from forwarder.store.first_steps import FIRST, SECOND
from forwarder.store.life_steps import LIFE, MISSED
from forwarder.store.mute_steps import MUTES
from forwarder.store.reminder_steps import REMINDERS

APPLICATION_ID: Final = 0x53545846
"""What ``PRAGMA application_id`` says in a database of ours ("STXF")."""

_WORDS: Final = """
{alert}.id || char(10) || coalesce({alert}.cve_id, '') || CASE WHEN json_valid({alert}.body) THEN
  char(10) || coalesce(json_extract({alert}.body, '$.title'), '')
  || char(10) || coalesce((SELECT group_concat(value, char(10)) FROM json_each({alert}.body, '$.affected_vendors')), '')
  ELSE '' END
"""
_WATCHES: Final = f"""
CREATE TRIGGER alerts_searchable AFTER INSERT ON alerts BEGIN
  INSERT INTO searchable (alert_id, words) VALUES (new.id, {_WORDS.format(alert="new")});
END;
CREATE TRIGGER alerts_searchable_again AFTER UPDATE OF body ON alerts BEGIN
  UPDATE searchable SET words = {_WORDS.format(alert="new")} WHERE alert_id = new.id;
END;
"""
_SEARCH: Final = f"""
CREATE TABLE searchable (
  id INTEGER PRIMARY KEY,
  alert_id TEXT NOT NULL UNIQUE REFERENCES alerts (id) ON DELETE CASCADE,
  words TEXT NOT NULL
) STRICT;
CREATE VIRTUAL TABLE search USING fts5(words, content='searchable', content_rowid='id', tokenize='trigram');
CREATE TRIGGER searchable_added AFTER INSERT ON searchable BEGIN
  INSERT INTO search (rowid, words) VALUES (new.id, new.words);
END;
CREATE TRIGGER searchable_changed AFTER UPDATE OF words ON searchable WHEN old.words <> new.words BEGIN
  INSERT INTO search (search, rowid, words) VALUES ('delete', old.id, old.words);
  INSERT INTO search (rowid, words) VALUES (new.id, new.words);
END;
CREATE TRIGGER searchable_removed AFTER DELETE ON searchable BEGIN
  INSERT INTO search (search, rowid, words) VALUES ('delete', old.id, old.words);
END;
{_WATCHES}INSERT INTO searchable (alert_id, words) SELECT id, {_WORDS.format(alert="alerts")} FROM alerts;
CREATE INDEX deliveries_receipt ON deliveries (receipt_id COLLATE NOCASE) WHERE receipt_id IS NOT NULL;
"""
"""Alerts are found by any part of what they are called by, and by their receipts."""

_SESSIONS: Final = """
CREATE TABLE sessions (
  digest TEXT PRIMARY KEY CHECK (digest <> ''),
  began_at REAL NOT NULL,
  seen_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE web_token (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  salt BLOB NOT NULL,
  digest BLOB NOT NULL
) STRICT;
"""
"""Who is signed in at the status page, and by what the token under which they did so is known again."""

_FLOOR: Final = """
ALTER TABLE feed ADD COLUMN floor REAL;
-- Whether the floor is still by our own clock, because no answer has told the server's time yet.
ALTER TABLE feed ADD COLUMN floor_is_local INTEGER NOT NULL DEFAULT 0 CHECK (floor_is_local IN (0, 1));
ALTER TABLE feed ADD COLUMN started_at REAL;
ALTER TABLE feed ADD COLUMN reach TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(reach));
ALTER TABLE feed ADD COLUMN sweep_error TEXT;
ALTER TABLE feed ADD COLUMN sweeps_failed INTEGER NOT NULL DEFAULT 0 CHECK (sweeps_failed >= 0);
ALTER TABLE alerts ADD COLUMN past INTEGER NOT NULL DEFAULT 0 CHECK (past IN (0, 1));

-- What was known without any route being asked is from before the first start.
UPDATE alerts SET past = 1 WHERE origin = 'feed' AND trail = '[]' AND unrouted = 0;
-- The oldest that was owed may be one that is kept because it is not settled, from long before others that were
-- forgotten: the floor is not below these. They were seen before all that is kept for no other reason than its age, and
-- published before what the last sweep read again; without a sweep, before look_back as it is by default.
UPDATE feed SET
  floor = min(cursor, max(
    coalesce((SELECT min(published_at) FROM alerts WHERE origin = 'feed' AND past = 0), cursor),
    min(
      coalesce(sweep_reach, coalesce(polled_at, cursor) - 604800),
      coalesce((
        SELECT min(seen_at) FROM alerts AS a WHERE origin = 'feed' AND NOT EXISTS (
          SELECT 1 FROM deliveries AS d WHERE d.alert_id = a.id AND d.state <> 'delivered'
        )
      ), cursor)
    )
  )),
  started_at = coalesce(polled_at, cursor)
WHERE cursor IS NOT NULL;
"""
"""What was published before the floor is never owed; how far sweeps reach, and why they fail."""

_CONNECTOR_MEMORY: Final = """
CREATE TABLE connector_memory (
  connector TEXT NOT NULL CHECK (connector <> ''),
  key TEXT NOT NULL CHECK (key <> ''),
  value TEXT NOT NULL CHECK (value <> ''),
  PRIMARY KEY (connector, key)
) STRICT, WITHOUT ROWID;
"""
"""What connectors still know after a restart."""

_OPERATORS: Final = """
-- The connector's name when it was first sent, where it was renamed since: what it was marked with there.
ALTER TABLE deliveries ADD COLUMN sent_as TEXT;

-- Alerts that a person does not want sent to a connector, with what is needed to send them after all.
CREATE TABLE discards (
  alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  connector TEXT NOT NULL CHECK (connector <> ''),
  enqueued_at REAL NOT NULL,
  uncertain INTEGER NOT NULL CHECK (uncertain IN (0, 1)),
  sent_as TEXT,
  PRIMARY KEY (alert_id, connector)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_unknown ON deliveries (id)
  WHERE state NOT IN ('ready', 'sending', 'uncertain', 'delivered', 'dead');
"""
"""What people decide outlives the delivery that they decided on; what no version knows is found at no cost."""

_FAIRNESS: Final = """
-- When it was last claimed: a destination that seems to be down is probed with what was tried least recently.
ALTER TABLE deliveries ADD COLUMN tried_at REAL;
UPDATE deliveries SET tried_at = enqueued_at WHERE attempts > 0;
-- Attempts that count against the destination, and not against this delivery: its backoff leaves them out.
ALTER TABLE deliveries ADD COLUMN excused INTEGER NOT NULL DEFAULT 0 CHECK (excused >= 0);
-- When it was last sent without a clear answer: from then on the times at which it is looked for are counted.
ALTER TABLE deliveries ADD COLUMN uncertain_since REAL;
-- Whether an update carries worse news.
ALTER TABLE deliveries ADD COLUMN worse INTEGER NOT NULL DEFAULT 0 CHECK (worse IN (0, 1));
-- The first revision whose changes an update tells, where it has taken in earlier ones.
ALTER TABLE deliveries ADD COLUMN first_revision INTEGER;
CREATE INDEX deliveries_failing ON deliveries (connector, rank, published_at, id)
  WHERE state IN ('ready', 'uncertain') AND failing_since IS NOT NULL;
"""
"""What keeps failing is told from what waits because of an outage, and worse news from other updates."""

_ALARMS: Final = """
ALTER TABLE feed ADD COLUMN key_refused TEXT;
ALTER TABLE feed ADD COLUMN unread_since REAL;
ALTER TABLE feed ADD COLUMN unread_starts INTEGER NOT NULL DEFAULT 0 CHECK (unread_starts >= 0);
UPDATE feed SET key_refused = (SELECT text FROM alarms WHERE type = 'key_refused');

ALTER TABLE alarms ADD COLUMN severity TEXT NOT NULL DEFAULT 'low'
  CHECK (severity IN ('critical', 'high', 'medium', 'low'));
ALTER TABLE alarms ADD COLUMN kev INTEGER NOT NULL DEFAULT 0 CHECK (kev IN (0, 1));
ALTER TABLE alarms ADD COLUMN instance TEXT NOT NULL DEFAULT '';
ALTER TABLE alarms ADD COLUMN notified TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(notified));
UPDATE alarms SET
  severity = coalesce((SELECT a.severity FROM alerts AS a WHERE a.id = alarms.alert_id), 'low'),
  notified = (
    SELECT json_group_array(d.connector) FROM deliveries AS d WHERE d.alert_id = alarms.alert_id AND d.kind = 'open'
  );

-- What happened and left no other trace: the last time of each type and connector.
CREATE TABLE failures (
  type TEXT NOT NULL CHECK (type <> ''),
  subject TEXT NOT NULL,
  at REAL NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (type, subject)
) STRICT, WITHOUT ROWID;
INSERT INTO failures
SELECT type, subject, last_at, text FROM alarms WHERE type IN ('template_failed', 'store_failed');

CREATE INDEX changes_at ON changes (at);
"""
"""Both ends of every alarm are read from the store."""

_DATES: Final = """
-- Whether the feed said the moment of publication, and not a day alone, or nothing.
ALTER TABLE alerts ADD COLUMN exact INTEGER NOT NULL DEFAULT 1 CHECK (exact IN (0, 1));

CREATE TABLE undated (
  alert_id TEXT PRIMARY KEY CHECK (alert_id <> ''),
  first_seen_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE set_aside ADD COLUMN severity TEXT CHECK (severity IN ('critical', 'high', 'medium', 'low'));
ALTER TABLE set_aside ADD COLUMN told TEXT NOT NULL DEFAULT '';
"""
"""When alerts without a date were first seen, and what can be read of items that are no alert."""

_DAEMON: Final = """
CREATE TABLE daemon (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  -- The process, None after a clean end; when it began tells it from another one of the same number.
  pid INTEGER,
  began INTEGER,
  -- The file of its config.
  config TEXT,
  started_at REAL,
  ended_at REAL,
  config_since REAL,
  -- The latest request for a reload, and the latest that was answered.
  requested INTEGER NOT NULL DEFAULT 0 CHECK (requested >= 0),
  answered INTEGER NOT NULL DEFAULT 0 CHECK (answered >= 0),
  verdict TEXT CHECK (verdict IN ('taken_over', 'refused', 'needs_restart', 'failed')),
  verdict_at REAL,
  problems TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(problems)),
  CHECK ((verdict IS NULL) = (verdict_at IS NULL))
) STRICT;
INSERT INTO daemon (id) VALUES (1);
"""
"""Which process the daemon is, and what became of its last reload."""

_BROUGHT_BY_UPDATES: Final = """
UPDATE deliveries SET state = 'delivered', failing_since = NULL, lookups = 0, (settled_at, receipt_id, receipt_url) = (
  SELECT u.settled_at, u.receipt_id, u.receipt_url FROM deliveries AS u
  WHERE u.alert_id = deliveries.alert_id AND u.connector = deliveries.connector AND u.kind = 'update'
    AND u.state = 'delivered' AND u.receipt_id <> ''
  ORDER BY u.settled_at DESC, u.id DESC LIMIT 1
)
WHERE kind = 'open' AND state = 'dead' AND receipt_id IS NULL AND EXISTS (
  SELECT 1 FROM deliveries AS u
  WHERE u.alert_id = deliveries.alert_id AND u.connector = deliveries.connector AND u.kind = 'update'
    AND u.state = 'delivered' AND u.receipt_id <> ''
);
"""
"""What an update brought to its destination stands there, whatever became of its open."""

_REFUSALS: Final = """
-- When by it the destination last seemed broken, or still at its rate limit: once others arrive, it is at fault itself.
ALTER TABLE deliveries ADD COLUMN refused_at REAL;
"""
"""What alone calls a destination broken or at its limit is known after a restart."""

_NEWEST_OWED: Final = """
CREATE INDEX deliveries_enqueued ON deliveries (enqueued_at, id);
"""
"""Lists of deliveries begin with the newest owed, however many there are."""

_VENDORS: Final = """
CREATE TABLE vendors (
  key TEXT PRIMARY KEY CHECK (key <> ''),
  name TEXT NOT NULL CHECK (name <> ''),
  -- None where an older version read the stack, which kept the keys alone.
  categories TEXT CHECK (categories IS NULL OR json_valid(categories))
) STRICT, WITHOUT ROWID;
ALTER TABLE feed ADD COLUMN stack_read INTEGER NOT NULL DEFAULT 0 CHECK (stack_read IN (0, 1));
UPDATE feed SET stack_read = 1 WHERE stack IS NOT NULL;
INSERT OR IGNORE INTO vendors
SELECT value, value, NULL FROM feed, json_each(CASE WHEN json_valid(feed.stack) THEN feed.stack ELSE '[]' END)
WHERE json_each.type = 'text' AND value <> '';
ALTER TABLE feed DROP COLUMN stack;

-- Alerts that were routed while the stack may have had vendors of theirs that were not known, and these vendors.
CREATE TABLE uncategorized (
  alert_id TEXT PRIMARY KEY REFERENCES alerts (id) ON DELETE CASCADE,
  vendors TEXT NOT NULL CHECK (json_valid(vendors))
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
  alert_id TEXT PRIMARY KEY REFERENCES alerts (id) ON DELETE CASCADE,
  -- The alert's revision when it was read; 0 before the first time.
  revision INTEGER NOT NULL CHECK (revision >= 0),
  lines TEXT NOT NULL CHECK (json_valid(lines)),
  -- How often it could not be read since, and when it is tried again.
  failures INTEGER NOT NULL CHECK (failures >= 0),
  due_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""
"""What the stack says of vendors, and what the API says of the evidence for single alerts."""

_EVIDENCE_UNREAD: Final = """
-- Since when no evidence could be read though the feed could, when that last was so, how often, and why.
ALTER TABLE feed ADD COLUMN evidence_failing_since REAL;
ALTER TABLE feed ADD COLUMN evidence_failed_at REAL;
ALTER TABLE feed ADD COLUMN evidence_failures INTEGER NOT NULL DEFAULT 0 CHECK (evidence_failures >= 0);
ALTER TABLE feed ADD COLUMN evidence_error TEXT;
"""
"""Evidence that cannot be read for long is an alarm, and both its ends are read from the store."""

MIGRATIONS: Final[tuple[tuple[str, str], ...]] = (
    ("0001_first", FIRST),
    ("0002_words", SECOND),
    ("0003_search", _SEARCH),
    ("0004_sessions", _SESSIONS),
    ("0005_floor", _FLOOR),
    ("0006_connector_memory", _CONNECTOR_MEMORY),
    ("0007_operators", _OPERATORS),
    ("0008_fairness", _FAIRNESS),
    ("0009_alarms", _ALARMS),
    ("0010_dates", _DATES),
    ("0011_daemon", _DAEMON),
    ("0012_brought_by_updates", _BROUGHT_BY_UPDATES),
    ("0013_refusals", _REFUSALS),
    ("0014_newest_owed", _NEWEST_OWED),
    ("0015_vendors", _VENDORS),
    ("0016_life", LIFE.format(search=_WATCHES)),
    ("0017_mutes", MUTES),
    ("0018_figures", FIGURES),
    ("0019_evidence_unread", _EVIDENCE_UNREAD),
    ("0020_missed", MISSED),
    ("0021_reminders", REMINDERS),
    ("0022_claims", CLAIMS.format(nulls_first="")),
    ("0023_accounts", ACCOUNTS),
    ("0024_views", VIEWS),
)
"""Each step with its name, in order. A step that was released is never edited: the next one follows it."""


def create(connection: sqlite3.Connection) -> None:
    """Makes a database of this version of an empty file, in one transaction: a new one waits for the disk but once."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.deserialize(_made())
        made.backup(connection)


@cache
def _made() -> bytes:
    """A new database, which every step in turn has made; who makes many goes through the steps once."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, 0)
        return connection.serialize()


def migrate(connection: sqlite3.Connection, known: int) -> None:
    """Applies the steps after the first ``known`` ones; each commits together with the record that it was applied."""
    if known == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _statements(_RECORD):
        connection.execute(statement)
    # By name: somebody may have set the file's number of them back.
    recorded = {name for (name,) in connection.execute("SELECT name FROM _sqlite_migrations")}
    # A table that is rebuilt is dropped in between, and with it, while this is on, the rows that refer to it.
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        for number, (name, sql) in enumerate(MIGRATIONS[known:], start=known + 1):
            if name in recorded:
                continue
            connection.execute("BEGIN IMMEDIATE")
            try:
                _apply(connection, number, name, sql)
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself where the disk was full.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
    finally:
        connection.execute("PRAGMA foreign_keys = ON")


_RECORD: Final = """
CREATE TABLE IF NOT EXISTS _sqlite_migrations (
  id INTEGER PRIMARY KEY,
  migration_set TEXT,
  name TEXT,
  applied_at TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS idx__sqlite_migrations_migration_set_name ON _sqlite_migrations (migration_set, name);
"""
"""As ``sqlite_utils.Migrations`` has it, which wrote it once: that takes 2 MiB, for what the loop above does."""


def _apply(connection: sqlite3.Connection, number: int, name: str, sql: str) -> None:
    # executescript would commit what went before it, and with it tear the step from its record.
    for statement in _statements(sql):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('forwarder', ?, ?)",
        (name, str(datetime.now(UTC))),
    )
    connection.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> list[str]:
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
