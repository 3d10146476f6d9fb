"""The store: pages go in whole, deliveries are claimed in order and settled under their claim, nothing gets lost."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forwarder.alert import Alert, SetAside, Severity
from forwarder.connector import Kind, Origin, Receipt
from forwarder.store import Store
from forwarder.store.order import MOST
from forwarder.store.records import AttemptResult, Claimed, Gap, Settlement, State
from forwarder.store.sqlite import SqliteEngine
from forwarder.testing import alert, hostile_alerts, odd_alerts
from tests.kit.samples import real_alerts
from tests.kit.store import (
    LASTING,
    LEASE,
    NOW,
    REFUSED,
    at,
    claim,
    claim_all,
    dead,
    deliver,
    delivered,
    enqueue,
    failed,
    ids,
    paused,
    remind,
    routed,
    rows,
    settle,
    stack,
    states,
    uncertain,
)

TWICE = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at)
SELECT alert_id, connector, kind, iif(kind = 'open', 7, revision), state, rank, published_at, why, enqueued_at, due_at
FROM deliveries WHERE kind = {kind}
"""
"""Owes what is owed once more: an update of the same revision, or a second open."""

ASIDE = SetAside(digest="d1", raw="{}", reason="the alert has no id")


# A page is one transaction


def test_a_page_brings_everything_at_once(store: Store) -> None:
    """Alerts, what is owed, the cursor, gaps and texts set aside arrive together, and are told."""
    gap = Gap(severity=Severity.HIGH, since=NOW - 60, until=NOW)
    committed = store.feed.commit_page(
        [routed(alert(id="a"), "secops", "oncall"), routed(alert(id="b"))],
        now=NOW,
        cursor=NOW - 5,
        gaps=[gap],
        set_aside=[ASIDE],
    )
    assert [one.id for one in committed.new] == ["a", "b"]
    assert [one.id for one in committed.unrouted] == ["b"]
    assert sorted(committed.connectors) == ["oncall", "secops"]
    assert (list(committed.gaps), list(committed.set_aside)) == ([gap], [replace(ASIDE, seen_at=NOW)])
    assert store.feed.state().cursor == NOW - 5
    assert store.feed.state().polled_at == NOW
    assert states(store) == {("secops", "open", 1): "ready", ("oncall", "open", 1): "ready"}
    assert store.queries.totals() == {"gaps": 1, "set_aside": 1, "unrouted": 1}


def test_a_failing_item_leaves_nothing(store: Store) -> None:
    """Where one item of a page cannot be written, no alert, no delivery and no cursor of that page is."""
    bad = replace(alert(id="bad"), raw={"score": float("nan")})
    with pytest.raises(REFUSED):
        store.feed.commit_page(
            [routed(alert(id="good"), "secops"), routed(bad, "secops")], now=NOW, cursor=NOW, set_aside=[ASIDE]
        )
    assert rows(store, "SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM deliveries)") == [(0, 0)]
    assert (store.feed.state().cursor, store.feed.state().polled_at, store.queries.set_aside()) == (None, None, [])


def test_the_cursor_never_moves_back(store: Store) -> None:
    """A page of an older time leaves the cursor where it was."""
    reached = []
    for cursor in (NOW, NOW - 100, None, NOW + 1):
        store.feed.commit_page([], now=NOW, cursor=cursor)
        reached.append(store.feed.state().cursor)
    assert reached == [NOW, NOW, NOW, NOW + 1]


def test_an_alert_is_known_once(store: Store) -> None:
    """The same alert in two pages is one alert and one delivery, even where both pages think it is new."""
    enqueue(store, alert(), "secops")
    again = store.feed.commit_page([routed(alert(), "secops")], now=NOW + 1)
    assert (again.new, again.connectors) == ([], frozenset())
    assert rows(store, "SELECT count(*) FROM deliveries") == [(1,)]


def test_unseen_is_what_is_not_known_in_this_form(store: Store) -> None:
    """An alert that is known as it is, is not fresh; a new one is, and a changed one comes with its known form."""
    enqueue(store, alert(id="same"))
    enqueue(store, alert(id="changed", epss_score=0.1))
    fresh = store.feed.unseen([alert(id="same"), alert(id="changed", epss_score=0.2), alert(id="new")])
    assert [(one.id, known and known.epss_score) for one, known in fresh] == [("changed", 0.1), ("new", None)]


