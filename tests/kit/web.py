"""What the tests of the pages share: a site with something of everything, and who looks at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from pydantic import SecretStr

from forwarder.alert import SetAside, Severity
from forwarder.app import Forwarder
from forwarder.common.clock import Clock
from forwarder.config import Config, Listen, WebConfig
from forwarder.logs import Redactor
from forwarder.store import Store
from forwarder.store.alarm_records import Alarm
from forwarder.store.records import Gap
from forwarder.testing import alert
from forwarder.web.server import Server, bind
from tests.kit import store as store_kit
from tests.kit.core import PATIENCE
from tests.kit.store import NOW, Time

TOKEN: Final = "not-a-real-web-token"
HTML: Final = {"Accept": "text/html"}


@dataclass
class Site:
    """A status page that is served. ``client`` is a program on this machine; it follows no redirect."""

    forwarder: Forwarder
    store: Store
    url: str
    client: httpx2.Client
    time: Time

    def page(self, path: str, status: int = 200) -> str:
        """What a page shows, as HTML."""
        answer = self.client.get(path, headers=HTML)
        assert answer.status_code == status, answer.text
        return answer.text

    def text(self, path: str) -> str:
        """What a person reads there: one line, without any markup."""
        return words(self.page(path))

    def form_key(self, path: str = "/dead-letters") -> str:
        """What the forms of a page carry."""
        found = re.search(r'name="form_key" value="(\w+)"', self.page(path))
        assert found, f"{path} has no form"
        return found[1]

    def post(self, path: str, *, on: str = "/dead-letters", **fields: Any) -> httpx2.Response:
        """Sends a form as a browser does that shows the page ``on``."""
        return self.client.post(path, data={"form_key": self.form_key(on), **fields}, headers=HTML)


def words(html: str) -> str:
    html = re.sub(r"<(style|script|svg).*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split()).replace(" :", ":").replace(" ,", ",").replace(" .", ".")


def web_config(database: Path, *, listen: str = "127.0.0.1", token: str | None = None, **web: Any) -> Config:
    """A config whose connectors deliver nowhere, with a page at any free port."""
    settings = WebConfig(listen=Listen(host=listen, port=0), token=SecretStr(token) if token else None, **web)
    return store_kit.config(database=database).model_copy(update={"web": settings})


@contextmanager
def serving(folder: Path, *, at_port: int = 0, config: Config | None = None, **web: Any) -> Iterator[Site]:
    """A site without any alert, whose feed was read five seconds ago; it neither polls nor delivers.

    With ``config`` that one's connectors are there, and deliver once the forwarder is started.
    """
    settings, time = web_config(folder / "forwarder.db", **web), Time()
    if config is not None:
        settings = config.model_copy(update={"web": settings.web, "database": settings.database})
    config = settings
    store = Store.open_exclusive(config.database)
    forwarder = Forwarder(config, store, clock=Clock(wall=time, uptime=time), redactor=Redactor())
    assert config.web.listen
    server = Server(forwarder, bind(Listen(host="127.0.0.1", port=at_port)))
    store.feed.commit_page([], now=NOW - 5, connectors=config.connectors, cursor=NOW - 60)
    for feed in forwarder.feeds.values():
        feed.has_read = True
    server.start()
    try:
        with httpx2.Client(base_url=server.url, timeout=PATIENCE) as client:
            yield Site(forwarder=forwarder, store=store, url=server.url, client=client, time=time)
    finally:
        server.close()
        forwarder.stop(1)
        store.close()


def sweep_short(store: Store) -> None:
    """Lets the last sweep have fallen short of look_back, for one severity."""
    store.feed.commit_page([], now=NOW - 20, swept=True, reach=NOW - 86400, short={Severity.HIGH: NOW - 86400})


def furnish(store: Store) -> None:
    """Puts something of everything into a store: settled, waiting, dead, uncertain, orphaned, paused, and troubles."""
    store.vendors.keep(store_kit.stack("github", "aws-lambda", "openssl"))
    store_kit.enqueue(store, alert(), "secops", "oncall", "tickets", now=NOW - 3600)
    store_kit.deliver(store, "secops", "C1:1.2", "https://slack.example/archives/C1/p12", now=NOW - 3599)
    store_kit.deliver(store, "tickets", "SEC-7", "https://jira.example/browse/SEC-7", now=NOW - 3590)
    claimed = store_kit.claim(store, "oncall", now=NOW - 3600)
    store_kit.settle(store, claimed, store_kit.dead("PagerDuty refuses the event"), now=NOW - 3598)
    low = alert(
        id="low-1",
        cve_id="CVE-2025-7",
        title="A small thing",
        severity="low",
        affected_vendors=["openssl"],
        cisa_kev=True,
    )
    store_kit.enqueue(store, low, "tickets", "renamed", now=NOW - 900)
    store_kit.settle(store, store_kit.claim(store, "tickets", now=NOW), store_kit.uncertain(NOW + 50), now=NOW - 890)
    store_kit.enqueue(store, alert(id="none-1", title="Nobody's", severity="medium"), now=NOW - 800)
    store_kit.enqueue(store, alert(id="high-1", title="Held up", severity="high"), "oncall", now=NOW - 700)
    store_kit.settle(store, store_kit.claim(store, "oncall", now=NOW), store_kit.paused(NOW + 45), now=NOW - 690)
    store.feed.commit_page(
        [],
        now=NOW - 30,
        cursor=NOW - 120,
        gaps=[Gap(severity=Severity.HIGH, since=NOW - 5000, until=NOW - 4000)],
        set_aside=[
            SetAside(
                digest="d1",
                raw='{"title": "<b>no id</b>"}',
                reason="the alert has no id",
                told="CVE-2026-9, <b>no id</b>",
            )
        ],
    )
    store.alarms.begin(
        Alarm(
            key="gap",
            type="gap",
            subject="",
            text="Alerts may be missing.",
            alert_id="alarm-gap-1",
            since=NOW - 30,
            notified_at=NOW - 30,
            last_at=NOW - 30,
            notified=("secops",),
        ),
        alert(id="alarm-gap-1", title="The API may not have shown all alerts"),
    )
