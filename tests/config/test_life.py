"""What the config says of an alert's life: schedules, mutes, owners, reminders, digests and reports."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from forwarder.alert import Severity
from forwarder.config import Config, Day, Hours, Moment, advice, dump, json_schema
from tests.config.conftest import MINIMAL, Load, Problems

BERLIN = ZoneInfo("Europe/Berlin")
PAGER = MINIMAL.replace("routes:", "  pager: {type: pagerduty, routing_key: not-a-real-routing-key-32-chars!}\nroutes:")

WHOLE = """\
sentrytex: {api_key: vk_not_a_real_key}
connectors:
  post: {type: pigeon, ring: not-a-real-ring}
  pager: {type: pagerduty, routing_key: not-a-real-routing-key-32-chars!}
schedules:
  office: {days: [mon, fri], hours: "09:00-18:00", timezone: Europe/Berlin}
  split: {hours: ["22:00 - 06:00", "9:30-24:00"]}
mutes:
  - vendors: [wordpress]
    until: "2027-01-31"
    reason: not in use any more
  - {cve_id: CVE-2026-1, until: "2027-01-31T12:00:00+02:00", reason: patched, even_if_worse: true}
owners:
  github: {pigeon: dev-tools}
  payments: {pigeon: {keeper: Ada}}
routes:
  - {severity: critical, to: [post, pager]}
  - {severity: [high, medium], to: [post, pager], during: office}
  - {severity: low, to: post, digest: monday 09:00}
  - {severity: low, to: post, digest: {every: Fri 9:05, timezone: Europe/Berlin}}
  - {severity: low, to: post, digest: 4h}
reminders:
  - {severity: critical, unacknowledged_for: 15m, to: pager}
  - {overdue_for: 1d, every: 1d, to: [post, pager]}
reports:
  - {every: daily 08:00, timezone: Europe/Berlin, to: [post]}
web: {public_url: "https://alerts.example.com/forwarder/", base_path: /forwarder}
"""


def with_more(text: str) -> str:
    return MINIMAL + text


@pytest.fixture
def whole(loaded: Load) -> Config:
    return loaded(WHOLE)


def test_schedules(whole: Config) -> None:
    """A schedule has days, hours and a zone; without any it is every day, around the clock, in UTC."""
    office, split = whole.schedules["office"], whole.schedules["split"]
    assert (office.days, office.hours, office.timezone) == (
        (Day.MON, Day.FRI),
        (Hours(time(9), time(18)),),
        BERLIN,
    )
    assert split.hours == (Hours(time(22), time(6)), Hours(time(9, 30), time()))
    assert (split.days, split.timezone) == (tuple(Day), ZoneInfo("UTC"))


def test_mutes(whole: Config) -> None:
    """A mute ends at an instant; a day alone is its beginning in UTC."""
    day, moment = whole.mutes
    assert (day.vendors, day.until, day.even_if_worse) == (("wordpress",), datetime(2027, 1, 31, tzinfo=UTC), False)
    assert (moment.until, moment.reason, moment.even_if_worse) == (
        datetime(2027, 1, 31, 10, tzinfo=UTC),
        "patched",
        True,
    )


def test_owners(whole: Config) -> None:
    """Who must act is what the connector's type understands."""
    shown = dump(whole)["owners"]
    assert shown == {"github": {"pigeon": "dev-tools"}, "payments": {"pigeon": {"keeper": "Ada"}}}


def test_routes_wait_or_collect(whole: Config) -> None:
    """A route names a schedule, or when its digest is told; alone in UTC, in a section in a zone."""
    assert whole.routes[1].during == "office"
    digests = [route.digest for route in whole.routes if route.digest]
    assert [(digest.every, digest.timezone.key) for digest in digests] == [
        (Moment(Day.MON, time(9)), "UTC"),
        (Moment(Day.FRI, time(9, 5)), "Europe/Berlin"),
        (timedelta(hours=4), "UTC"),
    ]


def test_reminders_and_reports(whole: Config) -> None:
    """A reminder has conditions as a route, and one reason; a report comes again and again."""
    page, overdue = whole.reminders
    assert (page.severity, page.unacknowledged_for, page.every, page.to) == (
        (Severity.CRITICAL,),
        timedelta(minutes=15),
        None,
        ("pager",),
    )
    assert (overdue.severity, overdue.overdue_for, overdue.every) == ((), timedelta(days=1), timedelta(days=1))
    (report,) = whole.reports
    assert (report.every, report.timezone, report.to) == (Moment(None, time(8)), BERLIN, ("post",))


