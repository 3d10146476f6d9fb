"""Slack's renamed channel over several processes: the daemon, and the commands beside it."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from forwarder.sandbox import Fault, FaultKind, Sandbox
from tests.kit.core import Process, command, recent, secrets, settings, until, written

SECRETS_OF_NOBODY = {"COLUMNS": "200"}


class Host:
    """A machine on which the forwarder runs, with Slack as its only connector."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.config: dict[str, Any] = settings(sandbox)
        self.config["connectors"] = {"secops": self.config["connectors"]["secops"]}
        self.config["routes"] = [{"to": ["secops"]}]
        self.use()

    def use(self, **changes: Any) -> None:
        self.config["connectors"]["secops"].update(changes)
        written(self.folder, self.config)

    def says(self, *args: str, status: int = 0) -> str:
        result = command(self.folder, *args, env=secrets(self.sandbox) | SECRETS_OF_NOBODY)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr


@pytest.fixture
def host(tmp_path: Path, sandbox: Sandbox) -> Host:
    return Host(tmp_path, sandbox)


def test_a_renamed_channel_is_delivered_to_and_told_of(host: Host, sandbox: Sandbox) -> None:
    """By the next process as well; each place where people look names the new name, until the config has it."""
    sandbox.sentrytex.publish(recent(1))
    host.says("once")
    assert json.loads(host.says("status", "--json"))["connectors"][0]["notice"] == ""
    sandbox.slack.rename("#secops", "#security")
    for number in (2, 3):
        sandbox.sentrytex.publish(recent(number))
        log = host.says("once")
        assert log.count("connector_notice") == (number == 2)
    assert [message["channel"] for message in sandbox.slack.messages] == ["C0SECOPS"] * 3
    told = 'put channel: "#security" into the config'
    assert told in host.says("status")
    assert told in json.loads(host.says("status", "--json"))["connectors"][0]["notice"]
    assert told in host.says("check", "--live")
    assert "the test alert arrived" in host.says("test", "secops")
    host.use(channel="#security")
    host.says("once")
    assert told not in host.says("status")
    assert told not in host.says("check", "--live")


def test_a_reload_with_another_channel_leads_there(host: Host, sandbox: Sandbox) -> None:
    """The id that was kept for the old name is not used any more; a reload that is refused changes nothing."""
    sandbox.sentrytex.publish(recent(1))
    with Process(host.folder, secrets(sandbox)) as daemon:
        until(lambda: len(daemon.logged("delivered")) == 1)
        sandbox.slack.rename("#secops", "#security")
        host.use(channel="#nowhere", unknown_key=1)
        daemon.signal(signal.SIGHUP)
        until(lambda: daemon.logged("reload_refused"))
        sandbox.sentrytex.publish(recent(2))
        until(lambda: len(daemon.logged("delivered")) == 2)
        del host.config["connectors"]["secops"]["unknown_key"]
        host.use(channel="#alerts")
        daemon.signal(signal.SIGHUP)
        until(lambda: daemon.logged("reloaded"))
        sandbox.sentrytex.publish(recent(3))
        until(lambda: len(daemon.logged("delivered")) == 3)
        assert daemon.stop() == 0
    assert [message["channel"] for message in sandbox.slack.messages] == ["C0SECOPS", "C0SECOPS", "C0ALERTS"]


def test_a_kill_and_a_new_name_make_no_second_message(host: Host, sandbox: Sandbox) -> None:
    """What the killed process sent is looked for under the id that it left behind."""
    env = secrets(sandbox)
    sandbox.sentrytex.publish(recent(1))
    with Process(host.folder, env) as first:
        until(lambda: first.logged("delivered"))
        sandbox.slack.inject(Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=600, path="chat.postMessage"))
        sandbox.sentrytex.publish(recent(2))
        until(lambda: len(sandbox.slack.messages) == 2)
        first.kill()
    sandbox.slack.clear_faults()
    sandbox.slack.rename("#secops", "#security")
    host.use(reconcile_after=["100ms", "200ms"])
    with Process(host.folder, env) as second:
        until(lambda: second.logged("delivered"))
        assert second.logged("delivered")[0]["reason"] == "It was there already."
        assert second.stop() == 0
    assert len(sandbox.slack.messages) == 2


def test_reloads_while_an_answer_is_lost_make_no_second_message(host: Host, sandbox: Sandbox) -> None:
    """The first message ever, of which no answer told the channel's id; the config names two others meanwhile."""
    host.use(reconcile_after=["3s", "5s"])
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    sandbox.slack.add_channel("beta")
    sandbox.sentrytex.publish(recent(1))
    with Process(host.folder, secrets(sandbox)) as daemon:
        until(lambda: daemon.logged("uncertain"))
        for channel in ("#alerts", "#beta"):
            host.use(channel=channel)
            before = len(daemon.logged("reloaded"))
            daemon.signal(signal.SIGHUP)
            until(partial(_is_reloaded, daemon, before + 1))
        until(lambda: daemon.logged("delivered"))
        assert daemon.logged("delivered")[0]["reason"] == "It was there already."
        assert daemon.stop() == 0
    assert [message["channel"] for message in sandbox.slack.messages] == ["C0SECOPS"]


def _is_reloaded(daemon: Process, times: int) -> bool:
    return len(daemon.logged("reloaded")) == times


def test_a_renamed_connector_knows_its_channel(host: Host, sandbox: Sandbox) -> None:
    """`forwarder rename` hands over what was learned, receipts and all."""
    sandbox.sentrytex.publish(recent(1))
    host.says("once")
    sandbox.slack.rename("#secops", "#security")
    host.config["connectors"]["chat"] = host.config["connectors"].pop("secops")
    host.config["routes"] = [{"to": ["chat"]}]
    written(host.folder, host.config)
    host.says("rename", "secops", "chat")
    sandbox.sentrytex.publish(recent(2))
    host.says("once")
    assert [message["channel"] for message in sandbox.slack.messages] == ["C0SECOPS"] * 2


def test_without_a_database_the_check_goes_by_the_name(host: Host, sandbox: Sandbox) -> None:
    """There is nothing to remember yet, and nothing is made."""
    assert "The bot is in #secops" in host.says("check", "--live")
    assert not (host.folder / "forwarder.db").exists()
    sandbox.slack.rename("#secops", "#security")
    assert "called #security by now: put channel" in host.says("check", "--live", status=1)
