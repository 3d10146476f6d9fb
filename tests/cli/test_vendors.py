"""Commands call vendors by name, show the evidence, and know the categories of the stack."""

from __future__ import annotations

import pytest

from forwarder.sandbox import Sandbox
from forwarder.store import Store
from tests.kit.core import recent
from tests.kit.desk import Desk
from tests.kit.store import stack

ONE = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def forwarded(desk: Desk, sandbox: Sandbox) -> Desk:
    """A desk after one alert of a vendor with a name and a category was forwarded, and its evidence read."""
    sandbox.sentrytex.add_vendor("github", "GitHub, Inc.", "code hosting")
    sandbox.sentrytex.evidence = {ONE: {"evidence_state": {"state": "verified <b>", "sources": 2}}}
    sandbox.sentrytex.publish(recent(1, affected_vendors=["github", "okta"]))
    assert desk.run("once").exit_code == 0
    return desk


def test_explain_names_vendors_and_tells_the_evidence(forwarded: Desk) -> None:
    """With the keys and categories by which routes know them."""
    said = forwarded.says("explain", ONE)
    assert "vendors: GitHub, Inc. (github, code hosting), okta\n" in said
    assert "Evidence: state: verified <b>\nEvidence: sources: 2\n" in said
    told = forwarded.json("explain", ONE)
    assert told["affected_vendors"] == ["github", "okta"]
    assert told["vendors"] == [{"key": "github", "name": "GitHub, Inc.", "categories": ["code hosting"]}]
    assert told["evidence"] == ["state: verified <b>", "sources: 2"]


@pytest.mark.parametrize("connector", ["secops", "oncall", "tickets"])
def test_preview_shows_what_would_be_sent_now(forwarded: Desk, connector: str) -> None:
    """Of an alert that was seen and of the sample: names, and the evidence."""
    said = forwarded.says("preview", connector, ONE)
    assert "GitHub, Inc., okta" in said
    assert "state: verified <b>" in said
    sample = forwarded.says("preview", connector)
    assert "Apache" in sample
    assert "state: verified" in sample


def test_explain_knows_the_categories_of_an_imagined_alert(desk: Desk) -> None:
    """As the stack has them; where it was never read, it says that."""
    desk.config["routes"] = [{"categories": "pay*", "to": ["tickets"]}]
    desk.write()
    args = ("explain", "--severity", "high", "--vendor", "stripe")
    assert "category is none, not pay*, and the stack does not have stripe" in desk.says(*args)
    with Store.open_exclusive(desk.folder / "forwarder.db") as store:
        store.vendors.keep(stack(stripe="payments"))
    assert "category payments matches pay* -> tickets" in desk.says(*args)


def test_replay_goes_by_categories(forwarded: Desk) -> None:
    """A route by category that was added since gets what it would have got."""
    forwarded.config["routes"] = [{"categories": "code *", "to": ["secops"]}]
    forwarded.write()
    assert "1 delivery in all" in forwarded.says("replay", "--since", "1d", "--dry-run")


def test_check_live_warns_of_what_the_stack_does_not_have(desk: Desk, sandbox: Sandbox) -> None:
    """Each vendor and category of a route by itself, with what is near; it is no failure, for a stack changes."""
    sandbox.sentrytex.add_vendor("github", "GitHub", "code hosting")
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    desk.config["routes"] = [
        {"vendors": ["git*", "strpe"], "to": ["secops"]},
        {"categories": ["PAYMENTS", "clouds"], "vendors": "okta", "to": ["secops"]},
        {"to": ["secops"]},
    ]
    desk.write()
    said = desk.ends("check", "--live")
    assert said.returncode == 0, said.stdout
    assert [line.split("routes: ")[1] for line in said.stdout.splitlines() if line.startswith("warn")] == [
        "Route 1 asks for the vendor strpe, and nothing in the stack is called so (did you mean stripe?). "
        "There: example, github, stripe.",
        "Route 2 asks for the vendor okta, and nothing in the stack is called so. There: example, github, stripe.",
        "Route 2 asks for the category clouds, and nothing in the stack is called so. "
        "There: code hosting, network, payments.",
    ]


def test_check_without_live_asks_nobody(desk: Desk, sandbox: Sandbox) -> None:
    """A category cannot be judged offline."""
    desk.config["routes"] = [{"categories": "nonsense", "to": ["secops"]}]
    desk.write()
    assert "is valid" in desk.says("check")
    assert list(sandbox.sentrytex.requests) == []


def test_once_routes_by_category_at_the_first_run(desk: Desk, sandbox: Sandbox) -> None:
    """Cron starts it anew each time: names and categories are there before the page is routed."""
    sandbox.sentrytex.add_vendor("stripe", "Stripe", "payments")
    sandbox.sentrytex.publish(recent(1, affected_vendors=["stripe"]))
    desk.config["routes"] = [{"categories": "payments", "to": ["oncall"]}]
    desk.write()
    assert desk.run("once").exit_code == 0
    (incident,) = sandbox.pagerduty.incidents.values()
    assert "Stripe" in str(incident)
