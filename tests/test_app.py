"""The parts put together: the daemon's whole life but for its process, against stand-ins over real HTTP."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder import plugins
from forwarder.app import STANDS_STILL, Forwarder, ReloadRefused
from forwarder.common.clock import Clock
from forwarder.connector import Action, Memory
from forwarder.events import Listener
from forwarder.feed.client import SentrytexError
from forwarder.feed.stack import STACK_EVERY
from forwarder.jobs import RECLAIM_EVERY, REVIEW_EVERY
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store, StoreError
from forwarder.store.engine import Engine
from forwarder.store.feed import FeedStore
from forwarder.store.outbox import Outbox
from forwarder.store.records import Claimed, State
from forwarder.testing import alert
from tests.kit.core import (
    EVERYTHING,
    PATIENCE,
    Scripted,
    Time,
    enqueue,
    loaded,
    no_threads,
    recent,
    rows,
    settings,
    until,
)

HOURS: Final = 7200.0
"""How long a service holds a request that a test lets go."""
YEARS: Final = 5 * 365 * 86400.0
NEW_TICKET: Final = "POST /rest/api/3/issue"
NEW_MESSAGE: Final = "POST /api/chat.postMessage"


@contextmanager
def assembled(
    folder: Path, sandbox: Sandbox, config: dict[str, Any] | None = None, *, kind: type[Store] = Store, **more: Any
) -> Iterator[Forwarder]:
    """A forwarder on the database of ``folder``, not started."""
    store = kind.open_exclusive(folder / "forwarder.db")
    forwarder = Forwarder(loaded(folder, sandbox, config), store, **more)
    try:
        yield forwarder
    finally:
        forwarder.stop(5)
        store.close()


def everything(sandbox: Sandbox, **sentrytex: Any) -> dict[str, Any]:
    """A config that sends every alert to all three connectors."""
    config = settings(sandbox)
    config["routes"] = [EVERYTHING]
    config["sentrytex"].update(sentrytex)
    return config


def all_delivered(forwarder: Forwarder) -> bool:
    return all(row.state is State.DELIVERED for row in rows(forwarder.store))


# Delivering


def test_the_ticket_s_link_gets_into_the_message(tmp_path: Path, sandbox: Sandbox) -> None:
    """The message goes out at once, and is edited once when the ticket exists."""
    hang(sandbox)
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, everything(sandbox), links_after=0.0) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: sandbox.slack.messages and held(sandbox))
        sandbox.jira.let_go()
        until(lambda: sandbox.slack.messages and sandbox.slack.messages[0]["edits"])
        until(lambda: all_delivered(forwarder))
    (message,) = sandbox.slack.messages
    assert len(message["edits"]) == 1
    assert f"{sandbox.jira.url}/browse/SEC-1" not in str(message["edits"])
    assert f"{sandbox.jira.url}/browse/SEC-1" in str(message["attachments"] or message["blocks"])


def test_a_revoked_token_delays_only_its_own_connector(tmp_path: Path, sandbox: Sandbox) -> None:
    """The others go on; the queue waits, and goes out by itself when a probe succeeds."""
    hours = Time()
    sandbox.slack.revoke()
    sandbox.sentrytex.publish(*(recent(number) for number in range(5)))
    config = {**everything(sandbox), "alarms": {"to": ["secops", "oncall"]}}
    with assembled(tmp_path, sandbox, config, clock=hours.clock()) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: len(sandbox.jira.issues) == 5 and len(sandbox.pagerduty.incidents) == 6)
        until(lambda: forwarder.store.outbox.pause_of("secops") is not None)
        assert [alarm.type for alarm in forwarder.store.alarms.active()] == ["paused"]
        until(lambda: set(states(forwarder, "secops")) == {State.READY})
        sandbox.slack.restore()
        hours.pass_(121)
        forwarder.dispatchers["secops"].wake()
        until(lambda: len(sandbox.slack.messages) == 5)
        until(lambda: forwarder.store.alarms.active() == [] and all_delivered(forwarder))
    alarm = next(key for key in sandbox.pagerduty.incidents if "alarm" in key)
    assert sandbox.pagerduty.incidents[alarm]["status"] == "resolved"
    assert len(sandbox.slack.messages) == 5


# Alarms


def incidents(sandbox: Sandbox, about: str) -> list[dict[str, Any]]:
    """What the pager has of alarms of a type."""
    return [incident for key, incident in sandbox.pagerduty.incidents.items() if f"alarm-{about}" in key]


def test_a_critical_without_a_route_behind_a_low_one_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    """The channel hears of it, and the pager is triggered once more, with the worse severity."""
    config = {**settings(sandbox), "routes": [{"vendors": ["nobody"], "to": ["tickets"]}]}
    config["alarms"] = {"to": ["secops", "oncall"]}
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        sandbox.sentrytex.publish(recent(1, severity="low"))
        forwarder.poll()
        until(lambda: incidents(sandbox, "unrouted") and sandbox.slack.messages and all_delivered(forwarder))
        sandbox.sentrytex.publish(recent(2, severity="critical", cisa_kev=True, title="Log4Shell again"))
        forwarder.poll()
        until(lambda: len(sandbox.slack.messages) == 2 and all_delivered(forwarder))
    (incident,) = incidents(sandbox, "unrouted")
    assert [event["payload"]["severity"] for event in incident["events"]] == ["info", "critical"]
    assert "Log4Shell again" in str(incident["events"][1])
    _, reply = sandbox.slack.messages
    assert reply["reply_broadcast"] is True
    assert "Log4Shell again" in str(reply["blocks"])


def test_those_named_while_a_trouble_stands_are_told(tmp_path: Path, sandbox: Sandbox) -> None:
    """Once, after a reload that names them."""
    config = {**settings(sandbox), "routes": [{"to": ["secops"]}]}
    sandbox.slack.revoke()
    sandbox.sentrytex.publish(recent(1, severity="high"))
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: forwarder.store.outbox.pause_of("secops") is not None)
        assert sandbox.pagerduty.incidents == {}
        config["alarms"] = {"to": ["oncall"]}
        forwarder.reload(loaded(tmp_path, sandbox, config))
        forwarder.review_alarms()
        forwarder.review_alarms()
        until(lambda: incidents(sandbox, "paused"))
    (incident,) = incidents(sandbox, "paused")
    assert len(incident["events"]) == 1


def test_owners_are_those_of_the_config_of_now(tmp_path: Path, sandbox: Sandbox) -> None:
    """Each service hears who must act there; a reload changes it for what goes out from then on."""
    config = {**settings(sandbox), "routes": [EVERYTHING]}
    config["owners"] = {
        "github": {"slack": "@dev-tools", "pagerduty": "dev", "jira": {"components": [{"name": "Website"}]}}
    }
    sandbox.sentrytex.publish(recent(1, affected_vendors=["GitHub"]))
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: all_delivered(forwarder))
        config["owners"] = {"github": {"slack": "@bob"}}
        forwarder.reload(loaded(tmp_path, sandbox, config))
        sandbox.sentrytex.publish(recent(2, affected_vendors=["github"]), recent(3, affected_vendors=["okta"]))
        forwarder.poll()
        until(lambda: all_delivered(forwarder))
    assert sorted(message["pings"] for message in sandbox.slack.messages) == [[], ["!subteam^S0DEVTOOLS"], ["@U0BOB"]]
    components = [issue["fields"].get("components") for issue in sandbox.jira.issues.values()]
    assert str(components).count("Website") == 1
    owners = [
        incident["events"][0]["payload"]["custom_details"].get("owner")
        for incident in sandbox.pagerduty.incidents.values()
    ]
    assert sorted(filter(None, owners)) == ["dev"]


FAILS: Final = {
    "cut": Fault(kind=FaultKind.RESET_BEFORE, times=None),
    "500": Fault(kind=FaultKind.STATUS, status=500, times=None),
}
"""How every request to the pager ends."""


@pytest.mark.parametrize("how", FAILS)
def test_a_pager_that_fails_is_told_in_the_channel_within_two_minutes(
    tmp_path: Path, sandbox: Sandbox, how: str
) -> None:
    """A critical alert waits there, and all are named: the others hear of it, once, and of its end."""
    hours = Time()
    config = {**settings(sandbox), "routes": [{"to": ["oncall"]}], "alarms": {"to": ["oncall", "secops", "tickets"]}}
    sandbox.pagerduty.inject(FAILS[how])
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, config, clock=hours.clock()) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: [row for row in rows(forwarder.store) if row.attempts])
        for _ in range(3):
            hours.pass_(REVIEW_EVERY)
            forwarder.poll()
            forwarder.review_alarms()
        until(lambda: len(sandbox.slack.messages) == len(sandbox.jira.issues) == 1)
        (message,) = sandbox.slack.messages
        assert "oncall fails: nothing arrives there" in str(message)
        assert "Alert 1 (critical" in str(message)
        opens = [row for row in rows(forwarder.store) if (row.origin, row.kind) == ("alarm", "open")]
        assert [row.connector for row in opens] == ["secops", "tickets"]
        sandbox.pagerduty.clear_faults()
        hours.pass_(120)
        forwarder.dispatchers["oncall"].wake()
        until(lambda: len(sandbox.pagerduty.incidents) == 1)
        until(lambda: forwarder.store.alarms.active() == [] and all_delivered(forwarder))
    _, reply = sandbox.slack.messages
    assert "Resolved" in reply["text"]
    assert len(sandbox.jira.issues) == 1


def test_where_the_named_channel_s_token_is_revoked_a_critical_alarm_comes_to_the_pager(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    """And says why it came there; a critical alert that waits for the channel makes its pause one."""
    config = {**settings(sandbox), "routes": [{"to": ["secops"]}], "alarms": {"to": ["secops"]}}
    config["connectors"] = {name: config["connectors"][name] for name in ("secops", "oncall")}
    sandbox.slack.revoke()
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: incidents(sandbox, "paused"))
    (incident,) = incidents(sandbox, "paused")
    assert incident["events"][0]["payload"]["severity"] == "critical"
    assert "It came to oncall because no connector that alarms.to names takes it: secops (paused)." in str(incident)


def test_the_dead_letters_of_a_connector_that_was_removed_are_no_alarm(tmp_path: Path, sandbox: Sandbox) -> None:
    """Nobody could end it but by hand: it ends, and the queue is shown as nobody's."""
    config = {**settings(sandbox), "routes": [{"to": ["tickets"]}], "alarms": {"to": ["oncall"]}}
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=422, path="POST /rest/api/3/issue", times=None))
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: incidents(sandbox, "dead_letter"))
        del config["connectors"]["tickets"]
        config["routes"] = [{"to": ["oncall"]}]
        forwarder.reload(loaded(tmp_path, sandbox, config))
        forwarder.review_alarms()
        until(lambda: incidents(sandbox, "dead_letter")[0]["status"] == "resolved")


