"""The commands where the config names accounts."""

from __future__ import annotations

from typing import Final

import pytest

from forwarder.sandbox import Sandbox
from tests.kit.core import recent
from tests.kit.desk import Desk

KEYS: Final = {name: f"vk_{name}-not-a-real-key" for name in ("acme", "beta")}


@pytest.fixture
def accounts(desk: Desk, sandbox: Sandbox) -> Desk:
    """Two accounts, whose stacks have openssl in common; everything goes to Slack."""
    for name, key in KEYS.items():
        sandbox.sentrytex.add_account(key, "openssl", name)
    desk.config["sentrytex"].pop("api_key")
    desk.config["sentrytex"]["accounts"] = {name: {"api_key": key} for name, key in KEYS.items()}
    desk.config["routes"] = [{"to": ["secops"]}]
    desk.write()
    return desk


def test_check_live_asks_with_each_key(accounts: Desk, sandbox: Sandbox) -> None:
    """And says which of them is refused, and where it stands in the config."""
    said = accounts.process("check", "--live").stdout
    assert "ok   sentrytex acme: " in said
    assert "ok   sentrytex beta: " in said
    sandbox.sentrytex.accounts[KEYS["beta"]].revoked = True
    refused = accounts.process("check", "--live")
    assert refused.returncode == 1
    assert "ok   sentrytex acme: " in refused.stdout
    assert "sentrytex.accounts.beta.api_key" in refused.stdout
    assert not any(key in refused.stdout + refused.stderr for key in KEYS.values())


def test_lists_are_filtered_by_account(accounts: Desk, sandbox: Sandbox) -> None:
    """Alerts, deliveries and what a report counts; what two accounts see is there for each of them, and says so."""
    for number, vendor in enumerate(("openssl", "acme", "beta")):
        sandbox.sentrytex.publish(recent(number, title=f"About {vendor}", affected_vendors=[vendor]))
    assert accounts.run("once").exit_code == 0
    for command in ("alerts", "deliveries"):
        told = {name: accounts.says(command, "--account", name) for name in KEYS}
        assert all("About openssl" in text for text in told.values())
        assert [("About acme" in text, "About beta" in text) for text in told.values()] == [
            (True, False),
            (False, True),
        ]
    rows = {row["title"]: row["accounts"] for row in accounts.json("alerts")}
    assert rows == {"About openssl": ["acme", "beta"], "About acme": ["acme"], "About beta": ["beta"]}
    assert [one["name"] for one in accounts.json("status")["accounts"]] == ["acme", "beta"]
    new = {name: accounts.json("report", "--account", name)["new"] for name in (*KEYS, "nobody")}
    assert new == {"acme": {"critical": 2}, "beta": {"critical": 2}, "nobody": {}}
    assert "Report of acme: 2 new" in accounts.says("report", "--account", "acme")
    sent = [str(message) for message in sandbox.slack.messages]
    assert sum("About acme" in one and "beta" not in one for one in sent) == 1


def test_a_name_is_handed_over_only_where_that_is_meant(accounts: Desk) -> None:
    """To an account of the config, from one that left it and was read."""
    assert accounts.run("once").exit_code == 0
    for old, new, says in (
        ("acme", "gone", "gone: the config has no such account."),
        ("acme", "beta", "The config still has the account acme"),
        ("old", "beta", "Nothing was ever read as the account old"),
    ):
        refused = accounts.run("rename-account", old, new)
        assert refused.exit_code != 0
        assert says in refused.output
