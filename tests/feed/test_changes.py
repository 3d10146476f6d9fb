"""Alerts that change after publication: who hears of it, who gets them now, and who does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.common.clock import instant
from forwarder.connector import Change, Kind
from forwarder.feed.client import FeedClient
from forwarder.feed.poller import Poller
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.store.records import PollResult
from forwarder.testing import alert, alert_json
from tests.kit.store import (
    LEASE,
    NOW,
    Time,
    at,
    claim,
    config,
    dead,
    deliver,
    delivered,
    failed,
    rows,
    settle,
    states,
    uncertain,
)

ROUTES: Final[list[dict[str, Any]]] = [
    {"severity": "critical", "to": ["oncall", "secops"]},
    {"cisa_kev": True, "to": "oncall"},
    {"min_epss": 0.5, "to": "tickets"},
    {"severity": ["high", "medium"], "to": "secops"},
]


class Feed:
    """A feed with one alert of severity high, read by a poller that started before it was published."""

    def __init__(self, sandbox: Sandbox, store: Store, source: FeedClient, time: Time) -> None:
        self.sandbox, self.time = sandbox, time
        self.poller = Poller(config(ROUTES, start_from="now"), source, store, now=time)
        self.poller.poll()
        sandbox.sentrytex.publish(alert_json(id="a", severity="high", epss_score=0.1, published_at=at(1)))
        self.read()

    def read(self) -> PollResult:
        self.time.advance(30)
        return self.poller.poll()

    def changes(self, **fields: Any) -> PollResult:
        """Lets the API show the alert with other values, and reads it."""
        self.sandbox.sentrytex.update("a", **fields)
        return self.read()

    def reload(self, routes: list[dict[str, Any]], *connectors: str) -> None:
        """Goes on with another config."""
        self.poller.use(config(routes, connectors=connectors))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open_exclusive(tmp_path / "forwarder.db")
    yield opened
    opened.close()


@pytest.fixture
def feed(store: Store) -> Iterator[Feed]:
    time = Time()
    with Sandbox(clock=lambda: instant(time.now), limits=False) as sandbox:
        source = FeedClient(sandbox.sentrytex.url, sandbox.sentrytex.token)
        yield Feed(sandbox, store, source, time)
        source.close()


@pytest.mark.parametrize("field", ["cvss_score", "affected_vendors", "cve_id"])
def test_who_was_told_hears_of_a_change(feed: Feed, store: Store, field: str) -> None:
    """A change of what an alert weighs or concerns owes an update to who has the alert, with the old and new value."""
    deliver(store, "secops", "M-1")
    new = {"cvss_score": 6.5, "affected_vendors": ["okta"], "cve_id": "CVE-2026-9"}[field]
    turn = feed.changes(**{field: new})
    assert ([one.id for one in turn.changed], turn.connectors) == (["a"], frozenset({"secops"}))
    delivery = claim(store).delivery
    assert (delivery.kind, delivery.revision) == (Kind.UPDATE, 2)
    assert delivery.receipt is not None
    assert delivery.receipt.remote_id == "M-1"
    (change,) = delivery.changes
    assert (change.field, change.new) == (field, new)


def test_a_rise_goes_to_those_it_newly_concerns(feed: Feed, store: Store) -> None:
    """A severity that rises tells those who have the alert, and opens it where it is routed only now."""
    deliver(store, "secops")
    turn = feed.changes(severity="critical")
    assert turn.connectors == frozenset({"secops", "oncall"})
    assert states(store) == {
        ("secops", "open", 1): "delivered",
        ("secops", "update", 2): "ready",
        ("oncall", "open", 2): "ready",
    }
    assert rows(store, "SELECT DISTINCT rank FROM deliveries WHERE state = 'ready'") == [(0,)]
    opened = claim(store, "oncall").delivery
    assert (opened.kind, opened.alert.severity, opened.changes) == (Kind.OPEN, "critical", ())


def test_a_kev_listing_opens_and_tells(feed: Feed, store: Store) -> None:
    """An alert that CISA lists later goes to who asks for listed ones, and the others hear of it."""
    deliver(store, "secops")
    feed.changes(cisa_kev=True)
    assert claim(store, "oncall").delivery.kind is Kind.OPEN
    assert claim(store).delivery.changes == (Change(field="cisa_kev", old=False, new=True),)


def test_a_drift_over_a_threshold_opens(feed: Feed, store: Store) -> None:
    """EPSS that drifts tells nobody, until it passes what a route asks for: then the alert opens there, once."""
    deliver(store, "secops")
    for score in (0.2, 0.49):
        turn = feed.changes(epss_score=score)
        assert (list(turn.changed), turn.connectors) == ([], frozenset())
    assert feed.changes(epss_score=0.5).connectors == frozenset({"tickets"})
    deliver(store, "tickets")
    for score in (0.4, 0.6):
        assert feed.changes(epss_score=score).connectors == frozenset()
    assert states(store) == {("secops", "open", 1): "delivered", ("tickets", "open", 1): "delivered"}


@pytest.mark.parametrize("quiet", [{"description": "Mended."}, {"title": "Other"}, {"source_urls": []}, {"news": 1}])
def test_a_mended_text_tells_nobody(feed: Feed, store: Store, quiet: dict[str, Any]) -> None:
    """A change of texts is taken over, makes no revision and owes nothing."""
    deliver(store, "secops")
    turn = feed.changes(**quiet)
    assert (list(turn.changed), turn.connectors) == ([], frozenset())
    history = store.queries.history("a")
    assert history is not None
    assert (history.row.revision, list(history.revisions)) == (1, [])
    assert quiet.items() <= dict(history.row.alert.raw).items()


def test_an_unsent_open_takes_the_new_form(feed: Feed, store: Store) -> None:
    """What was not sent yet is sent as the alert is now, at the rank that it has now, and needs no update."""
    feed.changes(severity="medium")
    feed.changes(severity="critical")
    assert states(store) == {("secops", "open", 1): "ready", ("oncall", "open", 3): "ready"}
    assert rows(store, "SELECT DISTINCT rank FROM deliveries") == [(0,)]
    delivery = claim(store).delivery
    assert (delivery.alert.severity, delivery.revision, delivery.changes) == ("critical", 3, ())


def test_an_open_under_way_is_followed_by_an_update(feed: Feed, store: Store) -> None:
    """What may have gone out in the old form is followed by an update: while it is sent, uncertain or failing."""
    opening = claim(store)
    feed.changes(cvss_score=6.5)
    settle(store, opening, uncertain(due_at=NOW))
    feed.changes(cvss_score=6.6)
    settle(store, claim(store), failed(due_at=NOW))
    feed.changes(cvss_score=6.7)
    assert [key for key in states(store) if key[1] == "update"] == [("secops", "update", n) for n in (2, 3, 4)]
    deliver(store, "secops")
    assert claim(store).delivery.changes == (Change(field="cvss_score", old=9.8, new=6.5),)


def test_updates_arrive_in_order(feed: Feed, store: Store) -> None:
    """Several changes are told one after the other, however their ranks differ."""
    deliver(store, "secops")
    feed.changes(severity="medium")
    feed.changes(cvss_score=9.9)
    first = claim(store)
    assert store.outbox.claim("secops", 5, now=NOW, lease=LEASE) == []
    assert first.delivery.changes == (Change(field="severity", old="high", new="medium"),)


def test_a_dead_letter_hears_no_update(feed: Feed, store: Store) -> None:
    """A connector whose open became a dead letter is not sent a change of what it does not have."""
    settle(store, claim(store), dead())
    assert feed.changes(cvss_score=6.5).connectors == frozenset()
    store.operations.retry([1], now=NOW)
    assert claim(store).delivery.alert.cvss_score == 6.5


def test_a_route_that_was_added_sends_nothing_of_the_past(feed: Feed, store: Store) -> None:
    """A small change owes nothing to a connector that would have had the alert before it, had its route been there."""
    deliver(store, "secops")
    feed.reload([*ROUTES, {"to": "auditors"}], "secops", "oncall", "tickets", "auditors")
    assert feed.changes(cvss_score=6.5).connectors == frozenset({"secops"})
    assert feed.changes(epss_score=0.6).connectors == frozenset({"tickets"})
    assert feed.changes(severity="medium").connectors == frozenset({"secops"})


WORSE: Final[list[dict[str, Any]]] = [{"severity": "critical"}, {"cisa_kev": True}, {"severity": "catastrophic"}]


@pytest.mark.parametrize("worse", WORSE, ids=str)
@pytest.mark.parametrize("first", ["high", "low"])
def test_worse_news_goes_wherever_the_routes_lead_now(
    feed: Feed, store: Store, worse: dict[str, Any], first: str
) -> None:
    """Also by a route that was added since and would have matched before: the pager rings, once."""
    feed.sandbox.sentrytex.publish(alert_json(id="b", severity=first, published_at=at(40)))
    feed.read()
    feed.reload([*ROUTES, {"to": "auditors"}], "secops", "oncall", "tickets", "auditors")
    feed.sandbox.sentrytex.update("b", **worse)
    assert "auditors" in feed.read().connectors
    deliver(store, "auditors")
    for again in WORSE:
        feed.sandbox.sentrytex.update("b", cvss_score=3.0, **again)
        feed.read()
    assert rows(store, "SELECT count(*) FROM deliveries WHERE kind = 'open' AND connector = 'auditors'") == [(1,)]


def test_worse_news_opens_nothing_where_it_was_owed(feed: Feed, store: Store) -> None:
    """What waits or died tells the new form by itself."""
    feed.reload([{"to": ["secops", "oncall"]}], "secops", "oncall")
    feed.sandbox.sentrytex.publish(alert_json(id="b", severity="high", published_at=at(40)))
    feed.read()
    settle(store, claim(store, "oncall"), dead())
    feed.sandbox.sentrytex.update("b", severity="critical")
    assert feed.read().connectors == frozenset()


@pytest.mark.parametrize("routes", [ROUTES, [{"to": "secops"}], [{"severity": "critical", "to": "oncall"}]], ids=len)
@pytest.mark.parametrize("worse", WORSE, ids=str)
def test_what_was_discarded_is_sent_when_it_becomes_worse(
    feed: Feed, store: Store, routes: list[dict[str, Any]], worse: dict[str, Any]
) -> None:
    """Whether its route matched before, matches only now, or leads elsewhere by now; a small change sends nothing."""
    settle(store, claim(store), dead())
    store.operations.discard([1])
    feed.reload(routes, "secops", "oncall", "tickets")
    assert "secops" not in feed.changes(cvss_score=6.5).connectors
    assert "secops" in feed.changes(**worse).connectors
    delivery = claim(store).delivery
    assert (delivery.kind, delivery.alert.cvss_score) == (Kind.OPEN, 6.5)
    assert rows(store, "SELECT count(*) FROM discards") == [(0,)]


def test_a_discard_hides_nothing_that_is_there(feed: Feed, store: Store) -> None:
    """Where a renamed connector brings a discard to a name that has the alert, that hears of changes as before."""
    feed.reload([{"to": ["secops", "old"]}], "secops", "old")
    feed.sandbox.sentrytex.publish(alert_json(id="b", published_at=at(40)))
    feed.read()
    settle(store, claim(store, "old"), dead())
    store.operations.discard([row for (row,) in rows(store, "SELECT id FROM deliveries WHERE connector = 'old'")])
    store.operations.rename("old", "secops")
    for claimed in store.outbox.claim("secops", 5, now=NOW, lease=LEASE):
        settle(store, claimed, delivered())
    feed.reload([{"to": "secops"}], "secops")
    feed.sandbox.sentrytex.update("b", cisa_kev=True)
    assert feed.read().connectors == frozenset({"secops"})
    assert claim(store).delivery.kind is Kind.UPDATE
    assert rows(store, "SELECT count(*) FROM discards") == [(1,)]


def test_a_connector_that_is_gone_is_owed_no_small_change(feed: Feed, store: Store) -> None:
    """What is not for the worse would only pile up for a connector that is no longer in the config."""
    deliver(store, "secops")
    feed.reload([{"to": "oncall"}], "oncall")
    assert feed.changes(cvss_score=6.5).connectors == frozenset()
    assert feed.changes(severity="medium").connectors == frozenset()


@pytest.mark.parametrize("worse", WORSE, ids=str)
def test_worse_news_waits_for_a_connector_that_is_gone(feed: Feed, store: Store, worse: dict[str, Any]) -> None:
    """Once the connector is back, it hears of all that got worse meanwhile, in one update."""
    deliver(store, "secops", "M-1")
    feed.reload([], "oncall")
    feed.changes(**worse)
    feed.changes(cvss_score=6.5)
    feed.changes(severity="low", cisa_kev=False)
    feed.changes(severity="critical", cisa_kev=True)
    feed.reload(ROUTES, "secops", "oncall", "tickets")
    claimed = claim(store)
    assert claimed.delivery.kind is Kind.UPDATE
    assert claimed.delivery.receipt is not None
    assert claimed.delivery.receipt.remote_id == "M-1"
    assert {change.field for change in claimed.delivery.changes} >= {"severity", "cisa_kev"}
    settle(store, claimed, delivered())
    assert store.outbox.claim("secops", 5, now=NOW, lease=LEASE) == []


def test_worse_news_of_what_was_discarded_waits_for_a_connector_that_is_gone(feed: Feed, store: Store) -> None:
    """Once the connector is back, the alert goes there after all."""
    settle(store, claim(store), dead())
    store.operations.discard([1])
    feed.reload([], "oncall")
    feed.changes(cvss_score=6.5)
    feed.changes(cisa_kev=True)
    feed.changes(severity="critical")
    feed.reload(ROUTES, "secops", "oncall", "tickets")
    delivery = claim(store).delivery
    assert (delivery.kind, delivery.alert.severity) == (Kind.OPEN, "critical")


def test_worse_news_waits_for_a_rename(feed: Feed, store: Store) -> None:
    """What came between the reload and the rename goes to the message that the old name has."""
    deliver(store, "secops", "M-1")
    feed.reload([{"severity": "medium", "to": "security"}], "security")
    feed.changes(severity="critical")
    store.operations.rename("secops", "security")
    delivery = claim(store, "security").delivery
    assert delivery.kind is Kind.UPDATE
    assert delivery.receipt is not None
    assert delivery.receipt.remote_id == "M-1"


def test_worse_news_does_not_wait_for_a_rename_where_the_new_name_is_routed(feed: Feed, store: Store) -> None:
    """Whether the connector was renamed or replaced nobody said yet: the new one is told at once, and once."""
    deliver(store, "secops", "M-1")
    feed.reload([{"to": "security"}], "security")
    assert "security" in feed.changes(severity="critical").connectors
    deliver(store, "security", "M-2")
    store.operations.rename("secops", "security")
    assert store.outbox.claim("security", 5, now=NOW, lease=LEASE) == []
    assert feed.changes(cisa_kev=True).connectors == frozenset({"security", "secops"})
    assert claim(store, "security").delivery.kind is Kind.UPDATE


def test_a_second_rename_hands_over_what_came_after_the_first(feed: Feed, store: Store) -> None:
    """What was sent under the old name between the rename and the reload is updated under the new one."""
    assert store.operations.rename("secops", "security") == 1
    feed.sandbox.sentrytex.publish(alert_json(id="b", severity="high", published_at=at(40)))
    feed.read()
    deliver(store, "secops", "M-2")
    feed.reload([{"to": "security"}], "security")
    assert store.operations.rename("secops", "security") == 1
    feed.sandbox.sentrytex.update("b", severity="critical")
    assert feed.read().connectors == frozenset({"security"})
    kinds = {
        one.delivery.alert.id: one.delivery.kind for one in store.outbox.claim("security", 5, now=NOW, lease=LEASE)
    }
    assert kinds == {"a": Kind.OPEN, "b": Kind.UPDATE}


def test_a_fall_tells_those_who_have_it(feed: Feed, store: Store) -> None:
    """An alert that no route matches any more still tells those who were sent it, and is not without a route."""
    deliver(store, "secops")
    assert feed.changes(severity="low").connectors == frozenset({"secops"})
    assert store.queries.totals()["unrouted"] == 0


def test_an_alert_that_was_unrouted_is_no_more(feed: Feed, store: Store) -> None:
    """An alert without a route that a change brings somewhere is no longer counted as unrouted."""
    feed.sandbox.sentrytex.publish(alert_json(id="low", severity="low", epss_score=None, published_at=at(40)))
    feed.read()
    assert store.queries.totals()["unrouted"] == 1
    feed.sandbox.sentrytex.update("low", severity="high")
    feed.read()
    assert store.queries.totals()["unrouted"] == 0


def test_an_alert_from_before_the_start_stays_past_when_it_rises(feed: Feed, store: Store) -> None:
    """What was known before the first start is never owed, whatever it changes to, its date included."""
    deliver(store, "secops")
    old = alert(id="old", severity="high", epss_score=0.1, published_at=at(-60))
    feed.sandbox.sentrytex.publish(old.raw)
    feed.read()
    for change in ({"severity": "critical"}, {"cisa_kev": True}, {"published_at": at(40)}, {"epss_score": 0.9}):
        feed.sandbox.sentrytex.update("old", **change)
        turn = feed.read()
        assert (turn.connectors, list(turn.unrouted)) == (frozenset(), [])
    assert rows(store, "SELECT count(*) FROM deliveries WHERE alert_id = 'old'") == [(0,)]


def test_a_past_alert_that_was_replayed_is_updated_where_it_was_sent(feed: Feed, store: Store) -> None:
    """A person sent it on purpose: that place hears what changes, and no other."""
    deliver(store, "secops")
    feed.sandbox.sentrytex.publish(alert_json(id="old", severity="high", epss_score=0.1, published_at=at(-60)))
    feed.read()
    store.operations.replay(["old"], ["tickets"], why="replayed", now=NOW)
    deliver(store, "tickets")
    feed.sandbox.sentrytex.update("old", severity="critical", cisa_kev=True)
    assert feed.read().connectors == frozenset({"tickets"})


def test_a_change_is_noticed_by_a_sweep_too(feed: Feed, store: Store) -> None:
    """Polls reach only the overlap; what changed days after its publication is noticed by the sweep."""
    deliver(store, "secops")
    feed.sandbox.sentrytex.publish(alert_json(id="newer", published_at=at(3 * 86400)))
    feed.time.advance(4 * 86400)
    feed.read()
    assert list(feed.changes(cisa_kev=True).changed) == []
    assert [one.id for one in feed.poller.sweep().changed] == ["a"]


def test_the_new_form_is_kept(feed: Feed, store: Store) -> None:
    """After a change the store knows the alert as it is, so that the same change is noticed once."""
    deliver(store, "secops")
    feed.changes(severity="critical", cve_id="CVE-2026-2")
    assert rows(store, "SELECT severity, cve_id, revision FROM alerts") == [("critical", "CVE-2026-2", 2)]
    turn = feed.read()
    assert (list(turn.changed), turn.connectors) == ([], frozenset())
