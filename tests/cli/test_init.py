"""`forwarder init`: asks, tries the answers against the services, and writes a config that loads."""

from __future__ import annotations

import os
import pty
import shlex
import stat
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result

from forwarder.alert import Severity
from forwarder.cli.init_text import Section, config_text
from forwarder.cli.root import group
from forwarder.config import Config, advice, load
from forwarder.plugins import connector_types, load_type
from forwarder.sandbox import Sandbox
from tests.kit.core import environment
from tests.kit.processes import FORWARDER

VARIABLES = (
    "SENTRYTEX_API_KEY",
    "SLACK_BOT_TOKEN",
    "SLACK_APP_TOKEN",
    "SLACK_WEBHOOK_URL",
    "PAGERDUTY_ROUTING_KEY",
    "PAGERDUTY_API_TOKEN",
    "JIRA_API_TOKEN",
    "JSM_API_KEY",
    "TEAMS_WORKFLOW_URL",
    "GITHUB_TOKEN",
    "WEBHOOK_URL",
    "WEBHOOK_SIGNING_KEY",
    "SMTP_PASSWORD",
    "APPRISE_URL",
)

WITH_APPRISE = find_spec("apprise") is not None
NO_MORE = ["n"] * sum(not kind.setup.usual for kind in map(load_type, connector_types()) if kind.setup)
"""Answers that leave out what is offered last, for it is not usual."""

STOP, END = "Ctrl-D", b"\x04"
"""Ends the answers as Ctrl-C does, which a program can miss that has just begun to wait for a line."""


def init(
    sandbox: Sandbox,
    path: Path,
    *answers: str,
    options: Sequence[str] = (),
    env: Mapping[str, str | None] | None = None,
) -> Result:
    """The command, with one answer a line, in an environment that has no variables of ours but ``env``."""
    addresses = {name: getattr(sandbox, name).url for name in ("sentrytex", "slack", "pagerduty", "jsm", "github")}
    urls = [word for service, url in addresses.items() for word in (f"--{service}-url", url)]
    clean: dict[str, str | None] = dict.fromkeys(VARIABLES)
    return CliRunner().invoke(
        group, ["init", str(path), *urls, *options], input="\n".join([*answers, ""]), env={**clean, **(env or {})}
    )


def interrupted(sandbox: Sandbox, path: Path, *answers: str, then: Sequence[str]) -> tuple[str, int]:
    """The command in a terminal, stopped after ``answers``, and what is typed ``then``: its output and status."""
    leader, follower = pty.openpty()
    urls = ["--sentrytex-url", sandbox.sentrytex.url, "--slack-url", sandbox.slack.url]
    process = subprocess.Popen(
        [FORWARDER, "init", str(path), *urls],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment({}),
        start_new_session=True,
    )
    os.close(follower)
    said = ""
    try:
        for answer in (*answers, STOP, *then):
            said += read_until_asked(leader, process)
            os.write(leader, END if answer == STOP else f"{answer}\n".encode())
        while part := read_some(leader):
            said += part
        return said, process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def read_some(leader: int) -> str:
    try:
        return os.read(leader, 65536).decode()
    except OSError:  # Linux says so at the end of a terminal
        return ""


def read_until_asked(leader: int, process: subprocess.Popen[bytes]) -> str:
    """What is printed up to the next question."""
    said = ""
    while not said.rstrip(" ").endswith(":"):
        part = read_some(leader)
        assert part, f"it ended ({process.poll()}): {said}"
        said += part
    return said


def everything(sandbox: Sandbox) -> list[str]:
    """Answers that choose all there is."""
    slack = ["y", sandbox.slack.token, "#secops", sandbox.slack.app_token]
    pagerduty = ["y", sandbox.pagerduty.routing_key, "us", ""]
    jira = ["y", sandbox.jira.url, sandbox.jira.email, sandbox.jira.token, "SEC", "Bug", "label"]
    jsm = ["y", sandbox.jsm.api_key]
    teams = ["y", sandbox.teams.url]
    webhook = ["y", sandbox.webhook.url, sandbox.webhook.signing_keys[0]]
    server = ["y", "127.0.0.1", str(sandbox.email.port), "none", sandbox.email.username, sandbox.email.password]
    email = [*server, "alerts@example.com", "secops@example.com, oncall@example.com"]
    github = ["y", "example/security", sandbox.github.token]
    # Whoever has not installed its library says no.
    apprise = ["y", sandbox.apprise.url] if WITH_APPRISE else ["n"]
    return [sandbox.sentrytex.token, *slack, *jira, *pagerduty, *apprise, *email, *teams, *webhook, *github, *jsm]


