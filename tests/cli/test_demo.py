"""`forwarder demo`: what it lets happen, what it sees, and how it runs and ends as a whole."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest

from forwarder.alert import Alert, Severity
from forwarder.app import Forwarder
from forwarder.cli.demo_script import FIRST, Script
from forwarder.cli.demo_sight import Sight, Sighting
from forwarder.config import Config, load
from forwarder.sandbox import Sandbox
from forwarder.store import Store

FORWARDER = Path(sys.executable).parent / "forwarder"

CONFIG = """\
sentrytex: {{ api_key: {sentrytex[token]}, base_url: "{sentrytex[url]}" }}
database: forwarder.db
connectors:
  secops: {{ type: slack, token: {slack[token]}, channel: "#secops", base_url: "{slack[url]}", max_rate: 100/s }}
  alerts: {{ type: slack, token: {slack[token]}, channel: "#alerts", base_url: "{slack[url]}", max_rate: 100/s }}
  oncall:
    {{ type: pagerduty, routing_key: {pagerduty[routing_key]}, base_url: "{pagerduty[url]}", max_rate: 100/s }}
  tickets: {{ type: jira, url: "{jira[url]}", email: {jira[email]}, token: {jira[token]}, project: {jira[project]} }}
routes:
  - {{ severity: critical, to: [oncall, tickets, secops] }}
  - {{ severity: high, to: [tickets, secops] }}
  - {{ severity: [medium, low], to: [alerts] }}
web: {{ listen: "off" }}
"""


class Told:
    """What the script says that the source does."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, what: str, alert: Alert | None) -> None:
        self.lines.append(f"{what} {alert.cve_id}" if alert else what)


def script(sandbox: Sandbox, until: float | None = None) -> Script:
    begun = Script(sandbox, Told(), until=until)
    begun.begin()
    return begun


# What happens


def test_a_dozen_alerts_are_there_and_more_keep_coming(sandbox: Sandbox) -> None:
    """The source has twelve at the start, and a new one every other second, dated as of then."""
    going = script(sandbox)
    assert len(sandbox.sentrytex.alerts) == FIRST == 12
    going.go_on(2.9)
    assert len(sandbox.sentrytex.alerts) == 12
    going.go_on(9.1)
    assert len(sandbox.sentrytex.alerts) == 16
    newest = Alert.parse(sandbox.sentrytex.alerts[0])
    assert abs((sandbox.clock() - newest.published_at).total_seconds()) < 60


def test_nothing_is_published_shortly_before_the_end(sandbox: Sandbox) -> None:
    """What is published has the time to arrive."""
    going = script(sandbox, until=10)
    for elapsed in (2.0, 3.5, 5.0, 9.0):
        going.go_on(elapsed)
    assert len(sandbox.sentrytex.alerts) == 12


def test_the_demo_never_runs_out_of_alerts(sandbox: Sandbox) -> None:
    """After the last sample they come again under ids of their own, marked, and more slowly."""
    going = script(sandbox)
    going.go_on(400.0)
    published = sandbox.sentrytex.alerts
    assert 64 < len(published) < 100
    assert len({raw["id"] for raw in published}) == len(published)
    assert len({raw["title"] for raw in published}) == len(published)


def answers(method: str, url: str, **request: Any) -> Iterator[int | None]:
    """The statuses of two requests in a row; None for one whose connection is cut."""
    for _ in range(2):
        try:
            yield httpx2.request(method, url, **request).status_code
        except httpx2.HTTPError:
            yield None


