"""Commands that act: test, retry, discard, rename, replay, and what completes their arguments in a shell."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from forwarder import routing
from forwarder.alert import Alert
from forwarder.app import Forwarder
from forwarder.cli.root import group
from forwarder.common.clock import instant, iso
from forwarder.config import load
from forwarder.connector import Origin, Receipt
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store.query_records import DeliveryRow, Filter
from forwarder.store.records import AttemptResult, RoutedAlert, Settlement, State
from forwarder.testing import alert

CONFIG = """\
sentrytex: {{ api_key: {sentrytex[token]}, base_url: "{sentrytex[url]}" }}
database: forwarder.db
connectors:
  secops: {{ type: slack, token: {slack[token]}, channel: "#secops", base_url: "{slack[url]}", max_rate: 100/s }}
  oncall:
    {{ type: pagerduty, routing_key: {pagerduty[routing_key]}, base_url: "{pagerduty[url]}", max_rate: 100/s }}
  tickets: {{ type: jira, url: "{jira[url]}", email: {jira[email]}, token: {jira[token]}, project: {jira[project]} }}
routes:
  - {{ severity: critical, to: [oncall, tickets, secops] }}
  - {{ severity: high, to: [secops] }}
web: {{ listen: "off" }}
"""
FORWARDER = Path(sys.executable).parent / "forwarder"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A config and a database in a folder of their own, with the stand-ins that the config leads to."""

    folder: Path
    sandbox: Sandbox
    store: Store

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def change_config(self, old: str, new: str) -> None:
        """Another text wherever ``old`` stands; a channel's name is none of the connector's."""
        text, count = re.subn(rf"(?<!#)\b{re.escape(old)}", new, self.config.read_text())
        assert count
        self.config.write_text(text)

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(group, [*args, "-c", str(self.config)], prog_name="forwarder")

    def see(self, *alerts: Alert, at: float | None = None) -> None:
        """Take ``alerts`` in as a poll does."""
        config = load(self.config)
        decisions = [(one, routing.targets(one, config.routes)) for one in alerts]
        routed = [RoutedAlert(alert=one, decision=said, targets=said.targets) for one, said in decisions]
        self.store.feed.commit_page(routed, now=at or time.time(), connectors=config.connectors)

    def settle_all(self, connector: str, state: State) -> int:
        """Bring all that waits for a connector to an end, without sending it."""
        claimed = self.store.outbox.claim(connector, 1000, now=time.time(), lease=60)
        for one in claimed:
            receipt = Receipt(remote_id="somewhere") if state is State.DELIVERED else None
            end = Settlement(
                state=state,
                due_at=0,
                outcome=AttemptResult.DELIVERED if state is State.DELIVERED else AttemptResult.REJECTED,
                reason="as the test wants",
                receipt=receipt,
            )
            assert self.store.outbox.settle(one, end, now=time.time(), seconds=0)
        return len(claimed)

    def rows(self, connector: str | None = None, state: State | None = None) -> list[DeliveryRow]:
        return self.store.queries.deliveries(Filter(connector=connector, state=state, origin=None, limit=-1))

    def deliver(self) -> None:
        """Let the daemon's own parts deliver what is due."""
        forwarder = Forwarder(load(self.config), self.store, links_after=0.0)
        forwarder.start(schedule=False)
        forwarder.deliver_due(5.0, threading.Event())
        assert forwarder.stop()


@pytest.fixture
def place(tmp_path: Path, sandbox: Sandbox) -> Iterator[Place]:
    (tmp_path / "config.yaml").write_text(CONFIG.format(**sandbox.credentials()))
    store = Store.open_exclusive(tmp_path / "forwarder.db")
    yield Place(folder=tmp_path, sandbox=sandbox, store=store)
    store.close()


def alerts(count: int, severity: str = "high", **changes: Any) -> list[Alert]:
    return [alert(id=f"{severity}-{number}", severity=severity, **changes) for number in range(count)]


