"""Routing: which connectors an alert goes to, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.alert import Severity, Vendor
from forwarder.config import Conditions, Mute, Reminder, Route
from forwarder.routing import matches, targets
from forwarder.testing import alert, bare_alert


def route(**keys: Any) -> Route:
    return Route.model_validate({"to": "target", **keys})


def why(one: Route, **fields: Any) -> tuple[bool, str]:
    """What ``one`` says of the sample alert with ``fields``."""
    (verdict,) = targets(alert(**fields), [one]).trail
    return verdict.matched, verdict.why


@pytest.mark.parametrize(
    ("keys", "fields", "matched", "words"),
    [
        ({}, {}, True, "the route has no conditions"),
        ({"severity": "critical"}, {}, True, "severity is critical"),
        ({"severity": ["high", "low"]}, {}, False, "severity is critical, not high or low"),
        ({"severity": "critical"}, {"severity": "odd"}, True, "severity is critical (the API said: odd)"),
        ({"cisa_kev": True}, {"cisa_kev": True}, True, "it is on CISA KEV"),
        ({"cisa_kev": True}, {}, False, "it is not on CISA KEV"),
        ({"cisa_kev": False}, {}, True, "it is not on CISA KEV"),
        ({"cisa_kev": False}, {"cisa_kev": True}, False, "it is on CISA KEV"),
        ({"vendors": "aws-*"}, {}, True, "vendor aws-lambda matches aws-*"),
        ({"vendors": "AWS-*"}, {"affected_vendors": ["Aws-S3"]}, True, "vendor Aws-S3 matches AWS-*"),
        ({"vendors": ["okta", "git"]}, {}, False, "vendor is github, aws-lambda, not okta or git"),
        ({"vendors": "*"}, {"affected_vendors": []}, False, "vendor is none, not *"),
        ({"min_cvss": 9.8}, {}, True, "CVSS 9.8 is at least 9.8"),
        ({"min_cvss": 9.9}, {}, False, "CVSS 9.8 is below 9.9"),
        ({"min_cvss": 0}, {"cvss_score": None}, False, "it has no CVSS score, and 0 is asked for"),
        ({"min_epss": 0.42}, {}, True, "EPSS 0.42 is at least 0.42"),
        ({"min_epss": 0.5}, {}, False, "EPSS 0.42 is below 0.5"),
        ({"min_epss": 0.1}, {"epss_score": None}, False, "it has no EPSS score, and 0.1 is asked for"),
        ({"alert_type": "cve"}, {}, True, "alert type cve matches cve"),
        ({"alert_type": "*"}, {"alert_type": None}, False, "alert type is none, not *"),
        ({"cve_id": "CVE-2026-*"}, {}, True, "CVE CVE-2026-10001 matches CVE-2026-*"),
        ({"cve_id": "CVE-2025-*"}, {}, False, "CVE is CVE-2026-10001, not CVE-2025-*"),
    ],
)
def test_a_condition_and_its_reason(keys: dict[str, Any], fields: dict[str, Any], matched: bool, words: str) -> None:
    """Each condition says whether it holds, in a sentence that names the alert's value."""
    assert why(route(**keys), **fields) == (matched, words)


VENDORS = {
    "github": Vendor(key="github", name="GitHub", categories=("code hosting",)),
    "aws-lambda": Vendor(key="aws-lambda", name="AWS Lambda", categories=("cloud", "compute")),
    "okta": Vendor(key="okta", name="Okta"),
}


@pytest.mark.parametrize(
    ("categories", "vendors", "matched", "words"),
    [
        ("cloud", ["github", "aws-lambda"], True, "category cloud matches cloud"),
        (["payments", "Code*"], ["github"], True, "category code hosting matches Code*"),
        ("payments", ["aws-lambda"], False, "category is cloud, compute, not payments"),
        ("*", ["okta"], False, "category is none, not *"),
        ("*", [], False, "category is none, not *"),
        ("cloud", ["gitlab", "aws-lambda"], True, "category cloud matches cloud"),
        ("cloud", ["gitlab"], False, "category is none, not cloud, and the stack does not have gitlab"),
    ],
)
def test_a_category_of_any_vendor_counts(
    categories: str | list[str], vendors: list[str], matched: bool, words: str
) -> None:
    """As the stack has it; of a vendor that the stack does not have it says so."""
    (verdict,) = targets(alert(affected_vendors=vendors), [route(categories=categories)], VENDORS).trail
    assert (verdict.matched, verdict.why) == (matched, words)


