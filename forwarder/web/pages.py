"""What each page shows, gathered from the database: plain values for the templates, no HTML.

Pages read through a connection of their own, so that a slow search never holds up a delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from forwarder.alert import Severity
from forwarder.common.clock import instant
from forwarder.connector import Origin, Status
from forwarder.delivery.throughput import Throughput, measured_since
from forwarder.delivery.waiting import Waiting, waiting
from forwarder.lifecycle.reminders import due_of
from forwarder.store import Store
from forwarder.store.query_records import AlertHistory, AlertRow, DeliveryRow, Filter
from forwarder.store.records import Lateness, Queue, State
from forwarder.web import charts, feeds, figures, replicas
from forwarder.web.facts import Facts
from forwarder.web.figures import Shown
from forwarder.web.health import Health
from forwarder.web.kept import Kept
from forwarder.web.story import MOST, events, places
from forwarder.web.summary import summarize
from forwarder.web.writes import Writes

if TYPE_CHECKING:
    from forwarder.app import Forwarder

NEWEST: Final = 15
"""Alerts that the overview shows."""
STEPS: Final = (50, 200, 1000)
"""How many alerts a list shows at first, and after "show more"."""
MOST_DELIVERIES: Final = 200
ALL: Final = 100_000
LONG_LINE: Final = 50_000
"""Deliveries that wait for a connector from which on a list does not number them with every look."""
CHART_DAYS: Final = 30
CHARTS_STAY: Final = 60.0
"""Seconds for which drawn charts are good enough: they count everything of a month."""
HOUR, DAY = 3600.0, 86400.0
_UNSETTLED: Final = (State.HELD, State.READY, State.SENDING, State.UNCERTAIN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One connector: its queue, its type (None where the config does not name it), and its pace."""

    queue: Queue
    type: str | None
    state: str
    last_hour: int
    max_rate: str | None
    throughput: Throughput | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """The charts, and the numbers behind them for those who do not see them."""

    days: Sequence[charts.Day]
    days_chart: charts.DaysChart
    latencies: Sequence[charts.Latency]
    latencies_chart: charts.LatencyChart
    lateness: Lateness | None


