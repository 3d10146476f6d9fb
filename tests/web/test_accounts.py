"""The page and the metrics where the config names accounts: how each is read, and which alerts it sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from forwarder.config import Config
from forwarder.routing import Decision, Verdict
from forwarder.testing import alert
from forwarder.web.health import Health
from tests.kit import store as store_kit
from tests.kit.store import NOW, claim, delivered, routed, settle
from tests.kit.web import Site, serving
from tests.store.test_accounts import arrive, begin
from tests.web.test_metrics import scrape, value


def named() -> Config:
    config = store_kit.config()
    keys = {name: {"api_key": f"vk_{name}-not-a-real-key"} for name in ("acme", "beta")}
    return config.model_copy(update={"sentrytex": config.sentrytex.model_validate({"accounts": keys})})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Both accounts see one alert, and each another one; acme was read ten seconds ago, and beta is refused."""
    with serving(tmp_path, config=named()) as running:
        store = running.store
        begin(store, "acme", "beta")
        for account, shown in (("acme", "both"), ("beta", "both"), ("acme", "only-acme"), ("beta", "only-beta")):
            arrive(store, account, alert(id=shown, title=f"About {shown}"), "secops", cursor=NOW - 60)
        store.feed_of("acme").commit_page([], now=NOW - 10, cursor=NOW - 60)
        store.feed_of("beta").poll_failed("The key was refused.", key_refused=True)
        yield running


def test_alerts_are_found_by_account(site: Site) -> None:
    """Those that an account sees, whoever sees them besides; by a name that is none there are none."""
    assert all(f"About {name}" in site.text("/alerts") for name in ("both", "only-acme", "only-beta"))
    found = site.text("/alerts?account=acme")
    assert [f"About {name}" in found for name in ("both", "only-acme", "only-beta")] == [True, True, False]
    assert "About" not in site.text("/alerts?account=nobody")
    told = site.text("/alerts/both")
    assert "acme" in told
    assert "beta" in told


def test_an_alert_that_goes_to_a_crowd_has_a_page_that_can_be_read(site: Site) -> None:
    """The first of its connectors and routes, those that wait before others, and of the rest how many there are."""
    verdicts = tuple(Verdict(route=n, matched=True, why="", to=(f"team-{n:03}",)) for n in range(1, 121))
    decision = Decision(
        targets={verdict.to[0]: "because" for verdict in verdicts},
        trail=(*verdicts, Verdict(route=121, matched=False, why="account is acme", to=(), others=879)),
    )
    crowd = routed(alert(id="crowd", title="About many"))
    store = site.store
    store.feed.commit_page([replace(crowd, decision=decision, targets=decision.targets)], now=NOW)
    for n in range(1, 111):
        settle(store, claim(store, f"team-{n:03}"), delivered())
    told = site.text("/alerts/crowd")
    assert "Owed to team-001, team-002" in told
    assert "team-012 and 108 more." in told
    assert "and 20 more connectors" in told
    assert "and 21 more routes" in told
    shown = re.findall(r'<section class="panel" aria-label="(team-\d+)"', site.page("/alerts/crowd"))
    assert (len(shown), shown[:11]) == (100, [*(f"team-{n}" for n in range(111, 121)), "team-001"])
    assert "and 108 more" in site.text("/alerts")


def test_the_page_says_how_each_account_is_read(site: Site) -> None:
    """By name; and no name stands twice as what parts of the page are known by."""
    told = site.text("/")
    assert "2 accounts" in told
    assert "The key was refused." in told
    page = site.page("/")
    assert page.count('id="accounts"') == page.count('id="account-names"') == 1


def test_figures_are_those_of_an_account_where_one_is_asked_for(site: Site) -> None:
    """Its name stays in the links from there; a name that is none shows those of all."""
    assert "All 3 3 0" in site.text("/figures")
    assert "All 2 2 0" in site.text("/figures?account=acme")
    assert "status=open&amp;account=acme" in site.page("/figures?account=acme")
    assert "All 3 3 0" in site.text("/figures?account=nobody")


def test_one_refused_key_makes_nothing_unready(site: Site) -> None:
    """The page and the other accounts are of use; the account has an alarm of its own. Where none is read, it is so."""
    health = Health(site.forwarder, site.store)
    site.forwarder.feeds["acme"].has_read = True
    assert health.missing() == []
    site.forwarder.feeds["acme"].has_read = False
    (missing,) = health.missing()
    assert missing.why.startswith("acme: No poll was complete since the start of this process.")
    site.store.feed_of("acme").poll_failed("No.", key_refused=True)
    (missing,) = health.missing()
    assert missing.why.endswith("The same goes for 1 other account.")


def test_each_account_has_metrics(site: Site) -> None:
    """And what has no label tells of the one that is furthest behind."""
    samples = scrape(site)
    assert value(samples, "account_key_refused", account="acme") == 0
    assert value(samples, "account_key_refused", account="beta") == 1
    assert value(samples, "account_feed_age_seconds", account="acme") == 10
    assert value(samples, "account_request_budget_remaining", account="beta") == 100


def test_a_single_key_has_no_metrics_of_accounts(tmp_path: Path) -> None:
    """A label that nobody asked for would be another series to every rule."""
    with serving(tmp_path) as running:
        assert [name for name, labels in scrape(running) if "account" in dict(labels)] == []
        assert "account" not in running.text("/").lower()
