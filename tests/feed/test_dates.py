"""Alerts without a date that can be read: routed by what they say, dated by when they were seen, sent once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from forwarder.alert import Alert, Severity
from forwarder.common.clock import iso
from forwarder.feed.poller import Poller
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.testing import alert_json
from tests.feed.conftest import MakePoller
from tests.kit.feed import DAY, HOUR, new, outstanding, publish
from tests.kit.store import NOW, Time, config, deliver, rows


def without_date(name: str, published_at: object = None, **fields: Any) -> dict[str, Any]:
    return {**alert_json(id=name, **fields), "published_at": published_at}


@pytest.mark.parametrize("said", [None, "soon", "", {}, [], True, 0, "2026-02-30T00:00:00Z"])
def test_a_critical_without_a_date_is_sent_by_what_it_says(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time, said: object
) -> None:
    """Its severity, CVE, title and vendors are what they are; it is dated by when it was first seen, and says so."""
    poller = make(config([{"severity": "critical", "vendors": "github", "to": "oncall"}], start_from="now"))
    poller.poll()
    time.advance(60)
    sandbox.sentrytex.publish(without_date("undated", said))
    turn = poller.poll()
    (alert,) = turn.new
    assert (alert.cve_id, alert.severity, alert.dated) == ("CVE-2026-10001", Severity.CRITICAL, False)
    assert alert.published_at.timestamp() == NOW + 60
    assert "gave no date" in alert.date_note
    assert rows(store, "SELECT alert_id, connector, rank FROM deliveries") == [("undated", "oncall", 0)]
    assert list(turn.set_aside) == []


def test_an_alert_without_a_date_is_sent_once_and_keeps_its_date(
    sandbox: Sandbox, store: Store, poller: Poller, time: Time
) -> None:
    """Whatever is read again, and also when it changes: the first time that it was seen stays its date."""
    sandbox.sentrytex.publish(without_date("undated"))
    poller.poll()
    for _ in range(3):
        time.advance(HOUR)
        assert (new(poller.poll()), new(poller.sweep())) == ([], [])
    deliver(store, "secops")
    sandbox.sentrytex.update("undated", cisa_kev=True)
    assert [alert.published_at.timestamp() for alert in poller.sweep().changed] == [NOW]
    assert rows(store, "SELECT kind, revision FROM deliveries") == [("open", 1), ("update", 2)]


def test_a_date_that_comes_later_is_taken_over(sandbox: Sandbox, store: Store, poller: Poller) -> None:
    """The feed's own date replaces that of the first sight, and nothing is sent for it."""
    sandbox.sentrytex.publish(without_date("undated"))
    poller.poll()
    publish(sandbox, "undated", -60)
    poller.poll()
    history = store.queries.history("undated")
    assert history is not None
    assert (history.row.alert.dated, history.row.alert.published_at.timestamp()) == (True, NOW - 60)
    assert rows(store, "SELECT kind FROM deliveries") == [("open",)]


def test_a_date_that_goes_missing_stays(sandbox: Sandbox, store: Store, poller: Poller) -> None:
    """An alert that had a date keeps it, whatever the feed says later."""
    publish(sandbox, "dated", 0)
    poller.poll()
    sandbox.sentrytex.publish(without_date("dated", "soon"))
    assert new(poller.poll()) == []
    history = store.queries.history("dated")
    assert history is not None
    assert (history.row.alert.dated, history.row.alert.published_at.timestamp()) == (True, NOW)


def test_what_is_forgotten_without_a_date_is_not_sent_again(
    sandbox: Sandbox, store: Store, poller: Poller, time: Time
) -> None:
    """Its row goes when it is old, and the feed still shows it."""
    sandbox.sentrytex.publish(without_date("undated"))
    poller.poll()
    deliver(store, "secops")
    time.advance(500 * DAY)
    publish(sandbox, "later", 500 * DAY)
    poller.poll()
    assert store.retention.prune(seen_before=time.now - 400 * DAY, published_before=time.now - 400 * DAY) == 1
    poller.poll()
    poller.sweep()
    assert outstanding(store) == ["later"]


def test_at_a_start_from_now_what_has_no_date_is_of_the_past(sandbox: Sandbox, store: Store, make: MakePoller) -> None:
    """What the first reading shows was there before it."""
    sandbox.sentrytex.publish(without_date("undated"))
    poller = make(config(start_from="now"))
    poller.poll()
    poller.sweep()
    assert outstanding(store) == []