def slack_state(sandbox: Sandbox) -> tuple[str, str]:
    (message,) = [one for one in sandbox.slack.messages if one["thread_ts"] is None]
    return str(message["edits"] or message), str(message)


@pytest.mark.parametrize("args", [["retry", "abc"], ["discard", "0"], ["retry", "1", "--", "-3"]], ids=" ".join)
def test_what_is_no_delivery_is_answered_with_where_they_are(place: Place, args: list[str]) -> None:
    """A CVE or a title in place of the number."""
    result = place.run(*args)
    assert result.exit_code == 2
    assert "is no delivery: `forwarder deliveries --state dead` lists them" in result.output


# test


def test_a_test_message_in_slack_is_marked_as_one_and_taken_back(place: Place) -> None:
    """`test` posts one message that says TEST, tells where it stands, and marks it as withdrawn."""
    result = place.run("test", "secops")
    assert result.exit_code == 0, result.output
    before, after = slack_state(place.sandbox)
    assert "TEST" in before
    assert "Test over" in after
    assert "the test alert arrived: https://sandbox.slack.com/archives/C0SECOPS/p" in result.output
    assert "its message is marked as withdrawn" in result.output


def test_a_test_incident_in_pagerduty_is_resolved(place: Place) -> None:
    """`test` opens one incident, of the severity that was asked for, and resolves it."""
    result = place.run("test", "oncall", "--severity", "critical")
    assert result.exit_code == 0, result.output
    ((key, incident),) = place.sandbox.pagerduty.incidents.items()
    assert key.startswith("sentrytex:test-")
    assert incident["status"] == "resolved"
    assert incident["events"][0]["payload"]["severity"] == "critical"
    assert "TEST" in incident["events"][0]["payload"]["summary"]
    assert "its incident is resolved" in result.output


def test_a_test_ticket_in_jira_is_closed(place: Place) -> None:
    """`test` creates one ticket, and moves it to a status that means done."""
    result = place.run("test", "tickets")
    assert result.exit_code == 0, result.output
    (issue,) = place.sandbox.jira.issues.values()
    assert "Test of the forwarder" in issue["fields"]["summary"]
    assert issue["status"].category == "done"
    assert "/browse/SEC-1" in result.output
    assert "its ticket is closed" in result.output


def test_a_test_alert_can_stay(place: Place) -> None:
    """With --keep nothing is taken back."""
    assert place.run("test", "oncall", "--keep").exit_code == 0
    (incident,) = place.sandbox.pagerduty.incidents.values()
    assert incident["status"] == "triggered"


def test_a_test_leaves_nothing_in_the_database_of_the_daemon(place: Place) -> None:
    """`test` works while another process owns the database, and writes nothing there."""
    assert place.run("test", "secops").exit_code == 0
    assert place.rows() == []


def test_a_test_that_fails_says_why_and_what_to_do(place: Place) -> None:
    """A revoked token ends the command with 1, Slack's reason and the way out, and without the token."""
    place.sandbox.slack.revoke()
    result = place.run("test", "secops")
    assert result.exit_code == 1
    assert "token_revoked" in result.output
    assert "forwarder check --live" in result.output
    assert place.sandbox.slack.token not in result.output


def test_a_test_whose_answer_is_lost_is_looked_for(place: Place) -> None:
    """A message that Slack took without an answer is found, told and taken back."""
    place.sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    result = place.run("test", "secops")
    assert result.exit_code == 0, result.output
    assert "its answer was lost" in result.output
    assert slack_state(place.sandbox)[0]


