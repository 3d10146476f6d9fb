"""Whom a message calls: the owners that the config names, by the ids under which Slack knows them.

A message is made with their names as plain text. Where it is told to the channel anew these become mentions, which
ping; an edit leaves them as they are, so that nobody is pinged twice. Who is not found is named all the same.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, RootModel, field_validator

from connectors.slack.client import Api, Refused
from connectors.slack.lists import Lists, entries
from connectors.slack.markup import escape_within, mrkdwn
from forwarder.connector import Delivery, Failed, Finding, Memory, Notices, ProcessMemory

if TYPE_CHECKING:
    from connectors.slack.account import Account

MAX_OWNERS: Final = 10
"""What people can absorb of those who must act on one alert."""

_BLOCK: Final = "owners"
"""The id of the block that names them."""

_MAX_NAME: Final = 80
_ID: Final = re.compile(r"[SUW](?=[A-Z]*[0-9])[A-Z0-9]{4,}")
_MENTION: Final = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>|<!subteam\^(S[A-Z0-9]+)(?:\|[^>]*)?>")
_HANDLE: Final = re.compile(r"@[^\s@<>&|]+")
_EVERYBODY: Final = {"@channel", "@here", "@everyone"}
_NOBODY: Final[Mapping[str, str]] = MappingProxyType({})

_KEEP: Final = timedelta(hours=12)
_PAUSE: Final = timedelta(minutes=5)
_KEPT: Final = "owners"
"""The key of the memory: the ids found so far, and of which workspace."""

_GROUPS, _USERS = "usergroups:read", "users:read"
_BY_ID: Final = "or write the id in the config (U… of a person, S… of a user group)"


class SlackOwner(RootModel[str]):
    """A user group or a person, @dev-tools or @ada, or the id (S…, U…): pinged once, by an alert's first message."""

    root: str = Field(examples=["@dev-tools", "@ada", "S0123456789"])

    @field_validator("root")
    @classmethod
    def _is_somebody(cls, text: str) -> str:
        text = text.strip()
        if match := _MENTION.fullmatch(text):
            return match[1] or match[2]
        if text.casefold() in _EVERYBODY:
            raise ValueError("must name a user group or a person: everybody is no owner")
        if len(text) > _MAX_NAME or not (_ID.fullmatch(text) or _HANDLE.fullmatch(text)):
            raise ValueError('must be "@" and the handle of a user group or a person, or an id such as S0123456789')
        return text


def names(delivery: Delivery) -> list[str]:
    """Those who must act on what ``delivery`` tells, as the config calls them."""
    return [owner.root for owner in delivery.owners if isinstance(owner, SlackOwner)][:MAX_OWNERS]


def named_in(message: Mapping[str, Any], delivery: Delivery) -> dict[str, Any]:
    """``message`` with a line that names those who must act, and pings nobody."""
    owners = names(delivery)
    if not owners:
        return dict(message)
    blocks = list(message["blocks"])
    block = {"type": "section", "block_id": _BLOCK, "text": mrkdwn(line(owners))}
    blocks.insert(next((at for at, one in enumerate(blocks) if one["type"] == "actions"), len(blocks)), block)
    fallback = f"{message.get('fallback', message['text'])}\n{line(owners)}"
    return {**message, "blocks": blocks, "fallback": fallback, "owners": owners}


def line(owners: Sequence[str], mentions: Mapping[str, str] = _NOBODY) -> str:
    """``owners`` in a line of mrkdwn, those of ``mentions`` as these."""
    shown = [mentions.get(owner) or escape_within(owner, _MAX_NAME) for owner in owners]
    return f"👤 {'Owner' if len(shown) == 1 else 'Owners'}: {', '.join(shown)}"


def calling(payload: Mapping[str, Any], mentions: Mapping[str, str]) -> dict[str, Any]:
    """``payload`` with its owners called: what pings is ``mentions`` alone, and only in the line made for them."""
    owners = payload.get("owners") or []
    if not owners or not mentions:
        return dict(payload)
    plain, called = line(owners), line(owners, mentions)
    found = [
        {**block, "text": mrkdwn(called)} if block.get("block_id") == _BLOCK else block
        for block in payload.get("blocks", ())
    ]
    # It is the last line but for notes of our own, whatever an alert's text says before.
    before, there, after = str(payload.get("fallback", "")).rpartition(plain)
    fallback = {"fallback": before + called + after} if there else {}
    return {**payload, "blocks": found, **fallback}


