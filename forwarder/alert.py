"""An alert: one immutable fact from the Sentrytex API.

The shape is the vendor's ("API Reference", GET /alerts). Nothing but the id is relied on: the rest may be null, absent,
of another type or new, and an alert is worth forwarding all the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final, Self

from forwarder.common.clock import iso
from forwarder.common.text import clean, cut, is_web_url, one_line


class Severity(StrEnum):
    """How bad it is. In the vendor's glossary: critical from CVSS 9.0, high from 7.0, medium from 4.0, low below."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for the most severe: the order in which deliveries go out."""
        return _RANKS[self]


_RANKS: Final = {severity: rank for rank, severity in enumerate(Severity)}


class MalformedAlert(ValueError):
    """What the API sent cannot be told apart from others. The message says why, in words for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One field of an alert that is not what it was; values are as JSON has them."""

    field: str
    old: Any
    new: Any

    @property
    def is_worse(self) -> bool:
        """Whether people must look again: the severity rose, or CISA now lists the alert as exploited.

        A severity that the API's reference does not list counts as critical, here as in routing.
        """
        if self.field == "severity":
            return _rank_of(self.new) < _rank_of(self.old)
        return self.field == "cisa_kev" and self.new is True


def got_worse(changes: Iterable[Change]) -> bool:
    """Whether any of ``changes`` is for the worse."""
    return any(change.is_worse for change in changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendor:
    """A vendor of the account's stack: the key by which alerts name it, its name for people, and its categories."""

    key: str
    name: str
    categories: tuple[str, ...] = ()

    @classmethod
    def parse(cls, raw: object) -> Self | None:
        """The vendor that an entry of the stack stands for; None where it has no key."""
        if not isinstance(raw, Mapping) or not (key := one_line(_text(raw.get("vendor_key")))):
            return None
        categories = (one_line(category) for category in _texts(raw.get("category")))
        return cls(
            key=key,
            name=cut(one_line(_text(raw.get("vendor_name"))), MAX_NAME) or key,
            categories=tuple(dict.fromkeys(cut(category, MAX_NAME) for category in categories if category)),
        )


Vendors = Mapping[str, Vendor]
"""What the stack says of vendors, by key. A vendor that is not in it is not in the stack, or not known yet."""


def named(keys: Iterable[str], vendors: Vendors) -> tuple[str, ...]:
    """Vendors as people read them: by name, where it is known, else by key; each name once."""
    return tuple(dict.fromkeys(vendors[key].name if key in vendors else key for key in keys))


def in_names(change: Change, vendors: Vendors) -> Change:
    """``change`` with vendors as people read them."""
    if change.field != "affected_vendors":
        return change
    old, new = (
        list(named(map(str, keys), vendors)) if isinstance(keys, list | tuple) else keys
        for keys in (change.old, change.new)
    )
    return replace(change, old=old, new=new)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAside:
    """An item of the feed that is not a valid alert: its text, what is wrong with it, and a digest to know it again.

    ``seen_at`` is when it was first seen, in seconds since the epoch. ``severity`` is that of the item where it says
    one, and ``told`` what else can be read of it, on a line; both are empty where nothing can.
    """

    digest: str
    raw: str
    reason: str
    seen_at: float = 0.0
    severity: Severity | None = None
    told: str = ""

    @classmethod
    def of(cls, item: object, text: str, digest: str, reason: str) -> Self:
        """An item that is no alert, by its JSON value and as ``text``, with what can be read of it all the same."""
        # Values alone: what is nested too deeply for an alert cannot be written as a text either.
        fields = {
            name: value
            for name, value in (item.items() if isinstance(item, Mapping) else ())
            if isinstance(value, str | int | float)
        }
        severity, known = _severity(fields.get("severity"))
        facts = [one_line(_text(fields.get(name))) for name in ("cve_id", "title")]
        facts += [severity.value] if known else []
        facts += ["on CISA KEV"] if fields.get("cisa_kev") is True else []
        told = ", ".join(cut(fact, MAX_FACT) for fact in facts if fact)
        return cls(digest=digest, raw=text, reason=reason, severity=severity if known else None, told=told)


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alert as the API said it, cleaned of what no destination can show.

    ``cvss_score`` is 0 to 10, ``epss_score`` 0 to 1 (a probability), ``published_at`` is aware and in UTC. ``dated`` is
    false where the API sent no date that can be read: ``published_at`` is then when the alert was first seen.
    ``severity_known`` is false where the API sent a severity that its reference does not list: such an alert is routed
    as critical and flagged. ``raw`` is the JSON object as it came, unknown fields included.
    """

    id: str
    title: str
    severity: Severity
    published_at: datetime
    description: str = ""
    severity_known: bool = True
    dated: bool = True
    cve_id: str | None = None
    cvss_score: float | None = None
    epss_score: float | None = None
    source_urls: tuple[str, ...] = ()
    affected_vendors: tuple[str, ...] = ()
    cisa_kev: bool = False
    alert_type: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @classmethod
    def parse(cls, raw: object, *, seen_at: datetime | None = None) -> Self:
        """The alert that a decoded JSON value stands for; raises MalformedAlert where it stands for none.

        ``seen_at`` dates an alert that has no date of its own. It is kept in ``raw``, which so stands for the whole
        alert; without it, and without a kept one, an alert that has no date is malformed.
        """
        if not isinstance(raw, Mapping):
            raise MalformedAlert(f"an alert must be a JSON object, this is {_json_type(raw)}")
        alert_id = _text(raw.get("id"))
        if not alert_id:
            raise MalformedAlert("the alert has no id")
        if len(alert_id) > MAX_ID:
            raise MalformedAlert(f"the alert's id has {len(alert_id)} characters, more than {MAX_ID}")
        cve_id = one_line(_text(raw.get("cve_id"))) or None
        severity, known = _severity(raw.get("severity"))
        published_at = instant_of(raw.get("published_at"))
        if dated := published_at is not None:
            raw = {name: value for name, value in raw.items() if name != FIRST_SEEN}
        elif seen_at is not None:
            published_at, raw = seen_at.astimezone(UTC), {**raw, FIRST_SEEN: iso(seen_at)}
        elif (published_at := _kept_instant(raw.get(FIRST_SEEN))) is None:
            raise MalformedAlert("the alert has no date of publication that can be read")
        if not (dated or known or cve_id or one_line(_text(raw.get("title")))):
            raise MalformedAlert("the alert has no date, no CVE, no title and no known severity")
        return cls(
            id=alert_id,
            title=one_line(_text(raw.get("title"))) or cve_id or one_line(alert_id),
            description=_text(raw.get("description")),
            severity=severity,
            severity_known=known,
            cve_id=cve_id,
            cvss_score=_number(raw.get("cvss_score"), 0, 10),
            epss_score=_number(raw.get("epss_score"), 0, 1),
            published_at=published_at,
            dated=dated,
            source_urls=tuple(url for url in _texts(raw.get("source_urls")) if is_web_url(url)),
            affected_vendors=tuple(one_line(vendor) for vendor in _texts(raw.get("affected_vendors"))),
            cisa_kev=raw.get("cisa_kev") is True,
            alert_type=one_line(_text(raw.get("alert_type"))) or None,
            raw=dict(raw),
        )

    @property
    def severity_label(self) -> str:
        """The severity for people; says so where the API sent one that is not known."""
        if self.severity_known:
            return self.severity.value
        told = one_line(_text(self.raw.get("severity")))[:40] or "none"
        return f"{self.severity.value} (the API said: {told})"

    @property
    def exact(self) -> bool:
        """Whether the API said the moment of publication, and not a day alone, or nothing."""
        return self.dated and bool(_MOMENT.search(_text(self.raw.get("published_at"))))

    @property
    def published_by(self) -> datetime:
        """By when it was published at the latest: a day alone can mean its last moment."""
        return self.published_at if self.exact or not self.dated else self.published_at + timedelta(days=1)

    @property
    def date_note(self) -> str:
        """What people must know of ``published_at``; empty where it is what the API said."""
        return "" if self.dated else "the feed gave no date, this is when it was first seen"

    def with_date_of(self, known: Alert) -> Alert:
        """The same alert, dated as ``known`` is, its earlier form, where it has no date of its own."""
        if self.dated:
            return self
        if known.dated:
            return Alert.parse({**self.raw, "published_at": known.raw.get("published_at")})
        return Alert.parse(self.raw, seen_at=known.published_at)

    @property
    def link(self) -> str | None:
        """The page to read first: the CVE's entry in the NVD, else the first source."""
        if self.cve_id and _CVE.fullmatch(self.cve_id):
            return f"https://nvd.nist.gov/vuln/detail/{self.cve_id}"
        return self.source_urls[0] if self.source_urls else None

    def changes_from(self, old: Alert) -> tuple[Change, ...]:
        """What people must hear of since ``old``.

        EPSS moves daily and texts get commas mended: neither is told. A change of EPSS that makes another route match
        is no matter of this list, for routing looks at every new revision.
        """
        told = ("severity", "cisa_kev", "cvss_score", "cve_id", "affected_vendors")
        before, after = _facts(old), _facts(self)
        return tuple(
            Change(field=name, old=before[name], new=after[name]) for name in told if before[name] != after[name]
        )


MAX_ID: Final = 255
"""Characters; the vendor's ids are UUIDs of 36. PagerDuty's dedup key and Jira's label end at 255 with our prefix."""

MAX_NAME: Final = 200
"""Characters of a vendor's name, and of a category's."""

MAX_FACT: Final = 200
"""Characters of what is told of an item that is no alert, for each of its fields."""
FIRST_SEEN: Final = "_forwarder_first_seen_at"
"""The field of ``raw`` that dates an alert to which the API gave no date."""

_CVE: Final = re.compile(r"CVE-\d{4}-\d{4,}")
_MOMENT: Final = re.compile(r"\d[T ]\d|:|^\d{9,}")
_NUMBER: Final = re.compile(r"\d{9,19}(\.\d+)?")
_EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Dates outside of these are what programs write for none, such as 1970, the year 1 or the end of 9999."""


def _text(value: object) -> str:
    """A JSON value as text: numbers and objects too, for a wrong type is no reason to lose what it says."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return clean(value).strip()
    return clean(json.dumps(value, ensure_ascii=False, default=str))


def _texts(value: object) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [text for item in items if (text := _text(item))]


def _number(value: object, low: float, high: float) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and low <= value <= high else None


def _rank_of(severity: object) -> int:
    """The rank of a severity as a Change has it, where an unknown one reads ``critical (the API said: …)``."""
    try:
        return Severity(str(severity)).rank
    except ValueError:
        return Severity.CRITICAL.rank


def _severity(value: object) -> tuple[Severity, bool]:
    try:
        return Severity(_text(value).lower()), True
    except ValueError:
        return Severity.CRITICAL, False


def _kept_instant(value: object) -> datetime | None:
    """A date that we wrote ourselves, by whatever clock."""
    try:
        return datetime.fromisoformat(_text(value)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def instant_of(value: object) -> datetime | None:
    """The instant that a date of the API's means, in UTC; None where it means none.

    Dates of ISO 8601 and of e-mail are read, and seconds, milliseconds or smaller parts since the epoch. A date without
    an offset is UTC, one without a time the beginning of its day.
    """
    text = _text(value)
    for read in (_from_epoch, datetime.fromisoformat, _with_zone, parsedate_to_datetime):
        try:
            read_as = read(text)
            when = (read_as.replace(tzinfo=UTC) if read_as.tzinfo is None else read_as).astimezone(UTC)
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
        return when if _EARLIEST <= when < _LATEST else None
    return None


def _from_epoch(text: str) -> datetime:
    if not _NUMBER.fullmatch(text):
        raise ValueError
    seconds = float(text)
    while seconds >= _PARTS_FROM:
        seconds /= 1000
    return datetime.fromtimestamp(seconds, UTC)


_PARTS_FROM: Final = 1e11
"""Numbers from here on are parts of seconds: as seconds they lie beyond the year 5000."""


def _with_zone(text: str) -> datetime:
    """An ISO date with its zone in words: ``2026-05-01 12:34:56 UTC``."""
    return datetime.fromisoformat(re.sub(r"\s*(UTC|GMT|Z)$", "+00:00", text, flags=re.IGNORECASE))


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _facts(alert: Alert) -> dict[str, Any]:
    return {
        "severity": alert.severity.value if alert.severity_known else alert.severity_label,
        "cisa_kev": alert.cisa_kev,
        "cvss_score": alert.cvss_score,
        "cve_id": alert.cve_id,
        "affected_vendors": sorted(alert.affected_vendors),
    }
