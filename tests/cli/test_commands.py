"""The commands that run, look and check: what they print, for people and for programs, and how they end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from datetime import datetime
from operator import methodcaller
from typing import Any, Final
from uuid import UUID

import click
import pytest
from click.testing import CliRunner

from forwarder.cli.root import COMMANDS, group
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.testing import alert
from tests.kit.core import enqueue, environment, recent, secrets
from tests.kit.desk import Desk
from tests.kit.processes import FORWARDER

CRITICAL = "00000000-0000-4000-8000-000000000001"


# once


def test_once_delivers_what_is_due_and_ends(desk: Desk, sandbox: Sandbox) -> None:
    """Status 0 when all is delivered, and again when nothing is new."""
    sandbox.sentrytex.publish(*(recent(number) for number in range(3)))
    for _ in range(2):
        result = desk.once()
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert len(sandbox.slack.messages) == len(sandbox.jira.issues) == len(sandbox.pagerduty.incidents) == 3
    assert all("/browse/SEC-" in str(message) for message in sandbox.slack.messages)


def test_once_reminds_and_reports(desk: Desk, sandbox: Sandbox) -> None:
    """From cron alone, too, somebody hears of what nobody has acknowledged, and how things stand."""
    desk.config["routes"] = [{"to": "secops"}]
    desk.config["reminders"] = [{"unacknowledged_for": "15m", "to": ["oncall"]}]
    desk.config["reports"] = [{"every": "daily 09:00", "to": ["secops"]}]
    desk.write()
    sandbox.sentrytex.publish(recent(1))
    assert desk.once().returncode == 0
    with Store.open_exclusive(desk.folder / "forwarder.db") as store:
        for table, column in (("deliveries", "enqueued_at"), ("reminders", "since"), ("reports", "made_at")):
            store.engine.write(methodcaller("execute", f"UPDATE {table} SET {column} = {column} - 100000"))
    assert desk.once().returncode == 0
    assert len(sandbox.pagerduty.incidents) == 1
    assert sum("Report: " in message["text"] for message in sandbox.slack.messages) == 1


def test_once_waits_for_a_rate_limit(desk: Desk, sandbox: Sandbox) -> None:
    """Also for the last one behind a 429."""
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "1"}, path="postMessage"))
    sandbox.sentrytex.publish(recent(1))
    assert desk.once().returncode == 0
    assert len(sandbox.slack.messages) == 1


def test_once_says_what_is_still_owed(desk: Desk, sandbox: Sandbox) -> None:
    """A failing destination is left for the next run, which brings the rest."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=500, path="enqueue"))
    sandbox.sentrytex.publish(recent(1))
    result = desk.once()
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "1 delivery is still waiting (`forwarder status` says why)."


def test_once_does_not_wait_for_what_is_refused_again_and_again(desk: Desk, sandbox: Sandbox) -> None:
    """One alert that alone is told to wait, whenever it is sent, holds up neither the others nor the end."""
    slow_down = Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "1"}, text="Poisoned", times=None)
    sandbox.pagerduty.inject(slow_down)
    sandbox.sentrytex.publish(recent(1, title="Poisoned", minutes_ago=30), *(recent(number) for number in range(2, 6)))
    result = desk.once()
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "1 delivery is still waiting (`forwarder status` says why)."
    assert len(sandbox.pagerduty.incidents) == 4


def test_once_tries_a_paused_connector_again(desk: Desk, sandbox: Sandbox) -> None:
    """After the token was put right, the next run brings what waited."""
    sandbox.slack.revoke()
    sandbox.sentrytex.publish(recent(1), recent(2))
    assert desk.once().returncode == 1
    sandbox.slack.restore()
    assert desk.once().returncode == 0
    assert len(sandbox.slack.messages) == 2


