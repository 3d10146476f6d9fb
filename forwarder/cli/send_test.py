"""The command that sends one test alert, and takes it back."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from forwarder.alert import Alert, Severity
from forwarder.cli.options import build, connector_argument, remembered
from forwarder.cli.root import SEVERITIES, Stop, config_option, load_config, quiet_logs
from forwarder.cli.samples import SAMPLE_VENDORS, sample_alert
from forwarder.common.text import clean
from forwarder.config import secrets_of
from forwarder.connector import (
    Broken,
    Connector,
    Delivered,
    Delivery,
    Failed,
    Kind,
    Origin,
    Outcome,
    RateLimited,
    Receipt,
    Rejected,
    Retry,
    Uncertain,
    format_duration,
)
from forwarder.logs import Redactor


@click.command()
@config_option
@connector_argument
@click.option(
    "--severity",
    type=SEVERITIES,
    default=Severity.LOW.value,
    show_default=True,
    help="Severity of the test alert.",
)
@click.option("--keep", is_flag=True, help="Do not take the test alert back.")
def test(config_path: Path, connector: str, severity: str, keep: bool) -> None:
    """Send one test alert to CONNECTOR, report the result, and take it back.

    It is marked as a test. Taken back means: a message is marked as withdrawn, an incident is resolved, a ticket is
    closed. It works while the daemon runs too, and leaves nothing in the database. The exit status is 1 if it did not
    arrive.
    """
    quiet_logs()
    config = load_config(config_path)
    redact = Redactor(secrets_of(config))
    target = build(config, connector)
    target.remember(remembered(config, connector))
    delivery = Delivery(
        id=0,
        alert=_test_alert(Severity(severity)),
        connector=connector,
        enqueued_at=datetime.now(UTC),
        origin=Origin.TEST,
        vendors=SAMPLE_VENDORS,
    )
    try:
        sent = _found(target, delivery, _attempt(target, delivery))
        if not isinstance(sent, Delivered):
            raise Stop(redact(clean(f"{connector}: {_failure(sent, connector)}")))
        _say(redact, f"{connector}: the test alert arrived{_note(sent)}{_place(sent.receipt)}")
        if keep:
            _say(redact, f"{connector}: it is left there because of --keep.")
            return
        back = _attempt(target, replace(delivery, kind=Kind.WITHDRAW, receipt=sent.receipt))
        _say(redact, f"{connector}: {_taken_back(back, target)}")
    finally:
        target.close()


def _test_alert(severity: Severity) -> Alert:
    """Complete in every field, so that it shows how real ones will look; its words say what it is."""
    return replace(
        sample_alert(severity, f"test-{uuid.uuid4()}"),
        title="Test of the forwarder: nothing has happened",
        description="Someone is testing whether alerts arrive here. The facts shown with this text are an example. "
        "Nothing needs to be done.",
    )


def _attempt(target: Connector[Any], delivery: Delivery) -> Outcome:
    try:
        return target.deliver(delivery, target.render(delivery))
    except Exception as error:  # another package's connector may raise anything
        return Uncertain(f"sending failed unexpectedly ({type(error).__name__})")


def _found(target: Connector[Any], delivery: Delivery, outcome: Outcome) -> Outcome:
    """``outcome``, or where that is uncertain, what one look at the destination shows."""
    if not isinstance(outcome, Uncertain) or not target.reconcile_after:
        return outcome
    try:
        receipt = target.find(delivery)
    except Failed:
        return outcome
    except Exception:  # as in _attempt; the first reason says more than this one
        return outcome
    return outcome if receipt is None else Delivered(receipt, f"its answer was lost: {outcome.reason}")


def _failure(outcome: Retry | RateLimited | Uncertain | Rejected | Broken, connector: str) -> str:
    """What went wrong, and the way out."""
    reason = outcome.reason.rstrip(".")
    match outcome:
        case RateLimited(after):
            return f"the test alert was not accepted: {reason}. Try again in {format_duration(after)}."
        case Uncertain():
            return (
                f"it is not known whether the test alert arrived: {reason}. Look there for an alert marked as a test."
            )
        case Retry():
            return (
                f"the test alert did not arrive: {reason}. Try again; if that does not help, `forwarder check --live`."
            )
        case Rejected():
            return f"the test alert was refused: {reason}. `forwarder preview {connector}` shows what was sent."
        case Broken():
            return f"the test alert did not arrive: {reason}. `forwarder check --live` shows what is missing."


def _taken_back(outcome: Outcome, target: Connector[Any]) -> str:
    if not isinstance(outcome, Delivered):
        return f"it could not be taken back ({outcome.reason.rstrip('.')}): close it there yourself."
    # The note says what kept the destination from doing just that.
    return f"{outcome.note}." if outcome.note else f"{target.withdrawn}."


def _place(receipt: Receipt) -> str:
    # No full stop behind it: a terminal would take that for a part of the address.
    where = receipt.url or receipt.remote_id
    return f": {where}" if where else "."


def _note(sent: Delivered) -> str:
    return f" ({sent.note.rstrip('.')})" if sent.note else ""


def _say(redact: Redactor, text: str) -> None:
    click.echo(redact(clean(text)))
