"""Slack: one message per alert, kept up to date where the token allows it.

With a bot token the message is edited when the alert changes, its thread says what changed, and a message whose answer
was lost is found again by its metadata. An incoming webhook can do none of this: each change is a message of its
own, and after a lost answer a message may come twice.

``connectors.slack.blocks`` says what a message looks like, ``connectors.slack.client`` what Slack's refusals mean,
``connectors.slack.channel`` which channel is meant, and ``connectors.slack.search`` when a message is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from connectors.slack import blocks
from connectors.slack.channel import NOT_LISTED
from connectors.slack.client import Answer, Api, Refusal, Refused, Webhook
from connectors.slack.config import SlackConfig
from connectors.slack.setup import SETUP
from connectors.slack.workspace import Place, Workspace
from forwarder.alert import got_worse
from forwarder.connector import (
    Connector,
    Delivered,
    Delivery,
    Failed,
    Finding,
    Kind,
    Memory,
    Outcome,
    Payload,
    Receipt,
    Retry,
    Texts,
    clean,
    one_line,
)

T = TypeVar("T")

OPEN_EVENT: Final = "sentrytex_alert"
CHANGE_EVENT: Final = "sentrytex_alert_change"
"""Types of our metadata: on an alert's message, and on the replies in its thread.
https://docs.slack.dev/messaging/message-metadata"""

POST, EDIT, WEBHOOK, NOTHING = "chat.postMessage", "chat.update", "webhook", "none"
"""What a payload's ``method`` may be. The first two are Slack's names."""

_OURS: Final = {"method", "reply", "fallback"}  # what of a payload is not an argument of its method
_PATIENCE: Final = 2.0  # seconds, for what is only nice to know
_LITERAL: Final = {"parse": "none", "link_names": False}  # chat.update would otherwise turn @here into a ping
_NO_PREVIEWS: Final = {"unfurl_links": False, "unfurl_media": False}
_WEBHOOK_HOSTS: Final = ("hooks.slack.com", "hooks.slack-gov.com")
_STANDS: Final = {"cant_update_message", "edit_window_closed"}
_MOVED: Final = {"is_archived", "channel_not_found", "not_in_channel"}


