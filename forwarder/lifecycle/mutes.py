"""What is muted: judged by one pure function, whether the config says it or a person; and what becomes of it later."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from forwarder import routing
from forwarder.alert import Alert, Vendors
from forwarder.common.clock import Now, instant
from forwarder.common.text import cut, one_line
from forwarder.config import Config, Mute
from forwarder.connector import MuteRequest, MuteScope
from forwarder.lifecycle.holds import holds
from forwarder.logs import get_logger
from forwarder.replicas.roles import SCHEDULER
from forwarder.routing import NO_VENDORS, Decision
from forwarder.store import Store
from forwarder.store.mute_records import CONFIG, Asked, MutedBy, MuteRow
from forwarder.store.records import RoutedAlert

log = get_logger(__name__)

TEND_EVERY: Final = 10.0
"""Seconds between two looks at what has ended, at most: commands end mutes, and the clock may be set."""

MOST_WORDS: Final = 300
"""Characters of what a mute is about that a sentence has: an alert may name any number of vendors."""

_NAMES: Final = {
    "severity": "severity",
    "vendors": "vendor",
    "categories": "category",
    "cve_id": "CVE",
    "alert_type": "type",
}
_LEAST: Final = {"min_cvss": "CVSS", "min_epss": "EPSS"}


def muted_by(
    alert: Alert,
    mutes: Iterable[MuteRow],
    now: float,
    vendors: Vendors = NO_VENDORS,
    *,
    accounts: Sequence[str] = (),
    worse: bool = False,
) -> MuteRow | None:
    """Which of ``mutes`` keeps an alert quiet at ``now``; of several the one that holds it the longest.

    ``vendors`` says to which categories the alert's vendors belong, ``accounts`` which accounts see it: the mute of an
    account keeps nothing from any other. ``worse`` says that the alert has got worse: then only those count that are
    ``even_if_worse``.
    """
    matching = [
        (rule.even_if_worse, mute.until, mute)
        for mute in mutes
        if (rule := mute.rule) is not None
        and mute.stands(now)
        and (rule.even_if_worse or not worse)
        and routing.matches(alert, rule, vendors, accounts, of_every_account=True)[0]
    ]
    return max(matching, key=lambda found: found[:2])[2] if matching else None


def of_config(config: Config) -> list[MuteRow]:
    """The mutes of the config, also those that have ended. What one says is its id: where it changes, it is another."""
    return [
        MuteRow(id=_id_of(rule), rule=rule, until=rule.until.timestamp(), reason=rule.reason, place=CONFIG)
        for rule in config.mutes
    ]


def _id_of(rule: Mute) -> str:
    told = {**rule.model_dump(mode="json", exclude_defaults=True, exclude={"until"}), "until": rule.until.timestamp()}
    return f"config-{hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]}"


def words(rule: Mute) -> str:
    """What a mute is about, for people: ``vendor wordpress or drupal; severity low``."""
    given = rule.model_dump(mode="json", exclude_defaults=True, exclude={"until", "reason", "even_if_worse"})
    return one_line("; ".join(_condition(name, value) for name, value in given.items()))


def _condition(name: str, value: Any) -> str:
    if name == "cisa_kev":
        return "on CISA KEV" if value else "not on CISA KEV"
    if name in _LEAST:
        return f"{_LEAST[name]} of at least {value:g}"
    listed = value if isinstance(value, list) else [value]
    if name == "cve_id" and all(str(one).startswith("CVE-") for one in listed):
        return " or ".join(listed)
    return f"{_NAMES.get(name, name.replace('_', ' '))} {' or '.join(map(str, listed))}"


def mute_of(
    alert: Alert, scope: MuteScope, *, until: datetime, reason: str, even_if_worse: bool = False
) -> Mute | None:
    """The mute of what one alert is about: its CVE, or its vendors; None where it has none.

    What an alert says is no pattern: one that calls its vendor ``*`` must not mute all others.
    """
    cve = (glob.escape(alert.cve_id),) if alert.cve_id else ()
    vendors = tuple(map(glob.escape, alert.affected_vendors))
    told = {"cve_id": cve} if scope is MuteScope.CVE else {"vendors": vendors}
    if not any(told.values()):
        return None
    return Mute.model_validate({**told, "until": until, "reason": reason, "even_if_worse": even_if_worse})


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """A mute that was set, and how many alerts that waited it keeps quiet from now on."""

    mute: MuteRow
    hushed: int


class Mutes:
    """All mutes: sets and ends those of people, and lets out what no mute keeps quiet any more.

    ``wake`` calls those who are owed what is let out.
    """

    def __init__(self, store: Store, config: Config, *, now: Now, wake: Callable[[Collection[str]], None]) -> None:
        self._store, self._config, self._now, self._wake = store, config, now, wake
        self._tended = store.acting_as(SCHEDULER)
        self._known: frozenset[str] = frozenset()

    def use(self, config: Config) -> None:
        """Goes by another config's mutes, and routes, from now on."""
        self._config = config

    def list(self, *, every: bool = False) -> list[MuteRow]:
        """The mutes of the config and of people, the next to end first; with ``every`` also those that have ended."""
        mutes = [*of_config(self._config), *self._store.mutes.all()]
        return sorted((mute for mute in mutes if every or mute.stands(self._now())), key=lambda mute: mute.until)

    def add(self, rule: Mute, *, person: str, place: str) -> Added:
        """Sets a mute; raises StoreError where it cannot be kept."""
        mute = self._store.mutes.add(rule, person=person, place=place, now=self._now())
        _log_muted(mute)
        return Added(mute=mute, hushed=hush(self._store, [mute], self._now()))

    def ask(self, connector: str, request: MuteRequest) -> Asked:
        """Sets the mute that somebody asked for at a connector's destination; raises StoreError.

        What waits is hushed by the next look, soon: whoever asked has to be answered within a few seconds.
        """
        until = request.at + request.lasts

        def rule(alert: Alert) -> Mute | None:
            return mute_of(alert, request.scope, until=until, reason=request.reason)

        asked = self._store.mutes.ask(connector, request, rule, now=self._now())
        if asked.mute is not None:
            _log_muted(asked.mute)
        return asked

    def end(self, number: int, *, by: str) -> bool:
        """Ends a person's mute, and lets out at once what it kept quiet; False where none of that number stands."""
        ended = self._store.mutes.end(number, by=by, now=self._now())
        if ended:
            log.info("mute_ended", mute=number, by=by)
            # By whom it was ended: the replica that tends them may be another one.
            self._let_out(self._store)
        return ended

    def tend(self) -> float:
        """Lets out what no mute keeps quiet any more, and hushes what waits and is muted by now.

        Returns the seconds until a mute ends. A batch that is let out is committed as a whole, so a process that dies
        in between leaves the rest muted by what has ended, which the next one finds.
        """
        self.hush_new()
        return self._let_out(self._tended)

    def hush_new(self) -> None:
        """Hushes what waits and is muted by a mute that began."""
        now = self._now()
        mutes = standing(self._config, self._tended, now)
        began = [mute for mute in mutes if mute.id not in self._known]
        if began:
            hush(self._tended, began, now)
        self._known = frozenset(mute.id for mute in mutes)

    def _let_out(self, store: Store) -> float:
        now, config, vendors = self._now(), self._config, store.vendors.known()
        ours = [mute for mute in of_config(config) if mute.stands(now)]

        def route(alert: Alert, accounts: Sequence[str], people: Sequence[MuteRow], worse: bool) -> RoutedAlert:
            mute = muted_by(alert, [*ours, *people], now, vendors, accounts=accounts, worse=worse)
            decision = routing.targets(alert, config.routes, vendors, accounts)
            return _routed(alert, decision, config, mute, now)

        while (batch := store.mutes.route_anew(route, standing=[mute.id for mute in ours], now=now)).judged:
            log.info(
                "unmuted",
                alerts=batch.judged - batch.still_muted,
                still_muted=batch.still_muted,
                to=sorted(batch.connectors),
            )
            self._wake(batch.connectors)
        until = min((mute.until for mute in standing(config, store, now)), default=now + TEND_EVERY)
        return min(max(until - self._now(), 0.1), TEND_EVERY)


def hush(store: Store, mutes: Sequence[MuteRow], now: float) -> int:
    """Keeps quiet what ``mutes`` match of the alerts that wait and have gone nowhere yet; returns how many."""

    vendors = store.vendors.known()

    def muted(alert: Alert, accounts: Sequence[str], worse: bool) -> MutedBy | None:
        found = muted_by(alert, mutes, now, vendors, accounts=accounts, worse=worse)
        return found.note if found else None

    return store.mutes.hush(muted)


def standing(config: Config, store: Store, now: float) -> list[MuteRow]:
    """All mutes that stand, of the config and of people."""
    return [*(mute for mute in of_config(config) if mute.stands(now)), *store.mutes.standing(now)]


def _routed(alert: Alert, decision: Decision, config: Config, mute: MuteRow | None, now: float) -> RoutedAlert:
    held = holds(decision, config, instant(now)) if decision.later else {}
    muted = mute.note if mute else None
    return RoutedAlert(alert=alert, known=alert, decision=decision, targets=decision.targets, holds=held, muted=muted)


def _log_muted(mute: MuteRow) -> None:
    what = cut(words(mute.rule), MOST_WORDS) if mute.rule else ""
    log.info("muted", mute=mute.id, what=what, place=mute.place, person=mute.person)
