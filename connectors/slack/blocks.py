"""What an alert looks like in Slack: Block Kit within Slack's limits, and plain text where that is refused. Pure.

An alert is other people's text. It is shown as plain_text wherever Slack offers that; in mrkdwn it is escaped and
marked verbatim, so that nothing in it can ping a channel or forge a link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.slack import digest
from connectors.slack.markup import escape_within, linked_cve, moment, mrkdwn, plain_text, size
from forwarder import words
from forwarder.alert import Severity
from forwarder.connector import Delivery, Kind, Origin, clean, cut, is_web_url, one_line
from forwarder.words import MAX_VALUE

MAX_HEADER: Final = 150
"""Characters of a header block. https://docs.slack.dev/reference/block-kit/blocks/header-block"""

MAX_SECTION: Final = 3000
"""Characters of a section's text. https://docs.slack.dev/reference/block-kit/blocks/section-block"""

MAX_BUTTON: Final = 75
MAX_URL: Final = 3000
"""Characters of a button and of its URL.
https://docs.slack.dev/reference/block-kit/block-elements/button-element"""

MAX_TEXT: Final = 3500
"""Characters of ``text``. Slack advises 4,000, and chat.update refuses more.
https://docs.slack.dev/reference/methods/chat.postMessage#truncating"""

MAX_TOTAL: Final = 9000
"""Characters of all blocks of one message, as JSON. Slack documents no limit, but answers ``msg_blocks_too_long``
somewhere above 13,000."""

MAX_BUTTONS: Final = 5
"""What people can absorb of links."""

_EVIDENCE: Final = "Evidence"
_FRAME: Final = 200  # characters of the lists and objects around blocks
_COLOURS: Final = {
    Severity.CRITICAL: "#c0192d",
    Severity.HIGH: "#e8791a",
    Severity.MEDIUM: "#e3b505",
    Severity.LOW: "#2f80d1",
}
_GREY, _GREEN = "#8d8d8d", "#2e9e6b"