def test_once_says_that_the_feed_could_not_be_read(desk: Desk, sandbox: Sandbox) -> None:
    """What is already owed is delivered all the same, and nobody is told that all is well."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=500, path="enqueue", times=None))
    sandbox.sentrytex.publish(recent(1))
    assert desk.once().returncode == 1
    sandbox.pagerduty.clear_faults()
    _let_time_pass(desk)
    desk.config["heartbeat"] = {"url": f"{sandbox.slack.url}beat"}
    desk.write()
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503, path="/alerts", times=None))
    result = desk.once()
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("The Sentrytex API has a fault of its own (503")
    assert len(sandbox.pagerduty.incidents) == 1
    assert not any("beat" in seen.path for seen in sandbox.slack.requests)


def _let_time_pass(desk: Desk, seconds: float = 3600) -> None:
    """What waits for its backoff becomes due, and the last poll was so much earlier."""
    store = Store.open_shared(desk.folder / "forwarder.db")
    store.outbox.shift_deadlines(-seconds)
    store.close()


def test_once_beats_after_a_complete_poll(desk: Desk, sandbox: Sandbox) -> None:
    """Under cron, too, someone outside notices when it ends."""
    desk.config["heartbeat"] = {"url": f"{sandbox.slack.url}beat"}
    desk.write()
    desk.once()
    assert [seen.path for seen in sandbox.slack.requests] == ["/api/beat"]


def _runs(desk: Desk, sandbox: Sandbox, *fail: bool, every: float, as_processes: bool = False) -> list[dict[str, Any]]:
    """Runs `once` so often, ``every`` so many seconds; the incidents that alarms then have."""
    desk.config["alarms"] = {"to": ["oncall"]}
    desk.write()
    for fails in fail:
        sandbox.sentrytex.clear_faults()
        if fails:
            sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503, path="/alerts", times=None))
        status = desk.once().returncode if as_processes else desk.run("once").exit_code
        assert status == int(fails)
        _let_time_pass(desk, every)
    return list(sandbox.pagerduty.incidents.values())


@pytest.mark.parametrize("every", [900.0, 3600.0, 86400.0], ids=["15m", "1h", "1d"])
def test_once_pages_nobody_for_a_feed_that_fails_now_and_then(desk: Desk, sandbox: Sandbox, every: float) -> None:
    """However rarely it runs: the next runs read what this one missed."""
    assert _runs(desk, sandbox, False, True, True, False, True, every=every) == []


def test_once_pages_nobody_for_a_failure_after_a_long_pause(desk: Desk, sandbox: Sandbox) -> None:
    """A laptop that was closed for days could not read the feed, nor tell anybody."""
    _runs(desk, sandbox, False, True, every=900.0)
    _let_time_pass(desk, 4 * 86400)
    assert _runs(desk, sandbox, True, every=900.0) == []


@pytest.mark.parametrize("ever", [True, False], ids=["read once", "never read"])
def test_once_tells_of_a_feed_that_stays_unread(desk: Desk, sandbox: Sandbox, ever: bool) -> None:
    """At the third run in a row that fails, also where none ever read it; and of the end."""
    failures = (True, True, True, True)
    (incident,) = _runs(desk, sandbox, *([False] if ever else []), *failures, every=900.0, as_processes=ever)
    assert "feed cannot be read" in str(incident["events"])
    assert len(incident["events"]) == 1
    (incident,) = _runs(desk, sandbox, False, every=900.0, as_processes=ever)
    assert incident["status"] == "resolved"


def test_once_every_minute_pages_nobody_for_a_few_failures(desk: Desk, sandbox: Sandbox) -> None:
    """Three runs are no more than two minutes then."""
    assert _runs(desk, sandbox, False, True, True, True, every=60.0) == []


def test_once_forgets_what_is_too_old(desk: Desk) -> None:
    """Under cron, too, the database stays small."""
    store = Store.open_exclusive(desk.folder / "forwarder.db")
    enqueue(store, alert(id="old"), to=(), now=time.time() - 401 * 86400)
    store.close()
    assert desk.run("once").exit_code == 0
    assert desk.json("alerts") == []


def test_once_tells_of_dead_letters(desk: Desk, sandbox: Sandbox) -> None:
    """A refusal is final, and the status says so."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=413, path="enqueue"))
    sandbox.sentrytex.publish(recent(1))
    result = desk.once()
    assert result.returncode == 1
    assert "1 became dead letter (`forwarder deliveries --state dead`)" in result.stderr


# check


def test_check_says_that_a_config_is_valid(desk: Desk) -> None:
    """With what it holds."""
    assert desk.says("check").endswith("config.yaml is valid: 3 connectors, 1 route.\n")