def test_it_is_shown_in_the_words_of_the_file(whole: Config, loaded: Load) -> None:
    """What is shown could stand in the file again, and means the same."""
    shown = dump(whole)
    assert shown["schedules"]["office"] == {
        "days": ["mon", "fri"],
        "hours": ["09:00-18:00"],
        "timezone": "Europe/Berlin",
    }
    assert shown["schedules"]["split"]["hours"] == ["22:00-06:00", "09:30-24:00"]
    assert shown["routes"][2]["digest"] == {"every": "mon 09:00", "timezone": "UTC"}
    assert shown["reports"][0]["every"] == "daily 08:00"
    assert shown["web"]["public_url"] == "https://alerts.example.com/forwarder"
    parts = {name: shown[name] for name in ("schedules", "owners")}
    again = loaded(MINIMAL + _yaml(parts))
    assert (again.schedules, again.owners) == (whole.schedules, whole.owners)


def _yaml(parts: dict[str, Any]) -> str:
    return "".join(f"{name}: {json.dumps(part)}\n" for name, part in parts.items())


def test_none_of_it_is_the_default(loaded: Load) -> None:
    """A config that names nothing of it, or only the names of the sections, has nothing of it."""
    bare = loaded(MINIMAL)
    assert (bare.schedules, bare.mutes, bare.owners, bare.reminders, bare.reports) == ({}, (), {}, (), ())
    assert (bare.routes[0].during, bare.routes[0].digest, bare.web.public_url) == (None, None, None)
    assert loaded(MINIMAL + "schedules:\nmutes:\nowners:\nreminders:\nreports:\n") == bare


JIRA = "  tickets: {type: jira, url: 'https://jira.example.com', token: not-a-real-token, project: SEC, %s}\n"


def test_a_reminder_that_can_never_come(loaded: Load) -> None:
    """Only due dates that somebody gives can pass: `forwarder check` warns where nobody does."""
    reminders = "reminders:\n  - {unacknowledged_for: 15m, to: post}\n  - {overdue_for: 1d, to: post}\n"

    def warned(due: str) -> list[str]:
        config = loaded(MINIMAL.replace("routes:\n", JIRA % due + "routes:\n", 1) + reminders)
        return [sentence for sentence in advice(config) if sentence.startswith("reminders")]

    assert warned("due_in: {high: 7d}") == []
    assert warned("due_in: {}") == [
        "reminders[1].overdue_for: no connector gives an alert a due date, so this reminds nobody. Set due_in of a "
        "connector that has that key."
    ]


