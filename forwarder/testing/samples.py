"""Alerts and deliveries to test with: plain ones to vary, hostile ones, odd ones, and what may follow them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from forwarder.alert import Alert, Change
from forwarder.connector import (
    Action,
    Delivery,
    Failed,
    Kind,
    Link,
    Receipt,
    Resolution,
    Response,
    Retry,
)

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""When the sample delivery came to be owed, half an hour after its alert was published."""

ALERT_ID: Final = "0d3f7a52-6c1e-4b8e-9a57-2f4f1c0f9b11"

_SAMPLE: Final[dict[str, Any]] = {
    "id": ALERT_ID,
    "cve_id": "CVE-2026-10001",
    "title": "Authentication bypass in the example gateway",
    "description": "A crafted header lets a remote attacker act as any user.\n\nVersions before 4.2.1 are affected.",
    "severity": "critical",
    "cvss_score": 9.8,
    "epss_score": 0.42,
    "published_at": "2026-03-01T11:30:00Z",
    "source_urls": ["https://nvd.nist.gov/vuln/detail/CVE-2026-10001", "https://example.com/advisories/7?a=1&b=2"],
    "affected_vendors": ["github", "aws-lambda"],
    "cisa_kev": False,
    "alert_type": "cve",
}


def alert_json(**changes: Any) -> dict[str, Any]:
    """A complete alert in the API's shape, with ``changes`` to its fields; a new name becomes an unknown field."""
    raw = json.loads(json.dumps(_SAMPLE))
    for name, value in changes.items():
        raw[name] = _as_json(value)
    return raw  # type: ignore[no-any-return]


def alert(**changes: Any) -> Alert:
    """``alert_json(**changes)`` as the forwarder reads it, so that ``raw`` agrees with the fields."""
    return Alert.parse(alert_json(**changes))


def delivery(**changes: Any) -> Delivery:
    """The first attempt at a new alert, with ``changes`` to the Delivery's own fields."""
    return replace(Delivery(id=1, alert=alert(), connector="target", enqueued_at=NOW), **changes)


def bare_alert(**changes: Any) -> Alert:
    """An alert of which the API said nothing but what the forwarder cannot do without."""
    return Alert.parse({"id": ALERT_ID, "published_at": "2026-03-01T11:30:00Z", **changes})


HOSTILE_TEXTS: Final[tuple[str, ...]] = (
    "",
    "   \n\t ",
    "<!channel> <!here> <!everyone> <@U0123ABCD> <#C0123ABCD> @channel @here @everyone",
    "<https://evil.example|https://good.example> <javascript:alert(1)|click> &lt;!channel&gt; &amp;lt;",
    "*bold* _italic_ ~struck~ `code` ```block``` > quote\n> quote\n• item",
    "<script>alert(1)</script><img src=x onerror=alert(1)> \"quoted\" 'single' </textarea>",
    "{code}x{code} {noformat} {color:red}red{color} {jira:project=SEC} [~admin] [text|javascript:alert(1)] !a.png!",
    "h1. Heading\n* item\n# item\n||head||\n|cell|\nbq. quote\n---- \\\\ {{mono}} ^up^ ~down~ +ins+ -del- ??cite??",
    "{{ 7 * 7 }} {% for x in range(10**9) %} ${SECRET} %(name)s {0} {alert.id} $(id) `id`",
    "abc\u202egnp.exe \u200f\u2067right\u2069 to left",
    "zero\u200bwidth \ufeffmark \u00adhyphen",
    "\x00\x01\x07\x08\x1b[31mred\x1b[0m\x1b]8;;https://evil.example\x07link\x7f\x9b31m",
    "lone \ud800 and \udfff surrogates",
    "family \U0001f468\u200d\U0001f469\u200d\U0001f467 flag \U0001f1e9\U0001f1ea \U0001f6a8",
    "Z\u0351\u036b\u0343\u036aa\u0310\u0310l\u034c\u0361g\u0321o" * 40,
    "'; DROP TABLE deliveries; -- \" OR 1=1",
    'labels = "x" OR project = SECRET ORDER BY key',
    "one\r\ntwo\rthree\u2028four\u2029five\x0bsix\x0cseven",
    "\n" * 5000,
    "https://example.com/" + "a" * 5000,
    "\U0001f6a8" * 20_000,
    "&<>" * 10_000,
    '"\\' * 20_000,
    "word " * 200_000,
)
"""Texts that ping, forge links, break markup, terminals or encodings, or are far longer than any destination takes."""


