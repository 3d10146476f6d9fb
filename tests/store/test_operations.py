"""What people, pauses, deadlines and time do with what the store holds, and what is owed besides alerts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forwarder.alert import SetAside, Severity
from forwarder.connector import Kind, Link, Receipt
from forwarder.store import Store
from forwarder.store.records import AFTER_ALL_OPENS, AttemptResult, Gap, Settlement
from forwarder.testing import alert
from tests.kit.store import (
    LASTING,
    LEASE,
    NOW,
    at,
    claim,
    claim_all,
    dead,
    deliver,
    delivered,
    enqueue,
    failed,
    ids,
    pause,
    paused,
    remind,
    routed,
    rows,
    settle,
    states,
    uncertain,
    withdraw,
)

ASIDE = SetAside(digest="d1", raw="{}", reason="the alert has no id")


# Deadlines


def test_hurry_makes_due_what_waits_after_a_failure(store: Store) -> None:
    """When a destination works again what failed goes at once, and what is uncertain is looked for at once."""
    for alert_id in ("failed", "uncertain", "limited"):
        enqueue(store, alert(id=alert_id), "secops")
    first, second, third = claim_all(store)
    settle(store, first, failed(due_at=NOW + 900))
    settle(store, second, uncertain(due_at=NOW + 10))
    settle(store, third, failed(due_at=NOW + 5, outcome=AttemptResult.RATE_LIMITED, failing_since=None))
    store.outbox.make_due_now("oncall")
    assert claim_all(store) == []
    store.outbox.make_due_now("secops")
    assert [(one.delivery.alert.id, one.uncertain) for one in claim_all(store)] == [
        ("failed", False),
        ("uncertain", True),
    ]


def test_shift_moves_every_deadline_along(store: Store) -> None:
    """With a clock that was set, what waits, what is leased, what fails and what is paused keep their distances."""
    for alert_id in ("failed", "sending", "settled", "settled since"):
        enqueue(store, alert(id=alert_id), "secops")
    first, second, third, fourth = claim_all(store)
    settle(store, third, delivered(), now=NOW - 1)
    settle(store, first, failed(due_at=NOW + 10))
    settle(store, fourth, delivered(), now=NOW + 1)
    other = pause(store)
    store.outbox.shift_deadlines(3600.0)
    assert rows(store, "SELECT due_at, failing_since, enqueued_at FROM deliveries WHERE id = ?", first.delivery.id) == [
        (NOW + 3610, NOW + 3600, NOW + 3600)
    ]
    assert rows(store, "SELECT lease_until FROM deliveries WHERE id = ?", second.delivery.id) == [(NOW + LEASE + 3600,)]
    assert rows(store, "SELECT settled_at, enqueued_at FROM deliveries WHERE id = ?", third.delivery.id) == [
        (NOW - 1, NOW)
    ]
    # That it came after the other had begun to fail tells which of the two is at fault.
    assert rows(store, "SELECT settled_at, at FROM deliveries JOIN attempts ON delivery_id = id WHERE id = ?", 4) == [
        (NOW + 3601, NOW + 3600.75)
    ]
    standing = store.outbox.pause_of(other)
    assert standing is not None
    assert (standing.since, standing.probe_at) == (NOW + 3600, NOW + 60 + 3600)


def test_shift_back_leaves_due_what_is_due(store: Store) -> None:
    """What goes at once still goes at once after the clock was set back."""
    enqueue(store, alert(), "secops")
    store.outbox.shift_deadlines(-1e9)
    assert ids(claim_all(store, now=NOW - 1e9)) == [alert().id]


def test_a_start_waits_for_nothing_longer_than_a_backoff(store: Store) -> None:
    """Deadlines from a clock that was wrong are brought near, and paused connectors are tried at once."""
    enqueue(store, alert(), "secops")
    settle(store, claim(store), failed(due_at=NOW + 1e8))
    other = pause(store)
    store.outbox.reset_deadlines(now=NOW, most=1800.0)
    assert store.outbox.next_due("secops") == NOW + 1800
    standing = store.outbox.pause_of(other)
    assert standing is not None
    assert standing.probe_at == NOW


# Pauses


def test_a_broken_destination_is_paused_with_the_reason(store: Store) -> None:
    """Broken pauses the connector; each probe in vain renews the reason and the time, but not since when."""
    enqueue(store, alert(), "secops")
    settle(store, claim(store), paused(probe_at=NOW + 60))
    settle(store, claim(store), replace(paused(probe_at=NOW + 180, probes=1), reason="account_inactive"), now=NOW + 60)
    standing = store.outbox.pause_of("secops")
    assert standing is not None
    assert (standing.since, standing.reason, standing.probes, standing.probe_at) == (
        NOW,
        "account_inactive",
        1,
        NOW + 180,
    )
    assert store.outbox.pause_of("oncall") is None


@pytest.mark.parametrize(
    ("settlement", "paused_still"),
    [
        (delivered(), False),
        (dead(), False),
        (failed(), True),
        (uncertain(), True),
        (replace(dead("Gave up after 3d: HTTP 500"), outcome=AttemptResult.GAVE_UP), True),
    ],
    ids=["delivered", "reject", "retry", "uncertain", "gave_up"],
)
def test_what_ends_a_pause(store: Store, settlement: Settlement, paused_still: bool) -> None:
    """A yes, and a refusal of this one message, show that the destination works; a failure does not."""
    pause(store, "secops")
    enqueue(store, alert(), "secops")
    first, second = claim_all(store)
    settle(store, second, settlement)
    assert (store.outbox.pause_of("secops") is not None) == paused_still
    store.outbox.release(first)


def test_a_pause_is_ended_by_hand_or_probed_at_once(store: Store) -> None:
    """A person may end a pause, or ask for a probe now."""
    pause(store, "secops")
    store.operations.probe_now("secops", now=NOW + 7)
    standing = store.outbox.pause_of("secops")
    assert standing is not None
    assert standing.probe_at == NOW + 7
    store.operations.resume("secops")
    assert store.outbox.pause_of("secops") is None


# What people do with deliveries


def test_retry_takes_dead_letters_and_nothing_else(store: Store) -> None:
    """A dead letter that is retried is due at once and has its whole time again; what is not dead is left alone."""
    for alert_id in ("dead", "delivered", "waiting"):
        enqueue(store, alert(id=alert_id), "secops")
    first, second, third = claim_all(store)
    settle(store, first, replace(dead(), failing_since=NOW - 9))
    settle(store, second, delivered())
    settle(store, third, failed(due_at=NOW + 60))
    assert store.operations.retry([one.delivery.id for one in (first, second, third)] + [999], now=NOW + 5) == 1
    again = claim(store, now=NOW + 5)
    assert (again.delivery.alert.id, again.failing_since, again.uncertain) == ("dead", None, False)
    assert again.delivery.enqueued_at.timestamp() == NOW


def test_discard_forgets_what_is_not_delivered(store: Store) -> None:
    """Dead, waiting and uncertain deliveries can be discarded; one that is under way or delivered cannot."""
    for alert_id in ("dead", "delivered", "waiting", "uncertain", "sending"):
        enqueue(store, alert(id=alert_id), "secops")
    claims = claim_all(store)
    for claimed, settlement in zip(claims, (dead(), delivered(), failed(), uncertain()), strict=False):
        settle(store, claimed, settlement)
    assert store.operations.discard([one.delivery.id for one in claims]) == 3
    assert rows(store, "SELECT alert_id FROM deliveries ORDER BY id") == [("delivered",), ("sending",)]
    assert rows(store, "SELECT count(*) FROM attempts") == [(1,)]


def test_a_renamed_connector_keeps_its_deliveries(store: Store) -> None:
    """All that the old name has goes to the new one, receipts included; what the new one has already stays."""
    enqueue(store, alert(id="a"), "old")
    enqueue(store, alert(id="b"), "old", "new")
    deliver_first = store.outbox.claim("old", 1, now=NOW, lease=LEASE)[0]
    settle(store, deliver_first, delivered("R-1"))
    assert store.operations.rename("old", "new") == 1
    remind(store, "a", ["new"], now=NOW, why="x", change=LASTING)
    by_id = {one.delivery.alert.id: one.delivery for one in claim_all(store, "new")}
    assert by_id["a"].receipt == Receipt(remote_id="R-1")
    assert by_id["b"].kind is Kind.OPEN


def test_replay_sends_again_on_purpose(store: Store) -> None:
    """What was delivered or died is owed once more without its receipt, what was never owed too, what waits not."""
    for alert_id in ("delivered", "dead", "waiting"):
        enqueue(store, alert(id=alert_id), "secops")
    enqueue(store, alert(id="unowed"))
    first, second, third = claim_all(store)
    settle(store, first, delivered("R-1", "https://x.example"))
    settle(store, second, dead())
    settle(store, third, failed(due_at=NOW + 60))
    everything = ["delivered", "dead", "waiting", "unowed", "unknown"]
    assert store.operations.replay(everything, ["secops"], why="replayed by hand", now=NOW + 5) == 3
    again = {one.delivery.alert.id: one.delivery for one in claim_all(store, now=NOW + 5)}
    assert sorted(again) == ["dead", "delivered", "unowed"]
    assert {one.enqueued_at.timestamp() for one in again.values()} == {NOW + 5}
    assert again["delivered"].receipt is None
    assert {one.kind for one in again.values()} == {Kind.OPEN}


def test_what_follows_a_replay_goes_where_the_replay_went(store: Store) -> None:
    """An update after a replay belongs to the new message, not to an update of the old one."""
    enqueue(store, alert(), "secops")
    deliver(store, "secops", "old message", now=NOW)
    remind(store, alert().id, ["secops"], now=NOW, why="x", change=LASTING)
    deliver(store, "secops", "old reply", now=NOW + 1)
    store.operations.replay([alert().id], ["secops"], why="replayed by hand", now=NOW + 2)
    deliver(store, "secops", "new message", now=NOW + 3)
    remind(store, alert().id, ["secops"], now=NOW + 4, why="x", change=LASTING)
    receipt = claim(store, now=NOW + 4).delivery.receipt
    assert receipt is not None
    assert receipt.remote_id == "new message"


# Our own alerts end


def test_a_withdrawal_goes_to_those_who_heard(store: Store) -> None:
    """Who was told is told the end; who was not, hears neither, and nothing is sent after it."""
    enqueue(store, alert(), "told", "untold", "failing", "died")
    deliver(store, "told")
    settle(store, claim(store, "failing"), failed(due_at=NOW))
    settle(store, claim(store, "died"), dead())
    assert withdraw(store, alert().id, now=NOW, why="It is over.") == {"told", "failing"}
    assert claim(store, "told").delivery.kind is Kind.WITHDRAW
    assert claim_all(store, "untold") == []
    assert claim(store, "failing").delivery.kind is Kind.OPEN
    assert withdraw(store, alert().id, now=NOW, why="It is over.") == {"told", "failing"}
    assert rows(store, "SELECT count(*) FROM deliveries WHERE kind = 'withdraw' AND connector = 'told'") == [(1,)]


# Links


def test_a_link_is_owed_to_messages_that_went_out_without_it(store: Store) -> None:
    """When a ticket is there, the message about the same alert is given its link, later and after all alerts."""
    enqueue(store, alert(), "secops", "tickets")
    deliver(store, "secops", "M-1", "https://slack.example/1", followers=["secops"])
    deliver(store, "tickets", "SEC-1", "https://jira.example/1", followers=["secops", "tickets"], links_after=5.0)
    assert states(store)["secops", "update", 0] == "ready"
    assert claim_all(store, now=NOW + 4.9) == []
    enqueue(store, alert(id="other", severity="low", published_at=at(999)), "secops")
    assert ids(claim_all(store, now=NOW + 5)) == ["other", alert().id]
    assert rows(store, "SELECT rank FROM deliveries WHERE revision = 0") == [(AFTER_ALL_OPENS,)]


def test_links_stay_behind_all_alerts_when_a_severity_changes(store: Store) -> None:
    """An update that only brings links waits behind every alert, also after its own alert became critical."""
    known, worse = alert(id="a", severity="high"), alert(id="a", severity="critical")
    enqueue(store, known, "secops", "tickets")
    deliver(store, "secops")
    deliver(store, "tickets", "SEC-1", "https://jira.example/1", followers=["secops"])
    store.feed.commit_page([routed(worse, "secops", known=known)], now=NOW, connectors=["secops"])
    enqueue(store, alert(id="low", severity="low"), "secops")
    sent = []
    for _ in range(3):
        claimed = claim(store)
        sent.append((claimed.delivery.alert.id, claimed.delivery.kind.value, claimed.delivery.revision))
        settle(store, claimed, delivered())
    assert sent.index(("low", "open", 1)) < sent.index(("a", "update", 0))


def test_a_link_is_not_owed_where_it_is_of_no_use(store: Store) -> None:
    """No link goes to who was sent nothing, to who will read it anyway when sent, or where there is none."""
    enqueue(store, alert(), "unsent", "dead", "tickets", "linkless")
    settle(store, claim(store, "dead"), dead())
    followers = ["unsent", "dead", "never", "tickets"]
    deliver(store, "linkless", "X-1", None, followers=followers)
    deliver(store, "tickets", "SEC-1", "https://jira.example/1", followers=followers)
    assert [key for key in states(store) if key[1] == "update"] == []
    assert claim(store, "unsent").delivery.links == (
        Link(connector="tickets", text="SEC-1", url="https://jira.example/1"),
    )


def test_several_links_go_in_one_update(store: Store) -> None:
    """Links that come before the update went are sent by it together; one that comes later owes it again."""
    enqueue(store, alert(), "secops", "tickets", "oncall", "more")
    deliver(store, "secops", "M-1", followers=["secops"])
    for name in ("tickets", "oncall"):
        deliver(store, name, f"{name}-1", f"https://{name}.example/1", followers=["secops"])
    update = deliver(store, "secops", "M-1")
    assert [link.connector for link in update.delivery.links] == ["tickets", "oncall"]
    assert (update.delivery.changes, update.delivery.receipt) == ((), Receipt(remote_id="M-1"))
    assert claim_all(store) == []
    deliver(store, "more", "more-1", "https://more.example/1", followers=["secops"])
    assert len(claim(store).delivery.links) == 3


@pytest.mark.parametrize("between", [None, uncertain(due_at=NOW)], ids=["sending", "uncertain"])
def test_a_link_that_comes_while_links_are_sent_is_sent_too(store: Store, between: Settlement | None) -> None:
    """A link that comes while an update with another one is under way is owed again when that has ended."""
    enqueue(store, alert(), "secops", "tickets", "oncall")
    deliver(store, "secops", "M-1", followers=["secops"])
    deliver(store, "tickets", "SEC-1", "https://jira.example/1", followers=["secops"])
    update = claim(store)
    deliver(store, "oncall", "INC-1", "https://pagerduty.example/1", followers=["secops"])
    assert settle(store, update, delivered("M-1"), links_after=5.0)
    assert store.outbox.next_due("secops") == NOW + 5
    again = claim(store, now=NOW + 5)
    assert [link.connector for link in again.delivery.links] == ["tickets", "oncall"]
    settle(store, again, delivered("M-1"))
    assert store.outbox.next_due("secops") is None


# Upkeep


def test_a_prune_forgets_what_is_old_and_settled(store: Store) -> None:
    """Old alerts go with their deliveries and attempts; what is owed, dead, recent or still visible stays."""
    old, recent = NOW - 1000, NOW - 10
    for alert_id, published, seen in [
        ("old", old, old),
        ("unrouted", old, old),
        ("visible", recent, old),
        ("just seen", old, recent),
        ("owed", old, old),
        ("dead", old, old),
    ]:
        to = () if alert_id == "unrouted" else ("secops",)
        enqueue(store, alert(id=alert_id, published_at=at(published - NOW)), *to, now=seen)
    for claimed in claim_all(store):
        ends = {"owed": failed(), "dead": dead()}
        settle(store, claimed, ends.get(claimed.delivery.alert.id, delivered()))
    store.feed.commit_page([], now=old, set_aside=[ASIDE], gaps=[Gap(severity=Severity.LOW, since=old, until=old)])
    store.feed.commit_page([], now=NOW, cursor=NOW, set_aside=[replace(ASIDE, digest="d2")])
    assert store.retention.prune(seen_before=NOW - 100, published_before=NOW - 100) == 2
    assert sorted(alert_id for (alert_id,) in rows(store, "SELECT id FROM alerts")) == [
        "dead",
        "just seen",
        "owed",
        "visible",
    ]
    assert rows(store, "SELECT (SELECT count(*) FROM deliveries), (SELECT count(*) FROM attempts)") == [(4, 4)]
    assert ([one.digest for one in store.queries.set_aside()], store.queries.gaps()) == (["d2"], [])
    assert store.retention.prune(seen_before=NOW - 100, published_before=NOW - 100) == 0


def test_a_prune_keeps_what_a_quiet_feed_still_shows(store: Store) -> None:
    """Where nothing new came for long, polls go on to show the last alerts, and forgetting these would repeat them."""
    for alert_id, seconds in (("last", 0), ("within the overlap", -50), ("before", -200)):
        enqueue(store, alert(id=alert_id, published_at=at(seconds)))
    store.feed.commit_page([], now=NOW, cursor=NOW)
    years = NOW + 1e8
    assert store.retention.prune(seen_before=years, published_before=years, overlap=100.0) == 1
    assert [alert_id for (alert_id,) in rows(store, "SELECT id FROM alerts ORDER BY published_at DESC")] == [
        "last",
        "within the overlap",
    ]


def test_a_prune_gives_back_the_room(store: Store, path: Path) -> None:
    """The file becomes smaller where much was forgotten."""
    store.feed.commit_page([routed(alert(id=f"a{number}", description="x" * 20_000)) for number in range(100)], now=NOW)
    before = rows(store, "PRAGMA page_count")[0][0]
    assert store.retention.prune(seen_before=NOW + 1, published_before=NOW + 1) == 100
    assert rows(store, "PRAGMA page_count")[0][0] < before / 2


def test_a_prune_takes_a_little_at_a_time(store: Store) -> None:
    """No transaction of a prune is so long that deliveries have to wait for it."""
    store.feed.commit_page([routed(alert(id=f"a{number}")) for number in range(700)], now=NOW)
    assert [store.retention.prune(seen_before=NOW + 1, published_before=NOW + 1) for _ in range(3)] == [500, 200, 0]
