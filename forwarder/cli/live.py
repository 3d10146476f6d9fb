"""The live check: each service is asked whether the credentials and the target work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import click

from forwarder import plugins
from forwarder.alert import Vendors
from forwarder.cli.options import remembered
from forwarder.common.text import counted, cut
from forwarder.config import Config, Route, SentrytexConfig, secrets_of
from forwarder.config.problems import did_you_mean
from forwarder.connector import Connector, Finding
from forwarder.delivery.attempt import REQUESTS
from forwarder.feed.client import FeedClient, SentrytexError, Stack
from forwarder.logs import Redactor
from forwarder.routing import is_like
from forwarder.wire.deadline import deadline

MOST_NAMES: Final = 300
"""Characters of the names that there are, which a warning lists."""


def check_live(config: Config) -> bool:
    """Prints what each service says, in sentences; whether all of it works."""
    redact = Redactor(secrets_of(config))
    stack: list[Stack] = []
    works = report("sentrytex", check_feed(config.sentrytex, stack.append), redact)
    for sentence in (sentence for one in stack for sentence in unmatched(config.routes, one.vendors)):
        click.echo(f"{click.style('warn', fg='yellow')} routes: {redact(sentence)}")
    for name, settings in config.connectors.items():
        try:
            connector = plugins.load_type(settings.type)(name, settings)
            connector.remember(remembered(config, name))
            findings = check_connector(connector)
        except Exception as error:  # another package's connector may raise anything
            findings = [Finding(ok=False, text=f"The check failed unexpectedly ({type(error).__name__}).")]
        works &= report(name, findings, redact)
    return works


def check_connector(connector: Connector[Any]) -> list[Finding]:
    """What ``connector`` finds, within the time that a delivery would have, and lets go of it."""
    with closing(connector), deadline(connector.config.timeout.total_seconds() * REQUESTS):
        return connector.check()


def check_feed(settings: SentrytexConfig, show: Callable[[Stack], object] = lambda _: None) -> list[Finding]:
    """What the key may read; the stack is given to ``show``."""
    source = FeedClient(settings.base_url, settings.api_key.get_secret_value())
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


def report(name: str, findings: list[Finding], redact: Redactor) -> bool:
    """Prints ``findings``, a line each; whether everything works."""
    for finding in findings:
        mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red", bold=True)
        click.echo(f"{mark} {name}: {redact(finding.text)}")
    return all(finding.ok for finding in findings)
