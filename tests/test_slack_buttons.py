"""Buttons in Slack as users have them: the daemon, its store, the SDK's client, and kills between them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forwarder.connector import Action, Resolution, Response
from forwarder.sandbox import Sandbox
from forwarder.sandbox.slack_socket import Interaction
from forwarder.store import Store
from forwarder.store.query_records import Filter
from tests.kit.core import EVERYTHING, PATIENCE, Process, environment, recent, secrets, settings, until, written

ROOT = Path(__file__).resolve().parents[1]

ACKNOWLEDGE, RESOLVE, MUTE = "sentrytex_acknowledge", "sentrytex_resolve_not_affected", "sentrytex_mute"

DYING = {
    "before it is kept": "LifecycleStore.react = lambda *args, **how: die()",
    "after it is kept": "die_after(LifecycleStore, 'react', 1, counts=lambda told: told.heard is Heard.CHANGED)",
}
"""How the process is killed, by when."""


def config_of(sandbox: Sandbox) -> dict[str, Any]:
    """Two channels of one app, which all alerts go to."""
    config = settings(sandbox)
    secops = {**config["connectors"]["secops"], "app_token": "${SLACK_APP_TOKEN}", "reconcile_after": ["100ms"]}
    config["connectors"] = {"secops": secops, "devs": {**secops, "channel": "#alerts"}}
    config["routes"] = [{**EVERYTHING, "to": ["secops", "devs"]}]
    return config


def env(sandbox: Sandbox) -> dict[str, str]:
    return {**secrets(sandbox), "SLACK_APP_TOKEN": sandbox.slack.app_token}


def running(folder: Path, sandbox: Sandbox, config: dict[str, Any] | None = None) -> Process:
    """The daemon, once its connectors are connected."""
    written(folder, config or config_of(sandbox))
    before = sandbox.slack.socket.opened
    process = Process(folder, env(sandbox)).until_started()
    until(lambda: sandbox.slack.socket.opened >= before + 2)
    return process


def message(sandbox: Sandbox, channel: str) -> dict[str, Any]:
    """The one message of a channel."""
    (one,) = (
        message for message in sandbox.slack.messages if message["channel"] == channel and not message["thread_ts"]
    )
    return one


def thread(sandbox: Sandbox, channel: str) -> list[str]:
    return [
        message["text"] for message in sandbox.slack.messages if message["channel"] == channel and message["thread_ts"]
    ]


def posted(sandbox: Sandbox) -> None:
    until(lambda: len(sandbox.slack.messages) == 2)


def click(sandbox: Sandbox, button: str, channel: str = "secops", **how: Any) -> Interaction:
    ts = message(sandbox, f"C0{channel.upper()}")["ts"]
    return sandbox.slack.click(f"#{channel}", ts, button, **how)


def responses(folder: Path, alert_id: str) -> list[Response]:
    store = Store.open_shared(folder / "forwarder.db")
    try:
        history = store.queries.history(alert_id)
        return list(history.responses) if history else []
    finally:
        store.close()


def test_what_a_person_presses_stands_in_every_channel(tmp_path: Path, sandbox: Sandbox) -> None:
    """One click shows in both channels who did it, its buttons follow, and the thread of each keeps it."""
    sandbox.sentrytex.publish(raw := recent(1))
    with running(tmp_path, sandbox) as process:
        posted(sandbox)
        assert click(sandbox, ACKNOWLEDGE, user="bob").wait(PATIENCE)
        for channel in ("C0SECOPS", "C0ALERTS"):
            until(lambda channel=channel: thread(sandbox, channel) == ["👀 Acknowledged by Bob"])  # type: ignore[misc]
            assert "Acknowledged by Bob" in message(sandbox, channel)["text"]
        with pytest.raises(LookupError):
            click(sandbox, ACKNOWLEDGE)
        # The other channel's message, too, is one to act on, through whichever connection Slack chooses.
        assert click(sandbox, RESOLVE, "alerts", user="alice").wait(PATIENCE)
        for channel in ("C0SECOPS", "C0ALERTS"):
            until(lambda channel=channel: len(thread(sandbox, channel)) == 2)  # type: ignore[misc]
            assert "Resolved (not affected) by Alice" in message(sandbox, channel)["text"]
        assert process.stop() == 0
    said = [(one.action, one.person, one.resolution) for one in responses(tmp_path, raw["id"])]
    assert said == [(Action.ACKNOWLEDGE, "Bob", None), (Action.RESOLVE, "Alice", Resolution.NOT_AFFECTED)]
    assert sandbox.slack.ephemerals == []


def test_who_comes_second_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    """Two people press the same button at once: the first counts, the second learns who was first."""
    sandbox.sentrytex.publish(raw := recent(1))
    with running(tmp_path, sandbox) as process:
        posted(sandbox)
        first = click(sandbox, ACKNOWLEDGE, user="bob")
        second = sandbox.slack.socket.deliver({**first.payload, "user": {"id": "U0ALICE", "name": "alice"}})
        assert first.wait(PATIENCE)
        assert second.wait(PATIENCE)
        until(lambda: sandbox.slack.ephemerals)
        assert process.stop() == 0
    (response,) = responses(tmp_path, raw["id"])
    (whisper,) = sandbox.slack.ephemerals
    assert whisper["text"] == f"Acknowledged by {response.person} already."
    assert {whisper["user"], f"U0{response.person.upper()}"} == {"U0ALICE", "U0BOB"}


@pytest.mark.parametrize("moment", DYING)
def test_a_kill_loses_no_click_and_doubles_none(tmp_path: Path, sandbox: Sandbox, moment: str) -> None:
    """The process dies around the commit; Slack, which heard nothing, tells the next one, and it counts once."""
    sandbox.slack.socket.ack_within, sandbox.slack.socket.resends = 0.2, 1000
    sandbox.sentrytex.publish(raw := recent(1))
    written(tmp_path, config_of(sandbox))
    code = (
        "import sys\nfrom forwarder.cli import main\nfrom forwarder.store.life_records import Heard\n"
        "from forwarder.store.lifecycle import LifecycleStore\nfrom tests.torture.launcher import die, die_after\n"
        f"{DYING[moment]}\nsys.argv = ['forwarder', 'run', '--config', 'config.yaml']\nmain()"
    )
    doomed = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment({**env(sandbox), "PYTHONPATH": str(ROOT)}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with doomed:
        posted(sandbox)
        until(lambda: len(sandbox.slack.socket.connections) == 2)
        pressed = click(sandbox, ACKNOWLEDGE)
        assert doomed.wait(PATIENCE) == -signal.SIGKILL
    assert not pressed.acknowledged
    assert len(responses(tmp_path, raw["id"])) == (1 if moment.startswith("after") else 0)
    with running(tmp_path, sandbox) as process:
        assert pressed.wait(PATIENCE)
        until(lambda: thread(sandbox, "C0SECOPS") and thread(sandbox, "C0ALERTS"))
        assert process.stop() == 0
    assert len(responses(tmp_path, raw["id"])) == 1
    assert thread(sandbox, "C0SECOPS") == thread(sandbox, "C0ALERTS") == ["👀 Acknowledged by Alice"]


def test_a_reload_takes_over_another_token(tmp_path: Path, sandbox: Sandbox) -> None:
    """Without an app token nothing listens any more; with one it does, and no connection is left over."""
    config = config_of(sandbox)
    sandbox.sentrytex.publish(recent(1))
    with running(tmp_path, sandbox, config) as process:
        posted(sandbox)
        without = {
            name: {k: v for k, v in one.items() if k != "app_token"} for name, one in config["connectors"].items()
        }
        written(tmp_path, {**config, "connectors": without})
        process.signal(signal.SIGHUP)
        until(lambda: not sandbox.slack.socket.connections)
        written(tmp_path, config)
        process.signal(signal.SIGHUP)
        until(lambda: len(sandbox.slack.socket.connections) == 2)
        assert click(sandbox, ACKNOWLEDGE).wait(PATIENCE)
        assert process.stop() == 0


def test_a_wrong_app_token_is_told_and_stops_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    """Messages go out, the log says once why nobody is heard, and shows no token."""
    sandbox.sentrytex.publish(recent(1))
    written(tmp_path, config_of(sandbox))
    with Process(tmp_path, {**env(sandbox), "SLACK_APP_TOKEN": "xapp-of-nobody"}).until_started() as process:
        posted(sandbox)
        until(lambda: len(process.logged("listen_failed")) >= 2)
        assert process.stop() == 0
        assert "Slack does not accept the app token" in str(process.logged("listen_failed")[0]["reason"])
        assert "xapp-of-nobody" not in process.log


def test_a_mute_from_the_form_keeps_its_like_quiet(tmp_path: Path, sandbox: Sandbox) -> None:
    """Whoever filled it in is told until when, and it is kept with name and reason; what is on its way arrives."""
    sandbox.sentrytex.publish(recent(1, affected_vendors=["wordpress"]))
    with running(tmp_path, sandbox) as process:
        posted(sandbox)
        assert click(sandbox, MUTE, user="bob").wait(PATIENCE)
        until(lambda: sandbox.slack.views.open_views)
        view = str(sandbox.slack.views.open_views[-1]["id"])
        assert sandbox.slack.submit(view, {"scope": "vendor", "lasts": "30", "reason": "Not in use"}).wait(PATIENCE)
        until(lambda: "vendor wordpress" in json.dumps(sandbox.slack.views.open_views[0]["blocks"]))
        sandbox.sentrytex.publish(recent(2, affected_vendors=["wordpress"]), recent(3, affected_vendors=["github"]))
        until(lambda: len(sandbox.slack.messages) == 4)
        assert process.stop() == 0
    with Store.open_shared(tmp_path / "forwarder.db") as store:
        (quiet,) = store.queries.alerts(Filter(muted=True))
    assert quiet.alert.title == "Alert 2"
    assert quiet.muted is not None
    assert (quiet.muted.who, quiet.muted.reason) == ("Bob", "Not in use")
