"""Which accounts see an alert, how far the feed of each was read, and what becomes of both when one is renamed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from forwarder.alert import Alert, Severity
from forwarder.connector import Action
from forwarder.response import PAGE
from forwarder.routing import Decision, Verdict
from forwarder.store import Store
from forwarder.store.errors import Overtaken
from forwarder.store.mute_records import MutedBy
from forwarder.store.query_records import Filter
from forwarder.store.records import Arrival, Gap, RoutedAlert
from forwarder.testing import alert
from tests.kit.store import NOW, claim, delivered, enqueue, routed, rows, settle, stack

DAY = 86400.0


def arrive(store: Store, account: str, one: Alert, *to: str, cursor: float | None = None) -> RoutedAlert:
    """Commits what an account's feed shows of one alert, routed ``to``, and returns it as it was routed."""
    feed = store.feed_of(account)
    (arrival,) = feed.arrivals([one])
    item = of_arrival(arrival, *to)
    feed.commit_page([item], now=NOW, shown=[one], connectors=to, cursor=cursor)
    return item


def of_arrival(arrival: Arrival, *to: str) -> RoutedAlert:
    return replace(routed(arrival.alert, *to, known=arrival.known), arrival=arrival)


def begin(store: Store, *accounts: str, floor: float = NOW - DAY) -> None:
    for account in accounts:
        store.feed_of(account).start(floor, is_local=False, now=NOW)


def seen(store: Store) -> list[tuple[str, str, int]]:
    return sorted(rows(store, "SELECT alert_id, account, past FROM alert_accounts"))


def test_each_account_has_a_cursor_a_sweep_and_troubles_of_its_own(store: Store) -> None:
    """What one of them writes leaves the others as they are."""
    begin(store, "acme", "beta")
    store.feed_of("acme").commit_page([], now=NOW, cursor=NOW - 5)
    store.feed_of("beta").poll_failed("401", key_refused=True)
    store.feed_of("beta").sweep_failed("503")
    store.feed_of("acme").commit_page([], now=NOW, swept=True, reach=NOW - DAY)
    acme, beta = store.feed_of("acme").state(), store.feed_of("beta").state()
    assert (acme.cursor, acme.polled_at, acme.swept_at, acme.key_refused, acme.sweeps_failed) == (
        NOW - 5,
        NOW,
        NOW,
        None,
        0,
    )
    assert (beta.cursor, beta.polled_at, beta.swept_at, beta.key_refused, beta.sweeps_failed) == (
        None,
        None,
        None,
        "401",
        1,
    )
    assert store.feed.state().cursor is None
    assert store.accounts.feeds(["acme", "beta"]) == {"acme": acme, "beta": beta}


def test_a_second_account_that_sees_it_is_no_second_alert(store: Store) -> None:
    """It is one alert, owed once to each connector, and both are known to see it."""
    begin(store, "acme", "beta")
    arrive(store, "acme", alert(id="a"), "secops")
    arrive(store, "beta", alert(id="a"), "secops", "tickets")
    assert sorted(rows(store, "SELECT connector, kind FROM deliveries")) == [("secops", "open"), ("tickets", "open")]
    assert seen(store) == [("a", "acme", 0), ("a", "beta", 0)]
    assert [store.feed_of(account).arrivals([alert(id="a")]) for account in ("acme", "beta")] == [[], []]
    (row,) = store.queries.alerts(Filter(account="beta"))
    assert (row.accounts, store.queries.alerts(Filter(account="gamma"))) == (("acme", "beta"), [])


def test_a_message_names_the_accounts_that_see_it(store: Store) -> None:
    """And says nothing of any where the config names none."""
    begin(store, "acme", "beta")
    arrive(store, "acme", alert(id="a"), "secops")
    arrive(store, "beta", alert(id="a"))
    assert claim(store).delivery.seen_by == "acme, beta"
    enqueue(store, alert(id="plain"), "oncall")
    assert store.queries.alerts(Filter(alert_id="plain"))[0].accounts == ()


def test_a_new_alert_that_another_account_brought_first_is_routed_again(store: Store) -> None:
    """Nothing of a page is kept that was routed by what is not so any more: else what only it brings would be lost."""
    begin(store, "acme", "beta")
    feed = store.feed_of("beta")
    (arrival,) = feed.arrivals([alert(id="a")])
    arrive(store, "acme", alert(id="a"), "secops")
    with pytest.raises(Overtaken):
        feed.commit_page([of_arrival(arrival, "tickets")], now=NOW, cursor=NOW)
    assert (feed.state().cursor, seen(store)) == (None, [("a", "acme", 0)])
    arrive(store, "beta", alert(id="a"), "tickets")
    assert sorted(rows(store, "SELECT connector FROM deliveries")) == [("secops",), ("tickets",)]


