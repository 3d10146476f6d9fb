"""The demo's story: what the people in it wait for, and what it says of what the places show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from forwarder.alert import Severity
from forwarder.cli.demo_show import life_of, print_life, verdict
from forwarder.cli.demo_sight import Tally
from forwarder.cli.demo_story import Story, look_at
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.samples import sample_alerts
from tests.kit.core import EVERYTHING, Process, secrets, settings, until, written


@pytest.fixture
def daemon(tmp_path: Path, sandbox: Sandbox) -> Iterator[Process]:
    """The daemon in a process of its own, with buttons in Slack, that looks at tickets every second."""
    sandbox.sentrytex.publish(next(raw for raw in sample_alerts(sandbox.clock()) if raw["cve_id"] == "CVE-2024-3094"))
    config = settings(sandbox)
    config["connectors"]["secops"]["app_token"] = "${SLACK_APP_TOKEN}"
    config["connectors"]["tickets"]["sync_every"] = "1s"
    config["routes"] = [EVERYTHING]
    written(tmp_path, config)
    with Process(tmp_path, {**secrets(sandbox), "SLACK_APP_TOKEN": sandbox.slack.app_token}).until_started() as process:
        yield process


class Watched:
    """A story, and the sentences that it told."""

    def __init__(self, sandbox: Sandbox, *, ends: float | None = None) -> None:
        self.told: list[str] = []
        self.story = Story(sandbox, self.told.append, until=ends)
        self.story.begin()

    def goes_on_to(self, chapter: int, elapsed: float = 1.0) -> bool:
        """Goes on a bit, and tells whether the chapter of that number is shown everywhere."""
        self.story.go_on(elapsed)
        return self.story.chapters[chapter].is_told


def test_each_step_waits_for_the_last_to_be_seen_everywhere(daemon: Process, sandbox: Sandbox) -> None:
    """People and news move the alert on to the end, and each place was told each step once."""
    watched = Watched(sandbox)
    until(lambda: watched.goes_on_to(3))
    story, told = watched.story, watched.told
    assert [sentence.split(" s later: ")[-1] for sentence in told] == [
        "The alert to watch is CVE-2024-3094: critical, and not known to be exploited.",
        "PagerDuty pages, Slack has a message, and Jira has SEC-1.",
        "Ada presses Acknowledge below the message in Slack.",
        "PagerDuty is acknowledged, SEC-1 has a comment, and Slack says that Ada has it.",
        "Ben moves SEC-1 to done in Jira.",
        "PagerDuty is resolved, and Slack strikes the title and says that Ben has done it.",
        "CISA now lists CVE-2024-3094 as exploited (KEV).",
        "PagerDuty pages again, SEC-1 has a comment, and Slack tells the channel that it is open again.",
    ]
    assert (story.twice(), story.pending()) == (0, 0)
    assert life_of(story) == "Slack, PagerDuty and Jira agree at each step, and each step was told once."

    said_again = {"channel": "#secops", "thread_ts": story.scene.ts, "text": "Acknowledged by Ada"}
    bearer = {"Authorization": f"Bearer {sandbox.slack.token}"}
    assert httpx2.post(f"{sandbox.slack.url}chat.postMessage", json=said_again, headers=bearer).json()["ok"]
    story.look(2.0)
    assert story.twice() == 1
    assert life_of(story) == "A step of its life was told twice."


def test_nobody_waits_for_a_place_that_is_down_in_vain(
    daemon: Process, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """While PagerDuty does not take the acknowledgement, Ben does nothing, and the end does not claim it."""
    watched = Watched(sandbox)
    until(lambda: watched.goes_on_to(0))
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=500, path="/v2/enqueue", times=None))
    until(lambda: watched.goes_on_to(0) and {"Slack", "Jira"} <= watched.story.chapters[1].seen.keys())
    until(lambda: any(seen.status == 500 for seen in sandbox.pagerduty.requests))
    watched.story.go_on(2.0)
    assert watched.story.pending() == 1
    assert watched.told[-1].startswith("Ada presses Acknowledge")
    print_life(watched.story)
    shown = capsys.readouterr().out
    assert "Ada has it  not yet    a comment" in shown
    assert "Ben" not in shown
    assert shown.endswith("The last step had no time to show everywhere: the daemon would go on with it.\n")


def test_no_step_begins_that_has_no_time_left(daemon: Process, sandbox: Sandbox) -> None:
    """Shortly before the end nobody does anything any more, and the end says why the rest is not there."""
    watched = Watched(sandbox, ends=8.0)
    until(lambda: watched.goes_on_to(0, elapsed=5.0))
    watched.story.go_on(6.0)
    assert watched.story.alert is not None
    assert look_at(sandbox, watched.story.alert.id).events == ("trigger",)
    assert len(watched.told) == 2
    assert life_of(watched.story) == "The rest of its life had no time to happen: a longer demo shows it."


def test_a_story_that_did_not_begin_is_not_told(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an alert that fits, or before it arrived, the end has no life to show."""
    print_life(Watched(sandbox).story)
    sandbox.sentrytex.publish(next(raw for raw in sample_alerts(sandbox.clock()) if raw["cve_id"] == "CVE-2024-3094"))
    watched = Watched(sandbox)
    watched.story.go_on(1.0)
    print_life(watched.story)
    assert capsys.readouterr().out == ""
    assert len(watched.told) == 1


def tally(**how: int) -> Tally:
    return Tally(place="PagerDuty", arrived={Severity.CRITICAL: 1}, **{"again": 0, "twice": 0, "missing": 0, **how})


@pytest.mark.parametrize(
    ("how", "failed", "said"),
    [
        ({}, False, "Every alert arrived wherever its route sends it, once."),
        ({}, True, "Every alert arrived wherever its route sends it, once, in spite of what failed."),
        (
            {"again": 1},
            True,
            "Every alert arrived wherever its route sends it, in spite of what failed.\n"
            "Only the one that got worse after it was resolved paged twice, as it should.",
        ),
        ({"missing": 3}, False, "3 had no time to arrive: the daemon would go on with the rest.\nNothing came twice."),
        (
            {"again": 1, "missing": 3},
            False,
            "3 had no time to arrive: the daemon would go on with the rest.\n"
            "Only the one that got worse after it was resolved paged twice, as it should.",
        ),
        ({"twice": 2, "again": 1}, True, "2 arrived twice, which must not be: please report it."),
    ],
)
def test_the_verdict_says_what_happened_and_no_more(how: dict[str, int], failed: bool, said: str) -> None:
    """It claims neither failures nor "once" where these were not, and fits a narrow terminal."""
    told = verdict([tally(**how)], twice=how.get("twice", 0), failed=failed)
    assert told == said
    assert all(len(line) <= 80 for line in told.splitlines())
