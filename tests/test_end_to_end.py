"""The whole of it as users run it: the design's config, real alerts, the real SDKs, and everything that can fail."""

from __future__ import annotations

import base64
import io
import json
import signal
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from forwarder.app import Forwarder
from forwarder.logs import Redactor, configure
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.samples import sample_alerts
from forwarder.store import Store
from forwarder.store.query_records import DeliveryRow
from forwarder.store.records import State
from tests.kit.core import (
    EVERYTHING,
    PATIENCE,
    Process,
    Time,
    command,
    environment,
    loaded,
    recent,
    rows,
    secrets,
    settings,
    until,
    written,
)
from tests.kit.processes import LAUNCHER, start
from tests.kit.samples import real_alerts
from tests.kit.thorough import beyond
from tests.torture.points import Point

ROUTED = {
    "critical": {"oncall", "tickets", "secops"},
    "high": {"tickets", "secops"},
    "medium": {"tickets", "secops"},
    "low": set[str](),
}
"""Where the config of the tests sends each severity; `oncall` also gets a high one on KEV."""


def expected(alerts: list[dict[str, Any]]) -> Counter[str]:
    """How many alerts each connector must get."""
    return Counter(
        connector
        for alert in alerts
        for connector in ROUTED[alert["severity"]]
        | ({"oncall"} if alert["severity"] == "high" and alert["cisa_kev"] else set())
    )


