"""One trouble, one truth: the page, `forwarder status`, the log and the notifications agree on it, and on its end."""

from __future__ import annotations

import io
import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import httpx2
import pytest

from forwarder.alarms.feeds import UNREAD_AFTER
from forwarder.alarms.findings import DAY
from forwarder.app import Forwarder
from forwarder.config import Listen
from forwarder.daemon import note_start
from forwarder.feed.client import SentrytexError
from forwarder.jobs import REVIEW_EVERY
from forwarder.logs import Redactor, configure
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store.records import State
from forwarder.web.server import Server, bind
from tests.kit.core import PATIENCE, Process, Time, free_port, loaded, recent, rows, secrets, settings, until
from tests.kit.desk import Desk
from tests.kit.thorough import beyond
from tests.kit.web import words

ALL: Final = ("secops", "oncall", "tickets")
CALM: Final = ("All is well", "Working:")
"""How the page begins where nothing is to be done."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the four places say at one moment. ``status`` is what programs read, ``printed`` what people do."""

    page: str
    status: dict[str, Any]
    printed: str
    log: str
    notified: dict[str, str]

    def state_of(self, connector: str) -> str:
        (state,) = [one["state"] for one in self.status["connectors"] if one["name"] == connector]
        return str(state)

    def alarms(self) -> list[tuple[str, str]]:
        return [(alarm["type"], alarm["subject"]) for alarm in self.status["alarms"]]


class Scene:
    """The forwarder with all three connectors, its page, and a time that is moved by hand, from ``with`` on.

    The database says that this process is its daemon.
    """

    def __init__(self, folder: Path, sandbox: Sandbox, **config: Any) -> None:
        self.folder, self.sandbox, self.hours = folder, sandbox, Time()
        self.desk = Desk(folder, sandbox)
        self.config = {**settings(sandbox), "routes": [{"to": list(ALL)}], "alarms": {"to": list(ALL)}, **config}
        self.log = io.StringIO()

    @contextmanager
    def running(self) -> Iterator[Scene]:
        store = Store.open_exclusive(self.folder / "forwarder.db")
        redactor = Redactor()
        config = loaded(self.folder, self.sandbox, self.config)
        configure("info", "json", stream=self.log, redactor=redactor)
        self.forwarder = Forwarder(config, store, clock=self.hours.clock(), redactor=redactor)
        self.server = Server(self.forwarder, bind(Listen(host="127.0.0.1", port=0)))
        note_start(self.forwarder, self.folder / "config.yaml")
        self.server.start()
        self.forwarder.start(schedule=False)
        try:
            yield self
        finally:
            self.server.close()
            self.forwarder.stop(5)
            store.close()
            configure()

    @property
    def store(self) -> Store:
        return self.forwarder.store

    def turn(self, seconds: float = 0.0) -> None:
        """What the scheduler does once in ``seconds``: it polls, looks for troubles, and all that is due goes out."""
        self.hours.pass_(seconds)
        self.poll()
        self.settle()
        self.forwarder.review_alarms()
        self.settle()

    def poll(self) -> None:
        def work() -> None:
            with suppress(SentrytexError):
                self.forwarder.poll()
                self.forwarder.sweep_if_due()

        self.forwarder._guarded("poll", work)

    def settle(self) -> None:
        for dispatcher in self.forwarder.dispatchers.values():
            dispatcher.wake()
        self.forwarder.deliver_due(0.0, Event())

    def publish(self, *alerts: Any) -> None:
        self.sandbox.sentrytex.publish(*alerts)

    def reload(self, **connectors: dict[str, Any]) -> None:
        """Takes over other settings of some connectors."""
        for name, changes in connectors.items():
            self.config["connectors"][name].update(changes)
        self.forwarder.reload(loaded(self.folder, self.sandbox, self.config))

    def page(self) -> str:
        return sentence_at(self.server.url)

    def told(self) -> Told:
        """What each place says now."""
        return Told(
            page=self.page(),
            status=self.desk.json("status"),
            printed=self.desk.says("status"),
            log=self.log.getvalue(),
            notified=notified(self.sandbox),
        )


