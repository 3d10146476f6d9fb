"""Muting at a terminal: what is refused, what is said, what is quiet from then on, and how it goes out again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.core import EVERYTHING, recent
from tests.kit.desk import Desk

FOR: tuple[str, ...] = ("--for", "7d", "--reason", "not in use any more", "--by", "Ada")


def in_a_week() -> str:
    return (datetime.now(UTC) + timedelta(days=7)).strftime("%Y-%m-%d")


def seen(desk: Desk, *alerts: dict[str, object]) -> None:
    """These alerts were read, and went wherever they had to."""
    desk.sandbox.sentrytex.publish(*alerts)
    assert desk.run("once").exit_code == 0


@pytest.fixture
def started(desk: Desk) -> Desk:
    """A desk whose database is there; only the pager is told anything."""
    desk.config["routes"] = [{"to": ["oncall"]}]
    desk.write()
    seen(desk)
    return desk


def incidents(desk: Desk) -> int:
    return len(desk.sandbox.pagerduty.incidents)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (FOR, "This would mute every alert: name one, or add a condition, such as --vendor."),
        (("--vendor", "x", "--for", "7d"), "A mute needs a reason, for whoever asks where an alert has gone: add"),
        (("--vendor", "x", "--for", "7d", "--reason", " "), "A mute needs a reason"),
        (("--vendor", "x", "--reason", "y"), "A mute needs an end: add either --for, such as 7d, or --until"),
        (("--vendor", "x", *FOR, "--until", "2100-01-01"), "A mute needs an end: add either"),
        (("--vendor", "x", "--reason", "y", "--until", "2020-01-01"), "2020-01-01T00:00:00Z has passed: name a later"),
        (("--vendor", "x", "--reason", "y", "--until", "soon"), "must be an ISO date such as 2027-01-31"),
        (("--vendor", "x", "--reason", "y", "--for", "7"), "must be a duration such as 30s"),
        (("--vendor", "x", "--reason", "y", "--for", "5s"), "must be at least 1m"),
        (("--vendor", "x", "--reason", "y", "--for", "90000d"), "must be at most"),
        (
            ("Log4Shell", "--vendor", "x", *FOR),
            "Name an alert, or choose by conditions such as --vendor, and not both.",
        ),
        (("--severity", "urgent", *FOR), "is not one of 'critical', 'high', 'medium', 'low'"),
        (("--vendor", "", *FOR), "An empty text names nothing: leave that option out."),
    ],
)
def test_what_makes_no_mute_is_refused_with_the_way_out(desk: Desk, args: tuple[str, ...], said: str) -> None:
    result = desk.run("mute", *args)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_a_muted_vendor_is_quiet_until_it_is_unmuted(started: Desk) -> None:
    """Everything that shows alerts says so, and each step says what follows."""
    said = started.says("mute", "--vendor", "wordpress", *FOR)
    assert "Mute 1, until " in said
    assert "vendor wordpress." in said
    assert "What gets worse goes out all the same. `forwarder unmute 1` ends it." in said
    seen(started, recent(1, affected_vendors=["wordpress"]), recent(2, affected_vendors=["github"]))
    assert incidents(started) == 1
    until = started.json("mutes")[0]["until"]
    quiet = f"muted until {until.split('.')[0].rstrip('Z')}Z by Ada (mute 1): not in use any more"
    assert quiet in started.says("alerts", "--muted")
    assert "Alert 2" not in started.says("alerts", "--muted")
    assert f"It is {quiet}" in started.says("explain", "CVE-2026-20001")
    (told,) = started.json("alerts", "--muted")
    assert told["muted"] == {"id": "1", "until": until, "reason": "not in use any more", "who": "Ada"}
    assert not told["unrouted"]
    assert "muted: 1" in started.says("status")
    assert started.json("status")["muted"] == 1
    (mute,) = started.json("mutes")
    assert (mute["id"], mute["conditions"], mute["by"], mute["quiet"]) == ("1", {"vendors": ["wordpress"]}, "Ada", 1)
    said = started.says("unmute", "1", "--by", "Grace")
    assert "Mute 1 is over: vendor wordpress." in said
    assert "1 alert goes out now: the daemon routes it within 10 seconds, or as soon as it runs." in said
    seen(started)
    assert incidents(started) == 2
    assert started.says("mutes") == "Nothing is muted.\n"
    (ended,) = started.json("mutes", "--all")
    assert (ended["stands"], ended["ended_by"], ended["quiet"]) == (False, "Grace", 0)
    again = started.run("unmute", "1")
    assert (again.exit_code, again.stderr) == (1, "Mute 1 has ended already: nothing was changed.\n")


def test_conditions_are_those_of_a_route(started: Desk) -> None:
    """What is repeated is ORed, different conditions are ANDed, and an end can be a day."""
    args = ("--vendor", "wordpress", "--vendor", "drupal*", "--severity", "low", "--cve", "CVE-2026-*")
    said = started.says(
        "mute", *args, "--category", "blogs", "--until", in_a_week(), "--reason", "noise", "--even-if-worse"
    )
    assert (
        f"until {in_a_week()}T00:00:00Z: severity low; vendor wordpress or drupal*; category blogs; CVE-2026-*." in said
    )
    assert "goes out all the same" not in said
    (mute,) = started.json("mutes")
    assert mute["even_if_worse"] is True
    assert mute["conditions"] == {
        "severity": ["low"],
        "vendors": ["wordpress", "drupal*"],
        "categories": ["blogs"],
        "cve_id": ["CVE-2026-*"],
    }


def test_an_alert_is_muted_by_its_cve_or_else_by_its_vendors(started: Desk) -> None:
    """What its vendor is called is no pattern that would mute all others."""
    seen(
        started,
        recent(1, title="With a CVE"),
        recent(2, cve_id=None, title="Without one", affected_vendors=["*", "okta"]),
        recent(3, cve_id=None, title="With nothing", affected_vendors=[]),
    )
    assert "CVE-2026-20001." in started.says("mute", "With a CVE", *FOR)
    assert "vendor [*] or okta." in started.says("mute", "Without one", *FOR)
    refused = started.run("mute", "With nothing", *FOR)
    assert refused.stderr == "With nothing has neither a CVE nor a vendor by which it could be muted.\n"
    seen(started, recent(4, affected_vendors=["okta"]), recent(5, affected_vendors=["github"]))
    assert [told["title"] for told in started.json("alerts", "--muted")] == ["Alert 4"]
    assert incidents(started) == 4


def test_an_alert_is_never_guessed(started: Desk) -> None:
    seen(started, recent(1), recent(2))
    several = started.run("mute", "Alert", *FOR)
    assert several.exit_code == 1
    assert "2 alerts match Alert. Name the one that you mean by its id:" in several.stderr
    assert "open  Alert 2" in several.stderr
    none = started.run("mute", "Log4Shell", *FOR)
    assert "No alert that matches Log4Shell was seen." in none.stderr
    assert started.json("mutes") == []


def test_a_cve_that_was_not_seen_yet_is_muted_by_its_option(started: Desk) -> None:
    """As an alert it is none, and the answer says how it is meant."""
    result = started.run("mute", "CVE-2030-1234", *FOR)
    assert result.exit_code == 1
    assert result.stderr == (
        "No alert about CVE-2030-1234 was seen: to mute those that come, name it with --cve CVE-2030-1234.\n"
    )
    assert started.says("mute", "--cve", "CVE-2030-1234", *FOR).startswith("Mute 1, until ")


def test_what_waits_for_a_digest_stays_quiet_too(started: Desk) -> None:
    started.config["routes"] = [{"to": ["secops"], "digest": "daily 09:00"}]
    started.write()
    started.sandbox.sentrytex.publish(recent(1, affected_vendors=["wordpress"]))
    started.run("once")
    assert "1 alert that had not gone out yet stays quiet." in started.says("mute", "--vendor", "wordpress", *FOR)
    assert len(started.json("alerts", "--muted")) == 1


def test_a_mute_of_the_config_is_listed_and_ends_there(started: Desk) -> None:
    """It has a name, and both ways to end it here say where it is."""
    rule = {"vendors": ["wordpress"], "until": in_a_week(), "reason": "sold"}
    started.config["mutes"] = [rule]
    started.write()
    seen(started, recent(1, affected_vendors=["wordpress"]))
    (mute,) = started.json("mutes")
    assert (mute["by"], mute["reason"], mute["quiet"]) == ("the config", "sold", 1)
    by_id = started.run("unmute", mute["id"])
    assert by_id.stderr == (
        f"{mute['id']} is in the config: take it out of `mutes` there, then `forwarder reload` ends it.\n"
    )
    assert "Alert 1 is muted by the config (sold): take that out" in started.run("unmute", "CVE-2026-20001").stderr
    assert "by the config: sold" in started.says("explain", "--severity", "low", "--vendor", "wordpress")
    assert started.json("explain", "--severity", "low", "--vendor", "wordpress")["muted"]["id"] == mute["id"]
    started.config["mutes"] = []
    started.write()
    seen(started)
    assert incidents(started) == 1


def test_ending_a_mute_says_what_another_one_keeps_quiet(started: Desk) -> None:
    started.says("mute", "--vendor", "wordpress", *FOR)
    started.says("mute", "--cve", "CVE-2026-20001", "--for", "1d", "--reason", "patched")
    seen(started, recent(1, affected_vendors=["wordpress"]), recent(2, affected_vendors=["wordpress"]))
    said = started.says("unmute", "1")
    assert "1 alert goes out now" in said
    assert "1 alert stays quiet by another mute." in said
    seen(started)
    assert incidents(started) == 1


def test_an_alert_is_unmuted_with_all_that_its_mute_keeps_quiet(started: Desk) -> None:
    """Which is asked for first where that is more than this one alert."""
    started.says("mute", "--vendor", "wordpress", *FOR)
    seen(started, recent(1, affected_vendors=["wordpress"]), recent(2, affected_vendors=["wordpress"]))
    asked = started.run("unmute", "CVE-2026-20001")
    assert "End mute 1 (vendor wordpress), by which 2 alerts are quiet? There is no terminal" in asked.stderr
    assert "2 alerts go out now: the daemon routes them" in started.says("unmute", "CVE-2026-20001", "--yes")
    not_muted = started.run("unmute", "CVE-2026-20001")
    assert not_muted.stderr == "Alert 1 is not muted: nothing was changed.\n"


@pytest.mark.parametrize(
    ("wanted", "said"), [("9", "9"), ("9" * 5000, "9" * 39 + "…"), ("config-0a1b2c3d", "config-0a1b2c3d")]
)
def test_an_id_that_is_no_mute_is_refused(started: Desk, wanted: str, said: str) -> None:
    """Also a number that Python would not read, and one of a mute that the config does not have, or no more."""
    result = started.run("unmute", wanted)
    assert result.stderr == f"There is no mute {said}: `forwarder mutes` lists those that there are.\n"


def test_a_replay_says_what_is_muted(started: Desk) -> None:
    """It sends it on purpose; the mute holds for wherever it was not sent."""
    started.config["routes"] = [EVERYTHING]
    started.write()
    started.says("mute", "--vendor", "wordpress", *FOR)
    seen(started, recent(1, affected_vendors=["wordpress"], minutes_ago=120))
    replayed = started.says("replay", "--since", "1h", "--to", "oncall", "--yes")
    assert "oncall: 1 page; 1 of them is muted" in replayed
    seen(started)
    assert incidents(started) == 1
    assert started.sandbox.slack.messages == []
    assert "oncall: delivered, muted until" in started.says("alerts")


def test_without_its_config_only_the_mutes_of_people_are_listed(started: Desk) -> None:
    started.says("mute", "--vendor", "wordpress", *FOR)
    result = started.run("mutes", "--database", str(started.folder / "forwarder.db"), "--json")
    assert "The config cannot be used here: its own mutes are not among these." in result.stderr
    assert '"id": "1"' in result.stdout
