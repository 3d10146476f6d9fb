"""The channel that the config means. Names change hands, ids do not: the id is kept from Slack's first answer on.

As long as the channel with that id accepts messages it is the one, whatever it is called by now and whoever bears the
configured name: people go on reading where they read so far, and nobody reads along by taking over a name. The id is
kept for one name in one workspace, so another ``channel`` or a token of another workspace begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from connectors.slack.account import Account
from connectors.slack.client import Api, Refusal, Refused
from connectors.slack.lists import Lists, entries
from forwarder.connector import Failed, Memory, Notices, ProcessMemory, clean, cut, one_line
from forwarder.places import Places

_KEPT: Final = "channel"
_CONFIGURED: Final = "configured"
"""Keys of the memory: the channel as it is known, and as the config names it."""

NOT_LISTED: Final = "not_listed"
"""The code, beside Slack's own, of a channel that the token does not see, although it may write there."""

_LOOK_UP: Final = timedelta(seconds=10)
_PUBLIC: Final = "public_channel"
_EVERY_KIND: Final = f"{_PUBLIC},private_channel"
_BY_ID: Final = "write its id into the config in place of its name (Slack shows it at the end of the channel's details)"
_NO_CHANNEL: Final = {
    "channel_not_found",
    "invalid_arguments",
    "invalid_channel",
    "method_not_supported_for_channel_type",
}