def sentence_at(url: str) -> str:
    """The first sentence of the page."""
    answer = httpx2.get(url, headers={"Accept": "text/html"}, timeout=PATIENCE)
    answer.raise_for_status()
    found = re.search(r"<h1>(.*?)</h1>", answer.text, re.DOTALL)
    assert found
    return words(found[1]).replace("&#39;", "'")


def notified(sandbox: Sandbox) -> dict[str, str]:
    """What people were notified of that is no alert of the feed, by connector."""
    incidents = [one for key, one in sandbox.pagerduty.incidents.items() if "alarm" in key]
    tickets = [issue for issue in sandbox.jira.issues.values() if "alarm" in str(issue)]
    messages = [message for message in sandbox.slack.messages if "Forwarder alarm" in message["text"]]
    return {
        "secops": json.dumps(messages),
        "oncall": json.dumps(incidents),
        "tickets": json.dumps(tickets, default=str),
    }


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One trouble: how it is made and ended, and how each place names it.

    ``page`` is in the first sentence, ``title`` in what ``tells`` are notified of within ``within`` seconds, ``alarm``
    the type and connector that status and the log have. ``state`` is the connector's. ``lasts`` is how long after
    its end the last place says that it is over.
    """

    make: Callable[[Scene], None]
    end: Callable[[Scene], None]
    page: str
    alarm: tuple[str, str]
    title: str
    tells: tuple[str, ...]
    within: float
    state: str = ""
    lasts: float = 150.0
    config: Callable[[dict[str, Any]], None] = lambda _: None


def fails(service: str, status: int, path: str = "") -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        fault = Fault(kind=FaultKind.STATUS, status=status, path=path, times=None)
        getattr(scene.sandbox, service).inject(fault)
        scene.publish(recent(1))

    return make


def works(service: str) -> Callable[[Scene], None]:
    return lambda scene: getattr(scene.sandbox, service).clear_faults()


def revoke(service: str) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        getattr(scene.sandbox, service).revoke()
        scene.publish(recent(1))

    return make


def restore(service: str) -> Callable[[Scene], None]:
    return lambda scene: getattr(scene.sandbox, service).restore()


def lose_project(scene: Scene) -> None:
    scene.sandbox.jira.project.key = "GONE"
    scene.publish(recent(1))


def find_project(scene: Scene) -> None:
    scene.sandbox.jira.project.key = "SEC"


def flood(scene: Scene) -> None:
    """More criticals at once than the API shows."""
    scene.publish(recent(0, minutes_ago=5))
    scene.turn()
    scene.publish(*(recent(number, minutes_ago=1 - number / 1000) for number in range(1, 260)))


def dry_up(scene: Scene) -> None:
    """A day later none of them is to be read any more."""
    for one in scene.sandbox.sentrytex.alerts:
        scene.sandbox.sentrytex.withdraw(one["id"])
    a_day(scene)


def quietly(config: dict[str, Any]) -> None:
    config["connectors"]["quiet"] = {"type": "console"}
    config["routes"] = [{"to": ["quiet"]}]


def malform(scene: Scene) -> None:
    item = recent(1)
    del item["id"]
    scene.publish(item)


def named(*connectors: str) -> Callable[[dict[str, Any]], None]:
    """Alarms are for those alone."""
    return lambda config: config.update(alarms={"to": list(connectors)})


def nobody(config: dict[str, Any]) -> None:
    config["routes"] = [{"vendors": ["nobody"], "to": ["tickets"]}]


def retry_dead(scene: Scene) -> None:
    scene.sandbox.jira.clear_faults()
    scene.store.operations.retry([row.id for row in rows(scene.store, state=State.DEAD)], now=scene.forwarder.clock())


def a_day(scene: Scene) -> None:
    scene.hours.pass_(DAY + 60)


TROUBLES: Final = {
    "Slack's token is revoked": Trouble(
        make=revoke("slack"),
        end=restore("slack"),
        page="secops is paused, with 1 critical waiting",
        alarm=("paused", "secops"),
        title="secops is not accepting deliveries",
        tells=("oncall", "tickets"),
        within=REVIEW_EVERY,
        state="paused",
    ),
    "Jira's project is gone": Trouble(
        make=lose_project,
        end=find_project,
        page="tickets is paused, with 1 critical waiting",
        alarm=("paused", "tickets"),
        title="tickets is not accepting deliveries",
        tells=("secops", "oncall"),
        within=REVIEW_EVERY,
        state="paused",
    ),
    "PagerDuty answers 500": Trouble(
        make=fails("pagerduty", 500),
        end=works("pagerduty"),
        page="oncall is failing, with 1 critical waiting",
        alarm=("connector_failing", "oncall"),
        title="oncall fails: nothing arrives there",
        tells=("secops", "tickets"),
        within=120,
        state="failing",
    ),
    "the key is refused": Trouble(
        make=revoke("sentrytex"),
        end=restore("sentrytex"),
        page="the API refuses the key",
        alarm=("key_refused", ""),
        title="The Sentrytex API refuses the key",
        tells=ALL,
        within=REVIEW_EVERY,
    ),
    "the feed answers 500": Trouble(
        make=fails("sentrytex", 500),
        end=works("sentrytex"),
        page="the feed was last read 10m",
        alarm=("feed_unread", ""),
        title="The Sentrytex feed cannot be read",
        tells=ALL,
        within=UNREAD_AFTER + 2 * REVIEW_EVERY,
    ),
    "a gap": Trouble(
        make=flood,
        end=dry_up,
        page="critical alerts may be missing",
        alarm=("gap", ""),
        title="Alerts may never have been seen",
        tells=ALL,
        within=REVIEW_EVERY,
        config=quietly,
    ),
    "a malformed item": Trouble(
        make=malform,
        end=a_day,
        page="the feed contained an item that is not a valid alert",
        alarm=("set_aside", ""),
        title="The feed contains an item that is not a valid alert",
        tells=ALL,
        within=REVIEW_EVERY,
    ),
    "an alert without a route": Trouble(
        make=lambda scene: scene.publish(recent(1)),
        end=a_day,
        page="an alert matched no route",
        alarm=("unrouted", ""),
        title="An alert matched no route",
        tells=ALL,
        within=REVIEW_EVERY,
        config=nobody,
    ),
    "a dead letter": Trouble(
        make=fails("jira", 422, "POST /rest/api/3/issue"),
        end=retry_dead,
        page="tickets has 1 dead letter",
        alarm=("dead_letter", "tickets"),
        title="A delivery to tickets became a dead letter",
        tells=("secops", "oncall"),
        within=REVIEW_EVERY,
        config=named("secops", "oncall"),
    ),
}
USUAL: Final = ("Slack's token is revoked", "the feed answers 500", "a gap", "a dead letter")


@pytest.mark.parametrize("name", beyond(USUAL, TROUBLES))
def test_every_place_tells_the_same_trouble_in_time_and_its_end(tmp_path: Path, sandbox: Sandbox, name: str) -> None:
    """The page's first sentence, `status`, the log, and whom it notifies; none of them says that all is well."""
    trouble = TROUBLES[name]
    scene = Scene(tmp_path, sandbox)
    trouble.config(scene.config)
    with scene.running():
        scene.turn()
        assert scene.told().page.startswith("All is well")
        trouble.make(scene)
        waited = passes_until(scene, lambda: all(trouble.title in notified(sandbox)[one] for one in trouble.tells))
        assert waited <= trouble.within
        told = scene.told()
        assert trouble.page in told.page
        assert not told.page.startswith(CALM)
        assert trouble.alarm in told.alarms()
        assert f"ALARM {' '.join(trouble.alarm)}".strip() in told.printed
        assert logged(told.log, "alarm") == [trouble.alarm]
        if trouble.state:
            assert told.state_of(trouble.alarm[1]) == trouble.state
        trouble.end(scene)
        assert passes_until(scene, lambda: scene.page().startswith("All is well")) <= trouble.lasts
        told = scene.told()
        assert told.alarms() == []
        assert "ALARM" not in told.printed
        assert {one["state"] for one in told.status["connectors"]} <= {"idle", "working"}
        assert logged(told.log, "alarm_ended") == [trouble.alarm]
        assert ended(scene.sandbox, trouble.tells)