ADVISED: Final[dict[str, tuple[list[str], str]]] = {
    "nobody": ([], "Name two of different services, such as secops and oncall."),
    "one": (
        ["secops"],
        "all alarms end at one service (secops). While that fails, only critical ones find another way",
    ),
    "two of one service": (["oncall", "night"], "one service (oncall, night)."),
}
"""Alarms that end at one service: who is named, and what is said."""


@pytest.mark.parametrize("which", ADVISED)
def test_check_warns_where_all_alarms_end_at_one_service(desk: Desk, which: str) -> None:
    """The config is valid, and what to name is said."""
    named, says = ADVISED[which]
    desk.config["connectors"]["night"] = desk.config["connectors"]["oncall"]
    desk.config["alarms"] = {"to": named}
    desk.write()
    result = desk.ends("check")
    assert result.returncode == 0
    assert result.stdout.startswith("config.yaml is valid: ")
    assert result.stderr.startswith("config.yaml: warning: alarms.to: ")
    assert says in result.stderr


def test_check_warns_of_the_one_service_there_is(desk: Desk) -> None:
    """Then another one must be added."""
    desk.config["connectors"] = {"secops": desk.config["connectors"]["secops"]}
    desk.config |= {"routes": [{"to": "secops"}], "alarms": {"to": "secops"}}
    desk.write()
    assert "add a connector of another service" in desk.run("check").stderr


@pytest.mark.parametrize("named", [["secops", "oncall"], ["tickets", "elsewhere"]])
def test_check_warns_of_no_two_services(desk: Desk, named: list[str]) -> None:
    """Of one type they are two where each has an address of its own."""
    tickets = desk.config["connectors"]["tickets"]
    desk.config["connectors"]["elsewhere"] = {**tickets, "url": "https://jira.example.com"}
    desk.config["alarms"] = {"to": named}
    desk.write()
    assert desk.run("check").stderr == ""


def test_check_prints_every_mistake_with_its_line(desk: Desk) -> None:
    """Eight mistakes are eight lines, and exit status 78."""
    (desk.folder / "config.yaml").write_text(
        """\
sentrytex:
  api_key: ${NO_SUCH_VARIABLE}
  pol_every: 30s
  overlap: 2
connectors:
  oncall:
    type: pagerdoty
  tickets:
    type: jira
    url: nowhere
    token: not-a-real-jira-token
    project: SEC
routes:
  - severity: urgent
    to: [ticket]
keep: for ever
""",
        "utf-8",
    )
    result = desk.ends("check")
    assert result.returncode == 78
    lines = result.stderr.splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4", "7", "10", "14", "15", "16"]
    assert all(line.startswith("config.yaml:") for line in lines)
    assert "did you mean poll_every?" in lines[1]
    assert "did you mean tickets?" in lines[6]
    assert "not-a-real" not in result.stderr


def test_check_live_asks_every_service(desk: Desk, sandbox: Sandbox) -> None:
    """And says in sentences what works; nothing is left behind."""
    said = desk.ends("check", "--live")
    assert said.returncode == 0, said.stdout
    for name in ("sentrytex", "secops", "oncall", "tickets"):
        assert f"ok   {name}: " in said.stdout
    assert (sandbox.slack.messages, sandbox.pagerduty.incidents, sandbox.jira.issues) == ([], {}, {})


def test_nothing_but_sentences_is_printed_by_who_asks_a_service(desk: Desk) -> None:
    """What a daemon logs on the way is not for who reads them."""
    desk.run("once")
    lines = desk.process("check", "--live").stdout.splitlines()
    assert [line for line in lines if not line.startswith(("ok   ", "config.yaml is valid: "))] == []
    for args in (("explain", "00000000-0000-4000-8000-000000000009"), ("test", "oncall")):
        said = desk.process(*args)
        assert "request" not in said.stdout + said.stderr
        assert "[debug" not in said.stdout + said.stderr


