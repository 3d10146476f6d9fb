"""What the tests of the core share: a steerable time, a scripted connector, configs for the sandbox, real processes."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, Self

import pytest
from ruamel.yaml import YAML

from forwarder.alert import Alert
from forwarder.common.clock import Clock
from forwarder.config import Config, load
from forwarder.connector import (
    Connector,
    ConnectorConfig,
    Delivered,
    Delivery,
    Failed,
    Finding,
    Origin,
    Outcome,
    Payload,
    Receipt,
)
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.store.query_records import DeliveryRow, Filter
from forwarder.store.records import RoutedAlert
from forwarder.testing import alert_json
from tests.kit.processes import FORWARDER, start

PATIENCE: Final = 60.0
"""Seconds that a test waits for what must happen: many more than it takes, for a busy machine is no fault."""
EVERYTHING: Final = {"to": ["oncall", "tickets", "secops"]}
"""A route that sends every alert to all three connectors."""


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Waits until ``condition`` holds; fails where it does not within ``seconds``."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"it did not come about within {seconds:g} seconds")
        time.sleep(pause(waited))


def pause(waited: float) -> float:
    """Seconds until the next look, after so many of waiting: rarer ones leave the cores to what is waited for."""
    return min(max(0.01, waited / 20), 0.05)


@contextmanager
def no_threads() -> Iterator[None]:
    """Meanwhile the system gives this process no further thread, as under a limit on their number.

    Each would need more memory for its stack than there is.
    """
    size = threading.stack_size(2**46)
    try:
        with pytest.raises(RuntimeError):
            threading.Thread(target=print).start()
        yield
    finally:
        threading.stack_size(size)


class Time:
    """The machine's time, moved by hand: ``pass_`` lets time go by, ``step`` sets the wall clock alone.

    By itself it passes as fast as it does, or not at all where it ``stands_still``.
    """

    def __init__(self, *, stands_still: bool = False) -> None:
        self._passed = self._set = 0.0
        self._began = (time.time(), time.monotonic()) if stands_still else None

    def clock(self) -> Clock:
        return Clock(wall=lambda: self._read()[0] + self._set, uptime=lambda: self._read()[1])

    def _read(self) -> tuple[float, float]:
        wall, uptime = self._began or (time.time(), time.monotonic())
        return wall + self._passed, uptime + self._passed

    def pass_(self, seconds: float) -> None:
        self._passed += seconds

    def step(self, seconds: float) -> None:
        self._set += seconds


class ScriptedConfig(ConnectorConfig):
    """The config of a connector that does as the test says."""

    type: Literal["scripted"] = "scripted"


Script = Outcome | Exception | Callable[[Delivery], Outcome]


class Scripted(Connector[ScriptedConfig]):
    """A destination that answers with what is in ``answers``, in their order, and then takes everything.

    ``there`` is what ``find`` answers in the same way, and then nothing. ``sent`` and ``looked`` are what it was asked,
    ``at_once`` the most deliveries that were under way together.
    """

    Config = ScriptedConfig

    def __init__(
        self, name: str = "target", *, reconcile_after: tuple[float, ...] = (), follows: bool = False, **config: Any
    ) -> None:
        super().__init__(name, ScriptedConfig.model_validate(config))
        self.reconcile_after, self.follows_links = reconcile_after, follows
        self.answers: deque[Script] = deque()
        self.there: deque[Receipt | Exception] = deque()
        self.unrenderable: set[str] = set()
        self.sent: list[Delivery] = []
        self.looked: list[Delivery] = []
        self.closed = False
        self.at_once = 0
        self._under_way = 0
        self._lock = threading.Lock()

    @property
    def titles(self) -> list[str]:
        return [delivery.alert.title for delivery in self.sent]

    def render(self, delivery: Delivery) -> Payload:
        if delivery.alert.title in self.unrenderable:
            raise RuntimeError("no form for this")
        return {"title": delivery.alert.title}

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:  # noqa: ARG002 - the contract's signature
        with self._lock:
            self.sent.append(delivery)
            self._under_way += 1
            self.at_once = max(self.at_once, self._under_way)
            answer = self.answers.popleft() if self.answers else receipt
        try:
            if isinstance(answer, Exception):
                raise answer
            return answer(delivery) if callable(answer) else answer
        finally:
            with self._lock:
                self._under_way -= 1

    def find(self, delivery: Delivery) -> Receipt | None:
        self.looked.append(delivery)
        answer = self.there.popleft() if self.there else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def check(self) -> list[Finding]:
        return [Finding(True, "It does as it is told.")]

    def preview(self, payload: Payload) -> str:
        return str(payload["title"])

    def close(self) -> None:
        self.closed = True


def receipt(delivery: Delivery) -> Delivered:
    """What a destination says that took a delivery."""
    return Delivered(Receipt(remote_id=f"at-{delivery.connector}-{delivery.alert.id}"))


def look_failed(outcome: Any) -> Failed:
    return Failed(outcome)


def enqueue(
    store: Store, *alerts: Alert, to: Iterable[str] = ("target",), now: float = 0.0, origin: Origin = Origin.FEED
) -> None:
    """Owes ``alerts`` to connectors, as the poller does."""
    targets = dict.fromkeys(to, "the test says so")
    routed = [RoutedAlert(alert=alert, decision=None, targets=targets) for alert in alerts]
    store.feed.commit_page(routed, now=now or time.time(), origin=origin)


def rows(store: Store, connector: str | None = None, **wanted: Any) -> list[DeliveryRow]:
    """What was and is owed, first owed first."""
    found = store.queries.deliveries(Filter(connector=connector, origin=None, limit=10_000, **wanted))
    return sorted(found, key=lambda row: row.id)


def recent(number: int, *, minutes_ago: float = 1.0, severity: str = "critical", **changes: Any) -> dict[str, Any]:
    """The alert number ``number`` in the API's shape, published lately; all ids differ."""
    published = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return alert_json(
        **{
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "cve_id": f"CVE-2026-{20_000 + number}",
            "title": f"Alert {number}",
            "severity": severity,
            "published_at": published,
            **changes,
        }
    )


