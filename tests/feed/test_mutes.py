"""What a mute matches goes nowhere while it lasts, is never lost, and goes out once when it ends or gets worse."""

from __future__ import annotations

from typing import Any

import pytest

from forwarder.common.clock import instant
from forwarder.config import Config, Mute
from forwarder.feed.poller import Poller
from forwarder.feed.stack import STACK_MOST, STACK_SOONER
from forwarder.lifecycle import Held, Mutes
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store.life_records import DIGEST
from forwarder.store.mute_records import CONFIG, MutedBy
from forwarder.store.mutes import BATCH
from forwarder.store.query_records import AlertRow, Filter
from tests.feed.conftest import MakePoller
from tests.kit.feed import DAY, HOUR, publish
from tests.kit.store import NOW, Time, claim, claim_all, config, deliver, failed, ids, rows, settle, states


def muting(*mutes: dict[str, Any], **changes: Any) -> Config:
    """A config that sends every alert to secops, with ``mutes``."""
    return Config.model_validate({**dict(config(start_from="now")), "mutes": mutes, **changes})


def until(seconds: float) -> str:
    return instant(NOW + seconds).isoformat()


def rule(seconds: float = DAY, **told: Any) -> dict[str, Any]:
    """A mute as the config has it, that ends so many seconds after NOW."""
    return {"vendors": ["wordpress"], "until": until(seconds), "reason": "not in use any more", **told}


def shown(store: Store, name: str = "a") -> AlertRow:
    (row,) = store.queries.alerts(Filter(alert_id=name))
    return row


class Rig:
    """A poller and the mutes of one config, whose first poll found an empty feed."""

    def __init__(self, make: MakePoller, store: Store, time: Time, sandbox: Sandbox) -> None:
        self.store, self.time, self.sandbox = store, time, sandbox
        self.woken: list[str] = []
        self.poller: Poller = make(muting())
        self.mutes = Mutes(store, muting(), now=time, wake=self.woken.extend)
        self.poller.poll()

    def use(self, settings: Config) -> None:
        self.poller.use(settings)
        self.mutes.use(settings)

    def publish(self, name: str = "a", **fields: Any) -> None:
        publish(self.sandbox, name, **{"severity": "low", "affected_vendors": ["wordpress"], **fields})

    def seen(self, name: str = "a", **fields: Any) -> None:
        """One alert is published and read."""
        self.publish(name, **fields)
        self.poller.poll()

    def person_mutes(self, seconds: float = DAY, **told: Any) -> int:
        """A person's mute of the vendor; its number."""
        made = Mute.model_validate(rule(seconds, **told))
        return int(self.mutes.add(made, person="Ada", place="the command line").mute.id)

    def owed(self) -> list[str]:
        return [name for (name,) in rows(self.store, "SELECT alert_id FROM deliveries ORDER BY id")]


@pytest.fixture
def rig(make: MakePoller, store: Store, time: Time, sandbox: Sandbox) -> Rig:
    return Rig(make, store, time, sandbox)


def test_what_the_config_mutes_is_kept_and_goes_nowhere(rig: Rig) -> None:
    """It is shown with the reason, who says so and until when, and it is not without a route."""
    rig.use(muting(rule()))
    rig.publish("b", affected_vendors=["github"])
    rig.publish("a")
    result = rig.poller.poll()
    assert [alert.id for alert in result.muted] == ["a"]
    assert result.unrouted == []
    assert rig.owed() == ["b"]
    muted = shown(rig.store).muted
    assert muted is not None
    assert (muted.reason, muted.who, muted.until) == ("not in use any more", CONFIG, NOW + DAY)
    assert shown(rig.store, "b").muted is None
    assert [row.alert.id for row in rig.store.queries.alerts(Filter(muted=True))] == ["a"]
    assert rig.store.queries.totals()["unrouted"] == 0
    assert rig.store.mutes.count() == 1