# Stopping and starting


def test_a_stop_lets_what_is_being_sent_end(tmp_path: Path, sandbox: Sandbox) -> None:
    """It is written down, and nothing stays claimed."""
    sandbox.slack.inject(Fault(kind=FaultKind.DRIP, seconds=0.4, path="chat.postMessage"))
    sandbox.pagerduty.inject(Fault(kind=FaultKind.DRIP, seconds=0.4, path="enqueue"))
    sandbox.jira.inject(Fault(kind=FaultKind.DRIP, seconds=0.4, path="POST /rest/api/3/issue"))
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, everything(sandbox)) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: sandbox.slack.messages and sandbox.pagerduty.incidents and sandbox.jira.issues)
        assert forwarder.stop(PATIENCE)
        assert {row.state for row in rows(forwarder.store) if row.kind == "open"} == {State.DELIVERED}


def test_a_send_that_outlasts_the_stop_is_looked_for_at_the_next_start(tmp_path: Path, sandbox: Sandbox) -> None:
    """The process ends in time; that the remote took it is found out afterwards."""
    sandbox.jira.inject(Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=HOURS, path=NEW_TICKET))
    sandbox.sentrytex.publish(recent(1))
    config = everything(sandbox)
    config["routes"] = [{"to": ["tickets"]}]
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: len(sandbox.jira.issues) == 1)
        assert not forwarder.stop(0.1)
        forwarder.store.close()
        sandbox.jira.let_go()
    with assembled(tmp_path, sandbox, config) as forwarder:
        assert [row.state for row in rows(forwarder.store)] == [State.SENDING]
        forwarder.start(schedule=False)
        assert rows(forwarder.store)[0].state is not State.SENDING
        until(lambda: all_delivered(forwarder))
    assert len(sandbox.jira.issues) == 1


def test_after_a_crash_the_first_look_comes_when_the_connector_says(tmp_path: Path, sandbox: Sandbox) -> None:
    """A search that lags behind must have its time, or a second ticket would be made."""
    sandbox.jira.index_lag = 0.3
    config = everything(sandbox)
    config["routes"] = [{"to": ["tickets"]}]
    config["connectors"]["tickets"]["reconcile_after"] = ["600ms"]
    sandbox.jira.inject(Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=HOURS, path=NEW_TICKET))
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: len(sandbox.jira.issues) == 1)
        forwarder.stop(0)
        forwarder.store.close()
        sandbox.jira.let_go()
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        until(lambda: all_delivered(forwarder))
    assert len(sandbox.jira.issues) == 1


# Reloading


