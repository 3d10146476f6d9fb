"""A config that asks for nothing of an alert's life sends what was sent before there was one, and nothing else.

What was sent before is in ``plain_requests.json``: commit f93a199, the last one before it, sent that by the same steps.
"""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from forwarder.app import Forwarder
from forwarder.common.clock import Clock
from forwarder.sandbox import Sandbox, Seen
from forwarder.store import Store
from forwarder.store.records import State
from tests.kit.core import loaded, recent, rows, settings, until

BEFORE: Final = json.loads(Path(__file__).with_name("plain_requests.json").read_text("utf-8"))
START: Final = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
A_WHILE: Final = 300.0
"""Seconds in which everything periodic comes due, and that are no reason for an alarm."""

VENDORS: Final = {"secops": "apache", "oncall": "gitlab", "tickets": "fortinet"}
"""Each connector gets the alerts of one vendor, so that none waits for another one's link."""

RISE: Final = [
    ["GET", "/rest/api/3/issue/SEC-1", {"fields": "priority,duedate", "expand": "changelog"}, None],
    ["PUT", "/rest/api/3/issue/SEC-1", {}, {"fields": {"priority": {"name": "Highest"}, "duedate": "a day"}}],
]
"""What Jira is sent since then: priority and due date of a ticket follow a severity that rises, where both are set."""


WAVES: Final[list[dict[str, Any]]] = [
    {"severity": "high"},
    {"severity": "critical"},
    {"severity": "critical", "cvss_score": 5.0},
]
"""New alerts, worse news, and a small change."""


class Hands:
    """A clock that somebody else moves."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(START.timestamp() + self.passed, UTC)

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.now().timestamp(), uptime=lambda: self.passed)


def test_a_plain_config_sends_what_it_always_sent(tmp_path: Path) -> None:
    """New alerts, worse news and a small change, and a while in which everything periodic comes due."""
    now = requests_of(tmp_path, plain={"evidence": False}, plain_jira={"sync_every": "off"})
    made = [request for request in now["jira"] if request not in RISE]
    assert now | {"jira": made} == BEFORE
    assert [request for request in now["jira"] if request in RISE] == RISE


def requests_of(folder: Path, *, plain: dict[str, Any], plain_jira: dict[str, Any]) -> dict[str, list[Any]]:
    """What each service is asked: every request in its order, but of the feed each kind of request once."""
    hands = Hands()
    with Sandbox(clock=hands.now, limits=False) as sandbox:
        config = settings(sandbox)
        config["sentrytex"] |= {"poll_every": "30s", "sweep_every": "4m", **plain}
        config["connectors"]["tickets"] |= plain_jira
        config["routes"] = [{"vendors": [vendor], "to": [name]} for name, vendor in VENDORS.items()]
        for name in ("secops", "oncall"):
            config["connectors"][name]["max_rate"] = None
        with closing(Store.open_exclusive(folder / "forwarder.db")) as store:
            forwarder = Forwarder(loaded(folder, sandbox, config), store, clock=hands.clock())
            for wave, fields in enumerate(WAVES, start=1):
                publish(sandbox, **fields)
                hands.passed += 31
                if wave == 1:
                    forwarder.start()
                until(partial(settled, store, wave))
            hands.passed += A_WHILE
            until(lambda: store.feed.state().swept_at == hands.now().timestamp())
            forwarder.stop(5)
        told: dict[str, list[Any]] = {
            one.name: [_plainly(seen) for seen in one.requests] for one in sandbox.services if one.requests
        }
        told["sentrytex"] = sorted({json.dumps(request) for request in told["sentrytex"]})
        found: dict[str, list[Any]] = json.loads(_unlike_each_time(json.dumps(told), sandbox))
        return found


def publish(sandbox: Sandbox, **fields: Any) -> None:
    """One alert for each connector."""
    for number, vendor in enumerate(VENDORS.values(), start=1):
        sandbox.sentrytex.publish(recent(number, published_at=START, affected_vendors=[vendor], **fields))


def settled(store: Store, waves: int) -> bool:
    """Whether every connector has got so many deliveries."""
    states = [row.state for row in rows(store)]
    return states == [State.DELIVERED] * waves * len(VENDORS)


def _plainly(seen: Seen) -> list[Any]:
    query = {name: value for name, value in seen.query.items() if name != "since"}
    return [seen.method, seen.path, query, _value(seen.body.decode())]


def _value(text: str) -> Any:
    """What a body says, in JSON or as a form whose fields may hold JSON."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return {name: _value(value) for name, value in parse_qsl(text)} or text


def _unlike_each_time(text: str, sandbox: Sandbox) -> str:
    """Without what is another one each time: the stand-ins' ports, and the day that the machine's calendar says."""
    text = re.sub(r'"duedate": "\d{4}-\d\d-\d\d"', '"duedate": "a day"', text)
    for service in sandbox.services:
        text = text.replace(service.origin, f"http://{service.name}")
    return text