def test_a_change_that_two_accounts_show_is_told_once(store: Store) -> None:
    """Whoever read it before the other one wrote it down reads it again, and finds it known."""
    begin(store, "acme", "beta")
    for account in ("acme", "beta"):
        arrive(store, account, alert(id="a", severity="low"), "secops")
    store.outbox.claim("secops", 1, now=NOW, lease=60)
    worse = alert(id="a", severity="critical")
    feed = store.feed_of("beta")
    (arrival,) = feed.arrivals([worse])
    arrive(store, "acme", worse, "secops")
    with pytest.raises(Overtaken):
        feed.commit_page([of_arrival(arrival, "secops")], now=NOW, connectors=["secops"])
    assert feed.arrivals([worse]) == []
    assert rows(store, "SELECT kind, revision FROM deliveries WHERE kind = 'update'") == [("update", 2)]


def only_joins(store: Store, account: str, one: Alert) -> RoutedAlert:
    """What an account's feed shows of an alert that others see in the same form, where nothing follows from that."""
    (arrival,) = store.feed_of(account).arrivals([one])
    return RoutedAlert(alert=arrival.alert, known=arrival.known, decision=None, targets={}, arrival=arrival)


def test_accounts_that_only_see_an_alert_too_do_not_overtake_each_other(store: Store) -> None:
    """However many bring it at the same moment, and one that something follows from as well."""
    begin(store, "acme", "beta", "gamma", "delta")
    arrive(store, "acme", alert(id="a"), "secops")
    feed = store.feed_of("delta")
    (arrival,) = feed.arrivals([alert(id="a")])
    read = {name: only_joins(store, name, alert(id="a")) for name in ("beta", "gamma")}
    for name, item in read.items():
        store.feed_of(name).commit_page([item], now=NOW)
    feed.commit_page([of_arrival(arrival, "tickets")], now=NOW)
    assert seen(store) == [("a", name, 0) for name in ("acme", "beta", "delta", "gamma")]
    assert sorted(rows(store, "SELECT connector FROM deliveries")) == [("secops",), ("tickets",)]


def adding(store: Store, account: str, one: Alert, to: str, route: int) -> RoutedAlert:
    """What an account's feed shows of an alert that others see, where it leads ``to`` by a route of its own."""
    verdict = Verdict(route=route, matched=True, why=f"account is {account}", to=(to,))
    decision = Decision(targets={to: f"route {route}: account is {account}"}, trail=(verdict,))
    return replace(only_joins(store, account, one), decision=decision, targets=decision.targets, adds=True)


def test_what_an_account_adds_is_owed_once_and_stands_in_the_record(store: Store) -> None:
    """Beside what was decided for the others; nothing of the alert is written, so they do not overtake each other."""
    begin(store, "acme", "beta", "gamma")
    arrive(store, "acme", alert(id="a"), "secops")
    read = [
        adding(store, name, alert(id="a"), to, n) for name, to, n in (("gamma", "oncall", 3), ("beta", "oncall", 2))
    ]
    reached = [
        store.feed_of(name).commit_page([item], now=NOW).connectors
        for name, item in zip(("gamma", "beta"), read, strict=True)
    ]
    assert reached == [frozenset({"oncall"}), frozenset()]
    assert rows(store, "SELECT connector, why FROM deliveries ORDER BY id") == [
        ("secops", "route 1: the route has no conditions"),
        ("oncall", "route 3: account is gamma"),
    ]
    assert seen(store) == [("a", name, 0) for name in ("acme", "beta", "gamma")]
    assert _routes(store) == [1, 2, 3]
    arrive(store, "acme", alert(id="a", severity="low"), "secops")
    assert _routes(store) == [1]


def test_what_an_account_adds_to_what_has_changed_since_is_routed_again(store: Store) -> None:
    begin(store, "acme", "beta")
    arrive(store, "acme", alert(id="a", severity="low"), "secops")
    item = adding(store, "beta", alert(id="a", severity="low"), "oncall", 2)
    arrive(store, "acme", alert(id="a", severity="high"), "secops")
    with pytest.raises(Overtaken):
        store.feed_of("beta").commit_page([item], now=NOW)
    assert rows(store, "SELECT connector FROM deliveries WHERE kind = 'open'") == [("secops",)]