def test_a_mute_keeps_quiet_also_what_no_route_would_take(rig: Rig) -> None:
    """Nobody wants to hear that it is without a route, before the mute ends."""
    rig.use(muting(rule(HOUR), routes=[{"severity": "critical", "to": "secops"}]))
    rig.seen()
    assert not shown(rig.store).unrouted
    rig.time.advance(HOUR)
    rig.mutes.tend()
    assert (shown(rig.store).unrouted, shown(rig.store).muted) == (True, None)


def test_a_person_mutes_and_what_is_quiet_goes_out_when_it_ends(rig: Rig) -> None:
    """Once, at its end, by the routes of that time."""
    rig.person_mutes(HOUR)
    rig.seen()
    assert shown(rig.store).muted == MutedBy(id="1", until=NOW + HOUR, reason="not in use any more", who="Ada")
    rig.time.advance(HOUR - 3)
    assert rig.mutes.tend() == pytest.approx(3)
    assert rig.owed() == []
    rig.use(muting(routes=[{"to": "oncall"}]))
    rig.time.advance(3)
    assert rig.mutes.tend() == 10.0
    assert states(rig.store) == {("oncall", "open", 1): "ready"}
    assert rig.woken == ["oncall"]
    assert shown(rig.store).muted is None
    deliver(rig.store, "oncall", now=rig.time())
    rig.mutes.tend()
    rig.poller.poll()
    assert rig.owed() == ["a"]


def test_a_mute_that_a_person_ends_lets_out_at_once(rig: Rig) -> None:
    number = rig.person_mutes()
    rig.seen()
    assert rig.mutes.end(number, by="Grace")
    assert rig.owed() == ["a"]
    assert not rig.mutes.end(number, by="Grace")


@pytest.mark.parametrize("after", [(), (rule(reason="another"),), (rule(vendors=["drupal"]),)])
def test_a_mute_that_the_config_lost_or_changed_is_judged_anew(rig: Rig, after: tuple[dict[str, Any], ...]) -> None:
    """What the changed one still matches stays quiet by it; all else goes out."""
    rig.use(muting(rule()))
    rig.seen()
    rig.use(muting(*after))
    rig.mutes.tend()
    muted = shown(rig.store).muted
    if after and after[0]["vendors"] == ["wordpress"]:
        assert muted is not None
        assert muted.reason == "another"
        assert rig.owed() == []
    else:
        assert muted is None
        assert rig.owed() == ["a"]


def test_what_another_mute_matches_stays_quiet_by_that_one(rig: Rig) -> None:
    """The one that holds it the longest is told; where it ends first, the other one goes on."""
    rig.use(muting(rule(HOUR)))
    number = rig.person_mutes(2 * HOUR, reason="also this")
    rig.seen()
    muted = shown(rig.store).muted
    assert muted is not None
    assert muted.id == str(number)
    rig.mutes.end(number, by="Ada")
    muted = shown(rig.store).muted
    assert muted is not None
    assert muted.who == CONFIG
    rig.time.advance(HOUR)
    rig.mutes.tend()
    assert rig.owed() == ["a"]


def test_an_alert_that_gets_worse_goes_out_at_once(rig: Rig) -> None:
    """By all the routes that it matches now, also those that would wait; whoever is muted beside it stays quiet."""
    rig.use(
        muting(rule(), routes=[{"to": "secops", "digest": "daily 09:00"}, {"severity": "critical", "to": "oncall"}])
    )
    for name in ("a", "b"):
        rig.publish(name)
    rig.poller.poll()
    rig.publish("a", cisa_kev=True)
    rig.poller.poll()
    assert rows(rig.store, "SELECT alert_id, connector, state FROM deliveries") == [("a", "secops", "ready")]
    assert shown(rig.store).muted is None
    assert shown(rig.store, "b").muted is not None
    rig.mutes.tend()
    rig.publish("a", cisa_kev=True, cvss_score=3.0)
    rig.poller.poll()
    assert rig.owed() == ["a"]


