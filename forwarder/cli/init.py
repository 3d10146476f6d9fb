"""The command that asks what is needed, tries it, and writes a first config."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from pydantic import BaseModel, SecretStr, ValidationError

from forwarder.cli.init_text import Secret, Section, config_text, env_text
from forwarder.cli.live import check_feed, tell
from forwarder.cli.root import EX_CONFIG, Stop
from forwarder.config import ConfigError, SentrytexConfig, load
from forwarder.config.problems import path_of, sentences
from forwarder.connector import Finding
from forwarder.logs import Redactor

FEED: Final = "sentrytex"


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("config.yaml"))
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.option("--sentrytex-url", help="Address of the Sentrytex API, where it is not the usual one.")
@click.option("--slack-url", help="Address of Slack's Web API, where it is not the usual one.")
@click.option("--pagerduty-url", help="Address of PagerDuty's Events API, where it is not the usual one.")
def init(path: Path, force: bool, **urls: str | None) -> None:
    """Ask a few questions, try the answers, and write a first config to PATH (config.yaml).

    Secrets are not shown, and do not go into the config: it names environment variables. One that is set already, such
    as SENTRYTEX_API_KEY, is not asked for. Nothing is sent anywhere; `forwarder test` does that.
    """
    _check_place(path, force)
    click.echo(f"A few questions, then {path} is written. What you type as a secret is not shown.\n")
    feed = _ask_until_good(FEED, lambda again: _ask_feed(urls["sentrytex_url"], again))
    connectors = _ask_connectors(urls)
    secrets = [secret for section in (feed, *connectors) for secret in section.secrets.values()]
    _write(path, config_text(feed, connectors), 0o644, force)
    _check_written(path, secrets)
    click.echo(f"\n{path} is written, and valid.")
    _hand_over(path, secrets, force)
    _tell_next(path, connectors)


def _check_place(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise Stop(f"{path} is there already: name another file, or overwrite it with --force.")
    if path.suffix == ".env":
        raise Stop(f"{path} is a name for secrets: name the config otherwise, such as config.yaml.")
    if path.is_dir():
        raise Stop(f"{path} is a folder: name a file in it.")
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise Stop(f"The folder {folder} cannot be written: make it, or name a file elsewhere.")


# The questions


def _ask_connectors(urls: Mapping[str, str | None]) -> list[Section]:
    asked: Sequence[tuple[str, str, Callable[[bool], Section]]] = (
        ("secops", "Show alerts in Slack?", lambda again: _ask_slack(urls["slack_url"], again)),
        ("oncall", "Page someone through PagerDuty?", lambda again: _ask_pagerduty(urls["pagerduty_url"], again)),
        ("tickets", "Make tickets in Jira?", _ask_jira),
    )
    chosen = [_ask_until_good(name, ask) for name, question, ask in asked if click.confirm(question, default=True)]
    if not chosen:
        click.echo("Then alerts are printed where `forwarder run` runs, until you add a connector.")
        chosen.append(Section(name="terminal", type="console"))
    return chosen


def _ask_feed(url: str | None, again: bool) -> Section:
    key = _ask_secret("SENTRYTEX_API_KEY", "Sentrytex API key (vk_…)", again)
    return Section(name=FEED, values=_given(base_url=url), secrets={"api_key": key})


def _ask_slack(url: str | None, again: bool) -> Section:
    hook = bool(os.environ.get("SLACK_WEBHOOK_URL")) and not again
    variable = "SLACK_WEBHOOK_URL" if hook else "SLACK_BOT_TOKEN"
    secret = _ask_secret(variable, "  Bot token (xoxb-…), or the URL of an incoming webhook", again)
    if secret.value.get_secret_value().startswith(("https://", "http://")):
        secrets = {"webhook_url": Secret(variable="SLACK_WEBHOOK_URL", value=secret.value)}
        return Section(name="secops", type="slack", secrets=secrets)
    channel = click.prompt("  Channel", default="#secops")
    return Section(
        name="secops", type="slack", values={"channel": channel, **_given(base_url=url)}, secrets={"token": secret}
    )


def _ask_pagerduty(url: str | None, again: bool) -> Section:
    key = _ask_secret("PAGERDUTY_ROUTING_KEY", "  Integration key of an Events API v2 integration", again)
    region = click.prompt("  Service region", type=click.Choice(["us", "eu"]), default="us")
    values = {"region": region, **_given(base_url=url)}
    return Section(name="oncall", type="pagerduty", values=values, secrets={"routing_key": key})


def _ask_jira(again: bool) -> Section:
    url = click.prompt("  Address of the site, such as https://example.atlassian.net")
    email = click.prompt("  Email of the account (leave it empty for Data Center)", default="", show_default=False)
    token = _ask_secret("JIRA_API_TOKEN", "  API token (Data Center: personal access token)", again)
    values = {
        "url": url,
        **_given(email=email),
        "project": click.prompt("  Key of the project", default="SEC"),
        "issue_type": click.prompt("  Issue type", default="Task"),
    }
    return Section(name="tickets", type="jira", values=values, secrets={"token": token})


def _ask_secret(variable: str, question: str, again: bool) -> Secret:
    """What the environment has, unless it has just failed, else what a person types."""
    value = os.environ.get(variable, "")
    if value and not again:
        click.echo(f"{question}: taken from {variable}.")
    else:
        value = click.prompt(question, hide_input=True)
    return Secret(variable=variable, value=SecretStr(value.strip()))


def _given(**values: str | None) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


# Trying the answers


def _ask_until_good(name: str, ask: Callable[[bool], Section]) -> Section:
    """Asks until the answers can be used: those that only do not work yet may be kept."""
    again = False
    while True:
        section = ask(again)
        redact = Redactor(secret.value.get_secret_value() for secret in section.secrets.values())
        settings, findings = _settings(section, redact)
        if settings is not None:
            findings = _try(section, settings)
        well = tell(name, findings, redact)
        if settings is not None and (well or click.confirm("Keep these answers all the same?", default=False)):
            return section
        again = True


def _settings(section: Section, redact: Redactor) -> tuple[BaseModel | None, list[Finding]]:
    """The section as the config's model has it, or what is wrong with the answers."""
    from forwarder.plugins import load_type

    model = load_type(section.type).Config if section.type else SentrytexConfig
    secrets = {key: secret.value.get_secret_value() for key, secret in section.secrets.items()}
    raw = {**_given(type=section.type), **section.values, **secrets}
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        wrong = sentences(error.errors(include_url=False), raw, model, redact)
        return None, [Finding(False, f"{path_of(where)} {text}.".lstrip()) for where, text in wrong.items()]


