"""The floor: what was published before the first start is known and never owed, and nothing after it is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.common.clock import instant, iso
from forwarder.feed.client import FeedClient, SentrytexError
from forwarder.feed.poller import Poller
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store import schema as store_schema
from forwarder.store.schema import MIGRATIONS
from tests.feed.conftest import MakePoller
from tests.feed.test_poller import Undated
from tests.kit.feed import DAY, HOUR, flood, new, outstanding, publish
from tests.kit.store import NOW, Time, config, deliver, delivered, rows, settle

Fail = Callable[[Sandbox], Any]


def _status(status: int) -> Fail:
    return lambda sandbox: sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=status, times=None))


def _kind(kind: FaultKind) -> Fail:
    return lambda sandbox: sandbox.sentrytex.inject(Fault(kind=kind, times=None))


def _no_scope(sandbox: Sandbox) -> None:
    sandbox.sentrytex.scopes = set()


FAILURES: dict[str, Fail] = {
    "401": _status(401),
    "429": _status(429),
    "503": _status(503),
    "a key without its scope": _no_scope,
    "HTML": _kind(FaultKind.HTML),
    "cut short": _kind(FaultKind.TRUNCATED),
    "no answer": _kind(FaultKind.RESET_BEFORE),
}


def fails(poller: Poller) -> None:
    with pytest.raises(SentrytexError):
        poller.poll()


def mend(sandbox: Sandbox) -> None:
    sandbox.sentrytex.clear_faults()
    sandbox.sentrytex.scopes = {"read:alerts", "read:stack"}


# The first start


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("wrong", [0, -2 * DAY, 2 * DAY])
def test_what_comes_while_the_feed_cannot_be_read_is_owed(
    *, sandbox: Sandbox, store: Store, source: FeedClient, time: Time, failure: str, wrong: float
) -> None:
    """Whatever it answers, and however wrong our clock: what is published from the start on is owed, and no more."""
    publish(sandbox, "before", -5)
    FAILURES[failure](sandbox)
    # Each try is a process of its own.
    for _ in range(3):
        fails(Poller(config(start_from="now"), source, store, now=lambda: time.now + wrong))
        time.advance(DAY)
        publish(sandbox, f"day {(time.now - NOW) / DAY:.0f}", time.now - NOW - HOUR)
    assert store.feed.state().cursor is None
    mend(sandbox)
    poller = Poller(config(start_from="now"), source, store, now=lambda: time.now + wrong)
    poller.poll()
    poller.sweep()
    assert outstanding(store) == ["day 1", "day 2", "day 3"]
    assert store.feed.state().floor == NOW


def test_a_feed_that_is_down_for_longer_than_look_back_is_read_from_the_floor(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """The first poll that succeeds reads all since the start, however long ago that was."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503, times=None))
    fails(make())
    publish(sandbox, "in the first hour", HOUR)
    publish(sandbox, "before", -HOUR)
    time.advance(20 * DAY)
    mend(sandbox)
    assert new(make().poll()) == ["in the first hour"]