def test_the_order_of_an_alert_s_fields_is_no_change(store: Store) -> None:
    """An API that writes the same fields in another order has changed nothing."""
    enqueue(store, alert())
    assert store.feed.unseen([Alert.parse(dict(reversed(list(alert().raw.items()))))]) == []


def test_what_the_api_says_is_kept_as_it_is(store: Store) -> None:
    """Alerts of every kind, hostile texts included, come out as they went in, in every list."""
    kept = {}
    for number, one in enumerate([*hostile_alerts(), *odd_alerts()]):
        # What JSON does not have never gets this far: the client leaves it out.
        raw = {name: value for name, value in one.raw.items() if value not in (float("inf"), float("-inf"))}
        kept[f"a{number}"] = Alert.parse({**raw, "id": f"a{number}", "cvss_score": None})
    for one in kept.values():
        enqueue(store, one, "secops")
    assert {found.delivery.alert.id: found.delivery.alert for found in claim_all(store)} == kept
    assert store.feed.unseen(list(kept.values())) == []


def test_a_gap_is_recorded_once(store: Store) -> None:
    """A gap that a recorded one covers is not told again; a wider one, or one of another severity, is."""
    gap = Gap(severity=Severity.HIGH, since=NOW - 60, until=NOW)
    within, wider = replace(gap, since=NOW - 30), replace(gap, until=NOW + 1)
    other = replace(gap, severity=Severity.LOW)
    told = [list(store.feed.commit_page([], now=NOW, gaps=[one]).gaps) for one in (gap, gap, within, wider, other)]
    assert told == [[gap], [], [], [wider], [other]]
    assert len(store.queries.gaps()) == 3


def test_a_text_is_set_aside_once(store: Store) -> None:
    """The same text in a later page is not told again."""
    told = [list(store.feed.commit_page([], now=NOW + number, set_aside=[ASIDE]).set_aside) for number in (0, 1)]
    assert told == [[replace(ASIDE, seen_at=NOW)], []]
    assert [(one.raw, one.seen_at) for one in store.queries.set_aside()] == [("{}", NOW)]


def test_a_failed_poll_is_written_down_until_one_succeeds(store: Store) -> None:
    """The reason why the feed could not be read stands until it is read again, and moves nothing else."""
    store.feed.commit_page([], now=NOW, cursor=NOW)
    store.feed.poll_failed("The key was refused.")
    feed = store.feed.state()
    assert (feed.poll_error, feed.polled_at, feed.cursor) == ("The key was refused.", NOW, NOW)
    store.feed.commit_page([], now=NOW + 1)
    assert (store.feed.state().poll_error, store.feed.state().polled_at) == (None, NOW + 1)


def test_a_sweep_is_no_poll(store: Store) -> None:
    """A sweep writes down when it was and how far it reached, and leaves the poll's marks alone."""
    store.feed.commit_page([], now=NOW, swept=True, reach=NOW - 99)
    feed = store.feed.state()
    assert (feed.swept_at, feed.sweep_reach, feed.polled_at, feed.cursor) == (NOW, NOW - 99, None, None)


def test_our_own_alerts_move_nothing_of_the_feed(store: Store) -> None:
    """An alarm is an alert like any other, but no poll."""
    store.feed.commit_page([routed(alert(), "secops")], now=NOW, origin=Origin.ALARM)
    assert store.feed.state().polled_at is None
    assert claim(store).delivery.origin is Origin.ALARM


def test_the_stack_is_remembered(store: Store) -> None:
    """The account's vendors are kept; before the first time there are none to compare with."""
    assert store.feed.state().stack is None
    store.vendors.keep(stack("okta", "github"))
    assert store.feed.state().stack == frozenset({"github", "okta"})


# Claims


def test_the_most_severe_go_first_and_the_oldest_among_equals(store: Store) -> None:
    """Deliveries are claimed by severity, then by time of publication, then in the order in which they came."""
    for alert_id, severity, seconds in [
        ("low", "low", 0),
        ("high-new", "high", 60),
        ("critical-new", "critical", 60),
        ("high-old", "high", 0),
        ("high-old-2", "high", 0),
        ("critical-old", "critical", 0),
        ("medium", "medium", 0),
    ]:
        enqueue(store, alert(id=alert_id, severity=severity, published_at=at(seconds)), "secops")
    expected = ["critical-old", "critical-new", "high-old", "high-old-2", "high-new", "medium", "low"]
    assert ids(store.outbox.claim("secops", 3, now=NOW, lease=LEASE)) == expected[:3]
    assert ids(claim_all(store)) == expected[3:]


