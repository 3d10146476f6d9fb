"""How one account sees an alert which the API shows it in a form of its own, and what of that is news. Pure."""

from __future__ import annotations

import json
from typing import Any, Final

from forwarder.alert import Alert
from forwarder.store import unreadable

_FIELDS: Final = (
    "severity",
    "cisa_kev",
    "cvss_score",
    "epss_score",
    "cve_id",
    "alert_type",
    "affected_vendors",
)
"""What routes ask for and people are told of. All else of a form is its wording."""


def view_of(alert: Alert) -> str:
    """What is kept of a form that is one account's own."""
    return json.dumps({name: alert.raw[name] for name in _FIELDS if name in alert.raw}, separators=(",", ":"))


def form_of(stored: Alert, view: str | None) -> Alert | None:
    """The form that was kept as ``view``, worded as the stored one; None where none was, or it cannot be read."""
    if view is None:
        return None
    wording = {name: value for name, value in stored.raw.items() if name not in _FIELDS}
    return unreadable.read(lambda: Alert.parse({**wording, **json.loads(view)}), lambda _: None)


def says_the_same(one: Alert, other: Alert) -> bool:
    """Whether two forms differ in their wording, and order, alone."""
    return all(_said(one, name) == _said(other, name) for name in _FIELDS)


def news(stored: Alert, shown: Alert, before: Alert | None) -> Alert:
    """The stored form with what ``shown`` says anew of it, itself where that is nothing.

    What has changed since ``before`` is news, unless another account has told the same. Of an account that shows it for
    the first time only what is worse is: else two that differ would seem to change it.
    """
    if before is None:
        anew = {change.field for change in shown.changes_from(stored) if change.is_worse}
    else:
        anew = {name for name in _FIELDS[:-1] if _said(before, name) != _said(shown, name) != _said(stored, name)}
    told: dict[str, Any] = {name: shown.raw.get(name) for name in anew}
    added = _added_vendors(stored, shown, before)
    if added:
        told["affected_vendors"] = [*stored.affected_vendors, *added]
    return Alert.parse({**stored.raw, **told}) if told else stored


def _added_vendors(stored: Alert, shown: Alert, before: Alert | None) -> list[str]:
    """Those that came to be shown. Those that are not any more may still be in the stacks of others."""
    if before is None:
        return []
    known = {*stored.affected_vendors, *before.affected_vendors}
    return [vendor for vendor in dict.fromkeys(shown.affected_vendors) if vendor not in known]


def _said(alert: Alert, name: str) -> object:
    if name == "severity":
        return alert.severity_label
    if name == "affected_vendors":
        return sorted(alert.affected_vendors)
    return getattr(alert, name)
