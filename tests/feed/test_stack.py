"""Routes that ask for categories: no alert is lost because the stack was not known when it came."""

from __future__ import annotations

from typing import Any

import pytest

from forwarder.alert import Vendor
from forwarder.config import Config
from forwarder.connector import Kind
from forwarder.feed.stack import STACK_EVERY, STACK_MOST, STACK_SOONER
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from tests.feed.conftest import MakePoller
from tests.kit.feed import DAY, asked, publish
from tests.kit.store import NOW, Time, config, deliver, rows, stack

UNREADABLE = Fault(kind=FaultKind.STATUS, status=500, path="/stack", times=None)


def by_category(**keys: Any) -> Config:
    """What concerns payments pages, everything else is a message."""
    routes = [{"categories": "pay*", "to": "oncall", **keys}, {"to": "secops"}]
    return config(routes, start_from="now")


def outstanding(store: Store) -> list[tuple[Any, ...]]:
    """The opens that are or were owed, by alert and connector."""
    return rows(store, "SELECT alert_id, connector FROM deliveries WHERE kind = 'open' ORDER BY alert_id, connector")


def payments(sandbox: Sandbox, name: str, seconds: float = 5.0, **fields: Any) -> None:
    publish(sandbox, name, seconds, affected_vendors=["stripe"], **fields)


PAGED = [("one", "oncall"), ("one", "secops")]
NOT_PAGED = [("one", "secops")]


def test_the_stack_is_known_before_the_first_page_is_routed(sandbox: Sandbox, store: Store, make: MakePoller) -> None:
    """A first start asks for the server's time anyway, and takes names and categories from the same answer."""
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    payments(sandbox, "one")
    make(by_category()).poll()
    assert outstanding(store) == PAGED
    assert asked(sandbox).count("stack") == 1
    assert store.vendors.known()["stripe"] == Vendor(key="stripe", name="Stripe", categories=("payments",))


def test_a_database_of_an_older_version_asks_first(sandbox: Sandbox, store: Store, make: MakePoller) -> None:
    """Its feed was read long ago, and the categories were not."""
    make().poll()
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    store.vendors.keep(stack("example", stripe="payments"))
    store.engine.write(lambda connection: connection.execute("UPDATE vendors SET categories = NULL"))
    payments(sandbox, "one")
    make(by_category()).poll()
    assert outstanding(store) == PAGED


