"""An alert: one immutable fact from the Sentrytex API.

The shape is the vendor's ("API Reference", GET /alerts). Nothing but the id and the time of publication is relied on:
the rest may be null, absent, of another type or new, and an alert is worth forwarding all the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from forwarder.common.text import clean, is_web_url, one_line


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
    """What the API sent has no usable id or time of publication. The message says which, in words for people."""


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
class SetAside:
    """An item of the feed that is not a valid alert: its text, what is wrong with it, and a digest to know it again.

    ``seen_at`` is when it was first seen, in seconds since the epoch.
    """

    digest: str
    raw: str
    reason: str
    seen_at: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alert as the API said it, cleaned of what no destination can show.

    ``cvss_score`` is 0 to 10, ``epss_score`` 0 to 1 (a probability), ``published_at`` is aware and in UTC.
    ``severity_known`` is false where the API sent a severity that its reference does not list: such an alert is routed
    as critical and flagged. ``raw`` is the JSON object as it came, unknown fields included.
    """

    id: str
    title: str
    severity: Severity
    published_at: datetime
    description: str = ""
    severity_known: bool = True
    cve_id: str | None = None
    cvss_score: float | None = None
    epss_score: float | None = None
    source_urls: tuple[str, ...] = ()
    affected_vendors: tuple[str, ...] = ()
    cisa_kev: bool = False
    alert_type: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @classmethod
    def parse(cls, raw: object) -> Self:
        """The alert that a decoded JSON value stands for; raises MalformedAlert where it stands for none."""
        if not isinstance(raw, Mapping):
            raise MalformedAlert(f"an alert must be a JSON object, this is {_json_type(raw)}")
        alert_id = _text(raw.get("id"))
        if not alert_id:
            raise MalformedAlert("the alert has no id")
        if len(alert_id) > MAX_ID:
            raise MalformedAlert(f"the alert's id has {len(alert_id)} characters, more than {MAX_ID}")
        cve_id = one_line(_text(raw.get("cve_id"))) or None
        severity, known = _severity(raw.get("severity"))
        return cls(
            id=alert_id,
            title=one_line(_text(raw.get("title"))) or cve_id or one_line(alert_id),
            description=_text(raw.get("description")),
            severity=severity,
            severity_known=known,
            cve_id=cve_id,
            cvss_score=_number(raw.get("cvss_score"), 0, 10),
            epss_score=_number(raw.get("epss_score"), 0, 1),
            published_at=_instant(raw.get("published_at")),
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

_CVE: Final = re.compile(r"CVE-\d{4}-\d{4,}")


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


def _instant(value: object) -> datetime:
    if not isinstance(value, str):
        raise MalformedAlert(f"published_at must be an ISO date, this is {_json_type(value)}")
    try:
        instant = datetime.fromisoformat(value.strip())
        return (instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant).astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedAlert("published_at is not an ISO date") from None


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
