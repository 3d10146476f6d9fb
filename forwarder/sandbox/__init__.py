"""Stand-ins for Sentrytex, Slack, Teams, PagerDuty, JSM, Jira, GitHub, a receiver of webhooks, a server of mail, and
services that Apprise knows.

They listen on loopback, keep state, hold the documented limits and fail on order. The demo, tests and benchmarks run
on them. What they were told is at hand afterwards: ``sandbox.slack.messages``, ``.teams.cards``,
``.pagerduty.incidents``, ``.jira.issues``, ``.github.issues``, ``.webhook.messages``, ``.email.mails``,
``.apprise.messages``. Another process asks ``GET /_sandbox/state`` of a service, posts to ``/_sandbox/faults`` (and
deletes there), to ``/_sandbox/revoke`` and ``/_sandbox/restore``, and, of Sentrytex, to ``/_sandbox/publish`` and
``/_sandbox/accounts``.

People act there too, and the services tell of it as the real ones do: ``sandbox.slack.click`` and ``submit``,
``sandbox.pagerduty.acknowledge`` and ``resolve``, ``sandbox.jira.move``, ``assign``, ``edit``, ``comment``, ``clone``
and ``write``, ``sandbox.github.close_issue``, ``reopen_issue``, ``assign``, ``unassign`` and ``comment``. Another
process posts their arguments to ``/_sandbox/people/VERB``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Self

from forwarder.sandbox.apprise import Apprise
from forwarder.sandbox.email import Email
from forwarder.sandbox.exchange import Seen
from forwarder.sandbox.faults import Fault, FaultKind
from forwarder.sandbox.github import GitHub
from forwarder.sandbox.jira import Jira
from forwarder.sandbox.jsm import Jsm
from forwarder.sandbox.limits import Clock
from forwarder.sandbox.pagerduty import PagerDuty
from forwarder.sandbox.sentrytex import Sentrytex
from forwarder.sandbox.server import Service
from forwarder.sandbox.slack import Slack
from forwarder.sandbox.teams import Teams
from forwarder.sandbox.webhook import Webhook

__all__ = [
    "Apprise",
    "Clock",
    "Email",
    "Fault",
    "FaultKind",
    "GitHub",
    "Jira",
    "Jsm",
    "PagerDuty",
    "Sandbox",
    "Seen",
    "Sentrytex",
    "Service",
    "Slack",
    "Teams",
    "Webhook",
]


class Sandbox:
    """The services, each at a port of its own, from ``start`` (or ``with``) to ``close``.

    ``clock`` tells the time that all go by (default: the machine's); ``sandbox.clock.advance`` moves it on. ``limits``
    of False switches the rate limits off. ``latency`` is the seconds that every answer takes.
    """

    def __init__(
        self, *, clock: Callable[[], datetime] | None = None, limits: bool = True, latency: float = 0.0
    ) -> None:
        self.clock = Clock(clock)
        self.sentrytex = Sentrytex(clock=self.clock, latency=latency, limits=limits)
        self.slack = Slack(clock=self.clock, latency=latency, limits=limits)
        self.pagerduty = PagerDuty(clock=self.clock, latency=latency, limits=limits)
        self.jira = Jira(clock=self.clock, latency=latency)
        self.teams = Teams(clock=self.clock, latency=latency, limits=limits)
        self.github = GitHub(clock=self.clock, latency=latency, limits=limits)
        self.jsm = Jsm(clock=self.clock, latency=latency, limits=limits)
        self.webhook = Webhook(clock=self.clock, latency=latency, limits=limits)
        self.email = Email(clock=self.clock, latency=latency)
        self.apprise = Apprise(clock=self.clock, latency=latency, limits=limits)

    @property
    def services(self) -> tuple[Service, ...]:
        return (
            self.sentrytex,
            self.slack,
            self.teams,
            self.pagerduty,
            self.jsm,
            self.jira,
            self.github,
            self.webhook,
            self.email,
            self.apprise,
        )

    def start(self) -> Self:
        for service in self.services:
            service.start()
        return self

    def close(self) -> None:
        for service in self.services:
            service.close()

    def credentials(self) -> dict[str, dict[str, str]]:
        """What clients need to know of each service: its address, and a token or key."""
        return {service.name: service.credentials() for service in self.services}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()