def test_all_problems_at_once(problems: Problems) -> None:
    """Every mistake is told once, with its line and the way out."""
    text = """\
        sentrytex: {api_key: vk_not_a_real_key}
        connectors:
          post: {type: pigeon, ring: not-a-real-ring}
          pager: {type: pagerduty, routing_key: not-a-real-routing-key-32-chars!}
        schedules:
          office: {days: [mo, tue], hour: "09:00-18:00", timezone: Europe/Berlim}
          "no name": {hours: [9-18, "09:00-09:00", "25:00-26:00"]}
          null: [a]
        mutes:
          - {until: 2027-01-31, reason: quiet}
          - {vendor: wordpress, until: someday, reason: ""}
          - {severity: low}
        owners:
          github: {pigeno: ada, pigeon: {keepr: ada}, console: ada, sick: ada}
          slack: "@dev-tools"
        routes:
          - {to: post, during: ofice}
          - {to: post, during: office, digest: daily 09:00}
          - {to: [post, pager], digest: someday}
          - {to: post, digest: {ever: 4h}}
          - {to: post, digest: {every: 4h, timezone: Europe/Berlin}}
          - {to: post, digest: 10s}
          - {to: post, digest: 4}
        reminders:
          - {severity: critical, to: pots}
          - {unacknowledged_for: 15m, overdue_for: 1d, to: post}
          - {unacknowledged_for: 15, every: 10s, to: post}
        reports:
          - {every: moonday 09:00, to: [post, pager, mail]}
          - {every: 4h}
    """
    types = "apprise, console, email, github, jira, jsm, pagerduty, pigeon, sick, slack, stuffed, teams, webhook"
    days = "mon, tue, wed, thu, fri, sat or sun"
    hours = "must be a span of the day such as 09:00-18:00, or 22:00-06:00 through the night"
    every = "must be a day and a time such as monday 09:00 or daily 09:00, or a span such as 4h"
    one_at_a_time = "a connector of this type takes one alert at a time, and neither digests nor reports: name another"
    assert problems(text) == [
        f"config.yaml:6: schedules.office.days[0]: must be {days} (did you mean mon?)",
        "config.yaml:6: schedules.office.hour: unknown key (did you mean hours?)",
        "config.yaml:6: schedules.office.timezone: must be a time zone of the IANA database such as Europe/Berlin "
        "(did you mean Europe/Berlin?)",
        "config.yaml:7: schedules.no name: a schedule's name has 1 to 64 letters, digits, - and _",
        f"config.yaml:7: schedules.no name.hours[0]: {hours}",
        "config.yaml:7: schedules.no name.hours[1]: begins and ends at the same time: write 00:00-24:00 for the whole "
        "day",
        f"config.yaml:7: schedules.no name.hours[2]: {hours}",
        "config.yaml:8: schedules.null: must be a section with keys of its own",
        "config.yaml:10: mutes[0]: has no condition and would mute every alert: add one, such as vendors or cve_id",
        "config.yaml:11: mutes[1].reason: must not be empty",
        "config.yaml:11: mutes[1].until: must be an ISO date such as 2027-01-31, or a time such as "
        "2027-01-31T18:00+01:00",
        "config.yaml:11: mutes[1].vendor: unknown key (did you mean vendors?)",
        "config.yaml:12: mutes[2].reason: is missing",
        "config.yaml:12: mutes[2].until: is missing",
        "config.yaml:14: owners.github.console: connectors of this type can name nobody who must act",
        "config.yaml:14: owners.github.pigeno: no connector of this type is installed; "
        f"installed types: {types} (did you mean pigeon?)",
        "config.yaml:14: owners.github.pigeon: must be text",
        "config.yaml:14: owners.github.pigeon.keepr: unknown key (did you mean keeper?)",
        "config.yaml:14: owners.github.sick: the connector type sick of the package pigeon-post cannot be loaded: "
        "RuntimeError: no wings",
        "config.yaml:15: owners.slack: must be a section of connector types, each with who must act there",
        "config.yaml:17: routes[0].during: no schedule is named 'ofice' (did you mean office?)",
        "config.yaml:18: routes[1]: has both during and digest: a digest has times of its own, so leave one of them "
        "out",
        f"config.yaml:19: routes[2].digest: {every}",
        f"config.yaml:19: routes[2].to[1]: {one_at_a_time}, or give it a route without digest",
        "config.yaml:20: routes[3].digest.ever: unknown key (did you mean every?)",
        "config.yaml:21: routes[4].digest: a span such as 4h is the same in every zone: leave timezone out, or name a "
        "time of day",
        "config.yaml:22: routes[5].digest: must be at least 1m",
        f"config.yaml:23: routes[6].digest: {every}",
        "config.yaml:25: reminders[0]: must have either unacknowledged_for or overdue_for: write a reminder for each",
        "config.yaml:25: reminders[0].to: no connector is named 'pots' (did you mean post?)",
        "config.yaml:26: reminders[1]: must have either unacknowledged_for or overdue_for: write a reminder for each",
        "config.yaml:27: reminders[2].every: must be at least 1m",
        "config.yaml:27: reminders[2].unacknowledged_for: must be a duration such as 30s or 2h",
        f"config.yaml:29: reports[0].every: {every}",
        f"config.yaml:29: reports[0].to[1]: {one_at_a_time}",
        "config.yaml:29: reports[0].to[2]: no connector is named 'mail'",
        "config.yaml:30: reports[1].to: is missing",
    ]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("schedules: [a]", "schedules: must be a section of names, each with days, hours and a timezone"),
        ("mutes: {a: b}", "mutes: must be a list"),
        ("mutes: [a]", "mutes[0]: must be a section with keys of its own"),
        ("owners: [a]", "owners: must be a section of vendor keys and categories, each with those who must act"),
        ("owners: {github: }", "owners.github: must be a section of connector types, each with who must act there"),
        ("reminders: 15m", "reminders: must be a list"),
        ("reports: monday 09:00", "reports: must be a list"),
        ("schedules: {a: {timezone: Europe}}", "schedules.a.timezone: must be a time zone of the IANA database such"),
        ("schedules: {a: {timezone: ../a}}", "schedules.a.timezone: must be a time zone of the IANA database such"),
        ("schedules: {a: {timezone: 5}}", "schedules.a.timezone: must be a time zone of the IANA database such"),
        ("schedules: {a: {hours: []}}", "schedules.a.hours: must not be an empty list"),
        ("web: {public_url: http://example.com}", "web.public_url: must begin with https://: plain http is allowed"),
        ("web: {public_url: https://a.example/b}", "web.public_url: must end with a host name and a port: base_path"),
        (
            "web: {public_url: https://a.example, base_path: /b}",
            "web.public_url: must end with /b: base_path says below which path the page is",
        ),
    ],
)
def test_what_a_section_cannot_be(problems: Problems, section: str, expected: str) -> None:
    """A section of another shape, or with a value that means nothing, is told in one sentence."""
    (problem,) = problems(with_more(section + "\n"))
    assert problem.startswith(f"config.yaml:7: {expected}")