def passes_until(scene: Scene, condition: Callable[[], bool], most: float = 1200) -> float:
    """The seconds that pass, with a look at everything as often as the scheduler takes one."""
    waited = 0.0
    scene.turn()
    while not condition():
        assert waited < most, scene.told()
        scene.turn(REVIEW_EVERY)
        waited += REVIEW_EVERY
    return waited


def logged(log: str, event: str) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in log.splitlines()]
    return [(line["alarm"], line["subject"]) for line in lines if line["event"] == event]


def ended(sandbox: Sandbox, tells: tuple[str, ...]) -> bool:
    """Whether those who heard of an alarm heard of its end."""
    incidents = [one["status"] for key, one in sandbox.pagerduty.incidents.items() if "alarm" in key]
    tickets = [issue for issue in sandbox.jira.issues.values() if "alarm" in str(issue)]
    over = {
        "oncall": set(incidents) == {"resolved"},
        "secops": "Resolved" in str(sandbox.slack.messages),
        "tickets": bool(tickets) and all(issue["comments"] for issue in tickets),
    }
    return all(over[one] for one in tells)


def test_a_full_disk_is_told_at_once_by_all_that_can_and_is_past_when_it_is(tmp_path: Path, sandbox: Sandbox) -> None:
    """The database cannot keep the alarm: people are notified as soon as it takes a write again."""
    scene = Scene(tmp_path, sandbox)
    with scene.running():
        scene.turn()
        room(scene, 1)
        scene.publish(*(recent(number, description="x" * 9000) for number in range(5)))
        for waited in (REVIEW_EVERY, 90, 900):
            scene.hours.pass_(waited)
            scene.poll()
            scene.forwarder.review_alarms()
            told = scene.told()
            assert told.page.startswith("This needs you now: the database refuses writes, so new alerts are neither")
            assert "THE DATABASE REFUSES WRITES since" in told.printed
            assert "the disk is full" in told.status["daemon"]["writes_refused"]["reason"]
            assert {one["state"] for one in told.status["connectors"]} == {"stopped"}
            assert '"store_failed"' in told.log
            waits = [one["waiting"] for one in scene.desk.json("deliveries") if one["waiting"]]
            assert {wait["for"] for wait in waits} <= {"no_writes", "sending"}
        room(scene, 1_000_000)
        title = "The database cannot be written"
        assert passes_until(scene, lambda: all(title in text for text in notified(sandbox).values())) <= REVIEW_EVERY
        told = scene.told()
        assert "the database took no writes for" in told.page
        assert "refuses" not in told.page
        assert told.status["daemon"]["writes_refused"] is None
        assert "REFUSES" not in told.printed
        assert told.alarms() == [("store_failed", "")]
        assert {row.state for row in rows(scene.store) if (row.origin, row.kind) == ("feed", "open")} == {
            State.DELIVERED
        }
        scene.hours.pass_(DAY + 60)
        assert passes_until(scene, lambda: scene.page().startswith("All is well")) <= REVIEW_EVERY
        assert scene.told().alarms() == []
        assert ended(sandbox, ALL)


