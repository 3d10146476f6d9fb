"""What people look at: lists and their filters, counts, and the story of one alert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from forwarder.alert import Severity
from forwarder.connector import Action, Change, Origin, Receipt, Status
from forwarder.delivery.waiting import waiting
from forwarder.store import Store
from forwarder.store.query_records import Filter
from forwarder.store.records import Gap, State
from forwarder.testing import HOSTILE_TEXTS, alert
from tests.kit.store import (
    LEASE,
    NOW,
    at,
    claim,
    dead,
    deliver,
    delivered,
    enqueue,
    failed,
    of_sqlite,
    paused,
    remind,
    routed,
    settle,
    uncertain,
)

DAY = 86400.0


@pytest.fixture
def filled(store: Store) -> Store:
    """Four alerts of the feed and an alarm, seen a minute apart, in several states."""
    enqueue(
        store, alert(id="a", severity="critical", cve_id="CVE-2026-1", title='A "quoted" title'), "secops", "oncall"
    )
    enqueue(
        store, alert(id="b", severity="high", cve_id="CVE-2026-22", affected_vendors=["okta"]), "secops", now=NOW + 60
    )
    enqueue(store, alert(id="c", severity="odd", cve_id=None, title="Größe 100%"), now=NOW + 120)
    enqueue(
        store, alert(id="d", severity="low", cve_id="CVE-2025-1", title="under_score \\ back"), "secops", now=NOW + 180
    )
    store.feed.commit_page([routed(alert(id="alarm"), "secops")], now=NOW + 240, origin=Origin.ALARM)
    deliver(store, "oncall", "PD-1")
    settle(store, store.outbox.claim("secops", 1, now=NOW, lease=LEASE)[0], dead())
    return store


def found(store: Store, **wanted: Any) -> str:
    """The ids of the alerts that a filter finds, in their order."""
    return "".join(row.alert.id[0] for row in store.queries.alerts(Filter(**wanted)))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "dcba"),
        ({"limit": 2}, "dc"),
        ({"before": NOW + 120}, "ba"),
        ({"since": datetime.fromtimestamp(NOW + 120, UTC)}, "dc"),
        ({"severity": Severity.CRITICAL}, "ca"),
        ({"vendor": "okta"}, "b"),
        ({"vendor": "okt"}, ""),
        ({"connector": "oncall"}, "a"),
        ({"state": State.DEAD}, "a"),
        ({"connector": "oncall", "state": State.DEAD}, ""),
        ({"connector": "secops", "state": State.READY}, "db"),
        ({"cve_id": "2026"}, "ba"),
        ({"cve_id": "cve-2026-1"}, "a"),
        ({"cve_id": "%"}, ""),
        ({"text": "cve-2026-2"}, "b"),
        ({"text": '"QUOTED"'}, "a"),
        ({"text": "Größe"}, "c"),
        ({"text": "100%"}, "c"),
        ({"text": "%"}, "c"),
        ({"text": "r_s"}, "d"),
        ({"text": "\\"}, "d"),
        ({"alert_id": "b"}, "b"),
        ({"unrouted": True}, "c"),
        ({"origin": "alarm"}, "a"),
        ({"origin": None}, "adcba"),
        ({"severity": Severity.HIGH, "text": "okta", "connector": "secops"}, "b"),
    ],
)
def test_alerts_are_listed_newest_first(filled: Store, wanted: dict[str, Any], expected: str) -> None:
    """Each filter narrows the list; several do so together; what they ask for is text, never a pattern."""
    assert found(filled, **wanted) == expected


def test_an_alert_is_listed_with_where_it_went(filled: Store) -> None:
    """A listed alert has its deliveries, with their states and receipts."""
    (row,) = filled.queries.alerts(Filter(alert_id="a"))
    assert (row.origin, row.revision, row.seen_at, row.unrouted) == ("feed", 1, NOW, False)
    assert [(one.connector, one.state, one.receipt) for one in row.deliveries] == [
        ("secops", State.DEAD, None),
        ("oncall", State.DELIVERED, Receipt(remote_id="PD-1")),
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [("d", "secops"), ("b", "secops"), ("a", "oncall"), ("a", "secops")]),
        ({"state": State.DEAD}, [("a", "secops")]),
        ({"connector": "oncall"}, [("a", "oncall")]),
        ({"severity": Severity.LOW}, [("d", "secops")]),
        ({"cve_id": "2026-22"}, [("b", "secops")]),
        ({"vendor": "okta"}, [("b", "secops")]),
        ({"alert_id": "a", "limit": 1}, [("a", "oncall")]),
        ({"since": datetime.fromtimestamp(NOW + 60, UTC)}, [("d", "secops"), ("b", "secops")]),
        ({"origin": "alarm"}, [("alarm", "secops")]),
    ],
)
def test_deliveries_are_listed_newest_first(
    filled: Store, wanted: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Deliveries have filters of their own, and the same order."""
    assert [(row.alert_id, row.connector) for row in filled.queries.deliveries(Filter(**wanted))] == expected


