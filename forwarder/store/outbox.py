"""What is owed: claimed by a worker, settled under that claim, and nothing in between is lost."""

from __future__ import annotations

import json
import math
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from forwarder.alert import Alert, Vendors
from forwarder.common.clock import instant
from forwarder.connector import Delivery, Kind, Link, Origin, Receipt, Response
from forwarder.store import clock, evidence, unreadable, vendors
from forwarder.store.accounts import seen_by
from forwarder.store.connection import Connection, Row
from forwarder.store.digests import items_of, tell
from forwarder.store.engine import Engine
from forwarder.store.enqueue import enqueue_links
from forwarder.store.links import delivered_of, elsewhere
from forwarder.store.memory import MemoryStore
from forwarder.store.order import changes_of, drop_outdated, due, has_untried, take_in
from forwarder.store.payloads import pack
from forwarder.store.reclaim import NOTE_ATTEMPT, reclaim
from forwarder.store.records import LINKS_ONLY, MOST_SEVERE, Claimed, Pause, Settlement, State, Turn
from forwarder.store.responses import responses_of
from forwarder.store.standing import adopt

MAX_REASON: Final = 1000
"""Characters of what a remote said that are kept with an attempt."""

REMEMBERED_SIZE: Final = 16_384
"""Characters of a body up to which the alert read from it is remembered for a while."""

_CLAIM: Final = """
UPDATE deliveries SET state = 'sending', claim = ?, lease_until = ?, tried_at = ?
WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))
"""

_SETTLE: Final = """
UPDATE deliveries SET state = :state, due_at = :due_at, early = :early, claim = NULL, lease_until = NULL,
  attempts = attempts + :spent, excused = excused + :excused, lookups = :lookups, failing_since = :failing_since,
  uncertain_since = :uncertain_since, last = :last,
  refused_at = CASE :state WHEN 'delivered' THEN NULL ELSE coalesce(:refused_at, refused_at) END,
  settled_at = :settled_at,
  receipt_id = coalesce(:receipt_id, receipt_id),
  receipt_url = CASE WHEN :receipt_id IS NULL THEN receipt_url ELSE :receipt_url END,
  payload = coalesce(:payload, payload)
WHERE id = :id AND claim = :claim RETURNING id, alert_id, connector, kind, revision, receipt_url
"""

# A server thinks ten times as long about a minimum of each as about which comes first.
_NEXT_DUE: Final = """
SELECT min((
  SELECT due_at FROM deliveries
  WHERE connector = ?1 AND state IN ('ready', 'uncertain') AND early = noted.column1 ORDER BY due_at LIMIT 1
)) FROM (VALUES (0), (1)) AS noted
"""


