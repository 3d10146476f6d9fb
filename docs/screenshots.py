"""Takes the pictures of the status page that the documentation shows: `make screenshots`.

The page is the real one, of a real forwarder that delivered a month of alerts to the sandbox; only time is played. It
takes Chromium and Playwright, which `pip install --group dev` brings.
"""

from __future__ import annotations

import io
import random
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Final, Literal

from playwright.sync_api import Browser, sync_playwright

from forwarder.app import Forwarder
from forwarder.common.clock import Clock
from forwarder.config import Listen, load
from forwarder.connector import Action
from forwarder.logs import configure
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.samples import sample_alerts
from forwarder.store import Store
from forwarder.store.query_records import DeliveryRow, Filter
from forwarder.store.records import State
from forwarder.web.server import Server, bind

IMAGES: Final = Path(__file__).parent / "images"
CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DAYS: Final = 30
NEWEST: Final = 14
"""Alerts of the last hour; the days before had fewer."""

_CONFIG: Final = """
sentrytex: {{api_key: {sentrytex[token]}, base_url: {sentrytex[url]}}}
connectors:
  oncall:
    {{type: pagerduty, routing_key: {pagerduty[routing_key]}, base_url: {pagerduty[url]},
      max_rate: 100/s}}
  tickets:
    {{type: jira, url: {jira[url]}, email: {jira[email]}, token: {jira[token]}, project: {jira[project]},
      issue_type: Bug}}
  secops: {{type: slack, token: {slack[token]}, channel: "#secops", base_url: {slack[url]}, max_rate: 100/s}}
  backlog: {{type: slack, token: {slack[token]}, channel: "#alerts", base_url: {slack[url]}, max_rate: 100/s}}
routes:
  - {{severity: critical, to: [oncall, tickets, secops]}}
  - {{severity: high, cisa_kev: true, to: [oncall, tickets, secops]}}
  - {{severity: high, to: [tickets, secops]}}
  - {{severity: [medium, low], to: backlog}}
"""


class Month:
    """A clock that was set back a month, goes at its usual pace, and is moved on a day at a time."""

    def __init__(self) -> None:
        self._behind = timedelta(days=DAYS)

    def __call__(self) -> datetime:
        return datetime.now(UTC) - self._behind

    def seconds(self) -> float:
        return self().timestamp()

    def pass_(self, **time: float) -> None:
        self._behind -= timedelta(**time)


@contextmanager
def served(*, troubled: bool = False) -> Iterator[str]:
    """The address of a status page with a month behind it.

    ``troubled`` leaves a connector paused, a dead letter and a delivery that is tried again.
    """
    configure("error", stream=io.StringIO())
    month = Month()
    with tempfile.TemporaryDirectory() as folder, Sandbox(clock=month, limits=False) as sandbox:
        path = Path(folder) / "config.yaml"
        path.write_text(_CONFIG.format(**sandbox.credentials()), encoding="utf-8")
        store = Store.open_exclusive(Path(folder) / "forwarder.db")
        clock = Clock(wall=month.seconds, uptime=month.seconds)
        forwarder = Forwarder(load(path), store, clock=clock, links_after=0.0)
        server = Server(forwarder, bind(Listen(host="127.0.0.1", port=0)))
        forwarder.start(schedule=False)
        try:
            _live(forwarder, sandbox, month)
            if troubled:
                _trouble(forwarder, sandbox, month)
            server.start()
            yield server.url
        finally:
            forwarder.stop(5)
            server.close()
            store.close()


def _live(forwarder: Forwarder, sandbox: Sandbox, month: Month) -> None:
    """A month of alerts, and a busy last hour."""
    rng = random.Random(2)  # noqa: S311 - the same pictures each time, not a secret
    for _ in range(DAYS - 1):
        month.pass_(days=1)
        for raw in rng.sample(sample_alerts(month()), rng.randint(0, 9)):
            sandbox.sentrytex.publish({**raw, "id": str(uuid.UUID(int=rng.getrandbits(128)))})
        _turn(forwarder)
    month.pass_(hours=23)
    for service, latency in ((sandbox.slack, 0.12), (sandbox.pagerduty, 0.06), (sandbox.jira, 0.35)):
        service.latency = latency
    for raw in sample_alerts(month(), over=timedelta(minutes=5))[-NEWEST:]:
        month.pass_(minutes=4, seconds=rng.random() * 30)
        sandbox.sentrytex.publish({**raw, "published_at": (month() - timedelta(seconds=40)).isoformat()})
        _turn(forwarder)
    sandbox.sentrytex.update(_everywhere(forwarder.store), cvss_score=9.9)
    forwarder.sweep()
    forwarder.deliver_due(0.0, Event())
    _respond(forwarder.store, month)
    forwarder.poll()


def _respond(store: Store, month: Month) -> None:
    """What people did about some of the newest alerts."""
    for number, row in enumerate(store.queries.alerts(Filter(limit=NEWEST))):
        if number % 3:
            when = min(row.seen_at + 45 * (number % 5 + 1), month.seconds())
            who = ("Ada", "Grace")[number % 2]
            action = Action.RESOLVE if number % 3 == 2 else Action.ACKNOWLEDGE
            store.lifecycle.respond(row.alert.id, action, place="tickets", person=who, now=when, connectors=())


def _trouble(forwarder: Forwarder, sandbox: Sandbox, month: Month) -> None:
    """Something for every sign that the page has."""
    sandbox.slack.archive("alerts")
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=400))
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=503, times=None))
    for raw in sample_alerts(month(), over=timedelta(minutes=5))[:6]:
        sandbox.sentrytex.publish({**raw, "id": str(uuid.uuid4())})
    sandbox.sentrytex.publish({"cve_id": "CVE-2026-1", "title": "It has no id"})
    forwarder.poll()
    forwarder.deliver_due(0.0, Event())
    month.pass_(minutes=3)
    forwarder.poll()


def _turn(forwarder: Forwarder) -> None:
    """A poll, and the alerts that it brought delivered; updates that only bring links need not be waited for."""
    forwarder.poll()
    tick = Event()
    while any(row.kind == "open" for row in _unsettled(forwarder.store)):
        tick.wait(0.01)


def _unsettled(store: Store) -> list[DeliveryRow]:
    return [row for state in (State.READY, State.SENDING) for row in store.queries.deliveries(Filter(state=state))]


def _everywhere(store: Store) -> str:
    """The newest alert that went to three connectors."""
    return next(row.alert.id for row in store.queries.alerts(Filter(limit=100)) if len(row.deliveries) >= 3)


def shoot(
    browser: Browser, address: str, path: Path, *, scheme: Literal["light", "dark"], width: int, height: int
) -> None:
    """A picture of the top ``height`` pixels of a page."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    tab = context.new_page()
    tab.goto(address)
    tab.screenshot(path=path)
    context.close()


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with served() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        shoot(browser, url, IMAGES / "status-light.png", scheme="light", width=1280, height=1290)
        tab = browser.new_page()
        tab.goto(url)
        history = tab.locator("tr:has(.went > :nth-child(3)) a.title").first.get_attribute("href") or ""
        tab.close()
        address = url.rstrip("/") + history
        shoot(browser, address, IMAGES / "alert-dark.png", scheme="dark", width=1280, height=1160)
        browser.close()


if __name__ == "__main__":
    main()