@pytest.mark.parametrize(
    ("base_url", "says"),
    [
        ("http://127.0.0.1:9/api/", "Slack cannot be reached: 127.0.0.1:9 refuses the connection"),
        ("{}wrong/", "Slack refused it: unknown_method; correct base_url in the config, or the proxy in between."),
    ],
)
def test_a_wrong_address_of_slack_is_no_matter_of_its_token(
    desk: Desk, sandbox: Sandbox, base_url: str, says: str
) -> None:
    """Only who got an answer about the token hears of one."""
    desk.config["connectors"]["secops"]["base_url"] = base_url.format(sandbox.slack.url.rstrip("/") + "/")
    desk.write()
    (line,) = [line for line in desk.ends("check", "--live").stdout.splitlines() if line.startswith("FAIL")]
    assert line.startswith(f"FAIL secops: {says}")


def test_check_live_says_what_does_not_work(desk: Desk, sandbox: Sandbox) -> None:
    """Each on its own line, without a secret, and exit status 1."""
    sandbox.slack.revoke()
    sandbox.jira.revoke()
    sandbox.sentrytex.revoke()
    said = desk.ends("check", "--live")
    assert said.returncode == 1
    assert {line.split()[1] for line in said.stdout.splitlines() if "FAIL" in line} == {
        "sentrytex:",
        "secops:",
        "tickets:",
    }
    assert [secret for secret in secrets(sandbox).values() if secret in said.stdout + said.stderr] == []


def test_the_schema_is_one_that_editors_read(desk: Desk) -> None:
    """With the keys of the connectors in it."""
    schema = json.loads(desk.says("schema"))
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "routing_key" in json.dumps(schema)


# Looking


def test_status_tells_people(forwarded: Desk) -> None:
    """How far the feed was read, and what each connector is owed."""
    said = forwarded.says("status")
    assert re.search(r"^Last complete poll: (just now|[\dms ]+ ago)$", said, re.MULTILINE)
    assert "alerts without a route: 1" in said
    for name in ("secops", "oncall", "tickets"):
        assert f"{name} " in said
    assert "stopped" in said
    assert "working" not in said


def test_status_tells_programs(forwarded: Desk) -> None:
    """The same, as JSON."""
    status = forwarded.json("status")
    assert {queue["name"]: queue["delivered_24h"] for queue in status["connectors"]} == {
        "secops": 2,
        "oncall": 1,
        "tickets": 2,
    }
    assert status["unrouted"] == 1
    assert status["lag_seconds"] < 600
    assert datetime.fromisoformat(status["last_poll"]).tzinfo is not None
    assert [(alarm["type"], alarm["severity"]) for alarm in status["alarms"]] == [("unrouted", "low")]


def test_status_shows_what_is_paused_and_whose_queue_is_orphaned(desk: Desk, sandbox: Sandbox) -> None:
    """With the reason of the pause."""
    sandbox.slack.revoke()
    sandbox.sentrytex.publish(recent(1))
    desk.once()
    assert "token_revoked" in desk.says("status")
    paused = {queue["name"]: queue["paused"] for queue in desk.json("status")["connectors"]}
    assert paused["secops"]["reason"]
    assert paused["oncall"] is None
    desk.config["connectors"]["renamed"] = desk.config["connectors"].pop("secops")
    desk.config["routes"] = [{"to": ["renamed"]}]
    desk.write()
    assert "orphaned" in desk.says("status")
    assert "secops is not in the config: what it is owed goes nowhere" in desk.says("status")
    store = Store.open_exclusive(desk.folder / "forwarder.db")
    store.engine.write(
        lambda connection: connection.execute(
            "UPDATE deliveries SET state = 'dead', settled_at = 1 WHERE connector = 'secops'"
        )
    )
    store.close()
    assert "secops is not in the config: 1 dead letter belongs to no connector" in desk.says("status")
    assert [queue["name"] for queue in desk.json("status")["connectors"] if not queue["configured"]] == ["secops"]