def test_another_config_is_taken_over_while_running(tmp_path: Path, sandbox: Sandbox) -> None:
    """A new connector works, what is owed stays owed, and a removed connector's queue is kept."""
    sandbox.slack.revoke()
    config = settings(sandbox)
    config["routes"] = [{"to": ["secops"]}]
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start()
        sandbox.sentrytex.publish(recent(1))
        until(lambda: forwarder.store.outbox.pause_of("secops") is not None)
        config["routes"] = [{"to": ["pages"]}]
        config["connectors"] = {"pages": config["connectors"]["oncall"]}
        forwarder.reload(loaded(tmp_path, sandbox, config))
        sandbox.sentrytex.publish(recent(2))
        until(lambda: len(sandbox.pagerduty.incidents) == 1)
        assert [row.state for row in rows(forwarder.store, "secops")] == [State.READY]
        until(lambda: all_delivered_to(forwarder, "pages"))


def all_delivered_to(forwarder: Forwarder, connector: str) -> bool:
    return all(row.state is State.DELIVERED for row in rows(forwarder.store, connector))


def test_a_reload_resumes_what_was_put_right(tmp_path: Path, sandbox: Sandbox) -> None:
    """A paused connector is tried at once with its new token."""
    config = settings(sandbox)
    config["connectors"]["secops"]["token"] = "xoxb-not-the-right-token"
    config["routes"] = [{"to": ["secops"]}]
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start()
        until(lambda: forwarder.store.outbox.pause_of("secops") is not None)
        config["connectors"]["secops"]["token"] = sandbox.slack.token
        forwarder.reload(loaded(tmp_path, sandbox, config))
        until(lambda: len(sandbox.slack.messages) == 1)


def test_a_reload_says_where_people_reach_the_page(tmp_path: Path, sandbox: Sandbox) -> None:
    """What is sent after it leads to the alert's own page, and needs no restart for that."""
    config = {**settings(sandbox), "web": {"listen": "127.0.0.1:0"}, "routes": [{"to": ["oncall"]}]}
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        config["web"] = {**config["web"], "public_url": "https://alerts.example.com"}
        forwarder.reload(loaded(tmp_path, sandbox, config))
        sandbox.sentrytex.publish({**recent(1), "id": "a/b"})
        forwarder.poll()
        until(lambda: len(sandbox.pagerduty.incidents) == 1)
        assert "https://alerts.example.com/alerts/a%2Fb" in json.dumps(list(sandbox.pagerduty.incidents.values()))


@pytest.mark.parametrize(("key", "value"), [("database", "other.db"), ("web", {"listen": "127.0.0.1:0"})])
def test_what_needs_a_restart_is_refused_whole(tmp_path: Path, sandbox: Sandbox, key: str, value: Any) -> None:
    """Nothing of such a config is taken over."""
    with assembled(tmp_path, sandbox) as forwarder:
        before = forwarder.config
        forwarder.start(schedule=False)
        other = loaded(tmp_path, sandbox, {**settings(sandbox), key: value, "routes": [EVERYTHING]})
        with pytest.raises(ReloadRefused, match=f"`{key}.* cannot be changed"):
            forwarder.reload(other)
        assert forwarder.config is before
        assert forwarder.feeds["default"].poller.config is before


def test_a_shorter_sweep_counts_from_the_reload(tmp_path: Path, sandbox: Sandbox) -> None:
    """Nobody waits for the sweep that the old config had planned."""
    config = everything(sandbox, sweep_every="1h")
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.poll()
        forwarder.sweep()
        forwarder.start()
        swept = forwarder.store.feed.state().swept_at
        forwarder.reload(loaded(tmp_path, sandbox, everything(sandbox, sweep_every="1s")))
        until(lambda: forwarder.store.feed.state().swept_at != swept)


def test_a_reload_with_another_feed_forgets_the_polls_that_failed(tmp_path: Path, sandbox: Sandbox) -> None:
    """The first failure with the new settings is waited out like a first one, not like the seventh."""
    hours = Time()
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503, path="/alerts", times=None))

    def polls() -> int:
        return len([seen for seen in sandbox.sentrytex.requests if seen.path.endswith("/alerts")])

    def six_polls() -> bool:
        # Longer than any backoff.
        hours.pass_(300)
        return polls() >= 6

    with assembled(tmp_path, sandbox, everything(sandbox), clock=hours.clock(), rng=lambda: 0.0) as forwarder:
        forwarder.start()
        until(six_polls)
        before = polls()
        forwarder.reload(loaded(tmp_path, sandbox, everything(sandbox, poll_every="2s")))
        until(lambda: polls() >= before + 3)


def _run_on(forwarder: Forwarder) -> None:
    forwarder.start()
    forwarder.reload(forwarder.config)


@pytest.mark.parametrize("go_on", [Forwarder.sweep_if_due, _run_on], ids=["once", "run"])
def test_a_clock_set_back_while_stopped_does_not_put_the_sweep_off(
    tmp_path: Path, sandbox: Sandbox, go_on: Callable[[Forwarder], None]
) -> None:
    """What was swept tomorrow, by a clock that was wrong, is swept again now and not a day later."""
    tomorrow = Time()
    tomorrow.step(86400)
    config = everything(sandbox, sweep_every="1h")
    with assembled(tmp_path, sandbox, config, clock=tomorrow.clock()) as forwarder:
        forwarder.poll()
        forwarder.sweep()
    with assembled(tmp_path, sandbox, config) as forwarder:
        go_on(forwarder)
        until(lambda: (forwarder.store.feed.state().swept_at or 0) < forwarder.clock() + 3600)


# Reloading while something is under way


def hang(sandbox: Sandbox, seconds: float = HOURS, times: int | None = 1) -> None:
    """Holds the next tickets at Jira until it lets go."""
    sandbox.jira.inject(Fault(kind=FaultKind.LATENCY, seconds=seconds, path=NEW_TICKET, times=times))


def held(sandbox: Sandbox) -> int:
    """The tickets that have arrived at Jira, and hang there."""
    return sandbox.jira.arrived.count(NEW_TICKET) - len(sandbox.jira.issues)


def sending(forwarder: Forwarder, connector: str) -> int:
    return states(forwarder, connector).count(State.SENDING)


def nobody_leaves(forwarder: Forwarder) -> bool:
    """Whether all that a reload replaced has ended, and was closed."""
    forwarder.tend()
    return not forwarder.leaving


def test_a_reload_waits_for_nobody_whom_it_does_not_concern(tmp_path: Path, sandbox: Sandbox) -> None:
    """While Jira takes its time, the next alert is paged; every dispatcher goes on as it was."""
    hang(sandbox)
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, everything(sandbox), links_after=0.0) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: held(sandbox) and len(sandbox.pagerduty.incidents) == 1)
        before = forwarder.dispatchers
        config = everything(sandbox, sweep_every="2h")
        config["routes"].append({"severity": "low", "to": ["secops"]})
        forwarder.reload(loaded(tmp_path, sandbox, config))
        sandbox.sentrytex.publish(recent(2))
        forwarder.poll()
        until(lambda: len(sandbox.pagerduty.incidents) == 2)
        assert sending(forwarder, "tickets")
        assert forwarder.dispatchers == before
        assert forwarder.leaving == []
        sandbox.jira.let_go()
        until(lambda: all_delivered(forwarder))
    assert len(sandbox.jira.issues) == 2


