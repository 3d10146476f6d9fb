"""The messages of the sandbox's Slack, and how they are read back."""

from __future__ import annotations

import math
from typing import Any

from forwarder.sandbox.limits import Clock
from forwarder.sandbox.slack_message import SlackError, public
from forwarder.sandbox.slack_params import Params, page, timestamp, truth

Message = dict[str, Any]


class Messages:
    """Every message that was ever posted, by channel and ts; ``ephemerals`` are those that one person alone sees."""

    def __init__(self, clock: Clock) -> None:
        self.ephemerals: list[Message] = []
        self._clock = clock
        self._by_place: dict[tuple[str, str], Message] = {}
        self._last_ts = 0

    @property
    def all(self) -> list[Message]:
        """Oldest first, deleted ones included."""
        return list(self._by_place.values())

    def get(self, channel: str, ts: Any) -> Message | None:
        """The message at that place, a deleted one included."""
        return self._by_place.get((channel, str(ts)))

    def add(
        self, channel: str, said: Message, *, thread: Any, broadcast: bool = False, webhook: bool = False
    ) -> Message:
        """Put what was ``said`` into the channel of that id."""
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
        self._by_place[channel, ts] = message
        return message

    def whisper(self, channel: str, user: str, said: Message, thread: Any) -> str:
        """Show what was ``said`` to one user alone, and tell its ts."""
        ts = self._next_ts()
        self.ephemerals.append({"channel": channel, "user": user, "ts": ts, "thread_ts": thread, **said})
        return ts

    def edit(self, message: Message, params: Params, said: Message) -> None:
        """Put what was ``said`` in the place of what ``params`` name; its earlier content is kept."""
        message["edits"].append({key: message[key] for key in ("text", "blocks", "attachments", "metadata")})
        if "text" in params or "blocks" in params:
            message["text"], message["blocks"] = said["text"], said["blocks"]
        for kept in ("attachments", "metadata"):
            if kept in params:
                message[kept] = said[kept]
        message["pings"] += said["pings"]

    def erase(self, message: Message) -> None:
        """Leave a tombstone."""
        message.update(text="", blocks=[], attachments=[], metadata=None, subtype="tombstone", deleted=True)

    def history(self, channel: str, params: Params) -> dict[str, Any]:
        """The answer of conversations.history."""
        return _shown(
            params,
            [
                message
                for message in reversed(self._by_place.values())
                if message["channel"] == channel
                and not message["deleted"]
                and (message["thread_ts"] is None or message["reply_broadcast"])
            ],
        )

    def replies(self, channel: str, params: Params) -> dict[str, Any]:
        """The answer of conversations.replies; raises SlackError."""
        thread = str(params.get("ts"))
        replies = [message for message in self._by_place.values() if message["thread_ts"] == thread]
        parent = self.get(channel, thread)
        if parent is None or (parent["deleted"] and not replies):
            raise SlackError("thread_not_found")
        return _shown(params, [parent, *(reply for reply in replies if not reply["deleted"])])

    def _next_ts(self) -> str:
        self._last_ts = max(self._last_ts + 1, int(self._clock().timestamp() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"


def _shown(params: Params, messages: list[Message]) -> dict[str, Any]:
    """A page of those of ``messages`` that lie within ``oldest`` and ``latest``."""
    oldest, latest = timestamp(params, "oldest", 0.0), timestamp(params, "latest", math.inf)
    inclusive, metadata = truth(params.get("inclusive")), truth(params.get("include_all_metadata"))
    found = [
        public(message, metadata=metadata)
        for message in messages
        if oldest < float(message["ts"]) < latest or (inclusive and float(message["ts"]) in (oldest, latest))
    ]
    shown, more = page(found, params)
    return {"messages": shown, "has_more": bool(more), "response_metadata": {"next_cursor": more}}
