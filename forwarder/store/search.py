"""Finding alerts by what people have at hand: a CVE or a part of one, a piece of a title, an id, a vendor, a ticket.

The index ``search`` knows every run of three characters of each alert's id, CVE, title and vendors, whatever the case.
Receipts (a ticket's key, an incident's) have an index of their own, and are found whole.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any, Final

LEAST: Final = 3
"""Characters from which on the index knows a term; shorter ones are looked for in what the longer ones find."""
SUGGESTED: Final = 3
"""CVEs that are offered where nothing was found."""
_CVE: Final = re.compile(r"(?:cve[-\s]*)?(\d{4})-(\d+)", re.IGNORECASE)
_UNKEPT: Final = re.compile("[\0\ud800-\udfff]")
"""Characters that SQLite's texts cannot hold."""

_BY_RECEIPT: Final = "SELECT alert_id FROM deliveries WHERE receipt_id = ? COLLATE NOCASE AND receipt_id IS NOT NULL"
_BY_INDEX: Final = "SELECT rowid FROM search WHERE search MATCH ?"
_CVES_LIKE: Final = """
SELECT DISTINCT cve_id FROM alerts WHERE cve_id >= ?1 AND cve_id < ?2 AND cve_id IS NOT NULL
ORDER BY length(cve_id) = ?3 DESC, cve_id LIMIT ?4
"""


def condition(text: str) -> tuple[str, tuple[Any, ...]]:
    """The condition for alerts ``a`` with every word of ``text``, or with it (an address: its end) as a receipt."""
    terms = _UNKEPT.sub(" ", text).split()
    long = [term for term in terms if len(term) >= LEAST]
    parts, values = [], list[Any]()
    if long:
        parts.append(f"id IN ({_BY_INDEX})")
        values.append(" ".join(_quoted(term) for term in long))
    for term in terms:
        if len(term) < LEAST:
            parts.append("words LIKE ? ESCAPE '\\'")
            values.append(anywhere(term))
    found = f"SELECT alert_id FROM searchable WHERE {' AND '.join(parts) or 'true'}"
    return f"(a.id IN ({found}) OR a.id IN ({_BY_RECEIPT}))", (*values, terms[-1].rsplit("/", 1)[-1] if terms else "")


def anywhere(text: str) -> str:
    """The pattern for ``LIKE … ESCAPE '\\'`` that finds ``text`` wherever it stands."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def nearest(connection: sqlite3.Connection, text: str) -> list[str]:
    """CVEs that were seen and begin like the one in ``text``, the longest common beginning first; none without one."""
    match = _CVE.search(text)
    if match is None:
        return []
    wanted = f"CVE-{match[1]}-{match[2]}"
    found: list[str] = []
    for length in range(len(wanted) - 1, len("CVE-2026-"), -1):
        begin = wanted[:length]
        rows = connection.execute(_CVES_LIKE, (begin, begin + "\uffff", len(wanted), SUGGESTED))
        found += [cve for (cve,) in rows if cve not in found]
        if len(found) >= SUGGESTED:
            break
    return found[:SUGGESTED]


def _quoted(term: str) -> str:
    doubled = term.replace('"', '""')
    return f'"{doubled}"'
