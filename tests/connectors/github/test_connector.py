"""An issue for an alert: what it says, whose it is, and what GitHub's answers lead to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.github import GitHub
from connectors.github.config import GitHubOwner
from connectors.github.issue import MAX_TITLE, identity_label
from connectors.github.markdown import plain
from forwarder.connector import (
    NOTICE,
    Broken,
    Delivered,
    Delivery,
    Kind,
    Origin,
    ProcessMemory,
    RateLimited,
    Receipt,
    Rejected,
    Uncertain,
)
from forwarder.lifecycle.digests import compose
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import ALERT_ID, alert, delivery
from tests.connectors.github.kit import LABEL, LIST, OPEN, WORSE, follow_up, opened, send

Connect = Callable[..., GitHub]


def test_an_issue_says_what_is_known(connect: Connect, sandbox: Sandbox) -> None:
    """Facts, the text, where it comes from; labels and assignees by the config, the owner's mention as it stands."""
    owner = GitHubOwner(assignees=("grace",), mention="@example/dev-tools")
    connector = connect(labels=["security", "Sentrytex"], assignees=["ada"])
    one = delivery(owners=(owner,), evidence=("state: verified by @ada",))
    receipt = opened(connector, one)
    (issue,) = sandbox.github.issues.values()
    assert receipt == Receipt(remote_id="example/security#1", url=f"{sandbox.github.url}/example/security/issues/1")
    assert issue.title == f"CVE-2026-10001: {one.alert.title}"[:MAX_TITLE]
    assert issue.labels == ["security", "sentrytex", "severity: critical", LABEL]
    assert issue.assignees == ["grace", "ada"]
    assert issue.mentions == ["example/dev-tools"]
    assert "Evidence: state: verified by @ada" in plain(issue.body)
    assert f"Sentrytex alert {ALERT_ID}" in issue.body
    shown = connector.preview(connector.render(one))
    assert "Assignees: grace, ada" in shown
    assert "- Severity: critical" in shown


def test_a_digest_is_one_issue_with_a_table(connect: Connect, sandbox: Sandbox) -> None:
    items = tuple(alert(id=f"d-{number}", title=f"Hole | {number} for @ada") for number in range(3))
    made = compose("issues", items, datetime(2026, 3, 2, 9, tzinfo=UTC))
    one = delivery(alert=made, origin=Origin.DIGEST, items=items)
    opened(connect(), one)
    (issue,) = sandbox.github.issues.values()
    assert sum(line.startswith("| critical") for line in issue.body.splitlines()) == 3
    assert issue.mentions == []
    assert not [label for label in issue.labels if label.startswith("severity")]


@pytest.mark.parametrize("alert_id", ["an id, with commas", "UPPER", "x" * 41, "ünïcode"])
def test_an_id_that_is_no_label_is_hashed(alert_id: str) -> None:
    """A label has 50 characters, and capital and small letters are the same there."""
    label = identity_label(alert_id)
    assert len(label) == 50
    assert label != identity_label(alert_id.swapcase() + "x")
    assert identity_label("x" * 40) == f"sentrytex-{'x' * 40}"


def test_a_title_ends_where_github_does(connect: Connect, sandbox: Sandbox) -> None:
    for number, length in enumerate((MAX_TITLE, MAX_TITLE + 1)):
        opened(connect(), delivery(alert=alert(id=f"t-{number}", cve_id=None, title="x" * length)))
    whole, cut = (issue.title for issue in sandbox.github.issues.values())
    assert whole == "x" * MAX_TITLE
    assert cut == "x" * (MAX_TITLE - 1) + "…"


