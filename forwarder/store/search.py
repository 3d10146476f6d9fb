"""Finding alerts by what people have at hand: a CVE or a part of one, a piece of a title, an id, a vendor, a ticket.

An index knows every run of three characters of each alert's id, CVE, title and vendors, whatever the case: SQLite's
full-text search, ``search``, or PostgreSQL's inverted index of ``trigrams``. The former is walked from the newest alert
back, and no further than until there are enough: neither what matches everything nor what matches nothing takes long
among a million. Vendors stand there by their keys: what people call one is looked up in the stack, and its key sought
as well. Receipts (a ticket's key, an incident's) have an index of their own, and are found whole.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from forwarder.store.connection import Connection, Row

LEAST: Final = 3
"""Characters from which on the index knows a term by itself."""
SUGGESTED: Final = 3
"""CVEs that are offered where nothing was found."""
PAIRS: Final = 8
"""Terms of two characters that the index is asked for at once."""
MANY_KEYS: Final = 8
"""Vendors that are called alike from which on the index is asked for how their keys begin: aws-lambda and aws-s3."""
NEWEST_FIRST: Final = "a.seen_at DESC, a.published_at DESC"
_CVE: Final = re.compile(r"(?:cve[-\s]*)?(\d{4})-(\d+)", re.IGNORECASE)
_WHOLE_CVE: Final = re.compile(
    r"(?:(?<!\S)\S*[^\w\s])?(?<!\w)cve[-_\s]*(\d{4})[-_\s]+(\d+)(?!\w)(?:[^\w\s]\S*)?", re.IGNORECASE
)
"""A CVE as people copy it: in an address, in brackets, with or without its hyphens.

What stands before it is sought from the beginning of a word alone: from each character of a long one it would take
hours.
"""
_YEAR_AT: Final = len("CVE-")
_HYPHENS: Final = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_UNSEEN: Final = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")
_UNKEPT: Final = re.compile("[\0\ud800-\udfff]")
"""Characters that SQLite's texts cannot hold."""
_BESIDE: Final = [chr(code) for code in range(1, 128) if not chr(code).isupper()]
"""What may stand beside two characters, for the index to know the three."""

_LINE: Final = "\n"
"""What stands before each vendor in the words of an alert."""

_BY_RECEIPT: Final = "SELECT alert_id FROM deliveries WHERE receipt_id = ? COLLATE NOCASE AND receipt_id IS NOT NULL"
# The order of the rows is that in which alerts were first seen.
_BY_INDEX: Final = """
SELECT a.* FROM search CROSS JOIN searchable AS w ON w.id = search.rowid CROSS JOIN alerts AS a ON a.id = w.alert_id
WHERE search MATCH ? AND {} ORDER BY search.rowid DESC LIMIT ?
"""
_BY_READING: Final = """
SELECT a.* FROM searchable AS w CROSS JOIN alerts AS a ON a.id = w.alert_id WHERE {} ORDER BY w.id DESC LIMIT ?
"""
# A key that has it itself is found by that.
_CALLED: Final = "SELECT key FROM vendors WHERE name LIKE ?1 ESCAPE '\\' AND key NOT LIKE ?1 ESCAPE '\\' ORDER BY key"
_READ: Final = "w.words LIKE ? ESCAPE '\\'"
_LOOKED_UP: Final = "trigrams(w.words) @> trigrams(?)"
_NAMES: Final = """
CASE WHEN json_valid(a.body) THEN EXISTS (
  SELECT 1 FROM json_each(a.body, '$.affected_vendors') AS v WHERE v.value IN (SELECT value FROM json_each(?))
) END
"""
_CVES_LIKE: Final = """
SELECT cve_id FROM alerts WHERE cve_id >= ?1 AND cve_id < ?2 AND cve_id IS NOT NULL AND length(cve_id) < 100
GROUP BY cve_id
ORDER BY length(cve_id) = ?3 DESC, cve_id LIMIT ?4
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to look for: ``words`` and ``phrases``, all of which an alert has, or a receipt, where one may be meant.

    An alert has a word also where a vendor of it is called by it.
    """

    words: tuple[str, ...]
    phrases: tuple[str, ...] = ()
    receipt: str = ""


def wanted(text: str | None, *phrases: str | None) -> Wanted | None:
    """Every word of ``text`` and all of ``phrases``; None where neither names anything."""
    words = _normal(text or "").split()
    whole = [_UNKEPT.sub("", phrase) for phrase in phrases if phrase]
    if not words and not whole:
        return None
    # An address of a ticket ends in its key.
    receipt = words[-1].rsplit("/", 1)[-1] if words and not whole else ""
    return Wanted(words=tuple(words), phrases=tuple(whole), receipt=receipt)


