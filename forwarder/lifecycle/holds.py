"""When an alert may be told: at once, when a schedule opens, or with a digest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from forwarder.lifecycle.schedules import next_opening, next_time
from forwarder.store.life_records import DIGEST, Hold, held_during

if TYPE_CHECKING:
    from forwarder.config import Config, Route, Schedule
    from forwarder.routing import Decision


def holds(decision: Decision, config: Config, now: datetime) -> dict[str, Hold]:
    """The connectors that get the alert later, with when; what a schedule lets through at once is not among them."""
    found = {connector: hold_of(route, config.schedules, now) for connector, route in decision.later.items()}
    return {connector: hold for connector, hold in found.items() if hold is not None}


def hold_of(route: Route, schedules: Mapping[str, Schedule], now: datetime) -> Hold | None:
    """Until when a route holds what it sends; None where it goes out at once."""
    if route.digest:
        return Hold(until=next_time(route.digest, now).timestamp(), reason=DIGEST)
    if route.during:
        opening = next_opening(schedules[route.during], now)
        return Hold(until=opening.timestamp(), reason=held_during(route.during)) if opening > now else None
    return None