def test_even_if_worse_holds_through_that(rig: Rig) -> None:
    """Its change is kept all the same, and it goes out whole when that mute ends, whatever else would mute it."""
    rig.use(muting(rule(HOUR, even_if_worse=True), rule(DAY)))
    rig.seen()
    rig.seen(cisa_kev=True)
    assert rig.owed() == []
    assert shown(rig.store).revision == 2
    rig.time.advance(HOUR)
    rig.mutes.tend()
    assert rows(rig.store, "SELECT alert_id, kind, revision FROM deliveries") == [("a", "open", 2)]


def test_any_other_change_stays_quiet(rig: Rig) -> None:
    """Nothing is owed of it, and the alert goes out as it is by then."""
    number = rig.person_mutes()
    rig.seen(severity="high")
    rig.seen(severity="medium")
    assert rig.owed() == []
    assert shown(rig.store).muted is not None
    rig.mutes.end(number, by="Ada")
    (claimed,) = claim_all(rig.store)
    assert claimed.delivery.alert.severity == "medium"


def test_an_alert_that_a_change_takes_out_of_a_mute_goes_out(rig: Rig) -> None:
    rig.use(muting(rule()))
    rig.seen()
    rig.seen(affected_vendors=["github"])
    assert rig.owed() == ["a"]
    assert shown(rig.store).muted is None


def test_what_has_gone_out_is_told_to_the_end(rig: Rig) -> None:
    """A mute that begins later keeps back neither its updates nor the connectors that a change brings."""
    rig.use(muting(routes=[{"to": "secops"}, {"severity": "medium", "to": "oncall"}]))
    rig.seen(severity="high")
    deliver(rig.store, "secops")
    rig.person_mutes()
    rig.mutes.tend()
    rig.seen(severity="medium")
    assert states(rig.store) == {
        ("secops", "open", 1): "delivered",
        ("oncall", "open", 2): "ready",
        ("secops", "update", 2): "ready",
    }
    assert shown(rig.store).muted is None


@pytest.mark.parametrize("by", ["person", "config"])
def test_what_waits_for_its_time_has_not_gone_out_yet(rig: Rig, by: str) -> None:
    """A mute that begins while a digest collects keeps back what it matches, and gives it back at its end."""
    routes = [{"to": "secops", "digest": {"every": "daily 09:00"}}]
    rig.use(muting(routes=routes))
    rig.seen()
    rig.seen("b", affected_vendors=["github"])
    if by == "person":
        rig.person_mutes(HOUR)
    else:
        rig.use(muting(rule(HOUR), routes=routes))
        rig.mutes.tend()
    assert rig.owed() == ["b"]
    assert shown(rig.store).muted is not None
    rig.time.advance(HOUR)
    rig.mutes.tend()
    assert rows(rig.store, "SELECT alert_id, state, held_for FROM deliveries ORDER BY alert_id") == [
        ("a", "held", DIGEST),
        ("b", "held", DIGEST),
    ]


def test_what_stands_anywhere_is_not_taken_out_of_a_digest(rig: Rig) -> None:
    rig.use(muting(routes=[{"to": "secops", "digest": {"every": "daily 09:00"}}, {"to": "oncall"}]))
    rig.seen()
    deliver(rig.store, "oncall")
    rig.person_mutes()
    assert states(rig.store) == {("secops", "open", 1): "held", ("oncall", "open", 1): "delivered"}


def test_a_mute_stops_what_still_waits_in_line(rig: Rig, store: Store) -> None:
    """In a burst only what was tried goes on; what stands at one place is told at the others, too."""
    rig.use(muting(routes=[{"to": ["secops", "oncall"]}]))
    for name in ("a", "b", "c"):
        rig.publish(name)
    rig.poller.poll()
    deliver(store, "secops")
    settle(store, claim(store, "secops"), failed())
    rig.person_mutes()
    assert sorted(set(rig.owed())) == ["a", "b"]
    assert sorted(ids(claim_all(store, "oncall"))) == ["a", "b"]
    assert shown(store, "c").muted is not None