class Outbox:
    """The side of the store that the dispatchers write."""

    def __init__(self, engine: Engine, memory: MemoryStore) -> None:
        self._engine, self._memory = engine, memory
        self.set_aside: Counter[str] = Counter()
        """How many deliveries of each connector could not be read and became dead letters, since the start."""

    def claim(self, connector: str, limit: int, *, now: float, lease: float, turn: Turn = MOST_SEVERE) -> list[Claimed]:
        """Up to ``limit`` due deliveries, 1,000 at most, for ``lease`` seconds.

        By default they are the most severe, oldest first among equals.

        Worse news takes in what is owed of earlier updates of its alert, and every update the links.
        """

        def work(connection: Connection) -> tuple[list[Claimed], int]:
            # One token for all: what a claim guards is each delivery by itself, and statements are what costs.
            token, claimed, aside = secrets.token_hex(8), list[Claimed](), 0
            while not claimed:
                rows = due(connection, connector, limit, now, turn)
                if not rows:
                    break
                connection.execute(_CLAIM, (token, now + lease, now, json.dumps([row["id"] for row in rows])))
                first = take_in(connection, rows)
                ids = [row["alert_id"] for row in rows]
                delivered, responses = delivered_of(connection, ids), responses_of(connection, ids)
                told, accounts = evidence.of(connection, ids), seen_by(connection, ids)
                items = items_of(connection, [row["alert_id"] for row in rows if row["origin"] == Origin.DIGEST])
                asked = dict[str, Vendors]()
                for row in rows:
                    known = _Known(
                        delivered=delivered.get(row["alert_id"], ()),
                        responses=responses.get(row["alert_id"], ()),
                        first_revision=first.get(row["id"]),
                        evidence=told.get(row["alert_id"], ()),
                        accounts=accounts.get(row["alert_id"], ()),
                        items=items.get(row["alert_id"], ()),
                    )
                    try:
                        claimed.append(_claimed(connection, row, token, known, asked))
                    except connection.Error:
                        raise  # that is no fault of the row's
                    except Exception as error:
                        unreadable.set_aside(connection, row["id"], unreadable.why(error), now)
                        aside += 1
            return claimed, aside

        claimed, aside = self._engine.write(work)
        self.set_aside[connector] += aside
        self._memory.forget(connector)
        return claimed

    def release(self, claimed: Claimed) -> None:
        """Gives back a delivery that was not tried."""
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE deliveries SET state = ?, claim = NULL, lease_until = NULL,"
                " tried_at = CASE WHEN attempts = 0 AND refused_at IS NULL THEN NULL ELSE tried_at END"
                " WHERE id = ? AND claim = ?",
                ("uncertain" if claimed.uncertain else "ready", claimed.delivery.id, claimed.token),
            )
        )

    def keep(self, claimed: Claimed, payload: Mapping[str, Any]) -> bool:
        """Keeps what is about to be sent, so that it can be sent again as it was; False where the claim is not ours."""
        statement = "UPDATE deliveries SET payload = ? WHERE id = ? AND claim = ?"
        values = (pack(payload), claimed.delivery.id, claimed.token)
        return self._engine.write(lambda connection: connection.execute(statement, values).rowcount) == 1

    def settle(
        self,
        claimed: Claimed,
        settlement: Settlement,
        *,
        now: float,
        seconds: float,
        resume: bool = True,
        followers: Collection[str] = (),
        links_after: float = 0.0,
    ) -> bool:
        """Writes what became of a claimed delivery; False, and nothing written, where the claim is no longer ours.

        ``resume`` ends a pause of the connector where the destination answers. ``followers`` are connectors whose
        messages are given this one's link, ``links_after`` seconds from now.
        """

        # Made before others wait for the end of this transaction.
        settled = _settled(claimed, settlement, now)

        def work(connection: Connection) -> bool:
            row = connection.execute(_SETTLE, settled).fetchone()
            if row is None:
                return False
            last = settlement.reason[:MAX_REASON]
            connection.execute(
                NOTE_ATTEMPT, (claimed.delivery.id, now - seconds, max(seconds, 0.0), settlement.outcome, last)
            )
            if settlement.probe_at is not None:
                _pause(connection, row["connector"], settlement, now)
            elif resume and settlement.answers:
                connection.execute("DELETE FROM pauses WHERE connector = ?", (row["connector"],))
            if settlement.state is State.DELIVERED:
                if claimed.delivery.origin is Origin.DIGEST:
                    tell(connection, row["alert_id"], row["receipt_url"], now=now)
                if row["kind"] == "update":
                    adopt(connection, row["alert_id"], row["connector"], now=now)
                if row["kind"] == "open" and row["receipt_url"]:
                    enqueue_links(connection, row, followers, now, now + links_after)
                elif row["kind"] == "update" and row["revision"] == LINKS_ONLY:
                    _enqueue_newer_links(connection, row, claimed.delivery.links, now + links_after)
                elif row["kind"] == "update":
                    drop_outdated(connection, row)
            return True

        return self._engine.write(work)

    def reclaim_expired(
        self,
        *,
        now: float,
        due_at: Mapping[str, float],
        all_claims: bool,
        of: Callable[[str], bool] = lambda _: True,
    ) -> dict[str, int]:
        """Deliveries whose worker is gone become uncertain: all claimed ones at a start, else those whose lease ended.

        ``due_at`` says for each connector when to look first, ``of`` which connectors are meant. A late worker may
        still settle under its claim until another one takes over.
        """

        return self._engine.write(partial(reclaim, now=now, due_at=due_at, all_claims=all_claims, of=of))

    def next_due(self, connector: str) -> float | None:
        """When the connector's next delivery is due; None where nothing waits."""
        ((due,),) = self._engine.find(_NEXT_DUE, (connector,))
        return None if due is None else float(due)

    def has_untried(self, connector: str, *, now: float) -> bool:
        """Whether something is due that was never tried."""
        with self._engine.read() as connection:
            return has_untried(connection, connector, now)

    def answered_at(self, connector: str) -> float:
        """When something last arrived at the connector's destination; minus infinity where nothing did yet."""
        ((at,),) = self._engine.find(
            "SELECT max(settled_at) FROM deliveries"
            " WHERE connector = ? AND state = 'delivered' AND settled_at IS NOT NULL",
            (connector,),
        )
        return -math.inf if at is None else float(at)

    def make_due_now(self, connector: str, *, since: float = -math.inf) -> None:
        """Makes due what began to fail after ``since``: the destination works again, and failed until now.

        Its backoff begins anew. What is uncertain is still looked for first.
        """
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE deliveries SET due_at = 0, early = 0, excused = attempts"
                " WHERE connector = ? AND state IN ('ready', 'uncertain') AND failing_since > ?",
                (connector, since),
            )
        )

    def shift_deadlines(self, seconds: float, *, until: float = math.inf) -> None:
        """Moves every deadline along with a clock that was set, and all by which a trouble lasts or passes.

        ``until`` is what the clock said before it was set: a trouble dated later was noted when it was right.
        """

        def work(connection: Connection) -> None:
            clock.shift_settled(connection, seconds, until)
            connection.execute(
                "UPDATE deliveries SET due_at = max(due_at + ?1, 0), lease_until = lease_until + ?1,"
                " failing_since = failing_since + ?1, enqueued_at = enqueued_at + ?1, tried_at = tried_at + ?1,"
                " uncertain_since = uncertain_since + ?1, refused_at = refused_at + ?1"
                " WHERE state IN ('ready', 'sending', 'uncertain')",
                (seconds,),
            )
            connection.execute("UPDATE pauses SET probe_at = probe_at + ?1, since = since + ?1", (seconds,))
            connection.execute(
                "UPDATE feed SET polled_at = polled_at + ?1, swept_at = swept_at + ?1, started_at = started_at + ?1,"
                " floor = floor + ?1 * floor_is_local, unread_since = unread_since + ?1,"
                " evidence_failing_since = evidence_failing_since + ?1, evidence_failed_at = evidence_failed_at + ?1",
                (seconds,),
            )
            clock.shift_troubles(connection, seconds, until)

        self._engine.write(work)

    def reset_deadlines(self, *, now: float, most: float, connector: str | None = None) -> None:
        """At a start: paused connectors are tried at once, and no deadline is further off than ``most`` seconds.

        All of them, or only ``connector``.
        """
        one, values = ("", ()) if connector is None else (" AND connector = ?", (connector,))

        def work(connection: Connection) -> None:
            connection.execute(f"UPDATE pauses SET probe_at = ? WHERE true{one}", (now, *values))
            connection.execute(
                f"UPDATE deliveries SET due_at = ? WHERE state IN ('ready', 'uncertain') AND due_at > ?{one}",
                (now + most, now + most, *values),
            )

        self._engine.write(work)

    def pause_of(self, connector: str) -> Pause | None:
        """Why the connector is paused; None where it is not."""
        found = self._engine.find(
            "SELECT connector, since, reason, probes, probe_at FROM pauses WHERE connector = ?", (connector,)
        )
        return Pause(**dict(found[0])) if found else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What else the store knows of a claimed delivery's alert; ``first_revision`` is set where it took others in."""

    delivered: Sequence[Row]
    responses: Sequence[Response]
    first_revision: int | None
    items: tuple[Alert, ...]
    evidence: tuple[str, ...]
    accounts: tuple[str, ...]