def test_a_test_that_nobody_saw_is_uncertain(place: Place) -> None:
    """Where neither an answer nor a look tells, the command says so and ends with 1."""
    place.sandbox.slack.inject(Fault(kind=FaultKind.RESET_BEFORE, path="chat.postMessage"))
    result = place.run("test", "secops")
    assert result.exit_code == 1
    assert "it is not known whether the test alert arrived" in result.output


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "7"}), "Try again in 7s."),
        (Fault(kind=FaultKind.STATUS, status=500), "did not arrive"),
        (Fault(kind=FaultKind.STATUS, status=400, body='{"errors": ["bad"]}'), "forwarder preview oncall"),
    ],
    ids=["limited", "down", "refused"],
)
def test_each_failure_of_a_test_has_a_way_out(place: Place, fault: Fault, told: str) -> None:
    """A rate limit names the time, an outage says to try again, a refusal shows how to see what was sent."""
    place.sandbox.pagerduty.inject(fault)
    result = place.run("test", "oncall")
    assert result.exit_code == 1
    assert told in result.output


def test_a_test_that_cannot_be_taken_back_has_arrived_all_the_same(place: Place) -> None:
    """What stays there is told, and is no failure of the test."""
    place.sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=500, path="chat.update"))
    result = place.run("test", "secops")
    assert result.exit_code == 0, result.output
    assert "could not be taken back" in result.output


def test_a_misspelt_connector_is_guessed(place: Place) -> None:
    """The config's nearest connector is offered, and all are listed."""
    result = place.run("test", "secop")
    assert result.exit_code == 1
    assert "did you mean secops?" in result.output
    assert "oncall" in result.output


# retry


def test_dead_letters_are_retried_by_id(place: Place) -> None:
    """Only those that are named become ready, and the daemon then delivers them."""
    place.see(*alerts(3))
    place.settle_all("secops", State.DEAD)
    first, second, _ = (row.id for row in place.rows())
    result = place.run("retry", str(first), str(second))
    assert result.exit_code == 0, result.output
    assert "2 dead letters are queued again" in result.output
    assert {row.id for row in place.rows(state=State.READY)} == {first, second}
    place.deliver()
    assert len(place.sandbox.slack.messages) == 2


def test_an_id_of_no_dead_letter_changes_nothing(place: Place) -> None:
    """One unknown id is told, and those beside it stay dead."""
    place.see(*alerts(1))
    place.settle_all("secops", State.DEAD)
    result = place.run("retry", str(place.rows()[0].id), "999")
    assert result.exit_code == 1
    assert "No dead letter has the id 999" in result.output
    assert len(place.rows(state=State.DEAD)) == 1


def test_retrying_a_connector_probes_it_at_once(place: Place) -> None:
    """A paused connector's next probe becomes due, whether it has dead letters or not."""
    place.see(*alerts(1))
    (claimed,) = place.store.outbox.claim("secops", 1, now=time.time(), lease=60)
    later = time.time() + 900
    broken = Settlement(
        state=State.READY, due_at=0, outcome=AttemptResult.BROKEN, reason="The token is bad.", probe_at=later
    )
    place.store.outbox.settle(claimed, broken, now=time.time(), seconds=0)
    result = place.run("retry", "--connector", "secops")
    assert result.exit_code == 0, result.output
    assert "secops was paused (The token is bad.): it is tried again at once." in result.output
    pause = place.store.outbox.pause_of("secops")
    assert pause is not None
    assert pause.probe_at <= time.time()


def test_all_dead_letters_are_retried(place: Place) -> None:
    """--all covers every connector of the config, and names those that are gone from it."""
    place.see(*alerts(1, "critical"))
    for connector in ("secops", "oncall", "tickets"):
        place.settle_all(connector, State.DEAD)
    place.change_config("oncall", "pager")
    result = place.run("retry", "--all")
    assert result.exit_code == 0, result.output
    assert "2 dead letters are queued again" in result.output
    assert "forwarder rename oncall NEW" in result.output
    assert [row.connector for row in place.rows(state=State.DEAD)] == ["oncall"]