def test_a_category_is_one_more_condition() -> None:
    """It is ANDed with the others, the vendors included."""
    one = alert(affected_vendors=["github", "aws-lambda"])
    assert targets(one, [route(categories="cloud", severity="critical")], VENDORS).targets
    assert not targets(one, [route(categories="cloud", severity="low")], VENDORS).targets
    assert not targets(one, [route(categories="cloud", vendors="okta")], VENDORS).targets


def test_the_conditions_of_a_route_are_anded() -> None:
    """A route matches only where all its conditions hold, and names those that do not."""
    both = route(severity="critical", cisa_kev=True)
    assert why(both, cisa_kev=True) == (True, "severity is critical; it is on CISA KEV")
    assert why(both) == (False, "it is not on CISA KEV")


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions.model_validate({"severity": "critical", "vendors": "git*"}),
        Mute.model_validate({"severity": "critical", "vendors": "git*", "until": "2027-01-31", "reason": "moved"}),
        Reminder.model_validate(
            {"severity": "critical", "vendors": "git*", "unacknowledged_for": timedelta(minutes=15), "to": "a"}
        ),
    ],
)
def test_conditions_mean_the_same_wherever_they_stand(conditions: Conditions) -> None:
    """A mute and a reminder judge an alert as a route does, with the same words."""
    assert matches(alert(), conditions) == (True, "severity is critical; vendor github matches git*")
    assert matches(alert(affected_vendors=["okta"]), conditions) == (False, "vendor is okta, not git*")


def test_no_conditions_match_everything_without_a_reason() -> None:
    """Who has no conditions means every alert; what to say of that is the asker's."""
    assert matches(alert(), Conditions()) == (True, "")


def test_every_matching_route_counts() -> None:
    """An alert goes to each connector that any matching route names, once, by the first that names it."""
    decision = targets(
        alert(), [route(to=["a", "b"]), route(severity="low", to="x"), route(severity="critical", to=["b", "c"])]
    )
    assert decision.targets == {
        "a": "route 1: the route has no conditions",
        "b": "route 1: the route has no conditions",
        "c": "route 3: severity is critical",
    }
    assert [(verdict.route, verdict.matched) for verdict in decision.trail] == [(1, True), (2, False), (3, True)]


def test_stop_ends_the_search_where_it_matches() -> None:
    """Routes below a matching one that says stop are not looked at; one that does not match stops nothing."""
    unmatched, matched = route(severity="low", to="a", stop=True), route(to="b", stop=True)
    decision = targets(alert(), [unmatched, matched, route(to="c")])
    assert list(decision.targets) == ["b"]
    assert len(decision.trail) == 2


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        (["acme"], ["a"]),
        (["beta"], ["b", "all"]),
        (["acme", "beta"], ["a", "b", "all"]),
        (["acme", "zeta"], ["a", "all"]),
    ],
)
def test_stop_ends_the_search_for_the_accounts_that_a_route_names(accounts: list[str], expected: list[str]) -> None:
    """What two accounts see goes wherever it goes for each of them, whichever came first: else one's would be lost."""
    routes = [
        route(account="acme", to="a", stop=True),
        route(account="acme", to="never"),
        route(account="beta", to="b"),
        route(to="all", stop=True),
        route(account="beta", to="never"),
    ]
    assert list(targets(alert(), routes, accounts=accounts).targets) == expected


def test_no_route_no_target() -> None:
    """An alert that no route matches goes nowhere, and the trail says why."""
    decision = targets(bare_alert(severity="low"), [route(severity="high")])
    assert decision.targets == {}
    assert decision.trail[0].why == "severity is low, not high"


def test_a_bare_alert_goes_where_criticals_go() -> None:
    """An alert of which the API said next to nothing is treated as the most severe."""
    assert list(targets(bare_alert(), [route(severity="critical")]).targets) == ["target"]


@given(
    st.lists(
        st.builds(
            lambda severity, to, stop: route(severity=severity, to=to, stop=stop),
            st.sampled_from([severity.value for severity in Severity]),
            st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3),
            st.booleans(),
        ),
        max_size=6,
    ),
    st.sampled_from(list(Severity)),
)
def test_targets_are_what_matching_routes_name(routes: list[Route], severity: Severity) -> None:
    """Whatever the routes, the targets are the connectors of the matching ones up to the first that stops."""
    expected: set[str] = set()
    for one in routes:
        if severity in one.severity:
            expected |= set(one.to)
            if one.stop:
                break
    assert set(targets(alert(severity=severity.value), routes).targets) == expected
