"""The metrics and the health checks: what machines read."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from forwarder.app import STANDS_STILL, Forwarder
from forwarder.connector import Kind
from forwarder.events import AttemptFinished
from forwarder.feed.client import SentrytexError
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store.records import AttemptResult, Settlement
from forwarder.testing import alert
from forwarder.web.health import WRITE_EVERY, Health, Missing
from forwarder.web.metrics import REASONS, RESULTS, Metrics
from tests.kit import core as core_kit
from tests.kit import store as store_kit
from tests.kit.core import no_threads
from tests.kit.store import NOW, file_of
from tests.kit.web import Site, furnish, serving, sweep_short

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

CONNECTORS = ("secops", "oncall", "tickets")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as running:
        yield running


def scrape(site: Site) -> Samples:
    """Every sample that a scrape shows, by name and labels."""
    answer = site.client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"forwarder_{name}", tuple(sorted(labels.items()))]


def test_promtool_finds_nothing_wrong(site: Site) -> None:
    """Names, units, types and help texts are as Prometheus' conventions ask."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: Debian has it in the package prometheus")
    furnish(site.store)
    text = site.client.get("/metrics").text
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_every_set_of_labels_is_there_from_the_start(site: Site) -> None:
    """Before anything happened, all that can be counted stands at zero."""
    samples = scrape(site)
    for connector in CONNECTORS:
        for outcome, reason in REASONS.items():
            assert value(samples, "deliveries_total", connector=connector, outcome=outcome, reason=reason) == 0
        for state in ("ready", "sending", "uncertain"):
            assert value(samples, "queue_deliveries", connector=connector, state=state) == 0
        for name in (
            "oldest_waiting_seconds",
            "connector_failing",
            "criticals_waiting",
            "connector_paused",
            "dead_letters",
            "delivery_latency_seconds_count",
        ):
            assert value(samples, name, connector=connector) == 0
    for result in RESULTS:
        assert value(samples, "polls_total", result=result) == 0
        assert value(samples, "sweeps_total", result=result) == 0
    for severity in ("critical", "high", "medium", "low"):
        assert value(samples, "alerts_total", severity=severity) == 0
    assert value(samples, "alarms", kind="key_refused") == 0
    assert value(samples, "config_reloads_total", result="refused") == 0
    for name in ("alerts_unrouted_total", "alerts_set_aside_total", "store_failures_total", "gaps", "set_aside"):
        assert value(samples, name) == 0
    assert not [name for name, _ in samples if name.endswith("_created")]


def test_gauges_tell_how_things_stand(site: Site) -> None:
    """Queues, pauses, dead letters, troubles and the feed are read from the database at each scrape."""
    furnish(site.store)
    samples = scrape(site)
    assert value(samples, "last_poll_timestamp_seconds") == NOW - 30
    assert value(samples, "feed_age_seconds") == 30
    assert value(samples, "cursor_timestamp_seconds") == NOW - 60
    assert value(samples, "request_budget_remaining") == 100
    assert value(samples, "queue_deliveries", connector="oncall", state="ready") == 1
    assert value(samples, "queue_deliveries", connector="tickets", state="uncertain") == 1
    assert value(samples, "queue_deliveries", connector="renamed", state="ready") == 1
    assert value(samples, "oldest_waiting_seconds", connector="oncall") == 700
    assert value(samples, "connector_paused", connector="oncall") == 1
    assert value(samples, "connector_failing", connector="tickets") == 1
    assert value(samples, "connector_failing", connector="secops") == 0
    assert value(samples, "criticals_waiting", connector="secops") == 0
    assert value(samples, "dead_letters", connector="oncall") == 1
    assert value(samples, "alarms", kind="gap") == 1
    assert (value(samples, "gaps"), value(samples, "set_aside"), value(samples, "unrouted_alerts")) == (1, 1, 1)
    assert value(samples, "database_bytes") >= file_of(site.store).stat().st_size


def test_criticals_that_wait_are_counted_by_connector(site: Site) -> None:
    """A rule can tell a queue of criticals from any other."""
    for number, severity in enumerate(("critical", "critical", "high")):
        store_kit.enqueue(site.store, alert(id=f"a{number}", severity=severity), "oncall")
    assert value(scrape(site), "criticals_waiting", connector="oncall") == 2


def test_gauges_tell_how_far_sweeps_reach(site: Site) -> None:
    """The time back to which a severity is read where sweeps fall short; 0 where all of look_back is."""
    assert value(scrape(site), "last_sweep_timestamp_seconds") == 0
    sweep_short(site.store)
    samples = scrape(site)
    assert value(samples, "last_sweep_timestamp_seconds") == NOW - 20
    assert value(samples, "sweep_reach_timestamp_seconds", severity="high") == NOW - 86400
    assert value(samples, "sweep_reach_timestamp_seconds", severity="low") == 0


