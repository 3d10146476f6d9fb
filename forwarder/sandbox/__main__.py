"""The sandbox in a process of its own: ``python -m forwarder.sandbox``."""

from __future__ import annotations

import json
import os
import signal
import threading

import click

from forwarder.common.signals import Signals
from forwarder.common.units import parse_duration
from forwarder.sandbox import Sandbox


@click.command()
@click.option("--latency", default="0ms", show_default=True, help="How long every answer takes, such as 100ms.")
@click.option("--unlimited", is_flag=True, help="Switch the services' rate limits off.")
def main(latency: str, unlimited: bool) -> None:
    """Run stand-ins for Sentrytex, Slack, Teams, PagerDuty, JSM, Jira and a receiver of webhooks on 127.0.0.1.

    Prints their addresses and credentials as one line of JSON. Ends on SIGTERM, or when standard input closes.
    """
    try:
        seconds = parse_duration(latency).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--latency") from None
    with Signals(signal.SIGTERM, signal.SIGINT) as signals, Sandbox(limits=not unlimited, latency=seconds) as sandbox:
        click.echo(json.dumps(sandbox.credentials()))
        threading.Thread(target=_wait_for_end_of_input, args=(signals,), daemon=True).start()
        signals.wait(None)


def _wait_for_end_of_input(signals: Signals) -> None:
    # Past sys.stdin: a thread that waits in its buffer makes the interpreter's end fail.
    while os.read(0, 4096):
        pass
    signals.wake()


if __name__ == "__main__":
    main()
