"""The live check: each service is asked whether the credentials and the target work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import click
from pydantic import BaseModel

from forwarder import plugins
from forwarder.alert import Vendors
from forwarder.cli.options import remembered
from forwarder.common.accounts import DEFAULT, label
from forwarder.common.text import counted, cut
from forwarder.config import Config, Route, SentrytexConfig, secrets_of
from forwarder.config.problems import did_you_mean
from forwarder.connector import Connector, Finding
from forwarder.delivery.attempt import REQUESTS
from forwarder.feed.client import FeedClient, SentrytexError, Stack
from forwarder.lifecycle.owners import all_owners
from forwarder.logs import Redactor
from forwarder.routing import is_like
from forwarder.wire.deadline import deadline

MOST_NAMES: Final = 300
"""Characters of the names that there are, which a warning lists."""


def check_live(config: Config) -> bool:
    """Prints what each service says, in sentences; whether all of it works."""
    redact = Redactor(secrets_of(config))
    stack: list[Stack] = []
    works = True
    for account in config.sentrytex.keys:
        findings = check_feed(config.sentrytex, account, stack.append)
        works &= report(f"sentrytex {label(account)}".strip(), findings, redact)
    if stack:
        vendors = {key: vendor for one in stack for key, vendor in one.vendors.items()}
        for about, sentences in (
            ("routes", unmatched(config.routes, vendors)),
            ("owners", unowned(config.owners, vendors)),
        ):
            for sentence in sentences:
                click.echo(f"{click.style('warn', fg='yellow')} {about}: {redact(sentence)}")
    for name, settings in config.connectors.items():
        try:
            connector = plugins.load_type(settings.type)(name, settings)
            connector.remember(remembered(config, name))
            findings = check_connector(connector, all_owners(config.owners, settings.type))
        except Exception as error:  # another package's connector may raise anything
            findings = [Finding(ok=False, text=f"The check failed unexpectedly ({type(error).__name__}).")]
        works &= report(name, findings, redact)
    return works


def check_connector(connector: Connector[Any], owners: Sequence[BaseModel] = ()) -> list[Finding]:
    """What ``connector`` finds, of ``owners`` too, within the time that a delivery would have, and lets go of it."""
    with closing(connector), deadline(connector.config.timeout.total_seconds() * REQUESTS):
        findings = connector.check()
        return findings + connector.check_owners(owners) if owners else findings


def check_feed(
    settings: SentrytexConfig, account: str = DEFAULT, show: Callable[[Stack], object] = lambda _: None
) -> list[Finding]:
    """What an account's key may read; the stack is given to ``show``."""
    source = FeedClient(settings.base_url, settings.keys[account], key_at=settings.key_at(account))
    findings = []
    try:
        page = source.alerts(None)
        findings.append(Finding(ok=True, text=f"The key may read alerts: {len(page.alerts)} are shown."))
        stack = source.stack()
        findings.append(_stack(len(stack.vendors)))
        show(stack)
    except SentrytexError as error:
        findings.append(Finding(ok=False, text=str(error)))
    finally:
        source.close()
    return findings


def _stack(vendors: int) -> Finding:
    if not vendors:
        text = "The stack has no vendors, so no alert will ever come: add what you use to your stack in Sentrytex."
        return Finding(ok=False, text=text)
    return Finding(ok=True, text=f"The key may read the stack: {counted(vendors, 'vendor')}.")


def unmatched(routes: Sequence[Route], vendors: Vendors) -> Iterator[str]:
    """What routes name that nothing in the stack is called, in sentences. It may be on purpose: a stack changes."""
    categories = sorted({category for vendor in vendors.values() for category in vendor.categories})
    for number, route in enumerate(routes, start=1):
        for what, patterns, names in (
            ("vendor", route.vendors, sorted(vendors)),
            ("category", route.categories, categories),
        ):
            for pattern in patterns:
                if not any(is_like(name, pattern) for name in names):
                    there = cut(", ".join(names), MOST_NAMES) or "none"
                    yield (
                        f"Route {number} asks for the {what} {pattern}, and nothing in the stack is called "
                        f"so{did_you_mean(pattern, names)}. There: {there}."
                    )


def unowned(owners: Iterable[str], vendors: Vendors) -> Iterator[str]:
    """What has owners and is no vendor and no category of the stack, in sentences. It may be on purpose, too."""
    names = sorted({*vendors, *(category for vendor in vendors.values() for category in vendor.categories)})
    known = {name.casefold() for name in names}
    for name in owners:
        if name.casefold() not in known:
            yield f"No vendor and no category of the stack is called {name}{did_you_mean(name, names)}."


def report(name: str, findings: list[Finding], redact: Redactor) -> bool:
    """Prints ``findings``, a line each; whether everything works."""
    for finding in findings:
        mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red", bold=True)
        click.echo(f"{mark} {name}: {redact(finding.text)}")
    return all(finding.ok for finding in findings)