def test_a_retry_says_what_is_looked_for_first(place: Place) -> None:
    """A dead letter that may have arrived is found where it is, and the command says that it is looked for."""
    place.see(*alerts(2))
    place.sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage", times=1))
    place.deliver()
    assert len(place.rows(state=State.UNCERTAIN)) == 1
    place.store.engine.write(lambda connection: connection.execute("UPDATE deliveries SET due_at = 0"))
    place.settle_all("secops", State.DEAD)
    result = place.run("retry", "--all")
    assert result.exit_code == 0, result.output
    assert "1 dead letter is queued again" in result.output
    assert "1 of them may have arrived: what is found there is not sent again." in result.output
    place.deliver()
    assert {row.state for row in place.rows()} == {State.DELIVERED}
    assert len(place.sandbox.slack.messages) == 2


def test_a_retry_leaves_alone_what_is_over(place: Place) -> None:
    """A dead letter about a trouble that ended is not sent, and the command says what to do with it."""
    targets = {"secops": "alarms.to names it"}
    one = RoutedAlert(alert=alert(id="alarm-1"), decision=None, targets=targets)
    place.store.feed.commit_page([one], now=time.time(), origin=Origin.ALARM)
    place.settle_all("secops", State.DEAD)
    result = place.run("retry", "--all")
    assert result.exit_code == 0, result.output
    assert result.output == (
        "1 dead letter was left alone, since what it told of is over: "
        "`forwarder discard` removes what need not be sent.\n"
    )
    assert len(place.rows(state=State.DEAD)) == 1


def test_a_connector_that_is_gone_cannot_be_retried(place: Place) -> None:
    """Its dead letters stay, and the message says how to hand them on or give them up."""
    place.see(*alerts(1))
    place.settle_all("secops", State.DEAD)
    place.change_config("secops", "chat")
    for arguments in (("--connector", "secops"), (str(place.rows()[0].id),)):
        result = place.run("retry", *arguments)
        assert result.exit_code == 1
        assert "forwarder rename secops NEW" in result.output
    assert len(place.rows(state=State.DEAD)) == 1


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_nothing_to_do_is_no_failure(place: Place, command: str) -> None:
    """Where there is no dead letter, the command says so and ends with 0."""
    result = place.run(command, "--all")
    assert result.exit_code == 0
    assert f"There is nothing to {command}." in result.output


@pytest.mark.parametrize("command", ["retry", "discard"])
@pytest.mark.parametrize("ways", [(), ("1", "--all"), ("--all", "--connector", "secops")])
def test_dead_letters_are_named_in_exactly_one_way(place: Place, command: str, ways: tuple[str, ...]) -> None:
    """None of the three ways, or two of them, is a mistake."""
    result = place.run(command, *ways)
    assert result.exit_code == 2
    assert "in exactly one way" in result.output


# discard


def test_discarding_needs_a_yes(place: Place) -> None:
    """Without a terminal and without --yes nothing is given up; with it the dead letters are gone, and only they."""
    place.see(*alerts(2))
    place.settle_all("secops", State.DEAD)
    place.see(*alerts(1, "critical"))
    refused = place.run("discard", "--all")
    assert refused.exit_code == 1
    assert "--yes" in refused.output
    assert len(place.rows(state=State.DEAD)) == 2
    result = place.run("discard", "--all", "--yes")
    assert result.exit_code == 0, result.output
    assert "Discarded 2 dead letters." in result.output
    assert [row.state for row in place.rows()] == [State.READY] * 3


@pytest.mark.parametrize(("answer", "left", "status"), [("n", 1, 1), ("y", 0, 0)])
def test_discarding_asks_on_a_terminal(place: Place, answer: str, left: int, status: int) -> None:
    """A person is told what would go, and decides."""
    place.see(*alerts(1))
    place.settle_all("secops", State.DEAD)
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [str(FORWARDER), "discard", "--all", "-c", str(place.config)]
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False)
    os.close(ours)
    os.close(theirs)
    assert "Discard 1 dead letter, never to be sent?" in done.stdout
    assert done.returncode == status
    assert len(place.rows()) == left


