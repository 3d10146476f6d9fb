"""The rows by which replicas know each other, and the statements that keep and read them."""

from __future__ import annotations

import json
from typing import Any, Final

from psycopg import sql

from forwarder.store.connection import Connection
from forwarder.store.membership import Lease, Muster, Replica
from forwarder.store.postgres.schema import SCHEMA
from forwarder.store.postgres.wire import Raw


def look(connection: Connection) -> Muster:
    """Who is there and who has what, for who has a connection that reads."""
    return muster_of(connection.execute(LOOK).fetchone())


def muster_of(row: Any, *, in_touch: float = 0.0) -> Muster:
    """What ``LOOK`` found."""
    replicas = (
        Replica(
            **{
                **one,
                "offers": frozenset(json.loads(one["offers"])),
                "once": bool(one["once"]),
                "problems": tuple(json.loads(one["problems"])),
            }
        )
        for one in json.loads(row["replicas"])
    )
    leases = (Lease(**{**one, "owner": one["owner"] or None}) for one in json.loads(row["leases"]))
    return Muster(
        replicas=tuple(replicas),
        leases=tuple(leases),
        in_touch=in_touch,
        reload_requested=int(row["requested"]),
    )


def rows(raw: Raw, statement: sql.Composable) -> list[Any]:
    """What a statement finds, in a transaction of its own in which nothing may take long, in one round trip."""
    found: list[Any] = []
    cursor = raw.execute(sql.SQL("BEGIN; SET LOCAL statement_timeout = '5s'; {}; COMMIT").format(statement))
    more: bool | None = True
    while more:
        if cursor.description:
            found = cursor.fetchall()
        more = cursor.nextset()
    return found


KNOWN: Final = """
INSERT INTO leases (role, owner, since, until)
SELECT value, '', clock_timestamp(), clock_timestamp() FROM json_each(?) ON CONFLICT DO NOTHING
"""
# Who does all by itself, and ends soon, is not disturbed. Rows are locked in one order, for two that lock several.
TAKE: Final = """
WITH free AS (
  SELECT role FROM leases WHERE role IN (SELECT value FROM json_each(?)) AND (owner = '' OR until < clock_timestamp())
    AND NOT EXISTS (SELECT 1 FROM replicas WHERE once = 1 AND id <> ? AND until > clock_timestamp())
  ORDER BY role FOR UPDATE
)
UPDATE leases AS l SET owner = ?, since = clock_timestamp(), until = clock_timestamp() + make_interval(secs => ?)
FROM free WHERE l.role = free.role RETURNING l.role
"""
FREE: Final = "owner = '', since = clock_timestamp(), until = clock_timestamp()"
GIVE_UP: Final = f"""
WITH mine AS (
  SELECT role FROM leases WHERE role IN (SELECT value FROM json_each(?)) AND owner = ? ORDER BY role FOR UPDATE
)
UPDATE leases AS l SET {FREE} FROM mine WHERE l.role = mine.role
"""
GIVEN_BACK: Final = f"leases SET {FREE} WHERE role = $1 AND owner = $2"
LEAVE_ROLES: Final = f"UPDATE leases SET {FREE} WHERE owner = ?"
RENEW: Final = f"""
WITH me AS (
  INSERT INTO {SCHEMA}.replicas AS r (id, host, pid, version, once, since, until, offers, turned_at, answered)
  VALUES ({{id}}, {{host}}, {{pid}}, {{version}}, {{once}}, clock_timestamp(),
    clock_timestamp() + make_interval(secs => {{lasts}}), {{offers}}, {{turned}},
    -- It has read its config at its start.
    (SELECT requested FROM {SCHEMA}.daemon))
  ON CONFLICT (id) DO UPDATE SET until = excluded.until, offers = excluded.offers,
    turned_at = coalesce(excluded.turned_at, r.turned_at)
), gone AS (
  DELETE FROM {SCHEMA}.replicas WHERE until < clock_timestamp() - interval '1 day'
), mine AS (
  SELECT role FROM {SCHEMA}.leases WHERE owner = {{id}} ORDER BY role FOR UPDATE
)
UPDATE {SCHEMA}.leases AS l SET until = clock_timestamp() + make_interval(secs => {{lasts}})
FROM mine WHERE l.role = mine.role AND l.owner = {{id}} RETURNING l.role
"""
LOOK: Final = f"""
SELECT
  (SELECT coalesce(json_agg(json_build_object('id', id, 'host', host, 'pid', pid, 'version', version, 'once', once,
      'since', extract(epoch FROM since), 'offers', offers, 'config', config, 'answered', answered,
      'verdict', verdict, 'problems', problems,
      'silence', extract(epoch FROM clock_timestamp() - turned_at)) ORDER BY since, id), '[]')
    FROM {SCHEMA}.replicas WHERE until > clock_timestamp()) AS replicas,
  (SELECT coalesce(json_agg(json_build_object('role', role, 'owner', owner, 'since', extract(epoch FROM since),
      'free_for', extract(epoch FROM clock_timestamp() - until), 'left', owner = '') ORDER BY role), '[]')
    FROM {SCHEMA}.leases) AS leases,
  (SELECT requested FROM {SCHEMA}.daemon) AS requested,
  (SELECT count(*) FROM {SCHEMA}.migrations) AS steps,
  extract(epoch FROM clock_timestamp()) AS now
"""
ANSWER: Final = """
UPDATE replicas SET verdict = :verdict, problems = :problems, config = :config,
  answered = CASE WHEN answered > :request THEN answered ELSE :request END WHERE id = :id
"""
REFUSED: Final = """
SELECT id, host, pid, verdict, problems FROM replicas
WHERE until > clock_timestamp() AND verdict <> 'taken_over' ORDER BY since, id
"""
"""Who goes on with an older config than it was to take over."""
