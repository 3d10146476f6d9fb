"""What goes out next: worse news overtakes, links wait, and of one alert never two are under way."""

from __future__ import annotations

from typing import Any

import pytest

from forwarder.alert import Alert
from forwarder.connector import Change, Kind
from forwarder.store import Store
from forwarder.store.records import LINKS_ONLY, AttemptResult, Claimed, Turn
from forwarder.testing import alert
from tests.kit.store import (
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
    routed,
    rows,
    settle,
    states,
    uncertain,
    withdraw,
)


class News:
    """An alert of severity low that secops was sent, as it changes."""

    def __init__(self, store: Store, **fields: Any) -> None:
        self.store = store
        self.now = alert(id="a", **{"severity": "low", "cvss_score": 3.0, **fields})
        enqueue(store, self.now, "secops", "tickets")

    def change(self, **fields: Any) -> None:
        known, self.now = self.now, Alert.parse({**self.now.raw, **fields})
        self.store.feed.commit_page([routed(self.now, "secops", known=known)], now=NOW, connectors=["secops"])

    def gets_a_link(self) -> None:
        deliver(self.store, "tickets", "SEC-1", "https://jira.example/1", followers=["secops"])

    def told(self, remote_id: str = "M-1") -> None:
        deliver(self.store, "secops", remote_id)


def lows(store: Store, count: int = 20) -> None:
    for number in range(count):
        enqueue(store, alert(id=f"low-{number}", severity="low", published_at=at(-9999)), "secops")


def described(claimed: Claimed) -> tuple[str, str, int]:
    return claimed.delivery.alert.id, claimed.delivery.kind.value, claimed.delivery.revision


WORSE: dict[str, dict[str, Any]] = {
    "severity": {"severity": "critical"},
    "severity and KEV": {"severity": "critical", "cisa_kev": True},
    "unknown severity": {"severity": "catastrophic"},
}


@pytest.mark.parametrize("fields", WORSE.values(), ids=WORSE)
def test_worse_news_never_waits_for_links(store: Store, fields: dict[str, Any]) -> None:
    """An update that only brings links waits behind everything, and the news about its alert does not wait with it."""
    news = News(store)
    news.told()
    news.gets_a_link()
    lows(store)
    news.change(**fields)
    first = claim(store)
    assert described(first) == ("a", "update", 2)
    assert [link.text for link in first.delivery.links] == ["SEC-1"]


@pytest.mark.parametrize(
    "settlement", [failed(due_at=NOW + 900), uncertain(due_at=NOW + 900)], ids=["retry", "unclear"]
)
def test_worse_news_never_waits_for_links_that_failed(store: Store, settlement: Any) -> None:
    """Nor does it wait for the backoff of links that were tried."""
    news = News(store)
    news.told()
    news.gets_a_link()
    links = claim(store)
    assert links.delivery.revision == LINKS_ONLY
    settle(store, links, settlement)
    news.change(cisa_kev=True)
    assert described(claim(store)) == ("a", "update", 2)


def test_links_wait_for_all_else_of_their_alert(store: Store) -> None:
    """They are sent once nothing of the same alert is owed, and never beside it: the later answer would win."""
    news = News(store)
    news.told()
    news.gets_a_link()
    news.change(severity="critical")
    update = claim(store)
    assert claim_all(store) == []
    settle(store, update, failed(due_at=NOW + 60))
    assert claim_all(store) == []
    settle(store, claim(store, now=NOW + 60), delivered("M-1"))
    assert described(claim(store, now=NOW + 60)) == ("a", "update", LINKS_ONLY)


def test_links_that_are_owed_again_do_not_go_beside_the_news(store: Store) -> None:
    """The row of the links is older than the news, and waits for it all the same."""
    news = News(store)
    news.told()
    news.gets_a_link()
    deliver(store, "secops")
    news.change(severity="critical")
    update = claim(store)
    store.operations.replay(["a"], ["tickets"], why="again", now=NOW)
    deliver(store, "tickets", "SEC-2", "https://jira.example/2", followers=["secops"])
    assert states(store)["secops", "update", LINKS_ONLY] == "ready"
    assert claim_all(store) == []
    settle(store, update, delivered("M-1"))
    assert [link.text for link in claim(store).delivery.links] == ["SEC-2"]


