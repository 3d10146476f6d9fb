"""What can be read from a Slack workspace: where messages stand, which channel is meant, what a token may do."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.slack.client import Api, Refused
from forwarder.connector import Finding, Receipt

HISTORY_PAGES: Final = 10
PAGE: Final = 200
"""How far back a channel is read, and items a page; Slack advises no more than 200.
https://docs.slack.dev/reference/methods/conversations.history"""

_BLIND: Final = {"missing_scope", "not_in_channel", "unknown_method", "thread_not_found"}
"""Codes that mean that the token cannot look, now or later. Then nothing was seen: better twice than lost."""

_CHANNEL_ID: Final = re.compile(r"[CDG][A-Z0-9]{6,}")
_PLACE: Final = re.compile(r"([A-Z][A-Z0-9]+):(\d+\.\d+)")
_TEAM_PAUSE: Final = timedelta(minutes=5)
_SCOPES_AT: Final = "under OAuth & Permissions at https://api.slack.com/apps, then reinstall the app"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a message stands: its channel's id and its time stamp, which is its id there."""

    channel: str
    ts: str

    @classmethod
    def of(cls, receipt: Receipt | None) -> Place | None:
        """What a receipt names; None where it names no message, as a webhook's does not."""
        match = _PLACE.fullmatch(receipt.remote_id) if receipt else None
        return cls(channel=match[1], ts=match[2]) if match else None

    @property
    def remote_id(self) -> str:
        """The place as a receipt holds it."""
        return f"{self.channel}:{self.ts}"


