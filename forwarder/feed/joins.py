"""What follows from it that one more account sees an alert which others see already: mostly nothing. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import replace
from typing import Final

from forwarder import routing
from forwarder.alert import Alert, Vendors, got_worse
from forwarder.config import Route
from forwarder.lifecycle.mutes import muted_by
from forwarder.routing import Decision, Verdict, index_of
from forwarder.store.mute_records import MuteRow
from forwarder.store.records import Arrival

NOWHERE: Final = Decision(targets={}, trail=())
"""Where an alert goes that goes nowhere."""


class Joins:
    """Judges what an account brings, by the routes that name it and the mutes that stand at ``now``.

    A thousand accounts may see the same alert within a minute. Where it goes for all of them is where it goes for any,
    so one that joins is asked alone, and only what it alone leads to is owed. What else may follow, such as that a mute
    ends, is for whoever routes the alert anew, as a whole.
    """

    def __init__(
        self, account: str, routes: Sequence[Route], mutes: Sequence[MuteRow], vendors: Vendors, now: float
    ) -> None:
        self._account, self._routes, self._vendors, self._now = account, routes, vendors, now
        self._mutes = {mute.id: mute for mute in mutes}
        self._index = index_of(routes)
        # Nobody gets further than those who see it already where no route names the account, or stops another one.
        self._leads_nowhere_new = not self._index.stops and not self._index.naming(account)

    def judge(self, arrival: Arrival) -> Decision | None:
        """Where the alert goes for this account; None where it must be routed as a whole, for all who see it."""
        if arrival.known is None or arrival.changed or not arrival.owed or not (arrival.joins or arrival.view):
            return None
        if arrival.past or self._stays_muted(arrival):
            return NOWHERE
        if (mute := self._mutes.get(arrival.muted_by or "")) and mute.rule and mute.rule.account:
            # Others' mute, of what now another one sees as well.
            return None
        if self._leads_nowhere_new and arrival.view is None:
            return NOWHERE
        decision = self.own(arrival)
        if not decision.targets:
            return NOWHERE
        if arrival.unrouted or arrival.muted_by or self.is_muted(arrival):
            return None
        return decision

    def own(self, arrival: Arrival) -> Decision:
        """Where what the account shows leads to: all of that where it joins or shows it worse, else what is new."""
        decision = self._view(arrival.shown)
        before = arrival.before
        if before is None or got_worse(arrival.shown.changes_from(before)):
            return decision
        return only(decision, decision.targets.keys() - self._view(before).targets.keys())

    def matching(self, arrival: Arrival) -> tuple[Verdict, ...]:
        """What all routes say that match what the account shows."""
        return tuple(verdict for verdict in self._view(arrival.shown).trail if verdict.matched)

    def is_alone(self, decision: Decision) -> bool:
        """Whether no other account could lead to any of the connectors, whoever sees the alert."""
        return all(self._index.leads_there_alone(self._account, connector) for connector in decision.targets)

    def beyond(self, decision: Decision, arrival: Arrival) -> Decision:
        """What of ``decision`` those that see the alert already do not lead to.

        A route that was added since they came sends nothing of the past, whoever joins them.
        """
        others = arrival.accounts or ()
        before = routing.view(arrival.alert, self._routes, self._vendors, others).targets if others else {}
        return only(decision, decision.targets.keys() - before.keys())

    def _stays_muted(self, arrival: Arrival) -> bool:
        """Whether what keeps it quiet does so still: of those it was for, each was named by that, where any is."""
        mute = self._mutes.get(arrival.muted_by or "")
        return mute is not None and self._matches(arrival, [mute])

    def is_muted(self, arrival: Arrival) -> bool:
        """Whether it may be muted by now: for this account, and so perhaps for all."""
        return self._matches(arrival, self._mutes.values())

    def _matches(self, arrival: Arrival, mutes: Collection[MuteRow]) -> bool:
        return bool(muted_by(arrival.shown, mutes, self._now, self._vendors, accounts=(self._account,)))

    def _view(self, alert: Alert) -> Decision:
        return routing.view(alert, self._routes, self._vendors, (self._account,))


def only(decision: Decision, connectors: Set[str]) -> Decision:
    """``decision`` of ``connectors`` alone, with the routes that lead to them."""
    if not connectors:
        return NOWHERE
    return replace(
        decision,
        targets={connector: why for connector, why in decision.targets.items() if connector in connectors},
        trail=tuple(one for one in decision.trail if one.matched and not connectors.isdisjoint(one.to)),
        later={connector: route for connector, route in decision.later.items() if connector in connectors},
    )
