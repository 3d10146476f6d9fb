"""The command that asks what is needed, tries it, and writes a first config."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from pydantic import BaseModel, SecretStr, ValidationError

from forwarder.cli.init_text import Secret, Section, config_text, env_text
from forwarder.cli.live import check_connector, check_feed, report
from forwarder.cli.root import EX_CONFIG, Stop, command_name, quiet_logs
from forwarder.config import ConfigError, SentrytexConfig, load
from forwarder.config.problems import path_of, sentences
from forwarder.connector import Connector, Finding, Question, Setup
from forwarder.logs import Redactor
from forwarder.plugins import PluginError, connector_types, load_type

Command = TypeVar("Command", bound=Callable[..., Any])

FEED: Final = "sentrytex"


def _installed() -> Iterator[tuple[str, type[Connector[Any]]]]:
    """Every connector type that can be used, with its class; one that cannot is no reason to stop here."""
    for kind in connector_types():
        with suppress(PluginError):
            yield kind, load_type(kind)


def _parameter(kind: str) -> str:
    return f"{kind.replace('-', '_')}_url"


def _address_options(command: Command) -> Command:
    """An option ``--TYPE-url`` for each type whose service can be at another address."""
    for kind, loaded in _installed():
        address = loaded.Config.model_fields.get("base_url")
        if loaded.setup and address:
            command = click.option(f"--{kind}-url", _parameter(kind), help=address.description)(command)
    return command


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("config.yaml"))
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option("--sentrytex-url", help="Address of the Sentrytex API, where it is not the usual one.")
@_address_options
def init(path: Path, force: bool, **urls: str | None) -> None:
    """Ask a few questions, try the answers, and write a first config to PATH (config.yaml).

    Secrets are not shown, and do not go into the config: it names environment variables. One that is set already, such
    as SENTRYTEX_API_KEY, is not asked for. Nothing is sent anywhere; `forwarder test` does that.
    """
    _check_place(path, force)
    quiet_logs()
    click.echo(f"A few questions, then {path} is written. What you type as a secret is not shown.\n")
    feed = _ask_until_good(FEED, lambda again: _ask_feed(urls["sentrytex_url"], again), needed=True)
    assert feed is not None, "only what is not needed can be left out"  # noqa: S101
    connectors = _ask_connectors(urls)
    secrets = [secret for section in (feed, *connectors) for secret in section.secrets.values()]
    _write(path, config_text(feed, connectors), 0o644, force)
    _check_written(path, secrets)
    click.echo(f"\n{path} is written, and valid.")
    _hand_over(path, secrets, force)
    _print_next_steps(path, connectors)


def _check_place(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise Stop(f"{path} already exists: name another file, or overwrite it with --force.")
    if path.suffix == ".env":
        raise Stop(f"{path} is a name for secrets: name the config otherwise, such as config.yaml.")
    if path.is_dir():
        raise Stop(f"{path} is a folder: name a file in it.")
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise Stop(f"The folder {folder} is not writable: create it, or name a file elsewhere.")


# The questions


def _ask_connectors(urls: Mapping[str, str | None]) -> list[Section]:
    chosen: list[Section] = []
    try:
        for kind, setup in _setups().items():
            if click.confirm(setup.offer, default=setup.usual):
                ask = partial(_ask, kind, setup, urls.get(_parameter(kind)))
                chosen += filter(None, [_ask_until_good(setup.name, ask, needed=False)])
    except click.Abort:
        click.echo()
        # Who stops here has typed secrets that need not be typed again.
        if not chosen or not click.confirm(f"Write {_named(chosen)} and leave the rest out?", default=True):
            raise
    if not chosen:
        click.echo("Then alerts are printed where `forwarder run` runs, until you add a connector.")
        chosen.append(Section(name="terminal", type="console"))
    return chosen


def _named(sections: Sequence[Section]) -> str:
    return " and ".join(section.name for section in sections)


def _setups() -> dict[str, Setup]:
    """What each type asks, the usual ones first, and of these those that get most alerts."""
    found = {kind: loaded.setup for kind, loaded in _installed() if loaded.setup}
    return dict(sorted(found.items(), key=lambda item: (not item[1].usual, -len(item[1].severities))))


def _ask_feed(url: str | None, again: bool) -> Section:
    key = _ask_secret("SENTRYTEX_API_KEY", "Sentrytex API key (vk_…)", again)
    return Section(name=FEED, values=_given(base_url=url), secrets={"api_key": key})


def _ask(kind: str, setup: Setup, url: str | None, again: bool) -> Section:
    values, secrets = dict[str, str](), dict[str, Secret]()
    for question in setup.questions:
        if not question.variable:
            values |= _given(**{question.key: _ask_value(question)})
            continue
        key, secret = _ask_either(question, again)
        if secret.value.get_secret_value():
            secrets[key] = secret
        if key != question.key:
            break
    else:
        values |= _given(base_url=url)
    return Section(name=setup.name, type=kind, values=values, secrets=secrets, severities=setup.severities)


def _ask_value(question: Question) -> str:
    answer: str = click.prompt(
        f"  {question.prompt}",
        type=click.Choice(question.choices) if question.choices else str,
        default=question.default,
        show_default=bool(question.default),
    )
    return answer


def _ask_either(question: Question, again: bool) -> tuple[str, Secret]:
    """A secret and the key that it belongs to: the question's, or for a web address that of ``if_address``."""
    other = question.if_address
    is_set = other is not None and bool(os.environ.get(other.variable)) and not again
    variable = other.variable if other and is_set else question.variable
    secret = _ask_secret(variable, f"  {question.prompt}", again, question.default)
    if other and secret.value.get_secret_value().startswith(("https://", "http://")):
        return other.key, Secret(variable=other.variable, value=secret.value)
    return question.key, secret