def secrets(sandbox: Sandbox) -> dict[str, str]:
    return {
        "SENTRYTEX_API_KEY": sandbox.sentrytex.token,
        "SLACK_BOT_TOKEN": sandbox.slack.token,
        "SLACK_APP_TOKEN": sandbox.slack.app_token,
        "PAGERDUTY_ROUTING_KEY": sandbox.pagerduty.routing_key,
        "JIRA_API_TOKEN": sandbox.jira.token,
        "JSM_API_KEY": sandbox.jsm.api_key,
        "TEAMS_WORKFLOW_URL": sandbox.teams.url,
        "SMTP_PASSWORD": sandbox.email.password,
        "GITHUB_TOKEN": sandbox.github.token,
        **({"APPRISE_URL": sandbox.apprise.url} if WITH_APPRISE else {}),
        "WEBHOOK_URL": sandbox.webhook.url,
        "WEBHOOK_SIGNING_KEY": sandbox.webhook.signing_keys[0],
    }


def routes(config: Config) -> dict[str, set[str]]:
    return {severity.value: set(route.to) for route in config.routes for severity in route.severity}


def test_every_question_is_about_a_key_of_its_connector() -> None:
    """What is asked for is a key of the type's config, and goes into a variable where that key holds a secret."""
    asked = 0
    for kind in (load_type(name) for name in connector_types()):
        questions = kind.setup.questions if kind.setup else ()
        fields = {field.alias or name: field for name, field in kind.Config.model_fields.items()}
        for question in [*questions, *(one.if_address for one in questions if one.if_address)]:
            assert ("SecretStr" in repr(fields[question.key].annotation)) == bool(question.variable), (
                f"{kind}: {question.key}"
            )
            asked += 1
    assert asked == 27


def test_the_config_that_is_written_loads(sandbox: Sandbox, tmp_path: Path) -> None:
    """Every answer stands in the config, every severity has a connector, and the secrets come from variables."""
    path = tmp_path / "config.yaml"
    result = init(sandbox, path, *everything(sandbox), "n")
    assert result.exit_code == 0, result.output
    config = load(path, secrets(sandbox))
    assert {name: one.type for name, one in config.connectors.items()} == {
        "secops": "slack",
        "oncall": "pagerduty",
        "tickets": "jira",
        "duty": "jsm",
        "room": "teams",
        "mail": "email",
        **({"push": "apprise"} if WITH_APPRISE else {}),
        "issues": "github",
        "hook": "webhook",
    }
    everywhere = {"secops", "room", "mail", "hook", *(["push"] if WITH_APPRISE else [])}
    assert routes(config) == {
        "critical": {*everywhere, "oncall", "duty", "tickets", "issues"},
        "high": {*everywhere, "tickets", "issues"},
        "medium": everywhere,
        "low": everywhere,
    }
    assert config.alarms.to == ("secops", "oncall")
    assert advice(config) == []
    assert f"{path} is written, and valid." in result.output


