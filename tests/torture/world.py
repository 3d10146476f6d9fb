"""A daemon's world: a folder with its config and database, the services, and what must stand there in the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from forwarder.alert import Alert
from forwarder.connector import Kind
from forwarder.sandbox import Sandbox
from forwarder.store import Store, StoreError
from forwarder.store.query_records import Filter
from forwarder.store.records import State
from forwarder.testing import Target
from tests.kit.contract import BY_TEXT, TARGETS
from tests.kit.core import command, pause
from tests.kit.processes import LAUNCHER, Started, start
from tests.torture.points import Point

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 60.0
"""Seconds for what takes one or two on an idle machine."""
TARGET: Final[Mapping[str, Target[Sandbox]]] = {target.name: target for target in (*TARGETS, *BY_TEXT)}

_LOOKS: Final = {"reconcile_after": ["100ms", "400ms"]}
HASTE: Final[Mapping[str, Mapping[str, Any]]] = {
    "slack-token": {**_LOOKS, "max_rate": None},
    # One under way at a time, so that a kill can repeat one message at most.
    "slack-webhook": {"max_rate": None, "concurrency": 1},
    "teams": {"max_rate": None, "concurrency": 1},
    "pagerduty": {"max_rate": None},
    "jira-cloud": _LOOKS,
    "jira-data-center": _LOOKS,
    "jira-cloud-text": _LOOKS,
    "jira-data-center-text": _LOOKS,
    "github": {**_LOOKS, "max_rate": None},
    "jsm": {"max_rate": None},
    "webhook": {},
    "email": {},
    "apprise": {"max_rate": None, "concurrency": 1},
}
"""Settings by which each connector comes to its end quickly: a thousand kills must not take a day."""

_SECRET_KEYS: Final = (
    *("token", "app_token", "api_token", "webhook_url", "routing_key", "api_key", "signing_key", "url", "password"),
)


def jira_name(*, cloud: bool, text: bool) -> str:
    """The target that is Jira's connector to that kind of site, with tickets found by their ``text`` or by a label."""
    return f"jira-{'cloud' if cloud else 'data-center'}{'-text' if text else ''}"


@dataclass(kw_only=True)
class Tally:
    """What became of a number of alerts at one connector. ``arrived`` counts repeats too."""

    alerts: int = 0
    arrived: int = 0
    lost: int = 0
    twice: int = 0
    dead: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})