RARE: Final[list[dict[str, Any]]] = [
    {"state": State.READY},
    {"state": State.DELIVERED, "connector": "oncall"},
    {"connector": "oncall"},
    {"connector": "nobody"},
    {"state": State.DEAD},
    {"unrouted": True},
    {"vendor": "nobody"},
]


@pytest.mark.parametrize("wanted", RARE, ids=str)
def test_what_is_rare_among_many_is_found_without_looking_at_all(many: Store, wanted: dict[str, Any]) -> None:
    """An index knows it, with a search beside it and without."""
    for text in (None, "flaw", "fl"):
        sought = Filter(text=text, **wanted)
        assert looks(many, lambda: many.queries.alerts(sought)) < 100  # noqa: B023


@pytest.mark.parametrize("text", ["flaw", "cve-", "fl", "f", "flaw cve", "CVE-202", "flaw cve fl e"])
def test_however_much_matches_no_more_is_read_than_is_shown(many: Store, text: str) -> None:
    """What is in nearly all alerts takes no longer than what is in one, with other conditions and without."""
    assert looks(many, lambda: many.queries.alerts(Filter(text=text))) < 100
    assert looks(many, lambda: many.queries.alerts(Filter(text=text, severity=Severity.LOW))) < 100


@pytest.mark.parametrize("wanted", [{}, *RARE[:5], {"severity": Severity.LOW}], ids=str)
def test_the_newest_deliveries_are_found_without_looking_at_all(many: Store, wanted: dict[str, Any]) -> None:
    """Of many or of few."""
    assert looks(many, lambda: many.queries.deliveries(Filter(**wanted))) < 100


def test_what_waits_is_told_without_looking_at_what_arrived(many: Store) -> None:
    """However much did."""
    enqueue(many, alert(id="waits"), "secops", now=NOW + 3)
    (row,) = many.queries.deliveries(Filter(alert_id="waits"))
    assert looks(many, lambda: waiting(many, [row.id], connectors=("secops",), rates={}, now=NOW + 4)) < 50
    assert looks(many, lambda: many.queries.outstanding(["secops"])) < 50


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store of 20,000 alerts, all delivered to secops but for the oldest one, which waits for oncall."""
    store = Store.open_exclusive(tmp_path_factory.mktemp("many") / "forwarder.db")
    enqueue(store, alert(id="oldest", title="Flaw 0"), "oncall")
    alerts = [alert(id=f"0a1b2c3d-{number:05}", title=f"Flaw {number}", severity="low") for number in range(20_000)]
    store.feed.commit_page([routed(one, "secops") for one in alerts], now=NOW + 1, connectors=["secops"])
    sql = "UPDATE deliveries SET state = 'delivered', settled_at = ?, receipt_id = id WHERE connector = 'secops'"
    store.engine.write(lambda connection: connection.execute(sql, (NOW + 2,)))
    yield store
    store.close()


def looks(store: Store, ask: Callable[[], object]) -> int:
    """How many thousand steps the database takes for an answer."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with store.engine.read() as connection:
        of_sqlite(connection).set_progress_handler(count, 1000)
    ask()
    return steps


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
def test_hostile_texts_are_found_and_shown_cleaned(store: Store, text: str) -> None:
    """No text breaks a list or a search, and titles come out without what acts on a terminal."""
    enqueue(store, alert(title=text, cve_id=None), "secops")
    (row,) = store.queries.deliveries(Filter())
    assert row.title == store.queries.alerts(Filter())[0].alert.title
    assert row.title.isprintable() or "\u200b" in text or "\u200d" in text
    row.title.encode()
    if len(text) < 1000:
        # SQLite's index reads a text up to a NUL, if it has one.
        found = store.queries.alerts(Filter(text=text.split("\0", maxsplit=1)[0]))
        assert [one.alert.title for one in found] == [row.title]


