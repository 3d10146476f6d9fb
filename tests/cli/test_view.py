"""Looking at the database beside a config that cannot be used, and naming a connector that there is not."""

from __future__ import annotations

import re

import pytest

from tests.cli.test_commands import CRITICAL
from tests.kit.desk import Desk

LOOKS = [["status"], ["alerts"], ["deliveries"], ["explain", CRITICAL]]
SECRETS = ["SENTRYTEX_API_KEY", "SLACK_BOT_TOKEN", "PAGERDUTY_ROUTING_KEY", "JIRA_API_TOKEN"]


def lines(said: str) -> list[str]:
    """What was printed, in whatever order the connectors are listed, whenever it was printed."""
    return sorted(re.sub(r"\d+[smh] ago|just now|\s+", " ", line) for line in said.splitlines())


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
    assert lines(result.stdout) == lines(broken.says(*args))
    assert "broken.yaml has 1 mistake (see `forwarder check`)" in result.stderr


@pytest.mark.parametrize("args", LOOKS, ids=lambda args: args[0])
def test_looking_needs_no_secrets(forwarded: Desk, args: list[str]) -> None:
    """The service's own environment has them; the person who looks need not."""
    result = forwarded.run(*args, **dict.fromkeys(forwarded.env.keys() - {"FORWARDER_CONFIG", "COLUMNS"}, ""))
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert lines(result.stdout) == lines(forwarded.says(*args))


@pytest.mark.parametrize("args", LOOKS, ids=lambda args: args[0])
def test_looking_needs_no_config_where_the_database_is_named(forwarded: Desk, args: list[str]) -> None:
    """As on the machine that a backup was copied to."""
    database = str(forwarded.folder / "forwarder.db")
    result = forwarded.run(*args, "--database", database, "--config", "/nowhere/config.yaml")
    assert result.exit_code == 0, result.output
    assert "secops" in result.stdout


@pytest.mark.parametrize("args", [["retry", "--all"], ["discard", "--all"], ["rename", "gone", "secops"]], ids=" ".join)
def test_changing_the_queue_needs_no_secrets_either(forwarded: Desk, broken: Desk, args: list[str]) -> None:
    """They go by names alone; a config with a mistake could make a connector look as if it were removed."""
    without = dict.fromkeys(forwarded.env.keys() - {"FORWARDER_CONFIG", "COLUMNS"}, "")
    assert forwarded.run(*args, **without).output in (
        "There is nothing to retry.\n",
        "There is nothing to discard.\n",
        "Nothing is kept for a connector gone.\n",
    )
    result = broken.run(*args, "--config", str(broken.folder / "broken.yaml"))
    assert result.exit_code == 1
    assert "broken.yaml" in str(result.output)


def test_a_hidden_database_is_asked_for(forwarded: Desk) -> None:
    """Where its path comes from a variable that is not set."""
    path = forwarded.folder / "hidden.yaml"
    path.write_text((forwarded.folder / "config.yaml").read_text() + "\ndatabase: ${NOT_SET_HERE}\n")
    result = forwarded.ends("status", "--config", str(path))
    assert result.returncode == 78
    assert "--database" in result.stderr
    # What changes something has no such option, and needs the config.
    decides = forwarded.ends("ack", "CVE-2026-1", "--config", str(path))
    assert decides.returncode == 78
    assert "hidden.yaml" in decides.stderr
    assert "--database" not in decides.stderr


@pytest.mark.parametrize("command", ["alerts", "deliveries"])
def test_a_connector_that_there_is_not_is_named_so(forwarded: Desk, command: str) -> None:
    """An empty list would read as: nothing went there."""
    result = forwarded.run(command, "--connector", "sec-ops")
    assert result.exit_code == 1
    assert "There is no connector sec-ops (did you mean secops?)" in result.stderr
    assert forwarded.run(command, "--connector", "tickets").exit_code == 0


@pytest.mark.parametrize(
    "wanted",
    [["cve-2026-20001"], [" CVE-2026-20001 "], ["2026-20001"], ["Log4Shell", "again"], [CRITICAL.upper()], ["log4sh"]],
    ids=" ".join,
)
def test_explain_finds_by_any_part(forwarded: Desk, wanted: list[str]) -> None:
    """As it is pasted from a chat: in any case, with blanks, in part."""
    said = forwarded.says("explain", *wanted)
    assert said.startswith("Log4Shell again\n")
    assert said.count("Published ") == 1


def test_explain_shows_all_that_match(forwarded: Desk) -> None:
    """Never one of two, as if there were no other."""
    said = forwarded.says("explain", "CVE-2026-2000")
    assert said.count("Published ") == 3
    assert len(forwarded.json("explain", "CVE-2026-2000")) == 3


@pytest.mark.parametrize("wanted", ["CVE-2026-20009", "cve-2026-20009"])
def test_explain_claims_nothing_that_was_not_asked(forwarded: Desk, wanted: str) -> None:
    """The API can be asked for an id, and not for a CVE; what was seen and is like it is offered."""
    result = forwarded.run("explain", wanted)
    assert result.exit_code == 1
    assert "The nearest that were: CVE-2026-20001, CVE-2026-20002, CVE-2026-20003." in result.stderr
    assert "API" not in result.stderr


@pytest.mark.parametrize("wanted", ["CVE-2026-20001", "cve-2026-20001", CRITICAL, "log4shell", "(CVE-2026-20001)."])
def test_deliveries_are_searched(forwarded: Desk, wanted: str) -> None:
    """By all that names their alert."""
    found = forwarded.json("deliveries", "--alert", wanted)
    assert found
    assert {one["alert_id"] for one in found} == {CRITICAL}
    assert forwarded.says("deliveries", "--alert", "nothing like it") == "No deliveries match.\n"


def test_alerts_are_searched(forwarded: Desk) -> None:
    """With the words of the page's box."""
    assert [row["title"] for row in forwarded.json("alerts", "--search", "log4shell")] == ["Log4Shell again"]