def test_worse_news_takes_in_what_failed_before_it(store: Store) -> None:
    """An earlier update in a backoff holds nothing up: the news tells its change, and it never comes after it."""
    news = News(store)
    news.told()
    news.change(cvss_score=6.5)
    settle(store, claim(store), failed(due_at=NOW + 900))
    news.change(severity="critical", cvss_score=9.9)
    update = claim(store)
    assert described(update) == ("a", "update", 3)
    assert update.delivery.changes == (
        Change(field="cvss_score", old=3.0, new=9.9),
        Change(field="severity", old="low", new="critical"),
    )
    settle(store, update, failed(due_at=NOW))
    assert claim(store).delivery.changes == update.delivery.changes
    assert claim_all(store, now=NOW + 10_000) == []


def in_doubt(store: Store, **fields: Any) -> News:
    """News of which an update may have arrived or not, and is looked for in a minute."""
    news = News(store)
    news.told()
    news.change(**fields)
    settle(store, claim(store), uncertain(due_at=NOW + 60))
    return news


def test_worse_news_does_not_take_in_what_may_have_arrived(store: Store) -> None:
    """It goes at once and tells its own change alone; the earlier one is still looked for, and waits for it."""
    news = in_doubt(store, cvss_score=6.5)
    news.change(severity="critical")
    update = claim(store)
    assert update.delivery.changes == (Change(field="severity", old="low", new="critical"),)
    settle(store, update, failed(due_at=NOW + 900))
    assert claim_all(store, now=NOW + 60) == []
    settle(store, claim(store, now=NOW + 900), delivered("M-1"))
    earlier = claim(store, now=NOW + 900)
    assert (described(earlier), earlier.uncertain) == (("a", "update", 2), True)
    assert earlier.delivery.changes == (Change(field="cvss_score", old=3.0, new=6.5),)


def test_what_may_have_arrived_is_dropped_once_it_is_out_of_date(store: Store) -> None:
    """Where the news told a newer value of all that it says, it is neither looked for nor sent again."""
    news = in_doubt(store, cvss_score=6.5)
    news.change(severity="critical", cvss_score=9.9)
    update = claim(store)
    assert update.delivery.changes == (
        Change(field="severity", old="low", new="critical"),
        Change(field="cvss_score", old=6.5, new=9.9),
    )
    settle(store, update, delivered("M-1"))
    assert claim_all(store, now=NOW + 10_000) == []
    assert ("secops", "update", 2) not in states(store)


def test_of_what_may_have_arrived_only_what_is_still_new_is_sent(store: Store) -> None:
    """An older value never comes after a newer one."""
    news = in_doubt(store, severity="high", cvss_score=6.5)
    news.change(severity="critical")
    settle(store, claim(store), delivered("M-1"))
    earlier = claim(store, now=NOW + 60)
    assert earlier.delivery.changes == (Change(field="cvss_score", old=3.0, new=6.5),)


def test_worse_news_waits_for_what_is_being_sent(store: Store) -> None:
    """Two at once could arrive in either order; once the first has an answer, the news goes, whatever that was."""
    news = News(store)
    news.told()
    news.change(cvss_score=6.5)
    earlier = claim(store)
    news.change(severity="critical")
    assert claim_all(store) == []
    settle(store, earlier, uncertain(due_at=NOW + 900))
    assert described(claim(store)) == ("a", "update", 3)


def test_other_updates_keep_their_order(store: Store) -> None:
    """What is no worse news waits for what came before it, backoff included."""
    news = News(store)
    news.told()
    news.change(cvss_score=6.5)
    settle(store, claim(store), failed(due_at=NOW + 60))
    news.change(cvss_score=6.6)
    assert claim_all(store) == []
    assert described(claim(store, now=NOW + 60)) == ("a", "update", 2)


