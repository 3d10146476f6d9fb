"""The wire of Teams: what a workflow's answers mean, what a check sees, and that its address is never shown."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing

import pytest

from connectors.teams import Teams
from forwarder.connector import Broken, Delivered, Kind, RateLimited, Receipt, Rejected, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import delivery
from forwarder.wire.endpoint import RATE_LIMIT_PAUSE
from tests.connectors.teams.kit import connect, send


def answering(sandbox: Sandbox, status: int, code: str = "", **headers: str) -> None:
    """Lets the workflow refuse the next request."""
    body = json.dumps({"error": {"code": code, "message": f"not a real reason of {sandbox.teams.signature}"}})
    sandbox.teams.inject(Fault(kind=FaultKind.STATUS, status=status, body=body, headers=headers))


def test_a_card_is_posted_under_its_run(sandbox: Sandbox, teams: Teams) -> None:
    """The receipt is the workflow's run; what follows stands under the same."""
    first, second = send(teams, delivery()), send(teams, delivery())
    assert isinstance(first, Delivered)
    assert isinstance(second, Delivered)
    assert first.receipt != second.receipt
    assert len(sandbox.teams.cards) == 2
    followed = send(teams, delivery(kind=Kind.WITHDRAW, receipt=first.receipt))
    assert followed == Delivered(first.receipt)


def test_a_run_that_is_not_named_is_a_receipt_all_the_same(sandbox: Sandbox, teams: Teams) -> None:
    """A proxy may keep the header to itself."""
    sandbox.teams.inject(Fault(kind=FaultKind.STATUS, status=202, body=""))
    assert send(teams, delivery()) == Delivered(Receipt(remote_id="accepted"))


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (400, "WorkflowTriggerIsNotEnabled", "turned off or deleted"),
        (404, "WorkflowNotFound", "turned off or deleted"),
        (404, "", "turned off or deleted"),
        (410, "", "turned off or deleted"),
        (400, "TriggerInputSchemaMismatch", "empty the schema"),
        (401, "DirectApiAuthorizationRequired", 'let "Anyone" trigger the flow'),
        (403, "", 'let "Anyone" trigger the flow'),
        (402, "", "check url"),
    ],
)
def test_what_no_card_will_change_breaks_it(sandbox: Sandbox, teams: Teams, status: int, code: str, says: str) -> None:
    """A workflow that is off, or takes nobody's cards, says 400 as it says 404: its code tells what to do."""
    answering(sandbox, status, code)
    outcome = send(teams, delivery())
    assert isinstance(outcome, Broken)
    assert says in outcome.reason
    assert sandbox.teams.signature not in outcome.reason


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_blames_the_card_is_a_dead_letter(sandbox: Sandbox, teams: Teams, status: int) -> None:
    """Others may pass."""
    answering(sandbox, status, "InvalidRequestContent")
    assert isinstance(send(teams, delivery()), Rejected)


def test_a_rate_limit_is_waited_out(sandbox: Sandbox, teams: Teams) -> None:
    """For as long as it says, else for the window in which Teams counts."""
    answering(sandbox, 429, **{"Retry-After": "12"})
    answering(sandbox, 429)
    assert [send(teams, delivery()), send(teams, delivery())] == [
        RateLimited(12, "the rate limit of 127.0.0.1"),
        RateLimited(RATE_LIMIT_PAUSE, "the rate limit of 127.0.0.1"),
    ]


def test_a_server_error_may_have_posted_it(sandbox: Sandbox, teams: Teams) -> None:
    """Nobody can be asked; a 503 that names a time took nothing."""
    answering(sandbox, 502)
    answering(sandbox, 503, **{"Retry-After": "7"})
    outcomes = [send(teams, delivery()) for _ in range(2)]
    assert [type(outcome) for outcome in outcomes] == [Uncertain, Retry]


def test_a_page_for_people_is_no_yes(sandbox: Sandbox, teams: Teams) -> None:
    """A proxy's sign-in page says 200 to anything."""
    sandbox.teams.inject(Fault(kind=FaultKind.HTML))
    outcome = send(teams, delivery())
    assert isinstance(outcome, Uncertain)
    assert "web page" in outcome.reason


@pytest.mark.parametrize("form", ["a%2bnot/real%3D1", "a%2Bnot%2Freal%3D1", "a+not/real=1", "a%252Bnot%252Freal%253D1"])
def test_a_signature_is_hidden_however_it_is_written(sandbox: Sandbox, form: str) -> None:
    """Signs of an address have several forms, and who repeats it has the choice."""
    with closing(connect(sandbox, url=f"{sandbox.teams.url.partition('?')[0]}?sig=a%2Bnot%2Freal%3D1")) as teams:
        sandbox.teams.inject(Fault(kind=FaultKind.STATUS, status=400, body=f"sig={form}."))
        outcome = send(teams, delivery())
    assert isinstance(outcome, Rejected)
    assert outcome.reason.endswith(": sig=[secret].)")


@pytest.mark.parametrize("error", ["null", "[]", '{"error": "x"}', '{"error": {"code": 7}}', "x" * 70_000])
def test_a_refusal_in_other_words_is_one(sandbox: Sandbox, teams: Teams, error: str) -> None:
    """What stands before a workflow answers in its own way."""
    sandbox.teams.inject(Fault(kind=FaultKind.STATUS, status=400, body=error))
    assert isinstance(send(teams, delivery()), Rejected)


def test_a_check_begins_no_run(sandbox: Sandbox, teams: Teams) -> None:
    """A workflow that is on says so to a question that it does not take, once it has accepted the signature."""
    (finding,) = teams.check()
    assert finding.ok
    assert finding.text.startswith("The workflow is on, and accepts the address. `forwarder test teams`")
    assert sandbox.teams.cards == []


def test_a_check_sees_what_is_wrong(sandbox: Sandbox, teams: Teams) -> None:
    """A workflow that is off, an address without a signature that counts, and a service that fails."""
    sandbox.teams.turn_off()
    (off,) = teams.check()
    sandbox.teams.restore()
    sandbox.teams.revoke()
    (unsigned,) = teams.check()
    sandbox.teams.restore()
    answering(sandbox, 500)
    (failing,) = teams.check()
    assert {off.ok, unsigned.ok, failing.ok} == {False}
    assert "turned off or deleted" in off.text
    assert "Anyone" in unsigned.text
    assert "try again later" in failing.text


def test_something_else_than_a_workflow_is_said_to_be(sandbox: Sandbox, teams: Teams) -> None:
    """What stands before a workflow may take POST alone, and say so in its own way."""
    answering(sandbox, 405)
    (finding,) = teams.check()
    assert finding.ok
    assert "does not answer as a workflow" in finding.text


def test_a_busy_channel_paces_the_cards() -> None:
    """Teams takes four in a second from one address, and names the wait."""
    with Sandbox() as limited:
        outcomes = [send(connect(limited), delivery()) for _ in range(5)]
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 4 + [RateLimited]


def test_importing_it_loads_nothing_that_sends() -> None:
    """Who does not use Teams pays for no client."""
    code = "import sys, connectors.teams\nprint(sorted({'httpx2', 'httpcore2', 'ssl', 'requests'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