def test_only_what_is_due_and_one_s_own_is_claimed(store: Store) -> None:
    """What is due later, what is claimed already and what another connector is owed stays where it is."""
    enqueue(store, alert(id="a"), "secops", "oncall")
    settle(store, claim(store), failed(due_at=NOW + 60))
    assert claim_all(store, now=NOW + 59.9) == []
    assert store.outbox.next_due("secops") == NOW + 60
    assert ids(claim_all(store, now=NOW + 60)) == ["a"]
    assert claim_all(store, now=NOW + 60) == []
    assert store.outbox.next_due("secops") is None
    assert ids(claim_all(store, "oncall")) == ["a"]


def test_a_claim_says_all_that_a_connector_needs(store: Store) -> None:
    """The first claim of an open has the alert, when it came to be owed, and nothing of the past."""
    enqueue(store, alert(), "secops")
    claimed = claim(store)
    delivery = claimed.delivery
    assert (delivery.alert, delivery.connector, delivery.kind) == (alert(), "secops", Kind.OPEN)
    assert (delivery.enqueued_at.timestamp(), delivery.attempt, delivery.revision) == (NOW, 1, 1)
    assert (delivery.receipt, delivery.changes, delivery.links) == (None, (), ())
    assert (claimed.uncertain, claimed.lookups, claimed.attempts, claimed.failing_since) == (False, 0, 0, None)


def test_an_update_never_overtakes_its_open(store: Store) -> None:
    """While an open waits, is under way or uncertain, what follows it for the same alert waits, whatever its rank."""
    enqueue(store, alert(severity="low"), "secops")
    remind(store, alert().id, ["secops"], now=NOW, why="x", change=LASTING)
    opening = claim(store)
    assert opening.delivery.kind is Kind.OPEN
    assert claim_all(store) == []
    settle(store, opening, uncertain(due_at=NOW + 10))
    assert claim_all(store) == []
    settle(store, claim(store, now=NOW + 10), delivered("R-9"))
    update = claim(store)
    assert (update.delivery.kind, update.delivery.receipt) == (Kind.UPDATE, Receipt(remote_id="R-9"))
    assert update.delivery.changes == (LASTING,)


def test_an_update_of_one_alert_holds_up_no_other(store: Store) -> None:
    """Only the same alert at the same connector waits."""
    enqueue(store, alert(id="a"), "secops", "oncall")
    enqueue(store, alert(id="b"), "secops")
    remind(store, "a", ["secops", "oncall"], now=NOW, why="x", change=LASTING)
    deliver(store, "oncall")
    assert ids(claim_all(store)) == ["a", "b"]
    assert claim(store, "oncall").delivery.kind is Kind.UPDATE


def test_two_claimers_never_get_the_same(store: Store) -> None:
    """However many workers claim at once, each delivery goes to one of them."""
    store.feed.commit_page([routed(alert(id=f"a{number}"), "secops") for number in range(200)], now=NOW)
    with ThreadPoolExecutor(8) as threads:
        claims = threads.map(lambda _: store.outbox.claim("secops", 3, now=NOW, lease=LEASE), range(80))
        got = [delivery_id for claimed in claims for delivery_id in ids(claimed)]
    assert sorted(got) == sorted({f"a{number}" for number in range(200)})


def test_two_processes_never_get_the_same(store: Store) -> None:
    """Two connections to the same database share out the work as two threads do."""
    store.feed.commit_page([routed(alert(id=f"a{number}"), "secops") for number in range(60)], now=NOW)
    visitor = Store.open_shared(store.engine.place)
    with ThreadPoolExecutor(2) as threads:
        claims = threads.map(
            lambda one: [one.outbox.claim("secops", 2, now=NOW, lease=LEASE) for _ in range(30)], [store, visitor]
        )
        got = [alert_id for side in claims for claimed in side for alert_id in ids(claimed)]
    visitor.close()
    assert sorted(got) == sorted({f"a{number}" for number in range(60)})


# Settle


def test_a_delivered_one_has_its_receipt_and_its_story(store: Store) -> None:
    """A settled delivery keeps where it stands, what was sent, when, and what came back."""
    enqueue(store, alert(), "secops")
    claimed = claim(store)
    assert settle(store, claimed, delivered("R-1", "https://x.example/1", payload={"text": "ü\ud800"}), now=NOW + 2)
    history = store.queries.history(alert().id)
    assert history is not None
    (row,) = history.row.deliveries
    assert (row.state, row.settled_at, row.attempts) == (State.DELIVERED, NOW + 2, 1)
    assert row.receipt == Receipt(remote_id="R-1", url="https://x.example/1")
    assert history.payloads == {row.id: {"text": "ü\ud800"}}
    ((attempt,),) = history.attempts.values()
    assert (attempt.number, attempt.at, attempt.seconds, attempt.outcome) == (1, NOW + 1.75, 0.25, "delivered")