def test_discarding_a_connector_that_is_gone_covers_what_waits(place: Place) -> None:
    """Dead letters and waiting deliveries of an orphan go, with its pause; other connectors keep theirs."""
    place.see(*alerts(1))
    place.settle_all("secops", State.DEAD)
    place.see(*alerts(2, "critical"))
    place.change_config("secops", "chat")
    result = place.run("discard", "--connector", "secops", "--yes")
    assert result.exit_code == 0, result.output
    assert "Discarded 1 dead letter and 2 deliveries that still wait of secops." in result.output
    assert {row.connector for row in place.rows()} == {"oncall", "tickets"}


def test_discarding_a_connector_of_the_config_leaves_what_waits(place: Place) -> None:
    """Only dead letters of a connector that works are given up."""
    place.see(*alerts(1))
    place.settle_all("secops", State.DEAD)
    place.see(*alerts(1, "critical"))
    assert place.run("discard", "--connector", "secops", "--yes").exit_code == 0
    assert [row.state for row in place.rows("secops")] == [State.READY]


# rename


def test_a_renamed_connector_gets_what_its_old_name_was_owed(place: Place) -> None:
    """Deliveries of the old name become the new one's, and are sent."""
    place.see(*alerts(2))
    place.change_config("secops", "chat")
    result = place.run("rename", "secops", "chat")
    assert result.exit_code == 0, result.output
    assert "2 deliveries of secops are now chat's." in result.output
    place.deliver()
    assert len(place.sandbox.slack.messages) == 2


def test_what_the_new_name_has_already_stays_behind(place: Place) -> None:
    """An alert that both names are owed is not sent twice: what is left over is told."""
    place.see(*alerts(1))
    place.change_config("secops", "chat")
    (one,) = alerts(1)
    place.store.operations.replay([one.id], ["chat"], why="test", now=time.time())
    result = place.run("rename", "secops", "chat")
    assert result.exit_code == 0, result.output
    assert "1 delivery stayed with secops" in result.output
    assert "forwarder discard --connector secops" in result.output


def test_only_a_name_that_is_gone_can_be_renamed(place: Place) -> None:
    """The old name must be gone from the config, the new one in it, and something must be kept for the old one."""
    place.see(*alerts(1))
    assert "still has a connector secops" in place.run("rename", "secops", "tickets").output
    assert "no connector chat" in place.run("rename", "secops", "chat").output
    place.change_config("secops", "chat")
    misspelt = place.run("rename", "secop", "chat")
    assert misspelt.exit_code == 1
    assert "did you mean secops?" in misspelt.output


