"""What people do in the sandbox's Slack, told to the app as Slack tells it.

https://docs.slack.dev/reference/interaction-payloads
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from forwarder.sandbox import blockkit
from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock
from forwarder.sandbox.slack_channels import Channel
from forwarder.sandbox.slack_message import APP_ID, TEAM_ID, SlackError, public
from forwarder.sandbox.slack_people import People
from forwarder.sandbox.slack_socket import Interaction, SocketMode
from forwarder.sandbox.slack_views import Views

RESPONSES: Final = "/actions/T0SANDBOX/"
_MAX_RESPONSES: Final = 5
_RESPONSE_TIME: Final = timedelta(minutes=30)

Message = dict[str, Any]
Find = Callable[[str, str], tuple[Channel, Message]]
Respond = Callable[[Channel, Message, str, dict[str, Any]], None]


class Interactions:
    """Turns what people do into envelopes, and takes what apps send to a ``response_url``.

    ``find`` tells the channel (by id or name) and the message of a ts. ``respond`` does to a message what was sent to
    its ``response_url``; the user's id is between them.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        origin: Callable[[], str],
        people: People,
        views: Views,
        socket: SocketMode,
        find: Find,
        respond: Respond,
    ) -> None:
        self._clock, self._origin, self._people, self._views = clock, origin, people, views
        self._socket, self._find, self._respond = socket, find, respond
        self._response_urls: dict[str, tuple[Channel, Message, str, datetime]] = {}
        self._used: dict[str, int] = {}

    def click(
        self, channel: str, ts: str, action_id: str, *, user: str, value: str | None, duplicates: int
    ) -> Interaction:
        """Raises LookupError where no such element is there to be seen."""
        where, message = self._find(channel, ts)
        actor = self._people.actor(user)
        shown = _as_sent(message)
        block, element = _element(shown, action_id)
        action = {**_acted(element, value), "block_id": block["block_id"], "action_ts": self._action_ts()}
        container = {"type": "message", "message_ts": ts, "channel_id": where.id, "is_ephemeral": False}
        thread = {"thread_ts": message["thread_ts"]} if message["thread_ts"] else {}
        payload = {
            "type": "block_actions",
            **self._common(actor),
            "container": {**container, **thread},
            "channel": {"id": where.id, "name": "privategroup" if where.private else where.name},
            "message": shown,
            "state": {"values": {}},
            "response_url": self._response_url(where, message, actor["id"]),
            "actions": [action],
        }
        return self._socket.deliver(payload, duplicates=duplicates)

    def submit(self, view_id: str, values: Mapping[str, Any], *, user: str | None, duplicates: int) -> Interaction:
        """Raises ValueError where the modal itself would not let the person submit."""
        view = self._views.get(view_id)
        actor = self._people.actor(user or self._views.owner(view_id))
        view["state"] = {"values": _state(view["blocks"], values)}
        payload = {"type": "view_submission", **self._common(actor), "view": view, "response_urls": []}
        return self._socket.deliver(
            payload,
            accepts_response=True,
            duplicates=duplicates,
            then=lambda answer: self._views.answered(view_id, answer),
        )

    def dismiss(self, view_id: str) -> Interaction | None:
        """Close a modal without submitting it; the app hears of it only where it asked to."""
        view, actor = self._views.get(view_id), self._people.actor(self._views.owner(view_id))
        self._views.close(view_id)
        if not view["notify_on_close"]:
            return None
        return self._socket.deliver({"type": "view_closed", **self._common(actor), "view": view, "is_cleared": False})

    def take_response(self, request: Request) -> Reply:
        """What an app sent to a ``response_url``: good five times, within half an hour."""
        known = self._response_urls.get(request.path)
        if known is None or request.method != "POST":
            return Reply.json({"ok": False, "error": "expired_url"}, 404)
        channel, message, user, until = known
        if self._clock() > until:
            return Reply.json({"ok": False, "error": "expired_url"}, 404)
        if self._used[request.path] >= _MAX_RESPONSES:
            return Reply.json({"ok": False, "error": "used_url"}, 404)
        try:
            self._respond(channel, message, user, request.json())
        except ValueError:
            return Reply.json({"ok": False, "error": "invalid_json"}, 400)
        except SlackError as error:
            return Reply.json({"ok": False, "error": error.code}, 500)
        self._used[request.path] += 1
        return Reply.json({"ok": True})

    def _common(self, actor: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "user": dict(actor),
            "api_app_id": APP_ID,
            "token": "not-a-real-verification-token",
            "trigger_id": self._views.trigger(str(actor["id"])),
            "team": {"id": TEAM_ID, "domain": "sandbox"},
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _response_url(self, channel: Channel, message: Message, user: str) -> str:
        path = f"{RESPONSES}{len(self._response_urls)}/not-a-real-secret"
        self._response_urls[path] = channel, message, user, self._clock() + _RESPONSE_TIME
        self._used[path] = 0
        return self._origin() + path

    def _action_ts(self) -> str:
        return f"{self._clock().timestamp():.6f}"


def _as_sent(message: Message) -> dict[str, Any]:
    """The message as an interaction shows it: with every id that Slack gave."""
    shown = {**public(message), "team": TEAM_ID, "app_id": APP_ID}
    if message["blocks"]:
        shown["blocks"] = blockkit.named(message["blocks"])
    if message["attachments"]:
        shown["attachments"] = [
            {"id": number, **one, **({"blocks": blockkit.named(one["blocks"])} if one.get("blocks") else {})}
            for number, one in enumerate(message["attachments"], start=1)
        ]
    # Copied, so that a later edit does not change what was told.
    return dict(json.loads(json.dumps(shown)))


def _element(shown: Mapping[str, Any], action_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    every = [shown.get("blocks", []), *(one.get("blocks", []) for one in shown.get("attachments", []))]
    there = []
    for blocks in every:
        for block, element in blockkit.interactive(blocks):
            there.append(element["action_id"])
            if element["action_id"] == action_id:
                return block, element
    raise LookupError(f"the message has no {action_id}; it has {', '.join(there) or 'nothing to act on'}")


def _acted(element: Mapping[str, Any], value: str | None) -> dict[str, Any]:
    """The entry of ``actions``: the element's own facts, and what was chosen."""
    action = {"type": element["type"], "action_id": element["action_id"]}
    if element["type"] == "button":
        return {**action, **{key: element[key] for key in ("text", "value", "style", "url") if key in element}}
    if value is None:
        raise ValueError(f"something must be chosen of a {element['type']}")
    return {**action, **_chosen(element, value)}


def _chosen(element: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """What a person chose or typed, as an interaction tells it; raises ValueError where that cannot be."""
    match element["type"]:
        case "plain_text_input":
            least, most = element.get("min_length", 0), element.get("max_length", 3000)
            if value is not None and not least <= len(value) <= most:
                raise ValueError(f"{element['action_id']} takes {least} to {most} characters")
            return {"value": value}
        case "datepicker":
            return {"selected_date": value}
        case "users_select":
            return {"selected_user": value}
        case "checkboxes":
            return {"selected_options": [_option(element, one) for one in value or []]}
        case _:
            return {"selected_option": None if value is None else _option(element, value)}


def _option(element: Mapping[str, Any], value: str) -> dict[str, Any]:
    options = [
        *element.get("options", []),
        *(one for group in element.get("option_groups", []) for one in group["options"]),
    ]
    for option in options:
        if value in (option["value"], option["text"]["text"]):
            return dict(option)
    raise ValueError(f"{element['action_id']} has no option {value}")


def _state(blocks: list[dict[str, Any]], values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``state.values`` of a submission; ``values`` is by action id or block id, and the rest stays as it is."""
    state: dict[str, dict[str, Any]] = {}
    names = set(values)
    for block, element in blockkit.interactive(blocks):
        if element["type"] in ("button", "overflow"):
            continue
        given = {element["action_id"], block["block_id"]} & names
        names -= given
        value = values[given.pop()] if given else _initial(element)
        if value in (None, "", []) and block["type"] == "input" and not block.get("optional"):
            raise ValueError(f"{element['action_id']} must be filled in")
        chosen = {"type": element["type"], **_chosen(element, None if value == "" else value)}
        state.setdefault(block["block_id"], {})[element["action_id"]] = chosen
    if names:
        raise ValueError(f"the modal has no {', '.join(sorted(names))}")
    return state


def _initial(element: Mapping[str, Any]) -> Any:
    if "initial_option" in element:
        return element["initial_option"]["value"]
    if "initial_options" in element:
        return [one["value"] for one in element["initial_options"]]
    return element.get("initial_value") or element.get("initial_date") or element.get("initial_user")