def test_a_vendor_that_joined_since_is_asked_for_at_once(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """Its first alert may come sooner than the next look at the stack."""
    poller = make(by_category())
    poller.poll()
    time.advance(STACK_SOONER)
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    payments(sandbox, "one")
    poller.poll()
    assert outstanding(store) == PAGED
    assert poller.stack_grew() == {"stripe"}
    assert poller.route_again() == frozenset()


def test_where_it_was_just_read_the_alert_is_routed_again(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """It goes out at once by what is known, and to the rest some seconds later."""
    poller = make(by_category())
    poller.poll()
    time.advance(STACK_SOONER - 1)
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    payments(sandbox, "one")
    poller.poll()
    poller.stack_grew()
    assert (outstanding(store), poller.route_again()) == (NOT_PAGED, frozenset())
    time.advance(1)
    poller.stack_grew()
    assert (poller.route_again(), outstanding(store)) == (frozenset({"oncall"}), PAGED)
    assert poller.route_again() == frozenset()
    history = store.queries.history("one")
    assert history is not None
    assert [step["matched"] for step in history.trail] == [True, True]


def test_a_stack_that_cannot_be_read_delays_nothing_and_loses_nothing(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """Also after a restart, and once only, however many alerts and looks there were."""
    sandbox.sentrytex.inject(UNREADABLE)
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    first = make(by_category())
    first.poll()
    payments(sandbox, "one")
    first.poll()
    assert outstanding(store) == NOT_PAGED
    deliver(store, "secops")
    poller = make(by_category())
    for _ in range(3):
        time.advance(60)
        poller.poll()
        poller.stack_grew()
        poller.route_again()
    assert outstanding(store) == NOT_PAGED
    sandbox.sentrytex.clear_faults()
    time.advance(STACK_MOST)
    poller.stack_grew()
    assert (poller.route_again(), outstanding(store)) == (frozenset({"oncall"}), PAGED)
    time.advance(STACK_EVERY)
    poller.stack_grew()
    poller.route_again()
    assert rows(store, "SELECT kind, count(*) FROM deliveries GROUP BY kind") == [(Kind.OPEN, 2)]
    assert rows(store, "SELECT * FROM uncategorized") == []


def test_pages_ask_a_stack_that_cannot_be_read_less_and_less(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """Every page may name a vendor that is not known: the polls do not pay for it."""
    poller = make(by_category())
    poller.poll()
    sandbox.sentrytex.inject(UNREADABLE)
    before = asked(sandbox).count("stack")
    for number in range(120):
        time.advance(30)
        payments(sandbox, f"{number}", time.now - NOW)
        poller.poll()
        poller.stack_grew()
    assert 4 <= asked(sandbox).count("stack") - before <= 9
    assert len(outstanding(store)) == 120


def test_vendors_outside_the_stack_cost_a_request_now_and_then(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """Alerts often name vendors beside those of the stack: it is read four times a minute at most."""
    poller = make(by_category())
    poller.poll()
    before = asked(sandbox).count("stack")
    for number in range(120):
        time.advance(1)
        payments(sandbox, f"{number}", time.now - NOW)
        poller.poll()
        poller.stack_grew()
        poller.route_again()
    assert asked(sandbox).count("stack") - before <= 120 / STACK_SOONER
    time.advance(STACK_SOONER)
    poller.stack_grew()
    poller.route_again()
    assert rows(store, "SELECT * FROM uncategorized") == []


def test_a_config_without_categories_reads_the_stack_no_more_often(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """And notes nothing of alerts whose vendors it does not know."""
    poller = make()
    poller.poll()
    before = len(asked(sandbox))
    time.advance(60)
    payments(sandbox, "one")
    poller.poll()
    assert asked(sandbox)[before:] == ["all"]
    assert rows(store, "SELECT * FROM uncategorized") == []


def test_only_what_the_stack_brings_is_owed(sandbox: Sandbox, store: Store, make: MakePoller, time: Time) -> None:
    """A route that was added meanwhile does not send what came before it."""
    sandbox.sentrytex.inject(UNREADABLE)
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    before = make(by_category())
    before.poll()
    payments(sandbox, "one")
    before.poll()
    sandbox.sentrytex.clear_faults()
    after = make(config([{"to": "tickets"}, {"categories": "payments", "to": "oncall"}], start_from="now"))
    time.advance(STACK_MOST)
    after.stack_grew()
    assert after.route_again() == {"oncall"}
    assert outstanding(store) == PAGED


def test_a_vendor_outside_the_stack_brings_nothing_of_the_past(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """An alert that changes a little is no reason to send it by a route that was added since, whoever else it names."""
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    make(config([{"to": "tickets"}], start_from="now")).poll()
    publish(sandbox, "one", 5, affected_vendors=["stripe", "elsewhere"])
    before = make(config([{"to": "secops"}], start_from="now"))
    before.poll()
    sandbox.sentrytex.inject(UNREADABLE)
    after = make(by_category())
    sandbox.sentrytex.update("one", epss_score=0.9)
    after.poll()
    assert rows(store, "SELECT alert_id, vendors FROM uncategorized") == [("one", '["elsewhere"]')]
    sandbox.sentrytex.clear_faults()
    time.advance(STACK_MOST)
    after.stack_grew()
    assert (after.route_again(), outstanding(store)) == (frozenset(), NOT_PAGED)
    assert rows(store, "SELECT * FROM uncategorized") == []


def test_a_route_that_stops_needs_the_category(sandbox: Sandbox, store: Store, make: MakePoller) -> None:
    """What is known to be a lab's is not sent to the pager first."""
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "lab")
    payments(sandbox, "one")
    routes: list[dict[str, Any]] = [{"categories": "lab", "to": "secops", "stop": True}, {"to": "oncall"}]
    make(config(routes, start_from="now")).poll()
    assert outstanding(store) == [("one", "secops")]


@pytest.mark.parametrize("changed", [{"name": "Stripe, Inc."}, {"category": "cloud"}])
def test_a_stack_that_changes_makes_no_noise(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time, changed: dict[str, str]
) -> None:
    """Another name or category is shown from then on, and nobody is told anything."""
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    poller = make(by_category())
    poller.poll()
    payments(sandbox, "one")
    poller.poll()
    deliver(store, "secops")
    before = rows(store, "SELECT * FROM deliveries")
    sandbox.sentrytex.add_vendor("stripe", **{"name": "Stripe", "category": "payments", **changed})
    time.advance(STACK_EVERY)
    assert poller.stack_grew() == frozenset()
    assert poller.route_again() == frozenset()
    poller.poll()
    poller.sweep()
    assert rows(store, "SELECT * FROM deliveries") == before
    assert store.vendors.known()["stripe"] != Vendor(key="stripe", name="Stripe", categories=("payments",))


def test_what_is_from_before_the_start_is_not_routed_again(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """The past is known and never owed, whatever becomes known of its vendors."""
    sandbox.sentrytex.inject(UNREADABLE)
    payments(sandbox, "old", -DAY)
    poller = make(by_category())
    poller.poll()
    sandbox.sentrytex.clear_faults()
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    time.advance(STACK_MOST)
    poller.stack_grew()
    assert (poller.route_again(), outstanding(store)) == (frozenset(), [])


def test_names_are_kept_as_the_stack_has_them(store: Store) -> None:
    """A vendor that left the stack is shown by its key again."""
    assert (store.vendors.keys(), store.vendors.known()) == (None, {})
    store.vendors.keep(stack("okta", stripe="payments"))
    assert store.vendors.keys() == frozenset({"okta", "stripe"})
    store.vendors.keep(stack("okta"))
    assert store.vendors.known() == stack("okta")
    store.vendors.keep({})
    assert (store.vendors.keys(), store.feed.state().stack) == (frozenset(), frozenset())
