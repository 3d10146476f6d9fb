"""Why a delivery has not gone out yet, until when about, and its place in line. ``why`` is pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from forwarder.common.text import ago, counted
from forwarder.common.units import format_duration
from forwarder.connector import Kind, Rate
from forwarder.delivery.throughput import Throughput, measured_since, throughput_of
from forwarder.store import Store
from forwarder.store.life_records import DIGEST, Hold, schedule_of
from forwarder.store.records import LINKS_ONLY, AttemptResult, Queue, State
from forwarder.store.waits import Wait


class Cause(StrEnum):
    """What a delivery waits for, in a word."""

    NO_CONNECTOR = "no_connector"
    """The config has none of its connector's name."""
    SCHEDULE = "schedule"
    """Its route sends during the hours of a schedule."""
    DIGEST = "digest"
    """It is told in a digest."""
    NO_DAEMON = "no_daemon"
    NO_WRITES = "no_writes"
    """The database refuses writes."""
    SENDING = "sending"
    """It is under way."""
    PAUSED = "paused"
    BEHIND = "behind"
    """Another delivery of the same alert goes first."""
    FAILING = "failing"
    """Its connector keeps failing."""
    UNCERTAIN = "uncertain"
    """It may have arrived, and is looked for before it is sent again."""
    RATE_LIMIT = "rate_limit"
    """The destination asked to wait."""
    BACKOFF = "backoff"
    """It failed by itself, and is tried again later."""
    LINKS = "links"
    """It only brings links, and waits for more of them."""
    IN_LINE = "in_line"
    """Others go first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """What a delivery waits for: a sentence or two for people, and the same for programs.

    ``until`` is about when it is tried next, None where nobody can tell. ``place`` of ``line`` is where it stands among
    what is due, 0 where it is not.
    """

    cause: Cause
    text: str
    until: float | None = None
    place: int = 0
    line: int = 0


def waiting(
    store: Store,
    deliveries: Iterable[int],
    *,
    connectors: Collection[str],
    rates: Mapping[str, Rate],
    now: float,
    runs: bool = True,
    refused: str | None = None,
) -> dict[int, Waiting]:
    """Why those of ``deliveries`` that are not settled wait, by id.

    ``connectors`` are the config's, ``rates`` their ``max_rate`` where they have one; ``runs`` says whether a daemon
    does, ``refused`` why the database takes no writes, where it does not.
    """
    waits = store.waits.of(deliveries, now=now)
    names = {wait.connector for wait in waits.values()}
    queues = {queue.connector: queue for queue in store.queries.queues(sorted(names), since=now)} if names else {}
    delivered = store.queries.delivered({name: measured_since(queues[name], now) for name in names})
    throughputs = {name: throughput_of(queues[name], rates.get(name), delivered[name], now) for name in names}
    return {
        number: why(
            wait,
            queues[wait.connector],
            configured=wait.connector in connectors,
            runs=runs,
            refused=refused,
            throughput=throughputs[wait.connector],
            now=now,
        )
        for number, wait in waits.items()
    }


def why(
    wait: Wait,
    queue: Queue,
    *,
    configured: bool,
    runs: bool,
    throughput: Throughput | None,
    now: float,
    refused: str | None = None,
) -> Waiting:
    """The first that keeps it from going out: nothing that comes after it matters before that is over."""
    name = wait.connector
    if not configured:
        text = f"The config has no connector {name}: `forwarder rename {name} NEW` hands over what it is owed."
        return Waiting(cause=Cause.NO_CONNECTOR, text=text)
    if wait.hold is not None:
        return _held(wait.hold, now)
    if not runs:
        return Waiting(cause=Cause.NO_DAEMON, text="No daemon runs: it goes out once one does.")
    if wait.state is State.SENDING:
        since = "" if wait.tried_at is None else f", for {lasting(now - wait.tried_at)}"
        return Waiting(cause=Cause.SENDING, text=f"It is being sent now{since}.")
    if refused is not None:
        text = f"The database refuses writes, and nothing is sent until it takes them: {_sentence(refused)}"
        return Waiting(cause=Cause.NO_WRITES, text=text)
    if queue.pause is not None:
        pause = queue.pause
        text = f"{name} is paused, for {lasting(now - pause.since)} now: {_sentence(pause.reason)}"
        text = f"{text} It is {_tried_next(pause.probe_at, now)}."
        return Waiting(cause=Cause.PAUSED, text=text, until=max(pause.probe_at, now))
    if wait.behind is not None:
        return Waiting(cause=Cause.BEHIND, text=f"Delivery {wait.behind} of the same alert to {name} goes first.")
    return _put_off(wait, queue, now) if wait.due_at > now else _due(wait, queue, throughput, now)


def _held(hold: Hold, now: float) -> Waiting:
    """Of what is held until its time."""
    if schedule := schedule_of(hold):
        text = (
            f"The schedule {schedule} is closed: it goes out {ago(now - hold.until)}, or at once where it gets worse."
        )
        return Waiting(cause=Cause.SCHEDULE, text=text, until=hold.until)
    if hold.reason == DIGEST:
        text = f"It is told in the digest that is due {ago(now - hold.until)}, or at once where it gets worse."
        return Waiting(cause=Cause.DIGEST, text=text, until=hold.until)
    text = f"It is told in {hold.reason.removeprefix(DIGEST).strip()}, which has not arrived yet."
    return Waiting(cause=Cause.DIGEST, text=text)


def _put_off(wait: Wait, queue: Queue, now: float) -> Waiting:
    """Of what is not due yet."""
    name, until = wait.connector, wait.due_at
    if wait.state is State.UNCERTAIN:
        text = (
            f"It may have arrived: before it is sent again it is looked for, {ago(now - until)}. {_sentence(wait.last)}"
        )
        return Waiting(cause=Cause.UNCERTAIN, text=text.strip(), until=until)
    if wait.last_outcome is AttemptResult.RATE_LIMITED:
        text = f"{name} asked to wait: {_sentence(wait.last)} It is {_tried_next(until, now)}."
        return Waiting(cause=Cause.RATE_LIMIT, text=text, until=until)
    if queue.failing_since is not None:
        return Waiting(
            cause=Cause.FAILING, text=f"{_failing(queue, now)} It is {_tried_next(until, now)}.", until=until
        )
    if wait.attempts:
        text = f"Attempt {wait.attempts} failed: {_sentence(wait.last)} It is {_tried_next(until, now)}."
        return Waiting(cause=Cause.BACKOFF, text=text, until=until)
    if wait.kind is Kind.UPDATE and wait.revision == LINKS_ONLY:
        return Waiting(cause=Cause.LINKS, text=f"It brings links, and goes out {ago(now - until)}.", until=until)
    return Waiting(cause=Cause.BACKOFF, text=f"It is due {ago(now - until)}.", until=until)


def _due(wait: Wait, queue: Queue, throughput: Throughput | None, now: float) -> Waiting:
    """Of what may go at once, and does not yet."""
    place, line = _place(wait), {"place": wait.place, "line": wait.line}
    if queue.failing_since is not None:
        text = f"{_failing(queue, now)} One at a time is tried meanwhile. {place}."
        return Waiting(cause=Cause.FAILING, text=text, **line)
    ahead = wait.place - 1
    if wait.limited_until is not None:
        text = f"{wait.connector} asked to wait: it takes the next {ago(now - wait.limited_until)}. {place}."
        takes = throughput.takes(ahead) if throughput else 0.0
        return Waiting(cause=Cause.RATE_LIMIT, text=text, until=wait.limited_until + takes, **line)
    until = now + throughput.takes(wait.place) if throughput else None
    how_long = f", {throughput.told(wait.place)}" if throughput else ""
    if wait.state is State.UNCERTAIN:
        text = f"It may have arrived, so it is looked for before it is sent again. {place}{how_long}."
        return Waiting(cause=Cause.UNCERTAIN, text=text, until=until, **line)
    return Waiting(cause=Cause.IN_LINE, text=f"{place}{how_long}.", until=until, **line)


def _place(wait: Wait) -> str:
    return f"Place {wait.place:,} of {wait.line:,}" if wait.place > 1 else f"It is the next for {wait.connector}"


def _failing(queue: Queue, now: float) -> str:
    lasts = "" if queue.failing_since is None else f", for {lasting(now - queue.failing_since)} now"
    tries = counted(queue.failures, "attempt")
    return f"{queue.connector} is failing{lasts} ({tries}): {_sentence(queue.last_error or '')}"


def lasting(seconds: float) -> str:
    """How long something has been going on: whole seconds, and at least one."""
    return format_duration(max(round(seconds), 1))


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _tried_next(at: float, now: float) -> str:
    return f"tried next {ago(now - at)}" if at - now >= 1 else "tried next at once"
