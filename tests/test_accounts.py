"""Several accounts as users run them: in one process, across crashes, and when the config changes."""

from __future__ import annotations

import random
import signal
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.app import Forwarder, ReloadRefused
from forwarder.config import Config, load
from forwarder.sandbox import Sandbox
from forwarder.store import Store, StoreError
from tests.kit.core import PATIENCE, Process, command, recent, rows, secrets, settings, until, written

KEYS: Final = {name: f"vk_{name}-not-a-real-key" for name in ("acme", "beta", "gamma")}
STACKS: Final = {"acme": ("openssl", "github"), "beta": ("openssl", "okta"), "gamma": ("openssl", "okta", "stripe")}
KILLS: Final = 4
ROUTES: Final = [
    {"account": "acm*", "to": ["secops"]},
    {"account": ["bet*", "gam*"], "to": ["tickets"]},
    {"severity": "critical", "to": ["oncall"]},
]


@pytest.fixture
def accounts(sandbox: Sandbox) -> Sandbox:
    """The stand-in with three accounts, whose stacks have something in common."""
    for name, key in KEYS.items():
        sandbox.sentrytex.add_account(key, *STACKS[name])
    return sandbox


def named(sandbox: Sandbox, *names: str, **sentrytex: Any) -> dict[str, Any]:
    config = settings(sandbox)
    config["sentrytex"].pop("api_key")
    config["sentrytex"] |= {"accounts": {name: {"api_key": f"${{{name.upper()}}}"} for name in names}, **sentrytex}
    config["routes"] = ROUTES
    return config


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {**secrets(sandbox), **{name.upper(): key for name, key in KEYS.items()}}


def expected(alerts: list[dict[str, Any]]) -> Counter[str]:
    """How many alerts each connector must get."""
    found = Counter[str]()
    for alert in alerts:
        seen = {name for name, stack in STACKS.items() if set(stack) & set(alert["affected_vendors"])}
        found["secops"] += "acme" in seen
        found["tickets"] += bool(seen & {"beta", "gamma"})
        found["oncall"] += bool(seen) and alert["severity"] == "critical"
    return found


def there(sandbox: Sandbox) -> Counter[str]:
    """What stands at each destination, after checking that nothing stands there twice."""
    messages = Counter(
        str((message["metadata"] or {}).get("event_payload", {}).get("alert_id"))
        for message in sandbox.slack.messages
        if message["thread_ts"] is None
    )
    labels = Counter(
        label for issue in sandbox.jira.issues.values() for label in issue["fields"]["labels"] if "sentrytex-" in label
    )
    assert set(messages.values()) <= {1}
    assert set(labels.values()) <= {1}
    assert {incident["count"] for incident in sandbox.pagerduty.incidents.values()} <= {1}
    return Counter(secops=len(messages), tickets=len(sandbox.jira.issues), oncall=len(sandbox.pagerduty.incidents))


