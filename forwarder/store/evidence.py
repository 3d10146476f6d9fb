"""What the API says of the evidence for single alerts, and of which alerts it is still to be asked."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from forwarder.common.accounts import DEFAULT
from forwarder.store import unreadable
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine

RECENT: Final = 86400.0
"""Seconds after a delivery for which its alert's evidence is still worth a request: for updates, and for the page."""
LOOKED_AT: Final = 500
"""Of how many deliveries of a connector, those that go out next and those that did last, it is looked at the alerts."""
LATEST: Final = 3600.0
"""Seconds after which an alert that could not be read is read again at the latest, whatever the clock was set to."""

UNREAD_FOR: Final = 6 * 3600.0
"""Seconds between the first try in vain and the last one after which it counts as unread."""
UNREAD_TRIES: Final = 5
"""Tries in vain that it takes as well: a few alerts in a row may really be gone."""
NOTED_EVERY: Final = 60.0
"""Seconds within which tries in vain count as one."""

_WAITING: Final = """
SELECT alert_id FROM deliveries INDEXED BY deliveries_waiting
WHERE connector = ?1 AND state IN ('ready', 'uncertain') ORDER BY rank, published_at, id LIMIT ?2
"""
_SENDING: Final = "SELECT alert_id FROM deliveries WHERE connector = ?1 AND state = 'sending' LIMIT ?2"
_SETTLED: Final = """
SELECT alert_id FROM deliveries
WHERE connector = ?1 AND settled_at IS NOT NULL AND settled_at >= ?3 ORDER BY settled_at DESC LIMIT ?2
"""
_UNREAD: Final = f"""
SELECT a.id, a.revision, coalesce(e.failures, 0) AS failures,
  (SELECT CAST(coalesce(json_group_array(s.account), '[]') AS TEXT) FROM alert_accounts AS s
    WHERE s.alert_id = a.id AND s.absent < a.revision
      AND s.account IN (SELECT value FROM json_each(:accounts))) AS accounts,
  CASE WHEN json_valid(a.body)
    THEN (SELECT CAST(coalesce(json_group_array(key), '[]') AS TEXT) FROM json_each(a.body)) ELSE '[]' END AS listed
FROM alerts AS a LEFT JOIN evidence AS e ON e.alert_id = a.id
WHERE a.id IN (SELECT value FROM json_each(:ids)) AND a.origin = 'feed'
  AND EXISTS (SELECT 1 FROM alert_accounts AS s
    WHERE s.alert_id = a.id AND s.absent < a.revision AND s.account IN (SELECT value FROM json_each(:accounts)))
  AND (e.alert_id IS NULL
    OR (e.revision < a.revision AND (e.due_at <= :now OR e.due_at > :now + {LATEST})))
ORDER BY CASE a.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END,
  e.alert_id IS NOT NULL, a.published_at LIMIT :limit
"""
_KEEP: Final = """
INSERT INTO evidence SELECT id, ?2, ?3, 0, 0 FROM alerts WHERE id = ?1
ON CONFLICT (alert_id) DO UPDATE SET revision = excluded.revision, lines = excluded.lines, failures = 0, due_at = 0
"""
_ABSENT: Final = "UPDATE alert_accounts SET absent = ? WHERE alert_id = ? AND account = ?"
_ASKED_YET: Final = """
SELECT 1 FROM alert_accounts
WHERE alert_id = ? AND absent < ? AND account IN (SELECT value FROM json_each(?)) LIMIT 1
"""
_FAILED: Final = """
INSERT INTO evidence SELECT id, 0, '[]', 1, ?2 FROM alerts WHERE id = ?1
ON CONFLICT (alert_id) DO UPDATE SET failures = evidence.failures + 1, due_at = excluded.due_at
"""
# Where the feed cannot be read either, all of the API is the trouble, which has alarms of its own.
_IN_VAIN: Final = f"""
UPDATE feed SET evidence_failing_since = coalesce(evidence_failing_since, :now), evidence_failed_at = :now,
  evidence_failures = evidence_failures + 1, evidence_error = :reason
WHERE account = :account AND poll_error IS NULL
  AND (evidence_failed_at BETWEEN :now - {NOTED_EVERY} AND :now) IS NOT TRUE
"""
_WELL: Final = """
UPDATE feed SET evidence_failing_since = NULL, evidence_failed_at = NULL, evidence_failures = 0, evidence_error = NULL
WHERE evidence_failures > 0
"""
_WELL_OF: Final = f"{_WELL} AND account = ?"
_LINES: Final = (
    "SELECT alert_id, lines FROM evidence WHERE alert_id IN (SELECT value FROM json_each(?)) AND lines <> '[]'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """An alert of which the API is to be asked, in which revision, and how often it could not be since.

    ``listed`` are the fields that the list of alerts has of it, ``accounts`` those by which it can be asked.
    """

    alert_id: str
    revision: int
    failures: int
    listed: frozenset[str]
    accounts: tuple[str, ...] = (DEFAULT,)


class EvidenceStore:
    """The side of the store that the reader of single alerts writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def unread(
        self, connectors: Collection[str], *, now: float, limit: int, accounts: Collection[str] = (DEFAULT,)
    ) -> list[Unread]:
        """The alerts of ``connectors`` whose evidence was not read in their present form, the most severe first.

        Of those that any of ``accounts`` sees.
        """
        with self._engine.read() as connection:
            ids = _candidates(connection, connectors, now - RECENT)
            if not ids:
                return []
            values = {"ids": json.dumps(ids), "now": now, "limit": limit, "accounts": json.dumps(list(accounts))}
            rows = connection.execute(_UNREAD, values).fetchall()
        return [
            Unread(
                alert_id=row["id"],
                revision=row["revision"],
                failures=row["failures"],
                listed=frozenset(json.loads(row["listed"])),
                accounts=tuple(sorted(json.loads(row["accounts"]))),
            )
            for row in rows
        ]

    def keep(self, unread: Unread, lines: Sequence[str], *, account: str = DEFAULT) -> None:
        """Keeps what was read, which may be nothing: it is not read again until the alert changes."""

        def work(connection: Connection) -> None:
            connection.execute(_KEEP, (unread.alert_id, unread.revision, json.dumps(lines)))
            connection.execute(_WELL_OF, (account,))

        self._engine.write(work)

    def absent(
        self,
        unread: Unread,
        reason: str,
        *,
        now: float,
        account: str = DEFAULT,
        accounts: Collection[str] = (DEFAULT,),
    ) -> bool:
        """Keeps that ``account`` is shown no such alert; whether none of ``accounts`` that saw it is any more.

        An alert that is gone is an answer; that all are is a trouble.
        """

        def work(connection: Connection) -> bool:
            connection.execute(_ABSENT, (unread.revision, unread.alert_id, account))
            values = (unread.alert_id, unread.revision, json.dumps(list(accounts)))
            if connection.execute(_ASKED_YET, values).fetchone():
                return False
            connection.execute(_KEEP, (unread.alert_id, unread.revision, "[]"))
            connection.execute(_IN_VAIN, {"reason": reason, "now": now, "account": account})
            return True

        return self._engine.write(work)

    def failed(self, unread: Unread, reason: str, *, now: float, due_at: float, account: str = DEFAULT) -> None:
        """Notes that it could not be read, and when it is tried again. What was read before stays."""

        def work(connection: Connection) -> None:
            connection.execute(_FAILED, (unread.alert_id, due_at))
            connection.execute(_IN_VAIN, {"reason": reason, "now": now, "account": account})

        self._engine.write(work)

    def refused(self, reason: str, *, now: float, account: str = DEFAULT) -> None:
        """Notes that none could be read, which is no fault of the alert's that was asked for."""
        self._engine.write(
            lambda connection: connection.execute(_IN_VAIN, {"reason": reason, "now": now, "account": account})
        )

    def unwanted(self) -> None:
        """Nobody asks for any: that it could not be read is a trouble no more."""
        self._engine.write(lambda connection: connection.execute(_WELL))


def _candidates(connection: Connection, connectors: Collection[str], since: float) -> list[str]:
    found: dict[str, None] = {}
    for connector in connectors:
        for sql in (_WAITING, _SENDING, _SETTLED):
            values = (connector, LOOKED_AT, since)[: 3 if "?3" in sql else 2]
            found |= dict.fromkeys(alert_id for (alert_id,) in connection.execute(sql, values))
    return list(found)


def of(connection: Connection, alert_ids: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """What is known of the evidence for these alerts, by id, in lines for people."""
    rows = connection.execute(_LINES, (json.dumps(list(alert_ids)),)).fetchall()
    return {row["alert_id"]: _lines(row["lines"]) for row in rows}


def _lines(text: str) -> tuple[str, ...]:
    return unreadable.read(lambda: tuple(str(line) for line in json.loads(text)), lambda _: ())
