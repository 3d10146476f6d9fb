"""What keeps failing never holds up what works: the dispatcher with all its parts, in simulated time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forwarder.alert import Alert, Severity
from forwarder.connector import Broken, Outcome, Retry, Uncertain
from forwarder.delivery.breaker import DOWN
from tests.kit.samples import alert
from tests.kit.simulation import Behaviour, Simulation


def fail(_delivery: object) -> Outcome:
    return Retry("HTTP 502")


def fail_soon(_delivery: object) -> Outcome:
    return Retry("HTTP 503", after=1.0)


def lose(_delivery: object) -> Outcome:
    return Uncertain("HTTP 502")


def explode(_delivery: object) -> Outcome:
    raise RuntimeError("unforeseen")


def break_contract(_delivery: object) -> Outcome:
    return None  # type: ignore[return-value]


TIMEOUT: Final = 10.0
POISON: Final[Mapping[str, Behaviour]] = {
    "refused": Behaviour(answer=fail),
    "refused with a time": Behaviour(answer=fail_soon),
    "lost": Behaviour(answer=lose),
    "unrenderable": Behaviour(renders=False),
    "exploding": Behaviour(answer=explode),
    "against the contract": Behaviour(answer=break_contract),
    "timing out": Behaviour(answer=lose, seconds=TIMEOUT),
}
QUICK: Final = [name for name, one in POISON.items() if one.seconds < 1]
SECONDS: Final = 0.1
"""How long what works takes."""


@contextmanager
def simulated(behaviour: Mapping[str, Behaviour], **more: Any) -> Iterator[Simulation]:
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(Path(folder) / "forwarder.db", behaviour, **more)
        try:
            yield simulation
        finally:
            simulation.close()


def some(count: int, name: str, severity: str) -> list[Alert]:
    return [alert(id=f"{name}-{number}", title=f"{name} {number}", severity=severity) for number in range(count)]


def poisoned(count: int, kinds: list[str]) -> dict[str, Behaviour]:
    return {f"poison-{number}": POISON[kinds[number % len(kinds)]] for number in range(count)}


def healthy(simulation: Simulation) -> Callable[[], int]:
    """How many of the healthy ones arrived."""
    return lambda: sum(name.startswith("healthy") for name in simulation.delivered())


def sends(simulation: Simulation, name: str) -> int:
    return sum(attempt.claimed.delivery.alert.id.startswith(name) for _, attempt in simulation.heard)


@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("kind", [*QUICK, "any"])
def test_poison_holds_up_no_healthy_delivery(count: int, kind: str) -> None:
    """Sixty healthy ones take half a minute at 120 a minute, and little longer behind criticals that always fail."""
    kinds = QUICK if kind == "any" else [kind]
    with simulated(poisoned(count, kinds), seed=count, max_rate="120/min") as simulation:
        simulation.owe(*some(count, "poison", "critical"))
        simulation.owe(*some(60, "healthy", "critical" if kind == "any" else "high"))
        simulation.run(45, until=lambda: healthy(simulation)() == 60)
        assert healthy(simulation)() == 60
        assert sends(simulation, "poison") <= 2 * count + 5


@pytest.mark.parametrize("count", [3, 5])
def test_poison_that_is_slow_holds_up_no_healthy_delivery(count: int) -> None:
    """One time-out among the failures takes a worker, never all of them."""
    kinds = ["refused", "lost", "timing out"]
    with simulated(poisoned(count, kinds), max_rate="120/min") as simulation:
        simulation.owe(*some(count, "poison", "critical"), *some(60, "healthy", "high"))
        simulation.run(45, until=lambda: healthy(simulation)() == 60)
        assert healthy(simulation)() == 60


def test_what_keeps_failing_is_sent_ever_more_rarely() -> None:
    """Under a steady stream it takes few of the sends, backs off, and is still given up in the end."""
    with simulated(
        poisoned(5, QUICK), max_rate="60/min", give_up_after="6h", reconcile_after=(10, 60, 300)
    ) as simulation:
        simulation.owe(*some(5, "poison", "critical"))
        hourly = []
        for hour in range(8):
            before = sends(simulation, "poison")
            for minute in range(60):
                simulation.owe(alert(id=f"healthy-{hour}-{minute}", severity="low"))
                simulation.run(60)
            hourly.append(sends(simulation, "poison") - before)
        assert healthy(simulation)() == 480
        assert max(hourly[1:]) <= 5 * 6
        assert hourly[-1] == 0
        with simulation.store.engine.read() as connection:
            dead = connection.execute("SELECT count(*) FROM deliveries WHERE state = 'dead'").fetchone()[0]
        assert dead == 5


def test_a_critical_that_failed_once_is_not_starved() -> None:
    """What failed by a passing trouble goes by its severity again, though lows wait without end."""
    answers = iter([Retry("HTTP 500")])
    critical = Behaviour(answer=lambda delivery: next(answers, None) or Behaviour().answer(delivery))
    with simulated({"critical": critical}, max_rate="60/min") as simulation:
        simulation.owe(alert(id="critical", severity="critical"), *some(500, "low", "low"))
        simulation.run(10, until=lambda: "critical" in simulation.delivered())
        assert simulation.delivered()["critical"] <= 5


def test_a_critical_is_not_starved_among_poison() -> None:
    """What failed once has its turn before what failed often, though lows wait without end."""
    answers = iter([Retry("HTTP 500")])
    critical = Behaviour(answer=lambda delivery: next(answers, None) or Behaviour().answer(delivery))
    with simulated({**poisoned(10, ["refused"]), "critical": critical}, max_rate="120/min") as simulation:
        simulation.owe(*some(10, "poison", "critical"), *some(500, "low", "low"))
        simulation.run(120)
        simulation.owe(alert(id="critical"))
        simulation.run(30)
        assert "critical" in simulation.delivered()


def test_healthy_ones_keep_their_order() -> None:
    """Criticals come first among those that work, but for the one in a while that is drawn to try the destination."""
    with simulated(poisoned(6, ["refused"]), max_rate="120/min", concurrency=1) as simulation:
        simulation.owe(*some(30, "healthy-low", "low"), *some(6, "poison", "critical"))
        simulation.owe(*some(30, "healthy-critical", "critical"))
        simulation.run(60)
        order = [name for name in simulation.delivered() if name.startswith("healthy")]
        assert sum(name.startswith("healthy-critical") for name in order[:33]) == 30


def test_a_real_outage_is_probed_by_one_at_a_time_and_ends_for_all_at_once() -> None:
    """After an hour in which nothing was taken, all that failed goes by severity at once."""
    with simulated({}, max_rate="120/min", concurrency=4) as simulation:
        simulation.destination.down = lambda: Retry("HTTP 503") if simulation.elapsed < 3600 else None
        simulation.owe(*some(20, "critical", "critical"), *some(40, "low", "low"))
        simulation.run(3600)
        assert len(simulation.heard) <= 3600 / DOWN.most * 2 + 10
        simulation.run(60 + 40)
        order = list(simulation.delivered())
        assert len(order) == 60
        assert all(name.startswith("critical") for name in order[1:20])


def test_an_outage_soon_after_another_does_not_delay_what_failed_in_both() -> None:
    """A destination that works for moments between long outages is no reason to wait for half an hour."""
    with simulated({}, concurrency=2) as simulation:
        simulation.destination.down = lambda: None if 3600 <= simulation.elapsed < 3661 else Retry("HTTP 503")
        simulation.owe(*some(40, "low", "low"))
        simulation.run(3600)
        simulation.destination.down = lambda: None if simulation.elapsed > 7200 else Retry("HTTP 503")
        simulation.owe(*some(5, "critical", "critical"))
        simulation.run(3601)
        simulation.run(70)
        assert len(simulation.delivered()) == 45


def test_what_was_learnt_outlives_the_process() -> None:
    """After a restart what kept failing is known, and holds up nothing."""
    with simulated(poisoned(10, ["refused"]), max_rate="120/min") as simulation:
        simulation.owe(*some(10, "poison", "critical"), *some(20, "healthy-a", "high"))
        simulation.run(40)
        simulation.restart()
        simulation.owe(*some(20, "healthy-b", "high"))
        simulation.run(15)
        assert healthy(simulation)() == 40


def test_a_paused_destination_is_probed_with_what_was_tried_least_recently() -> None:
    """What paused it may be the message's own trouble, and what cannot be rendered is no probe at all."""
    broken = Behaviour(answer=lambda _: Broken("the proxy says 403"))
    with simulated({"poison-0": broken, "poison-1": POISON["unrenderable"]}) as simulation:
        simulation.owe(*some(2, "poison", "critical"), *some(3, "healthy", "low"))
        simulation.run(65)
        assert healthy(simulation)() >= 1


