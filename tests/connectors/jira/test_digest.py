"""A digest in Jira: one ticket with a table of its alerts, as many as fit, the others counted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.jira import Jira
from connectors.jira.markup import MAX_TEXT, plain
from forwarder.alert import Alert
from forwarder.connector import Delivered, Delivery, Origin
from forwarder.lifecycle.digests import compose
from forwarder.sandbox import Sandbox, adf
from forwarder.testing import HOSTILE_TEXTS, alert, bare_alert, delivery, hostile_alerts
from tests.connectors.jira.kit import send, units


def told(items: Sequence[Alert]) -> Delivery:
    ordered = tuple(sorted(items, key=lambda one: one.severity.rank))
    made = compose("tickets", ordered, datetime(2026, 3, 2, 9, tzinfo=UTC))
    return delivery(alert=made, origin=Origin.DIGEST, items=ordered)


def many(count: int) -> list[Alert]:
    return [
        alert(
            id=f"a{number}", severity=severity, cve_id=f"CVE-2026-{10000 + number}", title=f"Hole {number} in a thing"
        )
        for number in range(count)
        for severity in [("critical", "high", "medium", "low")[number % 4]]
    ]


def rows_of(description: Any) -> int:
    if isinstance(description, str):
        return sum(line.startswith("|") and not line.startswith("||") for line in description.split("\n"))
    (table,) = [node for node in description["content"] if node["type"] == "table"]
    return len(table["content"]) - 1


@pytest.mark.parametrize("count", [1, 30, 500, 5000])
def test_all_are_in_the_table_or_counted(sandbox: Sandbox, jira: Jira, count: int) -> None:
    """One ticket with the title as its summary; it is found again by its label, and has no priority of its own."""
    one = told(many(count))
    assert isinstance(send(jira, one), Delivered)
    outcome = send(jira, one)
    assert isinstance(outcome, Delivered)
    assert "there already" in outcome.note
    (issue,) = sandbox.jira.issues.values()
    assert issue["fields"]["summary"].startswith(f"Digest: {count:,} alert")
    fields = jira.render(one)["fields"]
    description = fields["description"]
    assert units(description) <= MAX_TEXT
    more = re.search(r"… and ([\d,]+) more", plain(description))
    assert rows_of(description) + (int(more[1].replace(",", "")) if more else 0) == count
    assert rows_of(description) >= min(count, 50)
    assert not {"priority", "duedate"} & fields.keys()


def test_a_row(offline: Jira, connect: Callable[..., Jira]) -> None:
    """Severity, KEV, the CVE with its link, and the title."""
    one = told([alert(severity="high", cisa_kev=True, title="A hole"), bare_alert(id="b")])
    shown = plain(offline.render(one)["fields"]["description"])
    assert "Severity | CVE | Alert" in shown
    assert "high, CISA KEV | CVE-2026-10001 | A hole" in shown
    assert "https://nvd.nist.gov/vuln/detail/CVE-2026-10001" in json.dumps(connect().render(one))


@pytest.mark.few(8)
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_titles(jira: Jira, text: str) -> None:
    """No cell ends its row, and none is markup; each is a document that Jira takes."""
    items = [alert(id=f"h{number}", title=text, cve_id=text or None) for number in range(30)]
    description = jira.render(told(items))["fields"]["description"]
    assert units(description) <= MAX_TEXT
    assert rows_of(description) > 0
    if isinstance(description, str):
        rows = [line for line in description.split("\n") if line.startswith("|") and not line.startswith("||")]
        # A | of the alert's own is escaped, and that of a link is within its brackets.
        bare = (re.sub(r"\[(?:[^\]\\]|\\.)*\]", "", re.sub(r"\\.", "", row)) for row in rows)
        assert {row.count("|") for row in bare} == {4}
    else:
        assert adf.problem(description) is None


def test_hostile_alerts_of_all_kinds(jira: Jira) -> None:
    """All at once, and the ticket is made."""
    assert isinstance(send(jira, told(list(hostile_alerts()))), Delivered)