# replay


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(place: Place) -> None:
    """Messages, pages and tickets are counted, and it is told which of them the destinations know already."""
    place.see(*alerts(2, "critical"), *alerts(3))
    for connector in ("secops", "oncall", "tickets"):
        place.settle_all(connector, State.DELIVERED)
    place.see(alert(id="critical-9", severity="critical"))
    result = place.run("replay", "--since", "1h", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "secops: 5 messages; 5 of them went there before and will show a second time; 1 more waits" in result.output
    assert "oncall: 2 pages; 2 of them went there before and carry the same dedup key" in result.output
    assert "tickets: 2 tickets; 2 of them went there before and are found again" in result.output
    assert "9 deliveries in all. Nothing was sent" in result.output
    assert len(place.rows(state=State.DELIVERED)) == 9


def test_a_replay_shows_again_in_slack_but_makes_no_second_ticket_or_incident(place: Place) -> None:
    """What the dry run says of each destination is what comes of it."""
    place.see(*alerts(2, "critical"))
    place.deliver()
    assert place.run("replay", "--since", "1h").exit_code == 1, "it must not go without a yes"
    result = place.run("replay", "--since", "1h", "--yes")
    assert result.exit_code == 0, result.output
    assert "6 deliveries are queued" in result.output
    place.deliver()
    assert len([one for one in place.sandbox.slack.messages if one["thread_ts"] is None]) == 4
    assert len(place.sandbox.jira.issues) == 2
    assert [one["count"] for one in place.sandbox.pagerduty.incidents.values()] == [1, 1]


def test_a_connector_that_was_added_gets_the_past(place: Place) -> None:
    """--to sends a connector what the routes send there now, and nobody else anything."""
    place.see(*alerts(2), *alerts(1, "critical"))
    for connector in ("secops", "oncall", "tickets"):
        place.settle_all(connector, State.DELIVERED)
    place.change_config("high, to: [secops]", "high, to: [secops, tickets]")
    result = place.run("replay", "--since", "1h", "--to", "tickets", "--severity", "high", "--yes")
    assert result.exit_code == 0, result.output
    assert "tickets: 2 tickets\n" in result.output
    assert {(row.connector, row.alert_id) for row in place.rows(state=State.READY)} == {
        ("tickets", "high-0"),
        ("tickets", "high-1"),
    }


def test_only_what_was_seen_since_is_replayed(place: Place) -> None:
    """An alert that was seen before the time stays where it is."""
    place.see(*alerts(1), at=time.time() - 7200)
    place.settle_all("secops", State.DELIVERED)
    result = place.run("replay", "--since", "1h", "--yes")
    assert result.exit_code == 0
    assert "There is nothing to replay." in result.output


def test_alerts_from_before_the_first_start_count_by_their_publication(place: Place) -> None:
    """What was only taken note of at the first start does not flood a replay of the last hour."""
    old, new = (
        alert(id=name, severity="high", published_at=iso(instant(round(time.time()) - back)))
        for name, back in (("old", 86400), ("new", 600))
    )
    noted = [RoutedAlert(alert=one, decision=None, targets={}) for one in (old, new)]
    place.store.feed.commit_page(noted, now=time.time())
    assert "secops: 1 message\n" in place.run("replay", "--since", "1h", "--dry-run").output
    assert "secops: 2 messages\n" in place.run("replay", "--since", "2d", "--dry-run").output


def test_a_replay_of_many_is_written_in_batches(place: Place) -> None:
    """More alerts than one transaction takes are all owed."""
    place.see(*alerts(450))
    place.settle_all("secops", State.DELIVERED)
    result = place.run("replay", "--since", "1h", "--yes")
    assert result.exit_code == 0, result.output
    assert len(place.rows("secops", State.READY)) == 450


# completion


def complete(place: Place, *words: str) -> list[str]:
    *before, last = words
    shell = ShellComplete(group, {}, "forwarder", "_FORWARDER_COMPLETE")
    return [item.value for item in shell.get_completions([*before[:1], "-c", str(place.config), *before[1:]], last)]


def test_connectors_are_completed_from_the_config(place: Place) -> None:
    """Names come from the config even where its variables are not set, and none come from a broken one."""
    place.config.write_text("connectors:\n  secops: {type: slack}\n  oncall:\n    token: ${NOT_SET_ANYWHERE}\n")
    assert complete(place, "test", "se") == ["secops"]
    assert complete(place, "retry", "--connector", "") == ["secops", "oncall"]
    place.config.write_text("connectors: [")
    assert complete(place, "test", "") == []
    place.config.unlink()
    assert complete(place, "test", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    """The script asks the installed command, in the way that click answers."""
    result = CliRunner().invoke(group, ["completion", shell])
    assert result.exit_code == 0
    assert f"_FORWARDER_COMPLETE={shell}_complete" in result.stdout


def test_the_completion_answers_as_the_script_asks() -> None:
    """The command itself answers a shell's question with the commands that fit."""
    env = {**os.environ, "_FORWARDER_COMPLETE": "bash_complete", "COMP_WORDS": "forwarder re", "COMP_CWORD": "1"}
    done = subprocess.run([str(FORWARDER)], env=env, capture_output=True, text=True, check=True)
    assert re.findall(r"plain,([\w-]+)", done.stdout) == [
        "reload",
        "report",
        "resolve",
        "reopen",
        "retry",
        "rename",
        "rename-account",
        "replay",
    ]
