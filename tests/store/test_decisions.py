"""What people decide about what is owed, and what becomes of it later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forwarder.connector import Kind, Receipt
from forwarder.store import Store
from forwarder.store.alarm_records import Alarm
from forwarder.store.records import AttemptResult, Settlement
from forwarder.store.schema import MIGRATIONS
from forwarder.testing import alert
from tests.kit.store import (
    LASTING,
    NOW,
    claim,
    claim_all,
    dead,
    deliver,
    delivered,
    enqueue,
    failed,
    remind,
    routed,
    rows,
    settle,
    states,
    uncertain,
    withdraw,
)

GAVE_UP = replace(dead("Gave up after 3d: timed out"), outcome=AttemptResult.GAVE_UP)


def dies(store: Store, settlement: Settlement = GAVE_UP, *, in_doubt: bool = False) -> int:
    """Lets secops' one due delivery become a dead letter, and returns its id."""
    claimed = claim(store)
    if in_doubt:
        settle(store, claimed, uncertain(due_at=NOW))
        claimed = claim(store)
    settle(store, claimed, settlement)
    return claimed.delivery.id


def changed(store: Store, was: str, now: str) -> None:
    """The feed shows the sample alert with another severity."""
    known = alert(severity=was)
    store.feed.commit_page([routed(alert(severity=now), "secops", known=known)], now=NOW + 5, connectors=["secops"])


# Retry


@pytest.mark.parametrize(
    ("settlement", "in_doubt", "looked_for"),
    [(dead(), False, False), (dead(), True, True), (GAVE_UP, False, True), (GAVE_UP, True, True)],
)
def test_a_retry_looks_where_it_may_be_there(
    store: Store, settlement: Settlement, in_doubt: bool, looked_for: bool
) -> None:
    """What was given up, or in doubt before it was refused, begins with all of its lookups."""
    enqueue(store, alert(), "secops")
    row = dies(store, settlement, in_doubt=in_doubt)
    assert store.operations.retry([row], now=NOW + 9) == 1
    again = claim(store, now=NOW + 9)
    assert (again.uncertain, again.lookups) == (looked_for, 0)
    assert again.delivery.enqueued_at.timestamp() == NOW


@pytest.mark.parametrize("all_claims", [True, False], ids=["crashed", "lease ended"])
def test_a_retry_of_what_a_worker_left_behind_looks(store: Store, all_claims: bool) -> None:
    """A claim that ended with its process or its lease stays in doubt, whatever it dies of later."""
    enqueue(store, alert(), "secops")
    claim(store)
    store.outbox.reclaim_expired(now=NOW + 1e6, due_at={}, all_claims=all_claims)
    row = dies(store, dead())
    store.operations.retry([row], now=NOW)
    assert claim(store).uncertain


def test_a_doubt_ends_when_it_arrives(store: Store) -> None:
    """What was in doubt and then found is no reason to look for its repetition, once that was refused."""
    enqueue(store, alert(), "secops")
    settle(store, claim(store), uncertain(due_at=NOW))
    deliver(store, "secops", "first")
    store.operations.replay([alert().id], ["secops"], why="again", now=NOW)
    row = dies(store, dead())
    assert store.operations.retry([row], now=NOW) == 1
    again = claim(store)
    assert (again.uncertain, again.delivery.repeats) == (False, Receipt(remote_id="first"))


def trouble(store: Store, alert_id: str) -> Alarm:
    """An alarm that stands, and is owed to secops."""
    alarm = Alarm(
        key=alert_id,
        type="gap",
        subject="",
        text="",
        alert_id=alert_id,
        since=NOW,
        notified_at=NOW,
        last_at=NOW,
        notified=("secops",),
    )
    store.alarms.begin(alarm, alert(id=alert_id))
    return alarm


def test_an_alarm_that_stands_can_be_retried(store: Store) -> None:
    """A dead letter of a trouble that goes on is sent like any other."""
    trouble(store, "alarm-1")
    assert store.operations.retry([dies(store, dead())], now=NOW) == 1