def test_status_shows_how_far_sweeps_reach(desk: Desk, sandbox: Sandbox) -> None:
    """Where they fall short: the severity and the date; and why the last one failed."""
    desk.config["sentrytex"]["start_from"] = "3d"
    desk.write()
    for number in range(210):
        sandbox.sentrytex.publish(recent(number, severity="low", minutes_ago=60 + number))
    desk.run("once")
    assert re.search(
        r"^Sweeps of low alerts reach back to .+ only, not all of look_back\.$", desk.says("status"), re.MULTILINE
    )
    status = desk.json("status")
    assert datetime.fromisoformat(status["short_reach"]["low"]) == datetime.fromisoformat(
        sandbox.sentrytex.alerts[199]["published_at"]
    )
    assert datetime.fromisoformat(status["floor"]) < datetime.fromisoformat(status["cursor"])
    with Store.open_exclusive(desk.folder / "forwarder.db") as store:
        store.feed.sweep_failed("The API is ill.")
    assert "(The API is ill.)" in desk.says("status")


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ([], ["1", "2", "3"]),
        (["--severity", "high"], ["2"]),
        (["--vendor", "okta"], ["3"]),
        (["--connector", "oncall"], ["1"]),
        (["--connector", "tickets", "--state", "delivered"], ["1", "2"]),
        (["--state", "dead"], []),
        (["--cve", "20003"], ["3"]),
        (["--unrouted"], ["3"]),
        (["--since", "1h"], ["1", "2", "3"]),
        (["--since", "2100-01-01"], []),
    ],
    ids=" ".join,
)
def test_alerts_are_filtered(forwarded: Desk, args: list[str], found: list[str]) -> None:
    """By all that an alert or its deliveries say."""
    assert sorted(alert["id"][-1] for alert in forwarded.json("alerts", *args)) == found


def test_alerts_tell_where_each_went(forwarded: Desk) -> None:
    """Also that one went nowhere."""
    lines = forwarded.says("alerts").splitlines()
    (first,) = [line for line in lines if "Log4Shell again" in line]
    assert "tickets: delivered" in first
    (third,) = [line for line in lines if "Alert 3" in line]
    assert "nowhere" in third
    assert forwarded.says("alerts", "--cve", "nothing") == "No alerts match.\n"


def test_deliveries_tell_where_each_stands(forwarded: Desk) -> None:
    """With the receipt's link where there is one."""
    said = forwarded.says("deliveries", "--connector", "tickets")
    assert f"{forwarded.sandbox.jira.url}/browse/SEC-1" in said.replace("\n", "")
    (row,) = forwarded.json("deliveries", "--alert", CRITICAL, "--connector", "oncall")
    assert (row["state"], row["kind"], row["attempts"]) == ("delivered", "open", 1)
    assert row["receipt"]["id"] == f"sentrytex:{CRITICAL}"
    assert row["why"].startswith("route 1: severity is critical")
    assert forwarded.says("deliveries", "--state", "dead") == "No deliveries match.\n"


def test_hostile_titles_are_shown_as_they_are(desk: Desk, sandbox: Sandbox) -> None:
    """No markup of the terminal's or the table's is obeyed."""
    sandbox.sentrytex.publish(recent(1, title="[bold red]title[/] \x1b[31mred"))
    desk.run("once")
    said = desk.says("alerts")
    assert "[bold red]title[/]" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("name", [CRITICAL, "CVE-2026-20001"], ids=["id", "CVE"])
def test_explain_tells_an_alert_s_story(forwarded: Desk, name: str) -> None:
    """Why it went where it went, and what came back."""
    said = forwarded.says("explain", name)
    assert said.startswith("Log4Shell again\n")
    assert "Route 1: matched, for severity is critical -> oncall, tickets, secops" in said
    assert "Route 2: no match, for severity is critical, not high" in said
    assert "tickets (open): delivered, because route 1: severity is critical" in said
    assert "  receipt SEC-" in said


def test_explain_tells_programs(forwarded: Desk) -> None:
    """The same, as JSON."""
    history = forwarded.json("explain", CRITICAL)
    assert [verdict["matched"] for verdict in history["trail"]] == [True, False]
    assert {delivery["connector"] for delivery in history["deliveries"]} == {"oncall", "tickets", "secops"}
    assert {attempt["outcome"] for tries in history["attempts"].values() for attempt in tries} == {"delivered"}


def test_explain_tells_that_an_alert_went_nowhere(forwarded: Desk) -> None:
    """And which route came near."""
    said = forwarded.says("explain", CRITICAL.replace("1", "3"))
    assert "Route 2: no match, for severity is low, not high" in said
    assert "It went nowhere" in said