def test_where_an_account_s_own_form_comes_to_lead_is_kept_with_it(store: Store) -> None:
    """Whatever is decided for the others afterwards, by the form that they show."""
    begin(store, "acme", "beta")
    arrive(store, "acme", alert(id="a", affected_vendors=["github"]), "secops")
    arrive(store, "beta", alert(id="a", affected_vendors=["okta"]), "secops")
    changed = alert(id="a", affected_vendors=["okta"], epss_score=0.42, description="Others affect it too.")
    (arrival,) = store.feed_of("beta").arrivals([changed])
    assert (arrival.joins, arrival.changed, arrival.view) == (False, False, changed)
    store.feed_of("beta").commit_page([adding(store, "beta", changed, "oncall", 2)], now=NOW, shown=[changed])
    arrive(store, "acme", alert(id="a", affected_vendors=["github"], severity="low"), "secops")
    assert sorted(rows(store, "SELECT connector FROM deliveries WHERE kind = 'open'")) == [("oncall",), ("secops",)]
    assert _routes(store) == [1, 2]
    assert store.feed_of("beta").arrivals([changed]) == []


def _routes(store: Store) -> list[int]:
    """The routes that an alert's record has, in order."""
    history = store.queries.history("a")
    assert history is not None
    return [step["route"] for step in history.trail]


def test_an_account_that_sees_what_has_changed_since_is_routed_again(store: Store) -> None:
    """Else it would count as one that shows the new form, and its next answer as a change back."""
    begin(store, "acme", "beta")
    arrive(store, "acme", alert(id="a", severity="low"), "secops")
    item = only_joins(store, "beta", alert(id="a", severity="low"))
    arrive(store, "acme", alert(id="a", severity="high"), "secops")
    with pytest.raises(Overtaken):
        store.feed_of("beta").commit_page([item], now=NOW, cursor=NOW)
    assert (seen(store), store.feed_of("beta").state().cursor) == ([("a", "acme", 0)], None)


def test_an_account_that_sees_what_was_muted_since_is_routed_again(store: Store) -> None:
    """The mute may be one of the other account's, and then keeps nothing from this one."""
    begin(store, "acme", "beta")
    arrive(store, "acme", alert(id="a"), "secops")
    item = only_joins(store, "beta", alert(id="a"))
    store.mutes.hush(lambda *_: MutedBy(id="1", until=NOW + 60, reason="", who="Ada"))
    with pytest.raises(Overtaken):
        store.feed_of("beta").commit_page([item], now=NOW)
    store.feed_of("beta").commit_page([only_joins(store, "beta", alert(id="a"))], now=NOW)
    assert seen(store) == [("a", "acme", 0), ("a", "beta", 0)]


def test_accounts_that_show_different_forms_change_nothing(store: Store) -> None:
    """Each shows its own, which is no news; what comes to be so for all of them is, once, whoever shows it first."""
    begin(store, "acme", "beta")
    forms = {name: alert(id="a", severity="low", affected_vendors=[name]) for name in ("acme", "beta")}
    for name, form in forms.items():
        arrive(store, name, form, "secops")
    assert [store.feed_of(name).arrivals([form]) for name, form in forms.items()] == [[], []]
    assert rows(store, "SELECT revision FROM alerts") == [(1,)]
    worse = {name: alert(id="a", affected_vendors=[name], severity="critical") for name in forms}
    arrive(store, "beta", worse["beta"], "secops")
    assert rows(store, "SELECT revision, severity FROM alerts") == [(2, "critical")]
    # Acme's view of it lags behind.
    assert store.feed_of("acme").arrivals([forms["acme"]]) == []
    store.feed_of("acme").commit_page([], now=NOW, shown=[worse["acme"]])
    assert [store.feed_of(name).arrivals([form]) for name, form in worse.items()] == [[], []]
    ((body,),) = rows(store, "SELECT body FROM alerts")
    assert Alert.parse(json.loads(body)).affected_vendors == ("acme",)


def test_a_form_that_only_a_join_shows_worse_is_news(store: Store) -> None:
    """Which of the two is right nobody knows, and the other account's feed may not be read any more."""
    begin(store, "acme", "beta")
    arrive(store, "acme", alert(id="a", severity="high", cisa_kev=False, cvss_score=7.0), "secops")
    arrive(store, "beta", alert(id="a", severity="high", cisa_kev=True, cvss_score=6.0), "secops")
    ((body, changes),) = rows(store, "SELECT body, changes FROM alerts JOIN changes ON alert_id = id")
    assert [change["field"] for change in json.loads(changes)] == ["cisa_kev"]
    assert (json.loads(body)["cisa_kev"], json.loads(body)["cvss_score"]) == (True, 7.0)


