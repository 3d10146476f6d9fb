"""What a ticket and a comment say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.jira import Jira
from connectors.jira.identity import Identity
from connectors.jira.markup import CUT_MARK, plain
from connectors.jira.ticket import MAX_SUMMARY
from forwarder.alert import Alert
from forwarder.connector import Change, Delivery, Kind, Link, Receipt
from forwarder.sandbox import Sandbox
from forwarder.testing import ALERT_ID, alert, bare_alert, delivery, hostile_alerts, odd_alerts
from tests.connectors.jira.kit import LABEL, config, follow_up, opened, units
from tests.kit.samples import real_alerts


def test_a_ticket_says_what_is_known(offline: Jira) -> None:
    """The facts come first, then the alert's text, then its id."""
    fields = offline.render(delivery(links=(Link(connector="secops", text="Slack", url="https://slack.example/1"),)))[
        "fields"
    ]
    assert fields["summary"] == "CVE-2026-10001: Authentication bypass in the example gateway"
    assert plain(fields["description"]).split("\n") == [
        "- Severity: critical",
        "- CVE: CVE-2026-10001",
        "- CVSS: 9.8",
        "- EPSS: 42.0% likely to be exploited within 30 days",
        "- CISA KEV: no",
        "- Vendors: github, aws-lambda",
        "- Type: cve",
        "- Published: 2026-03-01 11:30 UTC",
        "- Source: https://nvd.nist.gov/vuln/detail/CVE-2026-10001",
        "- Source: https://example.com/advisories/7?a=1&b=2",
        "- secops: Slack",
        "",
        "A crafted header lets a remote attacker act as any user.",
        "",
        "Versions before 4.2.1 are affected.",
        "",
        f"Sentrytex alert {ALERT_ID}",
    ]


def test_what_the_api_did_not_say_is_left_out(offline: Jira) -> None:
    """A ticket has no line for a score, a CVE or a vendor that nobody knows."""
    fields = offline.render(delivery(alert=bare_alert(severity="odd")))["fields"]
    assert plain(fields["description"]).split("\n\n")[0].split("\n") == [
        "- Severity: critical (the API said: odd)",
        "- CISA KEV: no",
        "- Published: 2026-03-01 11:30 UTC",
    ]
    assert fields["summary"] == ALERT_ID
    assert fields["labels"] == ["sentrytex", LABEL]