def test_the_story_of_an_alert(store: Store) -> None:
    """All that is known of an alert: why it went where, what changed, every attempt, what was sent."""
    enqueue(store, alert(severity="high"), "secops")
    settle(store, claim(store), failed(due_at=NOW))
    settle(store, claim(store), delivered("R-1", payload={"text": "sent"}))
    store.feed.commit_page(
        [routed(alert(severity="critical"), "secops", known=alert(severity="high"))],
        now=NOW + 60,
        connectors=["secops"],
    )
    history = store.queries.history(alert().id)
    assert history is not None
    assert (history.row.alert.severity, history.row.revision) == (Severity.CRITICAL, 2)
    assert history.trail == [{"route": 1, "matched": True, "why": "the route has no conditions", "to": ["secops"]}]
    ((revision),) = history.revisions
    assert (revision.revision, revision.at) == (2, NOW + 60)
    assert revision.changes == [Change(field="severity", old="high", new="critical")]
    opened, update = history.row.deliveries
    assert [(one.kind, one.revision, one.why) for one in (opened, update)] == [
        ("open", 1, "route 1: the route has no conditions"),
        ("update", 2, "changed: severity"),
    ]
    assert [one.outcome for one in history.attempts[opened.id]] == ["retry", "delivered"]
    assert (history.attempts[update.id], history.payloads) == ([], {opened.id: {"text": "sent"}})


def test_a_story_is_found_by_its_id(store: Store) -> None:
    """And by nothing else: of a CVE there may be several."""
    enqueue(store, alert(id="one", cve_id="CVE-2026-1"))
    assert [_id_of(store, name) for name in ("one", "CVE-2026-1", "unknown")] == ["one", None, None]


def test_a_queue_counts_each_state(store: Store) -> None:
    """A connector's queue says how much stands where, since when the oldest waits, and what went wrong last."""
    for number in range(6):
        enqueue(store, alert(id=f"a{number}", published_at=at(number)), "secops", now=NOW + number)
    claims = store.outbox.claim("secops", 5, now=NOW, lease=LEASE)
    ends = (delivered(), dead(), failed(due_at=NOW + 9, reason="HTTP 500"), uncertain(due_at=NOW + 60))
    for claimed, settlement in zip(claims, ends, strict=False):
        settle(store, claimed, settlement, now=NOW + 100)
    (queue,) = store.queries.queues(["secops"])
    assert (queue.ready, queue.sending, queue.uncertain, queue.dead, queue.delivered) == (2, 1, 1, 1, 1)
    assert (queue.waiting, queue.oldest_enqueued_at, queue.last_delivered_at) == (4, NOW + 2, NOW + 100)
    assert (queue.last_error, queue.pause) == ("timed out", None)
    assert store.queries.queues(["secops"], since=NOW + 101)[0].delivered == 0
    assert store.queries.outstanding(["secops", "oncall"]) == 4


def test_an_empty_queue(store: Store) -> None:
    """A connector that was never owed anything has a queue of nothing."""
    (queue,) = store.queries.queues(["secops"])
    assert (queue.waiting, queue.dead, queue.oldest_enqueued_at, queue.last_delivered_at, queue.last_error) == (
        0,
        0,
        None,
        None,
        None,
    )