def test_a_join_meanwhile_has_what_changed_routed_again(store: Store) -> None:
    """Where the new form goes by the name of the one that joined would else be told to nobody."""
    begin(store, "acme", "beta")
    arrive(store, "acme", alert(id="a", severity="low"), "secops")
    feed = store.feed_of("acme")
    (arrival,) = feed.with_accounts(feed.arrivals([alert(id="a", severity="high")]))
    store.feed_of("beta").commit_page([only_joins(store, "beta", alert(id="a", severity="low"))], now=NOW)
    with pytest.raises(Overtaken):
        feed.commit_page([of_arrival(arrival, "secops")], now=NOW)


def test_an_account_that_shows_what_it_showed_before_the_last_time_is_heard(store: Store) -> None:
    """Only what it showed last is no news: a change that is taken back is one, too."""
    begin(store, "acme", "beta")
    low, high = alert(id="a", severity="low"), alert(id="a", severity="high")
    for name in ("acme", "beta"):
        arrive(store, name, low, "secops")
    arrive(store, "acme", high, "secops")
    arrive(store, "acme", low, "secops")
    assert rows(store, "SELECT revision, severity FROM alerts") == [(3, "low")]
    arrive(store, "beta", high, "secops")
    assert rows(store, "SELECT revision, severity FROM alerts") == [(4, "high")]


def test_what_is_past_for_one_account_is_owed_for_another(store: Store) -> None:
    """Each goes by its own floor, whichever of them sees it first."""
    begin(store, "acme", floor=NOW)
    begin(store, "beta", floor=NOW - 30 * DAY)
    old = alert(id="a", published_at="2026-02-20T00:00:00Z")
    (arrival,) = store.feed_of("acme").arrivals([old])
    assert arrival.past
    item = RoutedAlert(alert=old, decision=None, targets={}, arrival=arrival)
    store.feed_of("acme").commit_page([item], now=NOW)
    assert rows(store, "SELECT past FROM alerts") == [(1,)]
    (arrival,) = store.feed_of("beta").arrivals([old])
    assert (arrival.past, arrival.joins, arrival.owed) == (False, True, False)
    store.feed_of("beta").commit_page([of_arrival(arrival, "secops")], now=NOW, connectors=["secops"])
    assert rows(store, "SELECT past, (SELECT count(*) FROM deliveries) FROM alerts") == [(0, 1)]
    assert seen(store) == [("a", "acme", 1), ("a", "beta", 0)]


def test_figures_of_an_account_count_what_is_owed_for_it(store: Store) -> None:
    """What two accounts see counts for both; what is from before the floor of one, for the other alone."""
    begin(store, "acme", floor=NOW)
    begin(store, "beta", floor=NOW - 30 * DAY)
    new = "2026-12-24T00:00:00Z"
    arrive(store, "acme", alert(id="acme", severity="high", published_at=new), "secops")
    for account in ("beta", "acme"):
        arrive(store, account, alert(id="both", severity="high", published_at=new), "secops")
        arrive(store, account, alert(id="old", severity="high", published_at="2026-02-20T00:00:00Z"), "secops")
    store.lifecycle.respond("both", Action.RESOLVE, place=PAGE, now=NOW + 60, connectors=())
    store.lifecycle.respond("old", Action.ACKNOWLEDGE, place=PAGE, now=NOW + 30, connectors=())
    told = {account: store.figures.between(NOW, NOW + DAY, account) for account in ("acme", "beta", "nobody")}
    assert [dict(one.new) for one in told.values()] == [{Severity.HIGH: 2}, {Severity.HIGH: 2}, {}]
    assert [(dict(one.open), dict(one.acknowledged)) for one in told.values()] == [
        ({Severity.HIGH: 1}, {}),
        ({}, {Severity.HIGH: 1}),
        ({}, {}),
    ]
    assert [one.to_acknowledge.get(Severity.HIGH) for one in told.values()] == [[60], [30, 60], None]
    assert [one.to_resolve.get(Severity.HIGH) for one in told.values()] == [[60], [60], None]
    assert store.figures.weeks(NOW - 60, 1, "beta")[0].new == {Severity.HIGH: 2}
    assert [one.alert.id for one in store.figures.unfinished(Severity.HIGH, 9, "beta")] == ["old"]
    limits = {"secops": NOW + 1, "tickets": NOW + 1}
    assert [store.figures.owed_before(Severity.HIGH, limits, account) for account in (None, *told)] == [2, 1, 1, 0]


