"""Which connectors an alert goes to, and why. Pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from forwarder.common.accounts import named

if TYPE_CHECKING:
    from forwarder.alert import Alert, Vendors
    from forwarder.config import Conditions, Route

NO_VENDORS: Final[Vendors] = MappingProxyType({})
"""What is known of vendors where nothing is."""


SPELLED_OUT: Final = 5
"""Routes that name none of an alert's accounts of which a trail tells each; of more it says how many there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one route, counted from 1, said of an alert, with the reason in words.

    ``others`` is how many more routes are told of by it: all of them name accounts that do not see the alert.
    """

    route: int
    matched: bool
    why: str
    to: tuple[str, ...]
    others: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Where an alert goes: each connector with the reason, and what every route that was looked at said.

    ``later`` has those of them that no matching route reaches at once, with the first route that reaches them later.
    """

    targets: dict[str, str]
    trail: tuple[Verdict, ...]
    later: Mapping[str, Route] = field(default_factory=dict)

    def with_those_of(self, other: Decision) -> Decision:
        """The same with what another view of the alert leads to besides, or leads to at once."""
        new = {
            name for name in other.targets if name not in self.targets or name in self.later.keys() - other.later.keys()
        }
        matched = {verdict.route: verdict for verdict in (*other.trail, *self.trail) if verdict.matched}
        rest = [verdict for verdict in self.trail if verdict.route not in matched]
        return Decision(
            targets={**self.targets, **{name: other.targets[name] for name in new}},
            trail=tuple(sorted([*matched.values(), *rest], key=lambda verdict: verdict.route)),
            later={name: route for name, route in self.later.items() if name not in new}
            | {name: route for name, route in other.later.items() if name in new},
        )


class RouteIndex:
    """Routes by the accounts that they name: of a thousand, each for an account of its own, one view asks for one."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes
        self._of_all = [number for number, route in enumerate(routes, start=1) if not route.account]
        self._exact: dict[str, list[int]] = {}
        self._like: list[tuple[int, tuple[str, ...]]] = []
        self._naming: dict[str, tuple[int, ...]] = {}
        for number, route in enumerate(routes, start=1):
            if any(_WILD.search(pattern) for pattern in route.account):
                self._like.append((number, tuple(route.account)))
            else:
                for name in {pattern.casefold() for pattern in route.account}:
                    self._exact.setdefault(name, []).append(number)
        self.stops = any(route.account and route.stop for route in routes)
        """Whether a route ends the search for those that it names, while it goes on for others."""
        self._only = self._led_to_by_one()

    def naming(self, account: str) -> tuple[int, ...]:
        """The numbers of the routes that name an account, in order."""
        found = self._naming.get(account)
        if found is None:
            like = [number for number, patterns in self._like if _is_meant(account, patterns)]
            found = self._naming[account] = tuple(sorted([*self._exact.get(account.casefold(), ()), *like]))
        return found

    def leads_there_alone(self, account: str, connector: str) -> bool:
        """Whether every route to ``connector`` names this account, and could name no other one."""
        return self._only.get(connector) == account.casefold()

    def asked(self, accounts: Iterable[str]) -> list[tuple[int, list[str]]]:
        """The routes that name no account, or some of ``accounts``, in order, each with those that it names."""
        named_by: dict[int, list[str]] = {number: [] for number in self._of_all}
        for account in accounts:
            for number in self.naming(account):
                named_by.setdefault(number, []).append(account)
        return sorted(named_by.items())

    def _led_to_by_one(self) -> dict[str, str]:
        named: dict[str, set[str]] = {}
        for route in self.routes:
            # What stands for no single account counts as one that nobody has.
            exact = route.account and not any(_WILD.search(pattern) for pattern in route.account)
            names = {pattern.casefold() for pattern in route.account} if exact else {"", "*"}
            for connector in route.to:
                named.setdefault(connector, set()).update(names)
        return {connector: next(iter(names)) for connector, names in named.items() if len(names) == 1}


_WILD: Final = re.compile(r"[*?\[]")


def index_of(routes: Sequence[Route]) -> RouteIndex:
    """The index of a config's routes, which is made once for all who ask."""
    if not isinstance(routes, tuple):
        return RouteIndex(routes)
    # Copied, for other threads may add one meanwhile.
    for known in tuple(_INDEXES):
        if known.routes is routes:
            return known
    made = RouteIndex(routes)
    _INDEXES.append(made)
    return made