def test_explain_tells_what_changed(desk: Desk, sandbox: Sandbox) -> None:
    """Each revision, with the old and the new."""
    sandbox.sentrytex.publish(recent(1))
    assert desk.run("once").exit_code == 0
    sandbox.sentrytex.update(CRITICAL, cisa_kev=True)
    assert desk.run("once").exit_code == 0
    assert "cisa_kev: False -> True" in desk.says("explain", CRITICAL)
    assert desk.json("explain", CRITICAL)["revisions"][0]["changes"] == [
        {"field": "cisa_kev", "old": False, "new": True}
    ]


def test_explain_asks_the_api_about_an_alert_it_never_saw(desk: Desk, sandbox: Sandbox) -> None:
    """Whether it is too old, or not there at all, or whether the API cannot be asked."""
    Store.open_exclusive(desk.folder / "forwarder.db").close()
    old = recent(9, minutes_ago=60 * 24 * 30)
    sandbox.sentrytex.publish(old)
    assert "it is outside the period that was read" in desk.run("explain", old["id"]).stderr
    assert "does not know this id either" in desk.run("explain", str(UUID(int=7))).stderr
    sandbox.sentrytex.revoke()
    assert "could not be asked for it" in desk.run("explain", str(UUID(int=7))).stderr


def test_explain_asks_no_crowd_of_accounts(desk: Desk, sandbox: Sandbox) -> None:
    """Of many accounts only those are asked that somebody names: each asked would be a request of each one's limit."""
    Store.open_exclusive(desk.folder / "forwarder.db").close()
    old = recent(9, minutes_ago=60 * 24 * 30, affected_vendors=["openssl"])
    sandbox.sentrytex.publish(old)
    keys = {f"account-{number}": f"vk_account-{number}-not-a-real-key" for number in range(11)}
    for key in keys.values():
        sandbox.sentrytex.add_account(key, "openssl")
    desk.config["sentrytex"].pop("api_key")
    desk.config["sentrytex"]["accounts"] = {name: {"api_key": key} for name, key in keys.items()}
    desk.write()
    said = desk.run("explain", old["id"]).stderr
    assert "The API was not asked, for the config names 11 accounts: " in said
    assert f"`forwarder explain {old['id']} --account NAME` asks it with the key of one." in said
    assert sandbox.sentrytex.requests == []
    assert "The API has it (account-7)" in desk.run("explain", old["id"], "--account", "account-7").stderr
    assert len(sandbox.sentrytex.requests) == 1
    assert "The config names no account acme." in desk.run("explain", old["id"], "--account", "acme").stderr


@pytest.mark.parametrize("option", [("--severity", "high"), ("--vendor", "github"), ("--kev",), ("--cvss", "9.8")])
def test_explain_takes_an_alert_or_a_description(desk: Desk, option: tuple[str, ...]) -> None:
    """Of both it would leave one out without a word."""
    result = desk.run("explain", CRITICAL, *option)
    assert result.exit_code == 2
    assert "Name an alert, or describe one with options such as --severity, and not both." in result.output


def test_explain_tells_where_an_imagined_alert_would_go(desk: Desk) -> None:
    """Without a database."""
    desk.config["routes"] = [{"severity": "high", "vendors": ["aws-*"], "min_epss": 0.1, "to": ["tickets"]}]
    desk.write()
    args = ("explain", "--severity", "high", "--vendor", "aws-s3")
    assert "It would go to: tickets." in desk.says(*args, "--epss", "0.2")
    assert "EPSS 0.05 is below 0.1" in desk.says(*args, "--epss", "0.05")
    assert "It would go to: nowhere." in desk.says(*args)
    assert list(desk.json(*args, "--epss", "0.2")["targets"]) == ["tickets"]
    assert desk.run("explain").exit_code == 2


def test_explain_tells_where_an_account_s_imagined_alert_would_go(desk: Desk) -> None:
    """And of the routes for other accounts how many there are, where there are more than a few."""
    desk.config["sentrytex"].pop("api_key")
    keys = {f"account-{number}": {"api_key": f"vk_account-{number}-not-a-real-key"} for number in range(9)}
    desk.config["sentrytex"]["accounts"] = keys
    desk.config["routes"] = [{"account": name, "to": ["tickets"]} for name in keys]
    desk.write()
    said = desk.says("explain", "--severity", "high", "--account", "account-3")
    assert said.splitlines() == [
        "Route 1 and 7 others: no match, for account is account-3, and none of them names it",
        "Route 4: matched, for account is account-3 -> tickets",
        "It would go to: tickets.",
    ]
    assert "It would go to: nowhere." in desk.says("explain", "--severity", "high")