def test_worse_news_that_waits_in_line_is_not_muted_afterwards(rig: Rig, store: Store, time: Time) -> None:
    """Not by the mute that it broke, when a new process looks at all of them, nor by one that begins then."""
    settings = muting(rule())
    rig.use(settings)
    rig.seen()
    rig.seen(cisa_kev=True)
    Mutes(store, settings, now=time, wake=lambda _: None).tend()
    rig.person_mutes(2 * DAY)
    assert rows(store, "SELECT alert_id, state FROM deliveries") == [("a", "ready")]
    rig.person_mutes(3 * DAY, even_if_worse=True)
    assert rig.owed() == []


def test_what_is_muted_by_then_does_not_go_out_because_its_time_has_come(rig: Rig, store: Store, time: Time) -> None:
    """Whichever is looked at first after a mute began, what has ended or what waits."""
    routes = [{"to": "secops", "digest": {"every": "4h"}}]
    rig.use(muting(routes=routes))
    rig.seen()
    time.advance(4 * HOUR)
    settings = muting(rule(), routes=routes)
    rig.use(settings)
    Held(store, settings, now=time, wake=lambda _: None, hush=rig.mutes.hush_new).release()
    assert claim_all(store, now=time()) == []
    assert shown(store).muted is not None


def test_what_is_in_a_digest_that_was_made_goes_with_it(rig: Rig, store: Store, time: Time) -> None:
    """It may be on its way already."""
    settings = muting(routes=[{"to": "secops", "digest": {"every": "4h"}}])
    rig.use(settings)
    rig.seen()
    time.advance(4 * HOUR)
    Held(store, settings, now=time, wake=lambda _: None).release()
    rig.person_mutes(DAY)
    assert shown(store).muted is None
    (claimed,) = claim_all(store, now=time())
    assert [one.id for one in claimed.delivery.items] == ["a"]


def test_a_replay_sends_it_on_purpose_and_the_rest_follows(rig: Rig) -> None:
    """Where it went on purpose it is kept up to date; wherever else it belongs it goes when the mute ends, once."""
    rig.use(muting(routes=[{"to": ["secops", "oncall"]}]))
    number = rig.person_mutes()
    rig.seen(severity="high")
    assert rig.store.operations.replay(["a"], ["secops"], why="asked for", now=NOW) == 1
    deliver(rig.store, "secops")
    rig.seen(severity="medium")
    assert states(rig.store) == {("secops", "open", 1): "delivered", ("secops", "update", 2): "ready"}
    assert shown(rig.store).muted is not None
    rig.mutes.end(number, by="Ada")
    assert states(rig.store) == {
        ("secops", "open", 1): "delivered",
        ("secops", "update", 2): "ready",
        ("oncall", "open", 2): "ready",
    }


def test_what_is_from_before_the_first_start_is_neither_muted_nor_let_out(rig: Rig) -> None:
    rig.use(muting(rule(HOUR)))
    rig.publish("old", seconds=-DAY)
    rig.poller.sweep()
    assert shown(rig.store, "old").muted is None
    rig.time.advance(HOUR)
    rig.mutes.tend()
    assert rig.owed() == []


def test_a_mute_that_ends_between_judging_and_keeping_loses_nothing(rig: Rig, store: Store) -> None:
    """A page that was judged before is committed after it: the next look lets out what it kept quiet."""
    number = rig.person_mutes()
    rig.publish()
    commit = store.feed.commit_page

    def late(*args: Any, **kwargs: Any) -> Any:
        rig.mutes.end(number, by="Ada")
        return commit(*args, **kwargs)

    store.feed.commit_page = late  # type: ignore[method-assign]
    rig.poller.poll()
    assert shown(store).muted is not None
    rig.mutes.tend()
    assert rig.owed() == ["a"]