def room(scene: Scene, pages: int) -> None:
    """Lets the database grow to so many pages."""
    scene.store.engine.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())


def test_a_backlog_is_told_with_how_long_it_takes(tmp_path: Path, sandbox: Sandbox) -> None:
    """By the page and by `status`, at once; nothing is wrong, so nobody is notified, and no alarm is in the log."""
    scene = Scene(tmp_path, sandbox, routes=[{"to": ["secops"]}])
    scene.config["connectors"]["secops"]["max_rate"] = "1/s"
    with scene.running():
        scene.turn()
        for start, severity in enumerate(("high", "medium", "low")):
            scene.publish(*(recent(125 * start + number, severity=severity) for number in range(125)))
        scene.poll()
        scene.forwarder.review_alarms()
        until(lambda: sandbox.slack.messages)
        told = scene.told()
        found = re.search(r"something to look at: (\d+) wait for secops: about [56] minutes at 1/s\.$", told.page)
        assert found
        assert re.search(r"^secops: \d+ wait, about [56] minutes at 1/s$", told.printed, re.MULTILINE)
        (secops,) = [one for one in told.status["connectors"] if one["name"] == "secops"]
        assert secops["waiting"] == secops["drains_in_seconds"] == pytest.approx(int(found[1]), abs=60)
        assert secops["state"] == "working"
        assert told.alarms() == logged(told.log, "alarm") == []
        assert not sandbox.pagerduty.incidents
        scene.reload(secops={"max_rate": "1000/s"})
        until(lambda: len(sandbox.slack.messages) == 375)
        scene.turn()
        told = scene.told()
        assert told.page.startswith("All is well")
        assert "wait," not in told.printed
        assert told.state_of("secops") == "idle"