_INDEXES: Final[deque[RouteIndex]] = deque(maxlen=4)
"""The latest, known again by the routes' identity: to compare a thousand takes longer than to judge an alert."""


def targets(
    alert: Alert, routes: Sequence[Route], vendors: Vendors = NO_VENDORS, accounts: Sequence[str] = ()
) -> Decision:
    """Every connector that any matching route names, once each, until a matching route says ``stop``.

    ``vendors`` says to which categories the alert's vendors belong, ``accounts`` which accounts see it. A ``stop`` of
    a route that names accounts is theirs: for the others it goes on, or what one sees would be lost by another's route.
    """
    index = index_of(routes)
    decision, end = _search(alert, index, vendors, accounts)
    asked = {verdict.route for verdict in decision.trail}
    passed = [number for number in range(1, end + 1) if number not in asked]
    trail = sorted([*decision.trail, *_passed_over(alert, index, vendors, accounts, passed)], key=lambda one: one.route)
    return replace(decision, trail=tuple(trail))


def view(alert: Alert, routes: Sequence[Route], vendors: Vendors, accounts: Sequence[str]) -> Decision:
    """The same as ``targets``, but that the trail has only routes that name no account, or one of ``accounts``.

    What several accounts' views lead to together is where the alert goes for all of them: each route that matches does
    so by one of these, and each stop ends the search for those that it names.
    """
    return _search(alert, index_of(routes), vendors, accounts)[0]


def _search(alert: Alert, index: RouteIndex, vendors: Vendors, accounts: Sequence[str]) -> tuple[Decision, int]:
    """Where an alert goes, and the number of the last route that was looked at, whomever that names."""
    reached: dict[str, str] = {}
    at_once: set[str] = set()
    later: dict[str, Route] = {}
    trail: list[Verdict] = []
    going_on = dict.fromkeys(accounts)
    for number, named_by in index.asked(accounts):
        route = index.routes[number - 1]
        meant = [account for account in named_by if account in going_on]
        matched, reason = _met(_asked_of(alert, route, vendors, tuple(going_on), meant))
        why = reason or "the route has no conditions"
        trail.append(Verdict(route=number, matched=matched, why=why, to=tuple(route.to)))
        if not matched:
            continue
        for connector in route.to:
            waits = route.during or route.digest
            if connector in reached and (waits or connector in at_once):
                continue
            # A route that sends at once is the reason, though one that waits came before it.
            reached[connector] = f"route {number}: {why}"
            if waits:
                later[connector] = route
            else:
                at_once.add(connector)
                later.pop(connector, None)
        if route.stop:
            for account in meant:
                del going_on[account]
            if not route.account or not going_on:
                return Decision(targets=reached, trail=tuple(trail), later=later), number
    return Decision(targets=reached, trail=tuple(trail), later=later), len(index.routes)


def _asked_of(
    alert: Alert, route: Route, vendors: Vendors, accounts: tuple[str, ...], meant: Sequence[str]
) -> Iterator[tuple[bool, str]]:
    if route.account:
        yield bool(meant), _account_is(meant) if meant else _account_is_not(accounts, route.account)
    yield from _judged(alert, route, vendors)


def _passed_over(
    alert: Alert, index: RouteIndex, vendors: Vendors, accounts: Sequence[str], numbers: Sequence[int]
) -> list[Verdict]:
    """What is told of routes that name none of ``accounts``: of a few what each says, of many how many there are."""
    if len(numbers) > SPELLED_OUT:
        why = f"account is {named(accounts) or 'none'}, and none of them names it"
        return [Verdict(route=numbers[0], matched=False, why=why, to=(), others=len(numbers) - 1)]
    told = []
    for number in numbers:
        route = index.routes[number - 1]
        matched, why = _met(_asked_of(alert, route, vendors, tuple(accounts), ()))
        told.append(Verdict(route=number, matched=matched, why=why, to=tuple(route.to)))
    return told


def ask_for_categories(conditions: Iterable[Conditions]) -> bool:
    """Whether any of ``conditions`` depends on what the stack says of vendors."""
    return any(one.categories for one in conditions)