def test_an_issue_that_is_there_is_the_alerts(connect: Connect, sandbox: Sandbox) -> None:
    """Closed or not; the oldest with its label counts. A pull request that bears it is none."""
    connector = connect()
    receipt = opened(connector, delivery())
    sandbox.github.close_issue(1, "ada")
    assert send(connector, delivery()) == Delivered(receipt, note="the issue was there already")
    assert len(sandbox.github.issues) == 1
    found = json.dumps([{"number": 5, "labels": [{"name": LABEL}], "pull_request": {}}])
    sandbox.github.inject(Fault(kind=FaultKind.STATUS, status=200, body=found, path=LIST))
    assert connector.find(delivery()) is None


def test_an_account_that_may_set_no_labels_opens_nothing(connect: Connect, sandbox: Sandbox) -> None:
    """GitHub would drop them in silence, and the issue could not be found again."""
    connector = connect()
    sandbox.github.may_push = False
    outcome = send(connector, delivery())
    assert isinstance(outcome, Broken)
    assert "role Write" in outcome.reason
    assert sandbox.github.issues == {}
    sandbox.github.may_push = True
    opened(connector, delivery())
    sandbox.github.may_push = False
    late = send(connector, delivery(alert=alert(id="late")))
    assert isinstance(late, Delivered)
    assert "without its labels" in late.note
    assert isinstance(send(connector, delivery(alert=alert(id="later"))), Broken)
    assert len(sandbox.github.issues) == 2


def test_whom_github_assigns_nothing_to_is_told(connect: Connect, sandbox: Sandbox) -> None:
    """The issue is opened without, and people are told until one is opened with all of them."""
    connector, memory = connect(assignees=["stranger"]), ProcessMemory()
    connector.remember(memory)
    outcome = send(connector, delivery())
    assert isinstance(outcome, Delivered)
    assert "without its assignees" in outcome.note
    assert "stranger" in memory.get(NOTICE)
    sandbox.github.people.append("stranger")
    opened(connector, delivery(alert=alert(id="another")))
    sandbox.github.people.remove("stranger")
    assert memory.get(NOTICE) == ""
    assert sandbox.github.issues[2].assignees == ["stranger"]


@pytest.mark.parametrize(
    ("status", "headers", "message", "waits"),
    [
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "+120"}, "API rate limit exceeded", 120),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "+120"}, "", 120),
        (403, {"Retry-After": "30"}, "You have exceeded a secondary rate limit.", 30),
        (403, {"Retry-After": "30", "x-ratelimit-remaining": "0"}, "", 30),
        (403, {}, "You have exceeded a secondary rate limit and have been temporarily blocked.", 60),
        (403, {}, "You have triggered an abuse detection mechanism.", 60),
        (429, {"x-ratelimit-remaining": "17"}, "", 60),
        (422, {}, "Validation Failed; was submitted too quickly", 60),
    ],
)
def test_every_form_of_a_rate_limit_is_one(
    connect: Connect, sandbox: Sandbox, *, status: int, headers: dict[str, str], message: str, waits: float
) -> None:
    """By the header or by its words; where it names no time, a minute."""
    told = {
        name: str(int(sandbox.clock().timestamp()) + int(value)) if value.startswith("+") else value
        for name, value in headers.items()
    }
    body = json.dumps({"message": message})
    sandbox.github.inject(Fault(kind=FaultKind.STATUS, status=status, headers=told, body=body, path=OPEN))
    connector = connect()
    outcome = send(connector, delivery())
    assert isinstance(outcome, RateLimited)
    assert waits - 2 <= outcome.after <= waits
    # Whoever asks while all requests are spent may be blocked.
    asked = len(sandbox.github.requests)
    again = send(connector, delivery())
    assert isinstance(again, RateLimited) is (waits == 120)
    assert (len(sandbox.github.requests) == asked) is (waits == 120)


def test_a_secondary_limit_is_waited_out_longer_each_time(connect: Connect, sandbox: Sandbox) -> None:
    """As GitHub asks; what gets through begins anew."""
    connector = connect()
    sandbox.github.inject(
        Fault(kind=FaultKind.STATUS, status=403, body='{"message": "secondary rate limit"}', times=6, path=LIST)
    )
    waits = [
        outcome.after for outcome in (send(connector, delivery()) for _ in range(6)) if isinstance(outcome, RateLimited)
    ]
    assert waits == [60, 120, 240, 480, 900, 900]
    opened(connector, delivery())
    sandbox.github.inject(Fault(kind=FaultKind.STATUS, status=429, body="{}", path=LIST))
    assert send(connector, delivery()) == RateLimited(60, "GitHub's rate limit")


