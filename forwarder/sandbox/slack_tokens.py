"""Which token a Slack method takes, and what Slack says to another one.

https://docs.slack.dev/authentication/tokens
"""

from __future__ import annotations

from typing import Final

from forwarder.sandbox.exchange import Request
from forwarder.sandbox.slack_message import SlackError
from forwarder.sandbox.slack_params import Params

_APP_TOKEN: Final = "xapp-"  # noqa: S105 - the kind of token, not one


def check_bot(request: Request, params: Params, *, bot: str, app: str) -> None:
    """Raise SlackError unless the request bears the bot's token, in its header or among its parameters."""
    given = _bearer(request) or params.get("token")
    if not given:
        raise SlackError("not_authed")
    if given == app:
        raise SlackError("not_allowed_token_type")
    if given != bot:
        raise SlackError("invalid_auth")


def check_app(request: Request, params: Params, *, bot: str, app: str) -> None:
    """Raise SlackError unless the request bears the app's token, which is read from the header alone."""
    given = _bearer(request)
    if not given:
        raise SlackError("invalid_auth" if params.get("token") else "not_authed")
    if not given.startswith(_APP_TOKEN):
        raise SlackError("not_allowed_token_type" if given == bot else "invalid_auth")
    if given != app:
        raise SlackError("invalid_auth")


def _bearer(request: Request) -> str:
    return request.header("Authorization").removeprefix("Bearer ")