def test_a_connector_with_other_settings_takes_over_at_once(tmp_path: Path, sandbox: Sandbox) -> None:
    """What its predecessor is sending ends beside it, and nothing is sent twice; then the old client is closed."""
    hang(sandbox)
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, everything(sandbox), links_after=0.0) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: held(sandbox))
        before = forwarder.dispatchers
        for label in ("second", "third"):
            config = everything(sandbox)
            config["connectors"]["tickets"]["labels"] = [label]
            forwarder.reload(loaded(tmp_path, sandbox, config))
        sandbox.sentrytex.publish(recent(2))
        forwarder.poll()
        until(lambda: len(sandbox.jira.issues) == 1)
        assert sending(forwarder, "tickets")
        assert {name for name, known in forwarder.dispatchers.items() if known is before[name]} == {"secops", "oncall"}
        sandbox.jira.let_go()
        until(lambda: all_delivered(forwarder))
        until(lambda: nobody_leaves(forwarder))
    labels = sorted(issue["fields"]["labels"][0] for issue in sandbox.jira.issues.values())
    assert labels == ["security", "third"]


def test_a_reload_in_which_all_changed_loses_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    """In the midst of a burst, again and again, each alert stands once everywhere."""
    with assembled(tmp_path, sandbox, everything(sandbox), links_after=0.0) as forwarder:
        forwarder.start(schedule=False)
        for number in range(8):
            hang(sandbox, 0.2)
            sandbox.sentrytex.publish(*(recent(10 * number + more) for more in range(4)))
            forwarder.poll()
            config = everything(sandbox)
            for name in ("secops", "oncall", "tickets"):
                config["connectors"][name]["give_up_after"] = f"{number + 1}d"
            forwarder.reload(loaded(tmp_path, sandbox, config))
            forwarder.tend()
        until(lambda: all_delivered(forwarder))
        assert all(len(attempts) == 1 for attempts in attempts_of(forwarder))
    counts = [incident["count"] for incident in sandbox.pagerduty.incidents.values()]
    assert (len(sandbox.slack.messages), counts, len(sandbox.jira.issues)) == (32, [1] * 32, 32)


def attempts_of(forwarder: Forwarder) -> Iterator[Any]:
    """The attempts of each first message, page and ticket."""
    for row in rows(forwarder.store):
        history = forwarder.store.queries.history(row.alert_id)
        assert history is not None
        if row.kind == "open":
            yield history.attempts[row.id]


def test_a_connector_that_was_removed_stops_at_once(tmp_path: Path, sandbox: Sandbox) -> None:
    """What it is sending ends, and is written down; what is owed to it stays."""
    hang(sandbox, times=None)
    sandbox.sentrytex.publish(*(recent(number) for number in range(20)))
    with assembled(tmp_path, sandbox, everything(sandbox), links_after=0.0) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        under_way = forwarder.config.connectors["tickets"].concurrency
        until(lambda: held(sandbox) == under_way)
        config = everything(sandbox)
        del config["connectors"]["tickets"]
        config["routes"] = [{"to": ["oncall", "secops"]}]
        forwarder.reload(loaded(tmp_path, sandbox, config))
        assert set(forwarder.dispatchers) == {"oncall", "secops"}
        sandbox.jira.let_go()
        until(lambda: nobody_leaves(forwarder))
        assert sending(forwarder, "tickets") == 0
        assert states(forwarder, "tickets").count(State.DELIVERED) == len(sandbox.jira.issues) == under_way


def test_a_successor_keeps_to_the_rate(tmp_path: Path, sandbox: Sandbox) -> None:
    """However often its settings change, all of them take as long as its rate says."""
    config = everything(sandbox)
    config["routes"] = [{"to": ["secops"]}]
    config["connectors"]["secops"]["max_rate"] = "2/s"
    sandbox.sentrytex.publish(*(recent(number) for number in range(6)))
    began = time.monotonic()
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        for days in range(1, 30):
            before = len(sandbox.slack.messages)
            config["connectors"]["secops"]["give_up_after"] = f"{days}d"
            forwarder.reload(loaded(tmp_path, sandbox, config))
            if days % 5 == 0:
                # The last one may have gone out before.
                until(lambda: len(sandbox.slack.messages) > min(before, 5))  # noqa: B023
        until(lambda: all_delivered(forwarder))
    assert len(sandbox.slack.messages) == 6
    # When each of them arrives says less: a busy machine may hold up one, and not the next.
    assert time.monotonic() - began >= 5 * 0.5


def test_a_successor_waits_as_long_as_the_destination_asked_for(tmp_path: Path, sandbox: Sandbox) -> None:
    """What came with the last answer's Retry-After holds for the new settings, too."""
    config = everything(sandbox)
    config["routes"] = [{"to": ["secops"]}]
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "240"}, path="postMessage"))
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: due(forwarder) > [0.0])
        config["connectors"]["secops"]["give_up_after"] = "2d"
        forwarder.reload(loaded(tmp_path, sandbox, config))
        sandbox.sentrytex.publish(recent(2))
        forwarder.poll()
        until(lambda: forwarder.dispatchers["secops"].is_drained(200))
        assert not forwarder.dispatchers["secops"].is_drained(300)
    assert sandbox.slack.messages == []


def test_what_the_old_settings_led_to_does_not_pause_the_new(tmp_path: Path, sandbox: Sandbox) -> None:
    """A refusal of the old token that comes after the reload is tried with the new one, at once."""
    config = everything(sandbox)
    config["routes"] = [{"to": ["secops"]}]
    config["connectors"]["secops"]["token"] = "xoxb-not-the-right-token"
    sandbox.slack.inject(Fault(kind=FaultKind.LATENCY, seconds=HOURS, path="chat.postMessage"))
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: NEW_MESSAGE in sandbox.slack.arrived)
        config["connectors"]["secops"]["token"] = sandbox.slack.token
        forwarder.reload(loaded(tmp_path, sandbox, config))
        assert sending(forwarder, "secops")
        sandbox.slack.let_go()
        until(lambda: all_delivered(forwarder))
        assert forwarder.store.outbox.pause_of("secops") is None
        until(lambda: forwarder.store.alarms.active() == [])
    assert len(sandbox.slack.messages) == 1


def test_a_paused_connector_stays_paused_over_a_reload(tmp_path: Path, sandbox: Sandbox) -> None:
    """Its successor probes with one delivery, and does not try the whole queue with a token that is refused."""
    config = everything(sandbox)
    config["routes"] = [{"to": ["secops"]}]
    config["connectors"]["secops"]["concurrency"] = 5
    sandbox.slack.revoke()
    # All of them are tried together: one that was not would be a probe by itself, a second later.
    sandbox.slack.inject(Fault(kind=FaultKind.LATENCY, seconds=HOURS, path="chat.postMessage", times=5))
    sandbox.sentrytex.publish(*(recent(number) for number in range(5)))
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: sandbox.slack.arrived.count(NEW_MESSAGE) == 5)
        sandbox.slack.let_go()
        until(lambda: forwarder.store.outbox.pause_of("secops") and not sending(forwarder, "secops"))
        before = len(sandbox.slack.requests)
        config["connectors"]["secops"]["give_up_after"] = "2d"
        forwarder.reload(loaded(tmp_path, sandbox, config))
        until(lambda: (pause := forwarder.store.outbox.pause_of("secops")) and pause.probes)
        assert len(sandbox.slack.requests) == before + 1