def test_the_documented_limit_of_content_is_met_as_one(connect: Connect, sandbox: Sandbox) -> None:
    """The eighty-first in a minute is refused, without a header, and comes through after the wait."""
    connector = connect()
    outcomes = [send(connector, delivery(alert=alert(id=f"c-{number}"))) for number in range(80)]
    limited = [outcome for outcome in outcomes if isinstance(outcome, RateLimited)]
    assert [outcome.after for outcome in limited] == [60]
    assert len(sandbox.github.issues) == 79
    sandbox.clock.advance(61)
    assert isinstance(send(connector, delivery(alert=alert(id="c-79"))), Delivered)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(kind=FaultKind.STATUS, status=403, path=OPEN), Broken, "Issues: read and write"),
        (Fault(kind=FaultKind.STATUS, status=404, path=OPEN), Broken, "no repository example/security"),
        (Fault(kind=FaultKind.STATUS, status=410, path=OPEN), Broken, "issues are disabled"),
        (
            Fault(
                kind=FaultKind.STATUS,
                status=422,
                body='{"message": "Validation Failed", "errors": [{"field": "title", "message": "is odd"}]}',
                path=OPEN,
            ),
            Rejected,
            "Validation Failed; title: is odd",
        ),
        (
            Fault(kind=FaultKind.STATUS, status=301, headers={"Location": "https://elsewhere.example/x"}, path=OPEN),
            Broken,
            "elsewhere.example",
        ),
    ],
)
def test_a_refusal_says_what_to_do(
    connect: Connect, sandbox: Sandbox, fault: Fault, kind: type[Broken | Rejected], words: str
) -> None:
    sandbox.github.inject(fault)
    outcome = send(connect(), delivery())
    assert isinstance(outcome, kind)
    assert words in outcome.reason


def test_a_repository_that_was_renamed_is_followed_where_github_says(connect: Connect, sandbox: Sandbox) -> None:
    """By the number under which it names it, at the same address and nowhere else."""
    seen = len(sandbox.github.requests)
    there = f"{sandbox.github.url}/repositories/1/issues"
    sandbox.github.inject(Fault(kind=FaultKind.STATUS, status=301, headers={"Location": there}, path=LIST))
    assert isinstance(send(connect(), delivery()), Broken)  # the stand-in has no such address
    assert [request.path for request in sandbox.github.requests[seen:]] == [
        "/repos/example/security/issues",
        "/repositories/1/issues",
    ]


def test_an_issue_that_was_transferred_out_of_a_renamed_repository_is_followed(
    connect: Connect, sandbox: Sandbox
) -> None:
    """One redirect leads to the other; a ring of them ends."""
    receipt = opened(connector := connect(), delivery())
    there = f"{sandbox.github.url}/repositories/1/issues/1/comments"
    moved = Fault(kind=FaultKind.STATUS, status=307, headers={"Location": there}, path="/comments", times=2)
    sandbox.github.inject(moved)
    said = Fault(kind=FaultKind.STATUS, status=201, body="{}", path="POST /repositories/1/issues/1/comments")
    sandbox.github.inject(said)
    assert send(connector, follow_up(Kind.REMIND, receipt)) == Delivered(receipt)
    sandbox.github.inject(replace(moved, times=None))
    assert isinstance(send(connector, follow_up(Kind.REMIND, receipt)), Broken)


