"""The sandbox in another process, and configs that point to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from forwarder.app import Forwarder
from forwarder.common.clock import iso
from forwarder.common.databases import Database, PostgresAddress
from forwarder.config import Config, load
from forwarder.feed.client import FeedClient, RequestBudget


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """The four services of one process, and a client for their control paths."""

    credentials: dict[str, dict[str, str]]
    control: httpx2.Client

    def state(self, service: str) -> dict[str, Any]:
        """What a service holds, as its control path tells it."""
        state: dict[str, Any] = self.control.get(f"{self._origin(service)}/_sandbox/state").json()
        return state

    def publish(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Lets the feed show ``alerts``."""
        self.control.post(f"{self._origin('sentrytex')}/_sandbox/publish", json=list(alerts))

    def path(self, service: str, control: str) -> str:
        """The address of one of a service's control paths."""
        return f"{self._origin(service)}/_sandbox/{control}"

    def received(self) -> dict[str, int]:
        """How many alerts have arrived at each destination."""
        return {
            "slack": len({m["alert_id"] for m in self.state("slack")["messages"] if m["alert_id"]}),
            "pagerduty": len(self.state("pagerduty")["incidents"]),
            "jira": len(self.state("jira")["comments"]),
        }

    def _origin(self, service: str) -> str:
        address = httpx2.URL(self.credentials[service]["url"])
        return f"{address.scheme}://{address.host}:{address.port}"


@contextmanager
def stand_ins(*, latency_ms: int = 0, unlimited: bool = True) -> Iterator[StandIns]:
    """The sandbox in a process of its own, with an artificial latency of each answer."""
    command = [sys.executable, "-m", "forwarder.sandbox", "--latency", f"{latency_ms}ms"]
    process = subprocess.Popen(
        [*command, *(["--unlimited"] if unlimited else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        credentials = json.loads(process.stdout.readline())
        with httpx2.Client(timeout=30.0) as control:
            yield StandIns(credentials=credentials, control=control)
    finally:
        process.terminate()
        process.communicate()


def config_for(
    there: StandIns, folder: Path, *, fast: bool, web: str = '"off"', database: Database = Path("forwarder.db")
) -> Path:
    """Writes a config that sends everything to all three; ``fast`` lifts our own rate and concurrency limits."""
    slack, pagerduty, jira = (there.credentials[name] for name in ("slack", "pagerduty", "jira"))
    quick, quick_jira = ("concurrency: 44, max_rate: null", "concurrency: 128") if fast else ("timeout: 10s",) * 2
    path = folder / "config.yaml"
    path.write_text(
        f"""
sentrytex: {{api_key: {there.credentials["sentrytex"]["token"]}, base_url: "{there.credentials["sentrytex"]["url"]}"}}
connectors:
  secops: {{type: slack, token: {slack["token"]}, channel: "#secops", base_url: "{slack["url"]}", {quick}}}
  oncall: {{type: pagerduty, routing_key: {pagerduty["routing_key"]}, base_url: "{pagerduty["url"]}", {quick}}}
  tickets: {{type: jira, url: "{jira["url"]}", email: {jira["email"]}, token: {jira["token"]}, project: SEC,
    issue_type: Bug, {quick_jira}}}
routes:
  - to: [secops, oncall, tickets]
database: "{database.url if isinstance(database, PostgresAddress) else database}"
web: {{listen: {web}}}
log: {{level: warning}}
"""
    )
    return path


def poll_at_will(forwarder: Forwarder) -> FeedClient:
    """Lifts our own limit of 100 requests a minute, which a measurement would soon reach; returns the new client."""
    settings = forwarder.config.sentrytex
    client = FeedClient(settings.base_url, settings.keys["default"], budget=RequestBudget(limit=1_000_000))
    forwarder.feeds["default"].poller.read_from(client)
    return client


def load_config(path: Path) -> Config:
    return load(path, env={})


GAP = timedelta(seconds=0.1)
SEVERITIES = ("critical", "high", "medium", "low")


def alerts(count: int, *, first: int = 0, of: int | None = None, tenth_critical: bool = False) -> list[dict[str, Any]]:
    """Alerts ``first`` and following of ``of``, of the usual size, published 0.1 s apart and ending now.

    A quarter is of each severity, or, with ``tenth_critical``, a tenth critical and the rest medium.
    """
    now = datetime.now(UTC)
    last = first + count if of is None else of
    made = []
    for number in range(first, first + count):
        tenth = "critical" if number % 10 == 0 else "medium"
        made.append(
            {
                "id": f"00000000-0000-4000-8000-{number:012d}",
                "cve_id": f"CVE-2026-{10000 + number}",
                "title": f"Benchmark alert {number}: a heap overflow in a parser of untrusted input",
                "description": "A crafted file makes the parser write past the end of a buffer. " * 8,
                "severity": tenth if tenth_critical else SEVERITIES[number % 4],
                "cvss_score": 9.8,
                "epss_score": 0.42,
                "published_at": iso(now - (last - number) * GAP),
                "source_urls": [f"https://nvd.nist.gov/vuln/detail/CVE-2026-{10000 + number}"],
                "affected_vendors": ["github", "apache"],
                "cisa_kev": number % 7 == 0,
                "alert_type": "cve",
            }
        )
    return made
