"""The modals of the sandbox's Slack, and the triggers that open them.

https://docs.slack.dev/reference/views/modal-views and https://docs.slack.dev/reference/methods/views.open
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from forwarder.sandbox import blockkit
from forwarder.sandbox.blockkit_elements import extra, in_text, wrong
from forwarder.sandbox.limits import Clock
from forwarder.sandbox.slack_message import APP_ID, TEAM_ID, SlackError

TRIGGER_SECONDS: Final = 3
MAX_BLOCKS: Final = 100
MAX_TITLE: Final = 24
MAX_METADATA: Final = 3000
MAX_ID: Final = 255
_MAX_VIEW: Final = 250_000
_KEYS: Final = {
    "type", "title", "blocks", "close", "submit", "private_metadata", "callback_id", "clear_on_close",
    "notify_on_close", "external_id", "submit_disabled",
}  # fmt: skip


class Views:
    """The modals that are open, by id. Each is a dict as the API shows it, with ``user`` (an id) besides."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._triggers: dict[str, tuple[str, datetime]] = {}
        self._exchanged: set[str] = set()
        self._open: dict[str, dict[str, Any]] = {}
        self._count = 0

    @property
    def open_views(self) -> list[dict[str, Any]]:
        """Those that somebody sees, oldest first."""
        return list(self._open.values())

    def trigger(self, user: str) -> str:
        """A trigger of ``user``'s: good once, and for three seconds."""
        self._count += 1
        trigger = f"{self._count}.1000000000.{self._count:032x}"
        self._triggers[trigger] = user, self._clock() + timedelta(seconds=TRIGGER_SECONDS)
        return trigger

    def open(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of views.open."""
        view = _checked(params.get("view"))
        trigger = params.get("trigger_id")
        if not trigger:
            raise SlackError("invalid_arguments", response_metadata=_messages("missing required field: trigger_id"))
        if trigger not in self._triggers:
            raise SlackError("invalid_trigger_id")
        user, until = self._triggers[trigger]
        if trigger in self._exchanged:
            raise SlackError("exchanged_trigger_id")
        if self._clock() > until:
            raise SlackError("expired_trigger_id")
        self._refuse_taken(view, "")
        self._exchanged.add(trigger)
        self._count += 1
        view_id = f"V0SANDBOX{self._count}"
        self._open[view_id] = self._shown(view_id, view, user)
        return {"view": _public(self._open[view_id])}

    def update(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of views.update."""
        view = _checked(params.get("view"))
        wanted, external = params.get("view_id"), params.get("external_id")
        for view_id, old in self._open.items():
            if view_id == wanted or (external and old["external_id"] == external):
                if params.get("hash") not in (None, old["hash"]):
                    raise SlackError("hash_conflict")
                self._refuse_taken(view, view_id)
                self.replace(view_id, view)
                return {"view": _public(self._open[view_id])}
        raise SlackError("not_found")

    def get(self, view_id: str) -> dict[str, Any]:
        """The open modal of that id, as an interaction shows it; raises SlackError."""
        if view_id not in self._open:
            raise SlackError("not_found")
        return _public(self._open[view_id])

    def owner(self, view_id: str) -> str:
        """The id of the user who sees the modal."""
        return str(self._open[view_id]["user"])

    def replace(self, view_id: str, view: Mapping[str, Any]) -> None:
        self._open[view_id] = self._shown(view_id, view, self.owner(view_id))

    def close(self, view_id: str) -> None:
        self._open.pop(view_id, None)

    def answered(self, view_id: str, payload: Any) -> None:
        """Do what an app answered to a submission: show errors, another view, or nothing more."""
        action = payload.get("response_action") if isinstance(payload, dict) else None
        if view_id not in self._open:
            return
        if action == "errors":
            self._open[view_id]["errors"] = payload.get("errors")
        elif action in ("update", "push"):
            self.replace(view_id, _checked(payload.get("view")))
        else:
            self.close(view_id)

    def _refuse_taken(self, view: Mapping[str, Any], own: str) -> None:
        external = view.get("external_id")
        if external and any(old["external_id"] == external for key, old in self._open.items() if key != own):
            raise SlackError("duplicate_external_id")

    def _shown(self, view_id: str, view: Mapping[str, Any], user: str) -> dict[str, Any]:
        self._count += 1
        return {
            "id": view_id,
            "team_id": TEAM_ID,
            "private_metadata": "",
            "callback_id": "",
            "external_id": "",
            "clear_on_close": False,
            "notify_on_close": False,
            "close": None,
            "submit": None,
            "previous_view_id": None,
            **view,
            "blocks": blockkit.named(view["blocks"]),
            "state": {"values": {}},
            "hash": f"{int(self._clock().timestamp())}.{self._count:08x}",
            "root_view_id": view_id,
            "app_id": APP_ID,
            "app_installed_team_id": TEAM_ID,
            "bot_id": "B0FORWARDER",
            "user": user,
            "errors": None,
        }


def _checked(raw: Any) -> dict[str, Any]:
    """The view that was sent, as an object or as JSON; raises SlackError."""
    try:
        view = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        view = None
    if not isinstance(view, dict):
        raise SlackError("invalid_arguments", response_metadata=_messages("missing required field: view"))
    if len(json.dumps(view)) > _MAX_VIEW:
        raise SlackError("view_too_large")
    problems = list(_problems(view))
    if problems:
        raise SlackError("invalid_arguments", response_metadata=_messages(*problems))
    return view


def _problems(view: dict[str, Any]) -> Iterator[str]:
    if view.get("type") != "modal":
        yield wrong("must be modal", "/view/type")
    yield from extra(view, _KEYS, "/view")
    for name in ("title", "submit", "close"):
        if name == "title" or view.get(name) is not None:
            yield from in_text(view.get(name), f"/view/{name}", MAX_TITLE, plain=True)
    for name, most in (("private_metadata", MAX_METADATA), ("callback_id", MAX_ID), ("external_id", MAX_ID)):
        value = view.get(name, "")
        if not isinstance(value, str) or len(value) > most:
            yield wrong(f"must be less than {most + 1} characters", f"/view/{name}")
    blocks = view.get("blocks")
    if not blocks:
        yield wrong("missing required field: blocks", "/view")
        return
    yield from blockkit.problems(blocks, "/view/blocks", MAX_BLOCKS)
    kinds = [block.get("type") for block in blocks if isinstance(block, dict)]
    if "input" in kinds and view.get("submit") is None:
        yield wrong("submit is required in the view because an input block is present", "/view")


def _public(view: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in view.items() if key not in ("user", "errors")}


def _messages(*problems: str) -> dict[str, Any]:
    return {"messages": [f"[ERROR] {problem}" for problem in problems]}