def test_a_change_that_was_judged_before_a_mute_ended_does_not_mute_again(rig: Rig, store: Store) -> None:
    """What was let out meanwhile goes on as any other alert: the change is told as an update."""
    number = rig.person_mutes()
    rig.seen(severity="high")
    rig.publish(severity="medium")
    commit = store.feed.commit_page

    def late(*args: Any, **kwargs: Any) -> Any:
        rig.mutes.end(number, by="Ada")
        deliver(store, "secops")
        return commit(*args, **kwargs)

    store.feed.commit_page = late  # type: ignore[method-assign]
    rig.poller.poll()
    assert states(store) == {("secops", "open", 1): "delivered", ("secops", "update", 2): "ready"}
    assert shown(store).muted is None


def test_many_are_let_out_batch_by_batch(rig: Rig) -> None:
    """More than one transaction takes, the most severe first, each once; what is quiet for another reason stays."""
    number = rig.person_mutes()
    rig.use(muting({"cve_id": "CVE-2026-7777", "until": until(DAY), "reason": "patched"}))
    for place in range(BATCH + 50):
        rig.publish(f"a{place:03}", seconds=float(place), severity=("low", "high")[place % 2], cve_id=None)
    rig.publish("z", cve_id="CVE-2026-7777")
    rig.poller.sweep()
    quiet = rig.store.mutes.count()
    assert quiet == BATCH + 51
    rig.mutes.end(number, by="Ada")
    assert len(rig.owed()) == len(set(rig.owed())) == quiet - 1
    assert [row.alert.id for row in rig.store.queries.alerts(Filter(muted=True))] == ["z"]
    claimed = claim_all(rig.store)
    assert [one.delivery.alert.severity for one in claimed][:2] == ["high", "high"]
    assert sorted(ids(claimed)) == sorted(rig.owed())


def test_a_category_is_muted_by_what_the_stack_says(rig: Rig, sandbox: Sandbox, store: Store, time: Time) -> None:
    """Its vendors are asked for at once where a mute depends on it; it is let out by the categories of then."""
    time.advance(STACK_SOONER)
    sandbox.sentrytex.add_vendor("wordpress", "WordPress", "blogs")
    made = Mute.model_validate({"categories": "blog*", "until": until(HOUR), "reason": "sold"})
    rig.mutes.add(made, person="Ada", place="the command line")
    rig.seen()
    assert shown(store).muted is not None
    rig.use(muting(routes=[{"categories": "blogs", "to": "oncall"}]))
    time.advance(HOUR)
    rig.mutes.tend()
    assert states(store) == {("oncall", "open", 1): "ready"}


def test_what_is_routed_again_for_its_category_stays_muted(
    rig: Rig, sandbox: Sandbox, store: Store, time: Time
) -> None:
    """What is known of its vendors by then brings it to no connector while it is muted."""
    rig.use(muting({**rule(), "cve_id": "CVE-*"}, routes=[{"categories": "blogs", "to": "oncall"}, {"to": "secops"}]))
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=500, path="/stack", times=None))
    rig.seen()
    sandbox.sentrytex.clear_faults()
    sandbox.sentrytex.add_vendor("wordpress", "WordPress", "blogs")
    time.advance(STACK_MOST)
    rig.poller.stack_grew()
    rig.poller.route_again()
    assert store.vendors.uncategorized() == frozenset()
    assert rig.owed() == []
    assert shown(store).muted is not None
    time.advance(DAY)
    rig.mutes.tend()
    assert sorted(states(store)) == [("oncall", "open", 1), ("secops", "open", 1)]


def test_a_clock_that_is_set_back_takes_nothing_back(rig: Rig) -> None:
    """What has gone out stays out; what is new by then is judged by the clock on the wall."""
    rig.person_mutes(HOUR)
    rig.seen()
    rig.time.advance(HOUR + 1)
    rig.mutes.tend()
    deliver(rig.store, "secops", now=rig.time())
    rig.time.advance(-HOUR)
    rig.mutes.tend()
    rig.seen("b")
    assert rig.owed() == ["a"]
    assert shown(rig.store, "b").muted is not None
