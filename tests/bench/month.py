"""Thirty days of a server's life in some minutes: what tables and indexes grow to, and what is dead in them."""

from __future__ import annotations

import time
from typing import Any, Final

from forwarder.common.databases import PostgresAddress
from forwarder.connector import Receipt
from forwarder.response import Action, Resolution
from forwarder.store import Store
from forwarder.store.records import AttemptResult, Claimed, Settlement, State
from forwarder.testing import alert
from tests.kit import postgres
from tests.kit.store import NOW, at, routed

DAY: Final = 86_400.0
KEPT_DAYS: Final = 7
"""Days after which what is settled is forgotten: so what the later weeks bring takes the room of what has gone."""
CONNECTORS: Final = ("secops", "oncall", "tickets")
SETTINGS: Final = ("autovacuum=on", "autovacuum_naptime=1s", "autovacuum_vacuum_cost_delay=0")
"""A day passes in seconds, and autovacuum looks as much more often, and waits as much less."""

# Each step is a transaction of its own, as it is in the daemon: roles and replicas are renewed every 4 seconds, the
# feed is polled every 15, and each write leaves its mark.
_RENEWED: Final = """
DO $$ BEGIN
  FOR step IN 1..{steps} LOOP
    UPDATE forwarder.leases SET until = clock_timestamp() + interval '1 hour';
    UPDATE forwarder.replicas SET until = clock_timestamp() + interval '1 hour', turned_at = clock_timestamp();
    COMMIT;
    IF step % 4 = 0 THEN
      UPDATE forwarder.marks SET mark = step::text, at = clock_timestamp();
      UPDATE forwarder.feed SET polled_at = {now} + step, cursor = {now} + step;
      UPDATE forwarder.looks SET looked_at = {now} + step, cursor = step::text;
      UPDATE forwarder.connector_memory SET value = step::text;
      COMMIT;
    END IF;
  END LOOP;
END $$
"""
_BEGIN: Final = """
INSERT INTO forwarder.leases SELECT 'role ' || n, 'nobody', now(), now() FROM generate_series(1, 6) AS n
ON CONFLICT DO NOTHING;
INSERT INTO forwarder.looks (connector) VALUES ('secops'), ('oncall'), ('tickets');
INSERT INTO forwarder.connector_memory SELECT name, key, 'v' FROM (VALUES ('secops'), ('oncall')) AS c (name),
  (VALUES ('channel'), ('user'), ('team')) AS k (key)
"""
_SIZES: Final = """
SELECT c.relname, pg_relation_size(c.oid) AS heap, pg_indexes_size(c.oid) AS indexes, s.n_live_tup, s.n_dead_tup,
  s.n_tup_upd, s.n_tup_hot_upd
FROM pg_class AS c JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relnamespace = 'forwarder'::regnamespace ORDER BY pg_total_relation_size(c.oid) DESC
"""
SHOWN: Final = 12


def month(*, days: int, alerts_a_day: int, renewals_a_day: int) -> dict[str, Any] | None:
    """Kilobytes of each table and of its indexes, and its rows, after each third; None where there is no server."""
    if postgres.missing() is not None:
        return None
    with postgres.server(SETTINGS) as server:
        place = server.new()
        with Store.open_exclusive(place) as store:
            server.run(_BEGIN, place.name)
            server.run("SET synchronous_commit = off", place.name)
            found: dict[str, Any] = {"alerts_a_day": alerts_a_day, "renewals_a_day": renewals_a_day}
            for day in range(1, days + 1):
                _live(store, day, alerts_a_day)
                server.run(_RENEWED.format(steps=renewals_a_day, now=NOW + day * DAY), place.name)
                now = NOW + day * DAY
                while store.retention.prune(seen_before=now - KEPT_DAYS * DAY, published_before=now - KEPT_DAYS * DAY):
                    pass
                if day % (days // 3) == 0:
                    # Autovacuum looks once a second, and then has something to do.
                    time.sleep(3)
                    found[f"day {day}"] = _sizes(server, place)
    return found


def _live(store: Store, day: int, count: int) -> None:
    """A day's alerts: each is sent three times, every fourth fails once, changes, and is acknowledged and resolved."""
    for number in range(count):
        now = NOW + (day - 1) * DAY + number * DAY / count
        one = alert(id=f"{day}-{number}", cve_id=f"CVE-2026-{day}{number:04}", published_at=at(now - NOW))
        store.feed.commit_page([routed(one, *CONNECTORS)], now=now, connectors=CONNECTORS)
        for connector in CONNECTORS:
            _deliver(store, connector, now, fails=number % 4 == 0)
        if number % 4 == 0:
            worse = alert(id=one.id, cve_id=one.cve_id, published_at=at(now - NOW), title="Another title")
            store.feed.commit_page([routed(worse, *CONNECTORS, known=one)], now=now + 60, connectors=CONNECTORS)
            for connector in CONNECTORS:
                _deliver(store, connector, now + 60, fails=False)
        for action in (Action.ACKNOWLEDGE, Action.RESOLVE) if number % 2 == 0 else ():
            done = Resolution.DONE if action is Action.RESOLVE else None
            store.lifecycle.respond(
                one.id, action, place="page", now=now + 100, connectors=CONNECTORS, person="Ada", resolution=done
            )
            for connector in CONNECTORS:
                _deliver(store, connector, now + 100, fails=False)


def _deliver(store: Store, connector: str, now: float, *, fails: bool) -> None:
    for claimed in store.outbox.claim(connector, 44, now=now, lease=60.0):
        if fails:
            retry = Settlement(
                state=State.READY, due_at=now + 5, outcome=AttemptResult.RETRY, reason="HTTP 500", failing_since=now
            )
            store.outbox.settle(claimed, retry, now=now, seconds=0.1)
        else:
            _settle(store, claimed, now)
    if fails:
        _deliver(store, connector, now + 10, fails=False)


def _settle(store: Store, claimed: Claimed, now: float) -> None:
    done = Settlement(
        state=State.DELIVERED,
        due_at=now,
        outcome=AttemptResult.DELIVERED,
        reason="",
        receipt=Receipt(remote_id=f"R-{claimed.delivery.id}", url=None),
        payload={"text": "x" * 600},
    )
    store.outbox.settle(claimed, done, now=now, seconds=0.1)


def _sizes(server: postgres.Server, place: PostgresAddress) -> dict[str, Any]:
    names = ("heap_kb", "indexes_kb", "live", "dead", "updates", "of_them_in_place")
    rows = [(str(row[0]), [int(str(one)) for one in row[1:]]) for row in server.run(_SIZES, place.name)]
    told = {
        table: dict(zip(names, (numbers[0] // 1024, numbers[1] // 1024, *numbers[2:]), strict=True))
        for table, numbers in rows
    }
    kept = {table: figures for table, figures in told.items() if figures["updates"] > SHOWN or figures["live"] > SHOWN}
    return {"all_kb": sum(one["heap_kb"] + one["indexes_kb"] for one in told.values()), **kept}