def test_what_follows_worse_news_waits_for_it(store: Store) -> None:
    """A later update, worse or not, never goes beside it."""
    news = News(store)
    news.told()
    news.change(severity="critical")
    news.change(cvss_score=9.9)
    assert [described(one) for one in claim_all(store)] == [("a", "update", 2)]


def test_a_change_that_was_taken_back_still_tells_the_latest(store: Store) -> None:
    """An update without changes would only bring links."""
    news = News(store, severity="high")
    news.told()
    news.change(severity="medium")
    news.change(severity="high")
    assert claim(store).delivery.changes == (Change(field="severity", old="medium", new="high"),)
    assert claim_all(store) == []


def test_worse_news_never_overtakes_its_open(store: Store) -> None:
    """What was not opened yet cannot be updated."""
    news = News(store)
    opening = claim(store)
    news.change(severity="critical")
    settle(store, opening, failed(due_at=NOW + 60))
    assert claim_all(store) == []
    assert described(claim(store, now=NOW + 60)) == ("a", "open", 2)


def test_worse_news_goes_before_others_of_its_severity(store: Store) -> None:
    """An alert that CISA lists now keeps its severity, and people have to act all the same."""
    news = News(store)
    news.told()
    lows(store)
    news.change(cisa_kev=True)
    assert described(claim(store)) == ("a", "update", 2)


def test_an_open_that_waits_in_a_backoff_is_due_when_its_alert_gets_worse(store: Store) -> None:
    """Nobody knows of it yet, and it is the open that tells the news."""
    news = News(store)
    settle(store, claim(store), failed(due_at=NOW + 1800))
    news.change(cvss_score=2.0)
    assert claim_all(store) == []
    news.change(severity="critical")
    opening = claim(store)
    assert described(opening) == ("a", "open", 3)
    assert opening.delivery.alert.severity == "critical"


@pytest.mark.parametrize("settlement", [failed(due_at=NOW), uncertain(due_at=NOW), dead()], ids=lambda one: one.outcome)
def test_an_open_that_is_being_sent_takes_the_new_rank_when_it_comes_back(store: Store, settlement: Any) -> None:
    """It became critical meanwhile, and does not queue up among the lows."""
    news = News(store)
    opening = claim(store)
    lows(store)
    news.change(severity="critical")
    settle(store, opening, settlement)
    store.operations.retry([opening.delivery.id], now=NOW)
    assert described(claim(store))[:2] == ("a", "open")


def test_a_withdrawal_does_not_wait_for_links(store: Store) -> None:
    """The end of an alert is told at once, and the links of it after that at the latest."""
    news = News(store)
    news.told()
    news.gets_a_link()
    withdraw(store, "a", now=NOW, why="It is over.")
    assert claim(store).delivery.kind is Kind.WITHDRAW


# Probes and what keeps failing


def test_a_probe_takes_what_was_tried_least_recently(store: Store) -> None:
    """What was never tried first, then the oldest last attempt; severity breaks ties."""
    for number, severity in enumerate(["critical", "high", "low", "medium"]):
        enqueue(store, alert(id=severity, severity=severity, published_at=at(number)), "secops")
    for number, one in enumerate(store.outbox.claim("secops", 2, now=NOW, lease=LEASE)):
        settle(store, one, failed(due_at=NOW + number))
    order = []
    for number in range(6):
        (probe,) = store.outbox.claim("secops", 1, now=NOW + 10 + number, lease=LEASE, turn=Turn(probe=True))
        order.append(probe.delivery.alert.id)
        settle(store, probe, failed(due_at=NOW))
    assert order == ["medium", "low", "critical", "high", "medium", "low"]


def test_a_draw_takes_any_that_was_never_tried(store: Store) -> None:
    """The number picks it; where all was tried, the usual order holds, or the probe's."""
    for number in range(4):
        enqueue(store, alert(id=f"a{number}", published_at=at(number)), "secops")
    drawn = [store.outbox.claim("secops", 1, now=NOW, lease=LEASE, turn=Turn(draw=draw))[0] for draw in (1.0, 0.0, 0.5)]
    assert ids(drawn) == ["a3", "a0", "a2"]
    for one in [*drawn, claim(store)]:
        settle(store, one, failed(due_at=NOW))
    assert ids(store.outbox.claim("secops", 1, now=NOW + 1, lease=LEASE, turn=Turn(draw=0.9))) == ["a0"]