@pytest.mark.parametrize(
    ("settlement", "outcome"),
    [
        (store_kit.delivered(), "delivered"),
        (store_kit.failed(), "retry"),
        (store_kit.failed(outcome=AttemptResult.RATE_LIMITED), "rate_limited"),
        (store_kit.uncertain(), "uncertain"),
        (store_kit.failed(outcome=AttemptResult.NOT_FOUND), "not_found"),
        (store_kit.dead(), "rejected"),
        (store_kit.paused(), "broken"),
        (store_kit.failed(outcome=AttemptResult.GAVE_UP), "gave_up"),
    ],
)
def test_every_outcome_is_counted(site: Site, settlement: Settlement, outcome: str) -> None:
    """An attempt counts once under its connector, outcome and reason, with the time it took."""
    store_kit.enqueue(site.store, alert(), "secops", now=NOW - 90)
    claimed = store_kit.claim(site.store)
    site.forwarder.listeners.attempt_finished(
        AttemptFinished(connector="secops", claimed=claimed, settlement=settlement, seconds=0.3)
    )
    samples = scrape(site)
    counted = {
        labels: count for (name, labels), count in samples.items() if name == "forwarder_deliveries_total" and count
    }
    assert counted == {(("connector", "secops"), ("outcome", outcome), ("reason", REASONS[outcome])): 1}
    assert value(samples, "delivery_duration_seconds_bucket", connector="secops", le="0.25") == 0
    assert value(samples, "delivery_duration_seconds_bucket", connector="secops", le="0.5") == 1
    assert claimed.delivery.kind is Kind.OPEN
    assert value(samples, "delivery_latency_seconds_sum", connector="secops") == (90 if outcome == "delivered" else 0)


def test_every_outcome_of_the_core_has_a_reason() -> None:
    """No settlement can bring a word that is not among the labels."""
    assert REASONS.keys() == set(AttemptResult)


def test_polls_sweeps_and_alerts_are_counted(tmp_path: Path, sandbox: Sandbox) -> None:
    """What the feed brought is counted by severity, and each poll by its result."""
    config = core_kit.loaded(tmp_path, sandbox)
    store = Store.open_exclusive(config.database)
    forwarder = Forwarder(config, store)
    metrics = Metrics(lambda: config.connectors, now=forwarder.clock)
    forwarder.listeners.add(metrics)
    sandbox.sentrytex.publish(core_kit.recent(1), core_kit.recent(2, severity="low"), {"title": "no id"})
    forwarder.poll()
    forwarder.sweep()
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503))
    with pytest.raises(SentrytexError):
        forwarder.poll()
    forwarder.stop(1)
    store.close()

    def count(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"forwarder_{name}", labels)

    assert (count("polls_total", result="ok"), count("polls_total", result="unavailable")) == (1, 1)
    assert count("sweeps_total", result="ok") == 1
    assert (count("alerts_total", severity="critical"), count("alerts_total", severity="low")) == (1, 1)
    assert (count("alerts_unrouted_total"), count("alerts_set_aside_total")) == (1, 1)
    assert count("poll_duration_seconds_count") == 2


def test_a_reload_shows_the_new_connectors_at_zero(site: Site) -> None:
    """A connector that a reload brings is counted from its first moment on."""
    connectors = ["secops"]
    metrics = Metrics(lambda: connectors, now=site.time)
    connectors.append("brand-new")
    metrics.reloaded(ok=True)
    metrics.reloaded(ok=False)
    metrics.store_failed("the disk is full")
    sample = metrics.registry.get_sample_value
    labels = {"connector": "brand-new", "outcome": "rejected", "reason": "refused"}
    assert sample("forwarder_deliveries_total", labels) == 0
    assert sample("forwarder_config_reloads_total", {"result": "ok"}) == 1
    assert sample("forwarder_config_reloads_total", {"result": "refused"}) == 1
    assert sample("forwarder_store_failures_total") == 1


def test_a_scrape_without_the_database_still_counts(site: Site) -> None:
    """When the database cannot be read, the counters are shown all the same: they tell of it."""
    site.forwarder.listeners.store_failed("the disk is full")
    file_of(site.store).with_name("forwarder.db-wal").write_bytes(b"")
    file_of(site.store).write_bytes(b"no database any more" * 4096)
    samples = scrape(site)
    assert value(samples, "store_failures_total") == 1
    assert ("forwarder_gaps", ()) not in samples


# Health