def test_each_service_fails_once(sandbox: Sandbox) -> None:
    """PagerDuty answers 500 once, Slack 429 once, and Jira makes a ticket whose answer is lost; then all is well."""
    script(sandbox).go_on(10.0)
    event = {"routing_key": sandbox.pagerduty.routing_key, "event_action": "trigger"}
    event |= {"dedup_key": "x", "payload": {"summary": "s", "source": "s", "severity": "info"}}  # type: ignore[dict-item]
    assert list(answers("POST", f"{sandbox.pagerduty.url}/v2/enqueue", json=event)) == [500, 202]
    bearer = {"Authorization": f"Bearer {sandbox.slack.token}"}
    post = {"channel": "#secops", "text": "hello"}
    assert list(answers("POST", f"{sandbox.slack.url}chat.postMessage", json=post, headers=bearer)) == [429, 200]
    issue = {"project": {"key": "SEC"}, "issuetype": {"name": "Bug"}, "summary": "s"}
    basic = httpx2.BasicAuth(sandbox.jira.email, sandbox.jira.token)
    url = f"{sandbox.jira.url}/rest/api/3/issue"
    assert list(answers("POST", url, json={"fields": issue}, auth=basic)) == [None, 201]
    assert len(sandbox.jira.issues) == 2


# What is seen


@pytest.fixture
def config(sandbox: Sandbox, tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(**sandbox.credentials()))
    return load(path)


@pytest.fixture
def forwarder(config: Config) -> Iterator[Forwarder]:
    """The daemon's own parts, to be told when to poll."""
    store = Store.open_exclusive(config.database)
    made = Forwarder(config, store, links_after=0.0)
    made.start(schedule=False)
    yield made
    assert made.stop()
    store.close()


def turn(forwarder: Forwarder) -> None:
    forwarder.poll()
    forwarder.deliver_due(0.5, threading.Event())


def opened(seen: list[Sighting]) -> set[tuple[str, str]]:
    return {(one.place, one.alert.id) for one in seen if one.opens and one.alert}


def test_what_arrives_is_seen_once_each(sandbox: Sandbox, config: Config, forwarder: Forwarder) -> None:
    """Each message, incident and ticket is told once, and the tallies are complete."""
    script(sandbox)
    sight = Sight(sandbox, config.routes)
    sight.look()
    assert sight.missing() == 5 * 3 + 3 * 2 + 4
    turn(forwarder)
    first, again = sight.look(), sight.look()
    assert len(opened(first)) == 25
    assert again == []
    assert sight.missing() == 0
    tallies = {tally.place: tally for tally in sight.tallies()}
    assert tallies["PagerDuty"].arrived == {Severity.CRITICAL: 5}
    assert tallies["Jira"].arrived == {Severity.CRITICAL: 5, Severity.HIGH: 3}
    assert tallies["Slack #secops"].arrived == {Severity.CRITICAL: 5, Severity.HIGH: 3}
    assert tallies["Slack #alerts"].arrived == {Severity.MEDIUM: 3, Severity.LOW: 1}
    assert all(tally.twice == 0 for tally in tallies.values())


def slack(sandbox: Sandbox, method: str, arguments: Mapping[str, Any]) -> None:
    """Calls a method of Slack as another client does."""
    bearer = {"Authorization": f"Bearer {sandbox.slack.token}"}
    assert httpx2.post(f"{sandbox.slack.url}{method}", json=arguments, headers=bearer).json()["ok"]


def test_the_ticket_that_a_message_links_to_is_told(sandbox: Sandbox, config: Config, forwarder: Forwarder) -> None:
    """Each of Slack's eight messages about something that has a ticket leads to it."""
    script(sandbox)
    turn(forwarder)
    told = [one.what for one in Sight(sandbox, config.routes).look() if one.place == "Slack #secops"]
    assert {ticket for what in told for ticket in re.findall(r"SEC-\d+", what)} == {f"SEC-{n}" for n in range(1, 9)}


def test_a_link_that_comes_later_is_told(sandbox: Sandbox, config: Config, forwarder: Forwarder) -> None:
    """A message that is edited to lead to a ticket is seen to, and so is any other edit."""
    script(sandbox)
    sight = Sight(sandbox, config.routes)
    turn(forwarder)
    sight.look()
    message = next(one for one in sandbox.slack.messages if one["channel"] == "C0ALERTS")
    button = {"type": "section", "text": {"type": "mrkdwn", "text": f"<{sandbox.jira.url}/browse/SEC-7>"}}
    edit = {"channel": message["channel"], "ts": message["ts"], "text": "x"}
    slack(sandbox, "chat.update", {**edit, "blocks": [button]})
    (linked,) = sight.look()
    assert linked.what == f"message {message['ts']} now links to SEC-7"
    slack(sandbox, "chat.update", edit)
    (edited,) = sight.look()
    assert edited.what == f"message {message['ts']} is brought up to date"


