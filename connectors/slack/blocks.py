"""What an alert looks like in Slack: Block Kit within Slack's limits, and plain text where that is refused. Pure.

An alert is other people's text. It is shown as plain_text wherever Slack offers that; in mrkdwn it is escaped and
marked verbatim, so that nothing in it can ping a channel or forge a link.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from connectors.slack import digest, life
from connectors.slack.markup import EMOJI, escape, escape_within, linked_cve, moment, mrkdwn, plain_text, size
from forwarder.alert import Severity
from forwarder.connector import Action, Change, Delivery, Kind, Origin, clean, cut, is_web_url, one_line

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
MAX_VENDORS: Final = 10
MAX_EVIDENCE: Final = 8
MAX_VALUE: Final = 300
"""What people can absorb: links, names of vendors, lines of evidence, characters of one fact (Slack allows 2,000 in a
section's field)."""

_EVIDENCE: Final = "Evidence"
_FRAME: Final = 200  # characters of the lists and objects around blocks
_COLOURS: Final = {
    Severity.CRITICAL: "#c0192d",
    Severity.HIGH: "#e8791a",
    Severity.MEDIUM: "#e3b505",
    Severity.LOW: "#2f80d1",
}
_ACTIONS: Final = {Action.ACKNOWLEDGE: "Acknowledged", Action.RESOLVE: "Resolved", Action.REOPEN: "Open again"}
_GREY, _GREEN = "#8d8d8d", "#2e9e6b"
_ORIGINS: Final = {
    Origin.FEED: ("", ""),
    Origin.ALARM: ("Forwarder alarm: ", "The forwarder's own trouble, not a vulnerability."),
    Origin.TEST: ("TEST: ", "🧪 A test of the forwarder: nothing has happened and nothing needs to be done."),
}
_TEXTS: Final = {Origin.DIGEST: "🗞️", Origin.REPORT: "📊"}
"""What is no alert, but all text: it has no facts, and no severity."""


def message(
    delivery: Delivery, title: str, body: str, buttons: Sequence[Mapping[str, Any]] = (), note: str = ""
) -> dict[str, Any]:
    """The alert as it stands, worded with ``title`` (one line) and ``body``: a message without its address.

    ``buttons`` are blocks to act by; ``note`` is what there is to say before all else, as plain text.
    """
    if delivery.origin in _TEXTS:
        return _text_alone(delivery, title, body)
    alert, over, shown = delivery.alert, life.is_over(delivery), heading(delivery, title)
    notes = [{"type": "section", "text": plain_text(note)}] if note else []
    if over:
        top = [*notes, *life.banner(delivery, struck=escape_within(title, MAX_SECTION // 2)), *buttons]
    else:
        header = {"type": "header", "text": plain_text(cut(shown, MAX_HEADER))}
        top = [header, *notes, *life.banner(delivery), *buttons]
    known, footer = [_facts(delivery), *([] if over else _evidence(delivery))], _footer(delivery)
    room = MAX_TOTAL - _FRAME - size([*top, *known, footer])
    details = [*known, *_body_and_links(delivery, "" if over else body, room)]
    return {
        "text": escape_within(_summary(delivery, shown), MAX_TEXT),
        "blocks": top,
        "attachments": [{"color": _GREEN if over else _COLOURS[alert.severity], "blocks": [*details, footer]}],
    }


def _body_and_links(delivery: Delivery, body: str, room: int) -> list[dict[str, Any]]:
    """The text, and the links as buttons, in at most ``room`` characters on the wire."""
    found: list[dict[str, Any]] = []
    if body := _within(_squeezed(body), room):
        found.append({"type": "section", "text": plain_text(body)})
    if buttons := _buttons(delivery, room - (size(found) if found else 0)):
        found.append({"type": "actions", "elements": buttons})
    return found


def _text_alone(delivery: Delivery, title: str, body: str) -> dict[str, Any]:
    shown = heading(delivery, title)
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
    emoji, verdict = over(delivery)
    resolved = delivery.origin is Origin.ALARM
    struck = f"{emoji} *{verdict}*\n~{escape_within(title, MAX_SECTION // 2)}~"
    return {
        "text": escape_within(f"{emoji} {verdict}: {title}", MAX_TEXT),
        "blocks": [{"type": "section", "text": mrkdwn(struck)}, *life.banner(delivery)],
        "attachments": [{"color": _GREEN if resolved else _GREY, "blocks": [_facts(delivery), _footer(delivery)]}],
    }


def over(delivery: Delivery) -> tuple[str, str]:
    """An emoji and the words for an alert that is withdrawn."""
    if delivery.origin is Origin.ALARM:
        return "✅", "Resolved"
    return "⚪", "Test over" if delivery.origin is Origin.TEST else "No longer stands"


def followed_up(delivery: Delivery, title: str) -> dict[str, Any]:
    """A short message of what is new, for where the first message cannot be edited."""
    header = cut(f"{_heads(delivery)}: {title}", MAX_HEADER)
    lines = news(delivery)
    return {
        "text": escape_within(f"{header}\n{lines}", MAX_TEXT),
        "blocks": [
            {"type": "header", "text": plain_text(header)},
            {"type": "section", "text": plain_text(cut(lines, MAX_SECTION))},
            *(life.banner(delivery) + _evidence(delivery) if delivery.kind is Kind.UPDATE else []),
            _footer(delivery),
        ],
    }


def _heads(delivery: Delivery) -> str:
    if delivery.response:
        return _ACTIONS[delivery.response.action]
    return "⏰ Reminder" if delivery.kind is Kind.REMIND else f"{EMOJI[delivery.alert.severity]} Changed"


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
    lines = news(delivery)
    return {
        "text": escape_within(lines, MAX_TEXT),
        "blocks": [{"type": "section", "text": plain_text(cut(lines, MAX_SECTION))}],
    }


def news(delivery: Delivery) -> str:
    """What a follow-up brings, as plain text: the changes, who did what, or that the alert is withdrawn."""
    if delivery.kind is Kind.WITHDRAW:
        return " ".join(over(delivery)) + "."
    if delivery.kind is Kind.UPDATE:
        lines = [life.opened_again(delivery), *(sentence(change, delivery.named) for change in delivery.changes)]
        return "\n".join(filter(None, lines))
    return life.news(delivery)


def sentence(change: Change, named: Callable[[Iterable[str]], Sequence[str]] = list) -> str:
    """One change in words, as plain text; ``named`` says how vendors are called."""
    if change.field == "cisa_kev":
        return "🔥 Now on CISA KEV: known to be exploited" if change.new else "No longer on CISA KEV"
    if change.field == "affected_vendors":
        old, new = _names(change.old), _names(change.new)
        gained, lost = named(key for key in new if key not in old), named(key for key in old if key not in new)
        return f"Vendors: {_listed([*(f'+ {name}' for name in gained), *(f'− {name}' for name in lost)])}"
    names = {"severity": "Severity", "cvss_score": "CVSS", "cve_id": "CVE"}
    mark = "⬆️ " if change.field == "severity" and change.is_worse else ""
    return f"{mark}{names.get(change.field, change.field)}: {_value(change.old)} → {_value(change.new)}"


def plain(delivery: Delivery, title: str, body: str) -> str:
    """The whole message as escaped text without blocks, for where Slack refuses those."""
    alert, title = delivery.alert, heading(delivery, title)
    if delivery.kind is Kind.WITHDRAW:
        return escape_within(f"{' '.join(over(delivery))}: {title}", MAX_TEXT)
    links = [link.url for link in delivery.links] + list(alert.source_urls[:MAX_BUTTONS])
    if delivery.origin in _TEXTS:
        parts = [title, *filter(is_web_url, links), _squeezed(body)]
        return escape_within("\n".join(part for part in parts if part), MAX_TEXT)
    noted = life.news(delivery) if delivery.kind is Kind.REMIND else ""
    parts = [_summary(delivery, title), noted, _ORIGINS[delivery.origin][1]]
    told = "\n".join([_EVIDENCE, *delivery.evidence]) if delivery.evidence else ""
    parts += [*filter(is_web_url, links), told, _squeezed(body)]
    return escape_within("\n".join(part for part in parts if part), MAX_TEXT)


def heading(delivery: Delivery, title: str) -> str:
    """``title`` with the severity's emoji and, where it is not an alert of the feed, what it is."""
    if emoji := _TEXTS.get(delivery.origin):
        return f"{emoji} {title}"
    return f"{EMOJI[delivery.alert.severity]} {_ORIGINS[delivery.origin][0]}{title}"


def _summary(delivery: Delivery, title: str) -> str:
    """The alert in a line, for notifications and screen readers."""
    alert = delivery.alert
    facts = [alert.severity_label]
    facts += [alert.cve_id] if alert.cve_id else []
    facts += [f"CVSS {alert.cvss_score:g}"] if alert.cvss_score is not None else []
    facts += ["on CISA KEV"] if alert.cisa_kev else []
    standing = f" · {life.standing(delivery)}" if delivery.latest else ""
    return f"{cut(title, MAX_VALUE)} ({cut(', '.join(facts), MAX_VALUE)}){standing}"


def _facts(delivery: Delivery) -> dict[str, Any]:
    alert = delivery.alert
    flag = "" if alert.severity_known else "⚠️ "
    fields = [("Severity", flag + _short(alert.severity_label[:1].upper() + alert.severity_label[1:]))]
    if alert.cve_id:
        fields.append(("CVE", linked_cve(alert, MAX_VALUE)))
    if alert.cvss_score is not None:
        fields.append(("CVSS", f"{alert.cvss_score:.1f}"))
    if alert.epss_score is not None:
        fields.append(("EPSS", escape(_percent(alert.epss_score))))
    if alert.cisa_kev:
        fields.append(("CISA KEV", "🔥 Known to be exploited"))
    if alert.affected_vendors:
        fields.append(("Vendors", _short(_listed(delivery.vendor_names))))
    if delivery.accounts:
        fields.append(("Account", _short(delivery.seen_by)))
    if alert.alert_type and alert.alert_type != "cve":
        fields.append(("Type", _short(alert.alert_type)))
    return {"type": "section", "fields": [mrkdwn(f"*{name}*\n{value}") for name, value in fields]}


def _evidence(delivery: Delivery) -> list[dict[str, Any]]:
    """A section with what the API says of the evidence; none where that is nothing."""
    if not delivery.evidence:
        return []
    lines = "\n".join(cut(one_line(clean(line)), MAX_VALUE) for line in delivery.evidence[:MAX_EVIDENCE])
    return [{"type": "section", "text": plain_text(f"{_EVIDENCE}\n{lines}")}]


def _footer(delivery: Delivery) -> dict[str, Any]:
    alert, (_, origin) = delivery.alert, _ORIGINS[delivery.origin]
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
    for label, url in _links(delivery):
        button = {"type": "button", "text": plain_text(cut(label, MAX_BUTTON)), "url": url}
        if len(url) <= MAX_URL and size(button) <= room:
            room -= size(button)
            buttons.append(button)
        if len(buttons) == MAX_BUTTONS:
            break
    return buttons


def _links(delivery: Delivery) -> Iterator[tuple[str, str]]:
    for link in delivery.links:
        if is_web_url(link.url):
            yield one_line(clean(link.text)) or link.connector, link.url
    hosts: dict[str, int] = {}
    for url in delivery.alert.source_urls:
        if host := _host(url):
            hosts[host] = hosts.get(host, 0) + 1
            yield host if hosts[host] == 1 else f"{cut(host, MAX_BUTTON - 6)} ({hosts[host]})", url


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname if is_web_url(url) else None
    except ValueError:
        return None


def _within(body: str, room: int) -> str:
    """``body`` for a section, in at most ``room`` characters on the wire."""
    shown = cut(body, MAX_SECTION)
    # A cut removes at least as many characters on the wire as in the text.
    return cut(shown, max(len(shown) - max(size(shown) - room, 0), 0))


def _squeezed(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _short(text: str) -> str:
    return escape_within(one_line(text), MAX_VALUE)


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MAX_VENDORS
    return ", ".join(names[:MAX_VENDORS]) + (f" and {rest} more" if rest > 0 else "")


def _percent(share: float) -> str:
    return "<0.1%" if 0 < share < 0.001 else f"{share:.1%}"


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def _value(value: object) -> str:
    return "none" if value is None else cut(one_line(clean(str(value))), MAX_VALUE)
