"""How a message goes out: a new one, an edit with its reply, or a move to the channel of today."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from connectors.slack import blocks, owners
from connectors.slack.channel import NOT_LISTED
from connectors.slack.client import Answer, Refusal, Refused
from connectors.slack.workspace import Place, Workspace
from forwarder.alert import got_worse
from forwarder.connector import Delivered, Delivery, Failed, Kind, Outcome, Payload, Receipt, Retry

T = TypeVar("T")

OPEN_EVENT: Final = "sentrytex_alert"
CHANGE_EVENT: Final = "sentrytex_alert_change"
"""Types of our metadata: on an alert's message, and on the replies in its thread.
https://docs.slack.dev/messaging/message-metadata"""

POST, EDIT, WEBHOOK, NOTHING = "chat.postMessage", "chat.update", "webhook", "none"
"""What a payload's ``method`` may be. The first two are Slack's names."""

_OURS: Final = {"method", "reply", "fallback", "owners"}  # what of a payload is not an argument of its method
LITERAL: Final = {"parse": "none", "link_names": False}  # chat.update would otherwise turn @here into a ping
NO_PREVIEWS: Final = {"unfurl_links": False, "unfurl_media": False}
_STANDS: Final = {"cant_update_message", "edit_window_closed"}
_MOVED: Final = {"is_archived", "channel_not_found", "not_in_channel"}


def post(workspace: Workspace, payload: Payload) -> Delivered:
    payload = owners.calling(payload, workspace.owners.mentions(payload.get("owners") or []))
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
            sent = plainer_if_refused(send, {**payload, "channel": address})
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
            return plainer_if_refused(partial(workspace.api.write, POST), {**payload, "channel": channel.configured})
    except Refused as again:
        if known and again.refusal is not Refusal.UNCERTAIN:
            channel.learn(known)
        raise (refused if again.code in _MOVED else again) from None


def edit(workspace: Workspace, delivery: Delivery, payload: Payload) -> Outcome:
    receipt, reply = delivery.receipt or Receipt(remote_id=""), payload.get("reply")
    try:
        _, note = plainer_if_refused(partial(workspace.api.write, EDIT), payload)
    except Refused as refused:
        if refused.refusal is Refusal.UNCERTAIN:
            return Retry(refused.reason)  # an edit may be repeated: there is nothing to look for
        if not _leaves_as_it_is(refused, only_links=reply is None):
            raise
        note = f"the message was left as it is ({refused.code or refused.reason})"
        if refused.code not in _STANDS:
            if reply and delivery.kind in (Kind.UPDATE, Kind.REMIND):
                return post(workspace, _anew(payload))
            reply = None  # its thread is gone as well
    if reply:
        note = _joined(note, _answer_in_thread(workspace, reply))
    return Delivered(receipt, note)


def move(
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
        posted = post(workspace, {"method": POST, **told})
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
        plainer_if_refused(partial(workspace.api.write, EDIT), payload)
    except Refused as refused:
        if refused.refusal is Refusal.UNCERTAIN:
            raise Failed(Retry(refused.reason)) from None
        if not _leaves_as_it_is(refused, only_links=False):
            raise
        note = f"the message in the channel before was left as it is ({refused.code or refused.reason})"
        if refused.code not in _STANDS:
            return note
    # Also an attempt before the config named another channel may have answered in the thread.
    if _look(delivery, partial(replied, workspace, delivery, place)):
        return note
    return _joined(note, _answer_in_thread(workspace, payload["reply"]))


def reply_to(delivery: Delivery, place: Place) -> dict[str, Any]:
    change = {"alert_id": delivery.alert.id, "kind": delivery.kind.value, "revision": delivery.revision}
    reply = {"channel": place.channel, "thread_ts": place.ts, **blocks.reply(delivery), **LITERAL}
    if tells_all(delivery):
        reply["reply_broadcast"] = True  # the channel should hear of it, not only those who follow the thread
        reply = owners.named_in(reply, delivery)
    return {"fallback": reply["text"], **reply, "metadata": {"event_type": CHANGE_EVENT, "event_payload": change}}


def tells_all(delivery: Delivery) -> bool:
    """Whether a follow-up is for everybody: for the channel, and for those who must act."""
    return delivery.kind is Kind.REMIND or got_worse(delivery.changes)


def _leaves_as_it_is(refused: Refused, *, only_links: bool) -> bool:
    """Whether an edit is done with although Slack refused it: the message can no longer be edited, or is gone."""
    if refused.refusal is Refusal.FINAL or refused.code in _MOVED:
        return True
    # Links alone do not show that the destination is broken, unless Slack itself says so.
    may_pass = refused.refusal in (Refusal.RETRY, Refusal.WAIT)
    return only_links and (refused.refusal is Refusal.FORM or (refused.code is None and not may_pass))


def replied(workspace: Workspace, delivery: Delivery, place: Place) -> bool:
    return workspace.reply_with(reply_to(delivery, place)["metadata"], place, delivery.enqueued_at)


def _answer_in_thread(workspace: Workspace, reply: Mapping[str, Any]) -> str:
    """Posts an edit's reply; returns what there is to note."""
    if reply.get("reply_broadcast"):
        reply = owners.calling(reply, workspace.owners.mentions(reply.get("owners") or []))
    try:
        return plainer_if_refused(partial(workspace.api.write, POST), reply)[1]
    except Refused as refused:
        if refused.refusal is not Refusal.FINAL:
            raise
        return f"its thread accepts no reply ({refused.code})"


def plainer_if_refused(send: Callable[[Mapping[str, Any]], T], payload: Payload) -> tuple[T, str]:
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
    return {**kept, **NO_PREVIEWS}


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
