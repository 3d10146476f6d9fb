"""Commands by which a person says what becomes of an alert: ack, resolve, reopen, and where that shows."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from forwarder.alert import Alert
from forwarder.cli.root import group
from forwarder.connector import Origin
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.testing import alert
from tests.kit.core import enqueue, recent
from tests.kit.desk import Desk

FIRST, SECOND = (f"00000000-0000-4000-8000-{number:012}" for number in (1, 2))


@pytest.fixture
def pager(desk: Desk) -> Desk:
    """A desk where two alerts of one CVE are owed to the pager, the only place that decisions are told to."""
    desk.config["connectors"] = {"oncall": desk.config["connectors"]["oncall"]}
    desk.config["routes"] = [{"to": ["oncall"]}]
    desk.write()
    gate, fence = (
        recent(number, title=f"Hole in the {where}", cve_id="CVE-2026-10001")
        for number, where in enumerate(("gate", "fence"), 1)
    )
    with Store.open_exclusive(desk.folder / "forwarder.db") as store:
        enqueue(store, Alert.parse(gate), Alert.parse(fence), to=["oncall"])
    return desk


def status(sandbox: Sandbox, alert_id: str) -> tuple[str, int]:
    """Of the alert's newest incident, and how many there were."""
    incident = sandbox.pagerduty.incidents[f"sentrytex:{alert_id}"]
    return incident["status"], incident["count"]


@contextmanager
def stored(desk: Desk) -> Iterator[Store]:
    with Store.open_shared(desk.folder / "forwarder.db") as store:
        yield store


def told(desk: Desk) -> dict[str, Any]:
    """The last thing that was decided about the first alert."""
    last: dict[str, Any] = desk.json("explain", FIRST)["responses"][-1]
    return last


def test_what_is_decided_at_the_command_line_reaches_the_pager(pager: Desk, sandbox: Sandbox) -> None:
    """Acknowledged, resolved, open again: each is owed to where the alert stands, and brought there by the next run."""
    assert pager.run("once").exit_code == 0
    said = pager.says("ack", "gate", "--by", "Ada", "--reason", "on it")
    assert said.startswith(f"Hole in the gate ({FIRST})\nAcknowledged by Ada (the command line, ")
    assert said.endswith("Z): on it.\nOwed to oncall: the daemon sends it within 2 seconds, or as soon as it runs.\n")
    for command, then in (
        ((), ("acknowledged", 1)),
        (("resolve", FIRST), ("resolved", 1)),
        (("reopen", FIRST), ("triggered", 2)),
    ):
        if command:
            pager.says(*command)
        assert pager.run("once").exit_code == 0
        assert status(sandbox, FIRST) == then
    assert status(sandbox, SECOND) == ("triggered", 1)


def test_once_hears_what_people_did_since_the_run_before(pager: Desk, sandbox: Sandbox) -> None:
    """Under cron nobody stays to look again and again, so each run looks once, and delivers what came of it."""
    pagerduty = sandbox.pagerduty
    pager.config["connectors"]["oncall"] |= {"api_token": pagerduty.api_token, "api_url": pagerduty.url}
    pager.write()
    assert pager.run("once").exit_code == 0
    pagerduty.acknowledge(f"sentrytex:{FIRST}", "Alice")
    assert pager.run("once").exit_code == 0
    assert (told(pager)["action"], told(pager)["person"]) == ("acknowledge", "Alice Example")
    assert told(pager)["place"] == "oncall"


def test_a_word_without_end_is_looked_for_in_no_time(pager: Desk) -> None:
    """And not repeated whole. It takes as long as it has characters, and no longer."""
    result = pager.process("ack", "x" * 130_000)
    assert result.returncode == 1
    assert result.stderr.startswith(f"No alert that matches {'x' * 99}… was seen. ")


def test_once_tells_what_a_connector_missed_while_it_was_out(pager: Desk, sandbox: Sandbox) -> None:
    """Under cron, too, it is told what was decided meanwhile, once it is in the config again."""
    assert pager.run("once").exit_code == 0
    connectors = pager.config["connectors"]
    pager.config["connectors"] = {"other": connectors["oncall"]}
    pager.config["routes"] = [{"to": ["other"]}]
    pager.write()
    assert "Owed to" not in pager.says("ack", FIRST)
    pager.config["connectors"] |= connectors
    pager.write()
    for _ in range(2):
        assert pager.run("once").exit_code == 0
    assert status(sandbox, FIRST) == ("acknowledged", 1)
    events = [event["event_action"] for event in sandbox.pagerduty.incidents[f"sentrytex:{FIRST}"]["events"]]
    assert events == ["trigger", "acknowledge"]


def test_who_decides_is_the_login_name_where_no_other_is_said(pager: Desk) -> None:
    pager.says("ack", FIRST)
    assert (told(pager)["person"], told(pager)["place"]) == (getpass.getuser(), "the command line")


def test_what_does_not_concern_you_is_resolved_as_such(pager: Desk) -> None:
    assert "Resolved (not affected) by Ada" in pager.says("resolve", FIRST, "--not-affected", "--by", "Ada")
    assert (told(pager)["action"], told(pager)["resolution"]) == ("resolve", "not_affected")