@pytest.mark.parametrize("connector", ["secops", "oncall", "tickets"])
def test_preview_shows_what_a_person_would_see(forwarded: Desk, connector: str) -> None:
    """A sample, or an alert that was seen; nothing is sent."""
    before = len(forwarded.sandbox.slack.requests)
    assert "Log4Shell: Apache Log4j" in forwarded.says("preview", connector)
    assert "Log4Shell again" in forwarded.says("preview", connector, CRITICAL)
    assert isinstance(forwarded.json("preview", connector), dict)
    assert len(forwarded.sandbox.slack.requests) == before


def test_preview_shows_a_digest(forwarded: Desk) -> None:
    """Of what was seen, each alert a line; a pager takes none, and one alert makes none."""
    shown = forwarded.says("preview", "secops", "--digest")
    assert "Digest: 3 alerts (1 critical, 1 high, 1 low)" in shown
    assert "Log4Shell again" in shown
    assert "Severity | CVE | Alert" in forwarded.says("preview", "tickets", "--digest")
    assert "takes no digests" in forwarded.run("preview", "oncall", "--digest").stderr
    assert "leave ALERT_ID out" in forwarded.run("preview", "secops", CRITICAL, "--digest").stderr


def test_a_digest_needs_alerts(desk: Desk) -> None:
    """Before anything was seen there is none to show."""
    Store.open_exclusive(desk.folder / "forwarder.db").close()
    assert "No alert was seen yet" in desk.run("preview", "secops", "--digest").stderr


def test_preview_and_the_check_know_owners(desk: Desk) -> None:
    """A preview names them and pings nobody; the live check says who is not there."""
    desk.config["owners"] = {"apache": {"slack": "@dev-tools", "pagerduty": "dev"}, "oktaa": {"slack": "@gone"}}
    desk.write()
    assert "👤 Owner: @dev-tools" in desk.says("preview", "secops")
    assert "owner: dev" in desk.says("preview", "oncall")
    result = desk.run("check", "--live")
    assert "secops: The owner @dev-tools is a user group." in result.stdout
    assert "secops: The owner @gone is pinged by no message" in result.stdout
    assert "warn owners: No vendor and no category of the stack is called oktaa" in result.stdout
    assert result.exit_code != 0


