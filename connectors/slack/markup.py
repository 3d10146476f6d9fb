"""Slack's texts: other people's, as they read, and nothing in them that Slack would act on. Pure."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

from forwarder.alert import Alert
from forwarder.connector import one_line

MAX_LINK: Final = 300
"""Characters of an address within a text."""


def escape(text: str) -> str:
    """``text`` as mrkdwn that reads the same. https://docs.slack.dev/messaging/formatting-message-text/#escaping"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_within(text: str, limit: int) -> str:
    """``text`` escaped in at most ``limit`` characters, with a mark where something had to go; no entity is halved."""
    escaped = escape(text[: limit + 1])
    if len(text) <= limit and len(escaped) <= limit:
        return escaped
    return re.sub(r"&[a-z]{0,3}$", "", escaped[: limit - 1]).rstrip() + "…"


def plain_text(text: str) -> dict[str, Any]:
    """A text object in which nothing is read as markup."""
    # emoji: false keeps a ":8080:" of an alert from becoming a picture.
    return {"type": "plain_text", "text": text, "emoji": False}


def mrkdwn(text: str) -> dict[str, Any]:
    """A text object in which ``text`` is read as markup, but no bare ``@here``."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def moment(when: datetime) -> str:
    """``when`` as mrkdwn: everybody reads it in the own time zone.
    https://docs.slack.dev/messaging/formatting-message-text/#date-formatting"""
    return f"<!date^{int(when.timestamp())}^{{date_short_pretty}} {{time}}|{when:%Y-%m-%d %H:%M} UTC>"


def linked_cve(alert: Alert, limit: int) -> str:
    """The alert's CVE as mrkdwn in at most ``limit`` characters, linked to its entry in the NVD."""
    name = escape_within(one_line(alert.cve_id or ""), limit)
    # Alert.link names the NVD only for a well-formed CVE: nothing of the alert's own text gets into the address.
    nvd = alert.link if alert.link and alert.link.startswith("https://nvd.nist.gov/vuln/detail/CVE-") else None
    return f"<{nvd}|{name}>" if nvd and len(nvd) <= MAX_LINK else name


_JSON: Final = json.JSONEncoder(ensure_ascii=False)


def size(blocks: Any) -> int:
    """Characters of ``blocks`` on the wire."""
    return len(_JSON.encode(blocks))
