"""Which connectors an alert goes to, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one route, counted from 1, said of an alert, with the reason in words."""

    route: int
    matched: bool
    why: str
    to: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Where an alert goes: each connector with the reason, and what every route that was looked at said.

    ``later`` has those of them that no matching route reaches at once, with the first route that reaches them later.
    """

    targets: dict[str, str]
    trail: tuple[Verdict, ...]
    later: Mapping[str, Route] = field(default_factory=dict)


def targets(
    alert: Alert, routes: Sequence[Route], vendors: Vendors = NO_VENDORS, accounts: Sequence[str] = ()
) -> Decision:
    """Every connector that any matching route names, once each, until a matching route says ``stop``.

    ``vendors`` says to which categories the alert's vendors belong, ``accounts`` which accounts see it. A ``stop`` of
    a route that names accounts is theirs: for the others it goes on, or what one sees would be lost by another's route.
    """
    reached: dict[str, str] = {}
    at_once: set[str] = set()
    later: dict[str, Route] = {}
    trail = []
    for number, route in enumerate(routes, start=1):
        matched, reason = matches(alert, route, vendors, accounts)
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
            accounts = [one for one in accounts if not _is_meant(one, route.account)] if route.account else ()
            if not accounts:
                break
    return Decision(targets=reached, trail=tuple(trail), later=later)


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
    failed = [why for met, why in judged if not met]
    return not failed, "; ".join(failed or [why for _, why in judged])


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
        return False, f"account is {named(accounts) or 'none'}, not {_any_of(patterns)}"
    others = [account for account in accounts if account not in meant]
    if of_every and others:
        return False, f"account is {named(others)} too, not only {_any_of(patterns)}"
    return True, f"account is {named(meant)}"


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
