"""Where the alerts of one page go: what is new is routed as a whole, what one more account sees by what that brings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from forwarder import routing
from forwarder.alert import Alert, Vendors, got_worse
from forwarder.common.clock import instant
from forwarder.config import Config
from forwarder.feed.joins import NOWHERE, Joins, only
from forwarder.lifecycle.holds import holds
from forwarder.lifecycle.mutes import muted_by
from forwarder.logs import get_logger
from forwarder.routing import Decision
from forwarder.store.feed import FeedStore
from forwarder.store.mute_records import MuteRow
from forwarder.store.records import Arrival, RoutedAlert

log = get_logger(__name__)


class Router:
    """Routes what an account's feed shows, by one config and by what is known at one time.

    ``unknown`` are vendors that the stack may have, of which nothing is known yet.
    """

    def __init__(
        self,
        account: str,
        config: Config,
        feed: FeedStore,
        *,
        mutes: Sequence[MuteRow],
        vendors: Vendors,
        now: float,
        unknown: frozenset[str] = frozenset(),
    ) -> None:
        self._account, self._config, self._feed = account, config, feed
        self._mutes, self._vendors, self._unknown, self._now = mutes, vendors, unknown, now

    def route(self, arrivals: Sequence[Arrival]) -> list[RoutedAlert]:
        """Where each of ``arrivals`` goes. What is from before the floor is known from now on, and goes nowhere."""
        joins = Joins(self._account, self._config.routes, self._mutes, self._vendors, self._now)
        added = self._added(joins, arrivals)
        whole = [arrival for arrival in arrivals if arrival.alert.id not in added]
        asked = iter(self._feed.with_accounts(whole))
        return [
            self._adding(joins, arrival, added[arrival.alert.id])
            if arrival.alert.id in added
            else self._whole(joins, next(asked))
            for arrival in arrivals
        ]

    def again(self, arrival: Arrival, unknown: frozenset[str]) -> RoutedAlert:
        """One that was routed while ``unknown`` vendors of it were: it is owed what that brings, and no more."""
        alert, accounts = arrival.alert, arrival.accounts or ()
        decision = routing.targets(alert, self._config.routes, self._vendors, accounts)
        then = {key: vendor for key, vendor in self._vendors.items() if key not in unknown}
        before = routing.targets(alert, self._config.routes, then, accounts).targets
        targets = {name: why for name, why in decision.targets.items() if name not in before}
        mute = muted_by(alert, self._mutes, self._now, self._vendors, accounts=accounts)
        _log_routing(alert, decision, targets, mute, again=True)
        return replace(self._as_decided(arrival, decision, mute), targets=targets, known=alert, uncategorized=())

    def _added(self, joins: Joins, arrivals: Sequence[Arrival]) -> dict[str, Decision]:
        """What the account brings of those that need not be routed as a whole, by the alert's id."""
        views = {one.alert.id: view for one in arrivals if (view := joins.judge(one)) is not None}
        asked = [(alert_id, connector) for alert_id, view in views.items() for connector in view.targets]
        gone = self._feed.gone_to(asked)
        added = {
            alert_id: only(view, {name for name in view.targets if (alert_id, name) not in gone})
            for alert_id, view in views.items()
        }
        unsure = [one for one in arrivals if one.joins and not joins.is_alone(added.get(one.alert.id, NOWHERE))]
        for one in self._feed.with_accounts(unsure):
            added[one.alert.id] = joins.beyond(added[one.alert.id], one)
        return added

    def _adding(self, joins: Joins, arrival: Arrival, decision: Decision) -> RoutedAlert:
        """One that others see already, and of which nothing else is new."""
        alert, to = arrival.alert, list(decision.targets)
        why = [f"route {verdict.route}: {verdict.why}" for verdict in decision.trail] or "other accounts see it already"
        log.debug("routed", alert=alert.id, severity=alert.severity.value, to=to, why=why)
        item = self._as_decided(arrival, decision, None)
        uncategorized = () if arrival.past else item.uncategorized
        if not to:
            return replace(item, decision=None, uncategorized=uncategorized)
        # What it added before is kept in the same place.
        told = decision if arrival.joins else replace(decision, trail=joins.matching(arrival))
        return replace(item, decision=told, adds=True, uncategorized=uncategorized)

    def _whole(self, joins: Joins, arrival: Arrival) -> RoutedAlert:
        alert, known, before = arrival.alert, arrival.known, arrival.accounts or ()
        accounts = before if arrival.past else tuple(sorted({*before, self._account}))
        if not accounts or (arrival.past and not arrival.changed):
            log.debug("routed", alert=alert.id, severity=alert.severity.value, to=[], why="before the first start")
            return RoutedAlert(alert=alert, known=known, decision=None, targets={}, arrival=arrival)
        decision = routing.targets(alert, self._config.routes, self._vendors, accounts)
        targets = dict(decision.targets)
        worse = known is not None and got_worse(alert.changes_from(known))
        mute = muted_by(alert, self._mutes, self._now, self._vendors, accounts=accounts, worse=worse)
        if known is not None and not worse and before:
            # Only what the change itself brought, or the account that sees it now: a route that was added since must
            # not send the past. Worse news goes wherever the routes lead now; the store knows who has the alert.
            for connector in routing.view(known, self._config.routes, self._vendors, before).targets:
                targets.pop(connector, None)
        if arrival.view and not arrival.past:
            own = joins.own(arrival)
            if arrival.joins and known is not None and not worse:
                own = joins.beyond(own, replace(arrival, alert=known))
            decision, targets = decision.with_those_of(own), {**own.targets, **targets}
            mute = mute if joins.is_muted(arrival) else None
        _log_routing(alert, decision, targets, mute, changed=known is not None)
        return replace(self._as_decided(arrival, decision, mute), targets=targets)

    def _as_decided(self, arrival: Arrival, decision: Decision, mute: MuteRow | None) -> RoutedAlert:
        return RoutedAlert(
            alert=arrival.alert,
            known=arrival.known,
            decision=decision,
            targets=decision.targets,
            holds=holds(decision, self._config, instant(self._now)) if decision.later else {},
            muted=mute.note if mute else None,
            uncategorized=tuple(key for key in arrival.shown.affected_vendors if key in self._unknown),
            arrival=arrival,
        )


def _log_routing(alert: Alert, decision: Decision, targets: Collection[str], mute: MuteRow | None, **how: bool) -> None:
    log.debug(
        "routed",
        alert=alert.id,
        severity=alert.severity.value,
        **how,
        to=list(targets),
        why=[f"route {verdict.route}: {verdict.why}" for verdict in decision.trail if verdict.matched],
        muted_by=mute and mute.id,
    )
