"""An incoming webhook of Slack: one address that posts into one channel.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.slack_channels import Channels
from forwarder.sandbox.slack_message import MAX_TEXT, SlackError, content
from forwarder.sandbox.slack_messages import Messages

PREFIX: Final = "/services/"
PATH: Final = f"{PREFIX}T0SANDBOX/B0SANDBOX/not-a-real-webhook-secret"
_STATUS: Final = {
    "no_service": 404,
    "channel_not_found": 404,
    "channel_is_archived": 410,
    "action_prohibited": 403,
    "rate_limited": 429,
}


class Webhook:
    """The webhook of one workspace. ``spend`` raises SlackError where the channel's rate is used up."""

    def __init__(self, channels: Channels, messages: Messages, *, spend: Callable[[str], None]) -> None:
        self._channels = channels
        self._messages = messages
        self._spend = spend

    def take(self, request: Request, channel: str, *, revoked: bool) -> Reply:
        """Post what was sent into the channel of that id, and say so; ``revoked`` says that the address is no more."""
        try:
            self._post(request, channel, revoked=revoked)
        except SlackError as error:
            code = "rate_limited" if error.code == "ratelimited" else error.code
            retry = {"Retry-After": str(error.more["retry_after"])} if code == "rate_limited" else {}
            status = _STATUS.get(code, 400)
            return Reply(status=status, body=code.encode(), content_type="text/html", headers=retry)
        return Reply.text("ok", content_type="text/html")

    def _post(self, request: Request, to: str, *, revoked: bool) -> None:
        if request.path != PATH or revoked:
            raise SlackError("no_service")
        try:
            params = request.json() if request.body[:1] == b"{" else json.loads(request.form()["payload"])
        except (ValueError, KeyError):
            raise SlackError("invalid_payload") from None
        if not isinstance(params, dict):
            raise SlackError("invalid_payload")
        channel = self._channels.get(to)
        if channel is None:
            raise SlackError("channel_not_found")
        if channel.archived:
            raise SlackError("channel_is_archived")
        said = content(params, max_text=MAX_TEXT)
        self._spend(channel.id)
        self._messages.add(channel.id, said, thread=params.get("thread_ts"), webhook=True)