def test_every_attempt_is_kept(store: Store) -> None:
    """A failure counts as an attempt, a rate limit does not, and both stand in the story with their reasons."""
    enqueue(store, alert(), "secops")
    settle(store, claim(store), failed(due_at=NOW, reason="x" * 5000))
    settle(store, claim(store), failed(due_at=NOW, outcome=AttemptResult.RATE_LIMITED, reason="HTTP 429", spent=False))
    third = claim(store)
    assert (third.delivery.attempt, third.attempts, third.failing_since) == (2, 1, NOW)
    settle(store, third, delivered())
    history = store.queries.history(alert().id)
    assert history is not None
    (attempts,) = history.attempts.values()
    assert [(one.number, one.outcome, len(one.reason)) for one in attempts] == [
        (1, "retry", 1000),
        (2, "rate_limited", 8),
        (3, "delivered", 0),
    ]


def test_a_late_worker_writes_nothing(store: Store) -> None:
    """Once another worker has claimed a delivery, the first one's result changes nothing."""
    enqueue(store, alert(), "secops")
    late = claim(store)
    store.outbox.reclaim_expired(now=NOW + LEASE + 1, due_at={}, all_claims=False)
    current = claim(store, now=NOW + LEASE + 1)
    assert current.uncertain
    assert not settle(store, late, dead())
    assert states(store) == {("secops", "open", 1): "sending"}
    assert settle(store, current, delivered("R-2"))
    assert not settle(store, late, delivered("R-1"))
    assert rows(store, "SELECT receipt_id FROM deliveries") == [("R-2",)]
    assert rows(store, "SELECT outcome FROM attempts ORDER BY number") == [("uncertain",), ("delivered",)]


def test_a_late_result_counts_while_nobody_took_over(store: Store) -> None:
    """A worker whose lease ended but whose delivery nobody claimed since still brings its result in."""
    enqueue(store, alert(), "secops")
    late = claim(store)
    assert store.outbox.reclaim_expired(now=NOW + LEASE + 1, due_at={}, all_claims=False) == {"secops": 1}
    assert settle(store, late, delivered("R-1"))
    assert states(store) == {("secops", "open", 1): "delivered"}


def test_a_settled_claim_is_over(store: Store) -> None:
    """The same result twice is written once."""
    enqueue(store, alert(), "secops")
    claimed = claim(store)
    assert settle(store, claimed, delivered())
    assert not settle(store, claimed, delivered())
    assert rows(store, "SELECT count(*) FROM attempts") == [(1,)]


def test_a_released_delivery_is_as_if_never_claimed(store: Store) -> None:
    """Giving back what was not tried spends nothing, and what was uncertain stays so."""
    enqueue(store, alert(), "secops")
    store.outbox.release(claim(store))
    again = claim(store)
    assert (again.uncertain, again.attempts) == (False, 0)
    settle(store, again, uncertain(due_at=NOW))
    looking = claim(store)
    store.outbox.release(looking)
    assert claim(store).uncertain
    store.outbox.release(looking)
    assert states(store) == {("secops", "open", 1): "sending"}


@pytest.mark.parametrize(
    "settlement", [delivered(), failed(), uncertain(), dead(), paused()], ids=lambda one: str(one.outcome)
)
def test_settling_is_all_or_nothing(store: Store, settlement: Settlement) -> None:
    """Whatever the outcome, a state that a constraint refuses leaves the delivery claimed, and no attempt."""
    enqueue(store, alert(), "secops")
    claimed = claim(store)
    with pytest.raises(REFUSED):
        settle(store, claimed, replace(settlement, lookups=-1))
    assert states(store) == {("secops", "open", 1): "sending"}
    assert rows(store, "SELECT count(*) FROM attempts") == [(0,)]
    assert settle(store, claimed, settlement)


# What a crash leaves


