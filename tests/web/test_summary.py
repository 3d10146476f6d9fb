"""How things stand: which sentence is at the top, and which points below it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forwarder.alarms import AlarmType
from forwarder.alert import Severity
from forwarder.connector import Rate
from forwarder.store.alarm_records import Alarm
from forwarder.store.records import Feed, Gap, Pause, Queue
from forwarder.web.facts import Facts, Level, Standing
from forwarder.web.summary import summarize
from forwarder.web.writes import Refusal
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
    assert (standing.level, standing.title, standing.points) == (Level.FINE, "All is well", ())
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
            replace(WELL, alarms=[alarm("disk_full")]),
            Level.BAD,
            "This needs you now: the database's disk is nearly full.",
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
    standing = summarize(replace(facts, feed=replace(FEED, polled_at=None)))
    assert standing.sentence == (
        "This needs you now: the feed was never read, secops has 1 dead letter, oncall has 1 dead letter"
        " and 1 more below."
    )
    assert [point.level for point in standing.points] == [*[Level.BAD] * 4, Level.WATCH]


@pytest.mark.parametrize(("severity", "level"), [(Severity.LOW, Level.WATCH), (Severity.CRITICAL, Level.BAD)])
def test_an_alarm_is_as_urgent_as_its_worst_instance(severity: Severity, level: Level) -> None:
    """A gap of criticals is more than something to look at."""
    gap = replace(alarm("gap"), severity=severity)
    assert summarize(replace(WELL, alarms=[gap])).level is level


def test_a_restart_does_not_say_that_the_feed_is_read_again() -> None:
    """It is unread, as people were told, until a poll is complete."""
    feed = replace(FEED, polled_at=NOW - 9000, unread_starts=1, unread_since=NOW - 5)
    facts = replace(WELL, feed=feed, started_at=NOW - 5, alarms=[alarm("feed_unread")])
    assert summarize(facts).sentence == "This needs you now: the feed was last read 2h 30m ago."


# A connector that keeps failing, and what waits


def failing(**queue: object) -> Facts:
    """A connector that fails since 80 seconds, with what else is said of its queue."""
    told: dict[str, object] = {
        "ready": 3,
        "oldest_enqueued_at": NOW - 90,
        "failing_since": NOW - 80,
        "failures": 6,
        "last_error": "The connection was cut.",
        **queue,
    }
    return with_queue(**told)


def test_criticals_that_keep_failing_are_urgent() -> None:
    """It is told what fails, since when, how often and why, and how many criticals wait since when."""
    standing = summarize(failing(criticals=3, oldest_critical_at=NOW - 90))
    assert standing.level is Level.BAD
    assert standing.sentence == "This needs you now: secops is failing, with 3 criticals waiting."
    assert standing.points[0].text == (
        "secops is failing since 11:58:40 (1m 20s): 6 tries in vain, and nothing delivered since."
        " 3 deliveries wait, 3 criticals among them since 11:58:30. The connection was cut."
    )
    assert standing.points[0].link == "/alerts?connector=secops&state=ready"


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (failing(failing_since=NOW - 3, failures=2, criticals=1, oldest_critical_at=NOW - 3), Level.BAD),
        (failing(failing_since=NOW - 40, failures=1, criticals=1, oldest_critical_at=NOW - 40), Level.BAD),
        (failing(failing_since=NOW - 3, failures=1, criticals=1, oldest_critical_at=NOW - 3), Level.FINE),
        (failing(failing_since=NOW - 3, failures=3), Level.WATCH),
        (failing(failing_since=NOW - 60, failures=1), Level.WATCH),
        (failing(failing_since=NOW - 900), Level.BAD),
    ],
)
def test_failing_is_as_urgent_as_what_waits(facts: Facts, level: Level) -> None:
    """A critical makes it urgent with its second failure; other severities with a quarter of an hour."""
    assert summarize(facts).level is level


def test_a_first_retry_is_not_called_well() -> None:
    """What has just failed once is nothing to act on, but all is not well either."""
    standing = summarize(failing(failing_since=NOW - 3, failures=1))
    assert standing.title == "Working"
    assert standing.sentence == "Working: the feed was read 5s ago, and what just failed is tried again at secops."


def test_failing_is_no_calmer_than_its_alarm() -> None:
    """Where people were told of something critical, the page is as urgent, and tells it once."""
    told = replace(alarm("connector_failing", "secops"), severity=Severity.CRITICAL)
    facts = replace(failing(failing_since=NOW - 3, failures=1), alarms=[told])
    standing = summarize(facts)
    assert standing.sentence == "This needs you now: secops is failing."
    assert len(standing.points) == 1


def test_a_paused_connector_tells_its_criticals() -> None:
    """How many criticals wait for a person to act stands in the sentence."""
    pause = Pause(connector="secops", since=NOW, reason="Revoked.", probes=0, probe_at=NOW + 9)
    standing = summarize(with_queue(ready=2, criticals=2, oldest_critical_at=NOW - 60, pause=pause))
    assert standing.sentence == "This needs you now: secops is paused, with 2 criticals waiting."
    assert "2 criticals among them since 11:59:00" in standing.points[0].remedy


def limited(rate: str, **queue: object) -> Facts:
    """A connector that may send at ``rate``."""
    facts = with_queue(**queue)
    settings = facts.config.connectors["secops"].model_copy(update={"max_rate": Rate.parse(rate)})
    connectors = {**facts.config.connectors, "secops": settings}
    return replace(facts, config=facts.config.model_copy(update={"connectors": connectors}))


def test_a_backlog_tells_how_long_it_takes() -> None:
    """A queue that takes long is told at once, with the time and the rate by which that is reckoned."""
    standing = summarize(limited("1/s", ready=1974, oldest_enqueued_at=NOW - 2))
    assert standing.level is Level.WATCH
    assert standing.sentence == "Working, with something to look at: 1,974 wait for secops: about 33 minutes at 1/s."


def test_a_short_backlog_is_told_with_its_end() -> None:
    """What is gone in a few minutes is well, and it is said when."""
    sentence = summarize(limited("1/s", ready=150, oldest_enqueued_at=NOW - 2)).sentence
    assert sentence.endswith("150 deliveries are on the way, the last of them in about 2 minutes.")


def test_a_backlog_of_an_unknown_pace_says_so() -> None:
    """Nothing is promised of a queue whose pace nobody knows."""
    assert summarize(with_queue(ready=500, oldest_enqueued_at=NOW - 2)).sentence.endswith(
        "500 deliveries are on the way; how long they take is not known yet."
    )


def test_a_critical_that_waits_for_long_is_urgent() -> None:
    """Also where nothing failed: whatever holds it up, nobody was told of it."""
    facts = with_queue(ready=9, criticals=1, oldest_enqueued_at=NOW - 130, oldest_critical_at=NOW - 120)
    assert summarize(facts).sentence == "This needs you now: 1 critical waits for secops."


# The database, judged from now

FULL = "The database x failed: the disk is full: make room."


def test_refused_writes_are_urgent_while_they_last() -> None:
    """It is said what it means and what to do, from what the process knows, whether or not there is an alarm."""
    going_on = replace(WELL, now=NOW + 93, refusal=Refusal(since=NOW, last_at=NOW + 90, reason=FULL), free=0)
    for facts in (going_on, replace(going_on, alarms=[alarm("store_failed")])):
        standing = summarize(facts)
        assert standing.level is Level.BAD
        assert standing.sentence == (
            "This needs you now: the database refuses writes, so new alerts are neither read nor sent."
        )
        (point,) = standing.points
        assert point.text == (
            f"The database refuses writes since 12:00:00 (1m 33s). {FULL} What was published since 11:59:55 is unread,"
            " criticals included: look at the vendor's site for them."
        )
        assert "Free space" in point.remedy
        assert "0 MiB are free" in point.remedy


def past(facts: Facts) -> Standing:
    standing = summarize(facts)
    assert standing.level is Level.WATCH
    return standing


def test_refused_writes_that_are_over_are_told_in_the_past() -> None:
    """How long, and until when; nothing says that it goes on."""
    over = Refusal(since=NOW - 840, last_at=NOW - 620, reason=FULL, until=NOW - 600)
    for alarms in ([], [replace(alarm("store_failed"), since=NOW - 840, last_at=NOW - 620)]):
        standing = past(replace(WELL, refusal=over, alarms=alarms))
        assert standing.sentence == (
            "Working, with something to look at: the database took no writes for 4m until 11:50:00."
        )
        assert standing.points[0].text.endswith(f"was read and sent late. The reason was: {FULL}")


def test_after_a_restart_the_alarm_tells_what_was() -> None:
    """A process that saw no refusal does not repeat the alarm in the present tense."""
    was = replace(alarm("store_failed"), since=NOW - 900, last_at=NOW - 660)
    assert "the database took no writes for 4m until 11:49:00" in past(replace(WELL, alarms=[was])).sentence
    once = replace(was, last_at=was.since)
    assert "the database took no writes at 11:45:00" in past(replace(WELL, alarms=[once])).sentence


def test_refused_writes_are_forgotten_after_a_day() -> None:
    """What was over for a day is no news."""
    over = Refusal(since=NOW - 90_000, last_at=NOW - 89_000, reason=FULL, until=NOW - 88_000)
    assert summarize(replace(WELL, refusal=over)).level is Level.FINE


def test_a_disk_that_is_nearly_full_is_told_without_an_alarm() -> None:
    """What the system says right now counts, for an alarm comes with the next review, or not at all."""
    assert "nearly full: 3 MiB are free" in summarize(replace(WELL, free=3 * 2**20)).points[0].text
    assert summarize(replace(WELL, free=2**40)).level is Level.FINE


@pytest.mark.parametrize("kind", [kind for kind in AlarmType if kind.passes])
def test_what_passes_is_told_in_the_past(kind: AlarmType) -> None:
    """A trouble that happened and is over does not read as if it went on."""
    was = replace(alarm(kind.value, "secops"), since=NOW - 7200, last_at=NOW - 3600)
    text = past(replace(WELL, alarms=[was])).points[0].text
    assert " contains " not in text
    assert " cannot " not in text
    assert "until 11:00:00" in text or "It happened 1h ago, for the first time 2h ago." in text


def test_a_part_that_stands_still_is_urgent() -> None:
    """A page that is served says nothing of the threads that read and send."""
    standing = summarize(replace(WELL, stalled=["Nothing was polled for 11m."]))
    assert standing.sentence == "This needs you now: a part of the forwarder stands still."
    assert standing.points[0].text == "Nothing was polled for 11m."


# The feed


def test_a_gap_of_criticals_is_urgent() -> None:
    """Criticals that nobody was told of are more than something to look at; other gaps are that."""
    gap = Gap(severity=Severity.CRITICAL, since=NOW - 5000, until=NOW - 4000, noticed_at=NOW - 30)
    standing = summarize(replace(WELL, gaps=[gap], alarms=[alarm("gap")]))
    assert standing.sentence == "This needs you now: critical alerts may be missing."
    assert "published from 10:36:40 to 10:53:20 may be missing" in standing.points[0].text
    assert summarize(replace(WELL, gaps=[replace(gap, severity=Severity.LOW)], alarms=[alarm("gap")])).level is (
        Level.WATCH
    )
    assert summarize(replace(WELL, gaps=[replace(gap, noticed_at=NOW - 90_000)])).level is Level.FINE


def test_a_stack_without_vendors_is_no_peace() -> None:
    """A feed that stays empty for ever is told, with what to do; a stack that is not known yet is nothing to tell."""
    standing = summarize(replace(WELL, feed=replace(FEED, stack=frozenset())))
    assert standing.sentence == "This needs you now: the stack has no vendors, so no alert will ever come."
    assert "Add the vendors" in standing.points[0].remedy
    empty = replace(WELL, feed=replace(FEED, stack=frozenset()))
    assert summarize(replace(empty, last_seen_at=NOW - 90_000)).level is Level.BAD
    assert summarize(replace(empty, last_seen_at=NOW - 80_000)).level is Level.FINE
    assert summarize(replace(WELL, feed=replace(FEED, stack=frozenset({"okta"})))).level is Level.FINE


def test_the_key_of_the_account_that_is_refused_is_the_one_to_put_right() -> None:
    """Where accounts have names, no key stands beside them."""
    facts = replace(WELL, feed=replace(FEED, poll_error="Refused."), alarms=[alarm("key_refused", "acme")])
    (point,) = summarize(facts).points
    assert "Put a valid key into sentrytex.accounts.acme.api_key," in point.remedy