def test_a_renamed_account_goes_on_where_it_was(store: Store) -> None:
    """Cursor, floor, gaps and stack are the new name's, and what the old one saw is known to it."""
    begin(store, "acme")
    gap = Gap(severity=Severity.LOW, since=NOW - 9, until=NOW - 8)
    arrive(store, "acme", alert(id="a"), "secops", cursor=NOW - 5)
    store.feed_of("acme").commit_page([], now=NOW, gaps=[gap])
    store.vendors_of("acme").keep(stack("github"))
    assert store.accounts.rename("acme", "apex")
    state = store.feed_of("apex").state()
    assert (state.cursor, state.floor, state.stack) == (NOW - 5, NOW - DAY, frozenset({"github"}))
    assert store.feed_of("apex").arrivals([alert(id="a")]) == []
    assert [gap.account for gap in store.queries.gaps()] == ["apex"]
    assert (store.accounts.begun(), store.accounts.rename("acme", "other")) == (["apex"], False)


def test_a_name_that_began_before_it_was_renamed_loses_nothing(store: Store) -> None:
    """What the new name took for past, and the old one's floor owes, is read and owed after all."""
    begin(store, "default", floor=NOW - 10 * DAY)
    begin(store, "acme", floor=NOW)
    missed = alert(id="missed", published_at="2026-02-25T00:00:00Z")
    (arrival,) = store.feed_of("acme").arrivals([missed])
    store.feed_of("acme").commit_page(
        [RoutedAlert(alert=missed, decision=None, targets={}, arrival=arrival)], now=NOW, cursor=NOW
    )
    store.feed.commit_page([], now=NOW, cursor=NOW - 5 * DAY)
    assert store.accounts.rename("default", "acme")
    assert store.feed_of("acme").state().cursor == NOW - 5 * DAY
    (arrival,) = store.feed_of("acme").arrivals([missed])
    assert (arrival.past, arrival.owed) == (False, False)


@pytest.mark.parametrize(
    ("begun", "named", "refused"),
    [
        ([], ["acme"], False),
        (["default"], ["default"], False),
        (["default"], ["acme", "beta"], True),
        (["acme"], ["default"], True),
        (["acme"], ["apex"], True),
        (["acme"], ["acme", "new"], False),
    ],
)
def test_a_database_that_was_read_by_others_is_not_begun_anew(
    store: Store, begun: list[str], named: list[str], refused: bool
) -> None:
    """Somebody says who is who, before anything published meanwhile counts as from before the start."""
    begin(store, *begun)
    why = store.accounts.strangers(named)
    assert (why is not None) is refused
    assert not refused or f"forwarder rename-account {begun[0]} " in (why or "")


def test_a_new_account_brings_back_nothing_that_was_forgotten(store: Store) -> None:
    """However far back it starts: what is forgotten went out long ago, by another account."""
    begin(store, "acme", floor=NOW - 600 * DAY)
    old = alert(id="a", published_at="2025-01-01T00:00:00Z")
    arrive(store, "acme", old, "secops", cursor=NOW)
    settle(store, claim(store), delivered())
    assert store.retention.prune(seen_before=NOW + 1, published_before=NOW, accounts=["acme"]) == 1
    begin(store, "beta", floor=NOW - 900 * DAY)
    (arrival,) = store.feed_of("beta").arrivals([old])
    assert arrival.past


def test_what_any_account_may_still_show_is_not_forgotten(store: Store) -> None:
    """The one that is furthest behind counts, of those whose feeds are read."""
    begin(store, "acme", "beta", floor=NOW - 600 * DAY)
    arrive(store, "acme", alert(id="a", published_at="2026-02-01T00:00:00Z"), cursor=NOW)
    store.feed_of("beta").commit_page([], now=NOW, cursor=NOW - 100 * DAY)
    store.engine.write(lambda connection: connection.execute("UPDATE alerts SET unrouted = 0"))
    assert store.retention.prune(seen_before=NOW + 1, published_before=NOW, accounts=["acme", "beta"]) == 0
    assert store.retention.prune(seen_before=NOW + 1, published_before=NOW, accounts=["acme"]) == 1


def test_the_stacks_of_all_accounts_are_known_together(store: Store) -> None:
    """Each has its own keys; a vendor is forgotten once no stack has it any more."""
    store.accounts.open(["acme", "beta"])
    store.vendors_of("acme").keep(stack("github", stripe="payments"))
    store.vendors_of("beta").keep(stack("github", "okta"))
    assert store.vendors_of("acme").keys() == frozenset({"github", "stripe"})
    assert store.vendors.known().keys() == {"github", "okta", "stripe"}
    store.vendors_of("acme").keep(stack("github"))
    assert store.vendors.known().keys() == {"github", "okta"}
