"""The recipes of the docs, each as it stands there: who is told what, and when."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import yaml

from forwarder.app import Forwarder
from forwarder.common.clock import instant
from forwarder.config import load
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.store.records import State
from tests.kit.core import Time, command, recent, rows, secrets, settings, until, written
from tests.kit.wire import NAME, certificate, encrypting, peer, proxying
from tests.test_docs import DOCS, ROOT, fences

RECIPES: Final = {fence.title: fence.text for fence in fences("yaml") if fence.page == "recipes.md"}
BERLIN: Final = ZoneInfo("Europe/Berlin")


def recipe(title: str, sandbox: Sandbox) -> dict[str, Any]:
    """The config of that title, with the addresses of the stand-ins and without waiting; nothing else is changed."""
    config: dict[str, Any] = yaml.safe_load(RECIPES[title])
    config["sentrytex"] |= {"base_url": sandbox.sentrytex.url}
    config.setdefault("web", {"listen": "off"})
    addresses = {"slack": ("base_url", sandbox.slack.url), "pagerduty": ("base_url", sandbox.pagerduty.url)}
    for connector in config["connectors"].values():
        key, address = addresses.get(connector["type"], ("url", sandbox.jira.url))
        connector |= {"timeout": "60s", "max_rate": "100/s"}
        if "webhook_url" not in connector:
            connector[key] = address
        if connector["type"] == "jira":
            connector["email"] = sandbox.jira.email
    return config


class Scene:
    """A recipe at work by a clock that is moved by hand, the services' too; it begins at a time in Berlin."""

    def __init__(self, folder: Path, title: str, begin: datetime) -> None:
        self.time = Time()
        self._clock = self.time.clock()
        self.time.pass_(begin.timestamp() - self._clock())
        self.sandbox = Sandbox(clock=lambda: instant(self._clock()), limits=False)
        self._folder, self._title = folder, title

    @contextmanager
    def at_work(self) -> Iterator[Forwarder]:
        with self.sandbox, Store.open_exclusive(self._folder / "forwarder.db") as store:
            written(self._folder, recipe(self._title, self.sandbox))
            config = load(self._folder / "config.yaml", secrets(self.sandbox))
            forwarder = Forwarder(config, store, clock=self._clock)
            forwarder.start(schedule=False)
            # As a daemon does at its start, so that it knows the times before they pass.
            forwarder.life.held.release()
            try:
                yield forwarder
            finally:
                forwarder.stop(5)

    def wait_until(self, moment: datetime, forwarder: Forwarder) -> None:
        """Lets the time pass until then, once nothing is under way, and what is due by then go out."""
        until(lambda: all(row.state.settled or row.state is State.HELD for row in rows(forwarder.store)))
        self.time.pass_(moment.timestamp() - self._clock())
        forwarder.life.held.release()
        for dispatcher in forwarder.dispatchers.values():
            dispatcher.wake()

    def alert(self, number: int, severity: str, **more: Any) -> dict[str, Any]:
        return recent(number, severity=severity, published_at=instant(self._clock()) - timedelta(minutes=1), **more)

    def paged(self) -> set[str]:
        """The numbers of the alerts that have paged somebody."""
        return {str(int(key[-12:])) for key in self.sandbox.pagerduty.incidents}


def test_every_recipe_is_tried() -> None:
    """Each has a test here, but for the chart's values, which are among those of tests/test_chart.py."""
    assert RECIPES.keys() == {"two-teams.yaml", "night.yaml", "weekly.yaml", "values.yaml: replicas", "cron.yaml"}


def test_two_teams(tmp_path: Path, sandbox: Sandbox) -> None:
    """Each alert is in one channel, who must act is pinged, and what is high has a ticket with their component."""
    channels = {sandbox.slack.add_channel(name): name for name in ("web", "data", "secops")}
    written(tmp_path, recipe("two-teams.yaml", sandbox))
    sandbox.sentrytex.publish(
        recent(1, severity="high", affected_vendors=["github"]),
        recent(2, severity="low", affected_vendors=["okta"]),
        recent(3, severity="medium", affected_vendors=["fastly"]),
    )
    done = command(tmp_path, "once", env=secrets(sandbox))
    assert done.returncode == 0, done.stderr
    told = [(channels[message["channel"]], message["pings"]) for message in sandbox.slack.messages]
    assert sorted(told) == [("data", ["@U0ALICE"]), ("secops", []), ("web", ["!subteam^S0DEVTOOLS"])]
    (ticket,) = sandbox.jira.issues.values()
    assert "Website" in str(ticket["fields"]["components"])


