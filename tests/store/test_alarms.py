"""What the store knows of the forwarder's own troubles, and that what is told of one is one transaction."""

from __future__ import annotations

from typing import Any, Final

import pytest

from forwarder.alert import Change, SetAside, Severity
from forwarder.connector import Origin
from forwarder.store import Store
from forwarder.store.alarm_records import Alarm, Symptom
from forwarder.store.records import Gap
from forwarder.testing import alert
from tests.kit.store import NOW, claim, dead, deliver, enqueue, pause, routed, rows, settle, states

SINCE: Final = NOW - 86400


def symptoms(store: Store, since: float = SINCE) -> dict[tuple[str, str], Symptom]:
    return {(symptom.type, symptom.subject): symptom for symptom in store.alarms.symptoms(since, now=NOW)}


def the_one(store: Store, since: float = SINCE) -> Symptom:
    (symptom,) = store.alarms.symptoms(since, now=NOW)
    return symptom


def bury(store: Store, connector: str, **fields: Any) -> None:
    """A dead letter of the connector."""
    enqueue(store, alert(**fields), connector)
    settle(store, claim(store, connector), dead())


def standing(**changes: Any) -> Alarm:
    told: dict[str, Any] = {
        "key": "gap",
        "type": "gap",
        "subject": "",
        "text": "Some may be missing.",
        "alert_id": "alarm-gap-1",
        "since": NOW,
        "notified_at": NOW,
        "last_at": NOW,
        "notified": ("secops", "oncall"),
    }
    return Alarm(**{**told, **changes})


def begin(store: Store, **changes: Any) -> Alarm:
    alarm = standing(**changes)
    store.alarms.begin(alarm, alert(id=alarm.alert_id, severity="high"))
    return alarm


def test_nothing_is_wrong_with_a_new_database(store: Store) -> None:
    """No row, no trouble."""
    assert store.alarms.symptoms(SINCE, now=NOW) == []


def test_dead_letters_are_known_by_the_worst_of_each_connector(store: Store) -> None:
    """The severity first, then CISA's list, then which was first; that any is on the list is told by itself."""
    bury(store, "secops", id="1", severity="low", cisa_kev=True)
    bury(store, "secops", id="2", severity="high", cisa_kev=False, title="The first high one")
    bury(store, "secops", id="3", severity="high", cisa_kev=False)
    bury(store, "oncall", id="4", severity="critical", cisa_kev=False)
    found = symptoms(store)
    assert found.keys() == {("dead_letter", "secops"), ("dead_letter", "oncall")}
    worst = found["dead_letter", "secops"]
    assert (worst.severity, worst.kev, worst.facts["title"]) == (Severity.HIGH, True, "The first high one")
    assert (worst.reason, worst.last_at) == ("invalid_blocks", NOW)
    assert not found["dead_letter", "oncall"].kev


def test_an_alarm_s_own_dead_letter_is_none(store: Store) -> None:
    """Nor is what was delivered."""
    store.feed.commit_page([routed(alert(id="a"), "secops")], now=NOW, origin=Origin.ALARM)
    settle(store, claim(store), dead())
    enqueue(store, alert(id="c"), "oncall")
    deliver(store, "oncall")
    assert store.alarms.symptoms(SINCE, now=NOW) == []


def test_what_passes_is_known_for_as_long_as_is_asked(store: Store) -> None:
    """Alerts without a route, gaps, texts set aside and failures; pauses and dead letters for as long as they are."""
    pause(store)
    bury(store, "secops", id="1")
    store.feed.commit_page(
        [routed(alert(id="2"))],
        now=NOW,
        gaps=[Gap(severity=Severity.LOW, since=1.0, until=2.0)],
        set_aside=[SetAside(digest="d", raw="{", reason="it is cut")],
    )
    store.alarms.failed("template_failed", "secops", "no title", now=NOW)
    types = {kind for kind, _ in symptoms(store, NOW)}
    assert types == {"paused", "dead_letter", "unrouted", "gap", "set_aside", "template_failed"}
    assert {kind for kind, _ in symptoms(store, NOW + 1)} == {"paused", "dead_letter"}


def test_the_same_failure_again_is_one_row(store: Store) -> None:
    """With the last time and its reason."""
    for seconds in range(3):
        store.alarms.failed("template_failed", "secops", f"reason {seconds}", now=NOW + seconds)
    symptom = the_one(store)
    assert (symptom.reason, symptom.last_at, symptom.severity) == ("reason 2", NOW + 2, None)


@pytest.mark.parametrize(
    ("raw", "severity", "kev"),
    [
        ('{"severity": "CRITICAL", "cisa_kev": true}', Severity.CRITICAL, True),
        ('{"severity": "awful", "cisa_kev": "yes"}', None, False),
        ('{"severity": {"a": 1}}', None, False),
        ('["critical"]', None, False),
        ('"critical"', None, False),
        ('{"severity": "crit', None, False),
        ("", None, False),
    ],
)
def test_how_bad_a_text_that_is_no_alert_is_may_be_read_of_it(
    store: Store, raw: str, severity: Severity | None, kev: bool
) -> None:
    """Whatever it is, no review fails by it."""
    store.feed.commit_page([], now=NOW, set_aside=[SetAside(digest="d", raw=raw, reason="the alert has no id")])
    symptom = the_one(store)
    assert (symptom.severity, symptom.kev) == (severity, kev)


