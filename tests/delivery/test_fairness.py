"""What keeps failing never holds up what works: the dispatcher with all its parts, in simulated time."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forwarder.alert import Alert, Severity
from forwarder.connector import Broken, Delivery, Outcome, RateLimited, Retry, Uncertain
from forwarder.delivery.breaker import DOWN
from forwarder.delivery.transitions import LIMITS, LONGEST
from forwarder.store.records import State
from forwarder.testing import alert
from tests.kit.core import rows
from tests.kit.simulation import Behaviour, Simulation
from tests.kit.thorough import beyond


def fail(_delivery: object) -> Outcome:
    return Retry("HTTP 502")


def fail_soon(_delivery: object) -> Outcome:
    return Retry("HTTP 503", after=1.0)


def lose(_delivery: object) -> Outcome:
    return Uncertain("HTTP 502")


def limit(_delivery: object) -> Outcome:
    return RateLimited(1.0, "HTTP 429")


def call_broken(_delivery: object) -> Outcome:
    return Broken("the proxy says 403")


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
    "limited": Behaviour(answer=limit),
    "broken": Behaviour(answer=call_broken),
    "timing out": Behaviour(answer=lose, seconds=TIMEOUT),
}
HOLDING: Final = ("limited", "broken")
"""These speak of the destination as a whole, which is held or paused until another one shows that it works."""
QUICK: Final = [name for name, one in POISON.items() if one.seconds < 1 and name not in HOLDING]
SECONDS: Final = 0.1
"""How long what works takes."""


PROBES_AN_HOUR: Final = 130
"""At most, of a destination that is broken, while new alerts come all the time."""


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


@pytest.mark.each_once
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
        poisoned(5, QUICK), max_rate="60/min", give_up_after="3h", reconcile_after=(10, 60, 300)
    ) as simulation:
        simulation.owe(*some(5, "poison", "critical"))
        hourly = []
        for hour in range(5):
            before = sends(simulation, "poison")
            for minute in range(60):
                simulation.owe(alert(id=f"healthy-{hour}-{minute}", severity="low"))
                simulation.run(60)
            hourly.append(sends(simulation, "poison") - before)
        assert healthy(simulation)() == 300
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


@pytest.mark.each_once
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("answer", [fail, lose])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_few_that_wait_out_an_outage_go_within_a_minute_of_its_end(
    count: int, answer: Callable[[object], Outcome], restarts: bool
) -> None:
    """Their failures are the destination's: none of them backs off to half an hour, in whichever process."""
    with simulated({}, reconcile_after=(10.0, 60.0)) as simulation:
        simulation.destination.down = lambda: answer(None) if simulation.elapsed < 7200 else None
        simulation.owe(*some(count, "critical", "critical"))
        simulation.run(7000)
        if restarts:
            simulation.restart()
        simulation.run(200 + DOWN.most + 5)
        assert len(simulation.delivered()) == count


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


@pytest.mark.each_once
@pytest.mark.parametrize("count", [1, 3, 10, 20])
@pytest.mark.parametrize("kind", HOLDING)
@pytest.mark.parametrize("concurrency", [1, 2])
def test_what_speaks_of_the_destination_holds_up_others_for_seconds(kind: str, count: int, concurrency: int) -> None:
    """A rate limit or a refusal that meets single messages is soon known for what it is."""
    with simulated(poisoned(count, [kind]), seed=count, concurrency=concurrency) as simulation:
        simulation.owe(*some(count, "poison", "critical"), *some(60, "healthy", "high"))
        simulation.run(15 + 10 * count, until=lambda: healthy(simulation)() == 60)
        assert healthy(simulation)() == 60
        assert sends(simulation, "poison") <= 6 * count


@pytest.mark.parametrize("kind", HOLDING)
def test_what_speaks_of_the_destination_is_given_up_in_the_end(kind: str) -> None:
    """Once it fails by itself, its time to give up runs, and nothing else is held or paused by it."""
    with simulated(poisoned(1, [kind]), give_up_after="6h") as simulation:
        simulation.owe(*some(1, "poison", "critical"), *some(3, "healthy", "low"))
        simulation.run(60)
        assert simulation.store.outbox.pause_of("target") is None
        for hour in range(7):
            simulation.owe(alert(id=f"healthy-{hour}-later", severity="low"))
            simulation.run(3600)
            assert f"healthy-{hour}-later" in simulation.delivered()
        assert [row.state for row in rows(simulation.store, state=State.DEAD)] == ["dead"]


