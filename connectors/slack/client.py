"""Slack's wire: one request a call, and what each of Slack's refusals means.

The SDK resends after a cut connection by default, and its debug log shows webhook addresses: both are turned off here.
``connectors.slack.transport`` is what its requests go out by.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http.client import HTTPException
from typing import Any, Final, cast
from urllib.error import URLError

from connectors.slack.transport import Redirected, Transport, web_client, webhook_client
from forwarder.connector import Broken, Failed, RateLimited, Rejected, Retry, Uncertain, retry_after
from forwarder.wire.unreachable import why_unreachable


class Refusal(StrEnum):
    """What a refusal means for what was sent."""

    BROKEN = "broken"
    """Nothing is accepted until a person acts."""
    FORM = "form"
    """Slack does not accept the message in this form: a plainer one may pass."""
    FINAL = "final"
    """The message or thread that is meant cannot be changed any more."""
    RETRY = "retry"
    """It was not done; later it may be."""
    WAIT = "wait"
    """A rate limit: it was not done."""
    UNCERTAIN = "uncertain"
    """It may have been done."""


# The codes: https://docs.slack.dev/reference/methods/chat.postMessage#errors (and chat.update), for webhooks
# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
_RENEW: Final = "make a new token at https://api.slack.com/apps and put it into the config"
_ADD_SCOPE: Final = "add it under OAuth & Permissions at https://api.slack.com/apps and reinstall the app"
_MAKE_HOOK: Final = "make a new webhook at https://api.slack.com/apps and put it into the config"
_ADMIN: Final = "ask an admin of the workspace"
_BROKEN: Final = {
    "invalid_auth": _RENEW,
    "not_authed": _RENEW,
    "account_inactive": _RENEW,
    "token_revoked": _RENEW,
    "token_expired": _RENEW,
    "not_allowed_token_type": "use a bot token (xoxb-…)",
    "missing_scope": _ADD_SCOPE,
    "no_permission": _ADD_SCOPE,
    "access_denied": _ADMIN,
    "ekm_access_denied": _ADMIN,
    "team_access_not_granted": _ADMIN,
    "org_login_required": _ADMIN,
    "enterprise_is_restricted": _ADMIN,
    "two_factor_setup_required": _ADMIN,
    "channel_not_found": "check the channel's name, and invite the bot if the channel is private",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "unarchive the channel or name another one",
    "no_service": _MAKE_HOOK,
    "no_service_id": _MAKE_HOOK,
    "no_active_hooks": _MAKE_HOOK,
    "no_team": _MAKE_HOOK,
    "team_disabled": _MAKE_HOOK,
    "invalid_token": _MAKE_HOOK,
    "action_prohibited": _ADMIN,
    "posting_to_general_channel_denied": _ADMIN,
    "channel_is_archived": "unarchive the webhook's channel or make a webhook for another one",
}
_OTHER_WAYS_OUT: Final = {"unknown_method": "; correct base_url in the config, or the proxy in between"}
_FORM: Final = {
    "invalid_blocks",
    "invalid_blocks_format",
    "msg_too_long",
    "msg_blocks_too_long",
    "no_text",
    "invalid_arguments",
    "invalid_attachments",
    "too_many_attachments",
    "metadata_too_large",
    "invalid_payload",
}
_FINAL: Final = {
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "thread_not_found",
    "cannot_reply_to_message",
    "restricted_action_non_threadable_channel",
    "restricted_action_thread_locked",
}
_WAIT: Final = {"ratelimited", "rate_limited"}
_UNCERTAIN: Final = {"internal_error", "fatal_error"}  # Slack: "some aspect of the operation" may have succeeded

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{1,79}")
_HTTP_BROKEN: Final = {401, 403, 404, 405, 407, 410}
_HTTP_RETRY: Final = {408, 409, 421, 423, 425}
_DEFAULT_WAIT: Final = 1.0


def classify(status: int, code: str | None) -> Refusal:
    """What an answer other than yes means, by its HTTP status and Slack's error code (None: the body has none)."""
    if status == 429:
        return Refusal.WAIT
    if status >= 500:
        # Even "service_unavailable" can be a proxy's word for a yes of Slack that it lost.
        return Refusal.UNCERTAIN
    if status >= 400:
        if status in _HTTP_BROKEN or code in _BROKEN:
            return Refusal.BROKEN
        return Refusal.RETRY if status in _HTTP_RETRY else Refusal.FORM
    # A body without a code is not from Slack, or was cut short.
    return _classify_code(code) if code else Refusal.UNCERTAIN


def _classify_code(code: str) -> Refusal:
    if code in _FINAL:
        return Refusal.FINAL
    if code in _BROKEN or code.startswith("restricted_action"):
        return Refusal.BROKEN
    if code in _FORM or code.startswith("invalid_metadata"):
        return Refusal.FORM
    if code in _WAIT:
        return Refusal.WAIT
    # A code that is not listed here is a no all the same, and giving up comes early enough by itself.
    return Refusal.UNCERTAIN if code in _UNCERTAIN else Refusal.RETRY


class Refused(Failed):
    """Slack did not say yes. The message is a sentence for people, without credentials or bodies."""

    def __init__(self, refusal: Refusal, reason: str, *, code: str | None = None, after: float = _DEFAULT_WAIT) -> None:
        super().__init__(_outcome(refusal, reason, after))
        self.refusal = refusal
        self.reason = reason
        self.code = code