def moved_to_now(alerts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Alerts as if they had been published one by one in the last hour."""
    now = datetime.now(UTC)
    return [
        {**alert, "published_at": (now - timedelta(seconds=3600 - number)).isoformat()}
        for number, alert in enumerate(alerts)
    ]


def in_store(folder: Path) -> list[DeliveryRow]:
    store = Store.open_shared(folder / "forwarder.db")
    try:
        return rows(store)
    finally:
        store.close()


def delivered(folder: Path, count: int) -> bool:
    opens = [row for row in in_store(folder) if row.kind == "open"]
    assert State.DEAD not in {row.state for row in opens}, [row.last for row in opens if row.state is State.DEAD]
    return sum(row.state is State.DELIVERED for row in opens) == count


def there(sandbox: Sandbox) -> Counter[str]:
    """How often alerts stand at each destination, after checking that none stands there twice."""
    messages = Counter(
        str((message["metadata"] or {}).get("event_payload", {}).get("alert_id")) for message in posts(sandbox)
    )
    labels = Counter(
        label for issue in sandbox.jira.issues.values() for label in issue["fields"]["labels"] if "sentrytex-" in label
    )
    assert set(messages.values()) <= {1}
    assert set(labels.values()) <= {1}
    assert {incident["count"] for incident in sandbox.pagerduty.incidents.values()} <= {1}
    return Counter(
        {"secops": len(messages), "tickets": len(sandbox.jira.issues), "oncall": len(sandbox.pagerduty.incidents)}
    )


def posts(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [message for message in sandbox.slack.messages if message["thread_ts"] is None]


def running(folder: Path, sandbox: Sandbox, config: dict[str, Any] | None = None) -> Process:
    written(folder, config or settings(sandbox))
    return Process(folder, secrets(sandbox)).until_started()


@pytest.mark.parametrize("source", ["real", "samples"])
def test_two_hundred_alerts_arrive_where_the_routes_send_them(tmp_path: Path, sandbox: Sandbox, source: str) -> None:
    """Each once, none refused for its length or form, and a restart sends nothing again."""
    raw = real_alerts()[:200] if source == "real" else sample_alerts(datetime.now(UTC))
    alerts = moved_to_now(raw)
    sandbox.sentrytex.publish(*alerts)
    outstanding = expected(alerts)
    with running(tmp_path, sandbox) as process:
        until(lambda: delivered(tmp_path, outstanding.total()), PATIENCE * 3)
        assert process.stop() == 0
        assert process.logged("rejected") == []
    assert there(sandbox) == outstanding
    notes = [row.last for row in in_store(tmp_path) if row.last]
    assert [note for note in notes if "plain text" in note or "without its" in note] == []
    with running(tmp_path, sandbox, {**settings(sandbox), "log": {"level": "debug", "format": "json"}}) as process:
        until(lambda: process.logged("polled"))
        assert process.stop() == 0
    assert there(sandbox) == outstanding


def test_a_burst_between_two_polls_arrives_whole(tmp_path: Path, sandbox: Sandbox) -> None:
    """350 alerts of mixed severity are more than the API shows at once; a late one behind the cursor comes too."""
    severities = ("critical", "high", "medium", "low")
    sandbox.sentrytex.publish(recent(0, minutes_ago=30))
    config = settings(sandbox)
    config["routes"] = [{"to": ["oncall"]}]
    config["connectors"]["oncall"] |= {"max_rate": "1000/s", "concurrency": 8}
    with running(tmp_path, sandbox, config) as process:
        until(lambda: len(sandbox.pagerduty.incidents) == 1)
        sandbox.sentrytex.publish(
            *(recent(number, severity=severities[number % 4], minutes_ago=1) for number in range(1, 351))
        )
        until(lambda: len(sandbox.pagerduty.incidents) == 351, PATIENCE * 3)
        sandbox.sentrytex.publish(recent(400, minutes_ago=45))
        until(lambda: len(sandbox.pagerduty.incidents) == 352)
        assert process.stop() == 0
        assert [line for line in process.logged("alarm") if line["alarm"] == "gap"] == []


def test_destinations_that_fail_get_everything_in_the_end_and_once(tmp_path: Path, sandbox: Sandbox) -> None:
    """Rate limits, server errors and lost answers cost time, and no alert; and no log tells a secret."""
    post, create = "chat.postMessage", "POST /rest/api/3/issue"
    sandbox.slack.inject(
        Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "1"}, path=post, times=2),
        Fault(kind=FaultKind.STATUS, status=503, path=post, times=2),
        Fault(kind=FaultKind.RESET_AFTER, path=post),
    )
    sandbox.pagerduty.inject(
        Fault(kind=FaultKind.STATUS, status=500, path="enqueue", times=3),
        Fault(kind=FaultKind.HTML, path="enqueue"),
    )
    sandbox.jira.inject(
        Fault(kind=FaultKind.RESET_AFTER, path=create, times=2),
        Fault(kind=FaultKind.TRUNCATED, path=create),
        Fault(kind=FaultKind.STATUS_AFTER, status=503, path=create),
    )
    config = {**settings(sandbox), "routes": [EVERYTHING]}
    sandbox.sentrytex.publish(*(recent(number) for number in range(20)))
    hours, store, log, redactor = Time(), Store.open_exclusive(tmp_path / "forwarder.db"), io.StringIO(), Redactor()
    configure("debug", "json", stream=log, redactor=redactor)
    forwarder = Forwarder(loaded(tmp_path, sandbox, config), store, clock=hours.clock(), redactor=redactor)
    forwarder.start(schedule=False)
    forwarder.poll()

    def delivered_as_time_goes_by() -> bool:
        hours.pass_(0.5)
        for dispatcher in forwarder.dispatchers.values():
            dispatcher.wake()
        opens = [row for row in rows(store) if row.kind == "open"]
        return len(opens) == 60 and all(row.state is State.DELIVERED for row in opens)

    until(delivered_as_time_goes_by, PATIENCE * 2)
    assert forwarder.stop()
    store.close()
    structlog.reset_defaults()
    assert there(sandbox) == Counter({"secops": 20, "oncall": 20, "tickets": 20})
    assert {"rate_limited", "retry", "uncertain", "delivered"} <= {
        json.loads(line)["event"] for line in log.getvalue().splitlines()
    }
    assert "exception" not in log.getvalue()
    assert [secret for secret in hidden(sandbox) if secret in log.getvalue()] == []


def hidden(sandbox: Sandbox) -> list[str]:
    """Every form in which a credential travels."""
    given = list(secrets(sandbox).values())
    pair = f"{sandbox.jira.email}:{sandbox.jira.token}"
    return [*given, base64.b64encode(pair.encode()).decode()]


def test_a_revoked_token_delays_nobody_else_and_its_queue_goes_out_later(tmp_path: Path, sandbox: Sandbox) -> None:
    """After the token is put right, a restart brings what waited."""
    sandbox.slack.revoke()
    sandbox.sentrytex.publish(*(recent(number) for number in range(5)))
    config = {**settings(sandbox), "routes": [EVERYTHING], "alarms": {"to": ["oncall", "secops"]}}
    with running(tmp_path, sandbox, config) as process:
        until(lambda: len(sandbox.jira.issues) == 5 and len(sandbox.pagerduty.incidents) == 6)
        until(lambda: process.logged("broken"))
        assert process.stop() == 0
        assert [line["alarm"] for line in process.logged("alarm")] == ["paused"]
        # Each may meet the revoked token once, together or as a probe; after that it is asked no more for a minute.
        asked = [seen for seen in sandbox.slack.requests if "postMessage" in seen.path]
        assert len(asked) <= 5
    assert sandbox.slack.messages == []
    sandbox.slack.restore()
    with running(tmp_path, sandbox, config) as process:
        until(lambda: len(posts(sandbox)) == 5)
        until(lambda: process.logged("alarm_ended"))
        assert process.stop() == 0


def killed(folder: Path, sandbox: Sandbox, point: Point, call: int) -> bool:
    """Whether the daemon, run in ``folder`` until it dies at a point of its path, came that far in time."""
    arguments = ["config.yaml", point.value, str(call)]
    with (folder / "log.txt").open("ab") as log:
        process = start(LAUNCHER, arguments, folder=folder, env=environment(secrets(sandbox)), out=log, err=log)
    try:
        return process.wait(PATIENCE) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()


def about_a_pause(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [incident for key, incident in sandbox.pagerduty.incidents.items() if "alarm-paused" in key]


def paused_channel(folder: Path, sandbox: Sandbox) -> dict[str, Any]:
    """A config and services by which the first delivery pauses the channel, and the pager hears of it."""
    sandbox.slack.revoke()
    sandbox.sentrytex.publish(recent(1))
    config = {**settings(sandbox), "routes": [{"to": ["secops"]}], "alarms": {"to": ["oncall", "secops"]}}
    # A kill while it was sent must not have it looked for only seconds later.
    config["connectors"]["secops"]["reconcile_after"] = ["100ms", "200ms"]
    written(folder, config)
    return config


def test_a_kill_between_a_pause_and_its_alarm_loses_no_alarm(tmp_path: Path, sandbox: Sandbox) -> None:
    """The pause is committed, the process dies before anybody is told, and the next one tells."""
    config = paused_channel(tmp_path, sandbox)
    assert killed(tmp_path, sandbox, Point.SETTLE, 1)
    assert sandbox.pagerduty.incidents == {}
    with running(tmp_path, sandbox, config) as process:
        until(lambda: about_a_pause(sandbox))
        assert process.stop() == 0
    assert len(about_a_pause(sandbox)) == 1


@pytest.mark.parametrize("calls", beyond([(3, 6, 9)], [(3, 6, 9), (*range(3, 10),)]), ids=["some", "all"])
def test_kills_at_every_write_tell_of_a_pause_once(tmp_path: Path, sandbox: Sandbox, calls: Sequence[int]) -> None:
    """Whatever is half done when the process dies, one incident is made, and it is resolved in the end."""
    config = paused_channel(tmp_path, sandbox)
    for call in calls:
        assert killed(tmp_path, sandbox, Point.WRITE, call), call
    with running(tmp_path, sandbox, config) as process:
        until(lambda: about_a_pause(sandbox))
        assert process.stop() == 0
    assert len(about_a_pause(sandbox)) == 1
    sandbox.slack.restore()
    with running(tmp_path, sandbox, config) as process:
        until(lambda: about_a_pause(sandbox)[0]["status"] == "resolved")
        assert process.stop() == 0
    assert len(about_a_pause(sandbox)) == 1
    assert len(posts(sandbox)) == 1


def wordpress(number: int, **changes: Any) -> dict[str, Any]:
    return recent(number, severity="low", affected_vendors=["wordpress"], **changes)


def quiet(folder: Path) -> int:
    """How many alerts a mute keeps from going out."""
    with Store.open_shared(folder / "forwarder.db") as store:
        return store.mutes.count()


def muting(sandbox: Sandbox, *mutes: dict[str, str]) -> dict[str, Any]:
    """A config that sends everything to the channel, with ``mutes``."""
    config = {**settings(sandbox), "routes": [{"to": ["secops"]}], "mutes": list(mutes)}
    # A kill while it was sent must not have it looked for only seconds later.
    config["connectors"]["secops"]["reconcile_after"] = ["100ms", "200ms"]
    return config


def test_a_muted_vendor_is_quiet_beside_a_running_daemon(tmp_path: Path, sandbox: Sandbox) -> None:
    """A hundred alerts stay quiet; one that joins KEV goes out at once, and the others when a person ends the mute."""
    with running(tmp_path, sandbox, muting(sandbox)) as process:
        mute = ("mute", "--vendor", "wordpress", "--for", "7d", "--reason", "not in use any more", "--by", "Ada")
        assert command(tmp_path, *mute, env=secrets(sandbox)).returncode == 0
        sandbox.sentrytex.publish(*(wordpress(number) for number in range(100)), recent(100))
        until(lambda: quiet(tmp_path) == 100 and len(posts(sandbox)) == 1)
        listed = json.loads(command(tmp_path, "mutes", "--json", env=secrets(sandbox)).stdout)
        assert [(one["quiet"], one["reason"], one["by"]) for one in listed] == [(100, "not in use any more", "Ada")]
        sandbox.sentrytex.publish(wordpress(7, cisa_kev=True))
        until(lambda: len(posts(sandbox)) == 2)
        assert quiet(tmp_path) == 99
        ended = command(tmp_path, "unmute", "1", env=secrets(sandbox))
        assert "99 alerts go out now" in ended.stdout
        until(lambda: delivered(tmp_path, 101))
        assert process.stop() == 0
    assert there(sandbox) == Counter({"secops": 101})
    assert quiet(tmp_path) == 0


@pytest.mark.parametrize("calls", beyond([(2, 6, 30)], [(2, 6, 30), (1, 2, 3, 4, 6, 9, 30)]), ids=["some", "all"])
def test_kills_while_a_mute_ends_lose_nothing_and_repeat_nothing(
    tmp_path: Path, sandbox: Sandbox, calls: Sequence[int]
) -> None:
    """The config loses the mute; whatever is half done when the process dies, each alert arrives once."""
    mute = {"vendors": "wordpress", "until": "2100-01-01", "reason": "not in use any more"}
    with running(tmp_path, sandbox, muting(sandbox, mute)) as process:
        sandbox.sentrytex.publish(*(wordpress(number) for number in range(100)))
        until(lambda: quiet(tmp_path) == 100)
        process.kill()
    written(tmp_path, muting(sandbox))
    for call in calls:
        assert killed(tmp_path, sandbox, Point.WRITE, call), call
    with running(tmp_path, sandbox, muting(sandbox)) as process:
        until(lambda: delivered(tmp_path, 100))
        assert process.stop() == 0
    assert there(sandbox) == Counter({"secops": 100})
    assert quiet(tmp_path) == 0
