"""When a delivery wakes somebody, and what it says then. Pure."""

from __future__ import annotations

import hashlib
from typing import Final

from forwarder.alert import Alert, got_worse
from forwarder.connector import Delivery, Kind, Origin, Status, Texts, clean, one_line

_ORIGINS: Final = {Origin.FEED: "", Origin.ALARM: "Alarm of the forwarder: ", Origin.TEST: "TEST, please ignore: "}
_WAKING: Final = frozenset({Kind.OPEN, Kind.UPDATE, Kind.REMIND})


KEY_PREFIX: Final = "sentrytex:"
"""What each key begins with."""


def dedup_key(alert: Alert, most: int) -> str:
    """The key, of at most ``most`` characters, under which a pager folds everything about ``alert`` into one."""
    key = f"{KEY_PREFIX}{alert.id}"
    return key if len(key) <= most else f"{KEY_PREFIX}{hashlib.sha256(alert.id.encode()).hexdigest()}"


def nothing_to_send(delivery: Delivery) -> str:
    """Why who pages people need not hear of ``delivery``, for people; empty where they must.

    An alert that people have resolved by now wakes nobody: neither because it came late, nor as a reminder. One that a
    person sends again on purpose does.
    """
    if delivery.origin not in _ORIGINS:
        return "nobody is paged for a message that tells of many alerts"
    latest = delivery.latest
    if delivery.is_superseded and latest is not None:
        return f"not sent, because something newer was decided: {clean(latest.words)}"
    if delivery.kind is Kind.UPDATE and delivery.receipt:
        return "" if got_worse(delivery.changes) else "nothing to page for"
    if delivery.kind not in _WAKING or delivery.repeats or latest is None or latest.status is not Status.RESOLVED:
        return ""
    return f"nobody is paged: {clean(latest.words)}"


def title(delivery: Delivery, texts: Texts) -> str:
    """What wakes a person, in a line, in the config's words or in ours; first what it is, where it is no alert."""
    built_in = built_in_title(delivery.alert)
    return _ORIGINS[delivery.origin] + (one_line(clean(texts.title(delivery, built_in))) or built_in)


def built_in_title(alert: Alert) -> str:
    """How bad it is, whether it is being exploited, which CVE, and what it is about."""
    label = alert.severity_label.replace(alert.severity.value, alert.severity.value.upper(), 1)
    marks = f"[{label}, CISA KEV]" if alert.cisa_kev else f"[{label}]"
    if alert.cve_id and alert.cve_id not in alert.title:
        return f"{marks} {alert.cve_id}: {alert.title}"
    return f"{marks} {alert.title}"