class Channel:
    """One channel by its configured name or id. All but ``learn``, ``forget`` and ``review`` raise Refused."""

    def __init__(self, configured: str, api: Api, glance: Api, account: Account, now: Callable[[], datetime]) -> None:
        self.configured = configured
        self.name = configured.removeprefix("#")
        self.is_id = not configured.startswith("#") and configured != configured.lower()
        """Certain where it says so: Slack's names have no capitals."""
        self._api, self._glance, self._account, self._now = api, glance, account, now
        self._lists = Lists(api, now)
        self._memory: Memory = ProcessMemory()
        self.notices = Notices()
        self._places = Places(configured, now, key=_CONFIGURED)
        self._former: dict[str, Channel] = {}
        self._id: str | None = None
        self._review_at: datetime | None = None

    def remember(self, memory: Memory) -> None:
        """Takes over what earlier processes learned."""
        self._memory = memory
        self.notices.remember(memory)
        self._places.remember(memory)
        with suppress(Failed):
            if _read(memory.get(_KEPT)).get("name") != self.name:
                self._leave()

    def address(self) -> str:
        """What a new message is addressed to."""
        return self.configured if self.is_id else self.known_id() or self.configured

    def known_id(self) -> str | None:
        """The id, where an answer told it, to this process or to an earlier one."""
        if self._id is None:
            kept = _read(self._memory.get(_KEPT))
            if kept.get("name") != self.name:
                return None
            if kept.get("team") == self._account.whoami().get("team_id"):
                self._id = kept.get("id")
            else:
                self._leave()
        return self._id

    def is_elsewhere(self, channel_id: str) -> bool:
        """Whether a message in that channel stands elsewhere than where new ones go; no, where nobody can tell.

        After a change of ``channel`` the id is not known before the first message, but Slack knows the old one's name.
        """
        if today := self.known_id() or (self.configured if self.is_id else None):
            return today != channel_id
        with suppress(Refused):
            info = self.info(channel_id, self._glance)
            names = [info.get("name"), *(info.get("previous_names") or ()), info.get("id")]
            return not any(_same(name, self.name) for name in names)
        return any(former.get("id") == channel_id for former in self._places.left())

    def sending(self) -> AbstractContextManager[None]:
        """Around a new message: where it goes is kept before, for its answer may be lost."""
        return self._places.sending()

    def learn(self, channel_id: str) -> None:
        """Keeps the id that Slack's answer to a message told."""
        self._id, team = channel_id, self._team()
        self._places.mark(id=channel_id, **team)
        if team:
            self._memory.put(_KEPT, json.dumps({"name": self.name, **team, "id": channel_id}))

    def forget(self) -> str | None:
        """Lets go of the id, and returns it."""
        forgotten, self._id = self._id, None
        with suppress(Failed):
            self._leave()
        return forgotten

    def searchable_id(self) -> str:
        """The id, looked up if need be: a name that is not seen does not show that nothing is there."""
        if known := self.known_id():
            return known
        if self.is_id or self._is_id_after_all():
            return self.configured
        if listed := self.listed():
            self._id = str(listed["id"])
            return self._id
        raise Refused(
            Refusal.RETRY,
            f"the channel {self.configured} could not be looked up, so it is not known whether the message is there: "
            f"invite the bot and give it channels:read (private channels: groups:read), or {_BY_ID}",
            code=NOT_LISTED,
        )

    def look_ups(self, enqueued_at: datetime) -> Iterator[Callable[[], str]]:
        """What tells the ids under which a message may stand that is owed since then: the channel's, then former ones.

        It is sent to the channel of today, but an earlier attempt may have sent it to where the config led then. What
        went to another workspace can neither be looked for nor be read by those who look here: it is sent to them.
        """
        yield self.searchable_id
        self._places.mark(**self._team())  # it is sent again to this one, as long as the token leads here
        if former := self._places.left_since(enqueued_at):
            team = self._account.whoami().get("team_id")
            for place in former:
                if place.get("team") in (None, team):
                    yield partial(self._former_id, place)

    def _former_id(self, place: Mapping[str, Any]) -> str:
        if known := place.get("id"):
            return str(known)
        name = str(place["place"])
        if name not in self._former:
            self._former[name] = Channel(name, self._api, self._glance, self._account, self._now)
        try:
            return self._former[name].searchable_id()
        except Refused as refused:
            if refused.code != NOT_LISTED:
                raise
            reason = f"the config named {name} when the message was owed, and that channel could not be looked up"
            raise Refused(
                refused.refusal, f"{reason}: invite the bot to it, or discard the delivery", code=NOT_LISTED
            ) from None

    def _team(self) -> dict[str, str]:
        team = self._account.at_a_glance().get("team_id")
        return {"team": str(team)} if team else {}

    def _leave(self) -> None:
        kept = _read(self._memory.get(_KEPT))
        if kept.get("id"):
            self._places.leave({"place": kept.get("name"), "team": kept.get("team"), "id": kept["id"]})
        self._memory.put(_KEPT, "")
        self.notices.say(_KEPT, "")  # it spoke of that channel

    def listed(self) -> Mapping[str, Any] | None:
        """The channel of that name among all that the token may list, else one that bore the name before."""
        try:
            return self._named(_EVERY_KIND)
        except Refused as refused:
            if refused.code != "missing_scope":
                raise
            return self._named(_PUBLIC)  # one scope is enough for channels that are public

    def info(self, channel_id: str, api: Api | None = None) -> Mapping[str, Any]:
        """What Slack says of a channel by its id."""
        channel = (api or self._api).read("conversations.info", channel=channel_id).data.get("channel")
        return channel if isinstance(channel, Mapping) else {}

    def review(self) -> None:
        """Tells people, now and then and without delay, where the config's name is not the channel's any more."""
        if self.is_id or self._id is None or (self._review_at is not None and self._now() < self._review_at):
            return
        self._review_at = self._now() + _LOOK_UP
        with suppress(Failed):
            self.notices.say(_KEPT, self.out_of_date(self.info(self._id, self._glance)))

    def out_of_date(self, info: Mapping[str, Any]) -> str:
        """What to put right in the config where the channel bears another name; empty where all is well."""
        name = str(info.get("name") or "")
        if not name or _same(name, self.name) or _same(info.get("id"), self.name):
            return ""
        now = cut(one_line(clean(name)), 100)
        return (
            f"The channel {self.configured} is called #{now} by now"
            + (", where messages go on arriving: " if self._id else ": ")
            + f'put channel: "#{now}" into the config.'
        )

    def _is_id_after_all(self) -> bool:
        """Whether a text that could be a name or an id is an id: that is tried, for Slack's forms of ids change."""
        if self.configured.startswith("#"):
            return False
        try:
            self._api.read("conversations.history", channel=self.configured, limit=1)
        except Refused as refused:
            if refused.code not in _NO_CHANNEL:
                raise
            return False
        return True

    def _named(self, kinds: str) -> Mapping[str, Any] | None:
        former = None
        for channel in self._all(kinds):
            if _same(channel.get("name"), self.name):
                return channel
            names = channel.get("previous_names")
            if isinstance(names, list) and any(_same(name, self.name) for name in names):
                former = former or channel
        return former

    def _all(self, kinds: str) -> Iterator[Mapping[str, Any]]:
        for page in self._lists.pages("conversations.list", types=kinds):
            yield from entries(page, "channels")


def _same(one: object, other: str) -> bool:
    return str(one).casefold() == other.casefold()


def _read(kept: str) -> Mapping[str, Any]:
    try:
        said = json.loads(kept or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, Mapping) else {}