class Workspace:
    """The workspace that ``api``'s token opens, and the one channel in it that is written to.

    ``glance`` is the same API with less patience, for what is only nice to know. All but ``permalink`` and ``findings``
    raise Refused.
    """

    def __init__(self, api: Api, glance: Api, channel: str, now: Callable[[], datetime]) -> None:
        self.api = api
        self.channel = channel
        self._glance = glance
        self._now = now
        self._channel_id = channel if _CHANNEL_ID.fullmatch(channel) else None
        self._asking = threading.Lock()
        self._url: str | None = None
        self._ask_again: datetime | None = None

    def learn(self, channel_id: str) -> None:
        """Keeps the channel's id, which an answer to a post names."""
        self._channel_id = self._channel_id or channel_id

    def permalink(self, place: Place) -> str | None:
        """The address of a message for people; None while the workspace's own address is not known."""
        # Whoever comes while another thread asks goes without: a link is not worth a delay.
        if self._url is None and self._asking.acquire(blocking=False):
            try:
                if self._ask_again is None or self._now() >= self._ask_again:
                    self._ask_again = self._now() + _TEAM_PAUSE
                    self._url = str(self._glance.read("auth.test").data.get("url") or "")
            except Refused:
                pass
            finally:
                self._asking.release()
        return f"{self._url.rstrip('/')}/archives/{place.channel}/p{place.ts.replace('.', '')}" if self._url else None

    def message_with(self, metadata: Mapping[str, Any], since: datetime) -> Place | None:
        """The channel's newest message after ``since`` that carries ``metadata``; None where none can be seen."""
        try:
            channel = self._find_channel_id()
            found = channel and self._look("conversations.history", metadata, channel=channel, oldest=_ts(since))
        except Refused as refused:
            if refused.code in _BLIND:
                return None
            raise
        return Place(channel=channel, ts=str(found["ts"])) if channel and found else None

    def reply_with(self, metadata: Mapping[str, Any], thread: Place, since: datetime) -> bool:
        """Whether a reply in ``thread`` after ``since`` is seen that carries ``metadata``."""
        where = {"channel": thread.channel, "ts": thread.ts, "oldest": _ts(since)}
        try:
            return self._look("conversations.replies", metadata, **where) is not None
        except Refused as refused:
            if refused.code in _BLIND:
                return False
            raise

    def _look(self, method: str, metadata: Mapping[str, Any], **where: str) -> Mapping[str, Any] | None:
        seen = self._pages(method, "messages", include_all_metadata=True, **where)
        return next((message for message in seen if _carries(message, metadata)), None)

    def _find_channel_id(self) -> str | None:
        if self._channel_id is None and (channel := self._listed()):
            self._channel_id = str(channel["id"])
        return self._channel_id

    def _listed(self) -> Mapping[str, Any] | None:
        """The channel, looked up by its name among those that the token may list."""
        name = self.channel.removeprefix("#")
        try:
            listed = self._pages("conversations.list", "channels", types="public_channel,private_channel")
            return next((channel for channel in listed if channel.get("name") == name), None)
        except Refused as refused:
            if refused.code != "missing_scope":
                raise
            # One scope is enough for channels that are public.
            listed = self._pages("conversations.list", "channels", types="public_channel")
            return next((channel for channel in listed if channel.get("name") == name), None)

    def _pages(self, method: str, key: str, **params: Any) -> Iterator[Mapping[str, Any]]:
        cursor = ""
        for _ in range(HISTORY_PAGES):
            data = self.api.read(method, limit=PAGE, **params, **({"cursor": cursor} if cursor else {})).data
            yield from (item for item in data.get(key) or () if isinstance(item, Mapping))
            cursor = (data.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    def findings(self) -> list[Finding]:
        """What the token may do, and whether the channel accepts messages, in sentences."""
        try:
            answer = self.api.read("auth.test")
        except Refused as refused:
            return [Finding(False, f"Slack does not accept the token: {refused.reason}.")]
        bot, team = answer.data.get("user", "?"), answer.data.get("team", "?")
        found = [Finding(True, f"Slack knows the token: {bot} in the workspace {team}.")]
        granted = answer.headers.get("x-oauth-scopes")
        scopes = None if granted is None else {scope.strip() for scope in granted.split(",")}
        if scopes is not None:
            found += _about_scopes(scopes)
        return [*found, self._about_channel(scopes or set())]

    def _about_channel(self, scopes: set[str]) -> Finding:
        try:
            if self._channel_id:
                channel = self.api.read("conversations.info", channel=self._channel_id).data.get("channel")
            else:
                channel = self._listed()
        except Refused as refused:
            if refused.code == "missing_scope":
                return Finding(
                    True,
                    f"Whether {self.channel} accepts messages was not checked, since the token lacks channels:read: "
                    "a test message will show it.",
                )
            return Finding(False, f"The channel {self.channel} cannot be read: {refused.reason}.")
        if not isinstance(channel, Mapping):
            return Finding(False, f"The bot sees no channel {self.channel}: check the name, or invite the bot.")
        if channel.get("is_archived"):
            return Finding(False, f"The channel {self.channel} is archived: unarchive it or name another one.")
        if channel.get("is_member") is False:
            if "chat:write.public" in scopes and not channel.get("is_private"):
                return Finding(
                    True,
                    f"The bot is allowed to post to {self.channel} without being in it. Invite it all the same: only "
                    "members can see whether a message arrived.",
                )
            return Finding(False, f"The bot is not in {self.channel}: write /invite and its name there.")
        return Finding(True, f"The bot is in {self.channel}, which accepts messages.")


def _carries(message: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    carried = message.get("metadata") or {}
    payload: dict[str, Any] = carried.get("event_payload") or {}
    wanted: dict[str, Any] = metadata["event_payload"]
    return bool(carried.get("event_type") == metadata["event_type"]) and all(
        payload.get(key) == value for key, value in wanted.items()
    )


def _about_scopes(scopes: set[str]) -> list[Finding]:
    found = []
    if "chat:write" not in scopes:
        found.append(Finding(False, f"The token is not allowed to post: add the scope chat:write {_SCOPES_AT}."))
    if scopes.isdisjoint({"channels:history", "groups:history"}):
        found.append(
            Finding(
                False,
                "After a cut connection a message may be posted twice, since the token is not allowed to look for "
                f"the first: add the scope channels:history (groups:history for a private channel) {_SCOPES_AT}.",
            )
        )
    return found


def _ts(instant: datetime) -> str:
    return f"{instant.timestamp():.6f}"