class Slack(Connector[SlackConfig]):
    """A channel of a Slack workspace.

    Receipts are ``CHANNEL:TS`` with the message's permalink, or ``webhook``: a webhook reports no more than that.
    """

    Config = SlackConfig
    noun = ("message", "messages")
    replayed = "will show a second time"
    withdrawn = "its message is marked as withdrawn"
    setup = SETUP

    def __init__(
        self,
        name: str,
        config: SlackConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        self._remote = _remote(config, now)
        if isinstance(self._remote, Workspace):
            self.reconcile_after = tuple(after.total_seconds() for after in config.reconcile_after)
            self.follows_links = True

    def remember(self, memory: Memory) -> None:
        """Takes over what earlier processes learned of the channel."""
        super().remember(memory)
        if isinstance(self._remote, Workspace):
            self._remote.channel.remember(memory)

    def render(self, delivery: Delivery) -> Payload:
        """``{"method": …}`` with that method's arguments; the ``reply`` of an edit goes into the message's thread.

        ``fallback`` is the plain text that is sent where Slack refuses the form. Without one nothing is sent instead.
        """
        place = Place.of(delivery.receipt)
        cannot_follow = place is None or not self.follows_links
        if (_only_brings_links(delivery) and cannot_follow) or _takes_back_nothing(delivery):
            return {"method": NOTHING}
        if isinstance(self._remote, Webhook):
            return self._render_for_webhook(delivery)
        message = {**self._content(delivery), "metadata": self._metadata(delivery), **_LITERAL}
        if delivery.kind is Kind.OPEN or place is None:
            return {"method": POST, "channel": self._remote.channel.configured, **message, **_NO_PREVIEWS}
        edit = {"method": EDIT, "channel": place.channel, "ts": place.ts, **message}
        if _only_brings_links(delivery):
            del edit["fallback"]  # links alone are not worth an edit that loses the message's form
            return edit
        return edit | {"reply": _reply(delivery, place)}

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """One attempt: a post, or an edit and then its reply, so that the last of them shows that both are done."""
        if payload["method"] == NOTHING:
            return Delivered(delivery.receipt or Receipt(remote_id=""), note="nothing to send")
        try:
            if isinstance(self._remote, Webhook):
                _, note = _plainer_if_refused(self._remote.send, payload)
                return Delivered(Receipt(remote_id=WEBHOOK), note)
            place = Place.of(delivery.receipt)
            if payload["method"] == EDIT and place and self._moves(self._remote, delivery, place):
                return _move(self._remote, delivery, payload, place, self._moved_metadata(delivery))
            if payload["method"] == EDIT:
                return _edit(self._remote, delivery, payload)
            return _post(self._remote, payload)
        except Failed as failed:
            return failed.outcome

    def find(self, delivery: Delivery) -> Receipt | None:
        """The message by its metadata, after an edit its reply. A webhook cannot be asked, and sees nothing."""
        if isinstance(self._remote, Webhook) or _only_brings_links(delivery):
            return None
        place = Place.of(delivery.receipt)
        if place and self._moves(self._remote, delivery, place):
            metadata = self._moved_metadata(delivery)
            moved = self._remote.message_with(metadata, delivery.enqueued_at, besides=place.channel)
            # What is missing of it is done by the next attempt, which looks for itself.
            done = moved and _replied(self._remote, delivery, place)
            return Receipt(remote_id=moved.remote_id, url=self._remote.permalink(moved)) if moved and done else None
        if place and delivery.kind is not Kind.OPEN and _replied(self._remote, delivery, place):
            return delivery.receipt
        if delivery.kind is Kind.WITHDRAW:
            return None
        found = self._remote.message_with(self._metadata(delivery), delivery.enqueued_at)
        if found is None or found == place or _is_older(found, Place.of(delivery.repeats)):
            return None
        return Receipt(remote_id=found.remote_id, url=self._remote.permalink(found))

    def check(self) -> list[Finding]:
        """Asks about the token, its scopes and the channel; a webhook can only be looked at."""
        if isinstance(self._remote, Workspace):
            return self._remote.findings()
        url = urlsplit(self.config.webhook_url.get_secret_value() if self.config.webhook_url else "")
        untried = f"Slack has no way to try it without posting: forwarder test {self.name} posts a test alert."
        if url.hostname not in _WEBHOOK_HOSTS:
            return [Finding(True, f"The webhook is not on {_WEBHOOK_HOSTS[0]} but on {url.hostname}. {untried}")]
        if url.scheme != "https" or not url.path.startswith("/services/"):
            form = f"https://{url.hostname}/services/"
            return [Finding(False, f"The webhook's address must begin with {form}: copy it from your Slack app again.")]
        return [Finding(True, f"The webhook's address has the right form. {untried}")]

    def preview(self, payload: Payload) -> str:
        """The message in plain text, with its buttons and its reply."""
        return blocks.preview(payload)

    def _render_for_webhook(self, delivery: Delivery) -> Payload:
        if delivery.kind is Kind.UPDATE and delivery.receipt:
            change = blocks.changed(delivery, self._words(delivery)[0])
            return {"method": WEBHOOK, **change, "fallback": change["text"]}
        return {"method": WEBHOOK, **self._content(delivery)}

    def _content(self, delivery: Delivery) -> dict[str, Any]:
        title, body = self._words(delivery)
        withdrawn = delivery.kind is Kind.WITHDRAW
        content = blocks.withdrawn(delivery, title) if withdrawn else blocks.message(delivery, title, body)
        return {**content, "fallback": blocks.plain(delivery, title, body)}

    def _words(self, delivery: Delivery) -> tuple[str, str]:
        title = self.texts.title(delivery, delivery.alert.title)
        return one_line(clean(title)), clean(self.texts.text(delivery, delivery.alert.description))

    def _moves(self, workspace: Workspace, delivery: Delivery, place: Place) -> bool:
        """Whether it is news for people who look elsewhere by now: the config has named another channel since."""
        worse = delivery.kind is Kind.UPDATE and got_worse(delivery.changes)
        return worse and workspace.channel.is_elsewhere(place.channel)

    def _moved_metadata(self, delivery: Delivery) -> dict[str, Any]:
        metadata = self._metadata(delivery)
        # By the revision it is told apart from an earlier message of the alert in the same channel.
        return {**metadata, "event_payload": {**metadata["event_payload"], "revision": delivery.revision}}

    def _metadata(self, delivery: Delivery) -> dict[str, Any]:
        return {
            "event_type": OPEN_EVENT,
            "event_payload": {"alert_id": delivery.alert.id, "connector": delivery.sent_as or self.name},
        }


def _remote(config: SlackConfig, now: Callable[[], datetime]) -> Workspace | Webhook:
    timeout = config.timeout.total_seconds()
    if config.webhook_url:
        return Webhook(config.webhook_url.get_secret_value(), timeout, now)
    token = config.token.get_secret_value() if config.token else ""
    api, glance = (Api(token, config.base_url, patience, now) for patience in (timeout, min(timeout, _PATIENCE)))
    return Workspace(api, glance, config.channel or "", now)


def _post(workspace: Workspace, payload: Payload) -> Delivered:
    answer, note = _send_to_channel(workspace, payload)
    place = Place.of(Receipt(remote_id=f"{answer.data.get('channel')}:{answer.data.get('ts')}"))
    if place is None:
        raise Refused(Refusal.UNCERTAIN, "Slack said yes without saying where the message stands")
    url = workspace.permalink(place)
    workspace.channel.learn(place.channel)
    return Delivered(Receipt(remote_id=place.remote_id, url=url), note)


def _send_to_channel(workspace: Workspace, payload: Payload) -> tuple[Answer, str]:
    """A new message to the channel as it is known, else to the one that bears the configured name."""
    channel = workspace.channel
    send = partial(workspace.api.write, POST)
    address = channel.address()
    try:
        with channel.sending():
            sent = _plainer_if_refused(send, {**payload, "channel": address})
    except Refused as refused:
        if address == channel.configured or refused.code not in _MOVED:
            raise
        return _send_by_name(workspace, payload, refused)
    if address != channel.configured:
        channel.review()
    return sent


def _send_by_name(workspace: Workspace, payload: Payload, refused: Refused) -> tuple[Answer, str]:
    """The known channel is gone: the configured name counts again, where another channel bears it."""
    channel = workspace.channel
    # First, so that after a lost answer the message is looked for where it went.
    known = channel.forget()
    try:
        with channel.sending():
            return _plainer_if_refused(partial(workspace.api.write, POST), {**payload, "channel": channel.configured})
    except Refused as again:
        if known and again.refusal is not Refusal.UNCERTAIN:
            channel.learn(known)
        raise (refused if again.code in _MOVED else again) from None


def _edit(workspace: Workspace, delivery: Delivery, payload: Payload) -> Outcome:
    receipt, reply = delivery.receipt or Receipt(remote_id=""), payload.get("reply")
    try:
        _, note = _plainer_if_refused(partial(workspace.api.write, EDIT), payload)
    except Refused as refused:
        if refused.refusal is Refusal.UNCERTAIN:
            return Retry(refused.reason)  # an edit may be repeated: there is nothing to look for
        if not _leaves_as_it_is(refused, only_links=reply is None):
            raise
        note = f"the message was left as it is ({refused.code or refused.reason})"
        if refused.code not in _STANDS:
            if reply and delivery.kind is Kind.UPDATE:
                return _post(workspace, _anew(payload))
            reply = None  # its thread is gone as well
    if reply:
        note = _joined(note, _answer_in_thread(workspace, reply))
    return Delivered(receipt, note)


def _move(
    workspace: Workspace, delivery: Delivery, payload: Payload, place: Place, metadata: Mapping[str, Any]
) -> Delivered:
    """A new message in the channel of today, then the old one and its thread. Each is looked for before it is sent.

    So whatever lies between any two of them, neither comes twice.
    """
    old = delivery.receipt.url if delivery.receipt else None
    if delivery.attempt == 1:
        look = partial(workspace.message_today, metadata, delivery.enqueued_at)
    else:
        look = partial(workspace.message_with, metadata, delivery.enqueued_at, besides=place.channel)
    there = _look(delivery, look)
    note = ""
    if there is None:
        told = blocks.moved_here({**_anew(payload), "metadata": dict(metadata)}, place.channel, old)
        posted = _post(workspace, {"method": POST, **told})
        there, note = Place.of(posted.receipt), posted.note
        if there is None:
            raise Refused(Refusal.UNCERTAIN, "Slack said yes without saying where the message stands")
    receipt = Receipt(remote_id=there.remote_id, url=workspace.permalink(there))
    reply = blocks.moved_away(payload["reply"], there.channel, receipt.url)
    return Delivered(receipt, _joined(note, _take_leave(workspace, delivery, {**payload, "reply": reply}, place)))


def _look(delivery: Delivery, look: Callable[[], T]) -> T | None:
    try:
        return look()
    except Refused as refused:
        # Where the token may never look, a first attempt has nothing to look for.
        if delivery.attempt == 1 and refused.code in ("missing_scope", "no_permission", NOT_LISTED):
            return None
        raise


def _take_leave(workspace: Workspace, delivery: Delivery, payload: Payload, place: Place) -> str:
    """Brings the old message up to date and says in its thread where the alert is now; returns a note, if any."""
    note = ""
    try:
        _plainer_if_refused(partial(workspace.api.write, EDIT), payload)
    except Refused as refused:
        if refused.refusal is Refusal.UNCERTAIN:
            raise Failed(Retry(refused.reason)) from None
        if not _leaves_as_it_is(refused, only_links=False):
            raise
        note = f"the message in the channel before was left as it is ({refused.code or refused.reason})"
        if refused.code not in _STANDS:
            return note
    # Also an attempt before the config named another channel may have answered in the thread.
    if _look(delivery, partial(_replied, workspace, delivery, place)):
        return note
    return _joined(note, _answer_in_thread(workspace, payload["reply"]))


def _reply(delivery: Delivery, place: Place) -> dict[str, Any]:
    change = {"alert_id": delivery.alert.id, "kind": delivery.kind.value, "revision": delivery.revision}
    reply = {"channel": place.channel, "thread_ts": place.ts, **blocks.reply(delivery), **_LITERAL}
    if got_worse(delivery.changes):
        reply["reply_broadcast"] = True  # the channel should hear of it, not only those who follow the thread
    return {**reply, "fallback": reply["text"], "metadata": {"event_type": CHANGE_EVENT, "event_payload": change}}


def _leaves_as_it_is(refused: Refused, *, only_links: bool) -> bool:
    """Whether an edit is done with although Slack refused it: the message can no longer be edited, or is gone."""
    if refused.refusal is Refusal.FINAL or refused.code in _MOVED:
        return True
    # Links alone do not show that the destination is broken, unless Slack itself says so.
    may_pass = refused.refusal in (Refusal.RETRY, Refusal.WAIT)
    return only_links and (refused.refusal is Refusal.FORM or (refused.code is None and not may_pass))


def _replied(workspace: Workspace, delivery: Delivery, place: Place) -> bool:
    return workspace.reply_with(_reply(delivery, place)["metadata"], place, delivery.enqueued_at)


def _answer_in_thread(workspace: Workspace, reply: Mapping[str, Any]) -> str:
    """Posts an edit's reply; returns what there is to note."""
    try:
        return _plainer_if_refused(partial(workspace.api.write, POST), reply)[1]
    except Refused as refused:
        if refused.refusal is not Refusal.FINAL:
            raise
        return f"its thread accepts no reply ({refused.code})"


def _plainer_if_refused(send: Callable[[Mapping[str, Any]], T], payload: Payload) -> tuple[T, str]:
    """Sends ``payload``, and once more as its ``fallback`` where Slack refuses its form: the answer and a note."""
    arguments = {key: value for key, value in payload.items() if key not in _OURS}
    try:
        return send(arguments), ""
    except Refused as refused:
        if refused.refusal is not Refusal.FORM or "fallback" not in payload:
            raise
        # An edit keeps whatever it does not mention.
        empty: dict[str, Any] = {"blocks": [], "attachments": []} if "ts" in arguments else {}
        dropped = {"blocks", "attachments"} | ({"metadata"} if "metadata" in (refused.code or "") else set())
        kept = {key: value for key, value in arguments.items() if key not in dropped}
        note = f"sent as plain text, since Slack refused its form ({refused.code or refused.reason})"
        return send({**kept, **empty, "text": payload["fallback"]}), note


def _anew(payload: Payload) -> dict[str, Any]:
    """An edit as a message of its own, for where the one to edit is gone."""
    kept = {key: value for key, value in payload.items() if key not in ("method", "ts", "reply")}
    return {**kept, **_NO_PREVIEWS}


def _only_brings_links(delivery: Delivery) -> bool:
    return delivery.kind is Kind.UPDATE and delivery.receipt is not None and not delivery.changes


def _is_older(found: Place, repeats: Place | None) -> bool:
    """Whether what was found is what is repeated on purpose, or an earlier one whose repetition was deleted."""
    return repeats is not None and float(found.ts) <= float(repeats.ts)


def _takes_back_nothing(delivery: Delivery) -> bool:
    return delivery.kind is Kind.WITHDRAW and delivery.receipt is None


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