def test_no_secret_is_shown_or_written_into_the_config(sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither the output nor the config holds one; the exports that are printed have a mark in its place."""
    path = tmp_path / "config.yaml"
    result = init(sandbox, path, *everything(sandbox), "n")
    assert result.exit_code == 0, result.output
    for variable, secret in secrets(sandbox).items():
        assert secret not in result.output
        assert secret not in path.read_text()
        assert f"export {variable}=…" in result.output
    assert not path.with_suffix(".env").exists()


def test_the_secrets_can_go_into_a_file_that_a_shell_reads(sandbox: Sandbox, tmp_path: Path) -> None:
    """The file is its owner's alone from the start, and a shell that sources it can load the config."""
    path = tmp_path / "config.yaml"
    result = init(sandbox, path, *everything(sandbox), "y")
    assert result.exit_code == 0, result.output
    env = path.with_suffix(".env")
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    script = f"set -a; . {shlex.quote(str(env))}; env"
    told = subprocess.run(["/bin/sh", "-c", script], env={}, capture_output=True, text=True, check=True).stdout
    assert {f"{name}={value}" for name, value in secrets(sandbox).items()} <= set(told.splitlines())
    assert not any(secret in result.output for secret in secrets(sandbox).values())


def test_each_answer_is_tried_at_its_service(sandbox: Sandbox, tmp_path: Path) -> None:
    """All services are asked, nothing is posted, and what they say is printed."""
    result = init(sandbox, tmp_path / "config.yaml", *everything(sandbox), "n")
    assert "ok   sentrytex: The key may read alerts" in result.output
    assert "ok   secops: Slack knows the token" in result.output
    assert "ok   oncall: 127.0.0.1 can be reached." in result.output
    assert "ok   tickets: The project SEC exists" in result.output
    assert not sandbox.slack.messages
    assert not sandbox.pagerduty.incidents
    assert "ok   hook: 127.0.0.1 can be reached" in result.output
    assert not sandbox.jira.issues
    assert not sandbox.webhook.messages


def test_an_answer_that_does_not_work_is_asked_again(sandbox: Sandbox, tmp_path: Path) -> None:
    """A key that Sentrytex refuses is told, and the next one is used."""
    path = tmp_path / "config.yaml"
    result = init(sandbox, path, "vk_wrong_key_000000", "again", sandbox.sentrytex.token, "n", "n", "n", *NO_MORE, "y")
    assert result.exit_code == 0, result.output
    assert "FAIL sentrytex" in result.output
    assert "vk_wrong_key_000000" not in result.output
    assert sandbox.sentrytex.token in path.with_suffix(".env").read_text()


def test_an_answer_that_does_not_work_yet_can_be_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    """A person who knows better goes on with it."""
    path = tmp_path / "config.yaml"
    slack = ["y", "xoxb-not-yet-valid", "#secops", "", "keep"]
    result = init(sandbox, path, sandbox.sentrytex.token, *slack, "n", "n", *NO_MORE, "y")
    assert result.exit_code == 0, result.output
    assert "FAIL secops" in result.output
    assert "xoxb-not-yet-valid" in path.with_suffix(".env").read_text()


def test_an_answer_that_no_config_can_hold_is_never_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    """A routing key of the wrong length is refused with its reason, without being shown, until it is right."""
    path = tmp_path / "config.yaml"
    pagerduty = ["y", "too-short-key", "eu", "", "again", sandbox.pagerduty.routing_key, "eu", ""]
    result = init(sandbox, path, sandbox.sentrytex.token, "n", "n", *pagerduty, *NO_MORE, "n")
    assert result.exit_code == 0, result.output
    assert "FAIL oncall: routing_key must be 32 characters" in result.output
    assert "too-short-key" not in result.output
    assert "keep" not in result.output
    assert routes(load(path, secrets(sandbox)))["low"] == {"oncall"}, "no severity goes nowhere"


def test_a_webhook_does_in_place_of_a_token(sandbox: Sandbox, tmp_path: Path) -> None:
    """An address is taken for an incoming webhook, which has a channel of its own."""
    path = tmp_path / "config.yaml"
    result = init(sandbox, path, sandbox.sentrytex.token, "y", sandbox.slack.webhook_url, "n", "n", *NO_MORE, "n")
    assert result.exit_code == 0, result.output
    assert "webhook_url: ${SLACK_WEBHOOK_URL}" in path.read_text()
    assert sandbox.slack.webhook_url not in result.output
    load(path, {**secrets(sandbox), "SLACK_WEBHOOK_URL": sandbox.slack.webhook_url})


def test_variables_that_are_set_are_not_asked_for(sandbox: Sandbox, tmp_path: Path) -> None:
    """What the environment has is tried and used, and is named in place of being asked."""
    path = tmp_path / "config.yaml"
    result = init(sandbox, path, "y", "#secops", "n", "n", *NO_MORE, "n", env=secrets(sandbox))
    assert result.exit_code == 0, result.output
    assert "taken from SENTRYTEX_API_KEY" in result.output
    assert "taken from SLACK_BOT_TOKEN" in result.output
    assert "ok   secops: Slack knows the token" in result.output


def test_without_any_destination_alerts_are_printed(sandbox: Sandbox, tmp_path: Path) -> None:
    """Whoever chooses nothing gets a config that runs all the same."""
    path = tmp_path / "config.yaml"
    result = init(sandbox, path, sandbox.sentrytex.token, "n", "n", "n", *NO_MORE, "n")
    assert result.exit_code == 0, result.output
    assert [one.type for one in load(path, secrets(sandbox)).connectors.values()] == ["console"]


def test_a_file_that_is_there_is_not_overwritten(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is asked where the config is there already; with --force it is written anew."""
    path = tmp_path / "config.yaml"
    path.write_text("mine\n")
    refused = init(sandbox, path, *everything(sandbox), "y")
    assert refused.exit_code == 1
    assert "--force" in refused.output
    assert path.read_text() == "mine\n"
    result = init(sandbox, path, *everything(sandbox), "y", options=("--force",))
    assert result.exit_code == 0, result.output
    load(path, secrets(sandbox))


def test_secrets_of_another_config_are_not_overwritten(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file of secrets that is there stays, and the exports are printed instead; --force makes it anew and private."""
    path, env = tmp_path / "config.yaml", tmp_path / "config.env"
    env.write_text("MINE=1\n")
    env.chmod(0o644)
    result = init(sandbox, path, *everything(sandbox))
    assert result.exit_code == 0, result.output
    assert env.read_text() == "MINE=1\n"
    assert "export SLACK_BOT_TOKEN=…" in result.output
    assert init(sandbox, path, *everything(sandbox), "y", options=("--force",)).exit_code == 0
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


def test_a_section_that_does_not_work_can_be_left_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """Who has no token at hand is not held at the question."""
    path = tmp_path / "config.yaml"
    pagerduty = ["y", "too-short-key", "eu", "", "skip"]
    result = init(
        sandbox, path, sandbox.sentrytex.token, "y", sandbox.slack.token, "#secops", "", "n", *pagerduty, *NO_MORE, "n"
    )
    assert result.exit_code == 0, result.output
    assert set(load(path, secrets(sandbox)).connectors) == {"secops"}


def test_whoever_stops_in_between_may_keep_what_was_answered(sandbox: Sandbox, tmp_path: Path) -> None:
    """Stopping in a later section offers to write the earlier ones; once more, and nothing is left."""
    path = tmp_path / "config.yaml"
    answered = [sandbox.sentrytex.token, "y", sandbox.slack.token, "#secops", ""]
    said, status = interrupted(sandbox, path, *answered, then=["", "n"])
    assert status == 0, said
    assert "Write secops and leave the rest out?" in said
    assert set(load(path, secrets(sandbox)).connectors) == {"secops"}
    path.unlink()
    said, status = interrupted(sandbox, path, *answered, then=[STOP])
    assert status == 130, said
    assert list(tmp_path.iterdir()) == []


def test_whoever_stops_in_between_leaves_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """Where the answers end too early, no file is written."""
    result = init(sandbox, tmp_path / "config.yaml", sandbox.sentrytex.token, "y")
    assert result.exit_code != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing/config.yaml", ".", "config.env"])
def test_a_place_that_cannot_be_written_is_told_before_any_question(
    sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    """A folder that is missing, a folder in place of a file, a name for secrets: each is one sentence."""
    options = ("--force",) if (tmp_path / name).exists() else ()
    result = init(sandbox, tmp_path / name, options=options)
    assert result.exit_code == 1
    assert "Sentrytex API key" not in result.output
    assert os.linesep not in result.output.strip()


@pytest.mark.parametrize(
    "text", ["#secops", "no", "null", "a: b", "${HOME}", "$$", 'say "hi"', "7", "ümlaut", "a#b", "x:"]
)
def test_any_answer_survives_yaml(sandbox: Sandbox, tmp_path: Path, text: str) -> None:
    """What was typed is what the config says, whatever YAML or a variable would make of it."""
    path = tmp_path / "config.yaml"
    section = Section(
        name="tickets", type="jira", values={"project": "SEC", "url": sandbox.jira.url, "issue_type": text}
    )
    feed = Section(name="sentrytex", values={"api_key": "vk_not-a-real-key"})
    written = config_text(feed, [section]).replace("issue_type:", "token: not-a-real-token\n    issue_type:")
    path.write_text(written)
    jira = load(path, {}).connectors["tickets"]
    assert jira.model_dump()["issue_type"] == text


def test_a_stack_of_no_vendors_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing will ever come; whoever fills it later may go on."""
    sandbox.sentrytex.remove_vendor("example")
    path = tmp_path / "config.yaml"
    result = init(sandbox, path, sandbox.sentrytex.token, "keep", "n", "n", "n", *NO_MORE, "y")
    assert result.exit_code == 0, result.output
    assert "FAIL sentrytex: The stack has no vendors" in result.output


def section(name: str, kind: str, *severities: Severity) -> Section:
    return Section(name=name, type=kind, severities=severities)


ALL: Final = tuple(Severity)
HEARS: Final[dict[str, tuple[list[Section], str]]] = {
    "none": ([section("terminal", "console")], "[]"),
    "one": ([section("secops", "slack", *ALL)], "[secops]"),
    "two of one service": ([section("secops", "slack", *ALL), section("devs", "slack", *ALL[:1])], "[secops]"),
    "two": ([section("secops", "slack", *ALL), section("tickets", "jira", *ALL[:2])], "[secops, tickets]"),
}
"""Connectors, and who of them is to hear of alarms."""


@pytest.mark.parametrize("which", HEARS)
def test_alarms_go_to_two_services_where_two_are_there(which: str) -> None:
    """One that is the trouble cannot tell of it."""
    connectors, named = HEARS[which]
    assert f"alarms:\n  to: {named}\n" in config_text(Section(name="sentrytex"), connectors)
