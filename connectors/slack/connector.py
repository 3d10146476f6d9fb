"""Slack: one message per alert, kept up to date where the token allows it.

With a bot token the message is edited when the alert changes, its thread says what changed, and a message whose answer
was lost is found again by its metadata. An incoming webhook can do none of this: each change is a message of its
own, and after a lost answer a message may come twice.

``connectors.slack.blocks`` says what a message looks like, ``connectors.slack.client`` what Slack's refusals mean,
``connectors.slack.channel`` which channel is meant, and ``connectors.slack.search`` when a message is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from connectors.slack import blocks, owners
from connectors.slack.buttons import responding
from connectors.slack.client import Api, Webhook
from connectors.slack.config import SlackConfig
from connectors.slack.owners import Directory, SlackOwner
from connectors.slack.preview import preview
from connectors.slack.sending import (
    EDIT,
    LITERAL,
    NO_PREVIEWS,
    NOTHING,
    OPEN_EVENT,
    POST,
    WEBHOOK,
    edit,
    move,
    plainer_if_refused,
    post,
    replied,
    reply_to,
    tells_all,
)
from connectors.slack.setup import SETUP
from connectors.slack.workspace import Place, Workspace
from forwarder import words
from forwarder.alert import got_worse
from forwarder.connector import (
    Connector,
    Delivered,
    Delivery,
    Desk,
    Failed,
    Finding,
    Kind,
    Memory,
    Notices,
    Outcome,
    Payload,
    Receipt,
    Status,
    Texts,
    clean,
    one_line,
)

if TYPE_CHECKING:
    from connectors.slack.listener import Listener

_PATIENCE: Final = 2.0  # seconds, for what is only nice to know
_FOLLOW_UPS: Final = frozenset(kind for kind in Kind if kind.responds) | {Kind.UPDATE, Kind.REMIND}
_WEBHOOK_HOSTS: Final = ("hooks.slack.com", "hooks.slack-gov.com")


class Slack(Connector[SlackConfig]):
    """A channel of a Slack workspace.

    Receipts are ``CHANNEL:TS`` with the message's permalink, or ``webhook``: a webhook reports no more than that.
    """

    Config = SlackConfig
    noun = ("message", "messages")
    replayed = "will show a second time"
    withdrawn = "its message is marked as withdrawn"
    tells_responses = True
    shows_own_responses = True
    setup = SETUP
    Owner = SlackOwner

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
        workspace = self._remote if isinstance(self._remote, Workspace) else None
        self._owners = workspace.owners if workspace else Directory(None, None, Notices(), now)
        self._listener = _listener(name, config, self._remote, now)
        self.listens = self._listener is not None
        if isinstance(self._remote, Workspace):
            self.reconcile_after = tuple(after.total_seconds() for after in config.reconcile_after)
            self.follows_links = True

    def remember(self, memory: Memory) -> None:
        """Takes over what earlier processes learned of the channel."""
        super().remember(memory)
        if isinstance(self._remote, Workspace):
            self._remote.channel.remember(memory)
        self._owners.remember(memory)

    def render(self, delivery: Delivery) -> Payload:
        """``{"method": …}`` with that method's arguments; the ``reply`` of an edit goes into the message's thread.

        ``fallback`` is the plain text that is sent where Slack refuses the form. Without one nothing is sent instead.
        """
        place = Place.of(delivery.receipt)
        cannot_follow = place is None or not self.follows_links
        if (_only_brings_links(delivery) and cannot_follow) or _takes_back_nothing(delivery):
            return {"method": NOTHING}
        if delivery.kind.responds and (delivery.receipt is None or (place is None and self.follows_links)):
            return {"method": NOTHING}  # no message is there that could show it
        if isinstance(self._remote, Webhook):
            return self._render_for_webhook(delivery)
        message = {**self._content(delivery), "metadata": self._metadata(delivery), **LITERAL}
        if delivery.kind is Kind.OPEN or place is None:
            return {"method": POST, "channel": self._remote.channel.configured, **message, **NO_PREVIEWS}
        editing = {"method": EDIT, "channel": place.channel, "ts": place.ts, **message}
        if _only_brings_links(delivery):
            del editing["fallback"]  # links alone are not worth an edit that loses the message's form
            return editing
        return editing | {"reply": reply_to(delivery, place)}

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """One attempt: a post, or an edit and then its reply, so that the last of them shows that both are done."""
        if payload["method"] == NOTHING:
            return Delivered(delivery.receipt or Receipt(remote_id=""), note="nothing to send")
        try:
            if isinstance(self._remote, Webhook):
                called = owners.calling(payload, self._owners.mentions(payload.get("owners") or []))
                _, note = plainer_if_refused(self._remote.send, called)
                return Delivered(Receipt(remote_id=WEBHOOK), note)
            place = Place.of(delivery.receipt)
            if payload["method"] == EDIT and place and self._moves(self._remote, delivery, place):
                return move(self._remote, delivery, payload, place, self._moved_metadata(delivery))
            if payload["method"] == EDIT:
                return edit(self._remote, delivery, payload)
            return post(self._remote, payload)
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
            done = moved and replied(self._remote, delivery, place)
            return Receipt(remote_id=moved.remote_id, url=self._remote.permalink(moved)) if moved and done else None
        if place and delivery.kind is not Kind.OPEN and replied(self._remote, delivery, place):
            return delivery.receipt
        if delivery.kind is Kind.WITHDRAW or delivery.kind.responds:
            return None
        found = self._remote.message_with(self._metadata(delivery), delivery.enqueued_at)
        if found is None or found == place or _is_older(found, Place.of(delivery.repeats)):
            return None
        return Receipt(remote_id=found.remote_id, url=self._remote.permalink(found))

    def check(self) -> list[Finding]:
        """Asks about the token, its scopes and the channel; a webhook can only be looked at."""
        if isinstance(self._remote, Workspace):
            return self._remote.findings() + (self._listener.findings() if self._listener else [])
        url = urlsplit(self.config.webhook_url.get_secret_value() if self.config.webhook_url else "")
        untried = f"Slack has no way to try it without posting: forwarder test {self.name} posts a test alert."
        if url.hostname not in _WEBHOOK_HOSTS:
            return [Finding(True, f"The webhook is not on {_WEBHOOK_HOSTS[0]} but on {url.hostname}. {untried}")]
        if url.scheme != "https" or not url.path.startswith("/services/"):
            form = f"https://{url.hostname}/services/"
            return [Finding(False, f"The webhook's address must begin with {form}: copy it from your Slack app again.")]
        return [Finding(True, f"The webhook's address has the right form. {untried}")]

    def check_owners(self, owners: Sequence[SlackOwner]) -> list[Finding]:
        """Whether each of ``owners`` can be pinged, in sentences."""
        return self._owners.findings([owner.root for owner in owners])

    def listen(self, desk: Desk) -> None:
        """Hears the buttons that people press, over Socket Mode; raises Failed where nothing is heard right now."""
        if self._listener:
            self._listener.listen(desk)

    def close(self) -> None:
        """Hears nothing more."""
        if self._listener:
            self._listener.close()

    def preview(self, payload: Payload) -> str:
        """The message in plain text, with its buttons and its reply."""
        return preview(payload)

    def _render_for_webhook(self, delivery: Delivery) -> Payload:
        if delivery.kind in _FOLLOW_UPS and delivery.receipt:
            news = blocks.followed_up(delivery, self._words(delivery)[0])
            told = {"method": WEBHOOK, **news, "fallback": news["text"]}
            return owners.named_in(told, delivery) if tells_all(delivery) else told
        return {"method": WEBHOOK, **self._content(delivery)}

    def _content(self, delivery: Delivery) -> dict[str, Any]:
        title, body = self._words(delivery)
        if delivery.kind is Kind.WITHDRAW:
            content = blocks.withdrawn(delivery, title)
        else:
            buttons = responding(delivery) if self.listens else []
            # Where there is a message, its thread reminds of it.
            note = words.news(delivery) if delivery.kind is Kind.REMIND and Place.of(delivery.receipt) is None else ""
            content = blocks.message(delivery, title, body, buttons, note)
        content = {**content, "fallback": blocks.plain(delivery, title, body)}
        done = delivery.kind is Kind.WITHDRAW or delivery.status is Status.RESOLVED
        return content if done else owners.named_in(content, delivery)

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


def _only_brings_links(delivery: Delivery) -> bool:
    return delivery.kind is Kind.UPDATE and delivery.receipt is not None and not delivery.changes


def _listener(
    name: str, config: SlackConfig, remote: Workspace | Webhook, now: Callable[[], datetime]
) -> Listener | None:
    if not (config.app_token and config.token and isinstance(remote, Workspace)):
        return None
    from connectors.slack.listener import Access, Listener

    access = Access(
        app_token=config.app_token.get_secret_value(),
        token=config.token.get_secret_value(),
        base_url=config.base_url,
        seconds=config.timeout.total_seconds(),
    )
    return Listener(name, access, remote.account, now)


def _is_older(found: Place, repeats: Place | None) -> bool:
    """Whether what was found is what is repeated on purpose, or an earlier one whose repetition was deleted."""
    return repeats is not None and float(found.ts) <= float(repeats.ts)


def _takes_back_nothing(delivery: Delivery) -> bool:
    return delivery.kind is Kind.WITHDRAW and delivery.receipt is None