def _claimed(
    connection: Connection,
    row: Row,
    token: str,
    known: _Known,
    asked: dict[str, Vendors],
) -> Claimed:
    kind = Kind(row["kind"])
    # An open or a links-only update tells the alert as it is now, whatever its revision was when it came to be owed.
    revision = row["revision"] if kind is not Kind.OPEN else row["alert_revision"]
    receipt, links = elsewhere(row, known.delivered)
    first = known.first_revision or row["first_revision"] or revision
    alert, changes = _alert_of(row["body"]), changes_of(connection, row, first) if kind is Kind.UPDATE else ()
    delivery = Delivery(
        id=row["id"],
        alert=alert,
        connector=row["connector"],
        enqueued_at=instant(row["enqueued_at"]),
        kind=kind,
        origin=Origin(row["origin"]),
        revision=revision,
        attempt=row["attempts"] + 1,
        receipt=receipt,
        changes=changes,
        links=links,
        repeats=_repeated(row, kind),
        sent_as=row["sent_as"],
        response=next((one for one in known.responses if kind.responds and one.number == row["revision"]), None),
        items=known.items,
        reminder=row["why"] if kind is Kind.REMIND else "",
        latest=known.responses[-1] if known.responses else None,
        vendors=vendors.of(connection, alert, changes, asked=asked),
        evidence=known.evidence,
        accounts=known.accounts,
    )
    return Claimed(
        token=token,
        delivery=delivery,
        uncertain=row["state"] == State.UNCERTAIN,
        lookups=row["lookups"],
        attempts=row["attempts"],
        failing_since=row["failing_since"],
        uncertain_since=row["uncertain_since"],
        excused=row["excused"],
        refused_at=row["refused_at"],
        kept=None if row["payload"] is None else unreadable.kept_in(row["payload"]),
    )


