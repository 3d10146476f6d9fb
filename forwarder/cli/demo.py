"""The command that shows the forwarder at work, with stand-ins for all four services."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import click

from forwarder.cli.root import command_name
from forwarder.common.signals import Signals

if TYPE_CHECKING:
    from forwarder.alert import Alert
    from forwarder.cli.demo_show import Show
    from forwarder.cli.demo_sight import Sight
    from forwarder.cli.demo_story import Story
    from forwarder.config import Config
    from forwarder.sandbox import Sandbox

TICK: Final = 0.2
"""Seconds between two looks at the stand-ins."""
GRACE: Final = 5.0
"""Seconds that the end waits at most for what was published to arrive."""

_PORTS: Final = range(20_000, 32_000)
"""Where the status page may be. Systems give none of these to whoever asks for any port, so it stays free."""

_CONFIG: Final = """\
# Written by `forwarder demo`: the addresses and credentials are those of its stand-ins.
sentrytex: {{ api_key: {sentrytex[token]}, base_url: {sentrytex[url]}, poll_every: 5s }}
database: forwarder.db
connectors:
  oncall: {{ type: pagerduty, routing_key: {pagerduty[routing_key]}, base_url: {pagerduty[url]} }}
  tickets:
    {{ type: jira, url: {jira[url]}, email: {jira[email]}, token: {jira[token]}, project: {jira[project]},
      issue_type: Bug, due_in: {{ critical: 2d, high: 7d }}, reconcile_after: [2s, 10s], sync_every: 1s }}
  secops:
    {{ type: slack, token: {slack[token]}, app_token: {slack[app_token]}, channel: "#secops", base_url: {slack[url]} }}
  alerts: {{ type: slack, token: {slack[token]}, channel: "#alerts", base_url: {slack[url]} }}
routes:
  - {{ severity: critical, to: [oncall, tickets, secops] }}
  - {{ severity: high, to: [tickets, secops] }}
  - {{ severity: [medium, low], to: [alerts] }}
web: {{ listen: {listen} }}
"""
_NEXT: Final = """
Next, with your own accounts:
  {me} init           asks a few questions, writes config.yaml
  {me} check --live   asks each service whether it works
  {me} run            is the daemon\
