"""The tables by which several processes share one database."""

from __future__ import annotations

from typing import Final

REPLICAS: Final = """
DROP TABLE leases;

-- Who writes has locked this row: so each write stands as if there were no other.
CREATE TABLE turn (id INTEGER PRIMARY KEY CHECK (id = 1));
INSERT INTO turn VALUES (1);

-- The last write of each replica, by which it knows whether a commit without an answer came about.
CREATE TABLE marks (
  replica TEXT PRIMARY KEY CHECK (replica <> ''),
  mark TEXT NOT NULL,
  at timestamptz NOT NULL
) WITH (fillfactor = 20);

CREATE TABLE replicas (
  id TEXT PRIMARY KEY CHECK (id <> ''),
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  version TEXT NOT NULL,
  -- Whether it ends by itself, and has all roles until then.
  once INTEGER NOT NULL CHECK (once IN (0, 1)),
  since timestamptz NOT NULL,
  -- Until when it counts as there without another word, by the database's own clock.
  until timestamptz NOT NULL,
  -- The roles that its config has.
  offers TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(offers)),
  -- When it last showed that all of it turns.
  turned_at timestamptz
) WITH (fillfactor = 20);

CREATE TABLE leases (
  role TEXT PRIMARY KEY CHECK (role <> ''),
  -- The replica that has it; empty where none does.
  owner TEXT NOT NULL,
  since timestamptz NOT NULL,
  -- Until when no other one may take it; where none has it, when that began.
  until timestamptz NOT NULL
) WITH (fillfactor = 20);
"""

RELOADS: Final = """
ALTER TABLE replicas
  -- The file of its config.
  ADD COLUMN config TEXT,
  -- The last reload that it was asked for and has carried out, and what became of that.
  ADD COLUMN answered INTEGER NOT NULL DEFAULT 0 CHECK (answered >= 0),
  ADD COLUMN verdict TEXT CHECK (verdict IN ('taken_over', 'refused', 'needs_restart', 'failed')),
  ADD COLUMN problems TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(problems));
"""
