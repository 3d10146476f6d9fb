"""The step that gave alerts mutes: those that people set, and by which of all an alert is kept quiet."""

from __future__ import annotations

from typing import Final

MUTES: Final = """
CREATE TABLE mutes (
  -- Never given twice, for people name a mute by it.
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  -- As the config has them: {"vendors": ["wordpress"]}.
  conditions TEXT NOT NULL CHECK (json_valid(conditions)),
  even_if_worse INTEGER NOT NULL CHECK (even_if_worse IN (0, 1)),
  -- By the wall clock.
  until REAL NOT NULL,
  reason TEXT NOT NULL CHECK (reason <> ''),
  person TEXT NOT NULL,
  place TEXT NOT NULL CHECK (place <> ''),
  created_at REAL NOT NULL,
  ended_at REAL,
  ended_by TEXT,
  CHECK ((ended_at IS NULL) = (ended_by IS NULL))
) STRICT;

-- Which mute keeps an alert quiet, whether a person's or the config's, and what people are told of it.
ALTER TABLE alerts ADD COLUMN muted_by TEXT CHECK (muted_by <> '');
ALTER TABLE alerts ADD COLUMN mute TEXT
  CHECK (mute IS NULL OR json_valid(mute)) CHECK ((mute IS NULL) = (muted_by IS NULL));
CREATE INDEX alerts_muted ON alerts (muted_by) WHERE muted_by IS NOT NULL;
DROP INDEX alerts_unresolved;
CREATE INDEX alerts_unresolved ON alerts (severity, status, seen_at, muted_by)
  WHERE origin = 'feed' AND status <> 'resolved' AND past = 0 AND unrouted = 0;
"""
