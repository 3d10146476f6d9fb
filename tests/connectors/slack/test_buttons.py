"""The buttons below a message: which there are, when, and that a message without an app token has none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.slack import Slack, SlackConfig, blocks
from connectors.slack.buttons import MAX_ACCESSIBILITY, MEANINGS, MUTE, responding
from connectors.slack.modal import MAX_ERROR
from forwarder.connector import NOT_KEPT, Action, Delivery, Kind, MuteRequest, MuteScope, Origin, Receipt, Response
from forwarder.sandbox import Fault, FaultKind, Sandbox, blockkit
from forwarder.testing import NOW, delivery, hostile_alerts
from tests.kit.core import PATIENCE, until
from tests.kit.people import HearingDesk, Office
from tests.kit.slack import by_token, new_delivery

ACKNOWLEDGED = Response(number=1, action=Action.ACKNOWLEDGE, at=NOW, place="secops", person="Ada")
PLACE = Receipt(remote_id="C0SECOPS:1700000000.000100")


@pytest.fixture
def slack(sandbox: Sandbox) -> Iterator[Slack]:
    """A connector with buttons, which does not listen."""
    with closing(by_token(sandbox, app_token=sandbox.slack.app_token)) as slack:
        yield slack


def buttons(slack: Slack, one: Delivery) -> list[dict[str, Any]]:
    payload = slack.render(one)
    return [
        element for block in payload.get("blocks", []) if block["type"] == "actions" for element in block["elements"]
    ]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (None, ["Acknowledge", "Resolve", "Not affected"]),
        (Action.ACKNOWLEDGE, ["Resolve", "Not affected", "Give back"]),
        (Action.RESOLVE, ["Reopen"]),
        (Action.REOPEN, ["Acknowledge", "Resolve", "Not affected"]),
    ],
)
@pytest.mark.parametrize("kind", [Kind.OPEN, Kind.UPDATE, Kind.REMIND])
def test_the_buttons_follow_the_status(slack: Slack, kind: Kind, action: Action | None, expected: list[str]) -> None:
    """There is a button for what can be decided as the alert stands by now, whatever the message tells."""
    latest = action and replace(ACKNOWLEDGED, action=action)
    one = delivery(kind=kind, receipt=None if kind is Kind.OPEN else PLACE, latest=latest)
    mute = ["Mute…"] if expected != ["Reopen"] else []
    assert [button["text"]["text"] for button in buttons(slack, one)] == [*expected, *mute]


@pytest.mark.parametrize("origin", [origin for origin in Origin if origin is not Origin.FEED])
def test_only_alerts_of_the_feed_have_buttons(slack: Slack, origin: Origin) -> None:
    """Of an alarm, a test or a digest nothing is decided, nor of an alert that no longer stands."""
    assert buttons(slack, delivery(origin=origin)) == []
    assert buttons(slack, delivery(kind=Kind.WITHDRAW, receipt=PLACE)) == []
    assert buttons(slack, delivery())


def test_buttons_are_within_the_limits_and_hold_nothing(slack: Slack) -> None:
    """Labels for eyes and ears fit, what cannot be taken back lightly asks first, and no value leaves with them."""
    seen: dict[str, Any] = {}
    for action in (None, *Action):
        latest = action and replace(ACKNOWLEDGED, action=action)
        every = responding(delivery(latest=latest))
        assert blockkit.problems(every) == []
        seen |= {button["action_id"]: button for button in every[0]["elements"]}
    assert seen.keys() == {*MEANINGS, MUTE}
    assert not any("value" in button or "url" in button for button in seen.values())
    assert all(0 < len(button["accessibility_label"]) <= MAX_ACCESSIBILITY for button in seen.values())
    assert {name for name, button in seen.items() if "confirm" in button} == {
        "sentrytex_resolve_done", "sentrytex_resolve_not_affected", "sentrytex_reopen",
    }  # fmt: skip


def test_a_message_with_buttons_stays_within_the_limits(slack: Slack) -> None:
    """However long an alert is, its text gives way and the buttons stay."""
    for one in hostile_alerts():
        for latest in (None, replace(ACKNOWLEDGED, person='"\\' * 500, reason='"\\' * 500)):
            payload = slack.render(delivery(alert=one, latest=latest))
            every = [*payload["blocks"], *(block for part in payload["attachments"] for block in part["blocks"])]
            assert blockkit.problems(every) == []
            assert blockkit.size(every) <= blocks.MAX_TOTAL
            assert buttons(slack, delivery(alert=one, latest=latest))


def test_a_message_with_buttons_is_accepted(sandbox: Sandbox, slack: Slack) -> None:
    """Slack takes it, and the preview shows what can be pressed."""
    outcome = slack.deliver(one := new_delivery(), slack.render(one))
    assert getattr(outcome, "note", None) == ""
    assert "\n[Acknowledge] [Resolve] [Not affected]" in slack.preview(slack.render(one))
    assert "[Acknowledge]" not in slack.render(one)["fallback"]


def test_without_an_app_token_nothing_is_different(sandbox: Sandbox, slack: Slack) -> None:
    """No button, no listening, and nothing loaded for it."""
    without = by_token(sandbox)
    assert (without.listens, slack.listens) == (False, True)
    there, not_there = slack.render(delivery()), without.render(delivery())
    assert not_there == {**there, "blocks": [block for block in there["blocks"] if block["type"] != "actions"]}
    code = (
        "import sys\nfrom connectors.slack import Slack, SlackConfig\n"
        "config = {'type': 'slack', 'token': 'xoxb-1', 'channel': '#secops'}\n"
        "Slack('secops', SlackConfig.model_validate(config))\n"
        "print([name for name in sys.modules if 'socket_mode' in name or name == 'connectors.slack.listener'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"app_token": "xoxb-1-not-this-kind"}, "must be an app-level token, which begins with xapp-"),
        ({"app_token": "xapp-1 2"}, "must be one word"),
        (
            {"token": None, "channel": None, "webhook_url": "https://hooks.slack.com/services/T/B/x"},
            "an app_token goes with a token",
        ),
    ],
)
def test_an_app_token_that_cannot_work_is_refused(keys: dict[str, Any], why: str) -> None:
    """A token of another kind, or one beside a webhook, is told before anything is sent, and not shown."""
    config = {"type": "slack", "token": "xoxb-1", "channel": "#secops", "app_token": "xapp-1-secret", **keys}
    with pytest.raises(ValidationError) as refused:
        SlackConfig.model_validate({key: value for key, value in config.items() if value is not None})
    assert why in str(refused.value)
    assert "xoxb-1-not" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("scopes", "token", "ok", "text"),
    [
        ({"connections:write"}, "", True, "Slack accepts the app token: what people do with the buttons is heard."),
        (
            set(),
            "",
            False,
            "Nobody's buttons would be heard: the app token lacks the scope connections:write: make one",
        ),
        ({"connections:write"}, "xapp-another", False, "Slack does not accept the app token (invalid_auth): make one"),
    ],
)
def test_a_check_says_whether_the_app_token_works(
    sandbox: Sandbox, scopes: set[str], token: str, ok: bool, text: str
) -> None:
    """It asks for a connection, opens none, and says what is missing."""
    sandbox.slack.app_scopes = scopes
    with closing(by_token(sandbox, app_token=token or sandbox.slack.app_token)) as slack:
        found = slack.check()[-1]
    assert found.ok is ok
    assert text in found.text
    assert sandbox.slack.socket.opened == 0


# The form of a mute


@pytest.fixture
def office(sandbox: Sandbox) -> Iterator[Office]:
    """A connector that is heard."""
    with closing(Office(sandbox)) as office:
        office.open()
        yield office


def with_form(office: Office) -> tuple[str, str]:
    """The ts of a message whose button for mutes was pressed, and the id of the form that came."""
    ts = office.posted()
    message = next(one for one in office.sandbox.slack.messages if one["ts"] == ts)
    (block,) = (one for one in message["blocks"] if one["type"] == "actions")
    block["elements"] = responding(new_delivery())[0]["elements"]
    click = office.click(ts, MUTE, user="bob")
    assert click.wait(PATIENCE)
    until(lambda: office.sandbox.slack.views.open_views)
    return ts, str(office.sandbox.slack.views.open_views[-1]["id"])


def test_a_mute_is_asked_for_in_a_form(office: Office) -> None:
    """What, for how long and why become one request, and the form closes."""
    ts, view = with_form(office)
    assert office.sandbox.slack.submit(view, {"scope": "vendor", "lasts": "30", "reason": "Gone.\nNext week"}).wait(
        PATIENCE
    )
    (request,) = office.heard.mutes
    assert request == MuteRequest(
        remote_id=f"C0SECOPS:{ts}",
        scope=MuteScope.VENDOR,
        lasts=timedelta(days=30),
        reason="Gone. Next week",
        key=view,
        at=request.at,
        person="Bob",
    )
    until(lambda: office.sandbox.slack.views.open_views == [])


def test_a_mute_needs_a_reason(office: Office) -> None:
    """Blanks are none: the form stays, and says so."""
    _, view = with_form(office)
    assert office.sandbox.slack.submit(view, {"reason": "   "}).wait(PATIENCE)
    until(lambda: office.sandbox.slack.views.open_views[0]["errors"])
    assert "Say why" in office.sandbox.slack.views.open_views[0]["errors"]["reason"]
    assert office.heard.told == []


@pytest.mark.parametrize("broken", ["missing", "another", "text"])
def test_a_form_that_cannot_be_read_mutes_nothing_and_says_so(office: Office, broken: str) -> None:
    """It does not close as if all were well: an answer is missing, or is none that the form had offered."""
    _, view = with_form(office)
    shown = office.sandbox.slack.views.get(view)
    (lasts,) = (block for block in shown["blocks"] if block["block_id"] == "lasts")
    if broken == "missing":
        shown["blocks"].remove(lasts)
    else:
        (option, *_) = lasts["element"]["options"]
        option["value"] = {"another": "3650", "text": "for ever"}[broken]
        lasts["element"]["initial_option"] = option
    assert office.sandbox.slack.submit(view, {"reason": "Why"}).wait(PATIENCE)
    until(lambda: "Nothing was muted" in json.dumps(office.sandbox.slack.views.open_views))
    assert office.heard.told == []


def test_what_the_desk_says_of_a_mute_stands_in_the_form(sandbox: Sandbox) -> None:
    """What could not be kept leaves the form open; any other answer takes its place; what is sent twice counts once."""
    answers = ["CVE-2026-10001 is muted until Friday.", NOT_KEPT]
    with closing(Office(sandbox, HearingDesk(lambda _: answers.pop()))) as office:
        office.open()
        _, view = with_form(office)
        assert sandbox.slack.submit(view, {"reason": "Why"}).wait(PATIENCE)
        until(lambda: sandbox.slack.views.open_views[0]["errors"] == {"reason": NOT_KEPT})
        assert len(NOT_KEPT) <= MAX_ERROR
        assert sandbox.slack.submit(view, {"reason": "Why"}).wait(PATIENCE)
        until(lambda: "until Friday" in json.dumps(sandbox.slack.views.open_views[0]["blocks"]))
        assert len(office.heard.mutes) == 1


def test_a_form_that_does_not_open_is_told(office: Office) -> None:
    """The person who pressed learns that it failed."""
    office.sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=500, path="views.open"))
    ts = office.posted()
    message = next(one for one in office.sandbox.slack.messages if one["ts"] == ts)
    (block,) = (one for one in message["blocks"] if one["type"] == "actions")
    block["elements"] = responding(new_delivery())[0]["elements"]
    assert office.click(ts, MUTE).wait(PATIENCE)
    until(lambda: office.sandbox.slack.ephemerals)
    assert "The form could not be opened" in office.sandbox.slack.ephemerals[0]["text"]


def test_the_form_opens_while_the_desk_is_busy(sandbox: Sandbox) -> None:
    """A trigger lives three seconds: the form waits for no click that is being kept."""

    def busy(_: object) -> str:
        until(lambda: sandbox.slack.views.open_views)
        return ""

    with closing(Office(sandbox, HearingDesk(busy))) as office:
        office.open()
        click = office.click(office.posted())
        with_form(office)
        assert click.wait(PATIENCE)
