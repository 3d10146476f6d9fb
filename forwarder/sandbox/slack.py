"""A stand-in for Slack: the Web API methods that a forwarder uses, and incoming webhooks.

https://docs.slack.dev/reference/methods and https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from forwarder.sandbox import slack_socket
from forwarder.sandbox.limits import Clock, SlidingWindow, Trickle
from forwarder.sandbox.server import Reply, Request, Service
from forwarder.sandbox.slack_channels import Channel, Channels
from forwarder.sandbox.slack_interactions import RESPONSES, Interactions
from forwarder.sandbox.slack_message import (
    BOT_USER,
    MAX_TEXT,
    MAX_TEXT_UPDATE,
    TEAM_ID,
    SlackError,
    alert_id,
    content,
    public,
)
from forwarder.sandbox.slack_people import People
from forwarder.sandbox.slack_views import Views

_API: Final = "/api/"
_WEBHOOK: Final = "/services/T0SANDBOX/B0SANDBOX/not-a-real-webhook-secret"
_TEAM_URL: Final = "https://sandbox.slack.com"
_JSON_PARAMS: Final = ("blocks", "attachments", "metadata", "view")
_CONNECTIONS_PER_MINUTE: Final = 50
_APP_TOKEN: Final = "xapp-"  # noqa: S105 - the kind of token, not one
_SECONDS_PER_MESSAGE: Final = 1.0
_BURST: Final = 4
"""Messages that pass at once after a pause. Slack says "short bursts"; how short it does not say."""
_WEBHOOK_STATUS: Final = {
    "no_service": 404,
    "channel_not_found": 404,
    "channel_is_archived": 410,
    "action_prohibited": 403,
    "rate_limited": 429,
}
_REFUSALS: Final = {429: "ratelimited", 503: "service_unavailable", 408: "request_timeout"}


Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Method:
    run: Callable[[Params], dict[str, Any]]
    scopes: tuple[str, ...] = field(default=())
    app: bool = False
    """Whether it takes the app's token, in place of the bot's."""


class Slack(Service):
    """A workspace with one bot. ``scopes`` is what the bot's token may do; ``limited`` is whether rates are limited.

    ``app_scopes`` is what the app-level token may do, ``socket`` holds the connections of Socket Mode, ``views`` the
    modals, ``people`` the users and user groups. ``ephemerals`` are the messages that one person alone sees, each with
    ``channel``, ``user``, ``ts``, ``text`` and ``blocks``.

    Each of ``messages`` is a dict with ``channel`` (an id), ``ts``, ``text``, ``blocks``, ``attachments``,
    ``metadata``, ``thread_ts``, ``reply_broadcast``, ``edits`` (earlier contents), ``pings`` (what it would have
    pinged, ``!channel`` or ``@U012AB``, edits included), ``webhook`` (whether it came through the webhook) and
    ``deleted``.
    """

    name = "slack"

    def __init__(self, *, clock: Clock, latency: float = 0.0, limits: bool = True) -> None:
        super().__init__(clock=clock, latency=latency)
        self.token = "xoxb-not-a-real-token"  # noqa: S105 - opens nothing but this sandbox
        self.limited = limits
        self.app_token = "xapp-not-a-real-token"  # noqa: S105 - opens nothing but this sandbox
        self.scopes = {
            "chat:write", "chat:write.public", "channels:read", "channels:history", "users:read", "usergroups:read",
        }  # fmt: skip
        self.app_scopes = {"connections:write"}
        self.webhook_channel = "C0SECOPS"
        self.team_id = TEAM_ID
        self.people = People()
        self.views = Views(clock)
        self.socket = slack_socket.SocketMode(self)
        self.ephemerals: list[dict[str, Any]] = []
        self._interactions = Interactions(
            clock=clock,
            origin=lambda: self.origin,
            people=self.people,
            views=self.views,
            socket=self.socket,
            find=self._in_sight,
            respond=self._respond,
        )
        self._channels = Channels("secops", "alerts", "oncall", "general")
        self._messages: dict[tuple[str, str], dict[str, Any]] = {}
        self._rates: dict[str, Trickle] = {}
        self._connecting = SlidingWindow(_CONNECTIONS_PER_MINUTE, 60)
        self._last_ts = 0
        self._methods: Final = {
            "auth.test": _Method(self._auth_test),
            "chat.postMessage": _Method(self._post, ("chat:write",)),
            "chat.update": _Method(self._update, ("chat:write",)),
            "chat.delete": _Method(self._delete, ("chat:write",)),
            "chat.getPermalink": _Method(self._permalink),
            "conversations.history": _Method(self._history, ("channels:history", "groups:history")),
            "conversations.replies": _Method(self._replies, ("channels:history", "groups:history")),
            "conversations.list": _Method(self._list, ("channels:read", "groups:read")),
            "conversations.info": _Method(self._info, ("channels:read", "groups:read")),
            "chat.postEphemeral": _Method(self._post_ephemeral, ("chat:write",)),
            "apps.connections.open": _Method(self._connect, ("connections:write",), app=True),
            "views.open": _Method(self.views.open),
            "views.update": _Method(self.views.update),
            "users.info": _Method(self._user, ("users:read",)),
            "users.list": _Method(self._users, ("users:read",)),
            "users.lookupByEmail": _Method(self.people.by_email, ("users:read.email",)),
            "usergroups.list": _Method(self._groups, ("usergroups:read",)),
        }

    @property
    def url(self) -> str:
        return self.origin + _API

    @property
    def webhook_url(self) -> str:
        return self.origin + _WEBHOOK

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Every message that was ever posted, oldest first, deleted ones included."""
        with self.lock:
            return list(self._messages.values())

    def add_channel(self, name: str, *, archived: bool = False, private: bool = False, member: bool = True) -> str:
        """Make the channel ``name`` (or remake it), and tell its id."""
        with self.lock:
            return self._channels.add(name, archived=archived, private=private, member=member)

    def archive(self, channel: str) -> None:
        """Archive the channel of that id or name."""
        with self.lock:
            self._channels.change(channel, archived=True)

    def unarchive(self, channel: str) -> None:
        """Make an archived channel usable again."""
        with self.lock:
            self._channels.change(channel, archived=False)

    def rename(self, channel: str, name: str) -> None:
        """Give the channel of that id or name another name; its id and its messages stay."""
        with self.lock:
            self._channels.rename(channel, name)

    def delete_channel(self, channel: str) -> None:
        """Delete the channel of that id or name."""
        with self.lock:
            self._channels.remove(channel)

    def move_bot(self, channel: str, *, member: bool) -> None:
        """Put the bot into the channel of that id or name, or out of it."""
        with self.lock:
            self._channels.change(channel, member=member)

    def credentials(self) -> dict[str, str]:
        tokens = {"token": self.token, "app_token": self.app_token}
        return {"url": self.url, **tokens, "webhook_url": self.webhook_url}

    def click(
        self, channel: str, ts: str, action_id: str, *, user: str = "U0ALICE", value: str | None = None,
        duplicates: int = 0,
    ) -> slack_socket.Interaction:  # fmt: skip
        """Let ``user`` (an id or a name) use an element of a message; ``value`` is what is chosen of a menu.

        The app's envelope comes ``duplicates`` times more than once. Raises LookupError and ValueError where a person
        could not do that.
        """
        with self.lock:
            return self._interactions.click(channel, ts, action_id, user=user, value=value, duplicates=duplicates)

    def submit(
        self, view_id: str, values: Mapping[str, Any], *, user: str | None = None, duplicates: int = 0
    ) -> slack_socket.Interaction:
        """Let the one who sees a modal fill it in and submit it; ``values`` is by action id or block id.

        A menu's value is an option's value or text. Raises ValueError where the modal would not let them.
        """
        with self.lock:
            return self._interactions.submit(view_id, values, user=user, duplicates=duplicates)

    def dismiss(self, view_id: str) -> slack_socket.Interaction | None:
        """Let the one who sees a modal close it."""
        return self._interactions.dismiss(view_id)

    def close(self) -> None:
        self.socket.close()
        super().close()

    def snapshot(self) -> dict[str, Any]:
        return {
            "messages": [
                {
                    "alert_id": alert_id(message["metadata"]),
                    "channel": message["channel"],
                    "ts": message["ts"],
                    "thread_ts": message["thread_ts"],
                    "edits": len(message["edits"]),
                    "deleted": message["deleted"],
                }
                for message in self._messages.values()
            ]
        }

    def refuse(self, status: int) -> Reply:
        headers = {"Retry-After": "1"} if status == 429 else {}
        return Reply.json({"ok": False, "error": _REFUSALS.get(status, "internal_error")}, status, headers)

    def respond(self, request: Request) -> Reply:
        if request.path.startswith("/services/"):
            return self._webhook(request)
        if request.path.startswith(RESPONSES):
            return self._interactions.take_response(request)
        if request.path == slack_socket.PATH:
            return self.socket.upgrade(request)
        name = request.path.removeprefix(_API)
        if not request.path.startswith(_API):
            return Reply.text("not found", 404)
        headers = {"X-OAuth-Scopes": ",".join(sorted(self.scopes))}
        try:
            return Reply.json({"ok": True, **self._call(name, request)}, headers=headers)
        except SlackError as error:
            if error.code == "ratelimited":
                retry = {**headers, "Retry-After": str(error.more["retry_after"])}
                return Reply.json({"ok": False, "error": "ratelimited"}, 429, retry)
            return Reply.json({"ok": False, "error": error.code, **error.more}, headers=headers)

    def _call(self, name: str, request: Request) -> dict[str, Any]:
        params = _params(request)
        method = self._methods.get(name)
        if method is not None and method.app:
            self._authenticate_app(request, params)
            scopes = self.app_scopes
        else:
            self._authenticate(request, params)
            scopes = self.scopes
        if method is None:
            raise SlackError("unknown_method", req_method=name)
        if method.scopes and scopes.isdisjoint(method.scopes):
            raise SlackError("missing_scope", needed=method.scopes[0], provided=",".join(sorted(scopes)))
        return method.run(params)

    def _authenticate(self, request: Request, params: Params) -> None:
        given = request.header("Authorization").removeprefix("Bearer ") or params.get("token")
        if not given:
            raise SlackError("not_authed")
        if given == self.app_token:
            raise SlackError("not_allowed_token_type")
        if given != self.token:
            raise SlackError("invalid_auth")
        if self.revoked:
            raise SlackError("token_revoked")

    def _authenticate_app(self, request: Request, params: Params) -> None:
        given = request.header("Authorization").removeprefix("Bearer ")
        if not given:  # the one method that takes its token from the header alone
            raise SlackError("invalid_auth" if params.get("token") else "not_authed")
        if not given.startswith(_APP_TOKEN):
            raise SlackError("not_allowed_token_type" if given == self.token else "invalid_auth")
        if given != self.app_token:
            raise SlackError("invalid_auth")
        if self.revoked:
            raise SlackError("token_revoked")

    def _auth_test(self, _params: Params) -> dict[str, Any]:
        return {
            "url": f"{_TEAM_URL}/",
            "team": "Sandbox",
            "team_id": self.team_id,
            "user": "forwarder",
            "user_id": BOT_USER,
            "bot_id": "B0FORWARDER",
            "is_enterprise_install": False,
        }

    def _post(self, params: Params) -> dict[str, Any]:
        channel = self._writable(self._channels.meant(params.get("channel")))
        said = content(params, max_text=MAX_TEXT)
        thread = params.get("thread_ts")
        if thread is not None and (channel.id, thread) not in self._messages:
            raise SlackError("thread_not_found")
        self._spend(channel.id)
        message = self._store(channel.id, said, thread=thread, broadcast=_truth(params.get("reply_broadcast")))
        return {"channel": channel.id, "ts": message["ts"], "message": public(message, metadata=True)}

    def _update(self, params: Params) -> dict[str, Any]:
        message = self._message(params)
        self._writable(self._channels.by_id(message["channel"]))
        said = content(params, max_text=MAX_TEXT_UPDATE)
        message["edits"].append({key: message[key] for key in ("text", "blocks", "attachments", "metadata")})
        if "text" in params or "blocks" in params:
            message["text"], message["blocks"] = said["text"], said["blocks"]
        for kept in ("attachments", "metadata"):
            if kept in params:
                message[kept] = said[kept]
        message["pings"] += said["pings"]
        return {
            "channel": message["channel"],
            "ts": message["ts"],
            "text": message["text"],
            "message": public(message),
        }

    def _delete(self, params: Params) -> dict[str, Any]:
        message = self._message(params)
        message.update(text="", blocks=[], attachments=[], metadata=None, subtype="tombstone", deleted=True)
        return {"channel": message["channel"], "ts": message["ts"]}

    def _permalink(self, params: Params) -> dict[str, Any]:
        message = self._message({"channel": params.get("channel"), "ts": params.get("message_ts")})
        channel, ts = message["channel"], message["ts"]
        return {"channel": channel, "permalink": f"{_TEAM_URL}/archives/{channel}/p{ts.replace('.', '')}"}

    def _history(self, params: Params) -> dict[str, Any]:
        channel = self._channels.by_id(params.get("channel"))
        if not channel.member:
            raise SlackError("not_in_channel")
        return self._shown(
            params,
            [
                message
                for message in reversed(self._messages.values())
                if message["channel"] == channel.id
                and not message["deleted"]
                and (message["thread_ts"] is None or message["reply_broadcast"])
            ],
        )

    def _replies(self, params: Params) -> dict[str, Any]:
        channel, thread = self._channels.by_id(params.get("channel")), str(params.get("ts"))
        if not channel.member:
            raise SlackError("not_in_channel")
        replies = [message for message in self._messages.values() if message["thread_ts"] == thread]
        parent = self._messages.get((channel.id, thread))
        if parent is None or (parent["deleted"] and not replies):
            raise SlackError("thread_not_found")
        return self._shown(params, [parent, *(reply for reply in replies if not reply["deleted"])])

    def _shown(self, params: Params, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """A page of those of ``messages`` that lie within ``oldest`` and ``latest``."""
        oldest, latest = _ts(params, "oldest", 0.0), _ts(params, "latest", math.inf)
        inclusive, metadata = _truth(params.get("inclusive")), _truth(params.get("include_all_metadata"))
        found = [
            public(message, metadata=metadata)
            for message in messages
            if oldest < float(message["ts"]) < latest or (inclusive and float(message["ts"]) in (oldest, latest))
        ]
        page, more = _page(found, params)
        return {"messages": page, "has_more": bool(more), "response_metadata": {"next_cursor": more}}

    def _list(self, params: Params) -> dict[str, Any]:
        kinds = str(params.get("types", "public_channel")).split(",")
        shown = self._channels.listed(kinds, archived=not _truth(params.get("exclude_archived")))
        page, more = _page(shown, params)
        return {"channels": page, "response_metadata": {"next_cursor": more}}

    def _info(self, params: Params) -> dict[str, Any]:
        return {"channel": self._channels.by_id(params.get("channel")).as_json()}

    def _post_ephemeral(self, params: Params) -> dict[str, Any]:
        channel = self._writable(self._channels.meant(params.get("channel")))
        user = self.people.get(params.get("user"))
        if user["deleted"]:
            raise SlackError("user_not_in_channel")
        said = content(params, max_text=MAX_TEXT)
        return {"message_ts": self._whisper(channel, user["id"], said, params.get("thread_ts"))}

    def _whisper(self, channel: Channel, user: str, said: dict[str, Any], thread: Any = None) -> str:
        ts = self._next_ts()
        self.ephemerals.append({"channel": channel.id, "user": user, "ts": ts, "thread_ts": thread, **said})
        return ts

    def _connect(self, _params: Params) -> dict[str, Any]:
        wait = self._connecting.take(self.clock()) if self.limited else 0
        if wait:
            raise SlackError("ratelimited", retry_after=math.ceil(wait))
        return {"url": self.socket.url()}

    def _user(self, params: Params) -> dict[str, Any]:
        return self.people.info(params, emails="users:read.email" in self.scopes)

    def _users(self, params: Params) -> dict[str, Any]:
        page, more = _page(self.people.listed(emails="users:read.email" in self.scopes), params)
        return {"members": page, "response_metadata": {"next_cursor": more}}

    def _groups(self, params: Params) -> dict[str, Any]:
        asked = {name: _truth(params.get(f"include_{name}")) for name in ("disabled", "users", "count")}
        return self.people.groups(**asked)

    def _in_sight(self, channel: str, ts: str) -> tuple[Channel, dict[str, Any]]:
        """The channel of that id or name, and its message, as people see them."""
        found = self._channels.named(channel)
        return found, self._message({"channel": found.id, "ts": ts})

    def _respond(self, channel: Channel, message: dict[str, Any], user: str, params: Params) -> None:
        """Do what was sent to the ``response_url`` of ``message``."""
        place = {"channel": channel.id, "ts": message["ts"]}
        if _truth(params.get("delete_original")):
            self._delete(place)
            return
        said = content(params, max_text=MAX_TEXT)
        if _truth(params.get("replace_original")):
            self._update({**params, **place})
        elif params.get("response_type") == "in_channel":
            self._store(channel.id, said, thread=params.get("thread_ts"))
        else:
            self._whisper(channel, user, said, params.get("thread_ts"))

    def _webhook(self, request: Request) -> Reply:
        try:
            self._post_through_webhook(request)
        except SlackError as error:
            code = "rate_limited" if error.code == "ratelimited" else error.code
            retry = {"Retry-After": str(error.more["retry_after"])} if code == "rate_limited" else {}
            status = _WEBHOOK_STATUS.get(code, 400)
            return Reply(status=status, body=code.encode(), content_type="text/html", headers=retry)
        return Reply.text("ok", content_type="text/html")

    def _post_through_webhook(self, request: Request) -> None:
        if request.path != _WEBHOOK or self.revoked:
            raise SlackError("no_service")
        try:
            params = request.json() if request.body[:1] == b"{" else json.loads(request.form()["payload"])
        except (ValueError, KeyError):
            raise SlackError("invalid_payload") from None
        if not isinstance(params, dict):
            raise SlackError("invalid_payload")
        channel = self._channels.get(self.webhook_channel)
        if channel is None:
            raise SlackError("channel_not_found")
        if channel.archived:
            raise SlackError("channel_is_archived")
        said = content(params, max_text=MAX_TEXT)
        self._spend(channel.id)
        self._store(channel.id, said, thread=params.get("thread_ts"), webhook=True)

    def _store(
        self, channel: str, said: dict[str, Any], *, thread: Any, broadcast: bool = False, webhook: bool = False
    ) -> dict[str, Any]:
        ts = self._next_ts()
        message = {
            "channel": channel,
            "ts": ts,
            **said,
            "thread_ts": thread,
            "reply_broadcast": broadcast,
            "edits": [],
            "webhook": webhook,
            "deleted": False,
        }
        self._messages[channel, ts] = message
        return message

    def _next_ts(self) -> str:
        self._last_ts = max(self._last_ts + 1, int(self.clock().timestamp() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def _spend(self, channel: str) -> None:
        if not self.limited:
            return
        wait = self._rates.setdefault(channel, Trickle(_SECONDS_PER_MESSAGE, _BURST)).take(self.clock())
        if wait:
            raise SlackError("ratelimited", retry_after=math.ceil(wait))

    def _message(self, params: Params) -> dict[str, Any]:
        channel = self._channels.by_id(params.get("channel"))
        message = self._messages.get((channel.id, str(params.get("ts"))))
        if message is None or message["deleted"]:
            raise SlackError("message_not_found")
        return message

    def _writable(self, channel: Channel) -> Channel:
        if channel.archived:
            raise SlackError("is_archived")
        if not channel.member and "chat:write.public" not in self.scopes:
            raise SlackError("not_in_channel")
        return channel


def _params(request: Request) -> Params:
    """The arguments, from the query, a form or a JSON body; in the first two, structures are JSON in a text."""
    params: Params = dict(request.query)
    if "json" in request.header("Content-Type"):
        try:
            body = request.json() if request.body else {}
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        return params | body
    params |= request.form()
    for key in _JSON_PARAMS:
        if params.get(key):
            try:
                params[key] = json.loads(params[key])
            except ValueError:
                raise SlackError("invalid_arguments") from None
    return params


def _page(items: list[dict[str, Any]], params: Params) -> tuple[list[dict[str, Any]], str]:
    """One page of ``items``, and the cursor of the next, empty at the end."""
    try:
        limit = min(max(int(params.get("limit") or 100), 1), 1000)
        start = int(base64.b64decode(str(params.get("cursor") or ""), validate=True) or 0)
    except (ValueError, binascii.Error):
        raise SlackError("invalid_cursor") from None
    end = start + limit
    return items[start:end], base64.b64encode(str(end).encode()).decode() if end < len(items) else ""


def _ts(params: Params, name: str, default: float) -> float:
    try:
        return float(params.get(name) or default)
    except ValueError:
        raise SlackError(f"invalid_ts_{name}") from None


def _truth(value: Any) -> bool:
    return value in (True, 1, "1", "true", "True")
