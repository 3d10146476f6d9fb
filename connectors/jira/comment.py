"""What a comment says to those who have the ticket. Pure."""

from __future__ import annotations

from connectors.jira.markup import Content
from forwarder.connector import Delivery, Kind, Texts
from forwarder.ticket import evidence, links, marker, news


def comment_for(delivery: Delivery, texts: Texts) -> Content:
    """What became of the alert, or what a person decided about it elsewhere."""
    # Only a change brings evidence that is new to those who have the ticket.
    shown = evidence(delivery) if delivery.kind is Kind.UPDATE else []
    facts = [*shown, *links(delivery)]
    return Content(text=texts.text(delivery, news(delivery, "ticket")), facts=facts, small_print=marker(delivery))