def free_port() -> int:
    """A port at which nobody listens, and which the system gives to nobody who asks for any: those are higher."""
    for port in random.SystemRandom().sample(range(15_000, 32_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


@contextmanager
def nobody_listens() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and at which every connection is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def secrets(sandbox: Sandbox) -> dict[str, str]:
    """The environment in which a config finds the sandbox's credentials."""
    return {
        "SENTRYTEX_API_KEY": sandbox.sentrytex.token,
        "SLACK_BOT_TOKEN": sandbox.slack.token,
        "PAGERDUTY_ROUTING_KEY": sandbox.pagerduty.routing_key,
        "JIRA_API_TOKEN": sandbox.jira.token,
    }


def settings(sandbox: Sandbox) -> dict[str, Any]:
    """The config of the design with every address pointed at the sandbox, without the waiting, for slow machines, too.

    A request that takes ten seconds there is no lost one.
    """
    return {
        "sentrytex": {
            "api_key": "${SENTRYTEX_API_KEY}",
            "base_url": sandbox.sentrytex.url,
            "poll_every": "1s",
            "sweep_every": "1h",
        },
        "database": "forwarder.db",
        "connectors": {
            "secops": {
                "type": "slack",
                "token": "${SLACK_BOT_TOKEN}",
                "channel": "#secops",
                "base_url": sandbox.slack.url,
                "timeout": "60s",
                "max_rate": "100/s",
            },
            "oncall": {
                "type": "pagerduty",
                "routing_key": "${PAGERDUTY_ROUTING_KEY}",
                "base_url": sandbox.pagerduty.url,
                "timeout": "60s",
                "max_rate": "100/s",
            },
            "tickets": {
                "type": "jira",
                "url": sandbox.jira.url,
                "email": sandbox.jira.email,
                "token": "${JIRA_API_TOKEN}",
                "project": "SEC",
                "issue_type": "Bug",
                "priority": {"critical": "Highest", "high": "High", "medium": "Medium", "low": "Low"},
                "due_in": {"critical": "2d", "high": "7d"},
                "labels": ["security"],
                "timeout": "60s",
                "reconcile_after": ["200ms", "400ms"],
            },
        },
        "routes": [
            {"severity": "critical", "to": ["oncall", "tickets", "secops"]},
            {"severity": "high", "cisa_kev": True, "to": ["oncall"]},
            {"severity": ["high", "medium"], "to": ["tickets", "secops"]},
        ],
        "web": {"listen": "off"},
        "log": {"format": "json"},
    }


def written(folder: Path, config: Mapping[str, Any], name: str = "config.yaml") -> Path:
    """``config`` as a file in ``folder``."""
    path = folder / name
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(deepcopy(dict(config)), file)
    return path


def loaded(folder: Path, sandbox: Sandbox, config: Mapping[str, Any] | None = None) -> Config:
    """``config`` (or the sandbox's) written, and read as the forwarder reads it."""
    return load(written(folder, settings(sandbox) if config is None else config), secrets(sandbox))


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a process needs from its environment, and ``extra``."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ} | dict(extra)


def command(
    folder: Path, *args: str, env: Mapping[str, str] | None = None, anew: bool = False
) -> subprocess.CompletedProcess[str]:
    """One command of `forwarder` in a process of its own, run to its end in ``folder``."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(FORWARDER, args, folder=folder, env=environment(env or {}), out=out, err=err, anew=anew)
        try:
            status = process.wait(PATIENCE * 2)
        finally:
            process.kill()
            process.wait()
        told = [(file.seek(0), file.read().decode())[1] for file in (out, err)]
    return subprocess.CompletedProcess(args, status, *told)


class Process:
    """A command, `forwarder run` for one, as a real process in ``folder``, from ``with`` to its end.

    ``log`` is what it wrote.
    """

    def __init__(
        self, folder: Path, env: Mapping[str, str], *args: str, command: str = "run", anew: bool = False
    ) -> None:
        self._path = folder / f"log-{time.monotonic_ns()}.txt"
        with self._path.open("wb") as log:
            self._process = start(
                FORWARDER, [command, *args], folder=folder, env=environment(env), out=log, err=log, anew=anew
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._path.read_text("utf-8")

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of the log, but for one that is still being written."""
        lines = self.log.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.events if line["event"] == event]

    def until_started(self) -> Self:
        until(lambda: self.logged("started") or self._process.poll() is not None)
        assert self._process.poll() is None, self.log
        return self

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Lets it stand still, and returns once it does."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        """Ends it as a power cut does."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def stop(self) -> int:
        """Asks it to end, and returns its exit status."""
        self._process.terminate()
        return self._process.wait(PATIENCE * 2)

    def ended(self) -> int:
        """Waits for its own end, and returns its exit status."""
        return self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()