def test_what_arrives_twice_is_counted(sandbox: Sandbox, config: Config, forwarder: Forwarder) -> None:
    """A second message about the same alert is not hidden by the first."""
    script(sandbox)
    sight = Sight(sandbox, config.routes)
    turn(forwarder)
    message = next(one for one in sandbox.slack.messages if one["channel"] == "C0ALERTS")
    slack(sandbox, "chat.postMessage", {"channel": "#alerts", "text": "again", "metadata": message["metadata"]})
    sight.look()
    assert {tally.place: tally.twice for tally in sight.tallies()}["Slack #alerts"] == 1


def test_a_change_is_seen_where_its_alert_stands(sandbox: Sandbox, config: Config, forwarder: Forwarder) -> None:
    """It is told in the message's thread, in the same incident and on the ticket, and nothing comes twice."""
    script(sandbox)
    sight = Sight(sandbox, config.routes)
    turn(forwarder)
    sight.look()
    sandbox.sentrytex.update(to_get_worse(sandbox), cisa_kev=True)
    turn(forwarder)
    told = " | ".join(f"{one.place}: {one.what}" for one in sight.look())
    assert "Slack #secops: reply in its thread: 🔥 Now on CISA KEV" in told
    assert "PagerDuty: same incident sentrytex:" in told
    assert re.search(r"Jira: comment on SEC-\d: It is now on CISA's list", told)
    assert all(tally.twice == 0 for tally in sight.tallies())


def to_get_worse(sandbox: Sandbox) -> str:
    """The id of a critical alert that is not known to be exploited."""
    critical = (raw for raw in sandbox.sentrytex.alerts if raw["severity"] == "critical")
    return str(next(raw["id"] for raw in critical if not raw["cisa_kev"]))


def page(sandbox: Sandbox, alert_id: str, action: str) -> None:
    """Sends PagerDuty an event as another client does."""
    event = {"routing_key": sandbox.pagerduty.routing_key, "event_action": action, "dedup_key": f"sentrytex:{alert_id}"}
    payload = {"summary": "s", "source": "s", "severity": "critical"}
    assert httpx2.post(f"{sandbox.pagerduty.url}/v2/enqueue", json={**event, "payload": payload}).status_code == 202


@pytest.mark.parametrize("worse", [True, False])
def test_paging_again_is_right_once_for_each_time_it_got_worse(sandbox: Sandbox, config: Config, worse: bool) -> None:
    """An incident that opens again after it was resolved is no duplicate where its alert got worse, else it is one."""
    script(sandbox)
    sight, alert_id = Sight(sandbox, config.routes), to_get_worse(sandbox)
    sight.look()
    page(sandbox, alert_id, "trigger")
    page(sandbox, alert_id, "resolve")
    assert [one.opens for one in sight.look()] == [True, False]
    if worse:
        sandbox.sentrytex.update(alert_id, cisa_kev=True)
    page(sandbox, alert_id, "trigger")
    sight.look()
    tally = {tally.place: tally for tally in sight.tallies()}["PagerDuty"]
    assert (tally.again, tally.twice) == ((1, 0) if worse else (0, 1))
    page(sandbox, alert_id, "resolve")
    page(sandbox, alert_id, "trigger")
    sight.look()
    assert {tally.place: tally for tally in sight.tallies()}["PagerDuty"].twice == (1 if worse else 2)


def test_failures_are_seen_at_the_services(sandbox: Sandbox, config: Config) -> None:
    """A request that was answered badly is told as one, with what the forwarder does about it."""
    script(sandbox).go_on(10.0)
    httpx2.post(f"{sandbox.pagerduty.url}/v2/enqueue", json={})
    troubles = [one for one in Sight(sandbox, config.routes).look() if one.trouble]
    assert [(one.place, one.what[:12]) for one in troubles] == [("PagerDuty", "answered 500")]


# The command