def some(first: int, count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Alerts of any severity about one or two of the vendors that the accounts have, or about none of them."""
    vendors = ("openssl", "github", "okta", "stripe", "nobody-has-it")
    return [
        recent(
            number,
            severity=rng.choice(("critical", "high", "medium", "low")),
            affected_vendors=rng.sample(vendors, rng.choice((1, 2))),
        )
        for number in range(first, first + count)
    ]


def test_three_accounts_that_share_alerts_lose_none_and_send_none_twice(tmp_path: Path, accounts: Sandbox) -> None:
    """Whenever the process is killed, whichever account shows an alert first."""
    rng = random.Random(20261126)
    written(tmp_path, named(accounts, *KEYS, poll_every="1s", sweep_every="2s"))
    alerts: list[dict[str, Any]] = []
    for _ in range(KILLS):
        with Process(tmp_path, environment(accounts)).until_started() as process:
            alerts += _publish(accounts, some(len(alerts), 10, rng))
            # In the midst of it: as soon as a little more than before has arrived.
            until(partial(_is_beyond, accounts, there(accounts).total() + 2))
            process.signal(signal.SIGKILL)
            process.ended()
    with Process(tmp_path, environment(accounts)).until_started() as process:
        alerts += _publish(accounts, some(len(alerts), 10, rng))
        until(lambda: there(accounts) == expected(alerts), PATIENCE * 3)
        until(lambda: _opens(tmp_path) == {"delivered"})
        assert process.stop() == 0
    assert there(accounts) == expected(alerts)


def _publish(sandbox: Sandbox, alerts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sandbox.sentrytex.publish(*alerts)
    return alerts


def _is_beyond(sandbox: Sandbox, count: int) -> bool:
    return there(sandbox).total() > count


def _opens(folder: Path) -> set[str]:
    with Store.open_shared(folder / "forwarder.db") as store:
        return {row.state.value for row in rows(store) if row.kind == "open"}


def test_a_single_key_becomes_an_account(tmp_path: Path, accounts: Sandbox) -> None:
    """Only once somebody said whose it is: then it goes on where it ended, and what it saw is not sent again."""
    token = accounts.sentrytex.token
    config = {**settings(accounts), "routes": [{"to": ["secops"]}]}
    written(tmp_path, config)
    accounts.sentrytex.publish(recent(1, affected_vendors=["openssl"]))
    assert command(tmp_path, "once", env=secrets(accounts)).returncode == 0
    after = named(accounts, "acme", "beta")
    after["routes"] = [{"account": ["acme", "beta"], "to": ["secops"]}]
    written(tmp_path, after)
    env = {**environment(accounts), "ACME": token}
    refused = command(tmp_path, "once", env=env)
    assert refused.returncode != 0
    assert "`forwarder rename-account default NAME`" in refused.stderr
    assert command(tmp_path, "rename-account", "default", "acme", env=env).returncode == 0
    accounts.sentrytex.publish(recent(2, affected_vendors=["openssl"]))
    ended = command(tmp_path, "once", env=env)
    assert (ended.returncode, ended.stderr) == (0, "") or "error" not in ended.stderr
    assert there(accounts)["secops"] == 2


def test_once_says_which_account_could_not_be_read(tmp_path: Path, accounts: Sandbox) -> None:
    """And delivers what the others showed."""
    accounts.sentrytex.accounts[KEYS["beta"]].revoked = True
    written(tmp_path, named(accounts, "acme", "beta"))
    accounts.sentrytex.publish(recent(1, severity="low", affected_vendors=["openssl"]))
    ended = command(tmp_path, "once", env=environment(accounts))
    assert ended.returncode == 1
    assert "beta: The Sentrytex API refused the key" in ended.stderr
    assert "sentrytex.accounts.beta.api_key" in ended.stderr
    # The alert, and, for no alarms.to is named, the alarm of whose key it is.
    assert there(accounts)["secops"] == 2
    assert "refuses the key: no new alerts are read: beta" in str(accounts.slack.messages)
    told = command(tmp_path, "status", env=environment(accounts)).stdout
    assert "acme" in told
    assert "beta" in told
    assert not any(key in told + ended.stderr + ended.stdout for key in KEYS.values())


def test_a_reload_takes_accounts_in_and_away(tmp_path: Path, accounts: Sandbox) -> None:
    """A new one is read at once; one that left is asked no more, and what it saw stays."""
    config = {"poll_every": "1s", "sweep_every": "1h"}
    before = _load(tmp_path, accounts, named(accounts, "acme", "beta", **config))
    with Store.open_exclusive(before.database) as store:
        forwarder = Forwarder(before, store, links_after=0.0)
        forwarder.start()
        try:
            until(lambda: all(feed.has_read for feed in forwarder.feeds.values()))
            accounts.sentrytex.publish(recent(1, severity="low", affected_vendors=["openssl"]))
            until(lambda: there(accounts) == Counter(secops=1, tickets=1))
            forwarder.reload(_load(tmp_path, accounts, named(accounts, "beta", "gamma", **config)))
            until(lambda: forwarder.feeds["gamma"].has_read)
            asked = accounts.sentrytex.accounts[KEYS["acme"]].asked
            accounts.sentrytex.publish(recent(2, severity="low", affected_vendors=["stripe"]))
            until(lambda: there(accounts) == Counter(secops=1, tickets=2))
            assert accounts.sentrytex.accounts[KEYS["acme"]].asked <= asked + 1
            with pytest.raises(ReloadRefused, match="rename-account"):
                forwarder.reload(_load(tmp_path, accounts, settings(accounts)))
        finally:
            forwarder.stop()


def test_a_start_as_somebody_else_is_refused(tmp_path: Path, accounts: Sandbox) -> None:
    """Before anything is asked, and nothing of the database is changed."""
    config = _load(tmp_path, accounts, named(accounts, "acme"))
    with Store.open_exclusive(config.database) as store:
        store.feed.start(0.0, is_local=False, now=0.0)
        forwarder = Forwarder(config, store)
        with pytest.raises(StoreError, match="rename-account default"):
            forwarder.start()
        forwarder.stop()
        assert store.accounts.begun() == ["default"]


def test_a_config_with_one_key_says_nothing_of_accounts(tmp_path: Path, sandbox: Sandbox) -> None:
    """Not in a message, a ticket, a list or the log."""
    written(tmp_path, {**settings(sandbox), "log": {"level": "debug", "format": "json"}})
    sandbox.sentrytex.publish(recent(1))
    ended = command(tmp_path, "once", env=secrets(sandbox))
    assert ended.returncode == 0
    said = [ended.stdout, ended.stderr, str(sandbox.slack.messages), str(sandbox.jira.issues)]
    said += [str(sandbox.pagerduty.incidents)]
    for args in (["status"], ["status", "--json"], ["alerts", "--json"], ["explain", "Alert 1"]):
        said.append(command(tmp_path, *args, env=secrets(sandbox)).stdout)
    told = "\n".join(said).replace("accountId", "").replace("account_id", "")
    assert "account" not in told.lower()


def _load(folder: Path, sandbox: Sandbox, config: dict[str, Any]) -> Config:
    return load(written(folder, config), environment(sandbox))