def test_the_night(tmp_path: Path) -> None:
    """What is exploited pages at three in the morning, the rest at seven; what is listed meanwhile pages then."""
    scene = Scene(tmp_path, "night.yaml", datetime(2026, 12, 1, 3, tzinfo=BERLIN))
    with scene.at_work() as forwarder:
        scene.sandbox.sentrytex.publish(
            scene.alert(1, "high", cisa_kev=True),
            scene.alert(2, "critical", cisa_kev=False),
            waiting := scene.alert(3, "critical", cisa_kev=False),
        )
        forwarder.poll()
        until(lambda: scene.paged() == {"1"} and len(scene.sandbox.slack.messages) == 3)
        scene.sandbox.sentrytex.update(waiting["id"], cisa_kev=True)
        forwarder.poll()
        until(lambda: scene.paged() == {"1", "3"})
        scene.wait_until(datetime(2026, 12, 1, 7, 1, tzinfo=BERLIN), forwarder)
        until(lambda: scene.paged() == {"1", "2", "3"})


def test_the_week(tmp_path: Path) -> None:
    """Monday's message and ticket have all that is low; what got worse has gone out by itself, and is not among it."""
    scene = Scene(tmp_path, "weekly.yaml", datetime(2026, 12, 1, 10, tzinfo=BERLIN))
    with scene.at_work() as forwarder:
        lows = [scene.alert(number, "low") for number in range(1, 6)]
        scene.sandbox.sentrytex.publish(*lows)
        forwarder.poll()
        scene.sandbox.sentrytex.update(lows[0]["id"], severity="high")
        forwarder.poll()
        until(lambda: len(scene.sandbox.slack.messages) == 1 and len(scene.sandbox.jira.issues) == 1)
        scene.wait_until(datetime(2026, 12, 7, 9, 1, tzinfo=BERLIN), forwarder)
        until(lambda: len(scene.sandbox.slack.messages) == 2 and len(scene.sandbox.jira.issues) == 2)
    digest = str(scene.sandbox.slack.messages[1])
    assert [number for number in range(1, 6) if f"Alert {number}" in digest] == [2, 3, 4, 5]


def test_one_machine() -> None:
    """Every file that is installed is in the repository."""
    page = (DOCS / "recipes.md").read_text("utf-8")
    named = re.findall(r"^\$ install .* ((?:deploy/)?[\w./*-]+) /etc", page, re.MULTILINE)
    assert len(named) == 4
    assert all(list(ROOT.glob(name)) for name in named)


def test_from_cron(tmp_path: Path, sandbox: Sandbox) -> None:
    """The first run tells everything once, the second nothing again."""
    written(tmp_path, recipe("cron.yaml", sandbox))
    env = {**secrets(sandbox), "SLACK_WEBHOOK_URL": sandbox.slack.webhook_url}
    sandbox.sentrytex.publish(recent(1), recent(2, severity="high"), recent(3, severity="low"))
    for _ in range(2):
        done = command(tmp_path, "once", env=env)
        assert done.returncode == 0, done.stderr
    assert len(sandbox.slack.messages) == 2


def test_through_a_proxy_with_an_authority_of_ones_own(tmp_path: Path, sandbox: Sandbox) -> None:
    """The API and each destination are reached through the proxy alone, and trusted by that one file."""
    both = certificate(tmp_path)
    config = settings(sandbox)
    connectors = config["connectors"]
    config["routes"] = [{"to": list(connectors)}]
    sandbox.sentrytex.publish(recent(1))
    asked: list[str] = []
    fronts: dict[int, int] = {}
    with ExitStack() as stack:
        told = [(config["sentrytex"], "base_url"), (connectors["secops"], "base_url")]
        told += [(connectors["oncall"], "base_url"), (connectors["tickets"], "url")]
        for number, (section, key) in enumerate(told, start=1):
            address = urlsplit(section[key])
            assert address.port
            fronts[number] = stack.enter_context(peer(encrypting(both, address.port)))
            section[key] = f"https://{NAME}:{number}{address.path}"
        proxy = stack.enter_context(peer(proxying(fronts, asked)))
        written(tmp_path, config)
        exported = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy}", "SSL_CERT_FILE": str(both)}
        done = command(tmp_path, "once", env={**secrets(sandbox), **exported})
    assert done.returncode == 0, done.stderr
    assert (len(sandbox.slack.messages), len(sandbox.pagerduty.incidents), len(sandbox.jira.issues)) == (1, 1, 1)
    assert {int(line.split()[1].rpartition(":")[2]) for line in asked} == fronts.keys()
