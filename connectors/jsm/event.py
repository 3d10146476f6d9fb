"""An alert as Jira Service Management's integration events have it. Pure.

The fields and their limits: https://docs.opsgenie.com/docs/alerts-and-alert-fields, which Atlassian took over for
https://developer.atlassian.com/cloud/jira/service-desk-ops/rest/v2/api-group-integration-events/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from connectors.jsm.config import Priority
from forwarder import paging, words
from forwarder.alert import Alert
from forwarder.connector import Delivery, Kind, Texts, clean, cut

MAX_MESSAGE: Final = 130
MAX_ALIAS: Final = 512
MAX_DESCRIPTION: Final = 15_000
MAX_DETAILS: Final = 8000
MAX_NOTE: Final = 25_000
MAX_LABEL: Final = 100
"""Characters of the message, the alias, the description, all properties, a note, and a source."""

SOURCE: Final = "Sentrytex"
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
"""How an element of HTML begins, which a message may hold: https://support.atlassian.com/opsgenie/docs/alert-fields"""
_BREAK: Final = "\u200b"
_CUT: Final = "… (cut)"
_REST: Final = 200  # characters that names of properties take at most


def alias_of(alert: Alert) -> str:
    """By what everything about ``alert`` is one alert there: while one is open, a repeat only counts it up."""
    return paging.dedup_key(alert, MAX_ALIAS)


def created(delivery: Delivery, alias: str, texts: Texts, priority: Priority) -> dict[str, Any]:
    """What opens an alert, or counts it up."""
    told = [words.news(delivery)] if delivery.kind is not Kind.OPEN else []
    told += [words.squeezed(clean(texts.text(delivery, delivery.alert.description)))]
    told += ["\n".join(url for _, url in words.links(delivery))]
    return {
        "message": cut(harmless(paging.title(delivery, texts)), MAX_MESSAGE),
        "alias": alias,
        "description": cut(harmless("\n\n".join(filter(None, told))), MAX_DESCRIPTION, _CUT),
        "priority": priority,
        "source": SOURCE,
        "details": _fitted(_details(delivery)),
    }


def noted(delivery: Delivery) -> dict[str, Any]:
    """What closes or acknowledges one: who did it, and why."""
    who = delivery.response.person if delivery.response else ""
    body = {"source": SOURCE, "note": cut(harmless(words.news(delivery)), MAX_NOTE, _CUT)}
    return {**body, "user": cut(harmless(clean(who)), MAX_LABEL)} if who else body


def harmless(text: str) -> str:
    """``text`` as it reads, with a space without width in each element of HTML, which is none then."""
    return _TAG.sub(f"<{_BREAK}", text)


def _details(delivery: Delivery) -> dict[str, str]:
    alert = delivery.alert
    owner = ", ".join(str(getattr(owner, "root", "")) for owner in delivery.owners)
    return {
        **dict(words.facts(delivery)),
        **({"Owner": clean(owner)} if owner else {}),
        **({"Evidence": words.evidence(delivery)} if delivery.evidence else {}),
        "Published": words.utc(alert.published_at) + (f" ({alert.date_note})" if alert.date_note else ""),
        "Alert": alert.id,
        **({"Page": delivery.page} if delivery.page else {}),
    }


def _fitted(details: Mapping[str, str]) -> dict[str, str]:
    """``details`` in MAX_DETAILS characters, each of them as long as all may be."""
    limit = (MAX_DETAILS - _REST) // len(details)
    return {name: cut(harmless(value), limit, _CUT) for name, value in details.items()}
