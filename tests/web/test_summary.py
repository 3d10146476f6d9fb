"""How things stand: which sentence is at the top, and which points below it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forwarder.store.records import Alarm, Feed, Pause, Queue
from forwarder.web.summary import Facts, Level, summarize
from tests.kit.store import NOW, config

FEED = Feed(cursor=NOW - 60, stack=None, polled_at=NOW - 5, poll_error=None, swept_at=NOW, sweep_reach=None)
WELL = Facts(
    now=NOW,
    started_at=NOW - 9000,
    config=config(),
    feed=FEED,
    queues=[Queue(connector="secops"), Queue(connector="oncall"), Queue(connector="tickets")],
    alarms=[],
)


def alarm(kind: str, subject: str = "") -> Alarm:
    return Alarm(
        key=kind, type=kind, subject=subject, text="Why.", alert_id="a", since=NOW - 60, notified_at=NOW, last_at=NOW
    )


def with_queue(**queue: object) -> Facts:
    return replace(WELL, queues=[Queue(connector="secops", **queue)])  # type: ignore[arg-type]


def test_all_is_well_where_nothing_waits() -> None:
    """Without anything to look at, one sentence is all."""
    standing = summarize(WELL)
    assert (standing.level, standing.points) == (Level.FINE, ())
    assert standing.sentence == "All is well: the feed was read 5s ago, and nothing waits."


def test_deliveries_on_their_way_are_no_trouble() -> None:
    """What came to be owed just now is told, and no more."""
    facts = with_queue(ready=2, sending=1, oldest_enqueued_at=NOW - 3)
    assert summarize(facts).sentence == "All is well: the feed was read 5s ago, and 3 deliveries are on the way."
    assert "1 delivery is on the way" in summarize(with_queue(ready=1, oldest_enqueued_at=NOW)).sentence


def test_before_the_first_poll_nothing_is_wrong_yet() -> None:
    """A process that just started is not blamed for a feed that it had no time to read."""
    facts = replace(WELL, started_at=NOW - 1, feed=replace(FEED, polled_at=None))
    assert summarize(facts).sentence == "All is well: the first poll is under way, and nothing waits."


@pytest.mark.parametrize(
    ("facts", "level", "sentence"),
    [
        (with_queue(notice="Do this."), Level.WATCH, "Working, with something to look at: secops has a notice."),
        (
            replace(WELL, feed=replace(FEED, polled_at=NOW - 660, poll_error="It did not answer.")),
            Level.BAD,
            "This needs you now: the feed was last read 11m ago.",
        ),
        (
            replace(WELL, feed=replace(FEED, polled_at=None)),
            Level.BAD,
            "This needs you now: the feed was never read.",
        ),
        (
            replace(WELL, feed=replace(FEED, poll_error="It did not answer.")),
            Level.WATCH,
            "Working, with something to look at: a poll failed.",
        ),
        (
            replace(WELL, feed=replace(FEED, poll_error="Refused."), alarms=[alarm("key_refused")]),
            Level.BAD,
            "This needs you now: the API refuses the key.",
        ),
        (
            with_queue(
                ready=1, pause=Pause(connector="secops", since=NOW, reason="Revoked.", probes=0, probe_at=NOW + 9)
            ),
            Level.BAD,
            "This needs you now: secops is paused.",
        ),
        (with_queue(dead=2), Level.BAD, "This needs you now: secops has 2 dead letters."),
        (
            with_queue(ready=1, oldest_enqueued_at=NOW - 120, last_error="HTTP 500"),
            Level.WATCH,
            "Working, with something to look at: secops is 2m behind.",
        ),
        (
            with_queue(ready=1, oldest_enqueued_at=NOW - 400),
            Level.WATCH,
            "Working, with something to look at: secops is 6m 40s behind.",
        ),
        (
            replace(WELL, queues=[Queue(connector="old", ready=1)]),
            Level.WATCH,
            "Working, with something to look at: old is not in the config any more.",
        ),
        (
            replace(WELL, alarms=[alarm("store_failed")]),
            Level.BAD,
            "This needs you now: the database cannot be written.",
        ),
        (
            replace(WELL, alarms=[alarm("template_failed", "secops")]),
            Level.WATCH,
            "Working, with something to look at: A template of secops failed: the built-in text was sent.",
        ),
    ],
)
def test_trouble_is_told_in_the_sentence(facts: Facts, level: Level, sentence: str) -> None:
    """Each kind of trouble has its words, and its urgency."""
    standing = summarize(facts)
    assert (standing.level, standing.sentence) == (level, sentence)
    assert all(point.text and point.remedy for point in standing.points)


@pytest.mark.parametrize(
    "facts",
    [
        with_queue(ready=1, oldest_enqueued_at=NOW - 200),
        with_queue(ready=1, oldest_enqueued_at=NOW - 30, last_error="HTTP 500"),
        replace(WELL, feed=replace(FEED, polled_at=NOW - 599)),
        replace(WELL, alarms=[alarm("paused", "secops"), alarm("dead_letter", "secops"), alarm("feed_unread")]),
        replace(WELL, alarms=[alarm("of a newer version")]),
    ],
)
def test_what_is_usual_is_not_told(facts: Facts) -> None:
    """A short wait, a first retry, a poll that takes its time, and alarms that other facts tell, are no points."""
    assert summarize(facts).level is Level.FINE


def test_the_worst_comes_first_and_alone_into_the_sentence() -> None:
    """What needs a person now is not mixed with what can wait; both are listed."""
    facts = replace(
        WELL,
        queues=[
            Queue(connector="old", ready=1),
            *(Queue(connector=name, dead=1) for name in ("secops", "oncall", "tickets")),
        ],
    )
    standing = summarize(replace(facts, alarms=[alarm("store_failed")]))
    assert standing.sentence == (
        "This needs you now: secops has 1 dead letter, oncall has 1 dead letter, tickets has 1 dead letter"
        " and 1 more below."
    )
    assert [point.level for point in standing.points] == [*[Level.BAD] * 4, Level.WATCH]