def demo(folder: Path, *args: str, stdout: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """The command in a process of its own, which keeps its temporary files in ``folder``."""
    env = {**os.environ, "TMPDIR": str(folder), "TERM": "xterm-256color", "COLUMNS": "120"}
    return subprocess.Popen([str(FORWARDER), "demo", *args], env=env, stdout=stdout, stderr=subprocess.PIPE)


def test_a_critical_is_seen_in_all_three_within_seconds_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    """Slack, PagerDuty and Jira show the same critical alert; Ctrl-C tells the sum, and leaves nothing behind."""
    with demo(tmp_path) as process:
        assert process.stdout is not None
        places: dict[str, set[str]] = {}
        lines = []
        for line in iter(process.stdout.readline, b""):
            lines.append(line.decode())
            if found := re.match(r"\d\d:\d\d:\d\d  (Slack|PagerDuty|Jira).*critical +(CVE-\d+-\d+)", lines[-1]):
                places.setdefault(found[2], set()).add(found[1])
            if {"Slack", "PagerDuty", "Jira"} in places.values():
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    out = "".join(lines) + rest.decode()
    assert process.returncode == 0, errors
    assert errors == b""
    assert "Seen in the stand-ins" in out
    assert "forwarder init" in out
    assert "not-a-real" not in out
    assert "\x1b" not in out, "colours belong on a terminal"
    assert list(tmp_path.iterdir()) == []


def test_the_whole_life_of_an_alert_is_told_as_it_happens(tmp_path: Path) -> None:
    """The story comes in its order, among all the rest, and the end says that each place agrees, and nothing twice."""
    with demo(tmp_path, "--for", "60s") as process:
        assert process.stdout is not None
        story = []
        for line in iter(process.stdout.readline, b""):
            if found := re.match(r"\d\d:\d\d:\d\d  Story +(.*)", line.decode()):
                story.append(found[1])
            if len(story) == 8:
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    out = rest.decode()
    assert process.returncode == 0, errors
    begun = ["The alert to watch", "Ada presses Acknowledge", "Ben moves SEC-", "CISA now lists CVE-2024-3094"]
    assert [sentence.startswith(start) for sentence, start in zip(story[::2], begun, strict=True)] == [True] * 4
    assert all(re.match(r"\d+\.\d s later: PagerDuty ", sentence) for sentence in story[1::2])
    assert "agree at each step, and each step was told once." in out
    assert re.search(r"CISA lists it as exploited +open again +pages again +a comment\n", out)
    assert re.search(r"PagerDuty( +\d+){5} +1 +0 +\d+\n", out), "it paged again, and nothing arrived twice"
    assert "Only the one that got worse after it was resolved paged twice, as it should." in out
    assert ", once" not in out.partition("The life of")[0]


def test_it_ends_by_itself_and_shows_colours_on_a_terminal(tmp_path: Path) -> None:
    """With --for it ends; a terminal gets colours and a line that says how long it runs."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "wb") as terminal:
        process = demo(tmp_path, "--for", "1s", stdout=terminal)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    text = shown.decode()
    assert re.search(r"\x1b\[[0-9;]*31m\s*critical", text), "criticals are red"
    assert "of 1 s" in text
    assert "on the way" in text
    assert "The alert to watch is CVE-2024-3094" in text
    assert "Ada" not in text, "a second is too short for people to do anything"
    assert "agree" not in text
    assert re.search(r"PagerDuty +5 +0 +0 +0 +5 +0 +0 +0", text)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other side is closed
        return b""


def test_the_daemons_log_is_shown_on_request(tmp_path: Path) -> None:
    """--verbose adds the log on standard error, without a secret; a reader that has seen enough ends it quietly."""
    with demo(tmp_path, "--verbose") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while b'"event": "delivered"' not in (line := process.stderr.readline()):
            assert line
        process.stdout.close()
        rest = process.stderr.read().decode()
    assert "Traceback" not in rest
    assert "not-a-real" not in rest
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("duration", ["soon", "0s", "10ms"])
def test_a_duration_that_is_none_is_refused(tmp_path: Path, duration: str) -> None:
    """It is told before anything starts."""
    with demo(tmp_path, "--for", duration) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"--for" in errors