def _outcome(refusal: Refusal, reason: str, after: float) -> Retry | RateLimited | Uncertain | Rejected | Broken:
    match refusal:
        case Refusal.UNCERTAIN:
            return Uncertain(reason)
        case Refusal.FORM | Refusal.FINAL:
            return Rejected(reason)
        case Refusal.WAIT:
            return RateLimited(after, reason)
        case Refusal.BROKEN:
            return Broken(reason)
        case Refusal.RETRY:
            return Retry(reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Slack's yes: the JSON object, and the headers by their names in lower case."""

    data: Mapping[str, Any]
    headers: Mapping[str, str]


class Api:
    """The Web API under one token. ``timeout``, in seconds, is for a whole request. Every failure is a Refused."""

    def __init__(self, token: str, base_url: str, timeout: float, now: Callable[[], datetime]) -> None:
        self._now = now
        self._address = base_url
        self._client = web_client(
            Transport(base_url, timeout, token),
            token=token,
            base_url=base_url,
            logger=silent(),
            retry_handlers=[],
        )

    def read(self, method: str, **params: Any) -> Answer:
        """Calls a method that reads: those accept their arguments as a form only. Reading may always be repeated."""
        try:
            return self._call(method, params=params)
        except Refused as refused:
            if refused.refusal in (Refusal.WAIT, Refusal.BROKEN):
                raise
            raise Refused(Refusal.RETRY, refused.reason, code=refused.code) from None

    def write(self, method: str, arguments: Mapping[str, Any]) -> Answer:
        """Calls a method that writes, with JSON."""
        return self._call(method, json=dict(arguments))

    def _call(self, method: str, **how: Any) -> Answer:
        from slack_sdk.errors import SlackApiError

        try:
            response = self._client.api_call(method, **how)
            return Answer(data=cast(dict[str, Any], response.data), headers=_lower(response.headers))
        except SlackApiError as error:
            answer = error.response
            data = answer.data if isinstance(answer.data, dict) else {}
            refused = _refused(answer.status_code, data.get("error"), _lower(answer.headers), self._now())
        except Exception as error:  # whatever the SDK lets out
            refused = _cut_off(error, "base_url", self._address)
        # Raised out here, so that no error of the SDK hangs on it: their texts can hold the address.
        raise refused


class Webhook:
    """An incoming webhook. Its address is the secret. Every failure is a Refused."""

    def __init__(self, url: str, timeout: float, now: Callable[[], datetime]) -> None:
        self._now = now
        self._url = url
        transport = Transport(url, timeout, secret=url.rpartition("/")[2])
        self._client = webhook_client(transport, url, logger=silent(), retry_handlers=[])

    def send(self, body: Mapping[str, Any]) -> None:
        """Posts one message."""
        try:
            response = self._client.send_dict(dict(body))
        except Exception as error:  # see Api._call
            refused = _cut_off(error, "webhook_url", self._url)
        else:
            word = response.body.strip()
            if response.status_code == 200 and word == "ok":
                return
            # At 200 any word but "ok" is not Slack's.
            code = word if response.status_code != 200 else None
            refused = _refused(response.status_code, code, _lower(dict(response.headers)), self._now())
        raise refused


def _refused(status: int, code: object, headers: Mapping[str, str], now: datetime) -> Refused:
    known = code if isinstance(code, str) and _CODE.fullmatch(code) else None
    refusal = classify(status, known)
    after = retry_after(headers.get("retry-after"), now) or _DEFAULT_WAIT
    return Refused(refusal, _sentence(status, known, refusal), code=known, after=after)


def _sentence(status: int, code: str | None, refusal: Refusal) -> str:
    if refusal is Refusal.WAIT:
        return "Slack's rate limit is reached"
    if code is None:
        if status < 300:
            return f"Slack's answer could not be read (HTTP {status})"
        hint = "; check its address in the config and the proxy" if refusal is Refusal.BROKEN else ""
        return f"Slack answered HTTP {status}{hint}"
    hint = f"; {_BROKEN.get(code, _ADMIN)}" if refusal is Refusal.BROKEN else _OTHER_WAYS_OUT.get(code, "")
    return f"Slack refused it: {code}{hint}"


def _cut_off(error: Exception, key: str, address: str) -> Refused:
    """What a failure on the way means: sure that nothing was sent only where the connection never stood.

    ``key`` is where the config says the address, of which host and port alone are shown.
    """
    if isinstance(error, Redirected):
        return Refused(
            Refusal.BROKEN,
            f"Slack's address answers with a redirect to {error.there}, which is not followed: correct {key} in the "
            "config, or the proxy",
        )
    if isinstance(error, URLError):
        if why := why_unreachable(error, address, key):
            return Refused(Refusal.RETRY, f"Slack cannot be reached: {why}")
        if isinstance(error.reason, TimeoutError):
            return Refused(
                Refusal.RETRY, f"Slack cannot be reached: no connection in time: check {key} and the network"
            )
    if isinstance(error, TimeoutError):
        return Refused(Refusal.UNCERTAIN, "Slack did not answer in time")
    if isinstance(error, OSError | HTTPException):
        return Refused(Refusal.UNCERTAIN, "the connection to Slack was cut before its answer was complete")
    return Refused(Refusal.UNCERTAIN, f"Slack's answer could not be read ({type(error).__name__})")


def _lower(headers: Mapping[str, Any]) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def silent() -> logging.Logger:
    """A logger that says nothing: the SDK's own lines hold addresses, tokens and bodies."""
    return logging.Logger("slack_sdk", level=logging.CRITICAL + 1)