@dataclass(kw_only=True)
class Running:
    """A daemon's process."""

    process: Started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait(self, seconds: float) -> int | None:
        """The exit status, None where it still runs after so long."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def until(self, what: Callable[[], object], reason: str = "", patience: float = PATIENCE) -> None:
        """Waits until ``what`` holds; raises AssertionError where the process ends before, or the patience does."""
        began = time.monotonic()
        while not what():
            waited = time.monotonic() - began
            status = self.wait(pause(waited))
            assert status is None, f"the daemon ended with {status} before {reason or what}"
            assert waited < patience, f"in vain: {reason or what}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ends it as a service manager does, and returns its exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


class World:
    """One folder and one sandbox, and a config in which each alert goes to all connectors.

    ``names`` are the connectors, named as the contract's targets; ``settings`` are added to each connector's, ``more``
    to the config's own. The config holds no secret: all of them come from the environment, as ``env`` has them.
    """

    def __init__(
        self,
        folder: Path,
        sandbox: Sandbox,
        names: Iterable[str],
        *,
        settings: Mapping[str, Mapping[str, Any]] = HASTE,
        database: Path | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.targets = {name: TARGET[name] for name in names}
        self.env: dict[str, str] = {}
        self.database = database or folder / "forwarder.db"
        self.log = folder / "daemon.log"
        self.config = folder / "config.yaml"
        connectors = {
            name: self._hidden(name, {"type": target.kind, **target.config(sandbox), **settings.get(name, {})})
            for name, target in self.targets.items()
        }
        feed = {"api_key": sandbox.sentrytex.token, "base_url": sandbox.sentrytex.url, "poll_every": "1s"}
        document = {
            "sentrytex": self._hidden("sentrytex", feed),
            "database": str(self.database),
            "connectors": connectors,
            "routes": [{"to": list(connectors)}],
            "web": {"listen": "off"},
            "log": {"level": "debug", "format": "json"},
            **(more or {}),
        }
        # JSON is YAML.
        self.config.write_text(json.dumps(document, indent=1), "utf-8")

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret in any form in which a connector sends it."""
        known = {secret for target in self.targets.values() for secret in target.secrets(self.sandbox)}
        return frozenset(known | {self.sandbox.sentrytex.token})

    def publish(self, count: int = 1, **fields: Any) -> list[Alert]:
        """So many new alerts on the feed, each with a title of its own."""
        raws = [self.draft(**fields) for _ in range(count)]
        self.sandbox.sentrytex.publish(*raws)
        return [Alert.parse(raw) for raw in raws]

    def draft(self, **fields: Any) -> dict[str, Any]:
        """An alert as the API shows it, not yet on the feed."""
        alert_id = str(uuid.uuid4())
        return {
            "id": alert_id,
            "title": f"Trouble {alert_id}",
            "description": "Something is wrong.",
            "severity": "critical",
            "published_at": datetime.now(UTC).isoformat(),
            "affected_vendors": ["github"],
            **fields,
        }

    def start(self, point: Point = Point.NEVER, call: float = 0, **more: Any) -> Running:
        """The daemon as a process, which dies at ``point``; ``more`` is for ``start`` of ``tests/kit/processes.py``.

        A death at any moment may come amid the imports, which a fork has behind it.
        """
        more.setdefault("anew", point is Point.START)
        env = {**os.environ, **self.env, **more.pop("env", {})}
        arguments = [str(self.config), point.value, str(call)]
        with self.log.open("ab") as log:
            return Running(process=start(LAUNCHER, arguments, folder=ROOT, env=env, out=log, err=log, **more))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What another command of the forwarder says meanwhile."""
        return command(ROOT, *arguments, "--config", str(self.config), env=self.env)

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        """The database, as a command beside the daemon sees it."""
        store = Store.open_shared(self.database)
        try:
            yield store
        finally:
            store.close()

    def settled(self, alerts: Iterable[Alert]) -> bool:
        """Whether every alert is known, and delivered or dead at each connector. Links may still be owed."""
        wanted = {(alert.id, name) for alert in alerts for name in self.targets}
        # A daemon that has only begun may not have made its database yet.
        with contextlib.suppress(StoreError), self.store() as store:
            opens = [row for row in store.queries.deliveries(Filter(limit=1_000_000)) if row.kind == Kind.OPEN]
            return wanted <= {(row.alert_id, row.connector) for row in opens if row.state.settled}
        return False

    def owes_nothing(self) -> bool:
        """Whether there is nothing left to do at all."""
        with self.store() as store:
            return store.queries.outstanding(list(self.targets)) == 0

    def tally(self, alerts: Iterable[Alert]) -> dict[str, Tally]:
        """What stands at each destination, against what should."""
        with self.store() as store:
            dead = {
                (row.alert_id, row.connector)
                for row in store.queries.deliveries(Filter(state=State.DEAD, limit=1_000_000))
            }
        tallies = {}
        for name, target in self.targets.items():
            tally = tallies[name] = Tally()
            for alert in alerts:
                count = target.count(self.sandbox, alert)
                is_dead = (alert.id, name) in dead
                tally += Tally(
                    alerts=1, arrived=count, lost=not count and not is_dead, twice=max(count - 1, 0), dead=is_dead
                )
            tallies[name] = tally
        return tallies

    def said(self, text: str) -> bool:
        """Whether the daemon's log holds ``text``."""
        return self.log.exists() and text in self.log.read_text("utf-8")

    def _hidden(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        hidden = dict(values)
        for key in _SECRET_KEYS:
            if key in hidden:
                variable = f"{name}_{key}".upper().replace("-", "_")
                self.env[variable] = hidden[key]
                hidden[key] = f"${{{variable}}}"
        if headers := hidden.get("headers"):
            for number, (header, value) in enumerate(headers.items()):
                self.env[f"HEADER_{number}"] = value
                hidden["headers"] = {**hidden["headers"], header: f"${{HEADER_{number}}}"}
        return hidden


def assert_exactly_once(world: World, alerts: Iterable[Alert]) -> None:
    """Each alert stands once at every destination."""
    wrong = {
        name: tally for name, tally in world.tally(list(alerts)).items() if tally.lost or tally.twice or tally.dead
    }
    assert not wrong, wrong
