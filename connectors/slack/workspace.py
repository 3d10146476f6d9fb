"""The workspace that a bot token opens, and the one channel in it that is written to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.slack.account import Account
from connectors.slack.channel import Channel
from connectors.slack.check import findings
from connectors.slack.client import Api, Refused
from connectors.slack.owners import Directory
from connectors.slack.search import MessageSearch, only_looking
from forwarder.connector import Finding, Receipt

_PLACE: Final = re.compile(r"([A-Z][A-Z0-9]+):(\d+\.\d+)")


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
    """What is read of a workspace and known of its channel.

    ``glance`` is the same API as ``api`` with less patience, for what is only nice to know. What looks for messages
    raises Refused.
    """

    def __init__(self, api: Api, glance: Api, channel: str, now: Callable[[], datetime]) -> None:
        self.api = api
        self.account = Account(api, glance, now)
        self.channel = Channel(channel, api, glance, self.account, now)
        self.owners = Directory(glance, self.account, self.channel.notices, now)
        self._messages = MessageSearch(api, self.account, now)

    def permalink(self, place: Place) -> str | None:
        """The address of a message for people; None while the workspace's own address is not known."""
        url = str(self.account.at_a_glance().get("url") or "").rstrip("/")
        return f"{url}/archives/{place.channel}/p{place.ts.replace('.', '')}" if url else None

    def message_with(
        self, metadata: Mapping[str, Any], enqueued_at: datetime, *, besides: str | None = None
    ) -> Place | None:
        """The newest message with ``metadata`` that may be the one owed since then; None: it is in no channel.

        Channels are that of today and those that the config named before; ``besides`` is the id of one to leave out.
        """
        seen, unseen = {besides}, None
        try:
            for look_up in self.channel.look_ups(enqueued_at):
                # One channel that cannot be seen does not hide what stands in another.
                try:
                    channel = look_up()
                    if channel not in seen and (ts := self._messages.in_channel(channel, metadata, enqueued_at)):
                        return Place(channel=channel, ts=ts)
                    seen.add(channel)
                except Refused as refused:
                    unseen = unseen or refused
        except Refused as refused:
            unseen = unseen or refused
        if unseen:
            raise only_looking(unseen)
        return None

    def message_today(self, metadata: Mapping[str, Any], enqueued_at: datetime) -> Place | None:
        """The same in the channel of today alone."""
        try:
            channel = self.channel.searchable_id()
            ts = self._messages.in_channel(channel, metadata, enqueued_at)
        except Refused as refused:
            raise only_looking(refused) from None
        return Place(channel=channel, ts=ts) if ts else None

    def reply_with(self, metadata: Mapping[str, Any], thread: Place, enqueued_at: datetime) -> bool:
        """Whether ``thread`` has a reply with ``metadata`` that may be the one owed since then."""
        try:
            return self._messages.in_thread(thread.channel, thread.ts, metadata, enqueued_at) is not None
        except Refused as refused:
            raise only_looking(refused) from None

    def findings(self) -> list[Finding]:
        """What the token may do, and whether the channel accepts messages, in sentences."""
        return findings(self.api, self.channel)