def test_it_is_ready_while_polls_succeed(site: Site) -> None:
    """Ready means that the feed was read lately; ten minutes is late enough to say otherwise."""
    assert site.client.get("/readyz").json() == {"ready": True}
    site.time.advance(601)
    site.store.feed.poll_failed("The Sentrytex API did not answer in time.")
    answer = site.client.get("/readyz")
    assert answer.status_code == 503
    why = "The last complete poll was 10m 6s ago. The Sentrytex API did not answer in time."
    assert answer.json() == {"ready": False, "reasons": [why], "missing": [{"what": "feed", "why": why}]}


def test_the_alarm_the_page_and_the_probe_call_the_feed_unread_at_the_same_second(site: Site) -> None:
    """After ten minutes without a complete poll all three still say that it is well, and a second later none does."""
    site.time.advance(600)
    site.forwarder.review_alarms()
    assert site.store.alarms.active() == []
    assert site.client.get("/readyz").status_code == 200
    assert "All is well" in site.text("/")
    site.time.advance(1)
    site.forwarder.review_alarms()
    assert [alarm.type for alarm in site.store.alarms.active()] == ["feed_unread"]
    assert site.client.get("/readyz").status_code == 503
    assert "This needs you now: the feed was last read 10m 6s ago." in site.text("/")


def test_ready_is_who_has_read_the_feed_itself(site: Site) -> None:
    """What another process read says nothing of this one's key: a rolling update must not replace a good one by it."""
    forwarder = Forwarder(site.forwarder.config, site.store, clock=site.forwarder.clock)
    health = Health(forwarder, site.store)
    (missing,) = health.missing()
    assert missing == Missing(what="feed", why="No poll was complete since the start of this process.")
    site.store.feed.poll_failed("The Sentrytex API refused the key.")
    (missing,) = health.missing()
    assert missing.why.endswith("since the start of this process. The Sentrytex API refused the key.")
    forwarder.feeds["default"].has_read = True
    assert health.missing() == []


def test_it_is_not_ready_while_it_stops(site: Site) -> None:
    """No more is sent to a process that ends; that it is alive stays true."""
    forwarder = Forwarder(site.forwarder.config, site.store, clock=site.forwarder.clock)
    forwarder.feeds["default"].has_read = True
    forwarder.stop(0)
    assert Health(forwarder, site.store).missing() == [Missing(what="process", why="The forwarder is stopping.")]
    assert Health(forwarder, site.store).stalled() == []


def test_a_destination_that_is_down_is_no_reason(site: Site) -> None:
    """The others work, and another process would not reach it either."""
    furnish(site.store)
    assert site.store.outbox.pause_of("oncall") is not None
    assert site.client.get("/readyz").json() == {"ready": True}


def test_it_is_not_ready_when_the_database_takes_no_writes(site: Site) -> None:
    """A write that fails is a reason. It is tried every few seconds only: probes must not keep the disk busy."""
    now, visitor = store_kit.Time(), Store.open_shared(file_of(site.store))
    health = Health(site.forwarder, visitor, clock=now)
    assert health.missing() == []
    site.store.close()
    now.advance(WRITE_EVERY - 1)
    assert health.missing() == []
    now.advance(1)
    assert health.missing() == [Missing(what="store", why=f"The database {file_of(site.store)} is closed.")]
    visitor.close()


def test_alive_is_told_even_without_a_database(site: Site) -> None:
    """Liveness is about the process alone: a restart mends no disk."""
    site.store.close()
    assert site.client.get("/healthz").json() == {"alive": True}


def test_what_does_not_turn_is_told_to_both_probes(site: Site) -> None:
    """A job that hangs makes it unhealthy, and unready too; whoever may not see the page hears only that."""
    site.forwarder.tend()
    assert site.client.get("/healthz").json() == {"alive": True}
    site.forwarder._tended_at = -2 * STANDS_STILL
    answer = site.client.get("/healthz")
    (reason,) = answer.json()["reasons"]
    assert (answer.status_code, answer.json()["alive"]) == (503, False)
    assert reason.startswith("The main loop has stood still for ")
    unready = site.client.get("/readyz").json()
    assert [thing["what"] for thing in unready["missing"]] == ["threads"]


def test_readiness_without_a_thread_is_told(site: Site) -> None:
    """Whoever asks must not wait for a thread that the system does not give."""
    assert site.client.get("/healthz").json() == {"alive": True}
    with no_threads():
        assert site.client.get("/healthz").json() == {"alive": True}
        answer = site.client.get("/readyz")
    assert (answer.status_code, [thing["what"] for thing in answer.json()["missing"]]) == (503, ["threads"])
    assert site.client.get("/readyz").json() == {"ready": True}
