"""What the summary says of each connector: what is paused, what fails, what waits for long. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from forwarder.common.text import counted
from forwarder.connector import format_duration
from forwarder.delivery.throughput import WORTH_AN_ESTIMATE
from forwarder.store.records import Queue
from forwarder.web.facts import Facts, Level, Point
from forwarder.web.filters import clock

LATE: Final = 300.0
"""Seconds after which a delivery that waits is worth a word, even where nothing failed; a queue that takes as long."""
FAILING: Final = 60.0
"""The same where its last attempt failed: a first retry is nothing to speak of."""
FAILURES: Final = 3
"""Tries in vain after which a connector is worth a word sooner."""
CRITICAL_FAILURES: Final = 2
"""The same where a critical waits: then it is urgent."""
CRITICAL_LATE: Final = 120.0
"""Seconds for which a critical may wait for any reason before it is urgent."""
FAILING_LONG: Final = 900.0
"""Seconds of failing after which it is urgent whatever waits."""


def of_connectors(facts: Facts) -> Iterator[Point]:
    """What is paused, failing, late, dead or owed to nobody, connector by connector."""
    for queue in facts.queues:
        if queue.connector not in facts.config.connectors:
            yield _orphaned(queue)
            continue
        if queue.pause is not None:
            yield _paused(queue, facts.now)
        elif queue.failing_since is not None:
            yield from _failing(queue, queue.failing_since, facts)
        elif (late := _late(queue, facts)) is not None:
            yield late
        if queue.notice:
            yield Point(
                level=Level.WATCH,
                short=f"{queue.connector} has a notice",
                text=f"{queue.connector}: {queue.notice}",
                remedy="Everything arrives all the same.",
            )
        if queue.dead:
            dead = counted(queue.dead, "dead letter")
            yield Point(
                level=Level.BAD,
                short=f"{queue.connector} has {dead}",
                text=f"{queue.connector} has {dead}: alerts that it did not accept.",
                remedy="Read why, then retry or discard them.",
                link=f"/dead-letters?{urlencode({'connector': queue.connector})}",
            )


def _failing(queue: Queue, since: float, facts: Facts) -> Iterator[Point]:
    lasted = facts.now - since
    soon = queue.failures >= CRITICAL_FAILURES or lasted >= FAILING / 2
    urgent = lasted >= FAILING_LONG or (queue.criticals and soon) or facts.fails_critically(queue)
    if not urgent and queue.failures < FAILURES and lasted < FAILING:
        return
    what = f", with {counted(queue.criticals, 'critical')} waiting" if queue.criticals else ""
    reached = " Until it answers, the criticals reach nobody there: read them here." if queue.criticals else ""
    throughput = facts.throughput(queue)
    drains = (
        f" Once it answers, they take {throughput.told(queue.waiting)}." if throughput and queue.waiting > 1 else ""
    )
    yield Point(
        level=Level.BAD if urgent else Level.WATCH,
        short=f"{queue.connector} is failing{what}",
        text=f"{queue.connector} is failing since {clock(since, facts.now)}"
        f" ({format_duration(round(max(lasted, 1)))}): {counted(queue.failures, 'try', 'tries')} in vain, and nothing"
        f" delivered since. {_waits(queue, facts.now)} {queue.last_error or ''}".rstrip(),
        remedy="It is tried again by itself. Look at the reason: whether the service works, and can be reached from"
        f" here.{reached}{drains}",
        link=_waiting_at(queue),
    )


def _waits(queue: Queue, now: float) -> str:
    """How much waits, and the criticals among it with since when."""
    waiting = counted(queue.waiting, "delivery waits", "deliveries wait")
    if not queue.criticals or queue.oldest_critical_at is None:
        return f"{waiting}."
    among = counted(queue.criticals, "critical", "criticals")
    return f"{waiting}, {among} among them since {clock(queue.oldest_critical_at, now)}."


def _waiting_at(queue: Queue) -> str:
    state = "ready" if queue.ready else "uncertain" if queue.uncertain else "sending"
    return f"/alerts?{urlencode({'connector': queue.connector, 'state': state})}"


def _paused(queue: Queue, now: float) -> Point:
    assert queue.pause is not None  # noqa: S101 - for the type checker; the caller looked
    kept = f"{_waits(queue, now)} " if queue.waiting else ""
    wait = queue.pause.probe_at - now
    probed = "It is probed right now" if wait <= 0 else f"The next probe is in {format_duration(round(max(wait, 1)))}"
    return Point(
        level=Level.BAD,
        short=f"{queue.connector} is paused"
        + (f", with {counted(queue.criticals, 'critical')} waiting" if queue.criticals else ""),
        text=f"{queue.connector} is not accepting deliveries: {queue.pause.reason}",
        remedy=f"Fix the cause. {kept}{probed}; a restart or a reload probes at once.",
    )


def _late(queue: Queue, facts: Facts) -> Point | None:
    """What waits for long, or will, without the connector failing: a backlog, a rate limit, one that nobody takes."""
    if queue.oldest_enqueued_at is None:
        return None
    now, throughput = facts.now, facts.throughput(queue)
    waited = now - queue.oldest_enqueued_at
    critical = queue.oldest_critical_at is not None and now - queue.oldest_critical_at >= CRITICAL_LATE
    takes = throughput.takes(queue.waiting) if throughput else 0.0
    if not critical and takes < LATE and waited < (FAILING if queue.last_error else LATE):
        return None
    short = f"{queue.connector} is {format_duration(round(waited))} behind"
    if critical:
        short = f"{counted(queue.criticals, 'critical waits', 'criticals wait')} for {queue.connector}"
    elif throughput and takes >= WORTH_AN_ESTIMATE:
        short = f"{queue.waiting:,} wait for {queue.connector}: {throughput.told(queue.waiting)}"
    how_long = f" They take {throughput.told(queue.waiting)}." if throughput else ""
    return Point(
        level=Level.BAD if critical else Level.WATCH,
        short=short,
        text=f"{queue.connector} is {format_duration(round(waited))} behind. {_waits(queue, now)}{how_long}"
        f" {queue.last_error or ''}".rstrip(),
        remedy="Criticals go out first, and nothing is lost; where it lasts, look at the reason, or at max_rate.",
        link=_waiting_at(queue),
    )


def _orphaned(queue: Queue) -> Point:
    outstanding = counted(queue.waiting + queue.dead, "delivery is", "deliveries are")
    return Point(
        level=Level.BAD if queue.criticals else Level.WATCH,
        short=f"{queue.connector} is not in the config any more",
        text=f"{outstanding} owed to {queue.connector}, which the config does not name.",
        remedy=f"Name it in the config again, hand its queue over with `forwarder rename {queue.connector} NEW`, "
        "or discard it.",
        link=f"/dead-letters?{urlencode({'connector': queue.connector})}",
    )