def test_a_stop_shares_its_time_with_what_a_reload_left(tmp_path: Path, sandbox: Sandbox) -> None:
    """What a predecessor is sending may end too, and is written down."""
    hang(sandbox)
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, everything(sandbox), links_after=0.0) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: held(sandbox))
        config = everything(sandbox)
        config["connectors"]["tickets"]["labels"] = ["other"]
        forwarder.reload(loaded(tmp_path, sandbox, config))
        assert sending(forwarder, "tickets")

        def let_go() -> None:
            until(lambda: forwarder.stopping)
            sandbox.jira.let_go()

        letting_go = threading.Thread(target=let_go)
        letting_go.start()
        assert forwarder.stop(PATIENCE)
        letting_go.join()
        assert states(forwarder, "tickets") == [State.DELIVERED]
    assert len(sandbox.jira.issues) == 1


def test_a_reload_does_not_wait_for_a_poll_or_a_heartbeat(tmp_path: Path, sandbox: Sandbox) -> None:
    """Both hang, with the old addresses; the new ones are asked as soon as the old poll has ended."""
    monitor = sandbox.pagerduty
    monitor.inject(Fault(kind=FaultKind.STATUS, status=200, path="GET /beat", times=None))
    monitor.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=3, path="GET /old", times=None))
    config = {**everything(sandbox), "heartbeat": {"url": f"{monitor.url}/old-one"}}
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start()
        until(lambda: forwarder.feeds["default"].has_read)
        sandbox.sentrytex.inject(Fault(kind=FaultKind.LATENCY, seconds=HOURS, path="/alerts"))
        until(lambda: not sandbox.sentrytex.faults.pending() and forwarder.feeds["default"].poller._under_way.locked())
        polled = forwarder.store.feed.state().polled_at
        other = everything(sandbox, poll_every="2s")
        other["routes"] = [{"to": ["secops"]}]
        other["heartbeat"] = {"url": f"{monitor.url}/beat"}
        forwarder.reload(loaded(tmp_path, sandbox, other))
        assert forwarder.store.feed.state().polled_at == polled
        sandbox.sentrytex.publish(recent(1))
        sandbox.sentrytex.let_go()
        until(lambda: len(sandbox.slack.messages) == 1)
        until(lambda: [seen for seen in monitor.requests if seen.path == "/beat"])
        until(lambda: forwarder.feeds["default"]._retired == [])


def test_a_connector_that_cannot_be_made_changes_nothing(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another package's class may raise; by then nobody has been stopped, and nothing put in its place."""

    class Impossible(Scripted):
        def __init__(self, name: str, config: Any, texts: Any) -> None:  # noqa: ARG002
            raise RuntimeError("not today")

    with assembled(tmp_path, sandbox, everything(sandbox), links_after=0.0) as forwarder:
        forwarder.start(schedule=False)
        before, dispatchers = forwarder.config, forwarder.dispatchers
        config = everything(sandbox, poll_every="2s")
        config["connectors"]["tickets"]["labels"] = ["other"]
        other = loaded(tmp_path, sandbox, config)
        monkeypatch.setattr(plugins, "load_type", lambda _: Impossible)
        with pytest.raises(RuntimeError, match="not today"):
            forwarder.reload(other)
        assert (forwarder.config, forwarder.feeds["default"].poller.config, forwarder.dispatchers) == (
            before,
            before,
            dispatchers,
        )
        sandbox.sentrytex.publish(recent(1))
        forwarder.poll()
        until(lambda: all_delivered(forwarder))


@pytest.mark.parametrize("reloads", [False, True], ids=["start", "reload"])
def test_a_connector_that_fails_at_its_memory_keeps_none_from_starting(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, reloads: bool
) -> None:
    """Another package's class may raise: it delivers all the same, and so do those that come after it."""

    class Forgetful(Scripted):
        def __init__(self, name: str, config: Any, texts: Any) -> None:  # noqa: ARG002
            super().__init__(name)

        def remember(self, memory: Memory) -> None:  # noqa: ARG002
            raise RuntimeError("not today")

    config = everything(sandbox)
    with assembled(tmp_path, sandbox, config, links_after=0.0) as forwarder:
        if reloads:
            forwarder.start(schedule=False)
            config["connectors"]["oncall"]["timeout"] = config["connectors"]["tickets"]["timeout"] = "9s"
        monkeypatch.setattr(plugins, "load_type", lambda _: Forgetful)
        if reloads:
            forwarder.reload(loaded(tmp_path, sandbox, config))
        else:
            forwarder.start(schedule=False)
        sandbox.sentrytex.publish(recent(1))
        forwarder.poll()
        until(lambda: all_delivered(forwarder) and len(rows(forwarder.store)) >= 3)
        assert all(dispatcher.alive(0.0) for dispatcher in forwarder.dispatchers.values())


# The periodic work


def test_only_ended_leases_are_reclaimed_while_it_runs(tmp_path: Path, sandbox: Sandbox) -> None:
    """A send that hangs is left to its worker and goes out once; a worker that never reports back is replaced."""
    hours = Time()
    sandbox.slack.inject(Fault(kind=FaultKind.LATENCY, seconds=HOURS, path="chat.postMessage"))
    config = everything(sandbox)
    config["routes"] = [{"to": ["secops"]}]
    with assembled(tmp_path, sandbox, config, clock=hours.clock()) as forwarder:
        enqueue(forwarder.store, alert(id="live"), to=("secops",))
        forwarder.start(schedule=False)
        until(lambda: NEW_MESSAGE in sandbox.slack.arrived)
        enqueue(forwarder.store, alert(id="lost"), to=("nobody",))
        forwarder.store.outbox.claim("nobody", 1, now=forwarder.clock(), lease=20)
        hours.pass_(RECLAIM_EVERY + 1)
        forwarder.reclaim_expired()
        assert states(forwarder, "nobody") == [State.UNCERTAIN]
        sandbox.slack.let_go()
        until(lambda: states(forwarder, "secops") == [State.DELIVERED])
        history = forwarder.store.queries.history("live")
        assert history is not None
        assert [attempt.outcome for attempts in history.attempts.values() for attempt in attempts] == ["delivered"]
    assert len(sandbox.slack.messages) == 1


def states(forwarder: Forwarder, connector: str) -> list[State]:
    return [row.state for row in rows(forwarder.store, connector)]


def test_ended_leases_are_looked_for_by_themselves(tmp_path: Path, sandbox: Sandbox) -> None:
    """Nobody has to ask, and nothing has to be delivered for it."""
    hours = Time()
    with assembled(tmp_path, sandbox, everything(sandbox), clock=hours.clock()) as forwarder:
        forwarder.start()
        enqueue(forwarder.store, alert(), to=("nobody",))
        forwarder.store.outbox.claim("nobody", 1, now=forwarder.clock(), lease=20)
        hours.pass_(RECLAIM_EVERY + 1)
        until(lambda: states(forwarder, "nobody") == [State.UNCERTAIN])


def test_polls_go_on_by_themselves(tmp_path: Path, sandbox: Sandbox) -> None:
    """What is published later arrives without anybody's doing."""
    with assembled(tmp_path, sandbox, everything(sandbox)) as forwarder:
        forwarder.start()
        until(lambda: forwarder.store.feed.state().polled_at is not None)
        sandbox.sentrytex.publish(recent(1))
        until(lambda: sandbox.slack.messages and sandbox.jira.issues and sandbox.pagerduty.incidents)


def test_polls_go_on_after_the_feed_failed(tmp_path: Path, sandbox: Sandbox) -> None:
    """With a pause in between, the one that the API asked for."""
    sandbox.sentrytex.publish(recent(1))
    sandbox.sentrytex.inject(
        Fault(kind=FaultKind.STATUS, status=503, path="/alerts"),
        Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "1"}, path="/alerts"),
    )
    with assembled(tmp_path, sandbox, everything(sandbox), rng=lambda: 0.0) as forwarder:
        forwarder.start()
        until(lambda: len(sandbox.slack.messages) == 1)
    first, second, third, *_ = [seen.at for seen in sandbox.sentrytex.requests if seen.path.endswith("/alerts")]
    assert min(second - first, third - second) > timedelta(seconds=0.9)


