"""What a comment says to those who have the ticket. Pure."""

from __future__ import annotations

from typing import Final

from connectors.jira.markup import Content, cut_line
from connectors.jira.ticket import LABEL, evidence, links
from forwarder.connector import FEED, Change, Delivery, Kind, Origin, Response, Status, Texts

_MAX_VALUE: Final = 1000
_NAMES: Final = {"severity": "Severity", "cvss_score": "CVSS", "cve_id": "CVE"}
_WITHDRAWN: Final = {
    Origin.ALARM: "This alarm is over.",
    Origin.TEST: "The test is over.",
}
_OPEN_AGAIN: Final = "This alert is open again, for it got worse: reopen the ticket if it is closed."


def comment_for(delivery: Delivery, texts: Texts) -> Content:
    """What became of the alert, or what a person decided about it elsewhere."""
    # Only a change brings evidence that is new to those who have the ticket.
    shown = evidence(delivery) if delivery.kind is Kind.UPDATE else []
    facts = [*shown, *links(delivery)]
    return Content(text=texts.text(delivery, _words(delivery)), facts=facts, small_print=marker(delivery))


def marker(delivery: Delivery) -> str:
    """The small print by which a comment is known again when it is uncertain whether an attempt made it."""
    return f"{LABEL} {delivery.kind} r{delivery.revision}"


def _words(delivery: Delivery) -> str:
    match delivery.kind:
        case Kind.WITHDRAW:
            return _WITHDRAWN.get(delivery.origin, "Sentrytex no longer reports this alert.")
        case Kind.REMIND:
            return _reminder(delivery)
        case Kind.ACKNOWLEDGE | Kind.RESOLVE | Kind.REOPEN:
            return _decision(delivery.response) if delivery.response else f"Elsewhere: {delivery.kind}."
    sentences = [_sentence(change, delivery) for change in delivery.changes] or ["This alert changed."]
    if _is_open_again(delivery):
        sentences.append(_OPEN_AGAIN)
    return "\n".join(sentences)


def _is_open_again(delivery: Delivery) -> bool:
    worse = any(change.is_worse for change in delivery.changes)
    return worse and delivery.latest is not None and delivery.latest.place == FEED


def _decision(response: Response) -> str:
    """Who decided what, where, when and why. Each on one line: nobody can write a line that passes for a marker."""
    where = f" via {response.place}" if response.person else ""
    words = cut_line(f"{response.words}{where}", _MAX_VALUE)
    lines = [f"{words}, {response.at:%Y-%m-%d %H:%M} UTC."]
    if response.reason.strip():
        lines.append(f"Reason: {cut_line(response.reason, _MAX_VALUE)}")
    return "\n".join(lines)


def _reminder(delivery: Delivery) -> str:
    words = f"Still open. {delivery.reminder}." if delivery.reminder else "This alert is still open."
    if delivery.status is Status.ACKNOWLEDGED and delivery.latest is not None:
        words += f" {cut_line(delivery.latest.words, _MAX_VALUE)}."
    return words


def _sentence(change: Change, delivery: Delivery) -> str:
    match change.field:
        case "cisa_kev":
            now = "now" if change.new else "no longer"
            return f"It is {now} on CISA's list of known exploited vulnerabilities (KEV)."
        case "affected_vendors":
            before, after = set(change.old or ()), set(change.new or ())
            differences = (("Also affected", after - before), ("No longer affected", before - after))
            return " ".join(
                f"{what}: {_value(', '.join(delivery.named(sorted(keys))))}." for what, keys in differences if keys
            )
    return f"{_NAMES.get(change.field, change.field)} is now {_value(change.new)}; it was {_value(change.old)}."


def _value(value: object) -> str:
    return "none" if value is None else cut_line(str(value), _MAX_VALUE)
