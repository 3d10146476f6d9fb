"""An alert as PagerDuty's event: what it says, and that it keeps the limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.pagerduty.config import PagerDutyOwner
from connectors.pagerduty.event import (
    CUT_MARK,
    MAX_DEDUP_KEY,
    MAX_DEPTH,
    MAX_EVENT,
    MAX_HREF,
    MAX_LINKS,
    MAX_SUMMARY,
    ROUTING_KEY_LENGTH,
    dedup_key,
    fitted,
    trigger_event,
)
from forwarder.alert import Alert
from forwarder.connector import BuiltInTexts, Delivery, Link, Origin, Texts
from forwarder.paging import built_in_title
from forwarder.testing import ALERT_ID, alert, bare_alert, delivery, hostile_alerts, odd_alerts
from tests.kit.samples import real_alerts


def event_of(outstanding: Delivery, texts: Texts | None = None) -> Any:
    return trigger_event(outstanding, dedup_key(outstanding.alert), texts or BuiltInTexts())


def wire(event: Any) -> bytes:
    """The event as the SDK's client encodes it."""
    whole = {**event, "routing_key": "k" * ROUTING_KEY_LENGTH}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def test_an_incident_says_what_a_woken_person_needs() -> None:
    """The event holds the title with severity and CVE, the vendors, every field and the links."""
    event = event_of(delivery(alert=alert(news="a new field", epss_score=None)))
    assert event["dedup_key"] == f"sentrytex:{ALERT_ID}"
    assert event["payload"]["summary"] == "[CRITICAL] CVE-2026-10001: Authentication bypass in the example gateway"
    assert event["payload"]["source"] == "github"
    assert event["payload"]["group"] == "github, aws-lambda"
    assert event["payload"]["class"] == "cve"
    assert event["payload"]["timestamp"] == "2026-03-01T12:00:00+00:00"
    details = event["payload"]["custom_details"]
    assert details["description"].startswith("A crafted header")
    assert details["cvss_score"] == 9.8
    assert details["cisa_kev"] is False
    assert details["news"] == "a new field"
    assert "epss_score" not in details
    assert event["links"][0] == {"href": "https://nvd.nist.gov/vuln/detail/CVE-2026-10001", "text": "CVE-2026-10001"}


def test_an_incident_names_its_owners() -> None:
    """As the config calls them, among the details; without any there is no such detail."""
    owners = (PagerDutyOwner("dev-tools"), PagerDutyOwner("Team\nPayments"))
    details = event_of(delivery(owners=owners))["payload"]["custom_details"]
    assert details["owner"] == "dev-tools, Team\nPayments"
    assert "owner" not in event_of(delivery())["payload"]["custom_details"]


@pytest.mark.parametrize(
    ("severity", "theirs"), [("critical", "critical"), ("high", "error"), ("medium", "warning"), ("low", "info")]
)
def test_severities_are_translated(severity: str, theirs: str) -> None:
    """Each severity has its counterpart at PagerDuty."""
    assert event_of(delivery(alert=alert(severity=severity)))["payload"]["severity"] == theirs


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"cisa_kev": True}, "[CRITICAL, CISA KEV] CVE-2026-10001: Authentication bypass in the example gateway"),
        ({"cve_id": None}, "[CRITICAL] Authentication bypass in the example gateway"),
        ({"title": "CVE-2026-10001 in the gateway"}, "[CRITICAL] CVE-2026-10001 in the gateway"),
        ({"severity": "urgent", "title": "x"}, "[CRITICAL (the API said: urgent)] CVE-2026-10001: x"),
    ],
)
def test_a_title_repeats_and_hides_nothing(changes: dict[str, Any], title: str) -> None:
    """The title names exploitation and an unknown severity, and the CVE once."""
    assert built_in_title(alert(**changes)) == title


