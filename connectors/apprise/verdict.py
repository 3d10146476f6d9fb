"""What an attempt came to: by the answers of the service, for the library says yes or no, and not why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote

from connectors.apprise.transport import Attempt, Exchange
from forwarder.connector import (
    Broken,
    RateLimited,
    Rejected,
    Retry,
    Uncertain,
    clean,
    cut,
    format_duration,
    one_line,
)
from forwarder.wire.endpoint import MAX_SAID, REFUSED, Answer, Endpoint
from forwarder.wire.unreachable import why_unreachable

Failure = Retry | RateLimited | Rejected | Broken | Uncertain

_PIECES: Final = re.compile(r"[/?&=@:,+#\s]+")
_LEAST: Final = 5
"""Characters from which on a piece of an address may be a secret: a user's password, if not a key."""

_WHOM: Final = "(?:web.?hook|token|api.?key|chat|channel|room|recipient)"
_WRONG: Final = "(?:invalid|not.found|unknown|expired|disabled|revoked|archived|de(?:leted|activated))"
_NOT_THE_MESSAGE: Final = re.compile(
    rf"{_WHOM}[\W_]{{0,3}}(?:is.|was.|has.been.)?{_WRONG}|(?:invalid|unknown|expired)[\W_]{{0,3}}{_WHOM}"
    r"|incoming_webhook\.invalid|invalid_auth",
    re.IGNORECASE,
)
"""How services say with a 400, or even with a 200, what others say with a 401 or a 404: Telegram, "Bad Request: chat
not found" (https://core.telegram.org/bots/api#making-requests); Mattermost, ``web.incoming_webhook.invalid.app_error``
(https://github.com/mattermost/mattermost/blob/master/server/i18n/en.json)."""

_NOT_SENT: Final = frozenset({"ConnectTimeout", "ConnectTimeoutError", "NewConnectionError", "ProxyError", "SSLError"})


class Judge:
    """Says what attempts came to. ``url`` is the address of the service, of which no sentence may hold a part."""

    def __init__(self, url: str, timeout: timedelta, now: Callable[[], datetime]) -> None:
        self._timeout, self._now = timeout, now
        pieces = _PIECES.split(url.partition("://")[2])
        known = {one for piece in pieces for one in (piece, unquote(piece)) if len(one) >= _LEAST}
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    def failure(self, attempt: Attempt, name: str, *, sent: bool) -> Failure | None:
        """Why ``attempt`` is no delivery; None where it is one. ``sent`` is what the plugin of ``name`` says of it."""
        if not attempt.exchanges:
            return Retry(f"Apprise sent nothing to {name}{self._complaint(attempt)}")
        told = [one for one in attempt.exchanges if one.was_accepted]
        told = [one for one in told if one.may_have_told] or told
        if sent and told:
            page = next((one for one in told if one.answer and one.answer.is_page), None)
            return self._place(page).refusal(self._hushed(page)) if page else None
        may_have = any(one.may_have_told for one in attempt.exchanges)
        # A plugin may sign out after it was refused, and look for what need not be there before it sends.
        refused = [one for one in attempt.exchanges if not one.was_accepted and not (one.is_question and may_have)]
        last = (refused or attempt.exchanges)[-1]
        if last.answer is None:
            return self._no_answer(last, is_first=not may_have)
        if last.was_accepted and not last.answer.is_page:
            return self._no_yes(last, name, self._complaint(attempt))
        return self._place(last).refusal(self._hushed(last), _period(last.answer))

    def _no_yes(self, exchange: Exchange, name: str, complaint: str) -> Failure:
        """A 2xx that the plugin takes for a no."""
        place, answer = self._place(exchange), self._hushed(exchange)
        if place.blames_the_address(answer):
            return Broken(place.why_broken(answer))
        said = place.said(answer)
        more = "" if said else complaint
        return Uncertain(f"{place.host} answered with status {answer.status}{said}, which is no yes of {name}{more}")

    def _no_answer(self, exchange: Exchange, *, is_first: bool) -> Failure:
        """Nothing was sent where no connection came about, unless another request of the attempt may have told it."""
        host, error = exchange.host, exchange.error
        if error is None:
            return Broken(f"{host} would be sent it without encryption, so nothing is sent: correct url")
        why = why_unreachable(error, exchange.url, "url")
        if why or type(error).__name__ in _NOT_SENT:
            reason = f"{host} cannot be reached: {why}" if why else f"{host} cannot be reached ({type(error).__name__})"
            return Retry(reason) if is_first else Uncertain(reason)
        if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
            return Uncertain(f"{host} did not answer within {format_duration(self._timeout)}")
        return Uncertain(f"the connection to {host} was cut ({type(error).__name__})")

    def _place(self, exchange: Exchange) -> _Place:
        return _Place(exchange.url, self._timeout, self._now, setting="url", takes="the message", secrets=self._secrets)

    def _hushed(self, exchange: Exchange) -> Answer:
        """The answer, without what it repeats of the address."""
        answer = exchange.answer
        assert answer is not None  # noqa: S101 - only of those that have one
        body = None if answer.body is None else self._hidden(answer.body, but=exchange.host)
        return Answer(status=answer.status, headers=answer.headers, body=body)

    def _complaint(self, attempt: Attempt) -> str:
        """What the plugin said last, as the tail of a sentence."""
        said = cut(self._hidden(one_line(clean(attempt.complaints[-1]))), MAX_SAID) if attempt.complaints else ""
        return f": {said}" if said else ""

    def _hidden(self, text: str, but: str = "") -> str:
        for secret in self._secrets:
            if secret != but:
                text = text.replace(secret, "[secret]")
        return text


class _Place(Endpoint):
    """Where a request went."""

    def refusal(self, answer: Answer, period: str | None = None) -> Failure:
        """A 400 that blames the key or the recipient is no fault of the message: the next would be refused as well."""
        if answer.status in REFUSED and self.blames_the_address(answer):
            return Broken(self.why_broken(answer))
        return super().refusal(answer, period)

    def blames_the_address(self, answer: Answer) -> bool:
        return _NOT_THE_MESSAGE.search(answer.body or "") is not None

    def why_broken(self, answer: Answer) -> str:
        status, said = answer.status, self.said(answer)
        if status in (401, 403):
            return f"{self.host} does not accept who sends (status {status}{said}): renew the key or token in url"
        if status in (404, 410):
            return f"{self.host} knows no such place (status {status}{said}): correct url, or make it anew there"
        if self.blames_the_address(answer):
            return f"{self.host} knows no such key or recipient (status {status}{said}): correct url"
        return super().why_broken(answer)


def _period(answer: Answer) -> str | None:
    """A wait that a service names in its answer and not in a header, in seconds.

    https://discord.com/developers/docs/topics/rate-limits, https://core.telegram.org/bots/api#responseparameters and
    https://spec.matrix.org/latest/client-server-api/#rate-limiting
    """
    try:
        said: Any = json.loads(answer.body or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    inner = said.get("parameters")
    told = said.get("retry_after", inner.get("retry_after") if isinstance(inner, dict) else None)
    if told is None and isinstance(said.get("retry_after_ms"), int | float):
        told = said["retry_after_ms"] / 1000
    return str(told) if isinstance(told, int | float) else None
