"""Real alerts, each living a life of its own, at every destination beside Slack, PagerDuty and Jira."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from forwarder.alert import Alert
from forwarder.cli.root import group
from forwarder.sandbox import Sandbox
from tests.kit.samples import real_alerts
from tests.kit.thorough import beyond
from tests.torture.world import PATIENCE, TARGET, World

DESTINATIONS: Final = tuple(
    name for name in ("apprise", "email", "github", "jsm", "teams", "webhook") if name in TARGET
)
"""Those that can be used here: Apprise needs its library."""
LIVES: Final = (
    ("opened", "acknowledged"),
    ("opened", "resolved"),
    ("opened", "updated"),
    ("opened", "resolved", "updated"),
)
"""What becomes of an alert, as a webhook is told of it; an update is news for the worse."""
BY_HAND: Final = {"acknowledged": "ack", "resolved": "resolve"}


@pytest.mark.parametrize("count", beyond([8], [8, 200]))
def test_updates_and_responses_arrive_once_at_each_destination(tmp_path: Path, count: int) -> None:
    """Beside the daemon, a person answers and the feed changes its mind; nothing more is told, and nothing less."""
    raws = moved_to_now(distinct(real_alerts())[:count])
    alerts = [Alert.parse(raw) for raw in raws]
    lives = {alert: LIVES[number % len(LIVES)] for number, alert in enumerate(alerts)}
    with Sandbox(limits=False) as sandbox:
        world = World(tmp_path, sandbox, DESTINATIONS, settings={name: {"max_rate": None} for name in DESTINATIONS})
        sandbox.sentrytex.publish(*raws)
        with world.start() as daemon:
            daemon.until(lambda: world.settled(alerts), "all were told", patience=PATIENCE * 3)
            for step in (1, 2):
                for alert, life in lives.items():
                    if len(life) > step:
                        live(world, alert, life[step])
                due = sum(min(len(life), step + 1) for life in lives.values())
                daemon.until(partial(has_come, sandbox, due), "what happened was told")
                daemon.until(world.owes_nothing, "nothing was owed")
            assert daemon.stop() == 0
        for alert, life in lives.items():
            assert told(sandbox, alert) == dict.fromkeys(DESTINATIONS, len(life)), alert.title
            assert [message["type"] for message in sandbox.webhook.about(alert.id)] == [f"alert.{one}" for one in life]
        assert (sandbox.email.conflicts, sandbox.webhook.conflicts, sandbox.teams.failed) == ([], [], [])
        assert len(sandbox.email.mails) == len(sandbox.teams.cards) == len(sandbox.webhook.messages)


def has_come(sandbox: Sandbox, messages: int) -> bool:
    return len(sandbox.webhook.messages) >= messages


def distinct(raws: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One alert of each title: a card has nothing else by which a reader could tell it from another."""
    return list({raw["title"]: raw for raw in raws}.values())


def moved_to_now(raws: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Alerts as if they had been published in the last hour, which can still get worse."""
    now = datetime.now(UTC)
    return [
        {**raw, "cisa_kev": False, "published_at": (now - timedelta(seconds=3600 - number)).isoformat()}
        for number, raw in enumerate(raws)
    ]


def live(world: World, alert: Alert, step: str) -> None:
    """Brings about the next thing in an alert's life."""
    if step == "updated":
        world.sandbox.sentrytex.update(alert.id, cisa_kev=True)
        return
    # In this process: another one for each alert would cost half a second of a core.
    said = CliRunner().invoke(
        group, [BY_HAND[step], alert.id, "--by", "Ada", "-c", str(world.config)], env=world.env, catch_exceptions=False
    )
    assert said.exit_code == 0, said.output


def told(sandbox: Sandbox, alert: Alert) -> Mapping[str, int]:
    """How much was told of an alert at each destination."""
    (issue,) = (one for one in sandbox.github.issues.values() if f"sentrytex-{alert.id}" in one.labels)
    duties = sandbox.jsm.about(f"sentrytex:{alert.id}")
    title = json.dumps(alert.title, ensure_ascii=False)[1:-1]
    counts = {
        "apprise": sum(alert.id in message["text"] for message in sandbox.apprise.messages),
        "email": sum(alert.id in mail.text for mail in sandbox.email.mails),
        "github": 1 + len(issue.comments),
        "jsm": sum(one["count"] + len(one["notes"]) for one in duties),
        "teams": sum(title in json.dumps(card, ensure_ascii=False) for card in sandbox.teams.cards),
        "webhook": len(sandbox.webhook.about(alert.id)),
    }
    return {name: counts[name] for name in DESTINATIONS}
