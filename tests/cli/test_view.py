"""Looking at the database beside a config that cannot be used, and naming a connector that there is not."""

from __future__ import annotations

import pytest

from tests.cli.test_commands import CRITICAL
from tests.kit.desk import Desk

LOOKS = [["status"], ["alerts"], ["deliveries"], ["explain", CRITICAL]]
SECRETS = ["SENTRYTEX_API_KEY", "SLACK_BOT_TOKEN", "PAGERDUTY_ROUTING_KEY", "JIRA_API_TOKEN"]


@pytest.fixture(params=["a typo", "no YAML", "not UTF-8"])
def broken(request: pytest.FixtureRequest, forwarded: Desk) -> Desk:
    """A desk whose config was broken after it had been at work."""
    path = forwarded.folder / "broken.yaml"
    text = (forwarded.folder / "config.yaml").read_text()
    spoiled = {"a typo": text + "\nroots: []\n", "no YAML": text + "\n\t- {", "not UTF-8": text}[request.param]
    path.write_bytes(spoiled.encode() + (b"# \xff\n" if request.param == "not UTF-8" else b""))
    return forwarded


@pytest.mark.parametrize("args", LOOKS, ids=lambda args: args[0])
def test_looking_needs_no_valid_config(broken: Desk, args: list[str]) -> None:
    """What was done is shown all the same, and that the config needs a look stands on standard error."""
    result = broken.run(*args, "--config", str(broken.folder / "broken.yaml"))
    assert result.exit_code == 0, result.output
    assert sorted(result.stdout.splitlines()) == sorted(broken.says(*args).splitlines())
    assert "broken.yaml has 1 mistake (see `forwarder check`)" in result.stderr


@pytest.mark.parametrize("args", LOOKS, ids=lambda args: args[0])
def test_looking_needs_no_secrets(forwarded: Desk, args: list[str]) -> None:
    """The service's own environment has them; the person who looks need not."""
    result = forwarded.run(*args, **dict.fromkeys(forwarded.env.keys() - {"FORWARDER_CONFIG", "COLUMNS"}, ""))
    assert result.exit_code == 0, result.output
    assert result.stdout == forwarded.says(*args)


@pytest.mark.parametrize("args", LOOKS, ids=lambda args: args[0])
def test_looking_needs_no_config_where_the_database_is_named(forwarded: Desk, args: list[str]) -> None:
    """As on the machine that a backup was copied to."""
    database = str(forwarded.folder / "forwarder.db")
    result = forwarded.run(*args, "--database", database, "--config", "/nowhere/config.yaml")
    assert result.exit_code == 0, result.output
    assert "secops" in result.stdout


def test_a_hidden_database_is_asked_for(forwarded: Desk) -> None:
    """Where its path comes from a variable that is not set."""
    path = forwarded.folder / "hidden.yaml"
    path.write_text((forwarded.folder / "config.yaml").read_text() + "\ndatabase: ${NOT_SET_HERE}\n")
    result = forwarded.process("status", "--config", str(path))
    assert result.returncode == 78
    assert "--database" in result.stderr


@pytest.mark.parametrize("command", ["alerts", "deliveries"])
def test_a_connector_that_there_is_not_is_named_so(forwarded: Desk, command: str) -> None:
    """An empty list would read as: nothing went there."""
    result = forwarded.run(command, "--connector", "sec-ops")
    assert result.exit_code == 1
    assert "There is no connector sec-ops (did you mean secops?)" in result.stderr
    assert forwarded.run(command, "--connector", "tickets").exit_code == 0