def test_a_start_finds_what_was_being_sent(store: Store) -> None:
    """After a crash all that was claimed is uncertain, at once; no attempt is spent, for nothing of it failed."""
    enqueue(store, alert(id="a"), "secops", "oncall")
    claim(store, "secops", lease=1e6)
    assert store.outbox.reclaim_expired(now=NOW + 5, due_at={}, all_claims=True) == {"secops": 1}
    assert store.outbox.reclaim_expired(now=NOW + 5, due_at={}, all_claims=True) == {}
    found = claim(store, now=NOW + 5)
    assert (found.uncertain, found.lookups, found.attempts, found.failing_since) == (True, 0, 0, None)
    assert not claim(store, "oncall").uncertain


def test_a_lease_that_ended_is_looked_for_when_it_is_time(store: Store) -> None:
    """A worker that does not report back loses its claim after the lease, not before, and the look comes in time."""
    enqueue(store, alert(), "secops")
    claim(store)
    assert store.outbox.reclaim_expired(now=NOW + LEASE, due_at={}, all_claims=False) == {}
    assert store.outbox.reclaim_expired(now=NOW + LEASE + 0.1, due_at={"secops": NOW + 90}, all_claims=False) == {
        "secops": 1
    }
    assert claim_all(store, now=NOW + 89) == []
    assert claim(store, now=NOW + 90).uncertain


def test_a_rescue_keeps_since_when_it_fails(store: Store) -> None:
    """A crash does not begin the time after which a delivery is given up anew."""
    enqueue(store, alert(), "secops")
    settle(store, claim(store), failed(due_at=NOW))
    claim(store)
    store.outbox.reclaim_expired(now=NOW + 999, due_at={}, all_claims=True)
    assert claim(store, now=NOW + 999).failing_since == NOW


def test_the_periodic_rescue_leaves_live_claims(store: Store) -> None:
    """What a worker is still sending stays its own: only claims whose lease ended are taken, at any connector."""
    enqueue(store, alert(id="dead-worker"), "secops")
    claim(store, lease=10)
    enqueue(store, alert(id="live"), "secops", "oncall")
    live = [claim(store, "secops", lease=LEASE), claim(store, "oncall", lease=LEASE)]
    assert store.outbox.reclaim_expired(now=NOW + 11, due_at={}, all_claims=False) == {"secops": 1}
    found = [one for name in ("secops", "oncall") for one in claim_all(store, name, NOW + 11)]
    assert [(one.delivery.alert.id, one.uncertain) for one in found] == [("dead-worker", True)]
    assert all(settle(store, one, delivered()) for one in live)


# Constraints


@pytest.mark.parametrize(
    ("sql", "constraint"),
    [
        ("UPDATE feed SET account = ''", "account <> ''"),
        ("INSERT INTO vendors VALUES ('github', 'GitHub', '{')", "json_valid"),
        ("UPDATE alerts SET id = ''", "id <> ''"),
        ("UPDATE alerts SET origin = 'x'", "origin IN"),
        ("UPDATE alerts SET severity = 'odd'", "severity IN"),
        ("UPDATE alerts SET body = 'x'", "json_valid"),
        ("UPDATE alerts SET trail = ''", "json_valid"),
        ("UPDATE alerts SET revision = 0", "revision >= 1"),
        ("UPDATE alerts SET unrouted = 2", "unrouted IN"),
        ("UPDATE alerts SET seen_at = NULL", "NOT NULL"),
        ("UPDATE alerts SET seen_at = 'soon'", "cannot store TEXT value in REAL"),
        ("INSERT INTO changes VALUES ('a', 1, 0, '[]')", "revision >= 2"),
        ("INSERT INTO changes VALUES ('a', 2, 0, '[')", "json_valid"),
        ("INSERT INTO changes VALUES ('unknown', 2, 0, '[]')", "FOREIGN KEY"),
        ("UPDATE deliveries SET alert_id = 'unknown'", "FOREIGN KEY"),
        ("UPDATE deliveries SET connector = ''", "connector <> ''"),
        ("UPDATE deliveries SET kind = 'x'", "kind IN"),
        ("UPDATE deliveries SET state = 'x'", "state IN"),
        ("UPDATE deliveries SET revision = -1", "revision >= 0"),
        ("UPDATE deliveries SET rank = -1", "rank >= 0"),
        ("UPDATE deliveries SET attempts = -1", "attempts >= 0"),
        ("UPDATE deliveries SET lookups = -1", "lookups >= 0"),
        ("UPDATE deliveries SET state = 'sending'", "state <> 'sending'"),
        ("UPDATE deliveries SET state = 'sending', claim = 'x'", "state <> 'sending'"),
        ("UPDATE deliveries SET state = 'delivered', receipt_id = 'x'", "settled_at IS NOT NULL"),
        ("UPDATE deliveries SET settled_at = 1", "settled_at IS NOT NULL"),
        ("UPDATE deliveries SET state = 'delivered', settled_at = 1", "receipt_id IS NOT NULL"),
        (TWICE.format(kind="'update'"), "UNIQUE"),
        (TWICE.format(kind="'open'"), "UNIQUE"),
        ("INSERT INTO attempts SELECT id, 0, 0, 0, 'retry', '' FROM deliveries", "number >= 1"),
        ("INSERT INTO attempts SELECT id, 1, 0, -1, 'retry', '' FROM deliveries", "seconds >= 0"),
        ("INSERT INTO attempts VALUES (999, 1, 0, 0, 'retry', '')", "FOREIGN KEY"),
        ("INSERT INTO pauses VALUES ('c', 0, '', -1, 0)", "probes >= 0"),
        ("INSERT INTO gaps VALUES ('acme', 'odd', 0, 1, 0)", "severity IN"),
        ("INSERT INTO gaps VALUES ('acme', 'low', 2, 1, 0)", "until >= since"),
    ],
)
def test_a_row_that_must_not_be_is_refused(store: Store, sql: str, constraint: str) -> None:
    """Every invariant that a row can break is held by the database itself."""
    enqueue(store, alert(id="a"), "secops")
    remind(store, "a", ["secops"], now=NOW, why="x", change=LASTING)
    words = re.escape(constraint) if isinstance(store.engine, SqliteEngine) else None
    with pytest.raises(REFUSED, match=words):
        store.engine.write(lambda connection: connection.execute(sql))


