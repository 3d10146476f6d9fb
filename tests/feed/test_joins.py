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
        (("anybody's, and no further", "beta's"), False),
        (("anybody's, and no further", "acme's"), True),
    ],
)
def test_an_account_brings_where_only_its_own_name_leads(names: tuple[str, ...], nothing: bool) -> None:
    """A route that another account's name, or none, made match before leads nowhere anew."""
    routes = [Route.model_validate(ROUTES[name]) for name in names]
    assert Joins("beta", routes, [], {}).brings_nothing(SEEN) is nothing


@pytest.mark.parametrize(
    ("arrival", "nothing"),
    [
        ({}, True),
        ({"past": True}, True),
        ({"muted_by": "of all"}, True),
        ({"muted_by": "of acme"}, False),
        ({"known": None, "version": None}, False),
        ({"changed": True}, False),
        ({"owed": False, "accounts": ()}, False),
    ],
)
def test_something_follows_from_what_is_new_or_may_be_let_out(arrival: dict[str, Any], nothing: bool) -> None:
    """A new alert or form, one that was owed to nobody, and one that the mute of other accounts keeps quiet."""
    mutes = [
        MuteRow(
            id=name,
            rule=Mute.model_validate({**rule, "until": instant(NOW + 60), "reason": "noise"}),
            until=NOW + 60,
            reason="noise",
            place="config",
        )
        for name, rule in (("of all", {"severity": "high"}), ("of acme", {"account": "acme"}))
    ]
    assert Joins("beta", [], mutes, {}).brings_nothing(replace(SEEN, **arrival)) is nothing