def test_a_refused_key_is_not_hammered(tmp_path: Path, sandbox: Sandbox) -> None:
    """One alarm, and what is owed goes on; while that takes several polls' time, the key is not tried again."""
    sandbox.sentrytex.revoke()
    config = {**everything(sandbox), "alarms": {"to": ["oncall"]}}
    config["connectors"]["oncall"]["max_rate"] = "2/s"
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start()
        until(lambda: len(sandbox.pagerduty.incidents) == 1)
        enqueue(forwarder.store, *(alert(id=f"owed-{number}") for number in range(4)), to=("oncall",))
        forwarder.dispatchers["oncall"].wake()
        until(lambda: len(sandbox.pagerduty.incidents) == 5)
        assert [alarm.type for alarm in forwarder.store.alarms.active()] == ["key_refused"]
    assert len([seen for seen in sandbox.sentrytex.requests if seen.path.endswith("/alerts")]) == 1


def test_a_vendor_that_joins_the_stack_brings_its_alerts_at_once(tmp_path: Path, sandbox: Sandbox) -> None:
    """They lie far behind the cursor, where no poll reaches."""
    sandbox.sentrytex.all_vendors = False
    sandbox.sentrytex.add_vendor("github")
    sandbox.sentrytex.publish(recent(1, affected_vendors=["github"]))
    config, hours = everything(sandbox, overlap="1m", start_from="2d"), Time()
    with assembled(tmp_path, sandbox, config, clock=hours.clock()) as forwarder:
        forwarder.poll()
        forwarder.sweep()
        forwarder.start()
        until(lambda: len(sandbox.slack.messages) == 1 and forwarder.store.feed.state().stack)
        sandbox.sentrytex.publish(recent(2, affected_vendors=["okta"], minutes_ago=24 * 60))
        sandbox.sentrytex.add_vendor("okta")
        hours.pass_(STACK_EVERY)
        until(lambda: len(sandbox.slack.messages) == 2)


def test_names_and_evidence_reach_the_places(tmp_path: Path, sandbox: Sandbox) -> None:
    """Vendors are called by name from the first message on; the evidence comes with the update that is due anyway."""
    sandbox.sentrytex.add_vendor("github", "GitHub", "code hosting")
    sandbox.sentrytex.publish(raw := recent(1, affected_vendors=["github"]))
    sandbox.sentrytex.evidence = {raw["id"]: {"evidence_state": {"state": "verified", "sources": 2}}}
    with assembled(tmp_path, sandbox, everything(sandbox), links_after=3600.0) as forwarder:
        forwarder.start()
        until(lambda: len(sandbox.pagerduty.incidents) == len(sandbox.jira.issues) == len(sandbox.slack.messages) == 1)
        until(lambda: forwarder.store.queries.history(raw["id"]).evidence)  # type: ignore[union-attr]
        for place in (sandbox.slack.messages, sandbox.pagerduty.incidents, sandbox.jira.issues):
            assert "GitHub" in str(place)
        sandbox.sentrytex.update(raw["id"], cisa_kev=True)
        until(lambda: sandbox.slack.messages[0]["edits"] and sandbox.jira.issues["SEC-1"]["comments"])
        places = (sandbox.slack.messages, sandbox.pagerduty.incidents, sandbox.jira.issues)
        until(lambda: all("state: verified" in str(place) for place in places))


def test_evidence_that_cannot_be_read_keeps_nothing_back(tmp_path: Path, sandbox: Sandbox) -> None:
    """An API that hangs on single alerts delays no delivery and no poll."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=15, path="/alerts/", times=None))
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, everything(sandbox)) as forwarder:
        forwarder.start()
        until(lambda: any("/alerts/" in seen.path for seen in sandbox.sentrytex.requests))
        sandbox.sentrytex.publish(recent(2))
        until(lambda: len(sandbox.pagerduty.incidents) == len(sandbox.jira.issues) == len(sandbox.slack.messages) == 2)
        assert forwarder.store.queries.history(recent(1)["id"]).evidence == ()  # type: ignore[union-attr]
        sandbox.sentrytex.clear_faults()


def test_an_alert_goes_by_its_category_once_the_stack_was_read(tmp_path: Path, sandbox: Sandbox) -> None:
    """Where it could not be read in time, the alert is a message at once, and pages as soon as it can."""
    config, hours = everything(sandbox), Time()
    config["routes"] = [{"categories": "payments", "to": ["oncall"]}, {"to": ["secops"]}]
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=500, path="/stack", times=None))
    sandbox.sentrytex.publish(recent(1, affected_vendors=["stripe"]))
    with assembled(tmp_path, sandbox, config, clock=hours.clock()) as forwarder:
        forwarder.start()
        until(lambda: len(sandbox.slack.messages) == 1)
        assert sandbox.pagerduty.incidents == {}
        sandbox.sentrytex.clear_faults()
        hours.pass_(2 * STACK_EVERY)
        until(lambda: len(sandbox.pagerduty.incidents) == 1)
        assert len(sandbox.slack.messages) == 1


def test_only_a_complete_poll_beats(tmp_path: Path, sandbox: Sandbox) -> None:
    """Who watches from outside notices a feed that cannot be read."""
    beats = sandbox.pagerduty
    beats.inject(Fault(kind=FaultKind.STATUS, status=200, path="GET /beat", times=None))
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503, path="/alerts", times=None))
    config = {**everything(sandbox), "heartbeat": {"url": f"{beats.url}/beat"}}
    with assembled(tmp_path, sandbox, config, rng=lambda: 0.0) as forwarder:
        forwarder.start()
        until(lambda: forwarder.store.feed.state().poll_error)
        assert beats.requests == []
        sandbox.sentrytex.clear_faults()
        until(lambda: beats.requests)
        assert forwarder.store.feed.state().polled_at is not None


class Failing(Store):
    """A store in which no page can be committed, and nothing rescued, while the test says so."""

    fails = True

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        store = self

        class Feed(FeedStore):
            def commit_page(self, *args: Any, **more: Any) -> Any:
                if store.fails:
                    raise StoreError("The disk is full.")
                return super().commit_page(*args, **more)

        self.feed = Feed(engine)


class Heard(Listener):
    """What a listener hears of the database."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def store_failed(self, reason: str) -> None:
        self.failures.append(reason)