# Any order of events


def _step(store: Store, event: str, held: list[Claimed], now: float) -> None:
    match event:
        case "claim":
            held += store.outbox.claim("secops", 2, now=now, lease=LEASE)
        case "reclaim":
            store.outbox.reclaim_expired(now=now, due_at={}, all_claims=False)
        case "crash":
            store.outbox.reclaim_expired(now=now, due_at={}, all_claims=True)
        case "retry":
            store.operations.retry([one.delivery.id for one in held], now=now)
        case _ if held:
            ends = {"yes": delivered(), "no": dead(), "fail": failed(due_at=now), "maybe": uncertain(due_at=now)}
            settle(store, held.pop(0), ends[event], now=now)


@given(st.lists(st.sampled_from(["claim", "reclaim", "crash", "retry", "yes", "no", "fail", "maybe"]), max_size=25))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_order_of_events_loses_or_repeats_anything(store: Store, events: list[str]) -> None:
    """Whatever workers, crashes and people do, each delivery stays one row, and what was delivered stays so."""
    store.engine.write(lambda connection: connection.execute("DELETE FROM alerts"))
    store.feed.commit_page([routed(alert(id=f"a{number}"), "secops") for number in range(3)], now=NOW)
    held: list[Claimed] = []
    done: set[Any] = set()
    for number, event in enumerate(events):
        _step(store, event, held, NOW + number * 40)
        delivered_now = set(rows(store, "SELECT id FROM deliveries WHERE state = 'delivered'"))
        assert done <= delivered_now
        done = delivered_now
    assert rows(store, "SELECT count(*) FROM deliveries") == [(3,)]
    ((sending,),) = rows(store, "SELECT count(*) FROM deliveries WHERE state = 'sending'")
    assert (
        len(store.outbox.claim("secops", 9, now=NOW + 1e6, lease=LEASE))
        + sending
        + len(done)
        + len(rows(store, "SELECT 1 FROM deliveries WHERE state = 'dead'"))
        == 3
    )


def test_real_alerts_go_in_and_out(store: Store, kind: str) -> None:
    """A history of real alerts is taken in one page and claimed in the order of severity and age."""
    # The larger part of what this costs on a server is the same for each alert.
    known = [Alert.parse(raw) for raw in real_alerts()[:: 1 if kind == "sqlite" else 8]]
    store.feed.commit_page([routed(one, "secops") for one in known], now=NOW)
    assert store.feed.unseen(known) == []
    expected = sorted(known, key=lambda one: (one.severity.rank, one.published_at))
    claims = [store.outbox.claim("secops", MOST, now=NOW, lease=LEASE) for _ in range(2)]
    got = [one.delivery.alert for claimed in claims for one in claimed]
    assert [(one.severity, one.published_at) for one in got] == [(one.severity, one.published_at) for one in expected]