def test_one_message_that_calls_the_destination_broken_holds_up_no_other() -> None:
    """Once others arrived after it, it fails by itself; before that it pauses the connector like any other."""
    broken = Behaviour(answer=lambda _: Broken("the proxy says 403"))
    with simulated({f"poison-{n}": broken for n in range(3)}, max_rate="120/min") as simulation:
        simulation.owe(*some(3, "poison", "critical"), *some(60, "healthy", "high"))
        simulation.run(65 + 125 + 65 + 45, until=lambda: healthy(simulation)() == 60)
        assert healthy(simulation)() == 60
        simulation.run(600)
        assert simulation.store.outbox.pause_of("target") is None
        simulation.destination.down = lambda: Broken("the token was revoked")
        simulation.owe(alert(id="healthy-last"))
        simulation.run(1)
        assert simulation.store.outbox.pause_of("target") is not None


# The bound


def bound(working: int, failing: list[str], *, interval: float, concurrency: int) -> float:
    """Seconds within which every healthy delivery has arrived, whatever the dice say.

    As docs/reliability.md has it: what is ahead at the connector's pace and 1/19 more; two sends of each that fails;
    the time-outs of two of these sends, for each that times out; and the pauses while the destination looks down.
    """
    step = max(interval, SECONDS) if concurrency == 1 else max(interval, SECONDS / concurrency)
    slow = sum(kind == "timing out" for kind in failing)
    pauses: float = sum(min(DOWN.most, DOWN.first * 2**number) for number in range(len(failing)))
    return (working + 2 * len(failing) + 4) * step * 20 / 19 + 2 * slow * TIMEOUT + pauses + SECONDS