def test_several_alerts_are_named_and_none_is_guessed(pager: Desk) -> None:
    """One CVE, two alerts: nothing is changed before the person has said which."""
    result = pager.ends("ack", "CVE-2026-10001")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert lines[0] == "2 alerts match CVE-2026-10001. Name the one that you mean by its id:"
    assert sorted(lines[1:]) == [f"  {FIRST}  open  Hole in the gate", f"  {SECOND}  open  Hole in the fence"]
    assert {one["status"] for one in pager.json("alerts")} == {"open"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nothing", "like", "it"], "No alert that matches nothing like it was seen."),
        (["CVE-2026-10002"], "The nearest that were: CVE-2026-10001."),
        ([" "], "Name an alert"),
        ([], "Missing argument"),
    ],
)
def test_an_alert_that_was_not_seen_is_said_so(pager: Desk, words: list[str], why: str) -> None:
    result = pager.ends("resolve", *words)
    assert result.returncode != 0
    assert why in result.stderr


def test_who_comes_second_hears_who_had_it(pager: Desk) -> None:
    """Nothing is changed, and nothing owed again."""
    pager.says("ack", FIRST, "--by", "Ada")
    again = pager.says("ack", FIRST, "--by", "Bob")
    assert "Acknowledged by Ada (the command line, " in again
    assert "So it is acknowledged already, and nothing was changed.\n" in again
    pager.says("resolve", FIRST, "--by", "Ada")
    assert "`forwarder reopen` opens it again." in pager.says("ack", FIRST)
    assert "It is open already: nothing was changed." in pager.says("reopen", SECOND)
    assert len(pager.json("explain", FIRST)["responses"]) == 2


def test_programs_get_the_same(pager: Desk) -> None:
    first = pager.json("ack", FIRST, "--by", "Ada")
    assert first["latest"].pop("at").endswith("Z")
    assert first == {
        "alert_id": FIRST,
        "changed": True,
        "status": "acknowledged",
        "latest": {
            "number": 1,
            "action": "acknowledge",
            "resolution": None,
            "place": "the command line",
            "person": "Ada",
            "reason": "",
        },
        "owed_to": ["oncall"],
    }
    again = pager.json("ack", FIRST, "--by", "Bob")
    assert (again["changed"], again["latest"]["person"], again["owed_to"]) == (False, "Ada", [])


def test_an_alert_that_stands_nowhere_is_decided_all_the_same(pager: Desk) -> None:
    """Its connector left the config."""
    with stored(pager) as store:
        enqueue(store, Alert.parse(recent(3)), to=["gone"])
    said = pager.says("ack", recent(3)["id"], "--by", "Ada")
    assert said.endswith("It stands nowhere that could be told.\n")
    assert [one["status"] for one in pager.json("alerts", "--status", "acknowledged")] == ["acknowledged"]


def test_deciding_needs_no_secrets_and_no_daemon_to_be_gone(pager: Desk) -> None:
    """The service's own environment has the secrets, and its process may run on."""
    without = dict.fromkeys(pager.env.keys() - {"FORWARDER_CONFIG", "COLUMNS"}, "")
    with Store.open_exclusive(pager.folder / "forwarder.db"):
        result = pager.run("ack", FIRST, **without)
    assert result.exit_code == 0, result.output
    assert "Owed to oncall" in result.stdout


def test_a_config_with_a_mistake_is_refused(pager: Desk) -> None:
    """A connector that it hides would not hear of the decision."""
    pager.config["roots"] = []
    pager.write()
    assert pager.ends("ack", FIRST).returncode == 78
    with stored(pager) as store:
        history = store.queries.history(FIRST)
    assert history is not None
    assert not history.responses


def test_an_alarm_is_nothing_to_decide_about(pager: Desk) -> None:
    """It ends when its cause does."""
    with stored(pager) as store:
        enqueue(store, alert(id="alarm-1"), to=["oncall"], origin=Origin.ALARM)
    result = pager.ends("ack", "alarm-1")
    assert result.returncode == 1
    assert "which ends when its cause does: there is nothing to decide about it." in result.stderr


def test_hostile_words_stay_words(pager: Desk) -> None:
    """What a terminal or a page would obey is gone, and no name fills the screen."""
    pager.says("ack", FIRST, "--by", "A\x1b[31mda\n\u202eB" + "x" * 500, "--reason", "\x1b]8;;https://evil.example\x07")
    assert len(told(pager)["person"]) <= 100
    assert not {"\x1b", "\x07", "\n", "\u202e"} & set(told(pager)["person"] + told(pager)["reason"])


def test_the_lists_show_how_far_an_alert_has_come(pager: Desk) -> None:
    """`alerts` by status, `explain` with everything that was decided, in order."""
    pager.says("ack", FIRST, "--by", "Ada")
    pager.says("resolve", FIRST, "--by", "Bob", "--not-affected", "--reason", "not exposed")
    assert [one["id"] for one in pager.json("alerts", "--status", "resolved")] == [FIRST]
    assert [one["id"] for one in pager.json("alerts", "--status", "open")] == [SECOND]
    assert pager.json("alerts", "--status", "acknowledged") == []
    assert "resolved" in pager.says("alerts", "--search", "gate")
    said = pager.says("explain", FIRST)
    first, second = (
        said.index("  Acknowledged by Ada (the command line, "),
        said.index("  Resolved (not affected) by Bob"),
    )
    assert said.index("Status: resolved\n") < first < second
    assert "Z): not exposed\n" in said


@pytest.mark.parametrize("command", ["ack", "resolve", "reopen"])
def test_alerts_are_completed_by_their_cve(pager: Desk, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    for name, value in pager.env.items():
        monkeypatch.setenv(name, value)
    shell = ShellComplete(group, {}, "forwarder", "_FORWARDER_COMPLETE")
    assert [item.value for item in shell.get_completions([command], "cve-")] == ["CVE-2026-10001"]
    assert shell.get_completions([command], "gate") == []
