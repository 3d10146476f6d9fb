"""Connectors that a command is told: completed in the shell, and an unknown one is said to be so."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete

from forwarder.cli.root import COMMANDS, group
from tests.kit.core import recent
from tests.kit.desk import Desk

CONNECTORS = {"connector", "only", "old", "new"}
"""What commands call a connector that they are told."""
OF_ACCOUNTS = {"rename-account"}
"""Commands that call an account by these names."""

TYPOS = {
    "alerts": ["--connector", "sec-ops"],
    "deliveries": ["--connector", "sec-ops"],
    "retry": ["--connector", "sec-ops"],
    "discard": ["--connector", "sec-ops", "--yes"],
    "replay": ["--since", "1d", "--to", "sec-ops", "--yes"],
    "rename": ["old", "sec-ops"],
    "test": ["sec-ops"],
    "preview": ["sec-ops"],
}


def told() -> Iterator[tuple[str, click.Parameter]]:
    """Every command that is told a connector, with the parameter."""
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        for param in command.params:
            if (param.name in CONNECTORS and name not in OF_ACCOUNTS) or "--connector" in param.opts:
                yield name, param


def completed(desk: Desk, monkeypatch: pytest.MonkeyPatch, *args: str, incomplete: str = "") -> list[str]:
    for name, value in desk.env.items():
        monkeypatch.setenv(name, value)
    complete = ShellComplete(group, {}, "forwarder", "_FORWARDER_COMPLETE")
    return [item.value for item in complete.get_completions(list(args), incomplete)]


def test_every_command_that_is_told_a_connector_is_tried_here() -> None:
    """A new one does not go without."""
    assert {name for name, _ in told()} == set(TYPOS)


@pytest.mark.parametrize("command", TYPOS)
def test_an_unknown_name_is_said_so(forwarded: Desk, command: str) -> None:
    """With the one that was meant, status 1, and nothing done."""
    result = forwarded.run(command, *TYPOS[command])
    assert result.exit_code == 1
    assert "no connector sec-ops (did you mean secops?)" in result.stderr
    assert result.stdout == ""


def test_a_name_in_other_letters_is_offered(forwarded: Desk) -> None:
    """Capitals are a typo like any other."""
    result = forwarded.run("alerts", "--connector", "SECOPS")
    assert "no connector SECOPS (did you mean secops?)" in result.output


@pytest.mark.parametrize("command", TYPOS)
def test_names_are_completed(forwarded: Desk, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """As far as they are typed."""
    args = [command, *TYPOS[command][: TYPOS[command].index("sec-ops")]]
    assert completed(forwarded, monkeypatch, *args, incomplete="se") == ["secops"]
    assert completed(forwarded, monkeypatch, *args) == ["secops", "oncall", "tickets"]


def test_what_the_config_no_longer_has_is_completed_where_it_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To hand it over, to list it and to discard it; not to send anything to it."""
    desk.sandbox.sentrytex.publish(recent(1))
    desk.run("once")
    desk.config["connectors"]["security"] = desk.config["connectors"].pop("secops")
    desk.config["routes"] = [{"to": ["security"]}]
    desk.write()
    assert completed(desk, monkeypatch, "rename") == ["secops"]
    for command in ("alerts", "deliveries", "discard"):
        assert completed(desk, monkeypatch, command, "--connector", incomplete="sec") == ["security", "secops"]
    assert completed(desk, monkeypatch, "test", incomplete="sec") == ["security"]
    copy = str(desk.folder / "forwarder.db")
    args = ["deliveries", "-c", "/nowhere.yaml", "--database", copy, "--connector"]
    assert completed(desk, monkeypatch, *args) == ["oncall", "secops", "tickets"]
