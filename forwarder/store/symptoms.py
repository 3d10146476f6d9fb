"""What is wrong as far as rows tell it: of each trouble the worst instance. Nothing here writes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, Final

from forwarder.alert import Severity, got_worse
from forwarder.store import failing, late, unreadable
from forwarder.store.alarm_records import Symptom
from forwarder.store.connection import Connection, Row
from forwarder.store.evidence import UNREAD_FOR, UNREAD_TRIES
from forwarder.store.records import AFTER_ALL_OPENS

LOOKED_AT: Final = 1000
"""Of how many deliveries that wait, the worst first, it is looked whether CISA's list has their alert."""

_KEV: Final = "CASE WHEN json_type({}, '$.cisa_kev') = 'true' THEN 1 ELSE 0 END"
# The form in which bodies are kept shows most of them without being parsed.
_KEV_OF_BODY: Final = (
    f"""CASE WHEN instr({{0}}, '"cisa_kev":true') > 0 AND json_valid({{0}}) THEN {_KEV.format("{0}")} ELSE 0 END"""
)
_SHOWN: Final = f"min(max({{}}, 0), {unreadable.LAST_SECOND})"

_ACCOUNT: Final = "CASE account WHEN 'default' THEN '' ELSE account END"
_INSTANCES: Final = f"""
  SELECT 'dead_letter' AS type, d.connector AS subject, CAST(d.id AS TEXT) AS instance, a.severity AS severity,
    {_KEV_OF_BODY.format("a.body")} AS on_kev, d.settled_at AS at, d.last AS reason, a.id AS alert_id, '{{}}' AS facts
  FROM deliveries AS d LEFT JOIN alerts AS a ON a.id = d.alert_id
  -- An alarm that was refused is no reason for another one, which would be refused as well.
  WHERE d.state = 'dead' AND coalesce(a.origin, '') <> 'alarm'
  UNION ALL
  SELECT 'unrouted', '', id, severity, {_KEV_OF_BODY.format("body")}, seen_at, '', id, '{{}}' FROM alerts
  WHERE unrouted = 1 AND origin = 'feed' AND seen_at >= :since
  UNION ALL
  SELECT 'unrouted', '', a.id, a.severity, {_KEV_OF_BODY.format("a.body")}, CAST(worse.value AS DOUBLE PRECISION), '',
    a.id, '{{}}'
  FROM json_each(:worse) AS worse JOIN alerts AS a ON a.id = worse.key
  UNION ALL
  SELECT 'gap', {_ACCOUNT}, severity || ' ' || since || ' ' || until, severity, 0, noticed_at, '', NULL,
    CAST(json_object('since', {_SHOWN.format("since")}, 'until', {_SHOWN.format("until")}) AS TEXT)
  FROM gaps WHERE noticed_at >= :since
  UNION ALL
  SELECT 'set_aside', '', digest,
    coalesce(severity, CASE WHEN json_valid(raw) THEN lower(json_extract(raw, '$.severity')) END),
    CASE WHEN json_valid(raw) THEN {_KEV.format("raw")} ELSE 0 END, seen_at, reason, NULL,
    CAST(json_object('told', told) AS TEXT)
  FROM set_aside WHERE seen_at >= :since
  UNION ALL
  SELECT type, subject, reason, NULL, 0, at, reason, NULL, '{{}}' FROM failures
  -- A config that is refused stays so until another one is taken.
  WHERE at >= :since OR type = 'reload_refused'
  UNION ALL
  SELECT 'evidence_unread', {_ACCOUNT}, evidence_error, NULL, 0, evidence_failing_since, evidence_error, NULL, '{{}}'
  FROM feed WHERE evidence_failures >= {UNREAD_TRIES} AND evidence_failed_at - evidence_failing_since >= {UNREAD_FOR}
  UNION ALL
  SELECT 'look_failed', connector, error, NULL, 0, failing_since, error, NULL, '{{}}' FROM looks
  WHERE failing_since IS NOT NULL
  UNION ALL
  SELECT 'not_heard', connector, deaf, NULL, 0, deaf_since, deaf, NULL, '{{}}' FROM looks WHERE deaf_since IS NOT NULL
"""

# Of each trouble the worst instance. Only its alert's text is fetched: there may be thousands of instances.
_TROUBLES: Final = f"""
WITH instances AS ({_INSTANCES}), judged AS (
  SELECT *,
    CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 WHEN 'low' THEN 3 ELSE 4 END AS rank
  FROM instances
), ranked AS (
  SELECT *, max(on_kev) OVER (PARTITION BY type, subject) AS kev, max(at) OVER (PARTITION BY type, subject) AS last_at,
    row_number() OVER (PARTITION BY type, subject ORDER BY rank, on_kev DESC, at, instance) AS place
  FROM judged
)
SELECT ranked.type, subject, rank, kev, instance, reason, last_at, coalesce(a.body, facts) AS facts
FROM ranked LEFT JOIN alerts AS a ON a.id = ranked.alert_id WHERE place = 1
"""