@pytest.mark.parametrize("in_doubt", [False, True])
def test_an_alarm_that_is_over_is_not_sent(store: Store, in_doubt: bool) -> None:
    """A trouble that ended meanwhile makes no message any more; what may have arrived of it is taken back."""
    alarm = trouble(store, "alarm-1")
    row = dies(store, dead(), in_doubt=in_doubt)
    store.alarms.end(alarm, why="It is over.", among=["secops"], now=NOW)
    for expected in (int(in_doubt), 0):
        assert store.operations.retry([row], now=NOW) == expected
    assert [one.delivery.kind for one in claim_all(store)] == [Kind.WITHDRAW] * in_doubt
    assert states(store)["secops", "open", 1] == "dead"


def test_an_alert_that_was_withdrawn_elsewhere_is_not_sent(store: Store) -> None:
    """What one destination was told the end of, another one does not hear the beginning of."""
    enqueue(store, alert(), "oncall", "secops")
    deliver(store, "oncall")
    row = dies(store, dead())
    withdraw(store, alert().id, now=NOW, why="It was withdrawn.")
    assert store.operations.retry([row], now=NOW) == 0


# Replay


def test_a_repetition_knows_what_it_repeats(store: Store) -> None:
    """Until it has arrived, what is sent again holds on to the receipt of the one before; then it has its own."""
    enqueue(store, alert(), "secops")
    deliver(store, "secops", "first", "https://x.example/1")
    for before, after in (("first", "second"), ("second", "third")):
        store.operations.replay([alert().id], ["secops"], why="again", now=NOW)
        again = claim(store)
        assert again.delivery.repeats is not None
        assert again.delivery.repeats.remote_id == before
        settle(store, again, delivered(after, None))
    assert rows(store, "SELECT receipt_id, receipt_url FROM deliveries") == [("third", None)]


def test_what_waits_is_not_replayed(store: Store) -> None:
    """A replay of what is in doubt or under way leaves it to that."""
    enqueue(store, alert(id="doubt"), "secops")
    settle(store, claim(store), uncertain())
    enqueue(store, alert(id="sending"), "secops")
    claim(store)
    assert store.operations.replay(["doubt", "sending"], ["secops"], why="again", now=NOW) == 0
    assert rows(store, "SELECT state FROM deliveries ORDER BY id") == [("uncertain",), ("sending",)]


def test_two_replays_are_one(store: Store) -> None:
    """A second replay before the first one went out repeats nothing twice."""
    enqueue(store, alert(), "secops")
    deliver(store, "secops")
    again = [store.operations.replay([alert().id], ["secops"], why="again", now=NOW) for _ in range(2)]
    assert again == [1, 0]


# Discard


@pytest.mark.parametrize("settlement", [dead(), failed(), uncertain()], ids=["dead", "ready", "uncertain"])
def test_a_change_does_not_send_what_was_discarded(store: Store, settlement: Settlement) -> None:
    """Once a person gave an alert up for a connector, it does not go there because the feed changes a word of it."""
    enqueue(store, alert(severity="high"), "secops")
    claimed = claim(store)
    settle(store, claimed, settlement)
    store.operations.discard([claimed.delivery.id])
    changed(store, "high", "medium")
    assert claim_all(store, now=NOW + 9) == []


@pytest.mark.parametrize("in_doubt", [False, True])
def test_worse_news_are_sent_all_the_same(store: Store, in_doubt: bool) -> None:
    """An alert that was discarded and becomes critical goes out; what may have arrived before is looked for."""
    enqueue(store, alert(severity="high"), "secops")
    store.operations.discard([dies(store, dead(), in_doubt=in_doubt)])
    changed(store, "high", "critical")
    again = claim(store, now=NOW + 9)
    assert (again.delivery.kind, again.uncertain) == (Kind.OPEN, in_doubt)
    assert again.delivery.enqueued_at.timestamp() == (NOW if in_doubt else NOW + 5)


