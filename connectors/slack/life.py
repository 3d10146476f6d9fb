"""How far an alert has come, in words: who has it, what came of it, how long nobody did. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from connectors.slack.markup import escape_within, moment, mrkdwn
from forwarder.connector import FEED, Action, Delivery, Kind, Response, Status, clean, cut, one_line

MAX_WHO: Final = 200
MAX_REASON: Final = 500
"""What people can absorb: characters of the words who did what, and of the reason."""

_MARKS: Final = {Action.ACKNOWLEDGE: "👀", Action.RESOLVE: "✅", Action.REOPEN: "🔁"}


def standing(delivery: Delivery) -> str:
    """The alert's status in a line of plain text, such as ``👀 Acknowledged by Ada``; empty while nobody reacted."""
    return _words(delivery.latest) if delivery.latest else ""


def banner(delivery: Delivery, struck: str = "") -> list[dict[str, Any]]:
    """The status for a message's top: who and when, the title where it is over (``struck``), then why.

    No block at all while nobody reacted.
    """
    if delivery.latest is None:
        return []
    lines = [f"{escape_within(_words(delivery.latest), MAX_WHO)} · {moment(delivery.latest.at)}"]
    lines += [f"~{struck}~"] if struck else []
    lines += [escape_within(_reason(delivery.latest), MAX_REASON)] if delivery.latest.reason else []
    return [{"type": "section", "text": mrkdwn("\n".join(filter(None, lines)))}]


def news(delivery: Delivery) -> str:
    """What a response or a reminder says, as plain text: a line who did what, and one why; empty for other kinds."""
    if delivery.kind is Kind.REMIND:
        return _reminder(delivery)
    if delivery.response is None:
        return ""
    return "\n".join(filter(None, (cut(_words(delivery.response), MAX_WHO), _reason(delivery.response))))


def opened_again(delivery: Delivery) -> str:
    """That this very change opened the alert again, as plain text; empty where it did not."""
    latest = delivery.latest
    news = delivery.kind is Kind.UPDATE and latest is not None and latest.place == FEED
    return _words(latest) if news and latest and latest.at >= delivery.enqueued_at else ""


def is_over(delivery: Delivery) -> bool:
    """Whether nothing is left to do."""
    return delivery.status is Status.RESOLVED


def _reminder(delivery: Delivery) -> str:
    latest = delivery.latest
    if delivery.reminder:
        said = [one_line(clean(latest.words)) + f", {_utc(latest.at)}"] if latest else []
        return f"⏰ {'. '.join(cut(part, MAX_WHO) for part in (one_line(clean(delivery.reminder)), *said))}."
    if latest is None:
        return f"⏰ Still open since {_utc(delivery.alert.published_at)}: nobody has acknowledged it."
    words = cut(one_line(clean(latest.words)), MAX_WHO)
    match delivery.status:
        case Status.OPEN:
            return f"⏰ Still open. {words}, {_utc(latest.at)}: nobody has acknowledged it since."
        case Status.ACKNOWLEDGED:
            return f"⏰ Not resolved yet. {words}, {_utc(latest.at)}."
        case Status.RESOLVED:
            return f"⏰ {words}, {_utc(latest.at)}."


def _words(response: Response) -> str:
    return f"{_MARKS[response.action]} {one_line(clean(response.words))}"


def _reason(response: Response) -> str:
    # Why an alert got worse is told by the change itself.
    return cut(one_line(clean(response.reason)), MAX_REASON) if response.place != FEED else ""


def _utc(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
