"""The form in which a person says what to mute, for how long, and why. Pure.

https://docs.slack.dev/reference/views/modal-views
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from connectors.slack.markup import plain_text
from forwarder.connector import MuteScope, clean, cut, one_line

CALLBACK: Final = "sentrytex_mute_form"
MAX_REASON: Final = 500
"""Characters of a reason."""
MAX_ERROR: Final = 150
"""Characters of what is said of a field; longer texts are cut by Slack's clients."""

REASON: Final = "reason"
_SCOPES: Final = {
    MuteScope.CVE: "This CVE, whatever it affects",
    MuteScope.VENDOR: "The vendors of this alert, whatever comes",
}
_TIMES: Final = {"1": "1 day", "7": "7 days", "30": "30 days"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """What a person filled in, about the alert whose receipt has ``remote_id``; ``reason`` may be empty."""

    remote_id: str
    scope: MuteScope
    lasts: timedelta
    reason: str


def form(remote_id: str) -> dict[str, Any]:
    """The view that asks about the alert whose receipt has ``remote_id``."""
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": remote_id,
        "title": plain_text("Mute alerts"),
        "submit": plain_text("Mute"),
        "close": plain_text("Cancel"),
        "blocks": [
            _choice("scope", "What", {scope.value: words for scope, words in _SCOPES.items()}),
            _choice("lasts", "For how long", _TIMES),
            {
                "type": "input",
                "block_id": REASON,
                "label": plain_text("Why"),
                "hint": plain_text("It stands beside every alert that is kept from going out."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON,
                    "min_length": 1,
                    "max_length": MAX_REASON,
                },
            },
        ],
    }


def filled(view: Mapping[str, Any]) -> Filled | None:
    """What a form of ours that was sent off says; None where it cannot be read."""
    try:
        values = view["state"]["values"]
        scope = MuteScope(values["scope"]["scope"]["selected_option"]["value"])
        days = int(values["lasts"]["lasts"]["selected_option"]["value"])
        reason = str(values[REASON][REASON].get("value") or "")
        remote_id = str(view["private_metadata"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if str(days) not in _TIMES:
        return None
    return Filled(
        remote_id=remote_id, scope=scope, lasts=timedelta(days=days), reason=cut(one_line(clean(reason)), MAX_REASON)
    )


def refused(sentence: str) -> dict[str, Any]:
    """The answer that leaves the form open, and says what is wrong."""
    return {"response_action": "errors", "errors": {REASON: cut(sentence, MAX_ERROR)}}


def told(sentence: str) -> dict[str, Any]:
    """The answer that puts ``sentence`` in the form's place."""
    view = {
        "type": "modal",
        "title": plain_text("Mute alerts"),
        "close": plain_text("Close"),
        "blocks": [{"type": "section", "text": plain_text(sentence)}],
    }
    return {"response_action": "update", "view": view}


def _choice(name: str, label: str, options: Mapping[str, str]) -> dict[str, Any]:
    shown = [{"text": plain_text(words), "value": value} for value, words in options.items()]
    return {
        "type": "input",
        "block_id": name,
        "label": plain_text(label),
        "element": {"type": "radio_buttons", "action_id": name, "options": shown, "initial_option": shown[0]},
    }