@pytest.mark.parametrize(("origin", "mark"), [(Origin.TEST, "TEST, please ignore: "), (Origin.ALARM, "Alarm of the ")])
def test_a_test_and_an_alarm_are_marked(origin: Origin, mark: str) -> None:
    """Nobody mistakes a test for an alert, nor the forwarder's own trouble for a vulnerability."""
    assert event_of(delivery(origin=origin))["payload"]["summary"].startswith(mark)


def test_an_alert_that_says_nothing_is_an_incident_all_the_same() -> None:
    """With an id and a date alone there is a summary, a source and no empty detail."""
    event = event_of(delivery(alert=bare_alert()))
    assert event["payload"]["summary"] == f"[CRITICAL (the API said: none)] {ALERT_ID}"
    assert event["payload"]["source"] == "sentrytex"
    assert event["links"] == []
    assert set(event["payload"]["custom_details"]) == {"severity", "cisa_kev", "published_at", "title", "id"}


def test_what_cannot_be_read_as_its_type_is_shown_as_it_came() -> None:
    """A score other than a number, or one that JSON cannot hold, is not lost."""
    details = event_of(delivery(alert=alert(cvss_score="n/a", new_score=float("inf"))))["payload"]["custom_details"]
    assert details["cvss_score"] == "n/a"
    assert details["new_score"] == "inf"


def test_links_lead_to_the_ticket_first() -> None:
    """Where the alert stands elsewhere comes before its sources."""
    ticket = Link(connector="tickets", text="SEC-12", url="https://jira.example.com/browse/SEC-12")
    assert event_of(delivery(links=(ticket,)))["links"][0] == {"href": ticket.url, "text": "SEC-12"}


class Words:
    """The texts of a config with templates."""

    def title(self, delivery: Delivery, built_in: str) -> str:
        return "" if delivery.alert.title == "silent" else f"ours: {built_in}"

    def text(self, delivery: Delivery, built_in: str) -> str:  # noqa: ARG002  # noqa: ARG002
        return f"{built_in}\nours"


def test_templates_word_the_summary_and_the_description() -> None:
    """A config's own words replace the built-in ones, unless they leave the summary empty."""
    payload = event_of(delivery(), Words())["payload"]
    assert payload["summary"].startswith("ours: [CRITICAL]")
    assert payload["custom_details"]["description"].endswith("\nours")
    silent = event_of(delivery(alert=alert(title="silent")), Words())
    assert silent["payload"]["summary"].startswith("[CRITICAL]")


@pytest.mark.parametrize(("length", "is_cut"), [(MAX_SUMMARY, False), (MAX_SUMMARY + 1, True)])
def test_a_summary_is_cut_past_its_limit(length: int, is_cut: bool) -> None:
    """At the limit nothing is cut; one character past it the end shows a mark."""
    title = "x" * (length - len("[CRITICAL] "))
    summary = event_of(delivery(alert=alert(cve_id=None, title=title)))["payload"]["summary"]
    assert len(summary) == MAX_SUMMARY
    assert summary.endswith("…") is is_cut


@pytest.mark.parametrize(("past", "is_cut"), [(0, False), (1, True)])
def test_an_event_is_cut_past_its_limit(past: int, is_cut: bool) -> None:
    """At the limit the description is whole; one byte past it the description alone is cut, with a mark."""

    def event(length: int) -> Any:
        return event_of(delivery(alert=alert(description="d" * length, note="n" * 1000)))

    room = MAX_EVENT - len(wire(event(1))) + 1
    assert len(wire(event(room))) == MAX_EVENT
    details = event(room + past)["payload"]["custom_details"]
    assert details["description"].endswith(CUT_MARK) is is_cut
    assert details["note"] == "n" * 1000