def _repeated(row: Row, kind: Kind) -> Receipt | None:
    """Where the message stands that an open repeats: it keeps its receipt until the repetition has one."""
    if kind is not Kind.OPEN or row["receipt_id"] is None:
        return None
    return Receipt(remote_id=row["receipt_id"], url=row["receipt_url"])


def _alert_of(body: str) -> Alert:
    """The alert that a body stands for; usually several connectors claim it within moments."""
    return _recent(body) if len(body) < REMEMBERED_SIZE else Alert.parse(json.loads(body))


@lru_cache(maxsize=512)
def _recent(body: str) -> Alert:
    return Alert.parse(json.loads(body))


def _settled(claimed: Claimed, settlement: Settlement, now: float) -> dict[str, Any]:
    receipt = settlement.receipt
    return {
        "id": claimed.delivery.id,
        "claim": claimed.token,
        "state": settlement.state.value,
        "due_at": settlement.due_at,
        "early": int(settlement.due_at > now),
        "spent": int(settlement.spent),
        "lookups": settlement.lookups,
        "excused": int(settlement.excused),
        "failing_since": settlement.failing_since,
        "uncertain_since": settlement.uncertain_since,
        "refused_at": settlement.refused_at,
        "last": settlement.reason[:MAX_REASON],
        "settled_at": now if settlement.state.settled else None,
        "receipt_id": receipt.remote_id if receipt else None,
        "receipt_url": receipt.url if receipt else None,
        "payload": pack(settlement.payload) if settlement.payload is not None else None,
    }


def _pause(connection: Connection, connector: str, settlement: Settlement, now: float) -> None:
    connection.execute(
        "INSERT INTO pauses (connector, since, reason, probes, probe_at) VALUES (?1, ?2, ?3, ?4, ?5)"
        # While an early probe was under way, a person may have asked for one at once.
        " ON CONFLICT (connector) DO UPDATE"
        " SET reason = ?3, probe_at = CASE WHEN ?6 THEN pauses.probe_at ELSE ?5 END, probes = max(pauses.probes, ?4)",
        (connector, now, settlement.reason[:MAX_REASON], settlement.probes, settlement.probe_at, settlement.early),
    )


def _enqueue_newer_links(connection: Connection, settled: Row, told: Sequence[Link], due_at: float) -> None:
    """Owes the links once more where another one came while these were being sent."""
    _, links = elsewhere(settled, delivered_of(connection, [settled["alert_id"]]).get(settled["alert_id"], ()))
    if {link.url for link in links} - {link.url for link in told}:
        connection.execute(
            "UPDATE deliveries SET state = 'ready', due_at = ?, settled_at = NULL WHERE id = ?",
            (due_at, settled["id"]),
        )
