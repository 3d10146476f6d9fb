"""Where alerts go that accounts come to see one after the other: by what each brings, as if all were judged at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from forwarder.alert import Alert
from forwarder.config import Route
from forwarder.feed.joins import Joins, only
from forwarder.routing import Decision, matches, targets, view
from forwarder.store.records import Arrival
from forwarder.testing import alert
from tests.kit.store import NOW

ACCOUNTS = ("acme", "Acorn", "beta", "gamma")
CONNECTORS = ("a", "b", "c", "d")
SEEN = alert(severity="high")


def told(name: str, values: Sequence[str]) -> dict[str, Any]:
    return {name: values} if values else {}


ROUTES = st.lists(
    st.builds(
        lambda account, severity, to, stop, digest: Route.model_validate(
            {"to": to, "stop": stop, "digest": digest, **told("account", account), **told("severity", severity)}
        ),
        st.lists(st.sampled_from([*ACCOUNTS, "ACME", "ac*", "?eta", "*", "nobody"]), max_size=2),
        st.sampled_from([(), ("high",), ("high",), ("low",)]),
        st.lists(st.sampled_from(CONNECTORS), min_size=1, max_size=2, unique=True),
        st.booleans(),
        st.sampled_from([None, None, "daily 09:00"]),
    ),
    max_size=8,
)
ORDERS = st.lists(st.sampled_from(ACCOUNTS), min_size=1, unique=True)


def plainly(one: Alert, routes: Sequence[Route], accounts: Sequence[str]) -> tuple[dict[str, str], dict[str, Route]]:
    """Where an alert goes, and what of that waits: every route is looked at in turn, with all accounts that go on."""
    reached: dict[str, tuple[str, bool]] = {}
    waiting: dict[str, Route] = {}
    for number, route in enumerate(routes, start=1):
        matched, why = matches(one, route, accounts=accounts)
        if not matched:
            continue
        for connector in route.to:
            if connector not in reached or (connector in waiting and not route.digest):
                reached[connector] = (f"route {number}: {why or 'the route has no conditions'}", bool(route.digest))
                waiting.pop(connector, None)
                if route.digest:
                    waiting[connector] = route
        if route.stop:
            left = [account for account in accounts if not matches(one, _of(route), accounts=[account])[0]]
            accounts = left if route.account else []
            if not accounts:
                break
    return {connector: why for connector, (why, _) in reached.items()}, waiting


def _of(route: Route) -> Route:
    return Route.model_validate({**told("account", route.account), "to": route.to})


@given(ROUTES, ORDERS)
@settings(deadline=timedelta(seconds=5))
def test_routes_are_judged_as_if_each_was_looked_at(routes: list[Route], accounts: list[str]) -> None:
    """By the index of the accounts that they name, with the same reasons, and the same verdicts of those that match."""
    decision = targets(SEEN, tuple(routes), accounts=accounts)
    assert (decision.targets, decision.later) == plainly(SEEN, routes, accounts)
    brief = view(SEEN, tuple(routes), {}, accounts)
    assert (brief.targets, brief.later) == (decision.targets, decision.later)
    matched = [verdict for verdict in decision.trail if verdict.matched]
    assert [verdict for verdict in brief.trail if verdict.matched] == matched
    told = [verdict.route for verdict in decision.trail]
    assert told == sorted(set(told))


@given(ROUTES, st.lists(ROUTES, max_size=1), ORDERS, st.integers(min_value=1, max_value=4))
@settings(deadline=timedelta(seconds=5), max_examples=300)
def test_what_each_account_brings_is_what_a_judgement_for_all_would_bring(
    routes: list[Route], more: list[list[Route]], order: list[str], before: int
) -> None:
    """Whatever the routes, whoever comes first, and whichever routes were added after some had come."""
    sent: dict[str, str] = {}
    expected: dict[str, str] = {}
    for number, account in enumerate(order):
        now = (*(more[0] if more and number >= before else []), *routes)
        seen_by = order[:number]
        whole, waiting = plainly(SEEN, now, [*seen_by, account])
        others = plainly(SEEN, now, seen_by)[0] if seen_by else {}
        new = {name: why for name, why in whole.items() if name not in others and name not in expected}
        brought = _brought(now, account, seen_by, sent)
        assert brought.targets == new
        assert brought.later == {name: route for name, route in waiting.items() if name in new}
        expected |= new
        sent |= brought.targets
    assert sent == expected


def _brought(routes: tuple[Route, ...], account: str, seen_by: list[str], sent: dict[str, Any]) -> Decision:
    """What the forwarder owes by it that an account comes to see an alert which those of ``seen_by`` see."""
    if not seen_by:
        return targets(SEEN, routes, accounts=[account])
    arrival = Arrival(alert=SEEN, known=SEEN, version=0, owed=True, changed=False, accounts=tuple(seen_by))
    joins = Joins(account, routes, [], {}, NOW)
    judged = joins.judge(arrival)
    assert judged is not None
    new = only(judged, judged.targets.keys() - sent.keys())
    return new if joins.is_alone(new) else joins.beyond(new, arrival)
