"""What ``forwarder check --live`` shows of a workspace: what the token may do, whether the channel takes messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.slack.channel import Channel
from connectors.slack.client import Api, Refusal, Refused
from forwarder.connector import Failed, Finding

_SCOPES_AT: Final = "under OAuth & Permissions at https://api.slack.com/apps, then reinstall the app"
_GONE: Final = {"channel_not_found", "is_archived", "not_in_channel"}


def findings(api: Api, channel: Channel) -> list[Finding]:
    """What works and what does not, in sentences."""
    try:
        answer = api.read("auth.test")
    except Refused as refused:
        # What is wrong with the way there says nothing of the token.
        of_token = refused.refusal is Refusal.BROKEN and refused.code is not None
        reason = f"Slack does not accept the token: {refused.reason}" if of_token else refused.reason
        return [Finding(False, f"{reason[:1].upper()}{reason[1:]}.")]
    bot, team = answer.data.get("user", "?"), answer.data.get("team", "?")
    found = [Finding(True, f"Slack knows the token: {bot} in the workspace {team}.")]
    granted = answer.headers.get("x-oauth-scopes")
    scopes = None if granted is None else {scope.strip() for scope in granted.split(",")}
    if scopes is not None:
        found += _about_scopes(scopes)
    return [*found, *_about_channel(channel, scopes or set())]


def _about_scopes(scopes: set[str]) -> list[Finding]:
    found = []
    if "chat:write" not in scopes:
        found.append(Finding(False, f"The token is not allowed to post: add the scope chat:write {_SCOPES_AT}."))
    if scopes.isdisjoint({"channels:history", "groups:history"}):
        found.append(
            Finding(
                False,
                "A message whose answer is lost is not sent again and becomes a dead letter, since the token is not "
                "allowed to look whether it arrived: add the scope channels:history (groups:history for a private "
                f"channel) {_SCOPES_AT}.",
            )
        )
    return found


def _about_channel(channel: Channel, scopes: set[str]) -> list[Finding]:
    try:
        info = _looked_up(channel)
    except Refused as refused:
        if refused.code == "missing_scope":
            return [
                Finding(
                    True,
                    f"Whether {channel.configured} accepts messages was not checked, since the token lacks "
                    "channels:read: a test message will show it.",
                )
            ]
        return [Finding(False, f"The channel {channel.configured} cannot be read: {refused.reason}.")]
    except Failed as failed:
        return [Finding(False, f"Which channel {channel.configured} is cannot be told: {failed.outcome.reason}")]
    if not info:
        return [
            Finding(False, f"The bot sees no channel {channel.configured}: check the name, or invite the bot."),
        ]
    outdated = "" if channel.is_id else channel.out_of_date(info)
    # Only where the id is known a message gets through in spite of the name.
    told = [Finding(channel.known_id() is not None, outdated)] if outdated else []
    return [*told, _accepts(channel, info, scopes)]


def _looked_up(channel: Channel) -> Mapping[str, Any]:
    known = channel.configured if channel.is_id else channel.known_id()
    if known is None:
        return channel.listed() or _as_an_id(channel)
    try:
        return channel.info(known)
    except Refused as refused:
        # Where the channel is gone, a message goes to the one that bears the name by now.
        if channel.is_id or refused.code not in _GONE:
            raise
        return channel.listed() or {}


def _as_an_id(channel: Channel) -> Mapping[str, Any]:
    if channel.configured.startswith("#"):
        return {}
    try:
        return channel.info(channel.configured)
    except Refused as refused:
        if refused.code != "channel_not_found":
            raise
        return {}


def _accepts(channel: Channel, info: Mapping[str, Any], scopes: set[str]) -> Finding:
    if info.get("is_archived"):
        return Finding(False, f"The channel {channel.configured} is archived: unarchive it or name another one.")
    if info.get("is_member") is False:
        if "chat:write.public" in scopes and not info.get("is_private"):
            return Finding(
                True,
                f"The bot is allowed to post to {channel.configured} without being in it. Invite it all the same: only "
                "members can see whether a message arrived.",
            )
        return Finding(False, f"The bot is not in {channel.configured}: write /invite and its name there.")
    return Finding(True, f"The bot is in {channel.configured}, which accepts messages.")