def hostile_alerts() -> Iterator[Alert]:
    """One alert for each hostile text, which stands in every field that can hold one."""
    for text in HOSTILE_TEXTS:
        yield Alert.parse(
            alert_json(
                cve_id=text,
                title=text,
                description=text,
                severity=text,
                source_urls=[text, f"https://example.com/{text}", "javascript:alert(1)"],
                affected_vendors=[text],
                alert_type=text,
                news={text[:200]: [text, {"deep": text}]},
            )
        )


def odd_alerts() -> Iterator[Alert]:
    """Alerts that are well-formed enough to forward, and no more: nulls, wrong types, excess, new fields."""
    yield bare_alert()
    yield bare_alert(**{name: None for name in _SAMPLE if name not in ("id", "published_at")})
    yield bare_alert(**{name: {"a": [1, None]} for name in _SAMPLE if name not in ("id", "published_at")})
    yield alert(severity="catastrophic", alert_type="advisory", cve_id=None)
    yield alert(cvss_score=float("nan"), epss_score=float("inf"), score_of_tomorrow=float("-inf"))
    yield alert(id="x" * 255)
    yield alert(id='an id with spaces, "quotes" and ünïcode')
    yield alert(affected_vendors=[f"vendor-{number}" for number in range(5000)])
    yield alert(source_urls=[f"https://example.com/{number}" for number in range(5000)])
    yield alert(**{f"new_field_{number}": number for number in range(5000)})
    yield alert(nested=_nested(400))


def _nested(depth: int) -> Any:
    value: Any = "bottom"
    for level in range(depth):
        value = [value] if level % 2 else {"next": value}
    return value


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


ROSE: Final = (Change(field="severity", old="high", new="critical"), Change(field="cisa_kev", old=False, new=True))
TICKET: Final = Link(connector="tickets", text="SEC-12", url="https://jira.example.com/browse/SEC-12")
numbers: Final = count(1)
"""What tells the alerts of the suite apart, for one sandbox serves all its tests."""


def new_delivery(**changes: Any) -> Delivery:
    """A delivery of an alert that no other test sends, owed since now."""
    number = next(numbers)
    one = alert(id=f"contract-{number}", title=f"Trouble number {number} of the contract")
    return delivery(**{"alert": one, "connector": "target", "enqueued_at": datetime.now(UTC), **changes})


def follow_ups(one: Delivery, receipt: Receipt | None) -> list[Delivery]:
    """What may be owed after ``one``: a change, a new link, a withdrawal."""
    common: dict[str, Any] = {"alert": one.alert, "enqueued_at": one.enqueued_at, "receipt": receipt}
    return [
        delivery(**common, kind=Kind.UPDATE, revision=2, changes=ROSE),
        delivery(**common, kind=Kind.UPDATE, revision=3, links=(TICKET,)),
        delivery(**common, kind=Kind.WITHDRAW, revision=4),
    ]


def responses_to(one: Delivery, receipt: Receipt | None) -> list[Delivery]:
    """What people may decide about ``one``, in order, each told while it is the last thing that is known."""
    common: dict[str, Any] = {"alert": one.alert, "enqueued_at": one.enqueued_at, "receipt": receipt}
    resolved = [replace(_RESOLVED, number=number, resolution=how) for number, how in enumerate(Resolution, start=2)]
    said = [replace(_RESOLVED, number=1, action=Action.ACKNOWLEDGE, resolution=None), *resolved]
    said.append(replace(_RESOLVED, number=len(said) + 1, action=Action.REOPEN, resolution=None, person="", reason=""))
    return [
        delivery(**common, kind=Kind(each.action.value), revision=each.number, response=each, latest=each)
        for each in said
    ]


_RESOLVED: Final = Response(
    number=2,
    action=Action.RESOLVE,
    at=datetime(2026, 3, 1, 14, 2, tzinfo=UTC),
    place="elsewhere",
    person="Ada",
    reason="We do not run it.",
    resolution=Resolution.DONE,
)


class Unreadable:
    """A memory whose database cannot be read, nor take anything."""

    def get(self, key: str) -> str:
        raise Failed(Retry(f"what is kept as {key} cannot be read"))

    def put(self, key: str, value: str) -> None:
        pass