def test_a_database_that_fails_ends_no_job(tmp_path: Path, sandbox: Sandbox) -> None:
    """It is told, and the next poll brings what this one could not keep."""
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, everything(sandbox), kind=Failing) as forwarder:
        heard = Heard()
        forwarder.listeners.add(heard)
        forwarder.start()
        until(lambda: "The disk is full." in heard.failures)
        assert isinstance(forwarder.store, Failing)
        forwarder.store.fails = False
        until(lambda: len(sandbox.slack.messages) == 1)


def test_old_alerts_are_forgotten(tmp_path: Path, sandbox: Sandbox) -> None:
    """After `keep`, and never what the feed can still show."""
    hours, day = Time(), 86400
    sandbox.sentrytex.publish(recent(1))
    config = {**everything(sandbox), "keep": "30d"}
    with assembled(tmp_path, sandbox, config, clock=hours.clock(), links_after=0.0) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: len(sandbox.slack.messages) == 1 and all_delivered(forwarder))
        for passed, kept in ((29 * day, True), (2 * day, False)):
            hours.pass_(passed)
            sandbox.clock.advance(passed)
            sandbox.sentrytex.publish(recent(2, published_at=sandbox.clock()))
            forwarder.poll()
            forwarder.prune()
            assert (forwarder.store.queries.history(recent(1)["id"]) is not None) is kept


def test_a_clock_that_is_ahead_forgets_nothing_that_sweeps_show(tmp_path: Path, sandbox: Sandbox) -> None:
    """By it everything is old; what the feed still shows must be known all the same."""
    sandbox.sentrytex.publish(recent(1), recent(2, minutes_ago=24 * 60))
    config, ahead = everything(sandbox, start_from="2d"), Time()
    with assembled(tmp_path, sandbox, config, links_after=0.0) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        until(lambda: len(sandbox.slack.messages) == 2 and all_delivered(forwarder))
    ahead.step(1000 * 86400)
    with assembled(tmp_path, sandbox, config, clock=ahead.clock()) as forwarder:
        forwarder.prune()
        assert forwarder.store.queries.history(recent(2)["id"]) is not None


def test_workers_that_got_no_thread_begin_once_there_is_one(tmp_path: Path, sandbox: Sandbox) -> None:
    """A reload under a limit on threads brings in all the rest; who is missing is told, and starts by itself later."""
    with assembled(tmp_path, sandbox, everything(sandbox)) as forwarder:
        forwarder.start()
        until(lambda: forwarder.feeds["default"].has_read)
        config = everything(sandbox)
        config["connectors"]["tickets"]["labels"] = ["other"]
        other = loaded(tmp_path, sandbox, config)
        with no_threads():
            forwarder.reload(other)
            forwarder.tend()
            assert forwarder.stalled() == [
                "The workers of tickets do not turn: the log says why. Restart the forwarder."
            ]
        forwarder.tend()
        assert forwarder.stalled() == []
        sandbox.sentrytex.publish(recent(1))
        until(lambda: sandbox.jira.issues)


def test_a_main_loop_that_stands_still_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    """Nobody would follow the clock, start what is missing, or answer a signal."""
    with assembled(tmp_path, sandbox, everything(sandbox)) as forwarder:
        forwarder.start()
        forwarder.tend()
        assert forwarder.stalled() == []
        assert forwarder._tended_at is not None
        forwarder._tended_at -= STANDS_STILL + 1
        (stalled,) = forwarder.stalled()
        assert re.fullmatch(r"The main loop has stood still for 1m \d+s\. Restart the forwarder\.", stalled)


# Time


@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forth", "back"])
def test_a_clock_that_is_set_shifts_every_deadline(tmp_path: Path, sandbox: Sandbox, step: float) -> None:
    """Nothing comes an hour late, no lease ends early, and polls go on."""
    hours = Time()
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "240"}, path="postMessage"))
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, everything(sandbox), clock=hours.clock()) as forwarder:
        forwarder.start()
        until(lambda: due(forwarder) > [0.0])
        polled = forwarder.store.feed.state().polled_at
        (before,) = due(forwarder)
        hours.step(step)
        forwarder.follow_clock()
        (after,) = due(forwarder)
        assert after - before == pytest.approx(step, abs=1)
        until(lambda: (forwarder.store.feed.state().polled_at or 0) - (polled or 0) == pytest.approx(step, abs=300))
        forwarder.review_alarms()
        assert forwarder.store.alarms.active() == []
        dispatcher = forwarder.dispatchers["secops"]
        until(lambda: dispatcher.is_drained(200))
        assert not dispatcher.is_drained(300)


def due(forwarder: Forwarder) -> list[float]:
    return [row.due_at for row in rows(forwarder.store, "secops") if row.kind == "open"]