def message(
    delivery: Delivery, title: str, body: str, buttons: Sequence[Mapping[str, Any]] = (), note: str = ""
) -> dict[str, Any]:
    """The alert as it stands, worded with ``title`` (one line) and ``body``: a message without its address.

    ``buttons`` are blocks to act by; ``note`` is what there is to say before all else, as plain text.
    """
    if words.is_text_alone(delivery):
        return _text_alone(delivery, title, body)
    alert, over, shown = delivery.alert, words.is_over(delivery), words.heading(delivery, title)
    notes = [{"type": "section", "text": plain_text(note)}] if note else []
    if over:
        top = [*notes, *_banner(delivery, struck=escape_within(title, MAX_SECTION // 2)), *buttons]
    else:
        header = {"type": "header", "text": plain_text(cut(shown, MAX_HEADER))}
        top = [header, *notes, *_banner(delivery), *buttons]
    known, footer = [_facts(delivery), *([] if over else _evidence(delivery))], _footer(delivery)
    room = MAX_TOTAL - _FRAME - size([*top, *known, footer])
    details = [*known, *_body_and_links(delivery, "" if over else body, room)]
    return {
        "text": escape_within(words.summary(delivery, shown), MAX_TEXT),
        "blocks": top,
        "attachments": [{"color": _GREEN if over else _COLOURS[alert.severity], "blocks": [*details, footer]}],
    }


def _body_and_links(delivery: Delivery, body: str, room: int) -> list[dict[str, Any]]:
    """The text, and the links as buttons, in at most ``room`` characters on the wire."""
    found: list[dict[str, Any]] = []
    if body := _within(words.squeezed(body), room):
        found.append({"type": "section", "text": plain_text(body)})
    if buttons := _buttons(delivery, room - (size(found) if found else 0)):
        found.append({"type": "actions", "elements": buttons})
    return found


def _banner(delivery: Delivery, struck: str = "") -> list[dict[str, Any]]:
    """The status for a message's top: who and when, the title where it is over (``struck``), then why.

    No block at all while nobody reacted.
    """
    latest = delivery.latest
    if latest is None:
        return []
    lines = [f"{escape_within(words.who_did_what(latest), words.MAX_WHO)} · {moment(latest.at)}"]
    lines += [f"~{struck}~"] if struck else []
    lines += [escape_within(words.reason(latest), words.MAX_REASON)]
    return [{"type": "section", "text": mrkdwn("\n".join(filter(None, lines)))}]


def _text_alone(delivery: Delivery, title: str, body: str) -> dict[str, Any]:
    shown = words.heading(delivery, title)
    header = {"type": "header", "text": plain_text(cut(shown, MAX_HEADER))}
    if delivery.items and body == clean(delivery.alert.description):
        return _digest(delivery, shown, header)
    details = _body_and_links(delivery, body, MAX_TOTAL - _FRAME - size([header]))
    return {
        "text": escape_within(cut(shown, MAX_VALUE), MAX_TEXT),
        "blocks": [header],
        "attachments": [{"color": _GREY, "blocks": details}] if details else [],
    }


def _digest(delivery: Delivery, shown: str, header: dict[str, Any]) -> dict[str, Any]:
    links = _body_and_links(delivery, "", MAX_TOTAL // 4)
    found = digest.blocks(delivery.items, MAX_TOTAL - _FRAME - size([header, *links]), _page(delivery))
    return {
        "text": escape_within(cut(shown, MAX_VALUE), MAX_TEXT),
        "blocks": [header, *found, *links],
        "attachments": [],
    }


def withdrawn(delivery: Delivery, title: str) -> dict[str, Any]:
    """The alert struck out: it no longer stands, or the forwarder's trouble is over."""
    emoji, verdict = words.over(delivery)
    resolved = delivery.origin is Origin.ALARM
    struck = f"{emoji} *{verdict}*\n~{escape_within(title, MAX_SECTION // 2)}~"
    return {
        "text": escape_within(f"{emoji} {verdict}: {title}", MAX_TEXT),
        "blocks": [{"type": "section", "text": mrkdwn(struck)}, *_banner(delivery)],
        "attachments": [{"color": _GREEN if resolved else _GREY, "blocks": [_facts(delivery), _footer(delivery)]}],
    }


def followed_up(delivery: Delivery, title: str) -> dict[str, Any]:
    """A short message of what is new, for where the first message cannot be edited."""
    header = cut(words.news_title(delivery, title), MAX_HEADER)
    lines = words.news(delivery)
    return {
        "text": escape_within(f"{header}\n{lines}", MAX_TEXT),
        "blocks": [
            {"type": "header", "text": plain_text(header)},
            {"type": "section", "text": plain_text(cut(lines, MAX_SECTION))},
            *(_banner(delivery) + _evidence(delivery) if delivery.kind is Kind.UPDATE else []),
            _footer(delivery),
        ],
    }


def moved_here(content: Mapping[str, Any], channel: str, url: str | None) -> dict[str, Any]:
    """``content`` with a line that leads to the first message, in another channel."""
    first = f"<{url}|another channel>" if url else f"<#{channel}>"
    note = f"The first message of this alert is in {first}."
    line = {"type": "context", "elements": [mrkdwn(note)]}
    *others, last = content["attachments"]
    attachments = [*others, {**last, "blocks": [*last["blocks"], line]}]
    return {**content, "attachments": attachments, "fallback": f"{content['fallback']}\n{note}"}


def moved_away(reply: Mapping[str, Any], channel: str, url: str | None) -> dict[str, Any]:
    """A thread's ``reply`` with a line that leads to where the alert is followed from now on."""
    there = f"<{url}|another channel>" if url else f"<#{channel}>"
    line = {"type": "context", "elements": [mrkdwn(f"From now on this alert is followed in {there}.")]}
    # Whoever looks is told there, so this channel need not hear of it.
    kept = {key: value for key, value in reply.items() if key != "reply_broadcast"}
    return {**kept, "blocks": [*reply["blocks"], line]}


def reply(delivery: Delivery) -> dict[str, Any]:
    """What goes into the message's thread: what is new, in words."""
    lines = words.news(delivery)
    return {
        "text": escape_within(lines, MAX_TEXT),
        "blocks": [{"type": "section", "text": plain_text(cut(lines, MAX_SECTION))}],
    }


def plain(delivery: Delivery, title: str, body: str) -> str:
    """The whole message as escaped text without blocks, for where Slack refuses those."""
    alert, title = delivery.alert, words.heading(delivery, title)
    if delivery.kind is Kind.WITHDRAW:
        return escape_within(f"{' '.join(words.over(delivery))}: {title}", MAX_TEXT)
    links = [link.url for link in delivery.links] + list(alert.source_urls[:MAX_BUTTONS])
    if words.is_text_alone(delivery):
        parts = [title, *filter(is_web_url, links), words.squeezed(body)]
        return escape_within("\n".join(part for part in parts if part), MAX_TEXT)
    noted = words.reminder(delivery) if delivery.kind is Kind.REMIND else ""
    parts = [words.summary(delivery, title), noted, words.what_it_is(delivery)]
    told = "\n".join([_EVIDENCE, *delivery.evidence]) if delivery.evidence else ""
    parts += [*filter(is_web_url, links), told, words.squeezed(body)]
    return escape_within("\n".join(part for part in parts if part), MAX_TEXT)


def _facts(delivery: Delivery) -> dict[str, Any]:
    shown = {
        name: linked_cve(delivery.alert, MAX_VALUE) if name == "CVE" else escape_within(value, MAX_VALUE)
        for name, value in words.facts(delivery)
    }
    return {"type": "section", "fields": [mrkdwn(f"*{name}*\n{value}") for name, value in shown.items()]}


def _evidence(delivery: Delivery) -> list[dict[str, Any]]:
    """A section with what the API says of the evidence; none where that is nothing."""
    lines = words.evidence(delivery)
    return [{"type": "section", "text": plain_text(f"{_EVIDENCE}\n{lines}")}] if lines else []


def _footer(delivery: Delivery) -> dict[str, Any]:
    alert, origin = delivery.alert, words.what_it_is(delivery)
    published = moment(alert.published_at)
    elements = [origin] if origin else []
    note = f" ({alert.date_note})" if alert.date_note else ""
    elements += [f"Published {published}{note}" if delivery.origin is Origin.FEED else f"Since {published}"]
    elements += [f"Alert {_short(alert.id)}"]
    if page := _page(delivery):
        elements += [f"<{page}|Why is this here?>"]
    return {"type": "context", "elements": [mrkdwn(element) for element in elements]}


def _page(delivery: Delivery) -> str | None:
    """The status page of it, where there is one whose address fits."""
    return delivery.page if delivery.page and len(delivery.page) <= MAX_VALUE else None


def _buttons(delivery: Delivery, room: int) -> list[dict[str, Any]]:
    """Links as buttons within ``room`` characters: first where else the alert stands, then its sources."""
    buttons: list[dict[str, Any]] = []
    for label, url in words.links(delivery):
        button = {"type": "button", "text": plain_text(cut(label, MAX_BUTTON)), "url": url}
        if len(url) <= MAX_URL and size(button) <= room:
            room -= size(button)
            buttons.append(button)
        if len(buttons) == MAX_BUTTONS:
            break
    return buttons


def _within(body: str, room: int) -> str:
    """``body`` for a section, in at most ``room`` characters on the wire."""
    shown = cut(body, MAX_SECTION)
    # A cut removes at least as many characters on the wire as in the text.
    return cut(shown, max(len(shown) - max(size(shown) - room, 0), 0))


def _short(text: str) -> str:
    return escape_within(one_line(text), MAX_VALUE)
