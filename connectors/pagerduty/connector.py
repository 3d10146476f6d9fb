"""PagerDuty: one incident per alert, through the Events API v2.

The dedup key ``sentrytex:<alert id>`` makes every repeat harmless: a trigger that PagerDuty already took is folded into
the open incident. So there is nothing to look for after a lost reply, and no outcome here is Unsure.

An alert that got worse (its severity rose, or CISA lists it as exploited now) is triggered again under the same key.
While its incident is open, PagerDuty notes that in the incident and pages nobody anew; where people have resolved it, a
new incident opens: an escalation deserves that. No other change pages anyone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from connectors.pagerduty.client import Clients
from connectors.pagerduty.config import _KEY_HINT, PagerDutyConfig
from connectors.pagerduty.event import dedup_key, trigger_event
from connectors.pagerduty.setup import SETUP
from forwarder.alert import got_worse
from forwarder.connector import (
    Broken,
    Connector,
    Delivered,
    Delivery,
    Finding,
    Kind,
    Outcome,
    Payload,
    RateLimited,
    Receipt,
    Rejected,
    Retry,
    Texts,
    clean,
    cut,
    format_duration,
    one_line,
    retry_after,
)

if TYPE_CHECKING:
    from httpx2 import Response


RATE_LIMIT_PAUSE: Final = 30.0
"""Seconds after a 429 that names none; PagerDuty promises no Retry-After."""

_NOTHING: Final = "nothing to page for"


class PagerDuty(Connector[PagerDutyConfig]):
    """One service of PagerDuty, by the routing key of its integration."""

    Config = PagerDutyConfig
    noun = ("page", "pages")
    replayed = "carry the same dedup key: PagerDuty pages again only where the incident was resolved"
    withdrawn = "its incident is resolved"
    setup = SETUP

    def __init__(
        self,
        name: str,
        config: PagerDutyConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        self._now = now
        self._clients = Clients(config)

    def render(self, delivery: Delivery) -> Payload:
        """The event as the API takes it, without the routing key; ``{"nothing_to_send": why}`` where none is due."""
        key = delivery.receipt.remote_id if delivery.receipt else dedup_key(delivery.alert)
        if delivery.kind is Kind.WITHDRAW:
            return {"event_action": "resolve", "dedup_key": key}
        if delivery.kind is Kind.UPDATE and delivery.receipt and not got_worse(delivery.changes):
            return {"nothing_to_send": _NOTHING}
        return trigger_event(delivery, key, self.texts)

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Sends the event in exactly one request."""
        if "nothing_to_send" in payload:
            return Delivered(delivery.receipt or _receipt(dedup_key(delivery.alert)), note=payload["nothing_to_send"])
        import httpx2
        import pagerduty

        event = dict(payload)
        try:
            with self._clients.one() as client:
                client.send_event(event.pop("event_action"), **event)
        except pagerduty.Error as error:
            if error.response is not None:
                return self._refusal(error.response)
            return Retry(self._trouble(error.__cause__ or error))
        except httpx2.HTTPError as error:
            return Retry(self._trouble(error))
        return Delivered(_receipt(payload["dedup_key"]))

    def check(self) -> list[Finding]:
        """Asks whether the host answers. More cannot be asked: any event that PagerDuty takes leaves a trace."""
        import httpx2

        host = urlsplit(self.config.address).hostname
        try:
            status = httpx2.get(self.config.address, timeout=self.config.timeout.total_seconds()).status_code
        except httpx2.HTTPError as error:
            reached = Finding(ok=False, text=f"{host} cannot be reached: {self._trouble(error)}")
        else:
            reached = Finding(
                ok=status < 500,
                text=f"{host} can be reached."
                if status < 500
                else f"{host} answers with status {status}: try again later.",
            )
        return [
            reached,
            Finding(
                ok=True,
                text="The routing key has the right form. Whether PagerDuty knows it cannot be asked without an event: "
                f"`forwarder test {self.name}` opens an incident and resolves it.",
            ),
        ]

    def preview(self, payload: Payload) -> str:
        """The incident's title, its facts, its links and its details, one a line."""
        if "nothing_to_send" in payload:
            return f"PagerDuty: {payload['nothing_to_send']}"
        if payload["event_action"] == "resolve":
            return f"PagerDuty resolves the incident {payload['dedup_key']}"
        event = payload["payload"]
        lines = [
            f"PagerDuty incident: {event['summary']}",
            f"Severity: {event['severity']}   Source: {event['source']}   Dedup key: {payload['dedup_key']}",
            *(f"Link: {link['text']} <{link['href']}>" for link in payload["links"]),
            "Details:",
            *(f"  {name}: {_shown(value)}" for name, value in event["custom_details"].items()),
        ]
        return "\n".join(lines)

    def close(self) -> None:
        self._clients.close()

    def _refusal(self, response: Response) -> Outcome:
        """What an answer that is no clear yes means: https://developer.pagerduty.com/docs/events-api-v2/overview/"""
        status, said = response.status_code, self._said(response)
        after = retry_after(response.headers.get("Retry-After"), self._now())
        if response.is_success:
            return Retry(f"PagerDuty's answer (status {status}) could not be read", after)
        if status == 429:
            return RateLimited(RATE_LIMIT_PAUSE if after is None else after, "PagerDuty's rate limit")
        if status >= 500 or status in (408, 421, 423, 425):
            return Retry(f"PagerDuty answered with status {status}{said}", after)
        if status == 401 or (status == 400 and "routing" in said.lower()):
            return Broken(f"PagerDuty refuses the routing key (status {status}{said}): {_KEY_HINT}")
        if status < 400 or status in (403, 404, 405, 407, 410):
            return Broken(
                f"PagerDuty cannot be used at {urlsplit(self.config.address).hostname} (status {status}{said}): "
                "check region, base_url and the proxy"
            )
        return Rejected(f"PagerDuty refuses the event (status {status}{said})")

    def _said(self, response: Response) -> str:
        """The errors that an answer lists, else its text, as the tail of a sentence; without the key."""
        try:
            body = response.json()
        except ValueError:
            # A page of HTML is a proxy's, and tells less than the status.
            body = "" if response.text.lstrip().startswith("<") else response.text
        if isinstance(body, Mapping):
            errors = body.get("errors") or body.get("message") or ""
            body = "; ".join(map(str, errors)) if isinstance(errors, list) else errors
        text = one_line(clean(str(body))).replace(self.config.routing_key.get_secret_value(), "[routing key]")
        return f": {cut(text, 300)}" if text else ""

    def _trouble(self, error: BaseException) -> str:
        import httpx2

        if isinstance(error, httpx2.TimeoutException):
            return f"PagerDuty did not answer within {format_duration(self.config.timeout)}"
        if isinstance(error, httpx2.ConnectError):
            return f"no connection to PagerDuty: {cut(one_line(clean(str(error))), 200)}"
        if isinstance(error, httpx2.DecodingError):
            return "PagerDuty's answer could not be read"
        return f"the connection to PagerDuty was cut ({type(error).__name__})"


def _receipt(key: str) -> Receipt:
    # The Events API tells no address of the incident.
    return Receipt(remote_id=key)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
