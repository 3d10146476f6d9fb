"""The channels of the sandbox's Slack: their names change, their ids stay.

https://docs.slack.dev/reference/objects/conversation-object
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from forwarder.sandbox.slack_message import SlackError


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """One channel. ``member`` is whether the bot is in it."""

    id: str
    name: str
    archived: bool = False
    private: bool = False
    member: bool = True
    previous_names: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "is_channel": not self.private,
            "is_private": self.private,
            "is_archived": self.archived,
            "is_member": self.member,
            "previous_names": list(self.previous_names),
        }


class Channels:
    """All channels of the workspace, by id."""

    def __init__(self, *names: str) -> None:
        self._by_id: dict[str, Channel] = {}
        self._deleted: set[str] = set()
        for name in names:
            self.add(name)

    def add(self, name: str, *, archived: bool = False, private: bool = False, member: bool = True) -> str:
        """Make the channel ``name`` (or remake it), and tell its id."""
        name = name.removeprefix("#")
        channel_id = "C0" + "".join(char for char in name.upper() if char.isalnum())
        while not self._is_free(channel_id, name):
            channel_id += "X"
        self._by_id[channel_id] = Channel(id=channel_id, name=name, archived=archived, private=private, member=member)
        return channel_id

    def change(self, wanted: str, **changes: Any) -> None:
        """Change the channel of that id or name, whether the bot sees it or not."""
        channel = self.named(wanted)
        self._by_id[channel.id] = replace(channel, **changes)

    def rename(self, wanted: str, name: str) -> None:
        """Give the channel of that id or name another name."""
        channel = self.named(wanted)
        self.change(channel.id, name=name.removeprefix("#"), previous_names=(*channel.previous_names, channel.name))

    def remove(self, wanted: str) -> None:
        """Delete the channel of that id or name."""
        channel = self.named(wanted)
        del self._by_id[channel.id]
        self._deleted.add(channel.id)

    def get(self, channel_id: Any) -> Channel | None:
        """The channel of that id, whether the bot sees it or not."""
        return self._by_id.get(str(channel_id))

    def by_id(self, channel_id: Any) -> Channel:
        """The channel of that id, as the bot sees it; raises SlackError."""
        channel = self.get(channel_id)
        if channel is None or (channel.private and not channel.member):
            raise SlackError("channel_not_found")
        return channel

    def meant(self, wanted: Any) -> Channel:
        """The channel of that id or name, as the bot sees it; raises SlackError."""
        return self.by_id(self.named(wanted).id)

    def listed(self, kinds: list[str], *, archived: bool) -> list[dict[str, Any]]:
        """Those of ``kinds`` that the bot sees, with or without ``archived`` ones."""
        return [
            channel.as_json()
            for channel in self._by_id.values()
            if ("private_channel" if channel.private else "public_channel") in kinds
            and (channel.member or not channel.private)
            and (archived or not channel.archived)
        ]

    def _is_free(self, channel_id: str, name: str) -> bool:
        """Whether no other channel has the id or had it: one that was renamed keeps it, and none is used again."""
        taken = self._by_id.get(channel_id)
        return channel_id not in self._deleted and (taken is None or taken.name == name)

    def named(self, wanted: Any) -> Channel:
        """The channel of that id or name, whether the bot sees it or not; raises SlackError."""
        name = str(wanted).removeprefix("#")
        for channel in self._by_id.values():
            if wanted == channel.id or name == channel.name:
                return channel
        raise SlackError("channel_not_found")
