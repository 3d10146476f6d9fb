"""The buttons by which people say what becomes of an alert. Pure.

They hold nothing: what a click is about is the message that it stands on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from connectors.slack.markup import plain_text
from forwarder.connector import Action, Delivery, Kind, Origin, Resolution, Status

MAX_ACCESSIBILITY: Final = 75
"""Characters of what a screen reader says of a button.
https://docs.slack.dev/reference/block-kit/block-elements/button-element"""

MUTE: Final = "sentrytex_mute"
"""The action id of the button that opens the form of a mute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """What a click on a button says of an alert."""

    action: Action
    resolution: Resolution | None = None


MEANINGS: Final = {
    "sentrytex_acknowledge": Meaning(action=Action.ACKNOWLEDGE),
    "sentrytex_resolve_done": Meaning(action=Action.RESOLVE, resolution=Resolution.DONE),
    "sentrytex_resolve_not_affected": Meaning(action=Action.RESOLVE, resolution=Resolution.NOT_AFFECTED),
    "sentrytex_reopen": Meaning(action=Action.REOPEN),
}
"""By action id. Messages keep their buttons for years, so none of these may ever mean something else."""


def responding(delivery: Delivery) -> list[dict[str, Any]]:
    """A block with the buttons that make sense as the alert stands; none where there is nothing to decide."""
    if delivery.origin is not Origin.FEED or delivery.kind is Kind.WITHDRAW:
        return []
    shown = [_BUTTONS[name] for name in _SHOWN[delivery.status]]
    return [{"type": "actions", "block_id": "sentrytex_respond", "elements": shown}]


def _button(name: str, label: str, said: str, **more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": name, "text": plain_text(label), "accessibility_label": said, **more}


def _confirm(title: str, text: str, yes: str) -> dict[str, Any]:
    words = {"title": title, "text": text, "confirm": yes, "deny": "Cancel"}
    return {name: plain_text(words[name]) for name in words}


_BUTTONS: Final = {
    "acknowledge": _button(
        "sentrytex_acknowledge", "Acknowledge", "Acknowledge this alert: you take care of it", style="primary"
    ),
    "done": _button(
        "sentrytex_resolve_done",
        "Resolve",
        "Resolve this alert: it is done",
        confirm=_confirm("Resolve this alert?", "It counts as done wherever it stands, for everybody.", "Resolve"),
    ),
    "not_affected": _button(
        "sentrytex_resolve_not_affected",
        "Not affected",
        "Resolve this alert: you are not affected",
        confirm=_confirm(
            "Not affected?", "It counts as resolved wherever it stands, for everybody: you are not affected.", "Resolve"
        ),
    ),
    "give_back": _button(
        "sentrytex_reopen",
        "Give back",
        "Give this alert back: somebody else must take care of it",
        confirm=_confirm("Give this alert back?", "It is open again, and nobody has it.", "Give back"),
    ),
    "reopen": _button(
        "sentrytex_reopen",
        "Reopen",
        "Reopen this alert: it is not done",
        confirm=_confirm("Reopen this alert?", "It is open again wherever it stands, for everybody.", "Reopen"),
    ),
    "mute": _button(MUTE, "Mute…", "Mute alerts like this one for some time"),
}

_SHOWN: Final = {
    Status.OPEN: ("acknowledge", "done", "not_affected", "mute"),
    Status.ACKNOWLEDGED: ("done", "not_affected", "give_back", "mute"),
    Status.RESOLVED: ("reopen",),
}