def test_the_largest_details_are_cut_after_the_description() -> None:
    """Where the description is not enough the largest of the others shrinks, and the small ones stay whole."""
    outstanding = delivery(alert=alert(description="d" * 9000, huge=["\\\"'"] * 200_000, small="s" * 3000))
    event = event_of(outstanding)
    details = event["payload"]["custom_details"]
    assert len(wire(event)) <= MAX_EVENT
    assert details["description"].startswith("d" * 2000)
    assert details["description"].endswith(CUT_MARK)
    assert details["huge"].endswith(CUT_MARK)
    assert details["small"] == "s" * 3000


def test_too_many_details_are_named_where_they_are_left_out() -> None:
    """Forty thousand new fields leave the known ones alone."""
    event = event_of(delivery(alert=alert(**{f"new_{number}": number for number in range(40_000)})))
    details = event["payload"]["custom_details"]
    assert len(wire(event)) <= MAX_EVENT
    assert details["title"] == "Authentication bypass in the example gateway"
    assert "fields, too many for one event: new_39999" in details["left_out"]


@pytest.mark.parametrize("room", range(1500, 9000, 250))
def test_details_fit_whatever_they_hold(room: int) -> None:
    """Quotes, emoji and nested values fit into any room."""
    details = {
        "description": "🚨" * 900,
        "a": {"b": ['"'] * 900},
        "c": "\\" * 1999,
        "d": "é" * 1001,
        "e": 1,
        "f": "x" * 2001,
    }
    kept = fitted(details, room)
    assert len(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()) <= room


@pytest.mark.parametrize(("length", "is_hashed"), [(MAX_DEDUP_KEY, False), (MAX_DEDUP_KEY + 1, True)])
def test_a_dedup_key_stays_within_its_limit(length: int, is_hashed: bool) -> None:
    """A key that would be too long is a digest of the id, the same each time and another for another id."""
    long_id = "i" * (length - len("sentrytex:"))
    key = dedup_key(alert(id=long_id))
    assert len(key) <= MAX_DEDUP_KEY
    assert (key != f"sentrytex:{long_id}") is is_hashed
    assert key == dedup_key(alert(id=long_id))
    assert key != dedup_key(alert(id=long_id[:-1] + "j"))


def test_links_are_few_and_short() -> None:
    """Past the limits a source stands in the details alone."""
    urls = ["https://example.com/" + "x" * MAX_HREF, *(f"https://example.com/{number}" for number in range(100))]
    event = event_of(delivery(alert=alert(source_urls=urls)))
    assert len(event["links"]) == MAX_LINKS
    assert all(len(link["href"]) <= MAX_HREF for link in event["links"])
    assert event["payload"]["custom_details"]["source_urls"] == urls


def test_nesting_ends_somewhere() -> None:
    """What an unknown field nests too deep for encoders is left out with a mark."""
    value: Any = "bottom"
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    shown = json.dumps(event_of(delivery(alert=alert(deep=value, flat=value[0])))["payload"]["custom_details"])
    assert shown.count("bottom") == 1


def test_hostile_and_odd_alerts_keep_the_limits() -> None:
    """Whatever the texts, an event is never longer than PagerDuty accepts."""
    for one in [*hostile_alerts(), *odd_alerts()]:
        assert_within_limits(one)


def test_real_alerts_keep_the_limits() -> None:
    """Fifteen hundred alerts made from real CVEs become events that PagerDuty accepts."""
    for raw in real_alerts():
        assert_within_limits(Alert.parse(raw))


def assert_within_limits(one: Alert) -> None:
    event = event_of(delivery(alert=one))
    assert 0 < len(event["payload"]["summary"]) <= MAX_SUMMARY
    assert len(event["dedup_key"]) <= MAX_DEDUP_KEY
    assert len(wire(event)) <= MAX_EVENT


def test_an_incident_leads_to_the_alert_s_own_page() -> None:
    """Where the config says how people reach it; without it nothing is said."""
    page = {"href": "https://alerts.example.com/alerts/a", "text": "Forwarder: why it is here, and who has it"}
    links = event_of(delivery(page=page["href"]))["links"]
    assert links == [page, *event_of(delivery())["links"]]