def newest(
    connection: Connection,
    wanted: Wanted,
    *,
    where: str = "true",
    values: Sequence[Any] = (),
    among: tuple[str, Sequence[Any]] | None = None,
    limit: int,
) -> list[Row]:
    """Of the alerts ``a`` that are ``wanted`` and meet ``where`` with its ``values`` those that were seen last.

    ``among`` selects the ids of few alerts, with its values, where others are not in question.
    """
    found: dict[str, Row] = {}
    if wanted.receipt:
        sql = f"SELECT a.* FROM alerts AS a WHERE a.id IN ({_BY_RECEIPT}) AND {where} ORDER BY {NEWEST_FIRST} LIMIT ?"
        found |= {row["id"]: row for row in connection.execute(sql, (wanted.receipt, *values, limit))}
    called = {word: keys for word in wanted.words if (keys := _keys(connection, word))}
    phrases = [phrase for phrase in (*wanted.words, *wanted.phrases) if phrase not in called]
    of_file = isinstance(connection, sqlite3.Connection)
    plan = _plan_of_file(phrases, called) if of_file else _plan_of_server(phrases, called)
    select, few = among or ("", ())
    within = [f"{plan.row} IN (SELECT id FROM searchable WHERE alert_id IN ({select}))"] if among else []
    either_of = [value for word, keys in called.items() for value in (anywhere(word), json.dumps(keys))]
    names = [f"({_READ} OR {_NAMES})"] * len(called)
    condition = " AND ".join([*within, *plan.looked_up, *[_READ] * len(plan.read), *names, where])
    given = (*plan.match, *few, *plan.asked, *map(anywhere, plan.read), *either_of, *values, limit)
    matching = connection.execute(plan.source.format(condition), given)
    found |= {row["id"]: row for row in matching}
    return sorted(found.values(), key=lambda row: (row["seen_at"], row["published_at"]), reverse=True)[:limit]


def anywhere(text: str) -> str:
    """The pattern for ``LIKE … ESCAPE '\\'`` that finds ``text`` wherever it stands."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def nearest(connection: Connection, text: str) -> list[str]:
    """CVEs that were seen and begin like the one in ``text``, the longest common beginning first; none without one."""
    match = _CVE.search(_normal(text))
    if match is None:
        return []
    cve = f"CVE-{match[1]}-{match[2]}"
    found: list[str] = []
    for length in range(len(cve) - 1, len("CVE-2026-"), -1):
        begin = cve[:length]
        rows = connection.execute(_CVES_LIKE, (begin, begin + "\uffff", len(cve), SUGGESTED))
        found += [cve for (cve,) in rows if cve not in found]
        if len(found) >= SUGGESTED:
            break
    return found[:SUGGESTED]


def _normal(text: str) -> str:
    """``text`` without what SQLite cannot hold, and with the CVEs in it as they are written."""
    kept = _UNKEPT.sub(" ", text)
    told, count = _WHOLE_CVE.subn(r"CVE-\1-\2", _HYPHENS.sub("-", _UNSEEN.sub("", kept)))
    return told if count else kept


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """How phrases are found: in ``source``, by its ``match``; what an index is asked for, and which are read for.

    ``looked_up`` are conditions, and ``asked`` the values of their parameters.
    """

    source: str
    row: str
    match: Sequence[str] = ()
    looked_up: Sequence[str] = ()
    asked: Sequence[str] = ()
    read: Sequence[str] = ()


def _plan_of_server(phrases: Sequence[str], called: Mapping[str, Sequence[str]]) -> _Plan:
    """PostgreSQL's index says where a phrase may be; what it names is read, and so is what it is not asked for."""
    phrases = list(dict.fromkeys(phrases))
    either: list[tuple[str, ...]] = [(phrase,) for phrase in phrases if len(phrase) >= LEAST]
    either += [(word, *_beginnings(keys)) for word, keys in called.items()]
    return _Plan(
        source=_BY_READING,
        row="w.id",
        looked_up=[f"({' OR '.join([_LOOKED_UP] * len(terms))})" for terms in either],
        asked=[term for terms in either for term in terms],
        read=phrases,
    )


def _plan_of_file(phrases: Sequence[str], called: Mapping[str, Sequence[str]]) -> _Plan:
    """What SQLite's index is asked for, and for which phrases what it finds must be read."""
    asked, read = list[str](), list[str]()
    pairs = 0
    for phrase in dict.fromkeys(phrases):
        if phrase.lower().startswith("cve-") and len(phrase) >= _YEAR_AT + LEAST:
            # It is quick to find what follows, for these four are in nearly every alert.
            asked.append(_quoted(phrase[_YEAR_AT:]))
            read.append(phrase)
        elif len(phrase) >= LEAST:
            asked.append(_quoted(phrase))
        elif len(phrase) == LEAST - 1 and phrase.isascii() and pairs < PAIRS:
            pairs += 1
            threes = [three for char in _BESIDE for three in (char + phrase, phrase + char)]
            asked.append(f"({' OR '.join(map(_quoted, threes))})")
        else:
            read.append(phrase)
    asked += [f"({' OR '.join(map(_quoted, (word, *_beginnings(keys))))})" for word, keys in called.items()]
    if not asked:
        return _Plan(source=_BY_READING, row="w.id", read=read)
    return _Plan(source=_BY_INDEX, row="search.rowid", match=[" AND ".join(asked)], read=read)


def _keys(connection: Connection, word: str) -> list[str]:
    """The keys of the vendors whose name has ``word``, where their keys do not have it."""
    if len(word) < LEAST or word.lower().startswith("cve-"):
        return []
    return [key for (key,) in connection.execute(_CALLED, (anywhere(word),))]


def _beginnings(keys: Sequence[str]) -> list[str]:
    """What the index is asked for, for the vendors with these keys: of many only what comes before their hyphens."""
    if len(keys) > MANY_KEYS:
        keys = list(dict.fromkeys(key.partition("-")[0] for key in keys))
    return [_LINE + key for key in keys if len(_LINE + key) >= LEAST]


def _quoted(term: str) -> str:
    doubled = term.replace('"', '""')
    return f'"{doubled}"'
