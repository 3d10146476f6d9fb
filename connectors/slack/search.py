"""Whether a message is there. "No" is only said where all was seen; whatever hides anything is a failed look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.slack.account import Account
from connectors.slack.client import Api, Refusal, Refused
from connectors.slack.lists import Lists, entries

_SKEW: Final = timedelta(days=1)  # how far Slack's clock and ours may be apart: a clock set to local time is hours off
_SHORTEST_RETENTION: Final = timedelta(days=1)
"""https://slack.com/help/articles/203457187-Customize-data-retention-in-Slack"""

_ONLY_LOOKING: Final = {
    "missing_scope": "add the scope channels:history (private channels: groups:history)",
    "no_permission": "add the scope channels:history (private channels: groups:history)",
    "not_in_channel": "invite the bot to the channel",
    "channel_not_found": "check the channel, and invite the bot",
    "is_archived": "unarchive the channel",
    "unknown_method": "let the proxy in between pass conversations.history and conversations.replies",
}
"""Codes that stop a look, though a message may well pass: they alone are no reason to pause the whole connector."""


class MessageSearch:
    """Looks for what the token's bot has posted. Every failure is a Refused."""

    def __init__(self, api: Api, account: Account, now: Callable[[], datetime]) -> None:
        self._api, self._account, self._now = api, account, now
        self._lists = Lists(api, now)

    def in_channel(self, channel: str, metadata: Mapping[str, Any], enqueued_at: datetime) -> str | None:
        """The time stamp of the newest message that carries ``metadata`` and may be the one owed since then."""
        return self._search("conversations.history", metadata, enqueued_at, channel=channel)

    def in_thread(self, channel: str, thread: str, metadata: Mapping[str, Any], enqueued_at: datetime) -> str | None:
        """The same among the replies to the message ``thread``."""
        try:
            return self._search("conversations.replies", metadata, enqueued_at, channel=channel, ts=thread)
        except Refused as refused:
            if refused.code == "thread_not_found":
                return None  # neither the message nor any reply is left
            raise

    def _search(self, method: str, metadata: Mapping[str, Any], enqueued_at: datetime, **where: str) -> str | None:
        limited, silent, speaking = False, [], False
        oldest = _ts(enqueued_at - _SKEW)
        for page in self._lists.pages(method, include_all_metadata=True, oldest=oldest, **where):
            limited = limited or bool(page.get("is_limited"))
            for message in entries(page, "messages"):
                if _carries(message, metadata):
                    return str(message["ts"])
                if message.get("metadata"):
                    speaking = True
                elif message.get("subtype") in (None, "bot_message"):
                    silent.append(message)
        if silent and not speaking:
            self._check_metadata(silent)
        if limited or self._now() - enqueued_at > _SHORTEST_RETENTION:
            self._check_reach(where["channel"], enqueued_at)
        return None

    def _check_metadata(self, silent: list[Mapping[str, Any]]) -> None:
        """A message of our own without its metadata may be any: raises Refused where there is one."""
        us = self._account.whoami()
        ours = {us.get("bot_id"), us.get("user_id")} - {None}
        if any((message.get("bot_id") or message.get("user")) in ours for message in silent):
            raise Refused(
                Refusal.RETRY, "Slack shows the bot's own messages without their metadata, by which they are told apart"
            )

    def _check_reach(self, channel: str, enqueued_at: datetime) -> None:
        """Raises Refused where nothing that old is shown: what is looked for may have been deleted by now."""
        before = self._api.read("conversations.history", channel=channel, latest=_ts(enqueued_at), limit=1).data
        if not entries(before, "messages"):
            raise Refused(
                Refusal.RETRY,
                "Slack's history does not reach back to when the message was owed: it may have been there",
            )


def only_looking(refused: Refused) -> Refused:
    """``refused`` as a failed look: one that leaves the message uncertain, and the connector at work."""
    if refused.code not in _ONLY_LOOKING:
        return refused
    return Refused(
        Refusal.RETRY,
        f"it cannot be looked up whether the message is there ({refused.code}): {_ONLY_LOOKING[refused.code]}",
        code=refused.code,
    )


def _carries(message: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    carried = message.get("metadata")
    payload = carried.get("event_payload") if isinstance(carried, Mapping) else None
    if not isinstance(carried, Mapping) or not isinstance(payload, Mapping):
        return False
    return bool(carried.get("event_type") == metadata["event_type"]) and all(
        payload.get(key) == value for key, value in metadata["event_payload"].items()
    )


def _ts(instant: datetime) -> str:
    return f"{instant.timestamp():.6f}"