def test_a_ticket_carries_what_the_config_asks_for() -> None:
    """Priority, due date, labels and further fields come from the config, by severity where it says so."""
    asked = config(
        priority={"critical": "Highest"},
        due_in={"critical": "2d", "high": "7d"},
        labels=["security", "sentrytex"],
        fields={"components": [{"name": "Platform"}], "customfield_1": "x"},
        issue_type="Bug",
    )
    outstanding = delivery(enqueued_at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    with closing(Jira("tickets", asked)) as jira:
        fields = jira.render(outstanding)["fields"]
        high = jira.render(replace(outstanding, alert=alert(severity="high")))["fields"]
    assert fields["project"] == {"key": "SEC"}
    assert fields["issuetype"] == {"name": "Bug"}
    assert fields["priority"] == {"name": "Highest"}
    assert fields["duedate"] == "2026-03-03"
    assert fields["labels"] == ["security", "sentrytex", LABEL, "CVE-2026-10001"]
    assert (fields["components"], fields["customfield_1"]) == ([{"name": "Platform"}], "x")
    assert "priority" not in high
    assert high["duedate"] == "2026-03-08"


@pytest.mark.parametrize(
    "alert_id", ['an id with spaces, "quotes"', "UPPER", "ünïcode", "x" * 255, 'a" OR labels = "b', "\U0001f6a8"]
)
def test_an_id_that_is_no_label_is_hashed(alert_id: str) -> None:
    """Labels have no spaces, searches know no capitals: such an id still has a label of its own, safe in a query."""
    label = Identity.of(alert_id).label
    assert label.removeprefix("sentrytex-").isalnum()
    assert len(label) <= 255
    assert label != Identity.of(alert_id + "x").label
    assert label == Identity.of(alert_id).label


def test_ids_that_differ_in_capitals_only_have_labels_of_their_own() -> None:
    """Jira's search would take one for the other."""
    assert Identity.of("ABC").label.lower() != Identity.of("abc").label.lower()


def test_the_templates_words_go_out() -> None:
    """Title and text of the config's templates take the place of the connector's own, within the same limits."""

    class Words:
        def title(self, delivery: Delivery, built_in: str) -> str:  # noqa: ARG002
            return f"mine: {built_in}\nsecond line" + "x" * 300

        def text(self, delivery: Delivery, built_in: str) -> str:  # noqa: ARG002
            return "my {code} text"

    with closing(Jira("tickets", config(), Words())) as jira:
        fields = jira.render(delivery())["fields"]
        comment = jira.render(follow_up(Kind.UPDATE, Receipt(remote_id="SEC-1")))["comment"]
    assert fields["summary"].startswith(
        "mine: CVE-2026-10001: Authentication bypass in the example gateway second line"
    )
    assert units(fields["summary"]) == MAX_SUMMARY
    assert "my {code} text" in plain(fields["description"])
    assert plain(comment) == "my {code} text\n\nsentrytex update r2"


def test_an_update_says_in_words_what_changed(offline: Jira) -> None:
    """A comment gives the old and the new value of each field that people must hear of."""
    changes = (
        Change(field="severity", old="high", new="critical"),
        Change(field="cisa_kev", old=False, new=True),
        Change(field="cvss_score", old=None, new=9.8),
        Change(field="affected_vendors", old=["a", "b"], new=["b", "c", "d"]),
    )
    payload = offline.render(follow_up(Kind.UPDATE, Receipt(remote_id="SEC-1"), changes=changes, revision=3))
    assert set(payload) == {"comment"}
    assert plain(payload["comment"]).split("\n") == [
        "Severity is now critical; it was high.",
        "It is now on CISA's list of known exploited vulnerabilities (KEV).",
        "CVSS is now 9.8; it was none.",
        "Also affected: c, d. No longer affected: a.",
        "",
        "sentrytex update r3",
    ]


def test_the_preview_reads_like_the_ticket(connect: Callable[..., Jira]) -> None:
    """A person sees project, type, summary, priority, due date, labels, further fields and the text."""
    jira = connect(priority={"critical": "High"}, due_in={"critical": "1d"}, fields={"customfield_1": "x"})
    shown = jira.preview(jira.render(delivery()))
    assert shown.startswith(
        "SEC · Task\nSummary: CVE-2026-10001: Authentication bypass in the example gateway\n"
        f"Priority: High\nDue: 2026-03-02\nLabels: sentrytex, {LABEL}, CVE-2026-10001\ncustomfield_1: x\n\n"
        "- Severity: critical\n"
    )
    assert "Versions before 4.2.1 are affected." in shown
    both = jira.preview(jira.render(follow_up(Kind.UPDATE, None)))
    assert "SEC · Task" in both
    assert "Severity is now critical; it was high." in both


def test_hostile_and_odd_alerts_become_tickets(jira: Jira, sandbox: Sandbox) -> None:
    """Jira accepts every one of them, with a summary of one line and labels that it can find again."""
    outstanding = [delivery(alert=one) for one in (*hostile_alerts(), *odd_alerts())]
    for number, one in enumerate(outstanding):
        made = replace(one, alert=replace(one.alert, id=f"{one.alert.id[:200]}-{number}"))
        receipt = opened(jira, made)
        assert jira.find(made) == receipt
    assert len(sandbox.jira.issues) == len(outstanding)


def test_real_alerts_become_tickets(jira: Jira, sandbox: Sandbox) -> None:
    """Alerts made from real CVEs are taken as they are, none of them cut."""
    alerts = [Alert.parse(raw) for raw in real_alerts()[::8]]
    for one in alerts:
        fields = jira.render(delivery(alert=one))["fields"]
        assert fields["summary"].startswith(one.cve_id or one.title[:50])
        assert CUT_MARK not in plain(fields["description"])
        opened(jira, delivery(alert=one))
    assert len(sandbox.jira.issues) == len(alerts)


def test_a_due_date_follows_the_day_in_utc() -> None:
    """The day is that of the moment at which the ticket was enqueued, wherever the clock stands."""
    outstanding = delivery(enqueued_at=datetime.fromisoformat("2026-03-02T01:00:00+05:00"))
    with closing(Jira("tickets", config(due_in={"critical": timedelta(hours=3)}))) as jira:
        assert jira.render(outstanding)["fields"]["duedate"] == "2026-03-01"


def test_a_ticket_leads_to_the_alert_s_own_page(offline: Jira) -> None:
    """Where the config says how people reach it; a comment does not repeat it, and without it nothing is said."""
    page = "https://alerts.example.com/alerts/a"
    shown = offline.render(delivery(page=page))["fields"]["description"]
    assert "- Forwarder: why it is here, and who has it" in plain(shown)
    assert page in str(shown)
    assert "Forwarder:" not in plain(offline.render(delivery())["fields"]["description"])
    assert page not in str(offline.render(follow_up(Kind.UPDATE, Receipt(remote_id="SEC-1"), page=page)))