def test_a_start_that_reaches_back_sends_what_has_no_date(sandbox: Sandbox, store: Store, make: MakePoller) -> None:
    """It may be from the time that is owed."""
    sandbox.sentrytex.publish(without_date("undated"))
    make(config(start_from="1h")).poll()
    assert outstanding(store) == ["undated"]


def test_what_came_while_the_first_start_could_not_read_is_sent(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """Nobody knows whether it was there at the start, so it is not dropped."""
    poller = make(config(start_from="now"))
    sandbox.sentrytex.revoked = True
    with pytest.raises(Exception, match="refused the key"):
        poller.poll()
    time.advance(HOUR)
    sandbox.sentrytex.revoked = False
    sandbox.sentrytex.publish(without_date("undated"))
    poller.poll()
    assert outstanding(store) == ["undated"]


def test_what_has_no_date_moves_no_cursor_and_proves_nothing(
    sandbox: Sandbox, store: Store, poller: Poller, time: Time
) -> None:
    """A page full of undated alerts is no proof that nothing else was there."""
    time.advance(60)
    sandbox.sentrytex.publish(*(without_date(f"x{number}") for number in range(200)))
    turn = poller.poll()
    assert len(turn.new) == 200
    assert store.feed.state().cursor == NOW
    assert [gap.severity for gap in turn.gaps] == [Severity.CRITICAL]
    assert store.feed.witness(NOW + HOUR, NOW + HOUR) is None


@pytest.mark.parametrize(
    ("said", "epoch"),
    [
        (NOW, NOW),
        (int(NOW) * 1000, NOW),
        (str(int(NOW)), NOW),
        ("2026-03-01 12:00:00", NOW),
        ("2026-03-01 12:00:00 UTC", NOW),
        ("2026-03-01T14:00:00+02:00", NOW),
        ("2026-03-01T12:00:00.123456789Z", NOW + 0.123456),
        ("Sun, 01 Mar 2026 12:00:00 GMT", NOW),
        ("2026-03-01", NOW - 12 * HOUR),
    ],
)
def test_a_date_of_another_form_is_read(said: object, epoch: float) -> None:
    """Numbers since the epoch, days alone, spaces, zones and offsets are dates."""
    read = Alert.parse(without_date("a", said))
    assert read.dated
    assert read.published_at.timestamp() == pytest.approx(epoch, abs=1e-6)


def test_a_day_alone_is_not_taken_for_the_past(sandbox: Sandbox, store: Store, make: MakePoller) -> None:
    """Whether it was published before a start of the same day is not known."""
    poller = make(config(start_from="now", look_back="7d"))
    sandbox.sentrytex.publish(
        alert_json(id="today", published_at="2026-03-01"), alert_json(id="yesterday", published_at="2026-02-28")
    )
    poller.poll()
    poller.sweep()
    assert outstanding(store) == ["today"]


def test_a_forgotten_day_is_not_sent_again(sandbox: Sandbox, store: Store, early: Poller, time: Time) -> None:
    """The floor rises to the end of the day."""
    sandbox.sentrytex.publish(alert_json(id="day", published_at="2026-03-01"))
    early.sweep()
    deliver(store, "secops")
    time.advance(500 * DAY)
    publish(sandbox, "later", 500 * DAY)
    early.poll()
    assert store.retention.prune(seen_before=time.now, published_before=time.now - DAY) == 1
    floor = store.feed.state().floor
    assert floor is not None
    assert floor > NOW + 12 * HOUR


def test_what_has_no_id_is_told_by_what_it_says(sandbox: Sandbox, store: Store, poller: Poller) -> None:
    """CVE, title, severity and KEV of an item that is no alert are kept beside its text."""
    sandbox.sentrytex.publish(alert_json(id=None, severity="CRITICAL", cisa_kev=True), {"id": "bare"}, 7)
    poller.poll()
    critical, bare, number = sorted(store.queries.set_aside(), key=lambda item: -len(item.told))[:3]
    assert critical.severity is Severity.CRITICAL
    assert critical.told == "CVE-2026-10001, Authentication bypass in the example gateway, critical, on CISA KEV"
    assert {(bare.severity, bare.told), (number.severity, number.told)} == {(None, "")}


def test_the_kept_form_stands_for_the_whole_alert() -> None:
    """What the store keeps is read back as the same alert, and a field of the feed cannot date another."""
    seen = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    read = Alert.parse({**without_date("a"), "_forwarder_first_seen_at": "2001-01-01"}, seen_at=seen)
    assert Alert.parse(read.raw) == read
    assert iso(read.published_at) == "2026-03-01T12:00:00Z"
