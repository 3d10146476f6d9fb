"""Who must act, by the config: vendor keys first, then categories, each once; and a reload changes it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from forwarder.alert import Vendor
from forwarder.connector import Origin
from forwarder.lifecycle.owners import all_owners, owners_of
from forwarder.testing import HOSTILE_TEXTS, alert, delivery


class Who(RootModel[str]):
    """Somebody."""


OWNERS: dict[str, dict[str, Any]] = {
    "GitHub": {"chat": Who("dev"), "pager": Who("oncall")},
    "aws-*": {"chat": Who("nobody, for keys are no patterns")},
    "payments": {"chat": Who("money")},
    "stripe": {"chat": Who("dev")},
    "cloud": {"chat": Who("ops"), "tickets": Who("queue")},
}
STACK = {
    key: Vendor(key=key, name=key.title(), categories=categories)
    for key, categories in {"github": ("Cloud",), "stripe": ("payments", "cloud")}.items()
}


def who(*vendors: str, kind: str = "chat", **changes: Any) -> list[str]:
    one = delivery(alert=alert(affected_vendors=list(vendors)), vendors=STACK, **changes)
    found: tuple[BaseModel, ...] = owners_of(OWNERS, kind, one)
    return [owner.root for owner in found if isinstance(owner, Who)]


@pytest.mark.parametrize(
    ("vendors", "kind", "expected"),
    [
        (["github"], "chat", ["dev", "ops"]),
        (["stripe", "github"], "chat", ["dev", "money", "ops"]),
        (["GITHUB"], "pager", ["oncall"]),
        (["github"], "tickets", ["queue"]),
        (["github"], "mail", []),
        (["aws-lambda"], "chat", []),
        ([], "chat", []),
    ],
)
def test_vendors_come_before_categories(vendors: list[str], kind: str, expected: list[str]) -> None:
    """Only what concerns the connector's type, each once, whatever its letters."""
    assert who(*vendors, kind=kind) == expected


@pytest.mark.parametrize("origin", [origin for origin in Origin if origin is not Origin.FEED])
def test_only_alerts_of_the_feed_have_owners(origin: Origin) -> None:
    """Nobody is pinged for a test, an alarm, a digest or a report."""
    assert who("github", origin=origin) == []


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_an_alert_brings_in_no_owner(text: str) -> None:
    """A vendor of any name chooses among those of the config, or nobody."""
    assert set(who(text, "github")) <= {"dev", "ops"}


def test_all_of_them() -> None:
    """Whoever is named for a type anywhere, each once."""
    assert all_owners(OWNERS, "chat") == (
        Who("dev"), Who("nobody, for keys are no patterns"), Who("money"), Who("ops"),
    )  # fmt: skip
    assert all_owners({}, "chat") == ()
