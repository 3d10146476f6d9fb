"""The items of an answer: which of them are alerts, and what can be said of the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from forwarder.alert import Alert, MalformedAlert, SetAside
from forwarder.common.text import clean

MAX_RAW: Final = 64 * 1024
"""Characters of a malformed alert that are kept to look at."""
MAX_DEPTH: Final = 500
"""Levels of lists and objects within an alert: what is nested deeper can be read, but not written again."""


def sort_out(items: list[Any], seen_at: datetime) -> tuple[tuple[Alert, ...], tuple[SetAside, ...]]:
    """The alerts among ``items``, each id once, and what is none; ``seen_at`` dates those without a date."""
    alerts: dict[str, Alert] = {}
    aside: dict[str, SetAside] = {}
    for item in items:
        try:
            alert = _parsed(item, seen_at)
        except MalformedAlert as error:
            raw = clean(_text_of(item))
            digest = hashlib.sha256(raw.encode()).hexdigest()
            aside[digest] = SetAside.of(item, raw[:MAX_RAW], digest, str(error))
        else:
            # The same id twice on one page is one alert; the first is the newest.
            alerts.setdefault(alert.id, alert)
    return tuple(alerts.values()), tuple(aside.values())


def _parsed(item: Any, seen_at: datetime) -> Alert:
    level = [item]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return Alert.parse(item, seen_at=seen_at)
    raise MalformedAlert(f"it is nested more than {MAX_DEPTH} levels deep")


def _within(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _text_of(item: Any) -> str:
    try:
        return json.dumps(item, ensure_ascii=False, sort_keys=True)
    except RecursionError:
        alert_id = item.get("id") if isinstance(item, dict) else None
        return f"The alert {alert_id} is nested too deeply to be written out."