def test_what_the_first_poll_cannot_reach_is_a_gap(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """More of one severity than an answer holds was published meanwhile: the stretch from the floor on is told."""
    _status(503)(sandbox)
    fails(make())
    flood(sandbox, 250, since=10)
    time.advance(300)
    mend(sandbox)
    turn = make().poll()
    assert len(turn.new) == 200
    assert [(gap.since, gap.until) for gap in turn.gaps] == [(NOW, NOW + 60)]


@pytest.mark.parametrize(("start_from", "floor"), [("now", NOW), ("24h", NOW - DAY), ("30d", NOW - 30 * DAY)])
def test_a_later_start_from_moves_no_floor(
    sandbox: Sandbox, store: Store, make: MakePoller, start_from: str, floor: float
) -> None:
    """start_from is for the first start only, were that one in vain; the config may say something else later."""
    _status(503)(sandbox)
    fails(make(config(start_from=start_from)))
    mend(sandbox)
    for other in ("now", "3d", "90d", instant(NOW - 60 * DAY).isoformat()):
        make(config(start_from=other)).poll()
        assert store.feed.state().floor == floor


def test_a_date_is_a_floor_whatever_the_clocks_say(
    sandbox: Sandbox, store: Store, source: FeedClient, time: Time
) -> None:
    """A date needs nobody's clock, and does not move when the server's time becomes known."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.RESET_BEFORE, times=None))
    start = instant(NOW - 3 * DAY).isoformat()
    fails(Poller(config(start_from=start), source, store, now=lambda: time.now + DAY))
    mend(sandbox)
    Poller(config(start_from=start), source, store, now=lambda: time.now + DAY).poll()
    assert store.feed.state().floor == NOW - 3 * DAY


def test_a_clock_that_is_set_before_the_server_answers_moves_the_floor_along(
    sandbox: Sandbox, store: Store, source: FeedClient, time: Time
) -> None:
    """A machine that starts in 1970 without a network, and learns the time before it reaches the feed."""
    publish(sandbox, "before", -HOUR)
    sandbox.sentrytex.inject(Fault(kind=FaultKind.RESET_BEFORE, times=None))
    fails(Poller(config(start_from="now"), source, store, now=lambda: time.now - NOW))
    time.advance(60)
    store.outbox.shift_deadlines(NOW)
    mend(sandbox)
    publish(sandbox, "after", 30)
    Poller(config(start_from="now"), source, store, now=time).poll()
    assert (store.feed.state().floor, outstanding(store)) == (NOW, ["after"])
    store.outbox.shift_deadlines(HOUR)
    assert store.feed.state().floor == NOW


def test_a_clock_that_was_ahead_puts_no_floor_into_the_future(
    sandbox: Sandbox, store: Store, source: FeedClient, time: Time
) -> None:
    """Nothing answered at the first start, and the clock was put right while nothing ran."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.RESET_BEFORE, times=None))
    fails(Poller(config(start_from="now"), source, store, now=lambda: time.now + 30 * DAY))
    mend(sandbox)
    time.advance(60)
    poller = Poller(config(start_from="now"), source, store, now=time)
    poller.poll()
    assert store.feed.state().floor == NOW + 60
    publish(sandbox, "after", 90)
    time.advance(60)
    assert new(poller.poll()) == ["after"]


def test_a_server_that_never_tells_its_time(
    sandbox: Sandbox, store: Store, make: MakePoller, source: FeedClient, time: Time
) -> None:
    """Our own clock counts then, and it is not asked for again after a poll that succeeded."""
    poller = make(None, Undated(source))
    publish(sandbox, "before", -1)
    poller.poll()
    before = len(sandbox.sentrytex.requests)
    publish(sandbox, "after", 1)
    time.advance(30)
    poller.poll()
    assert (len(sandbox.sentrytex.requests) - before, outstanding(store)) == (1, ["after"])


# Whatever makes more of the past readable


def longer_look_back(sandbox: Sandbox) -> dict[str, Any]:
    return {"look_back": "90d"}


def longer_overlap(sandbox: Sandbox) -> dict[str, Any]:
    return {"overlap": "60d", "look_back": "60d"}


def larger_page(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.sentrytex.page = 200
    return {}


def new_vendor(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.sentrytex.add_vendor("okta")
    return {"look_back": "30d"}


@pytest.mark.parametrize("more", [longer_look_back, longer_overlap, larger_page, new_vendor])
def test_the_past_is_never_owed(
    *, sandbox: Sandbox, store: Store, make: MakePoller, time: Time, more: Callable[[Sandbox], dict[str, Any]]
) -> None:
    """However more of the past becomes readable: what is from before the floor goes nowhere, what is after it does."""
    sandbox.sentrytex.all_vendors = False
    sandbox.sentrytex.add_vendor("github")
    sandbox.sentrytex.page = 20
    for day in range(1, 50):
        publish(sandbox, f"past {day}", -day * DAY, severity="critical", affected_vendors=["github"])
        publish(sandbox, f"other past {day}", -day * DAY, severity="critical", affected_vendors=["okta"])
    poller = make(config(start_from="3h"))
    poller.poll()
    time.advance(20 * DAY)
    publish(sandbox, "late", HOUR, affected_vendors=["github"])
    publish(sandbox, "other's", 3 * DAY, affected_vendors=["okta"])
    poller.poll()
    settings = more(sandbox)
    poller.use(config(start_from="3h", **settings))
    for _ in range(2):
        poller.poll()
        poller.sweep()
    assert set(outstanding(store)) <= {"late", "other's"}
    if "look_back" in settings:
        assert "late" in outstanding(store)
    assert ("other's" in outstanding(store)) is (more is new_vendor)
    assert store.queries.totals()["unrouted"] == 0


def test_another_account_does_not_bring_its_past(sandbox: Sandbox, store: Store, make: MakePoller, time: Time) -> None:
    """Another key, of an account with other vendors: only what was published since the first start is owed."""
    make().poll()
    with Sandbox(clock=lambda: instant(time.now), limits=False) as other:
        for day in range(6):
            publish(other, f"past {day}", -day * DAY - 1)
        publish(other, "since", DAY)
        time.advance(2 * DAY)
        client = FeedClient(other.sentrytex.url, other.sentrytex.token)
        poller = make(config(look_back="30d"), client)
        poller.poll()
        poller.sweep()
        client.close()
    assert outstanding(store) == ["since"]


def test_a_clock_set_back_brings_nothing_of_the_past(
    sandbox: Sandbox, store: Store, source: FeedClient, time: Time
) -> None:
    """A sweep goes by the server's time, so a clock that is a year behind reads no more than look_back."""
    publish(sandbox, "past", -30 * DAY)
    poller = Poller(config(start_from="now"), source, store, now=lambda: time.now - 365 * DAY)
    poller.poll()
    turn = poller.sweep()
    assert (turn.read, outstanding(store)) == (0, [])
    assert sandbox.sentrytex.requests[-1].query["since"] == iso(NOW - 7 * DAY)


def test_a_clock_that_was_just_set_shortens_no_sweep(
    sandbox: Sandbox, store: Store, source: FeedClient, time: Time
) -> None:
    """A sweep right after our clock was set reads again where the answer tells another time than was expected."""
    wrong = [0.0]
    poller = Poller(config(start_from="30d"), source, store, now=lambda: time.now + wrong[0])
    poller.poll()
    publish(sandbox, "late", -6 * DAY)
    wrong[0] = 100 * DAY
    turn = poller.sweep()
    assert (new(turn), turn.reach) == (["late"], instant(NOW - 7 * DAY))


# What was forgotten


def prune(store: Store, time: Time, *, keep: float = 10 * DAY, look_back: float = 7 * DAY) -> int:
    return store.retention.prune(seen_before=time.now - keep, published_before=time.now - look_back, overlap=look_back)


def test_what_was_forgotten_does_not_come_back(sandbox: Sandbox, store: Store, make: MakePoller, time: Time) -> None:
    """After a prune, a longer look_back shows what was sent and forgotten: it stays sent; what is newer is owed."""
    poller = make()
    poller.poll()
    for day in range(1, 40):
        time.advance(DAY)
        publish(sandbox, f"day {day:02}", day * DAY - HOUR)
        poller.poll()
        deliver(store, "secops", now=time.now)
        prune(store, time)
    assert rows(store, "SELECT count(*) FROM deliveries") < [(15,)]
    floor = store.feed.state().floor or 0.0
    assert NOW + 20 * DAY < floor < time.now - 7 * DAY
    poller.use(config(look_back="90d"))
    publish(sandbox, "verified late", 38 * DAY)
    assert new(poller.sweep())[-1:] == ["verified late"]
    assert [name for name in outstanding(store) if name.startswith("day")] == [f"day {day}" for day in range(29, 40)]
    assert rows(store, "SELECT count(*) FROM deliveries WHERE state = 'ready'") == [(1,)]


def test_a_discarded_delivery_does_not_come_back(sandbox: Sandbox, store: Store, make: MakePoller, time: Time) -> None:
    """Its alert is known for as long as it is kept, and from before the floor once it is forgotten."""
    poller = make()
    poller.poll()
    publish(sandbox, "discarded", 10)
    publish(sandbox, "kept waiting", 5)
    time.advance(30)
    poller.poll()
    ids = [number for (number,) in rows(store, "SELECT id FROM deliveries WHERE alert_id = 'discarded'")]
    assert store.operations.discard(ids) == 1
    assert poller.sweep().connectors == frozenset()
    time.advance(60 * DAY)
    publish(sandbox, "newest", 60 * DAY)
    poller.poll()
    assert prune(store, time) == 1
    poller.use(config(look_back="90d"))
    assert poller.sweep().connectors == frozenset()
    assert outstanding(store) == ["kept waiting", "newest"]


def test_a_prune_with_a_clock_far_ahead_repeats_nothing(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """It forgets nothing that sweeps still show, and were it so, that would not be sent again."""
    poller = make()
    poller.poll()
    for day in range(1, 20):
        publish(sandbox, f"day {day:02}", day * DAY)
    time.advance(20 * DAY)
    poller.poll()
    while rows(store, "SELECT 1 FROM deliveries WHERE state = 'ready'"):
        for claimed in store.outbox.claim("secops", 1, now=time.now, lease=60.0):
            settle(store, claimed, delivered())
    prune(store, Time(time.now + 1000 * DAY))
    poller.use(config(look_back="90d"))
    poller.sweep()
    assert rows(store, "SELECT count(*) FROM deliveries WHERE state = 'ready'") == [(0,)]
    assert len(outstanding(store)) >= 7


# A database of an older version


DEAD: Final = ("dead", NOW - 100 * DAY, NOW - 50 * DAY)
"""An alert of long ago that stays because nobody decided on it, as the older version wrote it."""


@contextmanager
def older(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A database as it was before there was a floor, read until NOW + 5."""
    number = [name for name, _ in MIGRATIONS].index(next(name for name, _ in MIGRATIONS if name.endswith("_floor")))
    with monkeypatch.context() as before, closing(sqlite3.connect(path, isolation_level=None)) as connection:
        before.setattr(store_schema, "MIGRATIONS", MIGRATIONS[:number])
        connection.row_factory = sqlite3.Row
        store_schema.migrate(connection, 0)
        yield connection
        connection.execute("UPDATE feed SET cursor = ?, polled_at = ?", (NOW + 5, NOW + 9))


def seen(connection: sqlite3.Connection, alert_id: str, published_at: float, seen_at: float, state: str = "") -> None:
    """An alert that the older version took in, and what became of it where it was owed."""
    body = json.dumps({"id": alert_id, "title": "x", "severity": "low", "published_at": iso(published_at)})
    row = (alert_id, published_at, body, seen_at, '[{"route": 1}]')
    connection.execute("INSERT INTO alerts VALUES (?, 'feed', 'low', NULL, ?, ?, 1, ?, ?, 0)", row)
    if state:
        connection.execute(
            "INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at,"
            " due_at, settled_at, receipt_id) VALUES (?, 'secops', 'open', 1, ?, 3, ?, '', ?, 0, ?, 'R-1')",
            (alert_id, state, published_at, seen_at, seen_at),
        )


def test_an_older_database_gets_a_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest alert that was owed, or went without a route; what was only known stays past."""
    path = tmp_path / "old.db"
    with older(path, monkeypatch) as connection:
        insert = "INSERT INTO alerts VALUES (?, 'feed', 'low', NULL, ?, '{}', 1, ?, ?, ?)"
        trail = '[{"route": 1}]'
        for row in (
            ("past", NOW - DAY, NOW, "[]", 0),
            ("owed", NOW - HOUR, NOW, trail, 0),
            ("odd", NOW, NOW, "[]", 1),
        ):
            connection.execute(insert, row)
    with Store.open_exclusive(path) as store:
        feed = store.feed.state()
        assert (feed.floor, feed.floor_is_local, feed.started_at) == (NOW - HOUR, False, NOW + 9)
        assert rows(store, "SELECT id, past FROM alerts ORDER BY id") == [("odd", 0), ("owed", 0), ("past", 1)]


@pytest.mark.parametrize(
    ("swept", "kept_since", "floor"),
    [(7, 2, 7), (7, 30, 30), (None, 2, 7), (60, 30, 60), (0.1, 30, 30)],
    ids=["few alerts", "many alerts", "never swept", "a longer look_back", "a sweep cut short"],
)
def test_what_an_older_version_forgot_is_before_the_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swept: float | None, kept_since: float, floor: float
) -> None:
    """A dead letter from before it draws no floor below it, and what sweeps could still bring stays owed."""
    path = tmp_path / "old.db"
    with older(path, monkeypatch) as connection:
        seen(connection, *DEAD, "dead")
        seen(connection, "kept", NOW - kept_since * DAY - HOUR, NOW - kept_since * DAY, "delivered")
        seen(connection, "newest", NOW, NOW, "delivered")
        if swept is not None:
            connection.execute("UPDATE feed SET swept_at = ?, sweep_reach = ?", (NOW, NOW - swept * DAY))
    with Store.open_exclusive(path) as store:
        assert store.feed.state().floor == pytest.approx(NOW - floor * DAY, abs=60)


def test_nothing_that_an_older_version_forgot_is_sent_again(
    sandbox: Sandbox, source: FeedClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, time: Time
) -> None:
    """Under a longer look_back neither the forgotten comes back, nor is what is verified late lost."""
    path = tmp_path / "old.db"
    with older(path, monkeypatch) as connection:
        seen(connection, *DEAD, "dead")
        seen(connection, "newest", NOW, NOW, "delivered")
    publish(sandbox, "forgotten", -40 * DAY)
    publish(sandbox, "verified late", -3 * DAY)
    with Store.open_exclusive(path) as store:
        Poller(config(look_back="60d"), source, store, now=time).sweep()
        assert rows(store, "SELECT alert_id FROM deliveries WHERE state = 'ready'") == [("verified late",)]
