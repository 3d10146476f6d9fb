"""One alert from its publication to "done" and back, as people live it: the daemon, the real SDKs, three services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.jira.markup import plain
from forwarder.connector import Action, Response
from forwarder.response import FEED
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from tests.kit.core import EVERYTHING, Process, recent, rows, secrets, settings, until, written

SYNC_EVERY = "1s"
"""How often tickets and incidents are looked at: as often as the config takes."""


def config_of(sandbox: Sandbox) -> dict[str, Any]:
    """Buttons, looks at tickets and at incidents, and every alert everywhere."""
    config = settings(sandbox)
    config["connectors"]["secops"]["app_token"] = "${SLACK_APP_TOKEN}"
    rest = {"api_token": "${PAGERDUTY_API_TOKEN}", "api_url": sandbox.pagerduty.url}
    config["connectors"]["oncall"] |= {**rest, "sync_every": SYNC_EVERY}
    config["connectors"]["tickets"]["sync_every"] = SYNC_EVERY
    config["routes"] = [EVERYTHING]
    return config


def env(sandbox: Sandbox) -> dict[str, str]:
    tokens = {"SLACK_APP_TOKEN": sandbox.slack.app_token, "PAGERDUTY_API_TOKEN": sandbox.pagerduty.api_token}
    return {**secrets(sandbox), **tokens}


class Scene:
    """The daemon at work on one alert, and what is to be seen of that alert at each place."""

    def __init__(self, folder: Path, sandbox: Sandbox, alert_id: str) -> None:
        self.folder, self.sandbox, self.alert_id = folder, sandbox, alert_id

    @property
    def message(self) -> dict[str, Any]:
        """The only message in the channel itself."""
        (one,) = (message for message in self.sandbox.slack.messages if message["thread_ts"] is None)
        return one

    @property
    def thread(self) -> list[dict[str, Any]]:
        """What is said below the message."""
        return [one for one in self.sandbox.slack.messages if one["thread_ts"] == self.message["ts"]]

    @property
    def comments(self) -> list[str]:
        (issue,) = self.sandbox.jira.issues.values()
        return [plain(one["body"]) for one in issue["comments"]]

    @property
    def incident(self) -> dict[str, Any]:
        (one,) = self.sandbox.pagerduty.incidents.values()
        return one

    @property
    def events(self) -> list[str]:
        """What PagerDuty was sent."""
        return [event["event_action"] for event in self.incident["events"]]

    @property
    def responses(self) -> list[Response]:
        with Store.open_shared(self.folder / "forwarder.db") as store:
            history = store.queries.history(self.alert_id)
        return list(history.responses) if history else []

    def all_settled(self) -> bool:
        """Whether nothing is owed any more, links between the places included."""
        with Store.open_shared(self.folder / "forwarder.db") as store:
            owed = rows(store)
            return len(owed) >= 3 and all(row.state.settled for row in owed)

    def is_open_everywhere(self) -> bool:
        return self.all_settled() and len(self.sandbox.slack.socket.connections) == 1

    def acknowledge(self) -> None:
        """Bob presses the button below the message."""
        pressed = self.sandbox.slack.click("#secops", self.message["ts"], "sentrytex_acknowledge", user="bob")
        assert pressed.wait(60)


def test_one_alert_from_the_button_to_done_and_back(tmp_path: Path, sandbox: Sandbox) -> None:
    """Each thing that a person does stands at the other places, once, with who did it; worse news opens it again."""
    sandbox.sentrytex.publish(raw := recent(1))
    written(tmp_path, config_of(sandbox))
    scene = Scene(tmp_path, sandbox, raw["id"])
    with Process(tmp_path, env(sandbox)).until_started() as process:
        until(scene.is_open_everywhere)

        scene.acknowledge()
        until(lambda: scene.incident["status"] == "acknowledged")
        until(lambda: scene.comments)
        until(lambda: "Acknowledged by Bob" in scene.message["text"])
        assert "Acknowledged by Bob via secops" in scene.comments[0]

        sandbox.jira.move("SEC-1", "done", by="alice")
        until(lambda: scene.incident["status"] == "resolved")
        until(lambda: "by Alice Example" in scene.message["text"])
        assert "Resolved (done) by Alice Example" in scene.message["text"]
        until(scene.all_settled)

        sandbox.sentrytex.update(raw["id"], cisa_kev=True)
        until(lambda: scene.incident["status"] == "triggered")
        until(lambda: len(scene.comments) == 2)
        until(lambda: len(scene.thread) == 3)
        until(scene.all_settled)

        # Looks that come later find nothing that anybody did.
        looks = looked_at(sandbox)
        until(lambda: all(now > before + 1 for now, before in zip(looked_at(sandbox), looks, strict=True)))
        until(scene.all_settled)
        assert process.stop() == 0

    assert scene.events == ["trigger", "acknowledge", "resolve", "trigger"]
    assert scene.incident["count"] == 2
    assert "open again, for it got worse" in scene.comments[1]
    assert len(scene.comments) == 2
    first_lines = [message["text"].splitlines()[0] for message in scene.thread]
    assert first_lines == [
        "👀 Acknowledged by Bob",
        "✅ Resolved (done) by Alice Example",
        "🔁 Open again: it got worse",
    ]
    assert [message["reply_broadcast"] for message in scene.thread] == [False, False, True]
    assert "Open again: it got worse" in scene.message["text"]
    assert [(one.action, one.place, one.person) for one in scene.responses] == [
        (Action.ACKNOWLEDGE, "secops", "Bob"),
        (Action.RESOLVE, "tickets", "Alice Example"),
        (Action.REOPEN, FEED, ""),
    ]


def looked_at(sandbox: Sandbox) -> tuple[int, int]:
    """How often Jira and PagerDuty were asked what people did."""
    return (
        sum("/search" in seen.path for seen in sandbox.jira.requests),
        sum("/log_entries" in seen.path for seen in sandbox.pagerduty.requests),
    )


def test_what_the_pager_says_stands_everywhere(tmp_path: Path, sandbox: Sandbox) -> None:
    """Who acknowledges and resolves the incident is named in message and ticket, and PagerDuty hears nothing."""
    sandbox.sentrytex.publish(raw := recent(1))
    written(tmp_path, config_of(sandbox))
    scene = Scene(tmp_path, sandbox, raw["id"])
    with Process(tmp_path, env(sandbox)).until_started() as process:
        until(scene.is_open_everywhere)
        until(lambda: looked_at(sandbox)[1])
        sandbox.pagerduty.acknowledge(scene.incident["dedup_key"], "Bob")
        until(lambda: scene.comments and "Acknowledged by Bob Example" in scene.message["text"])
        sandbox.pagerduty.resolve(scene.incident["dedup_key"], "Alice")
        until(lambda: len(scene.comments) == 2 and "Resolved (done) by Alice Example" in scene.message["text"])
        until(scene.all_settled)
        assert process.stop() == 0
    assert scene.events == ["trigger"]
    assert [message["text"] for message in scene.thread] == [
        "👀 Acknowledged by Bob Example",
        "✅ Resolved (done) by Alice Example",
    ]
