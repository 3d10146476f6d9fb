"""Which connectors an alert goes to, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from forwarder.alert import Alert, Vendors
    from forwarder.config import Route

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
    """Where an alert goes: each connector with the reason, and what every route that was looked at said."""

    targets: dict[str, str]
    trail: tuple[Verdict, ...]


def targets(alert: Alert, routes: Sequence[Route], vendors: Vendors = NO_VENDORS) -> Decision:
    """Every connector that any matching route names, once each, until a matching route says ``stop``.

    ``vendors`` says to which categories the alert's vendors belong.
    """
    reached: dict[str, str] = {}
    trail = []
    for number, route in enumerate(routes, start=1):
        conditions = list(_conditions(alert, route, vendors))
        failed = [why for met, why in conditions if not met]
        why = "; ".join(failed or [why for _, why in conditions]) or "the route has no conditions"
        trail.append(Verdict(route=number, matched=not failed, why=why, to=tuple(route.to)))
        if failed:
            continue
        for connector in route.to:
            reached.setdefault(connector, f"route {number}: {why}")
        if route.stop:
            break
    return Decision(targets=reached, trail=tuple(trail))


def ask_for_categories(routes: Sequence[Route]) -> bool:
    """Whether any of ``routes`` depends on what the stack says of vendors."""
    return any(route.categories for route in routes)


def _conditions(alert: Alert, route: Route, vendors: Vendors) -> Iterator[tuple[bool, str]]:
    """Each condition that the route sets: whether the alert meets it, and a sentence that says so."""
    if route.severity:
        met = alert.severity in route.severity
        yield met, f"severity is {alert.severity_label}" + ("" if met else f", not {_any_of(route.severity)}")
    if route.cisa_kev is not None:
        yield alert.cisa_kev == route.cisa_kev, f"it is {'' if alert.cisa_kev else 'not '}on CISA KEV"
    if route.vendors:
        yield _glob("vendor", alert.affected_vendors, route.vendors)
    if route.categories:
        yield _category(alert.affected_vendors, route.categories, vendors)
    if route.min_cvss is not None:
        yield _at_least("CVSS", alert.cvss_score, route.min_cvss)
    if route.min_epss is not None:
        yield _at_least("EPSS", alert.epss_score, route.min_epss)
    if route.alert_type:
        yield _glob("alert type", (alert.alert_type,) if alert.alert_type else (), route.alert_type)
    if route.cve_id:
        yield _glob("CVE", (alert.cve_id,) if alert.cve_id else (), route.cve_id)


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