def test_a_discarded_repetition_leaves_the_message_before_it(store: Store) -> None:
    """Who gives up a repetition does not give up what arrived: the alert still stands where it stood."""
    enqueue(store, alert(severity="high"), "secops")
    deliver(store, "secops", "first", "https://x.example/1")
    store.operations.replay([alert().id], ["secops"], why="again", now=NOW + 1)
    claimed = claim(store, now=NOW + 1)
    settle(store, claimed, dead())
    assert store.operations.discard([claimed.delivery.id]) == 1
    assert rows(store, "SELECT state, receipt_id, receipt_url FROM deliveries") == [
        ("delivered", "first", "https://x.example/1")
    ]
    changed(store, "high", "critical")
    update = claim(store, now=NOW + 9).delivery
    assert (update.kind, update.receipt) == (Kind.UPDATE, Receipt(remote_id="first", url="https://x.example/1"))


def test_what_is_under_way_cannot_be_discarded(store: Store) -> None:
    """A delivery that a worker holds stays, and settles as if nobody had asked."""
    enqueue(store, alert(), "secops")
    claimed = claim(store)
    assert store.operations.discard([claimed.delivery.id]) == 0
    assert settle(store, claimed, delivered())


# What an update brought there


def brought_by_an_update(store: Store) -> int:
    """An alert that changed after its open had failed once; then that died, and the update arrived."""
    enqueue(store, alert(severity="high"), "secops")
    settle(store, claim(store), failed(due_at=NOW))
    changed(store, "high", "medium")
    row = dies(store, dead())
    deliver(store, "secops", "by the update", "https://x.example/1", now=NOW + 5)
    return row


def test_what_an_update_brought_there_is_no_dead_letter(store: Store) -> None:
    """A retry or a discard finds nothing to do, a replay repeats it on purpose, and worse news reach it."""
    row = brought_by_an_update(store)
    assert rows(store, "SELECT kind, state, receipt_id, receipt_url FROM deliveries ORDER BY id") == [
        (kind, "delivered", "by the update", "https://x.example/1") for kind in ("open", "update")
    ]
    assert (store.operations.retry([row], now=NOW + 9), store.operations.discard([row])) == (0, 0)
    changed(store, "medium", "critical")
    update = claim(store, now=NOW + 9).delivery
    assert (update.kind, update.receipt) == (Kind.UPDATE, Receipt(remote_id="by the update", url="https://x.example/1"))
    store.operations.replay([alert().id], ["secops"], why="again", now=NOW + 9)
    (repeats,) = rows(store, "SELECT state, receipt_id FROM deliveries WHERE kind = 'open'")
    assert repeats == ("ready", "by the update")


def test_what_changes_while_an_update_brings_it_there_is_told(store: Store) -> None:
    """Of a dead letter nobody is told changes; once it is none, those since the update are owed."""
    enqueue(store, alert(severity="low"), "secops")
    settle(store, claim(store), failed(due_at=NOW))
    changed(store, "low", "medium")
    dies(store, dead())
    bringing = claim(store, now=NOW + 1)
    changed(store, "medium", "low")
    changed(store, "low", "critical")
    assert settle(store, bringing, delivered(), now=NOW + 9)
    told = claim(store, now=NOW + 9).delivery
    assert (told.kind, told.revision, told.receipt) == (Kind.UPDATE, 4, Receipt(remote_id="R-1"))
    assert [(change.field, change.old, change.new) for change in told.changes] == [("severity", "medium", "critical")]


def test_an_update_that_had_nothing_to_send_brought_nothing_there(store: Store) -> None:
    """Its receipt is empty: the alert does not stand there, and its dead letter stays."""
    enqueue(store, alert(severity="high"), "secops")
    settle(store, claim(store), failed(due_at=NOW))
    changed(store, "high", "medium")
    row = dies(store, dead())
    settle(store, claim(store, now=NOW + 5), delivered(""))
    assert store.operations.retry([row], now=NOW + 9) == 1


@pytest.mark.parametrize("settlement", [dead(), failed(), uncertain()], ids=["dead", "ready", "uncertain"])
def test_a_waiting_update_does_not_send_what_was_discarded(store: Store, settlement: Settlement) -> None:
    """It would bring the whole alert there, for there is no message that it could change."""
    enqueue(store, alert(severity="high"), "secops")
    settle(store, claim(store), failed(due_at=NOW))
    changed(store, "high", "medium")
    claimed = claim(store)
    settle(store, claimed, settlement)
    assert store.operations.discard([claimed.delivery.id]) == 1
    assert claim_all(store, now=NOW + 99) == []