def _ask_secret(variable: str, question: str, again: bool, default: str | None = None) -> Secret:
    """What the environment has, unless it has just failed, else what a person types; nothing only by ``default``."""
    value = os.environ.get(variable, "")
    if value and not again:
        click.echo(f"{question}: taken from {variable}.")
    else:
        value = click.prompt(question, hide_input=True, default=default, show_default=False)
    return Secret(variable=variable, value=SecretStr(value.strip()))


def _given(**values: str | None) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


# Trying the answers


def _ask_until_good(name: str, ask: Callable[[bool], Section], *, needed: bool) -> Section | None:
    """Asks until the answers work, or are kept as they are; None where they are left out, which ``needed`` forbids."""
    again = False
    while True:
        section = ask(again)
        redact = Redactor(secret.value.get_secret_value() for secret in section.secrets.values())
        settings, findings = _settings(section, redact)
        if settings is not None:
            findings = _try(section, settings)
        works = report(name, findings, redact)
        if settings is not None and works:
            return section
        choice = _ask_what_now(usable=settings is not None, needed=needed)
        if choice != "again":
            return section if choice == "keep" else None
        again = True


def _ask_what_now(*, usable: bool, needed: bool) -> str:
    """``again``, ``keep`` where a config can hold the answers, or ``skip`` where it is complete without them."""
    ways = ["again", *(["keep"] if usable else []), *([] if needed else ["skip"])]
    if ways == ["again"]:
        return "again"
    means = {"again": "ask again", "keep": "keep these answers", "skip": "leave it out"}
    question = ", ".join(f"{way} = {means[way]}" for way in ways)
    chosen: str = click.prompt(f"What now? {question}", type=click.Choice(ways), default="again")
    return chosen


def _settings(section: Section, redact: Redactor) -> tuple[BaseModel | None, list[Finding]]:
    """The section as the config's model has it, or what is wrong with the answers."""
    model = load_type(section.type).Config if section.type else SentrytexConfig
    secrets = {key: secret.value.get_secret_value() for key, secret in section.secrets.items()}
    raw = {**_given(type=section.type), **section.values, **secrets}
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        wrong = sentences(error.errors(include_url=False), raw, model, redact)
        return None, [Finding(False, f"{path_of(where)} {text}.".lstrip()) for where, text in wrong.items()]


def _try(section: Section, settings: Any) -> list[Finding]:
    if isinstance(settings, SentrytexConfig):
        return check_feed(settings)
    return check_connector(load_type(section.type)(section.name, settings))


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
        raise Stop(f"{path} is written, but must be fixed:\n{problems}", EX_CONFIG) from None


def _hand_over(path: Path, secrets: Sequence[Secret], force: bool) -> None:
    """Leaves the secrets where the next start finds them, or says how to."""
    env = path.with_suffix(".env")
    if env.exists() and not force:
        click.echo(f"{env} already exists and is left unchanged.")
    elif click.confirm(f"Write the secrets to {env}, which only you can read?", default=True):
        _write(env, env_text(secrets), 0o600, force)
        click.echo(f"\nBefore `forwarder` runs, in the same shell:\n  set -a; . {env.absolute()}; set +a")
        return
    click.echo("\nBefore `forwarder` runs, in the same shell, with your values in place of …:")
    for secret in secrets:
        click.echo(f"  export {secret.variable}=…")


def _print_next_steps(path: Path, connectors: Sequence[Section]) -> None:
    option, me = "" if path == Path("config.yaml") else f" -c {path}", command_name()
    steps = {
        f"{me} check --live{option}": "asks each service whether everything works",
        f"{me} test {connectors[0].name}{option}": "sends a test alert, and takes it back",
        f"{me} run{option}": "is the daemon",
    }
    click.echo("\nThen:")
    for command, what in steps.items():
        click.echo(f"  {command.ljust(max(map(len, steps)))}   {what}")
