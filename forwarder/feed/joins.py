"""What follows from it that one more account sees an alert which others see already: mostly nothing. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from forwarder import routing
from forwarder.alert import Vendors
from forwarder.config import Route
from forwarder.routing import is_like
from forwarder.store.mute_records import MuteRow
from forwarder.store.records import Arrival


class Joins:
    """Judges what an account brings, by the routes that name it and the mutes that stand.

    A thousand accounts may see the same alert within a minute. Only where something follows need it be routed anew.
    """

    def __init__(self, account: str, routes: Sequence[Route], mutes: Sequence[MuteRow], vendors: Vendors) -> None:
        self._account, self._vendors = account, vendors
        self._routes = [route for route in routes if _names(route, account)]
        # Such a route ends the search for those that it names: for one that joins it may go on where it ended.
        self._stops = any(route.account and route.stop for route in routes)
        self._mutes = {mute.id for mute in mutes if mute.rule is not None and mute.rule.account}

    def brings_nothing(self, arrival: Arrival) -> bool:
        """Whether nothing is new but that the account sees the alert; maybe not, where its accounts are not known.

        A mute of other accounts may end for the alert by that. None can begin to hold, for each that names accounts
        asks that no other one sees it.
        """
        if arrival.known is None or arrival.changed or not arrival.owed or arrival.muted_by in self._mutes:
            return False
        return arrival.past or not (self._stops or any(self._leads_on(arrival, route) for route in self._routes))

    def _leads_on(self, arrival: Arrival, route: Route) -> bool:
        """Whether a route that names the account matches by it, and by none of those that see the alert already."""
        if not routing.matches(arrival.alert, route, self._vendors, (self._account,))[0]:
            return False
        return not any(_names(route, account) for account in arrival.accounts)


def _names(route: Route, account: str) -> bool:
    return any(is_like(account, pattern) for pattern in route.account)