def test_connectors_that_are_gone_are_shown_while_they_are_owed(store: Store) -> None:
    """What a connector that is no longer in the config is owed, or has as dead letters, is not out of sight."""
    for name in ("known", "waits", "sends", "died", "done"):
        enqueue(store, alert(id=name), name)
    claim(store, "sends")
    settle(store, claim(store, "died"), dead())
    deliver(store, "done")
    assert [queue.connector for queue in store.queries.queues(["known", "quiet"])] == [
        "known",
        "quiet",
        "died",
        "sends",
        "waits",
    ]
    assert store.queries.outstanding(["known", "quiet"]) == 1


def test_a_queue_tells_its_pause(store: Store) -> None:
    """A paused connector's queue says since when and why."""
    enqueue(store, alert(), "secops")
    settle(store, claim(store), paused())
    pause = store.queries.queues(["secops"])[0].pause
    assert pause is not None
    assert (pause.reason, pause.since) == ("token_revoked", NOW)


def test_gaps_are_listed_newest_first(store: Store) -> None:
    """Each gap says which stretch of which severity was not shown, and when that was noticed."""
    for number in (0, 1):
        store.feed.commit_page([], now=NOW + number, gaps=[Gap(severity=Severity.LOW, since=NOW, until=NOW + number)])
    assert [(gap.until, gap.noticed_at) for gap in store.queries.gaps()] == [(NOW + 1, NOW + 1), (NOW, NOW)]


def test_the_charts_count_the_feed_s_alerts(store: Store) -> None:
    """Alerts are counted by the UTC day on which they were seen and by severity; alarms are not among them."""
    for number, severity in enumerate(["high", "high", "low"]):
        enqueue(store, alert(id=f"a{number}", severity=severity), now=NOW + number // 2 * DAY)
    store.feed.commit_page([routed(alert(id="alarm"))], now=NOW, origin=Origin.ALARM)
    assert store.queries.alerts_a_day(0.0) == [("2026-03-01", Severity.HIGH, 2), ("2026-03-02", Severity.LOW, 1)]
    assert store.queries.alerts_a_day(NOW + 1) == [("2026-03-02", Severity.LOW, 1)]


def test_latencies_are_from_owed_to_delivered(store: Store) -> None:
    """What was delivered since tells how long it took; updates and dead letters tell nothing."""
    enqueue(store, alert(id="a"), "secops")
    enqueue(store, alert(id="b"), "oncall")
    deliver(store, "secops", now=NOW + 7)
    settle(store, claim(store, "oncall"), dead())
    remind(store, "a", ["secops"], now=NOW, why="x", change=Change(field="x", old=1, new=2))
    deliver(store, "secops", now=NOW + 9)
    assert store.queries.latencies(NOW) == [("secops", 7.0)]
    assert store.queries.latencies(NOW + 8) == []


def _id_of(store: Store, name: str) -> str | None:
    history = store.queries.history(name)
    return history.row.alert.id if history else None


def test_what_needs_people_comes_first(store: Store) -> None:
    """Open, then acknowledged, the most severe first and the newest within; then what is done or concerns nobody."""
    for number, (alert_id, severity) in enumerate(
        [("a", "low"), ("b", "high"), ("c", "high"), ("d", "critical"), ("e", "critical")]
    ):
        enqueue(store, alert(id=alert_id, severity=severity), "secops", now=NOW + 60 * number)
    enqueue(store, alert(id="u", severity="critical"), now=NOW + 600)
    store.lifecycle.respond("d", Action.ACKNOWLEDGE, place="secops", now=NOW, connectors=())
    store.lifecycle.respond("e", Action.RESOLVE, place="secops", now=NOW, connectors=())
    for few in ({}, {"connector": "secops"}):
        rest = "e" if few else "ue"
        wanted: dict[str, Any] = {"urgent_first": True, **few}
        assert found(store, **wanted) == f"cbad{rest}"
        assert found(store, **wanted, limit=4) == "cbad"
        assert found(store, **wanted, severity=Severity.CRITICAL) == f"d{rest}"
        assert found(store, **wanted, status=Status.OPEN) == "cba"
        assert found(store, **wanted, status=Status.ACKNOWLEDGED) == "d"
        assert found(store, **wanted, status=Status.RESOLVED) == "e"
    assert found(store, urgent_first=True, text="gateway") == "uedcba"