# Wrong input


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["statsu"], "did you mean status?"),
        (["preview", "secop"], "did you mean secops?"),
        (["preview", "secops", "nonsense"], "`forwarder alerts` lists those that were"),
        (["alerts", "--since", "yesterday"], "must be a duration back such as 24h, or an ISO date"),
        (["alerts", "--severity", "urgent"], "'critical', 'high', 'medium', 'low'"),
        (["status", "--config", "elsewhere.yaml"], "no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_answered_with_the_way_out(forwarded: Desk, args: list[str], said: str) -> None:
    """In a sentence, and with an exit status that is not 0."""
    result = forwarded.run(*args)
    assert result.exit_code != 0
    assert said in result.stderr.lower() or said in result.stderr


def test_without_a_database_there_is_nothing_to_look_at(desk: Desk) -> None:
    """And none is made by looking."""
    result = desk.process("status")
    assert result.returncode == 74
    assert result.stderr.endswith("yet: `forwarder run` makes it.\n")
    assert not (desk.folder / "forwarder.db").exists()


def test_a_reader_that_has_seen_enough_hears_no_complaint(forwarded: Desk) -> None:
    """`forwarder alerts | head` prints no error; only the exit status tells that not all was read."""
    for args in (["alerts"], ["alerts", "--json"], ["schema"]):
        reader, writer = os.pipe()
        os.close(reader)
        result = subprocess.run(
            [FORWARDER, *args],
            cwd=forwarded.folder,
            env=environment(forwarded.env),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
        os.close(writer)
        assert (result.returncode, result.stderr) == (1, "")


def test_status_says_of_an_alarm_what_it_is_and_what_to_do(forwarded: Desk) -> None:
    """Whoever is woken looks there first: its name alone, and a reason, are no answer to either."""
    printed = forwarded.ends("status").stdout
    assert "ALARM unrouted: An alert matched no route. The worst one is Alert 3 (low). (low, began " in printed
    assert "\n  Nobody is told of it but by this. `forwarder alerts --unrouted` lists all of them." in printed


def test_output_that_goes_nowhere_is_no_mystery(forwarded: Desk) -> None:
    """A full disk is told in a sentence; a stream that was closed is none, and no file takes its place."""

    def said(redirected: str) -> tuple[int, str]:
        line = f'"$0" status {redirected}'
        env = environment(forwarded.env)
        done = subprocess.run(
            ["sh", "-c", line, FORWARDER], cwd=forwarded.folder, env=env, stderr=subprocess.PIPE, text=True, check=False
        )
        return done.returncode, done.stderr

    assert said(">/dev/full") == (1, "What this prints cannot be written: No space left on device.\n")
    assert said("<&- >&-") == (0, "")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    """In sentences, and every option with a help text."""
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    found = group.get_command(click.Context(group), name)
    assert found is not None
    assert found.help
    assert found.help.strip()[0].isupper()
    assert [option.name for option in found.params if isinstance(option, click.Option) and not option.help] == []


def test_the_group_lists_every_command_with_a_sentence() -> None:
    """So that a new user finds the one to begin with."""
    said = CliRunner().invoke(group, ["--help"]).stdout
    for name in COMMANDS:
        (line,) = [line for line in said.splitlines() if line.startswith(f"  {name} ")]
        assert len(line.split()) > 3
    assert "forwarder demo" in said
    assert CliRunner().invoke(group, ["--version"]).stdout.startswith("sentrytex-forwarder, version ")


def test_an_unforeseen_error_shows_no_traceback(desk: Desk) -> None:
    """It asks for a report, and tells how to see more."""
    result = desk.process("status", "--config", "n" * 5000)
    assert result.returncode == 70
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_config_s_place_may_come_from_the_environment(desk: Desk) -> None:
    """`--config` comes first, and without either it is config.yaml where one stands."""
    other = desk.folder / "other.yaml"
    (desk.folder / "config.yaml").rename(other)
    assert desk.ends("check").returncode == 78
    assert desk.run("check").exit_code != 0
    assert desk.says("check", "--config", str(other)).startswith(f"{other} is valid")
    assert desk.run("check", FORWARDER_CONFIG=str(other)).exit_code == 0


def test_check_live_finds_a_stack_of_no_vendors(desk: Desk, sandbox: Sandbox) -> None:
    """Nothing will ever come of it: a failing finding, with the way out."""
    sandbox.sentrytex.remove_vendor("example")
    said = desk.ends("check", "--live")
    assert said.returncode == 1
    assert "FAIL sentrytex: The stack has no vendors" in said.stdout
    assert "add what you use to your stack" in said.stdout


def test_check_live_finds_a_wrong_path(desk: Desk) -> None:
    """An address that answers and is no Sentrytex API is no matter of the account."""
    desk.config["sentrytex"]["base_url"] += "/v9"
    desk.write()
    said = desk.ends("check", "--live")
    assert "/api/v1/v9/alerts answers, but not as the Sentrytex API does (404" in said.stdout
    assert "correct sentrytex.base_url" in said.stdout
    assert "stack" not in said.stdout


def test_explain_says_that_the_feed_gave_no_date(desk: Desk, sandbox: Sandbox) -> None:
    """On the command line and in every message."""
    sandbox.sentrytex.publish({**recent(1, severity="critical", cve_id="CVE-2026-4711"), "published_at": None})
    assert desk.run("once").exit_code == 0
    said = desk.says("explain", "CVE-2026-4711")
    assert "the feed gave no date, this is when it was first seen" in said
    assert desk.json("explain", "CVE-2026-4711")["dated"] is False
    everywhere = (sandbox.slack.messages, sandbox.pagerduty.incidents, sandbox.jira.issues)
    assert all("the feed gave no date" in str(place) for place in everywhere)