_GOT_WORSE: Final = """
SELECT c.alert_id, c.at, c.changes FROM changes AS c JOIN alerts AS a ON a.id = c.alert_id
WHERE c.at >= ? AND a.unrouted = 1 AND a.origin = 'feed'
"""

_CONNECTORS: Final = """
SELECT connector FROM pauses
UNION SELECT connector FROM deliveries WHERE state IN ('ready', 'uncertain') AND failing_since IS NOT NULL
UNION SELECT connector FROM deliveries WHERE state = 'sending' AND failing_since IS NOT NULL
"""

# When the destination was last asked for something that it then took or refused. What began to fail before that fails
# by itself; what was under way meanwhile says nothing of that. A time to come is from before the clock was set.
_ANSWERED: Final = f"""
SELECT coalesce((SELECT at FROM attempts WHERE delivery_id = s.id ORDER BY number DESC LIMIT 1), settled_at)
FROM deliveries AS s
WHERE connector = :connector AND settled_at IS NOT NULL AND settled_at <= :now AND {failing.ANSWERED}
ORDER BY settled_at DESC LIMIT 1
"""

# What is being sent counts as well: while the one delivery that is tried again is under way, nothing has changed.
_FAILING: Final = f"""
SELECT d.id, d.failing_since, d.tried_at, d.last, d.alert_id, d.rank,
  (SELECT coalesce(sum(CASE outcome WHEN 'retry' THEN 1.0 WHEN 'uncertain' THEN 0.5 ELSE 0.0 END), 0.0) FROM attempts
    WHERE delivery_id = d.id) AS weight
FROM (
  SELECT * FROM deliveries
  WHERE connector = :connector AND state IN ('ready', 'uncertain') AND failing_since IS NOT NULL
  UNION ALL
  SELECT * FROM deliveries WHERE connector = :connector AND state = 'sending' AND failing_since IS NOT NULL
) AS d WHERE d.rank < {AFTER_ALL_OPENS} ORDER BY d.failing_since, d.id
"""

# Updates that only bring links are nothing that anybody waits for.
_WAITING: Final = f"""
SELECT d.rank, {_KEV_OF_BODY.format("a.body")} AS kev, a.body AS facts
FROM (
  SELECT * FROM (
    SELECT alert_id, rank FROM deliveries
    WHERE connector = :connector AND state IN ('ready', 'uncertain') AND rank < {AFTER_ALL_OPENS}
    ORDER BY rank LIMIT {LOOKED_AT}
  ) AS lesser
  UNION ALL
  SELECT alert_id, rank FROM deliveries
  WHERE connector = :connector AND state = 'sending' AND rank < {AFTER_ALL_OPENS}
) AS d JOIN alerts AS a ON a.id = d.alert_id AND a.origin <> :besides
ORDER BY d.rank, kev DESC
"""
_COUNT: Final = f"""
SELECT count(*) FROM deliveries
WHERE connector = :connector AND state IN ('ready', 'uncertain', 'sending') AND rank < {AFTER_ALL_OPENS}
  AND (:besides = '' OR EXISTS (SELECT 1 FROM alerts AS a WHERE a.id = alert_id AND a.origin <> :besides))
"""


# Each name is one step into an index, however much waits under it.
_OWED: Final = """
WITH RECURSIVE names (name) AS (
  SELECT min(connector) FROM deliveries WHERE state IN ('ready', 'uncertain')
  UNION ALL
  SELECT (SELECT min(connector) FROM deliveries WHERE state IN ('ready', 'uncertain') AND connector > name)
  FROM names WHERE name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL
UNION SELECT connector FROM deliveries WHERE state = 'sending'
"""


def read(
    connection: Connection, *, since: float, now: float, configured: Collection[str] | None = None
) -> list[Symptom]:
    """Every trouble that rows tell of; of what passes, what happened ``since`` then.

    ``configured`` are the connectors that the config names: what is owed to any other one is a trouble, too.
    """
    values = {"since": since, "worse": json.dumps(_got_worse(connection, since))}
    found = [_symptom(row) for row in connection.execute(_TROUBLES, values).fetchall()]
    names = [name for (name,) in connection.execute(_CONNECTORS)]
    found += [symptom for name in names for symptom in _of_connector(connection, name, now)]
    for (name,) in connection.execute(_OWED).fetchall():
        if configured is not None and name not in configured:
            found += _orphaned(connection, name)
        else:
            alone = [one.instance for one in found if (one.type, one.subject) == ("delivery_failing", name)]
            found += _late(connection, name, now, besides=int(alone[0]) if alone else None)
    return found