class Full(Store):
    """A store that cannot shift its deadlines the first time."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)

        class Deliveries(Outbox):
            shifts = 0

            def shift_deadlines(self, seconds: float, *, until: float = math.inf) -> None:
                self.shifts += 1
                if self.shifts == 1:
                    raise StoreError("The disk is full.")
                super().shift_deadlines(seconds, until=until)

        self.outbox = Deliveries(engine, self.memory)


def test_a_step_that_could_not_be_written_is_followed_later(tmp_path: Path, sandbox: Sandbox) -> None:
    """The daemon goes on, and the deadlines move along once the database takes that."""
    hours = Time()
    with assembled(tmp_path, sandbox, kind=Full, clock=hours.clock()) as forwarder:
        enqueue(forwarder.store, alert(), to=("nobody",))
        (before,) = [row.enqueued_at for row in rows(forwarder.store, "nobody")]
        hours.step(3600)
        forwarder.follow_clock()
        forwarder.follow_clock()
        forwarder.follow_clock()
        (after,) = [row.enqueued_at for row in rows(forwarder.store, "nobody")]
    assert after - before == pytest.approx(3600, abs=1)


def test_a_clock_that_is_set_right_holds_nothing_too_long(tmp_path: Path, sandbox: Sandbox) -> None:
    """What waits for a schedule or a digest was to wait for years, by the clock that was ahead."""
    hours = Time()
    config = everything(sandbox)
    config["routes"] = [{"to": ["secops"], "during": "office"}, {"to": ["tickets"], "digest": "daily 09:00"}]
    config["schedules"] = {"office": {"days": ["mon"], "hours": "09:00-09:01"}}
    sandbox.sentrytex.publish(recent(1))

    def latest(forwarder: Forwarder) -> float:
        with forwarder.store.engine.read() as connection:
            (found,) = connection.execute("SELECT max(held_until) FROM deliveries").fetchone()
        return float(found)

    hours.step(YEARS)
    with assembled(tmp_path, sandbox, config, clock=hours.clock()) as forwarder:
        forwarder.poll()
        forwarder.life.held.release()
        assert latest(forwarder) > time.time() + YEARS
        hours.step(-YEARS)
        forwarder.follow_clock()
        forwarder.life.held.release()
        assert {row.state for row in rows(forwarder.store)} == {State.HELD}
        assert latest(forwarder) < time.time() + 8 * 86400


# Until all is quiet


class Slow(Store):
    """A store in which a ticket is settled, and owes its link, after the message was found quiet."""

    tickets: Callable[[], bool]

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        store = self

        class Deliveries(Outbox):
            def next_due(self, connector: str) -> float | None:
                if connector == "oncall" and threading.current_thread() is threading.main_thread():
                    until(store.tickets)
                return super().next_due(connector)

        self.outbox = Deliveries(engine, self.memory)


def test_a_link_that_comes_in_the_last_moment_is_waited_for(tmp_path: Path, sandbox: Sandbox) -> None:
    """A look at one connector after the other would miss it."""
    sandbox.jira.inject(Fault(kind=FaultKind.LATENCY, seconds=0.3, path="POST"))
    sandbox.slack.inject(Fault(kind=FaultKind.LATENCY, seconds=0.3, path="chat.update"))
    sandbox.sentrytex.publish(recent(1))
    with assembled(tmp_path, sandbox, everything(sandbox), kind=Slow, links_after=0.0) as forwarder:
        assert isinstance(forwarder.store, Slow)
        forwarder.store.tickets = lambda: forwarder.dispatchers["tickets"].is_drained(30)
        forwarder.start(schedule=False)
        forwarder.poll()
        assert forwarder.deliver_due(30, threading.Event()) == 0
        assert forwarder.store.queries.outstanding(forwarder.config.connectors) == 0


@pytest.mark.parametrize("wait", ["1", "0"])
def test_the_patience_is_for_all_that_a_destination_asks_to_wait(tmp_path: Path, sandbox: Sandbox, wait: str) -> None:
    """One that asks for a second again and again is not waited for again and again."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": wait}, times=None))
    sandbox.sentrytex.publish(recent(1), recent(2))
    config = everything(sandbox)
    config["routes"] = [{**EVERYTHING, "to": ["oncall"]}]
    with assembled(tmp_path, sandbox, config) as forwarder:
        forwarder.start(schedule=False)
        forwarder.poll()
        late = threading.Event()
        guard = threading.Timer(PATIENCE, late.set)
        guard.start()
        assert forwarder.deliver_due(2.5, late) == 0
        guard.cancel()
        assert not late.is_set()
        assert forwarder.store.queries.outstanding(["oncall"]) == 2


def test_a_poll_that_fails_raises_and_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    """Whoever asked for it hears why."""
    sandbox.sentrytex.revoke()
    with assembled(tmp_path, sandbox) as forwarder, pytest.raises(SentrytexError, match="refused the key"):
        forwarder.poll()


def test_a_claim_of_another_life_is_given_its_lease(tmp_path: Path, sandbox: Sandbox) -> None:
    """A worker that never reports back is replaced when its lease ends, not before."""
    hours = Time()
    with assembled(tmp_path, sandbox, everything(sandbox), clock=hours.clock()) as forwarder:
        enqueue(forwarder.store, alert(), to=("oncall",))
        claimed: list[Claimed] = forwarder.store.outbox.claim("oncall", 1, now=forwarder.clock(), lease=100)
        assert len(claimed) == 1
        assert forwarder.store.outbox.reclaim_expired(now=forwarder.clock() + 99, due_at={}, all_claims=False) == {}
        assert forwarder.store.outbox.reclaim_expired(now=forwarder.clock() + 101, due_at={}, all_claims=False) == {
            "oncall": 1
        }


def test_a_reload_lets_out_at_once_what_the_config_mutes_no_more(tmp_path: Path, sandbox: Sandbox) -> None:
    """By the clock of this test no time goes by, so nothing is looked at but what is asked for."""
    config = {**everything(sandbox), "routes": [{"to": ["oncall"]}]}
    rule = {"vendors": "wordpress", "until": "2100-01-01", "reason": "not in use any more"}
    sandbox.sentrytex.publish(recent(1, affected_vendors=["wordpress"]))
    now = time.time()
    clock = Clock(wall=lambda: now, uptime=lambda: 0.0)
    with assembled(tmp_path, sandbox, {**config, "mutes": [rule]}, clock=clock) as forwarder:
        forwarder.start()
        until(lambda: forwarder.store.mutes.count() == 1)
        forwarder.reload(loaded(tmp_path, sandbox, config))
        until(lambda: sandbox.pagerduty.incidents)
        assert forwarder.store.mutes.count() == 0


def test_a_reload_tells_at_once_what_a_connector_missed_while_it_was_out(tmp_path: Path, sandbox: Sandbox) -> None:
    """By the clock of this test no time goes by, so nothing is looked at but what is asked for."""
    config = everything(sandbox)
    without = {**config, "routes": [{"to": ["oncall"]}]}
    without["connectors"] = {name: one for name, one in config["connectors"].items() if name != "tickets"}
    sandbox.sentrytex.publish(raw := recent(1))
    now = time.time()
    clock = Clock(wall=lambda: now, uptime=lambda: 0.0)
    with assembled(tmp_path, sandbox, config, clock=clock, links_after=0.0) as forwarder:
        forwarder.start()
        until(lambda: len(rows(forwarder.store)) >= 3 and all_delivered(forwarder))
        forwarder.reload(loaded(tmp_path, sandbox, without))
        forwarder.life.responses.respond(raw["id"], Action.ACKNOWLEDGE, person="Ada")
        until(lambda: all_delivered(forwarder))
        (issue,) = sandbox.jira.issues.values()
        assert issue["comments"] == []
        forwarder.reload(loaded(tmp_path, sandbox, config))
        until(lambda: issue["comments"])
        until(lambda: all_delivered(forwarder))
    assert len(issue["comments"]) == 1
    assert "Acknowledged by Ada" in str(issue["comments"])