def test_what_went_to_the_repository_before_is_looked_for_there(connect: Connect, sandbox: Sandbox) -> None:
    """A lost answer, and another repository in the config since: no second issue is opened."""
    memory = ProcessMemory()
    before = connect()
    before.remember(memory)
    sandbox.github.inject(Fault(kind=FaultKind.RESET_AFTER, path=OPEN))
    one = delivery(enqueued_at=sandbox.clock())
    assert isinstance(send(before, one), Uncertain)
    after = connect(repository="example/other")
    after.remember(memory)
    sandbox.github.inject(Fault(kind=FaultKind.STATUS, status=200, body="[]", path="GET /repos/example/other/issues"))
    found = after.find(one)
    assert found is not None
    assert found.remote_id == "example/security#1"


def test_the_severitys_label_follows_unless_people_took_it_away(connect: Connect, sandbox: Sandbox) -> None:
    connector = connect()
    high = delivery(alert=alert(severity="high"))
    receipt = opened(connector, high)
    update = follow_up(Kind.UPDATE, receipt, changes=(WORSE,))
    assert send(connector, update) == Delivered(receipt)
    issue = sandbox.github.issues[1]
    assert issue.labels == ["sentrytex", LABEL, "severity: critical"]
    assert plain(issue.comments[0]["body"]) == "Severity is now critical; it was high."
    issue.labels.remove("severity: critical")
    back = replace(update, alert=high.alert, changes=(replace(WORSE, old="critical", new="high"),))
    send(connector, back)
    assert issue.labels == ["sentrytex", LABEL]


def _gone(one: Delivery) -> tuple[Delivery, type[Delivered | Rejected]]:
    return one, Rejected if one.kind is Kind.UPDATE else Delivered


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.WITHDRAW, Kind.REMIND])
def test_an_issue_that_was_deleted_is_told_apart_from_a_repository(
    connect: Connect, sandbox: Sandbox, kind: Kind
) -> None:
    connector = connect(severity_labels={})
    receipt = opened(connector, delivery())
    sandbox.github.gone.add(1)
    one, expected = _gone(follow_up(kind, receipt, changes=(replace(WORSE, field="cvss_score"),)))
    assert isinstance(send(connector, one), expected)
    sandbox.github.inject(Fault(kind=FaultKind.STATUS, status=404, times=None))
    assert isinstance(send(connector, one), Broken)


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.REMIND])
def test_an_issue_that_was_locked_holds_up_no_other(connect: Connect, sandbox: Sandbox, kind: Kind) -> None:
    """To who may not write there, for whom GitHub has the status of a token that may nothing."""
    connector = connect(severity_labels={})
    receipt = opened(connector, delivery())
    sandbox.github.locked.add(1)
    outcome = send(connector, follow_up(kind, receipt))
    assert outcome == Delivered(receipt)
    sandbox.github.may_push = False
    outcome = send(connector, follow_up(kind, receipt))
    assert isinstance(outcome, Rejected if kind is Kind.UPDATE else Delivered)
    assert "is locked: unlock it" in (outcome.note if isinstance(outcome, Delivered) else outcome.reason)
    sandbox.github.locked.clear()
    sandbox.github.inject(Fault(kind=FaultKind.STATUS, status=403, path="/comments"))
    assert isinstance(send(connector, follow_up(kind, receipt)), Broken)


def test_a_check_says_what_is_missing(connect: Connect, sandbox: Sandbox) -> None:
    """Who the account is, the rights that can be seen, and whom nothing can be assigned to."""
    connector = connect(assignees=["ada", "stranger"])
    sandbox.github.may_push = sandbox.github.has_issues = False
    told = [finding.text for finding in connector.check() if not finding.ok]
    assert len(told) == 3
    assert "disabled" in told[0]
    assert "role Write" in told[1]
    sandbox.github.restore()
    problems = [finding.text for finding in connector.check() if not finding.ok]
    assert len(problems) == 1
    assert "stranger" in problems[0]
    owners = [GitHubOwner(assignees=("grace",)), GitHubOwner(mention="@ada")]
    assert [finding.ok for finding in connector.check_owners(owners)] == [True]
