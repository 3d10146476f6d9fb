"""Hostile input: alerts of any shape and text, on one page with an ordinary one.

Whatever the page holds, the turn goes through, what is an alert arrives once everywhere and without delay, what is none
is set aside, and no destination takes any of it for more than text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forwarder.alert import Alert, MalformedAlert
from forwarder.common.text import is_web_url
from forwarder.feed.client import Page
from forwarder.sandbox import Fault, FaultKind, Sandbox, adaptive
from forwarder.store.query_records import Filter
from forwarder.store.records import State
from forwarder.testing import HOSTILE_TEXTS
from tests.torture.leaks import leaks
from tests.torture.matrix import Row
from tests.torture.rig import Rig
from tests.torture.world import TARGET

FLAVOURS: Final = ("jira-cloud", "jira-data-center")
OTHERS: Final = ("slack-token", "teams", "pagerduty", "github", "webhook", "email", "apprise")
_FIELDS: Final = (
    "cve_id", "title", "description", "severity", "cvss_score", "epss_score", "source_urls", "affected_vendors",
    "cisa_kev", "alert_type", "field_of_tomorrow",
)  # fmt: skip
_HREFS: Final = re.compile(r'href="([^"]*)"')
_ADF_NODES: Final = {
    "doc", "paragraph", "text", "hardBreak", "heading", "bulletList", "listItem", "rule", "panel", "table", "tableRow",
    "tableCell", "tableHeader", "strong", "em", "link", "code", "codeBlock", "subsup", "textColor",
}  # fmt: skip
"""What a ticket may be made of: no mentions, no media, no macros."""

_numbers = count(1)

# Every character, lone surrogates and control characters too.
_letters = st.text(st.characters(exclude_categories=()), max_size=60)
_texts = st.one_of(_letters, st.sampled_from([text for text in HOSTILE_TEXTS if len(text) < 10_000]))
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**15), 10**15), st.floats(allow_nan=False, allow_infinity=False), _texts
)
_json = st.recursive(
    _scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_letters, inner, max_size=4))
)
_times = st.one_of(st.just("now"), st.just("now"), st.just("9999-12-31T23:59:59Z"), _json)
_ids = st.one_of(st.uuids().map(str), _json)
_alerts = st.builds(
    lambda alert_id, time, rest: {"id": alert_id, "published_at": time, **rest},
    _ids,
    _times,
    st.dictionaries(st.sampled_from(_FIELDS), _json),
)
pages = st.lists(st.one_of(_alerts, _alerts, _json), max_size=5)
"""Alerts with anything in any field, and things that are no alert at all."""


def catalogue(texts: Sequence[str]) -> Iterator[list[Any]]:
    """Pages that chance would not find."""
    for text in texts:
        yield [{"id": _new_id(), "published_at": "now", **dict.fromkeys(_FIELDS, text)}]
        yield [{"id": _new_id(), "published_at": "now", "title": text, "source_urls": [text, "javascript:alert(1)"]}]
    same = _new_id()
    yield [{"id": same, "published_at": "now", "title": f"Number {number} under one id"} for number in range(200)]
    yield [{"id": number, "published_at": "now"} for number in (0, -1, 1.5, True, "a/b?c#d", "../..", "x" * 255)]
    yield [{"id": "x" * 256, "published_at": "now"}, {"id": "", "published_at": "now"}, {}, [], None, 7, "text"]
    deep: Any = "bottom"
    for _ in range(600):
        deep = [deep]
    yield [{"id": _new_id(), "published_at": "now", "field_of_tomorrow": deep}]


def run(folder: Path, *, examples: int, flavour: str, seeded: bool = True, texts: Sequence[str] = HOSTILE_TEXTS) -> Row:
    """Sends the catalogue and so many pages of chance through a forwarder; ``seeded`` is the same chance each time."""
    row = Row(target=f"hostile, {flavour}")
    with (
        Sandbox(limits=False) as sandbox,
        Rig(folder, sandbox, [*(name for name in OTHERS if name in TARGET), flavour]) as rig,
    ):
        rig.poll()
        for page in catalogue(texts):
            row.cells += 1
            withstand(rig, page)

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=seeded,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(pages)
        def withstand_all(page: list[Any]) -> None:
            row.cells += 1
            withstand(rig, page)

        withstand_all()
        row.wrong += [f"it was taken for more than text: {what}" for what in _interpreted(rig)]
    row.wrong += [f"a secret is in {leak}" for leak in leaks(folder, rig.world.secrets)]
    return row


def withstand(rig: Rig, page: Sequence[Any]) -> None:
    """Reads a page that holds an ordinary alert too, and asserts what must become of everything on it."""
    now = datetime.now(UTC).isoformat()
    items = [
        {**item, "published_at": now} if isinstance(item, dict) and item.get("published_at") == "now" else item
        for item in page
    ]
    ordinary = _new_id()
    items.append({"id": ordinary, "title": "Something ordinary", "severity": "low", "published_at": now})
    fault = Fault(kind=FaultKind.STATUS, status=200, body=json.dumps({"alerts": items}), path="/alerts", times=None)
    rig.sandbox.sentrytex.inject(fault)
    seen = rig.feed.alerts(None)
    rig.poll()
    rig.sandbox.sentrytex.clear_faults()
    assert rig.settle() == 0.0, "everything goes out at once"
    _assert_sorted_out(items, seen)
    for alert_id in {ordinary, *(alert.id for alert in seen.alerts)}:
        history = rig.store.queries.history(alert_id)
        assert history is not None, f"{alert_id!r} was dropped"
        states = {delivery.connector: delivery.state for delivery in history.row.deliveries if delivery.kind == "open"}
        assert states == dict.fromkeys(rig.config.connectors, State.DELIVERED)
    kept = {item.digest for item in rig.store.queries.set_aside(limit=1_000_000)}
    assert {item.digest for item in seen.set_aside} <= kept, "what is no alert was dropped"
    assert rig.store.queries.deliveries(Filter(state=State.DEAD)) == []


def _assert_sorted_out(items: Sequence[Any], seen: Page) -> None:
    """Every item is an alert of the page, or set aside."""
    alerts, malformed = set(), 0
    for item in items:
        try:
            # One without a date that can be read is dated by when it is first seen.
            alerts.add(Alert.parse(item, seen_at=datetime.now(UTC)).id)
        except MalformedAlert:
            malformed += 1
    # Nested too deeply, what looks like an alert cannot be written down as one.
    missing = alerts - {alert.id for alert in seen.alerts}
    assert len(missing) <= len(seen.set_aside) <= malformed + len(missing)
    assert bool(malformed or missing) == bool(seen.set_aside)


def _interpreted(rig: Rig) -> Iterator[str]:
    """What a destination took for more than text: pings, links that are no web address, macros."""
    for message in rig.sandbox.slack.messages:
        yield from (f"a ping, {ping}" for ping in message["pings"])
        yield from _links(message["blocks"], "url")
        yield from _links(message["attachments"], "url")
    yield from (f"a card that is not shown: {why}" for why in rig.sandbox.teams.failed)
    for card in rig.sandbox.teams.cards:
        yield from (f"a mention, {who}" for who in adaptive.mentions(card))
        yield from (f"a link, {url}" for url in adaptive.links(card) if not is_web_url(url))
    for incident in rig.sandbox.pagerduty.incidents.values():
        yield from _links(incident["events"], "href")
    for opened in rig.sandbox.github.issues.values():
        yield from (f"a mention or a reference, {what}" for what in (*opened.mentions, *opened.references))
    for message in rig.sandbox.webhook.messages.values():
        yield from _links({**message["data"], "alert": {**message["data"]["alert"], "other": {}}}, "url")
    recipients = set(vars(rig.config.connectors["email"])["to"])
    for mail in rig.sandbox.email.mails:
        yield from (f"a mail's link to {url!r}" for url in _HREFS.findall(mail.page) if not is_web_url(url))
        yield from (f"a mail to {one}" for one in mail.recipients if one not in recipients)
    yield from (f"a ping or a link, {what}" for what in rig.sandbox.apprise.pings)
    for issue in rig.sandbox.jira.issues.values():
        description = issue["fields"]["description"]
        if isinstance(description, dict):
            yield from _links(description, "href")
            yield from (f"ADF's {kind}" for kind in _values(description, "type") if kind not in _ADF_NODES)


def _links(value: Any, key: str) -> Iterator[str]:
    yield from (f"a link to {url!r}" for url in _values(value, key) if not (isinstance(url, str) and is_web_url(url)))


def _values(value: Any, key: str) -> Iterator[Any]:
    """What stands under ``key`` anywhere within a JSON value."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from _values(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, key)


def _new_id() -> str:
    return f"hostile-{next(_numbers)}"