class Directory:
    """Who the config's owners are in the workspace. A webhook has no ``api``: there only ids are known.

    ``api`` has little patience: a message does not wait long for this, and never fails for it.
    """

    def __init__(self, api: Api | None, account: Account | None, notices: Notices, now: Callable[[], datetime]) -> None:
        self._api, self._account, self._notices, self._now = api, account, notices, now
        self._lists = Lists(api, now) if api else None
        self._memory: Memory = ProcessMemory()
        self._lock = threading.Lock()
        self._ids: dict[str, str] = {}
        self._why: dict[str, str] = {}
        self._ask_again: dict[str, datetime] = {}

    def remember(self, memory: Memory) -> None:
        """Takes over whom earlier processes found."""
        self._memory = memory
        self._notices.remember(memory)
        self._notices.say(_BLOCK, "")  # whom the config of today names is asked for anew

    def mentions(self, owners: Sequence[str]) -> dict[str, str]:
        """Those of ``owners`` who are known, with what pings them. Who is not becomes a notice."""
        with self._lock:
            self._look_up([name for name in owners if not _ID.fullmatch(name)])
            ids = {name: name if _ID.fullmatch(name) else self._ids.get(name) for name in owners}
        return {name: _mention(found) for name, found in ids.items() if found}

    def findings(self, owners: Sequence[str]) -> list[Finding]:
        """Whether each of ``owners`` can be called, in sentences."""
        unknown = {name: self._unknown_id(name) for name in owners if _ID.fullmatch(name)}
        called = self.mentions(owners)
        return [
            Finding(False, f"The owner {name} is pinged by no message: {why}.")
            if (why := unknown.get(name) or self._why.get(name, ""))
            else Finding(True, f"The owner {name} is {_kind(called[name])}.")
            for name in owners
        ]

    def _look_up(self, handles: Sequence[str]) -> None:
        now = self._now()
        wanted = [name for name in handles if name not in self._ask_again or now >= self._ask_again[name]]
        if not wanted:
            return
        found, failed = self._found({name.removeprefix("@").casefold() for name in wanted})
        for name in wanted:
            matches = found.get(name.removeprefix("@").casefold(), set())
            self._learn(name, matches, failed)
            self._ask_again[name] = now + (_PAUSE if self._why.get(name) else _KEEP)
        self._keep()
        said = (f"The owner {name} is not pinged: {why}." for name, why in sorted(self._why.items()))
        self._notices.say(_BLOCK, " ".join(said))

    def _learn(self, name: str, matches: Collection[str], failed: str) -> None:
        known = next(iter(matches)) if len(matches) == 1 else None
        if known is None and failed and not matches:
            known = self._ids.get(name) or self._kept().get(name)  # nobody said that it is another one by now
        if known:
            self._ids[name] = known
            self._why.pop(name, None)
            return
        self._ids.pop(name, None)
        several = "several people in Slack are called so: write the id of the one who is meant"
        nobody = f"no user group and nobody in Slack is called so: correct it, {_BY_ID}"
        self._why[name] = several if matches else failed or nobody

    def _found(self, handles: set[str]) -> tuple[dict[str, set[str]], str]:
        """Ids by handle, groups before people, and why not all that there is was seen; empty where it was."""
        if self._lists is None:
            return {}, f"a webhook cannot ask who that is: use a token, {_BY_ID}"
        found: dict[str, set[str]] = {}
        failed = ""
        for scope, read in ((_GROUPS, self._groups), (_USERS, self._people)):
            if handles <= found.keys():
                break
            try:
                for handle, owner_id in read(self._lists, handles - found.keys()):
                    found.setdefault(handle, set()).add(owner_id)
            except Refused as refused:
                failed = failed or _why_unseen(refused, scope)
        return found, failed

    def _groups(self, _lists: Lists, handles: set[str]) -> Iterator[tuple[str, str]]:
        answer = self._api.read("usergroups.list").data if self._api else {}
        for group in entries(answer, "usergroups"):
            handle = str(group.get("handle") or "").casefold()
            if handle in handles and not group.get("date_delete") and _ID.fullmatch(str(group.get("id"))):
                yield handle, str(group["id"])

    def _people(self, lists: Lists, handles: set[str]) -> Iterator[tuple[str, str]]:
        """By their names in Slack, which are unique; else by the names that they chose, where one alone has it."""
        chosen: list[tuple[str, str]] = []
        named: set[str] = set()
        for page in lists.pages("users.list"):
            for user in entries(page, "members"):
                if user.get("deleted") or not _ID.fullmatch(str(user.get("id"))):
                    continue
                if (name := str(user.get("name") or "").casefold()) in handles:
                    named.add(name)
                    yield name, str(user["id"])
                profile = user.get("profile")
                display = str(profile.get("display_name") or "").casefold() if isinstance(profile, Mapping) else ""
                if display in handles:
                    chosen.append((display, str(user["id"])))
        yield from ((name, owner_id) for name, owner_id in chosen if name not in named)

    def _unknown_id(self, owner_id: str) -> str:
        """Why nobody is called by ``owner_id``; empty where somebody is, or nobody can tell."""
        if self._api is None:
            return ""
        is_group = owner_id.startswith("S")
        try:
            if is_group:
                groups = entries(self._api.read("usergroups.list").data, "usergroups")
                known = any(group.get("id") == owner_id for group in groups)
            else:
                user = self._api.read("users.info", user=owner_id).data.get("user")
                known = isinstance(user, Mapping) and not user.get("deleted")
        except Refused as refused:
            if refused.code in {"missing_scope", "no_permission"}:
                return ""  # an id pings without any scope
            known, why = False, f"Slack did not say who that is: {refused.reason}"
            return "Slack has nobody of this id: correct it" if refused.code == "user_not_found" else why
        return "" if known else f"Slack has no such {'user group' if is_group else 'person'} any more: correct it"

    def _kept(self) -> Mapping[str, str]:
        try:
            kept = json.loads(self._memory.get(_KEPT) or "{}")
        except (Failed, ValueError):
            return {}
        if not isinstance(kept, dict) or kept.get("team") != self._team() or not isinstance(kept.get("ids"), dict):
            return {}
        return {str(name): found for name, found in kept["ids"].items() if _ID.fullmatch(str(found))}

    def _keep(self) -> None:
        team = self._team()
        if team and self._ids:
            self._memory.put(_KEPT, json.dumps({"team": team, "ids": self._ids}, sort_keys=True))

    def _team(self) -> str:
        return str(self._account.at_a_glance().get("team_id") or "") if self._account else ""


def _why_unseen(refused: Refused, scope: str) -> str:
    if refused.code == "missing_scope":
        return f"the token is not allowed to look who that is: add the scope {scope}, {_BY_ID}"
    return f"Slack did not say who that is: {refused.reason}"


def _mention(owner_id: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text/#mentioning-users"""
    return f"<!subteam^{owner_id}>" if owner_id.startswith("S") else f"<@{owner_id}>"


def _kind(mention: str) -> str:
    return "a user group" if mention.startswith("<!") else "a person"