@pytest.mark.parametrize(
    "wrong",
    [
        *(f"schedules: {{a: {{{key}: hunter2}}}}" for key in ("days", "hours", "timezone", "nokey")),
        *(f"mutes: [{{{key}: hunter2}}]" for key in ("severity", "until", "even_if_worse")),
        *(f"reminders: [{{{key}: hunter2}}]" for key in ("unacknowledged_for", "overdue_for", "every")),
        *(f"reports: [{{{key}: hunter2}}]" for key in ("every", "timezone")),
        *(f"owners: {text}" for text in ("hunter2", "{a: hunter2}", "{a: {pigeon: [hunter2]}}")),
        "routes: [{digest: hunter2}]",
        "web: {public_url: 'ftp://hunter2'}",
    ],
)
def test_no_value_is_shown(problems: Problems, wrong: str) -> None:
    """No problem shows a value: it may be a secret at the wrong key."""
    assert "hunter2" not in "\n".join(problems(wrong))


def test_no_name_from_outside_is_shown(problems: Problems) -> None:
    """A schedule's name that a variable brought may be a secret at the wrong key."""
    text = with_more('    during: "${TOKEN}"\nschedules: {office: {}}\n')
    assert problems(text, {"TOKEN": "hunter2"}) == ["config.yaml:7: routes[0].during: no schedule has this name"]


@pytest.mark.parametrize("address", ["https://alerts.example.com", "http://127.0.0.1:8585", "http://localhost:8585/"])
def test_a_public_url(loaded: Load, address: str) -> None:
    """It is https, or http to this machine, and stands without a slash at its end."""
    assert loaded(with_more(f"web: {{public_url: '{address}'}}\n")).web.public_url == address.rstrip("/")


# --- the schema ----------------------------------------------------------------------------------------------------


def told(text: str) -> list[str]:
    schema = json.loads(json.dumps(json_schema()))
    return [error.message for error in Draft202012Validator(schema).iter_errors(YAML(typ="safe").load(text))]


def test_the_schema_accepts_what_loads() -> None:
    """An editor finds nothing wrong with a config that uses all of it, or has a variable anywhere."""
    assert told(WHOLE) == []
    assert told(MINIMAL + "schedules:\nmutes:\nowners:\nreminders:\nreports:\n") == []
    wide = "    digest: ${A}\nschedules: {a: {days: ['${B}'], hours: '${C}', timezone: '${D}'}}\n"
    assert told(MINIMAL + wide) == []


@pytest.mark.parametrize(
    "text",
    [
        with_more("    digest: someday\n"),
        with_more("    digest: {every: 4h, zone: a}\n"),
        with_more("schedules: {a: {days: monday}}\n"),
        with_more('schedules: {a: {hours: "9-18"}}\n'),
        with_more("schedules: {no name: {}}\n"),
        with_more("mutes: [{vendors: a, until: 2027-01-31}]\n"),
        with_more("owners: {github: {pigeon: {keepr: a}}}\n"),
        with_more("owners: {github: {console: a}}\n"),
        with_more("owners: {github: {pigeno: a}}\n"),
        with_more("reminders: [{unacknowledged_for: 15, to: post}]\n"),
        with_more("reports: [{every: monday, to: post}]\n"),
    ],
)
def test_the_schema_refuses_what_does_not_load(problems: Problems, text: str) -> None:
    """What an editor underlines is what the forwarder refuses."""
    assert told(text) != []
    assert problems(text) != []