class Pages:
    """Gathers what pages show. ``store`` is a visitor's view of the forwarder's database."""

    def __init__(self, forwarder: Forwarder, store: Store, health: Health, writes: Writes) -> None:
        self._forwarder, self._store = forwarder, store
        self._health, self._writes = health, writes
        self._drawn = Kept(self._draw, CHARTS_STAY)
        self._figures: dict[str | None, Kept[Shown]] = {}

    def frame(self) -> dict[str, Any]:
        """What every page shows around its own."""
        now, config = self._forwarder.clock(), self._forwarder.config
        queues = self._store.queries.queues(config.connectors, since=now - DAY)
        return {
            "now": now,
            "queues": queues,
            "totals": self._store.queries.totals(),
            "dead": sum(queue.dead for queue in queues),
            "connectors": [queue.connector for queue in queues],
        }

    def overview(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        """How things stand, the connectors, the charts and the newest alerts."""
        facts = self._facts(frame)
        feed, newest = facts.feed, self._store.queries.alerts(Filter(limit=NEWEST))
        return {
            "standing": summarize(facts),
            "feed": feed,
            "vendors": self._store.vendors.known(),
            "budget": feeds.requests_left(self._forwarder),
            "accounts": feeds.by_account(self._forwarder, self._store),
            "cards": self._cards(facts),
            "drawn": self._drawn(),
            "alerts": newest,
            "waits": self._waits_of(newest, frame),
            "dues": self._dues(newest),
            **replicas.shown(self._forwarder.holder),
        }

    def alerts(self, wanted: Filter, frame: Mapping[str, Any]) -> dict[str, Any]:
        """The alerts that a filter lets through; ``more`` is how many the next step would show, None at the end."""
        found = self._store.queries.alerts(wanted)
        full = len(found) == wanted.limit
        more = next((step for step in STEPS if step > wanted.limit), None)
        return {
            "alerts": found,
            "waits": self._waits_of(found, frame),
            "dues": self._dues(found),
            "full": full,
            "more": more if full else None,
            "vendors": self._store.vendors.known(),
            "accounts": feeds.names(self._forwarder),
        }

    def history(self, alert_id: str) -> dict[str, Any] | None:
        """All that is known of one alert; a CVE, typed by a person, does where it leads to one alone."""
        history = self._store.queries.history(alert_id) or self._only_match(alert_id)
        if history is None:
            return None
        return {
            "history": history,
            "row": history.row,
            "alert": history.row.alert,
            "events": events(history),
            "places": places(history.row),
            "most": MOST,
            "waits": self._waits(delivery.id for delivery in history.row.deliveries),
            "due": self._dues([history.row]).get(history.row.alert.id),
        }

    def _only_match(self, text: str) -> AlertHistory | None:
        rows = self._store.queries.alerts(Filter(text=text, origin=None, limit=2))
        return self._store.queries.history(rows[0].alert.id) if len(rows) == 1 else None

    def dead_letters(self, connector: str | None) -> dict[str, Any]:
        """Deliveries that wait for a decision: dead ones, and all that is owed to connectors not in the config."""
        dead = self._store.queries.deliveries(
            Filter(state=State.DEAD, connector=connector, origin=None, limit=MOST_DELIVERIES + 1)
        )
        orphans = self._orphans()
        owed = [row for name in orphans if connector in (None, name) for row in self._waiting(name, MOST_DELIVERIES)]
        return {
            "rows": dead[:MOST_DELIVERIES],
            "cut": len(dead) > MOST_DELIVERIES,
            "waiting": owed[:MOST_DELIVERIES],
            "waits": self._waits(row.id for row in owed[:MOST_DELIVERIES]),
            "orphans": orphans,
            "connector": connector,
        }

    def decidable(self, connector: str | None = None) -> dict[int, DeliveryRow]:
        """The deliveries that a person may retry or discard, by id."""
        rows = self._store.queries.deliveries(Filter(state=State.DEAD, connector=connector, origin=None, limit=ALL))
        for name in self._orphans():
            if connector in (None, name):
                rows += self._waiting(name, ALL)
        return {row.id: row for row in rows}

    def figures(self, account: str) -> dict[str, Any]:
        """How many alerts came and how they stand, and how long people took, by severity and by week.

        Of all alerts where the config has no such ``account``.
        """
        accounts = feeds.names(self._forwarder)
        whose = account if account in accounts else None
        kept = self._figures.setdefault(whose, Kept(partial(self._figures_of, whose), CHARTS_STAY))
        return {"figures": kept(), "accounts": accounts}

    def _figures_of(self, account: str | None) -> Shown:
        return figures.gather(self._store, self._forwarder.in_use(), self._forwarder.clock(), account)

    def gaps(self) -> dict[str, Any]:
        return {"gaps": self._store.queries.gaps()}

    def set_aside(self) -> dict[str, Any]:
        return {"asides": self._store.queries.set_aside()}

    def _waits(self, deliveries: Iterable[int]) -> dict[int, Waiting]:
        """Why those of ``deliveries`` that are not settled wait, by id."""
        named = self._forwarder.config.connectors
        rates = {name: settings.max_rate for name, settings in named.items() if settings.max_rate}
        refusal, now = self._writes.latest(), self._forwarder.clock()
        refused = refusal.reason if refusal is not None and refusal.until is None else None
        return waiting(self._store, deliveries, connectors=named, rates=rates, now=now, refused=refused)

    def _waits_of(self, alerts: Iterable[AlertRow], frame: Mapping[str, Any]) -> dict[int, Waiting]:
        """The same of all that alerts of a list are owed as new ones, but for what stands in a very long line."""
        long = {queue.connector for queue in frame["queues"] if queue.waiting > LONG_LINE}
        opens = (delivery for row in alerts for delivery in row.deliveries if delivery.kind == "open")
        return self._waits(one.id for one in opens if one.state in _UNSETTLED and one.connector not in long)

    def _dues(self, alerts: Iterable[AlertRow]) -> dict[str, float]:
        """By when those of ``alerts`` that are not resolved should be, by id, where a connector has a date for that."""
        connectors = self._forwarder.in_use()
        dues = {
            row.alert.id: due_of(
                row.alert.severity,
                {delivery.connector: delivery.enqueued_at for delivery in row.deliveries if delivery.kind == "open"},
                connectors,
            )
            for row in alerts
            if row.origin is Origin.FEED and row.status is not Status.RESOLVED
        }
        return {alert_id: due for alert_id, due in dues.items() if due is not None}

    def _orphans(self) -> list[str]:
        """Connectors that are owed something and not in the config."""
        named = self._forwarder.config.connectors
        queues = self._store.queries.queues(named, since=self._forwarder.clock())
        return [queue.connector for queue in queues if queue.connector not in named]

    def _waiting(self, connector: str, limit: int) -> list[DeliveryRow]:
        return [
            row
            for state in (State.READY, State.UNCERTAIN)
            for row in self._store.queries.deliveries(
                Filter(state=state, connector=connector, origin=None, limit=limit)
            )
        ]

    def _facts(self, frame: Mapping[str, Any]) -> Facts:
        now, queues = frame["now"], frame["queues"]
        # First of all: it waits for a write, and what follows must not be older than its verdict.
        refusal = self._writes.look(self._health.write_refused)
        return Facts(
            now=now,
            started_at=self._forwarder.started_at,
            config=self._forwarder.config,
            feed=feeds.as_one(self._forwarder, self._store),
            queues=queues,
            alarms=self._store.alarms.active(),
            last_seen_at=self._store.queries.last_seen_at(),
            gaps=self._store.queries.gaps(),
            delivered=self._store.queries.delivered({queue.connector: measured_since(queue, now) for queue in queues}),
            stalled=self._health.stalled(),
            refusal=refusal,
            free=self._free(),
        )

    def _free(self) -> int | None:
        """Bytes that are free on the database's disk; None where the system does not say."""
        return self._forwarder.store.engine.free_bytes()

    def _cards(self, facts: Facts) -> list[Card]:
        lately = self._store.queries.delivered({queue.connector: facts.now - HOUR for queue in facts.queues})
        return [_card(queue, facts, lately.get(queue.connector, 0)) for queue in facts.queues]

    def _draw(self) -> Drawn:
        now = self._forwarder.clock()
        today = instant(now).date()
        shown = charts.days(self._store.queries.alerts_a_day(now - CHART_DAYS * DAY), today, CHART_DAYS)
        taken = charts.latencies(self._store.queries.latencies(now - DAY))
        return Drawn(
            days=shown,
            days_chart=charts.days_chart(shown),
            latencies=taken,
            latencies_chart=charts.latency_chart(taken),
            lateness=self._store.queries.lateness(now - DAY),
        )


def _card(queue: Queue, facts: Facts, last_hour: int) -> Card:
    config = facts.config.connectors.get(queue.connector)
    rate = config.max_rate if config else None
    return Card(
        queue=queue,
        type=config.type if config else None,
        state=_state(queue, configured=config is not None, refused=facts.refused),
        last_hour=last_hour,
        max_rate=str(rate) if rate else None,
        throughput=facts.throughput(queue) if queue.waiting else None,
    )


def _state(queue: Queue, *, configured: bool, refused: bool) -> str:
    """A connector's state in a word."""
    if not configured:
        return "orphaned"
    if refused:
        return "stopped"
    if queue.pause is not None:
        return "paused"
    if queue.failing_since is not None:
        return "failing"
    return "busy" if queue.waiting else "idle"


def filter_of(query: Mapping[str, str], connectors: Sequence[str]) -> Filter:
    """The filter that a query string asks for; what makes no sense in it is left out."""

    def one_of(name: str, allowed: Sequence[str]) -> str | None:
        value = query.get(name, "")
        return value if value in allowed else None

    severity = one_of("severity", [severity.value for severity in Severity])
    state = one_of("state", [state.value for state in State])
    status = one_of("status", [status.value for status in Status])
    limit, sought = query.get("show", ""), query.get("search", "").strip() or query.get("vendor", "").strip()
    return Filter(
        severity=Severity(severity) if severity else None,
        state=State(state) if state else None,
        status=Status(status) if status else None,
        # What is searched for is walked through from the newest back, however much there is.
        urgent_first=query.get("order") != "newest" and not sought,
        connector=one_of("connector", connectors),
        vendor=query.get("vendor", "").strip() or None,
        account=query.get("account", "").strip() or None,
        text=query.get("search", "").strip() or None,
        unrouted=query.get("unrouted") == "1",
        muted=query.get("muted") == "1",
        limit=int(limit) if limit in {str(step) for step in STEPS} else STEPS[0],
    )