@pytest.mark.parametrize("again", ["replay", "worse"])
def test_worse_news_that_went_after_a_discard_are_not_told_twice(store: Store, again: str) -> None:
    """They waited when their open was discarded, and brought the alert there: it stands there from then on."""
    enqueue(store, alert(severity="medium"), "secops")
    settle(store, claim(store), failed(due_at=NOW))
    changed(store, "medium", "high")
    store.operations.discard([dies(store, dead())])
    deliver(store, "secops", "by the update", now=NOW + 9)
    if again == "worse":
        changed(store, "high", "critical")
    else:
        store.operations.replay([alert().id], ["secops"], why="again", now=NOW + 9)
    claimed = claim(store, now=NOW + 9).delivery
    there = Receipt(remote_id="by the update")
    expected = (Kind.UPDATE, there, None) if again == "worse" else (Kind.OPEN, there, there)
    assert (claimed.kind, claimed.receipt, claimed.repeats) == expected


def test_what_an_update_brought_there_in_an_older_database_is_no_dead_letter(store: Store) -> None:
    """The step that brings a database up to date settles it as it would be settled now."""
    row = brought_by_an_update(store)
    sql = "UPDATE deliveries SET state = 'dead', receipt_id = NULL, receipt_url = NULL WHERE id = ?"
    store.engine.write(lambda connection: connection.execute(sql, (row,)))
    (step,) = [step for name, step in MIGRATIONS if name.endswith("_brought_by_updates")]
    store.engine.write(lambda connection: connection.execute(step))
    (found,) = rows(store, "SELECT state, receipt_id, receipt_url FROM deliveries WHERE id = ?", row)
    assert found == ("delivered", "by the update", "https://x.example/1")


# Rename


def test_all_of_an_alert_is_renamed_or_nothing(store: Store) -> None:
    """Where the new name has an alert already, no update of the old one reaches the message that it has."""
    enqueue(store, alert(id="both"), "old", "new")
    enqueue(store, alert(id="one"), "old")
    for _ in range(2):
        deliver(store, "old")
    deliver(store, "new")
    for alert_id in ("both", "one"):
        remind(store, alert_id, ["old"], now=NOW, why="x", change=LASTING)
    assert store.operations.rename("old", "new") == 2
    assert [(one.delivery.alert.id, one.delivery.kind) for one in claim_all(store, "new")] == [("one", Kind.UPDATE)]
    assert [one.delivery.alert.id for one in claim_all(store, "old")] == ["both"]


def test_a_renamed_delivery_keeps_the_name_that_it_was_sent_as(store: Store) -> None:
    """However often a connector is renamed, a message is known by the name that marks it."""
    enqueue(store, alert(), "old")
    for old, new in (("old", "newer"), ("newer", "newest")):
        store.operations.rename(old, new)
    assert claim(store, "newest").delivery.sent_as == "old"


def test_a_discard_is_renamed_too(store: Store) -> None:
    """What a person gave up for a connector stays given up under its new name."""
    enqueue(store, alert(severity="high"), "old")
    store.operations.discard([row for (row,) in rows(store, "SELECT id FROM deliveries")])
    store.operations.rename("old", "secops")
    changed(store, "high", "medium")
    assert claim_all(store, now=NOW + 9) == []


@pytest.mark.parametrize("again", ["replay", "worse"])
def test_a_renamed_discard_is_looked_for_by_the_name_that_it_was_sent_as(store: Store, again: str) -> None:
    """It was discarded in doubt under the old name, by which alone it can be found."""
    enqueue(store, alert(severity="high"), "old")
    claimed = claim(store, "old")
    settle(store, claimed, uncertain(due_at=NOW))
    store.operations.discard([claimed.delivery.id])
    for old, new in (("old", "newer"), ("newer", "secops")):
        store.operations.rename(old, new)
    if again == "replay":
        store.operations.replay([alert().id], ["secops"], why="again", now=NOW)
    else:
        changed(store, "high", "critical")
    found = claim(store, now=NOW + 9)
    assert (found.uncertain, found.delivery.sent_as) == (True, "old")