def test_what_was_never_tried_is_known(store: Store) -> None:
    """Only what may go at once counts: an update behind its own open does not."""
    assert not store.outbox.has_untried("secops", now=NOW)
    news = News(store)
    assert store.outbox.has_untried("secops", now=NOW)
    news.told()
    news.change(cvss_score=6.5)
    settle(store, claim(store), failed(due_at=NOW))
    news.change(cvss_score=6.6)
    assert not store.outbox.has_untried("secops", now=NOW)
    enqueue(store, alert(id="new"), "secops")
    assert store.outbox.has_untried("secops", now=NOW)
    assert not store.outbox.has_untried("oncall", now=NOW)


def test_when_a_delivery_was_refused_is_kept(store: Store) -> None:
    """Later results leave it, it moves along with a clock that was set, and what was tried stays tried."""
    enqueue(store, alert(id="a"), "secops")
    settle(store, claim(store), failed(due_at=NOW, refused_at=NOW - 5, spent=False))
    settle(store, claim(store), failed(due_at=NOW, spent=False))
    store.outbox.shift_deadlines(100)
    again = claim(store, now=NOW + 100)
    assert again.refused_at == NOW + 95
    store.outbox.release(again)
    assert not store.outbox.has_untried("secops", now=NOW + 100)


def test_what_keeps_failing_can_be_held_back(store: Store) -> None:
    """By number, or until nothing else is due; what failed least often goes first among it."""
    for number in range(3):
        enqueue(store, alert(id=f"fails-{number}", severity="critical"), "secops")
    for number, one in enumerate(claim_all(store)):
        settle(store, one, failed(due_at=NOW, failing_since=NOW - 60))
        for _ in range(number == 0):
            settle(store, claim(store), failed(due_at=NOW, failing_since=NOW - 60))
    enqueue(store, alert(id="low", severity="low"), "secops")

    def order(limit: int, **turn: Any) -> list[str]:
        claimed = store.outbox.claim("secops", limit, now=NOW, lease=LEASE, turn=Turn(answered_at=NOW, **turn))
        for one in claimed:
            store.outbox.release(one)
        return ids(claimed)

    assert order(9) == ["fails-0", "fails-1", "fails-2", "low"]
    assert order(9, failing=1) == ["fails-1", "low"]
    assert order(9, failing=0) == ["low"]
    assert order(1, failing_yields=True) == ["low"]
    assert order(3, failing_yields=True) == ["low", "fails-1", "fails-2"]


def test_a_recovery_spares_what_failed_before_the_outage(store: Store) -> None:
    """Only what began to fail since the last answer is made due, and its backoff begins anew."""
    for name in ("before", "since", "uncertain since"):
        enqueue(store, alert(id=name), "secops")
    before, since, unclear = claim_all(store)
    settle(store, before, failed(due_at=NOW + 900, failing_since=NOW - 50))
    settle(store, since, failed(due_at=NOW + 900, failing_since=NOW - 10))
    settle(store, unclear, uncertain(due_at=NOW + 900))
    store.outbox.make_due_now("secops", since=NOW - 20)
    due = claim_all(store)
    assert [(one.delivery.alert.id, one.uncertain, one.attempts - one.excused) for one in due] == [
        ("since", False, 0),
        ("uncertain since", True, 0),
    ]


def test_when_a_destination_last_answered_is_known_after_a_restart(store: Store) -> None:
    """By what arrived there last; before the first time there is no such moment."""
    enqueue(store, alert(id="a"), "secops")
    enqueue(store, alert(id="b"), "secops")
    assert store.outbox.answered_at("secops") == -float("inf")
    settle(store, claim(store), delivered(), now=NOW + 5)
    settle(store, claim(store), failed(outcome=AttemptResult.RETRY), now=NOW + 9)
    assert store.outbox.answered_at("secops") == NOW + 5
    assert rows(store, "SELECT count(*) FROM deliveries WHERE tried_at IS NULL") == [(0,)]
