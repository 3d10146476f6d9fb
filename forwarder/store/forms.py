"""In which forms facts are kept that are compared with others: an alert, and what the routes said of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from forwarder.alert import FIRST_SEEN, Alert
from forwarder.routing import Decision, Verdict

_BODY: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def body_of(alert: Alert) -> str:
    """The alert's JSON in the one form in which it is kept and compared."""
    return _BODY.encode(alert.raw)


def digest_of(alert: Alert) -> str:
    """By which a form of an alert is known again; that it was first seen at some time is no part of it."""
    told = {name: value for name, value in alert.raw.items() if name != FIRST_SEEN}
    return hashlib.blake2b(_BODY.encode(told).encode(), digest_size=16).hexdigest()


def trail_of(decision: Decision | None) -> str:
    """What the routes said, in the form in which it is kept."""
    trail = [_kept(verdict) for verdict in (decision.trail if decision else ())]
    return json.dumps(trail, separators=(",", ":"))


def _kept(verdict: Verdict) -> dict[str, Any]:
    told = {"route": verdict.route, "matched": verdict.matched, "why": verdict.why, "to": list(verdict.to)}
    return {**told, "others": verdict.others} if verdict.others else told