@pytest.mark.parametrize("kind", HOLDING)
def test_what_speaks_of_the_destination_is_known_after_a_restart(kind: str) -> None:
    """Others were taken since it was refused, whichever process saw that."""
    with simulated(poisoned(3, [kind])) as simulation:
        simulation.owe(*some(3, "poison", "critical"), *some(10, "healthy-a", "high"))
        simulation.run(60, until=lambda: healthy(simulation)() == 10)
        for life in range(3):
            simulation.restart(life)
            simulation.owe(*some(10, f"healthy-{life}", "high"))
            simulation.run(1 if life else 15, until=lambda: healthy(simulation)() == 20 + 10 * life)  # noqa: B023
            assert healthy(simulation)() == 20 + 10 * life


@pytest.mark.each_once
@pytest.mark.parametrize("kind", HOLDING)
@pytest.mark.parametrize("seed", range(4))
def test_one_that_is_refused_for_hours_does_not_delay_a_new_critical(kind: str, seed: int) -> None:
    """However long the destination was held or paused because of it: what was never tried is soon tried."""
    with simulated(poisoned(1, [kind]), seed=seed, concurrency=2) as simulation:
        simulation.owe(*some(1, "poison", "critical"))
        simulation.run(7200 + 137 * seed)
        simulation.owe(alert(id="healthy", severity="critical"))
        simulation.run(DOWN.most + 1, until=lambda: healthy(simulation)() == 1)
        assert healthy(simulation)() == 1


def test_a_mistaken_time_to_wait_silences_nothing_for_an_hour() -> None:
    """It is asked again after five minutes at most, and sends nothing meanwhile."""
    answers = iter([RateLimited(3600.0, "HTTP 429")])
    first = Behaviour(answer=lambda delivery: next(answers, None) or Behaviour().answer(delivery))
    with simulated({"healthy-0": first}, concurrency=1) as simulation:
        simulation.owe(*some(3, "healthy", "critical"))
        simulation.run(LONGEST - 1)
        assert len(simulation.heard) == 1
        simulation.run(3)
        assert healthy(simulation)() == 3


@pytest.mark.parametrize("after", [0.0, -5.0, float("nan")])
def test_a_rate_limit_without_a_time_is_no_hot_loop(after: float) -> None:
    """Whatever time a connector names, and however many wait, the tries are a second apart and grow rarer."""
    with simulated({}, concurrency=4) as simulation:
        simulation.destination.down = lambda: RateLimited(after, "HTTP 429")
        simulation.owe(*some(50, "high", "high"))
        simulation.run(10)
        assert len(simulation.heard) <= 4 + 4
        simulation.run(3600)
        assert len(simulation.heard) <= 4 + 4 + 3600 / (LIMITS.most / 2) + 1


def test_a_rate_limit_for_all_spends_no_attempt() -> None:
    """After an hour at its limit, all arrive by severity, each with its first attempt."""
    with simulated({}, concurrency=2) as simulation:
        simulation.destination.down = lambda: RateLimited(10.0, "HTTP 429") if simulation.elapsed < 3600 else None
        simulation.owe(*some(5, "low", "low"), *some(5, "critical", "critical"))
        simulation.run(3700)
        order = list(simulation.delivered())
        assert len(order) == 10
        assert sum(name.startswith("critical") for name in order[:6]) == 5
        assert {row.attempts for row in rows(simulation.store)} == {1}


def test_a_rate_limit_that_is_kept_loses_no_order() -> None:
    """At a destination that takes one a second and says so, several workers send criticals first."""
    with simulated({}, concurrency=3) as simulation:
        taken = [-1.0]

        def one_a_second() -> Outcome | None:
            if simulation.elapsed - taken[0] < 1:
                return RateLimited(1.0, "HTTP 429")
            return None

        def take(delivery: Delivery) -> Outcome:
            taken[0] = simulation.elapsed
            return Behaviour().answer(delivery)

        simulation.destination.behaviour = defaultdict(lambda: Behaviour(answer=take))
        simulation.destination.down = one_a_second
        simulation.owe(*some(20, "low", "low"), *some(20, "critical", "critical"))
        simulation.run(120)
        order = list(simulation.delivered())
        assert len(order) == 40
        # With three workers the last criticals are under way together with the first lows.
        assert sum(name.startswith("critical") for name in order[:22]) == 20
        assert {row.attempts for row in rows(simulation.store)} == {1}


