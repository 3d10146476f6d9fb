"""What Prometheus reads: counters of what happened since the start, gauges of how things stand right now.

Names and units are as https://prometheus.io/docs/practices/naming/ asks. Every set of labels is there from the start,
at zero: an alert rule on a counter that appears only with its first failure would miss that failure.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric

from forwarder import __version__
from forwarder.alarms import AlarmType, together
from forwarder.alert import Severity
from forwarder.common.clock import Now
from forwarder.connector import Action, Kind, Status
from forwarder.events import AttemptFinished, Listener
from forwarder.feed.client import BadAnswer, KeyRefused, NotFound, SentrytexError, TooManyRequests, Unavailable
from forwarder.lifecycle.reports import overdue
from forwarder.replicas.roles import of_connector, roles_of
from forwarder.response import PAGE
from forwarder.store import Store, StoreError
from forwarder.store.life_records import Responded
from forwarder.store.records import AttemptResult, Feed, Queue
from forwarder.web.feeds import requests_left

if TYPE_CHECKING:
    from forwarder.app import Forwarder
    from forwarder.store.records import PollResult

OK: Final = "ok"
RESULTS: Final = (OK, *(kind.result for kind in (KeyRefused, NotFound, TooManyRequests, Unavailable, BadAnswer)))
"""What a poll or a sweep can come to."""

REASONS: Final = {
    "delivered": "",
    "retry": "failed",
    "rate_limited": "rate_limit",
    "uncertain": "no_clear_answer",
    "not_found": "not_found_yet",
    "rejected": "refused",
    "broken": "needs_a_person",
    "gave_up": "failed_too_long",
}
"""What an attempt can come to, and why in a word: the sentences that remotes say belong to the log, not into labels."""

COUNT_EVERY: Final = 60.0
"""Seconds for which the count of what is overdue holds."""
_PEOPLE: Final = (60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 259200.0, 604800.0, 2592000.0)
_REQUEST: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LATENCY: Final = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)

_STANDS: Final = {
    "last_poll_timestamp_seconds": "When the feed was last read in full; 0 before the first time.",
    "feed_age_seconds": "Time since the feed was last read in full, or since the start where it never was.",
    "last_sweep_timestamp_seconds": "When look_back was last re-read in full; 0 before the first time.",
    "cursor_timestamp_seconds": "The newest time of publication that was seen; 0 before the first alert.",
    "request_budget_remaining": "Requests that the API's limit leaves for the current minute.",
    "gaps": "Stretches of the feed that the API may not have shown.",
    "set_aside": "Items of the feed that are not valid alerts.",
    "unrouted_alerts": "Alerts that no route names a connector for.",
    "database_bytes": "Size of the database, its write-ahead log included.",
    "replicas": "Processes that share the work on a PostgreSQL database; not there on a file.",
}
_STANDS_OF: Final = {
    "sweep_reach_timestamp_seconds": (
        "The time of publication back to which sweeps can read, where that is not all of look_back; 0 where it is.",
        "severity",
    ),
    "account_feed_age_seconds": ("Time since an account's feed was last read in full.", "account"),
    "account_cursor_timestamp_seconds": ("The newest time of publication that an account's feed showed.", "account"),
    "account_last_sweep_timestamp_seconds": ("When an account's feed was last swept in full.", "account"),
    "account_key_refused": ("Whether the API refuses an account's key.", "account"),
    "account_request_budget_remaining": ("Requests that an account's limit leaves for the current minute.", "account"),
    "queue_deliveries": ("Deliveries that are owed and not settled.", "connector", "state"),
    "oldest_waiting_seconds": ("How long the oldest of them has been owed; 0 where none is.", "connector"),
    "connector_failing": (
        "Whether what waits was tried in vain, and the destination answered nothing since.",
        "connector",
    ),
    "criticals_waiting": ("New and changed critical alerts that wait.", "connector"),
    "connector_paused": ("Whether the connector accepts no deliveries until a person acts.", "connector"),
    "dead_letters": ("Deliveries that wait for a person's decision.", "connector"),
    "held_deliveries": ("Deliveries whose time has not come: of a schedule, or of a digest.", "connector"),
    "unresolved_alerts": ("Alerts that went out and are not resolved.", "severity", "status"),
    "overdue_alerts": ("Those of them whose due date has passed.", "severity"),
    "listening": ("Whether people who act at the destination are heard.", "connector"),
    "look_age_seconds": (
        "Time since the destination was last looked at for what people did; since the start where it never was.",
        "connector",
    ),
    "alarms": ("Troubles of the forwarder's own that go on.", "kind"),
    "role_held": ("Whether this replica has the role; not there on a file, where one process has all.", "role"),
}


class Metrics(Listener):
    """Counts what happens, from the moment it is made; ``registry`` holds the counts.

    ``connectors`` returns the names of those in use, which a reload changes.
    """

    def __init__(self, connectors: Callable[[], Collection[str]], *, now: Now) -> None:
        # Whether a counter was reset shows in its value; a second series for each would say nothing more.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self._connectors, self._now = connectors, now
        ProcessCollector(registry=registry)
        build = Gauge("forwarder_build_info", "The version that runs.", ("version", "python"), registry=registry)
        build.labels(__version__, platform.python_version()).set(1)
        self._polls = _counter("polls", "Polls of the feed, by result.", ("result",), registry)
        self._sweeps = _counter("sweeps", "Re-reads of the time behind the cursor, by result.", ("result",), registry)
        self._alerts = _counter("alerts", "New alerts, by severity.", ("severity",), registry)
        self._unrouted = _counter("alerts_unrouted", "New alerts that no route names a connector for.", (), registry)
        self._aside = _counter(
            "alerts_set_aside", "Items of the feed that turned out not to be valid alerts.", (), registry
        )
        self._reloads = _counter("config_reloads", "Configs that were taken over or refused.", ("result",), registry)
        self._store = _counter("store_failures", "Writes that the database refused.", (), registry)
        self._attempts = _counter(
            "deliveries",
            "Attempts to deliver, by what came of each and why.",
            ("connector", "outcome", "reason"),
            registry,
        )
        self._poll_time = _histogram("poll_duration", "Time that a poll took.", (), _REQUEST, registry)
        self._attempt_time = _histogram(
            "delivery_duration", "Time that one attempt took.", ("connector",), _REQUEST, registry
        )
        self._latency = _histogram(
            "delivery_latency", "Time from owing an alert to its delivery.", ("connector",), _LATENCY, registry
        )
        self._responses = _counter(
            "responses", "What people decided, where this was heard.", ("action", "place"), registry
        )
        self._to_acknowledge = _histogram(
            "time_to_acknowledge", "Time from seeing an alert to its first response.", ("severity",), _PEOPLE, registry
        )
        self._to_resolve = _histogram(
            "time_to_resolve", "Time from seeing an alert to its being resolved.", ("severity",), _PEOPLE, registry
        )
        for result in RESULTS:
            self._polls.labels(result)
            self._sweeps.labels(result)
        for severity in Severity:
            self._alerts.labels(severity.value)
            self._to_acknowledge.labels(severity.value)
            self._to_resolve.labels(severity.value)
        for result in (OK, "refused"):
            self._reloads.labels(result)
        self._expect()

    def _expect(self) -> None:
        """Shows the counts of every connector, at zero where nothing happened yet."""
        for place in (*self._connectors(), PAGE):
            for action in Action:
                self._responses.labels(action.value, place)
        for connector in self._connectors():
            self._attempt_time.labels(connector)
            self._latency.labels(connector)
            for outcome, reason in REASONS.items():
                self._attempts.labels(connector, outcome, reason)

    # What a listener hears

    def sweep_failed(self, error: SentrytexError) -> None:
        self._sweeps.labels(error.result).inc()

    def polled(self, result: PollResult, seconds: float) -> None:
        if result.sweep:
            self._sweeps.labels(OK).inc()
        else:
            self._polls.labels(OK).inc()
            self._poll_time.observe(seconds)
        for alert in result.new:
            self._alerts.labels(alert.severity.value).inc()
        self._unrouted.inc(len(result.unrouted))
        self._aside.inc(len(result.set_aside))

    def poll_failed(self, error: SentrytexError, seconds: float) -> None:
        self._polls.labels(error.result).inc()
        self._poll_time.observe(seconds)

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        connector, outcome = attempt.connector, attempt.settlement.outcome
        self._attempts.labels(connector, outcome, REASONS[outcome]).inc()
        self._attempt_time.labels(connector).observe(attempt.seconds)
        delivery = attempt.claimed.delivery
        if outcome is AttemptResult.DELIVERED and delivery.kind is Kind.OPEN:
            self._latency.labels(connector).observe(max(self._now() - delivery.enqueued_at.timestamp(), 0.0))

    def responded(self, responded: Responded) -> None:
        response = responded.latest
        if response is None:
            return
        self._responses.labels(response.action.value, response.place).inc()
        seconds, severity = max(response.at.timestamp() - responded.seen_at, 0.0), responded.severity.value
        if response.number == 1:
            self._to_acknowledge.labels(severity).observe(seconds)
        if response.action is Action.RESOLVE:
            self._to_resolve.labels(severity).observe(seconds)

    def store_failed(self, reason: str) -> None:  # noqa: ARG002
        self._store.inc()

    def reloaded(self, *, ok: bool) -> None:
        self._reloads.labels(OK if ok else "refused").inc()
        self._expect()


class Gauges:
    """How things stand, read at each scrape. Where the database cannot be read, what only it knows is left out."""

    def __init__(self, forwarder: Forwarder, store: Store) -> None:
        self._forwarder, self._store = forwarder, store
        self._counted: tuple[float, dict[Severity, int]] = (-math.inf, {})

    def describe(self) -> Iterable[Metric]:
        """The names, for the registry: without any sample."""
        return _families().values()

    def collect(self) -> Iterator[Metric]:
        families = _families()
        families["request_budget_remaining"].add_metric((), requests_left(self._forwarder))
        families["database_bytes"].add_metric((), self._store.engine.size_bytes())
        self._of_roles(families)
        with suppress(StoreError):
            self._of_feed(families)
            self._of_queues(families)
            self._of_life(families)
            self._of_alarms(families)
        yield from (family for family in families.values() if family.samples)

    def _of_roles(self, families: dict[str, GaugeMetricFamily]) -> None:
        forwarder = self._forwarder
        if not forwarder.holder.shares:
            return
        if (muster := forwarder.holder.muster()) is not None:
            families["replicas"].add_metric((), len(muster.replicas))
        for role in roles_of(forwarder.config.connectors, forwarder.config.sentrytex.keys):
            families["role_held"].add_metric((role,), float(forwarder.holds(role)))

    def _of_feed(self, families: dict[str, GaugeMetricFamily]) -> None:
        states, now = self._store.accounts.feeds(self._forwarder.feeds), self._forwarder.clock()
        if self._forwarder.feeds.are_named:
            self._of_accounts(families, states)
        feed = together(states)
        since = self._forwarder.started_at if feed.polled_at is None else feed.polled_at
        totals = self._store.queries.totals()
        for name, value in {
            "last_poll_timestamp_seconds": feed.polled_at or 0.0,
            "feed_age_seconds": max(now - since, 0.0),
            "last_sweep_timestamp_seconds": feed.swept_at or 0.0,
            "cursor_timestamp_seconds": feed.cursor or 0.0,
            "gaps": totals["gaps"],
            "set_aside": totals["set_aside"],
            "unrouted_alerts": totals["unrouted"],
        }.items():
            families[name].add_metric((), value)
        for severity in Severity:
            families["sweep_reach_timestamp_seconds"].add_metric((severity.value,), feed.reach.get(severity, 0.0))

    def _of_accounts(self, families: dict[str, GaugeMetricFamily], states: Mapping[str, Feed]) -> None:
        """How each named account stands; what has no label tells of the one that is furthest behind."""
        now, started_at = self._forwarder.clock(), self._forwarder.started_at
        for account, state in states.items():
            since = max(state.started_at or 0.0, started_at) if state.polled_at is None else state.polled_at
            families["account_feed_age_seconds"].add_metric((account,), max(now - since, 0.0))
            families["account_cursor_timestamp_seconds"].add_metric((account,), state.cursor or 0.0)
            families["account_last_sweep_timestamp_seconds"].add_metric((account,), state.swept_at or 0.0)
            families["account_key_refused"].add_metric((account,), float(state.key_refused is not None))
            left = self._forwarder.feeds[account].budget.left if account in self._forwarder.feeds else 0
            families["account_request_budget_remaining"].add_metric((account,), left)

    def _of_queues(self, families: dict[str, GaugeMetricFamily]) -> None:
        now = self._forwarder.clock()
        for queue in self._store.queries.queues(self._forwarder.config.connectors, since=now):
            for state, count in _waiting(queue):
                families["queue_deliveries"].add_metric((queue.connector, state), count)
            waited = 0.0 if queue.oldest_enqueued_at is None else max(now - queue.oldest_enqueued_at, 0.0)
            families["oldest_waiting_seconds"].add_metric((queue.connector,), waited)
            families["connector_failing"].add_metric((queue.connector,), float(queue.failing_since is not None))
            families["criticals_waiting"].add_metric((queue.connector,), queue.criticals)
            families["connector_paused"].add_metric((queue.connector,), float(queue.pause is not None))
            families["dead_letters"].add_metric((queue.connector,), queue.dead)

    def _of_life(self, families: dict[str, GaugeMetricFamily]) -> None:
        forwarder, now = self._forwarder, self._forwarder.clock()
        unresolved, late = self._store.figures.unresolved(), self._overdue(now)
        for severity in Severity:
            families["overdue_alerts"].add_metric((severity.value,), late.get(severity, 0))
            for status in (Status.OPEN, Status.ACKNOWLEDGED):
                count = unresolved.get((severity, status), 0)
                families["unresolved_alerts"].add_metric((severity.value, status.value), count)
        held = self._store.lifecycle.held()
        for name, connector in forwarder.in_use().items():
            families["held_deliveries"].add_metric((name,), held.get(name, 0))
            # Who has it knows whether it hears.
            if connector.listens and forwarder.holds(of_connector(name)):
                families["listening"].add_metric((name,), float(name not in forwarder.life.responses.deaf))
            if connector.look_every is not None:
                looked_at = self._store.lifecycle.look_of(name).looked_at
                since = forwarder.started_at if looked_at is None else looked_at
                families["look_age_seconds"].add_metric((name,), max(now - since, 0.0))

    def _overdue(self, now: float) -> dict[Severity, int]:
        """How many alerts are overdue, counted once a minute: it looks at each that is not resolved."""
        at, late = self._counted
        if not 0 <= now - at < COUNT_EVERY:
            at, late = self._counted = now, overdue(self._store, self._forwarder.in_use(), now)
        return late

    def _of_alarms(self, families: dict[str, GaugeMetricFamily]) -> None:
        standing = [alarm.type for alarm in self._store.alarms.active()]
        for kind in AlarmType:
            families["alarms"].add_metric((kind.value,), standing.count(kind.value))


def _waiting(queue: Queue) -> Sequence[tuple[str, int]]:
    return ("ready", queue.ready), ("sending", queue.sending), ("uncertain", queue.uncertain)


def _families() -> dict[str, GaugeMetricFamily]:
    plain = {name: GaugeMetricFamily(f"forwarder_{name}", text, labels=()) for name, text in _STANDS.items()}
    labelled = {
        name: GaugeMetricFamily(f"forwarder_{name}", text, labels=labels)
        for name, (text, *labels) in _STANDS_OF.items()
    }
    return plain | labelled


def _counter(name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> Counter:
    return Counter(f"forwarder_{name}_total", text, labels, registry=registry)


def _histogram(
    name: str, text: str, labels: Sequence[str], buckets: Sequence[float], registry: CollectorRegistry
) -> Histogram:
    return Histogram(f"forwarder_{name}_seconds", text, labels, buckets=buckets, registry=registry)