# What takes a process


class Ward:
    """The daemon as a process, with a page, and the commands beside it."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.desk = Desk(folder, sandbox)
        self.desk.config["alarms"] = {"to": list(ALL)}
        self.port = free_port()
        self.desk.config["web"] = {"listen": f"127.0.0.1:{self.port}"}

    @contextmanager
    def running(self) -> Iterator[Process]:
        self.desk.write()
        with Process(self.folder, secrets(self.sandbox)) as process:
            process.until_started()
            until(lambda: self.page().startswith("All is well"))
            yield process

    def page(self) -> str:
        return sentence_at(f"http://127.0.0.1:{self.port}/")

    def verdict(self) -> str:
        """What became of the last reload; people are told before it is written down."""
        reload = self.desk.json("status")["daemon"]["reload"]
        return str(reload and reload["verdict"])

    def status(self) -> tuple[dict[str, Any], str]:
        return self.desk.json("status"), self.desk.says("status")


def test_a_dead_daemon_is_told_by_all_that_are_left(tmp_path: Path, sandbox: Sandbox) -> None:
    """No page answers, `status` says that none runs, and nobody outside hears of it any more; the next one is well."""
    ward = Ward(tmp_path, sandbox)
    with Heartbeats() as beats:
        ward.desk.config["heartbeat"] = {"url": beats.url}
        with ward.running() as process:
            until(lambda: beats.count)
            process.kill()
            with pytest.raises(httpx2.ConnectError):
                ward.page()
            status, printed = ward.status()
            assert status["daemon"]["running"] is False
            assert {one["state"] for one in status["connectors"]} == {"stopped"}
            assert printed.startswith("NO DAEMON RUNS: the last sign of life was at")
            assert process.logged("stopped") == []
            before = beats.count
        sandbox.sentrytex.publish(recent(1))
        with ward.running() as process:
            until(lambda: beats.count > before and sandbox.slack.messages)
            status, printed = ward.status()
            assert status["daemon"]["running"] is True
            assert printed.startswith(f"The daemon runs: process {process.pid}")
            assert process.stop() == 0
            assert process.logged("stopped")


def test_a_refused_reload_is_told_everywhere_and_its_end(tmp_path: Path, sandbox: Sandbox) -> None:
    """With the mistake, by the page, `status` and the log, and to those whom alarms are for."""
    ward = Ward(tmp_path, sandbox)
    title = "The changed config was refused"
    with ward.running() as process:
        good = ward.desk.config["routes"]
        ward.desk.config["routes"] = [{"to": ["nobody"]}]
        ward.desk.write()
        process.signal(signal.SIGHUP)
        until(lambda: all(title in text for text in notified(sandbox).values()))
        assert "the changed config was refused: the old one is still in use" in ward.page()
        until(lambda: ward.verdict() == "refused")
        status, printed = ward.status()
        assert [alarm["type"] for alarm in status["alarms"]] == ["reload_refused"]
        assert "THE CONFIG ON DISK WAS REFUSED" in printed
        mistakes = [str(process.logged("reload_refused")), printed, *notified(sandbox).values()]
        assert all("nobody" in text for text in mistakes)
        ward.desk.config["routes"] = good
        ward.desk.write()
        process.signal(signal.SIGHUP)
        until(lambda: ended(sandbox, ALL) and ward.verdict() == "taken_over")
        assert ward.page().startswith("All is well")
        status, printed = ward.status()
        assert status["alarms"] == []
        assert "REFUSED" not in printed
        until(lambda: process.logged("alarm_ended"))
        assert [line["alarm"] for line in process.logged("alarm_ended")] == ["reload_refused"]
        assert process.stop() == 0


class Heartbeats:
    """An outside monitor that counts who reports to it."""

    def __enter__(self) -> Heartbeats:
        self.count = 0
        monitor = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                monitor.count += 1
                self.send_response(200)
                self.end_headers()

            do_POST = do_HEAD = do_GET  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}/ping"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