SEVERITIES: Final = st.sampled_from(list(Severity))


@given(
    works=st.lists(SEVERITIES, min_size=1, max_size=25),
    fails=st.lists(st.tuples(SEVERITIES, st.sampled_from(sorted(POISON))), max_size=12),
    rate=st.sampled_from(["120/min", "1/s", "10/s", None]),
    concurrency=st.integers(1, 8),
    looks=st.sampled_from([(), (10.0, 60.0, 300.0)]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_delay_of_what_works_is_bounded(  # noqa: PLR0917 - hypothesis passes them by name
    works: list[Severity],
    fails: list[tuple[Severity, str]],
    rate: str | None,
    concurrency: int,
    looks: tuple[float, ...],
    seed: int,
) -> None:
    """Any mix of healthy and failing deliveries, of any severities, at any rate and concurrency."""
    behaviour = {f"poison-{number}": POISON[kind] for number, (_, kind) in enumerate(fails)}
    with simulated(behaviour, seed=seed, max_rate=rate, concurrency=concurrency, reconcile_after=looks) as simulation:
        simulation.owe(*(alert(id=f"poison-{n}", severity=severity) for n, (severity, _) in enumerate(fails)))
        simulation.owe(*(alert(id=f"healthy-{n}", severity=severity) for n, severity in enumerate(works)))
        interval = 0.0 if rate is None else simulation.destination.config.max_rate.interval  # type: ignore[union-attr]
        limit = bound(len(works), [kind for _, kind in fails], interval=interval, concurrency=concurrency)
        simulation.run(limit + 0.1, until=lambda: healthy(simulation)() == len(works))
        assert healthy(simulation)() == len(works), f"not within {limit:.1f} s"
