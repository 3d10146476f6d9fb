"""What follows from it that one more account sees an alert."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from forwarder.common.clock import instant
from forwarder.config import Mute, Route
from forwarder.feed.joins import Joins
from forwarder.store.mute_records import MuteRow
from forwarder.store.records import Arrival
from forwarder.testing import alert
from tests.kit.store import NOW

HIGH = alert(severity="high")
SEEN = Arrival(alert=HIGH, known=HIGH, version=0, owed=True, changed=False, accounts=("acme",))
ROUTES = {
    "anybody's": {"to": ("oncall",)},
    "acme's": {"account": ("acme",), "to": ("secops",)},
    "beta's": {"account": ("bet*",), "to": ("tickets",)},
    "low ones of beta's": {"account": ("beta",), "severity": ("low",), "to": ("tickets",)},
    "both's": {"account": ("*",), "to": ("tickets",)},
    "acme's, and no further": {"account": ("acme",), "to": ("secops",), "stop": True},
    "anybody's, and no further": {"to": ("secops",), "stop": True},
}


@pytest.mark.parametrize(
    ("names", "nothing"),
    [
        (("anybody's", "acme's", "low ones of beta's", "both's"), True),
        (("anybody's", "beta's"), False),
        (("acme's, and no further", "anybody's"), False),
        (("anybody's, and no further", "beta's"), True),
        (("anybody's, and no further", "acme's"), True),
    ],
)
def test_an_account_brings_where_only_its_own_name_leads(names: tuple[str, ...], nothing: bool) -> None:
    """A route that another account's name, or none, made match before leads nowhere anew."""
    routes = [Route.model_validate(ROUTES[name]) for name in names]
    joins = Joins("beta", routes, [], {}, NOW)
    view = joins.judge(SEEN)
    assert view is not None
    assert (not joins.beyond(view, SEEN).targets) is nothing


@pytest.mark.parametrize(
    ("arrival", "stands"),
    [
        ({}, True),
        ({"past": True}, True),
        ({"muted_by": "of all"}, True),
        ({"muted_by": "of acme"}, False),
        ({"muted_by": "of both"}, True),
        ({"muted_by": "of low ones, which it was"}, False),
        ({"unrouted": True}, False),
        ({"known": None, "version": None}, False),
        ({"changed": True}, False),
        ({"owed": False, "accounts": ()}, False),
    ],
)
def test_what_is_new_or_may_be_let_out_is_routed_as_a_whole(arrival: dict[str, Any], stands: bool) -> None:
    """A new alert or form, one that was owed to nobody, or went nowhere, and one that a mute keeps quiet no more."""
    rules: dict[str, dict[str, Any]] = {
        "of all": {"severity": "high"},
        "of acme": {"account": "acme"},
        "of both": {"account": ["acme", "b*"]},
        "of low ones, which it was": {"severity": "low"},
    }
    mutes = [
        MuteRow(
            id=name,
            rule=Mute.model_validate({**rule, "until": instant(NOW + 60), "reason": "noise"}),
            until=NOW + 60,
            reason="noise",
            place="config",
        )
        for name, rule in rules.items()
        if name == arrival.get("muted_by")
    ]
    joins = Joins("beta", [Route.model_validate(ROUTES["beta's"])], mutes, {}, NOW)
    assert (joins.judge(replace(SEEN, **arrival)) is not None) is stands