def _orphaned(connection: Connection, name: str) -> Iterator[Symptom]:
    """What is owed to a connector that the config does not name: nobody will send it.

    An alarm of our own is none of that, for whom the config names is told as well.
    """
    symptom = _stuck(connection, "orphaned", {"connector": name, "besides": "alarm"}, reason="", since=0.0)
    if symptom.waiting:
        yield symptom


def _late(connection: Connection, name: str, now: float, *, besides: int | None) -> Iterator[Symptom]:
    """The critical that has waited the longest."""
    found = late.oldest(connection, name, kev=_KEV_OF_BODY.format("a.body"), besides=besides, now=now)
    if found is None:
        return
    row, line = found
    yield Symptom(
        type="late",
        subject=name,
        severity=list(Severity)[row["rank"]],
        kev=bool(row["kev"]),
        instance=str(row["id"]),
        facts=_facts(row["facts"]),
        reason=line.reason,
        last_at=row["enqueued_at"],
        line=line,
    )


def _of_connector(connection: Connection, name: str, now: float) -> Iterator[Symptom]:
    """Whether a connector is paused; whether it fails; which of its alerts fails by itself while others arrive."""
    values = {"connector": name, "now": now, "besides": ""}
    pause = connection.execute("SELECT reason, since FROM pauses WHERE connector = ?", (name,)).fetchone()
    if pause is not None:
        yield _stuck(connection, "paused", values, reason=pause["reason"], since=pause["since"])
        return
    answered = connection.execute(_ANSWERED, values).fetchone()
    rows = connection.execute(_FAILING, values).fetchall()
    since = [row for row in rows if answered is None or row["failing_since"] > answered[0]]
    # One answer that was lost is no failing: whether it arrived is looked up, at times that lie minutes apart.
    if sum(row["weight"] for row in since) >= 1:
        latest = max(since, key=lambda row: row["tried_at"] or 0.0)
        yield _stuck(connection, "connector_failing", values, reason=latest["last"], since=since[0]["failing_since"])
    if by_itself := [row for row in rows if answered is not None and row["failing_since"] <= answered[0]]:
        yield from _alone(connection, name, by_itself)


def _stuck(connection: Connection, kind: str, values: dict[str, Any], *, reason: str, since: float) -> Symptom:
    """A trouble of a whole connector, which is as bad as the worst that waits for it."""
    waiting = connection.execute(_WAITING, values).fetchall()
    (count,) = connection.execute(_COUNT, values).fetchone()
    return Symptom(
        type=kind,
        subject=values["connector"],
        severity=list(Severity)[waiting[0]["rank"]] if waiting else None,
        kev=any(row["kev"] for row in waiting),
        instance=reason,
        facts=_facts(waiting[0]["facts"]) if waiting else {},
        reason=reason,
        last_at=since,
        waiting=count,
    )


def _alone(connection: Connection, name: str, rows: list[Row]) -> Iterator[Symptom]:
    """The alert that fails by itself: a critical one, or one on CISA's list, that has failed the longest."""
    for row in rows:
        alert = connection.execute(
            f"SELECT body, {_KEV_OF_BODY.format('body')} AS kev FROM alerts WHERE id = ?", (row["alert_id"],)
        ).fetchone()
        if row["rank"] == Severity.CRITICAL.rank or alert["kev"]:
            yield Symptom(
                type="delivery_failing",
                subject=name,
                severity=list(Severity)[row["rank"]],
                kev=bool(alert["kev"]),
                instance=str(row["id"]),
                facts=_facts(alert["body"]),
                reason=row["last"],
                last_at=row["failing_since"],
            )
            return


def _got_worse(connection: Connection, since: float) -> dict[str, float]:
    """Alerts without a route that got worse since then, and when."""
    return {
        alert_id: at
        for alert_id, at, changes in connection.execute(_GOT_WORSE, (since,)).fetchall()
        if got_worse(unreadable.changes_in(changes))
    }


def _symptom(row: Row) -> Symptom:
    return Symptom(
        type=row["type"],
        subject=row["subject"],
        severity=list(Severity)[row["rank"]] if row["rank"] < len(Severity) else None,
        kev=bool(row["kev"]),
        instance=row["instance"],
        facts=_facts(row["facts"]),
        reason=row["reason"],
        last_at=row["last_at"],
    )


def _facts(text: str) -> dict[str, Any]:
    return unreadable.read(lambda: dict(json.loads(text)), lambda _: {})