def _try(section: Section, settings: Any) -> list[Finding]:
    from forwarder.plugins import load_type

    if isinstance(settings, SentrytexConfig):
        return check_feed(settings)
    connector = load_type(section.type)(section.name, settings)
    try:
        return connector.check()
    finally:
        connector.close()


# What is left behind


def _write(path: Path, text: str, mode: int, force: bool) -> None:
    """Makes the file anew, with these rights from its first byte on."""
    try:
        if force:
            path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Stop(f"{path} cannot be written: {error.strerror}.") from None


def _check_written(path: Path, secrets: Sequence[Secret]) -> None:
    try:
        load(path, {**os.environ, **{secret.variable: secret.value.get_secret_value() for secret in secrets}})
    except ConfigError as error:
        problems = "\n".join(str(problem) for problem in error.problems)
        raise Stop(f"{path} is written, but must be put right:\n{problems}", EX_CONFIG) from None


def _hand_over(path: Path, secrets: Sequence[Secret], force: bool) -> None:
    """Leaves the secrets where the next start finds them, or says how to."""
    env = path.with_suffix(".env")
    if env.exists() and not force:
        click.echo(f"{env} is there already and stays as it is.")
    elif click.confirm(f"Write the secrets to {env}, which only you can read?", default=True):
        _write(env, env_text(secrets), 0o600, force)
        click.echo(f"\nBefore `forwarder` runs, in the same shell:\n  set -a; . {env.absolute()}; set +a")
        return
    click.echo("\nBefore `forwarder` runs, in the same shell, with your values in place of …:")
    for secret in secrets:
        click.echo(f"  export {secret.variable}=…")


def _tell_next(path: Path, connectors: Sequence[Section]) -> None:
    option = "" if path == Path("config.yaml") else f" -c {path}"
    steps = {
        f"forwarder check --live{option}": "asks each service whether all is well",
        f"forwarder test {connectors[0].name}{option}": "sends a test alert, and takes it back",
        f"forwarder run{option}": "is the daemon",
    }
    click.echo("\nThen:")
    for command, what in steps.items():
        click.echo(f"  {command.ljust(max(map(len, steps)))}   {what}")