"""


@click.command()
@click.option("--for", "duration", metavar="DURATION", help="How long, such as 20s; else until Ctrl-C.")
@click.option("--verbose", is_flag=True, help="Show the daemon's own log too.")
def demo(duration: str | None, verbose: bool) -> None:
    """Show the daemon at work, with stand-ins for Sentrytex, Slack, PagerDuty and Jira.

    Nothing has to be configured, and nothing leaves this machine. The daemon and the services' SDKs are the real ones;
    what is printed is what arrived in the stand-ins. Some requests fail on the way, on purpose. One alert's whole life
    is shown: acknowledged in Slack, moved to done in Jira, and open again when CISA lists it as exploited; 20s is long
    enough for that. The end waits up to 5 seconds for the last to arrive, and leaves nothing behind. The exit status is
    1 if anything arrived twice.
    """
    from forwarder.config import load, secrets_of
    from forwarder.daemon import Daemon
    from forwarder.logs import Redactor, configure
    from forwarder.sandbox import Sandbox

    until = _seconds(duration)
    with (
        Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals,
        TemporaryDirectory(prefix="forwarder-demo-") as name,
        Sandbox() as sandbox,
    ):
        folder = Path(name)
        path = _write_config(folder, sandbox)
        config = load(path)
        redactor = Redactor(secrets_of(config))
        with (folder / "forwarder.log").open("w", encoding="utf-8") as log:
            if verbose:
                configure("info", "auto", redactor=redactor)
            else:
                configure("info", "json", stream=log, redactor=redactor)
            stage = Stage(sandbox, config, path, until=until, verbose=verbose)
            stage.start()
            try:
                Daemon(config, lambda: load(path), redactor, signals).run()
            finally:
                stage.end()
    raise SystemExit(stage.conclude())


class Stage:
    """The thread that lets things happen and tells what arrives, while the daemon has the main thread."""

    def __init__(self, sandbox: Sandbox, config: Config, path: Path, *, until: float | None, verbose: bool) -> None:
        from forwarder.cli.demo_script import Script
        from forwarder.cli.demo_show import Show
        from forwarder.cli.demo_sight import Sight
        from forwarder.cli.demo_story import Story

        self._sandbox, self._config, self._path, self._until = sandbox, config, path, until
        self._verbose = verbose
        self._show: Show = Show(live=not verbose)
        self._sight: Sight = Sight(sandbox, config.routes)
        self._script = Script(sandbox, self._published, until=until)
        self._story: Story = Story(sandbox, self._narrated, until=until)
        self._troubles = 0
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="demo")

    def start(self) -> None:
        """Tells what there is to see, and begins."""
        listen = self._config.web.listen
        self._show.say("The forwarder at work. Sentrytex, Slack, PagerDuty and Jira are stand-ins here.")
        if listen is not None:
            self._show.say(f"Status page: http://{listen}/")
        self._show.say(f"In another terminal: {command_name()} status -c {self._path}")
        if not self._verbose:
            self._show.say(f"The daemon's log:    {self._path.parent / 'forwarder.log'}")
        self._show.say("")
        self._script.begin()
        self._story.begin()
        self._thread.start()

    def end(self) -> None:
        """Ends it with the daemon; what arrived up to now is told."""
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def conclude(self) -> int:
        """Tells what came of it all, and returns the exit status."""
        from forwarder.cli.demo_show import print_life, print_summary, verdict

        tallies = self._sight.tallies()
        twice = sum(tally.twice for tally in tallies) + self._story.twice()
        click.echo()
        print_summary(tallies)
        click.echo(verdict(tallies, twice=twice, failed=self._troubles > 0))
        print_life(self._story)
        click.echo(_NEXT.format(me=command_name()))
        return 1 if twice else 0

    def _run(self) -> None:
        try:
            with self._show:
                self._play()
        except BaseException as error:  # told by the main thread, which must not wait for Ctrl-C until then
            self._error = error
        finally:
            if not self._over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    def _play(self) -> None:
        started = time.monotonic()
        while not self._over.wait(TICK):
            elapsed = time.monotonic() - started
            self._script.go_on(elapsed)
            self._look()
            self._story.go_on(elapsed)
            missing = self._sight.missing() + self._story.pending()
            self._show.progress(elapsed, self._until, self._standing(missing))
            if self._until is not None and elapsed >= self._until + (GRACE if missing else 0.0):
                return
        self._look()
        self._story.look(time.monotonic() - started)

    def _look(self) -> None:
        for sighting in self._sight.look():
            self._troubles += sighting.trouble
            self._show.tell(sighting)

    def _standing(self, missing: int) -> str:
        from forwarder.cli.demo_show import service_of

        arrived: Counter[str] = Counter()
        for tally in self._sight.tallies():
            arrived[service_of(tally.place)] += sum(tally.arrived.values())
        told = " · ".join(f"{place} {count}" for place, count in arrived.items())
        return f"{told} · on the way: {missing}"

    def _narrated(self, sentence: str) -> None:
        self._show.narrate(self._sandbox.clock(), sentence)

    def _published(self, what: str, alert: Alert | None) -> None:
        self._show.published(self._sandbox.clock(), what, alert)


def _seconds(duration: str | None) -> float | None:
    from forwarder.common.units import parse_duration

    if duration is None:
        return None
    try:
        length = parse_duration(duration)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    if length < timedelta(seconds=1):
        raise click.BadParameter("must be at least 1s", param_hint="--for")
    return length.total_seconds()


def _write_config(folder: Path, sandbox: Sandbox) -> Path:
    path = folder / "config.yaml"
    credentials = {
        service: {key: json.dumps(value) for key, value in facts.items()}
        for service, facts in sandbox.credentials().items()
    }
    path.write_text(_CONFIG.format(**credentials, listen=_free_address()), "utf-8")
    return path


def _free_address() -> str:
    """An address for the status page; "off" where this machine gives none."""
    for port in random.sample(_PORTS, 20):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return f"127.0.0.1:{port}"
    return "off"