def matches(
    alert: Alert,
    conditions: Conditions,
    vendors: Vendors = NO_VENDORS,
    accounts: Sequence[str] = (),
    *,
    of_every_account: bool = False,
) -> tuple[bool, str]:
    """Whether an alert meets all conditions, and why, or why not, in words; none where there are no conditions.

    ``vendors`` says to which categories the alert's vendors belong, ``accounts`` which accounts see it: one that is
    asked for is enough, unless ``of_every_account`` lets no other one see it.
    """
    judged = list(_judged(alert, conditions, vendors))
    if conditions.account:
        judged.insert(0, _of_account(tuple(accounts), tuple(conditions.account), of_every=of_every_account))
    return _met(judged)


def _met(judged: Iterable[tuple[bool, str]]) -> tuple[bool, str]:
    """Whether all conditions are met, and why: those that are not, where there are any, else all of them."""
    told = list(judged)
    failed = [why for met, why in told if not met]
    return not failed, "; ".join(failed or [why for _, why in told])


def _judged(alert: Alert, conditions: Conditions, vendors: Vendors) -> Iterator[tuple[bool, str]]:
    """Each condition that is set: whether the alert meets it, and a sentence that says so."""
    if conditions.severity:
        met = alert.severity in conditions.severity
        yield met, f"severity is {alert.severity_label}" + ("" if met else f", not {_any_of(conditions.severity)}")
    if conditions.cisa_kev is not None:
        yield alert.cisa_kev == conditions.cisa_kev, f"it is {'' if alert.cisa_kev else 'not '}on CISA KEV"
    if conditions.vendors:
        yield _glob("vendor", alert.affected_vendors, conditions.vendors)
    if conditions.categories:
        yield _category(alert.affected_vendors, conditions.categories, vendors)
    if conditions.min_cvss is not None:
        yield _at_least("CVSS", alert.cvss_score, conditions.min_cvss)
    if conditions.min_epss is not None:
        yield _at_least("EPSS", alert.epss_score, conditions.min_epss)
    if conditions.alert_type:
        yield _glob("alert type", (alert.alert_type,) if alert.alert_type else (), conditions.alert_type)
    if conditions.cve_id:
        yield _glob("CVE", (alert.cve_id,) if alert.cve_id else (), conditions.cve_id)


def _at_least(name: str, score: float | None, least: float) -> tuple[bool, str]:
    if score is None:
        return False, f"it has no {name} score, and {least:g} is asked for"
    return score >= least, f"{name} {score:g} is {'at least' if score >= least else 'below'} {least:g}"


def _category(keys: Sequence[str], patterns: Sequence[str], vendors: Vendors) -> tuple[bool, str]:
    known = [vendors[key] for key in keys if key in vendors]
    categories = dict.fromkeys(category for vendor in known for category in vendor.categories)
    met, why = _glob("category", tuple(categories), patterns)
    unknown = [key for key in keys if key not in vendors]
    if met or not unknown:
        return met, why
    return False, f"{why}, and the stack does not have {', '.join(unknown)}"


# The alerts of a page are mostly seen by the same accounts.
@lru_cache(maxsize=4096)
def _of_account(accounts: tuple[str, ...], patterns: tuple[str, ...], *, of_every: bool) -> tuple[bool, str]:
    meant = [account for account in accounts if _is_meant(account, patterns)]
    if not meant:
        return False, _account_is_not(accounts, patterns)
    others = [account for account in accounts if account not in meant]
    if of_every and others:
        return False, f"account is {named(others)} too, not only {_any_of(patterns)}"
    return True, _account_is(meant)


def _account_is(accounts: Iterable[str]) -> str:
    return f"account is {named(accounts)}"


def _account_is_not(accounts: Iterable[str], patterns: Sequence[str]) -> str:
    return f"account is {named(accounts) or 'none'}, not {_any_of(patterns)}"


def _is_meant(account: str, patterns: Sequence[str]) -> bool:
    return any(is_like(account, pattern) for pattern in patterns)


def _glob(name: str, values: Sequence[str], patterns: Sequence[str]) -> tuple[bool, str]:
    for value in values:
        for pattern in patterns:
            if is_like(value, pattern):
                return True, f"{name} {value} matches {pattern}"
    told = ", ".join(values) or "none"
    return False, f"{name} is {told}, not {_any_of(patterns)}"


def is_like(name: str, pattern: str) -> bool:
    """Whether ``name`` is what ``pattern`` stands for, whatever the case."""
    return fnmatchcase(name.casefold(), pattern.casefold())


def _any_of(names: Sequence[str]) -> str:
    return " or ".join(names)