def test_a_rate_limit_that_names_too_short_a_time_counts_against_nobody() -> None:
    """Where ten a minute are taken and "in a second" is always said, criticals go first and few attempts fail."""
    with simulated({}, concurrency=2) as simulation:
        taken: Counter[int] = Counter()

        def take(delivery: Delivery) -> Outcome:
            taken[int(simulation.elapsed / 60)] += 1
            return Behaviour().answer(delivery)

        simulation.destination.behaviour = defaultdict(lambda: Behaviour(answer=take))
        simulation.destination.down = lambda: (
            RateLimited(1.0, "HTTP 429") if taken[int(simulation.elapsed / 60)] >= 10 else None
        )
        simulation.owe(*some(40, "low", "low"), *some(40, "critical", "critical"))
        simulation.run(1200)
        order = list(simulation.delivered())
        assert len(order) == 80
        assert sum(name.startswith("critical") for name in order[:50]) == 40
        assert sum(row.attempts for row in rows(simulation.store)) <= 80 + 4


def test_a_destination_that_is_really_broken_is_not_hammered() -> None:
    """However many new alerts come, it is probed about once a minute, and all arrive soon after it is put right."""
    with simulated({}, concurrency=4) as simulation:
        simulation.destination.down = lambda: Broken("the token was revoked")
        for number in range(720):
            simulation.owe(alert(id=f"new-{number}", severity="critical"))
            simulation.run(5)
        assert len(simulation.heard) <= PROBES_AN_HOUR
        simulation.destination.down = lambda: None
        simulation.owe(alert(id="last", severity="critical"))
        simulation.run(DOWN.most + 75 * 2)
        assert len(simulation.delivered()) == 721
        assert {row.attempts for row in rows(simulation.store)} == {1}


def test_probes_with_what_is_new_put_off_no_planned_one() -> None:
    """A paused destination is probed at the planned times as before, so that what was tried waits no longer."""
    with simulated({}) as simulation:
        simulation.destination.down = lambda: Broken("the token was revoked")
        simulation.owe(*some(6, "new", "critical"))
        simulation.run(50)
        pause = simulation.store.outbox.pause_of("target")
        assert pause is not None
        assert (pause.probes, pause.probe_at - simulation.start < 61) == (0, True)
        assert len(simulation.heard) >= 5


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

    As docs/reliability.md has it: what is ahead at the connector's pace and 1/19 more; two sends of each that fails, or
    four; the time-outs of two of these sends, for each that times out; the pauses while the destination looks down, as
    many once more while it looks broken; and the times for which a rate limit is waited out.
    """
    sends = sum(4 if kind in HOLDING else 2 for kind in failing)
    step = max(interval, SECONDS) if concurrency == 1 else max(interval, SECONDS / concurrency)
    slow = sum(kind == "timing out" for kind in failing)
    pauses: float = sum(min(DOWN.most, DOWN.first * 2**number) for number in range(len(failing)))
    limited = failing.count("limited")
    holds: float = 3 * limited + sum(min(LIMITS.most, LIMITS.first * 2**number) for number in range(limited + 1))
    pauses += pauses * ("broken" in failing) + holds * (limited > 0)
    return (working + sends + 4) * step * 20 / 19 + 2 * slow * TIMEOUT + pauses + SECONDS


SEVERITIES: Final = st.sampled_from(list(Severity))


@pytest.mark.parametrize("examples", beyond([15], [15, 60]))
def test_the_delay_of_what_works_is_bounded(examples: int) -> None:
    """Any mix of healthy and failing deliveries, of any severities, at any rate and concurrency."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        works=st.lists(SEVERITIES, min_size=1, max_size=25),
        fails=st.lists(st.tuples(SEVERITIES, st.sampled_from(sorted(POISON))), max_size=12),
        rate=st.sampled_from(["120/min", "1/s", "10/s", None]),
        concurrency=st.integers(1, 8),
        looks=st.sampled_from([(), (10.0, 60.0, 300.0)]),
        seed=st.integers(0, 1000),
    )
    def holds(  # noqa: PLR0917 - hypothesis passes them by name
        works: list[Severity],
        fails: list[tuple[Severity, str]],
        rate: str | None,
        concurrency: int,
        looks: tuple[float, ...],
        seed: int,
    ) -> None:
        behaviour = {f"poison-{number}": POISON[kind] for number, (_, kind) in enumerate(fails)}
        more = {"seed": seed, "max_rate": rate, "concurrency": concurrency, "reconcile_after": looks}
        with simulated(behaviour, **more) as simulation:
            simulation.owe(*(alert(id=f"poison-{n}", severity=severity) for n, (severity, _) in enumerate(fails)))
            simulation.owe(*(alert(id=f"healthy-{n}", severity=severity) for n, severity in enumerate(works)))
            interval = 0.0 if rate is None else simulation.destination.config.max_rate.interval  # type: ignore[union-attr]
            limit = bound(len(works), [kind for _, kind in fails], interval=interval, concurrency=concurrency)
            simulation.run(limit + 0.1, until=lambda: healthy(simulation)() == len(works))
            assert healthy(simulation)() == len(works), f"not within {limit:.1f} s"

    holds()