@pytest.mark.parametrize(
    ("old", "new", "known"),
    [
        ({"severity": "low"}, {"severity": "critical"}, True),
        ({"severity": "critical"}, {"severity": "low"}, False),
        ({"cisa_kev": False}, {"cisa_kev": True}, True),
        ({"cvss_score": 5.0}, {"cvss_score": 6.0}, False),
    ],
)
def test_an_old_alert_without_a_route_counts_again_when_it_gets_worse(
    store: Store, old: dict[str, Any], new: dict[str, Any], known: bool
) -> None:
    """And for nothing less."""
    before, after = alert(**old), alert(**new)
    store.feed.commit_page([routed(before)], now=NOW - 7 * 86400)
    store.feed.commit_page([routed(after, known=before)], now=NOW)
    assert bool(store.alarms.symptoms(SINCE, now=NOW)) is known


def test_an_alarm_begins_with_what_is_owed_for_it(store: Store) -> None:
    """Once, whoever asks again."""
    for _ in range(2):
        begin(store)
    assert store.alarms.active() == [standing()]
    assert states(store) == {("secops", "open", 1): "ready", ("oncall", "open", 1): "ready"}
    assert rows(store, "SELECT origin, severity, unrouted FROM alerts") == [("alarm", "high", 0)]


def test_further_connectors_are_owed_it_once(store: Store) -> None:
    """And kept as notified, so that none is told again whose delivery was discarded."""
    alarm = begin(store, notified=("secops",))
    store.alarms.notify(alarm, ["oncall"], alert=alert(id=alarm.alert_id, severity="low"), now=NOW)
    (alarm,) = store.alarms.active()
    assert list(alarm.notified) == ["secops", "oncall"]
    assert states(store) == {("secops", "open", 1): "ready", ("oncall", "open", 1): "ready"}


def test_what_is_worse_is_owed_to_those_who_were_sent_the_first(store: Store) -> None:
    """Who was not yet is told the new form by that, in its place in the line."""
    alarm = begin(store)
    deliver(store, "secops")
    worse = Change(field="severity", old="high", new="critical")
    form = alert(id=alarm.alert_id, severity="critical")
    store.alarms.revise(alarm, form, changes=[worse], to=["secops", "oncall"], now=NOW + 5)
    assert states(store) == {
        ("secops", "open", 1): "delivered",
        ("oncall", "open", 1): "ready",
        ("secops", "update", 2): "ready",
    }
    assert {rank for (rank,) in rows(store, "SELECT rank FROM deliveries WHERE state = 'ready'")} == {0}
    assert claim(store).delivery.changes == (worse,)
    assert claim(store, "oncall").delivery.alert.severity is Severity.CRITICAL
    assert [alarm.notified_at for alarm in store.alarms.active()] == [NOW + 5]


def test_another_form_that_is_no_worse_is_owed_to_nobody(store: Store) -> None:
    """It is there for the next reminder."""
    alarm = begin(store)
    deliver(store, "secops")
    store.alarms.revise(alarm, alert(id=alarm.alert_id, severity="low"), now=NOW)
    assert ("secops", "update", 2) not in states(store)
    assert rows(store, "SELECT severity FROM alerts") == [("low",)]


def test_a_reminder_goes_to_those_who_were_sent_the_first_and_are_named(store: Store) -> None:
    """Each once, and it is kept when."""
    alarm = begin(store)
    deliver(store, "secops")
    deliver(store, "oncall")
    store.alarms.remind(alarm, Change(field="lasting", old=None, new="1d"), to=["oncall", "other"], now=NOW + 9)
    assert [key for key in states(store) if key[1] == "update"] == [("oncall", "update", 2)]
    assert [alarm.notified_at for alarm in store.alarms.active()] == [NOW + 9]


def test_an_end_goes_to_those_who_were_sent_the_first(store: Store) -> None:
    """Who was not yet hears of neither, and a connector that is gone of no end."""
    alarm = begin(store, notified=("secops", "oncall", "gone"))
    deliver(store, "secops")
    deliver(store, "gone")
    assert store.alarms.end(alarm, why="It is over.", among=["secops", "oncall"], now=NOW) == {"secops"}
    assert store.alarms.active() == []
    assert states(store) == {
        ("secops", "open", 1): "delivered",
        ("gone", "open", 1): "delivered",
        ("secops", "withdraw", 1): "ready",
    }


def test_each_beginning_has_an_alert_of_its_own(store: Store) -> None:
    """Also within one second."""
    assert store.alarms.unused_alert_id("gap", NOW) == f"alarm-gap-{int(NOW)}"
    begin(store, alert_id=f"alarm-gap-{int(NOW)}")
    assert store.alarms.unused_alert_id("gap", NOW) == f"alarm-gap-{int(NOW) + 1}"


def test_starts_count_until_a_poll_is_complete(store: Store) -> None:
    """With the first of them; a refused key stays refused until then, too."""
    for seconds in range(3):
        store.accounts.count_start(["default"], now=NOW + seconds)
    store.feed.poll_failed("401", key_refused=True)
    store.feed.poll_failed("503")
    feed = store.feed.state()
    assert (feed.unread_starts, feed.unread_since, feed.key_refused, feed.poll_error) == (3, NOW, "401", "503")
    store.feed.commit_page([], now=NOW, swept=True)
    assert store.feed.state().unread_starts == 3
    store.feed.commit_page([], now=NOW)
    feed = store.feed.state()
    assert (feed.unread_starts, feed.unread_since, feed.key_refused, feed.poll_error) == (0, None, None, None)
