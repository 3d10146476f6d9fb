"""A stand-in for Slack: the Web API methods that a forwarder uses.

https://docs.slack.dev/reference/methods
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from forwarder.sandbox import slack_socket, slack_tokens, slack_webhook
from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock, SlidingWindow, Trickle
from forwarder.sandbox.server import Service
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
from forwarder.sandbox.slack_messages import Messages
from forwarder.sandbox.slack_params import Params, page, read, truth
from forwarder.sandbox.slack_people import People
from forwarder.sandbox.slack_views import Views

_API: Final = "/api/"
_TEAM_URL: Final = "https://sandbox.slack.com"
_CONNECTIONS_PER_MINUTE: Final = 50
_SECONDS_PER_MESSAGE: Final = 1.0
_BURST: Final = 4
"""Messages that pass at once after a pause. Slack says "short bursts"; how short it does not say."""
_REFUSALS: Final = {429: "ratelimited", 503: "service_unavailable", 408: "request_timeout"}


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
    verbs = ("click", "submit", "dismiss")

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
        self._messages = Messages(clock)
        self._webhook = slack_webhook.Webhook(self._channels, self._messages, spend=self._spend)
        self._rates: dict[str, Trickle] = {}
        self._connecting = SlidingWindow(_CONNECTIONS_PER_MINUTE, 60)
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
        return self.origin + slack_webhook.PATH

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Every message that was ever posted, oldest first, deleted ones included."""
        with self.lock:
            return self._messages.all

    @property
    def ephemerals(self) -> list[dict[str, Any]]:
        """Every message that one person alone sees, oldest first."""
        with self.lock:
            return list(self._messages.ephemerals)

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
                for message in self._messages.all
            ]
        }

    def refuse(self, status: int) -> Reply:
        headers = {"Retry-After": "1"} if status == 429 else {}
        return Reply.json({"ok": False, "error": _REFUSALS.get(status, "internal_error")}, status, headers)

    def respond(self, request: Request) -> Reply:
        if request.path.startswith(slack_webhook.PREFIX):
            return self._webhook.take(request, self.webhook_channel, revoked=self.revoked)
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
        params = read(request)
        method = self._methods.get(name)
        if method is not None and method.app:
            slack_tokens.check_app(request, params, bot=self.token, app=self.app_token)
            scopes = self.app_scopes
        else:
            slack_tokens.check_bot(request, params, bot=self.token, app=self.app_token)
            scopes = self.scopes
        if self.revoked:
            raise SlackError("token_revoked")
        if method is None:
            raise SlackError("unknown_method", req_method=name)
        if method.scopes and scopes.isdisjoint(method.scopes):
            raise SlackError("missing_scope", needed=method.scopes[0], provided=",".join(sorted(scopes)))
        return method.run(params)

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
        if thread is not None and self._messages.get(channel.id, thread) is None:
            raise SlackError("thread_not_found")
        self._spend(channel.id)
        message = self._messages.add(channel.id, said, thread=thread, broadcast=truth(params.get("reply_broadcast")))
        return {"channel": channel.id, "ts": message["ts"], "message": public(message, metadata=True)}

    def _update(self, params: Params) -> dict[str, Any]:
        message = self._message(params)
        self._writable(self._channels.by_id(message["channel"]))
        said = content(params, max_text=MAX_TEXT_UPDATE)
        self._messages.edit(message, params, said)
        return {
            "channel": message["channel"],
            "ts": message["ts"],
            "text": message["text"],
            "message": public(message),
        }

    def _delete(self, params: Params) -> dict[str, Any]:
        message = self._message(params)
        self._messages.erase(message)
        return {"channel": message["channel"], "ts": message["ts"]}

    def _permalink(self, params: Params) -> dict[str, Any]:
        message = self._message({"channel": params.get("channel"), "ts": params.get("message_ts")})
        channel, ts = message["channel"], message["ts"]
        return {"channel": channel, "permalink": f"{_TEAM_URL}/archives/{channel}/p{ts.replace('.', '')}"}

    def _history(self, params: Params) -> dict[str, Any]:
        channel = self._channels.by_id(params.get("channel"))
        if not channel.member:
            raise SlackError("not_in_channel")
        return self._messages.history(channel.id, params)

    def _replies(self, params: Params) -> dict[str, Any]:
        channel = self._channels.by_id(params.get("channel"))
        if not channel.member:
            raise SlackError("not_in_channel")
        return self._messages.replies(channel.id, params)

    def _list(self, params: Params) -> dict[str, Any]:
        kinds = str(params.get("types", "public_channel")).split(",")
        listed = self._channels.listed(kinds, archived=not truth(params.get("exclude_archived")))
        shown, more = page(listed, params)
        return {"channels": shown, "response_metadata": {"next_cursor": more}}

    def _info(self, params: Params) -> dict[str, Any]:
        return {"channel": self._channels.by_id(params.get("channel")).as_json()}

    def _post_ephemeral(self, params: Params) -> dict[str, Any]:
        channel = self._writable(self._channels.meant(params.get("channel")))
        user = self.people.get(params.get("user"))
        if user["deleted"]:
            raise SlackError("user_not_in_channel")
        said = content(params, max_text=MAX_TEXT)
        return {"message_ts": self._messages.whisper(channel.id, user["id"], said, params.get("thread_ts"))}

    def _connect(self, _params: Params) -> dict[str, Any]:
        wait = self._connecting.take(self.clock()) if self.limited else 0
        if wait:
            raise SlackError("ratelimited", retry_after=math.ceil(wait))
        return {"url": self.socket.url()}

    def _user(self, params: Params) -> dict[str, Any]:
        return self.people.info(params, emails="users:read.email" in self.scopes)

    def _users(self, params: Params) -> dict[str, Any]:
        shown, more = page(self.people.listed(emails="users:read.email" in self.scopes), params)
        return {"members": shown, "response_metadata": {"next_cursor": more}}

    def _groups(self, params: Params) -> dict[str, Any]:
        asked = {name: truth(params.get(f"include_{name}")) for name in ("disabled", "users", "count")}
        return self.people.groups(**asked)

    def _in_sight(self, channel: str, ts: str) -> tuple[Channel, dict[str, Any]]:
        """The channel of that id or name, and its message, as people see them."""
        found = self._channels.named(channel)
        return found, self._message({"channel": found.id, "ts": ts})

    def _respond(self, channel: Channel, message: dict[str, Any], user: str, params: Params) -> None:
        """Do what was sent to the ``response_url`` of ``message``."""
        place = {"channel": channel.id, "ts": message["ts"]}
        if truth(params.get("delete_original")):
            self._delete(place)
            return
        said = content(params, max_text=MAX_TEXT)
        if truth(params.get("replace_original")):
            self._update({**params, **place})
        elif params.get("response_type") == "in_channel":
            self._messages.add(channel.id, said, thread=params.get("thread_ts"))
        else:
            self._messages.whisper(channel.id, user, said, params.get("thread_ts"))

    def _spend(self, channel: str) -> None:
        if not self.limited:
            return
        wait = self._rates.setdefault(channel, Trickle(_SECONDS_PER_MESSAGE, _BURST)).take(self.clock())
        if wait:
            raise SlackError("ratelimited", retry_after=math.ceil(wait))

    def _message(self, params: Params) -> dict[str, Any]:
        channel = self._channels.by_id(params.get("channel"))
        message = self._messages.get(channel.id, params.get("ts"))
        if message is None or message["deleted"]:
            raise SlackError("message_not_found")
        return message

    def _writable(self, channel: Channel) -> Channel:
        if channel.archived:
            raise SlackError("is_archived")
        if not channel.member and "chat:write.public" not in self.scopes:
            raise SlackError("not_in_channel")
        return channel
