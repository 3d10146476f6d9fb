"""Whose requests count together, whatever becomes of the config."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from forwarder.config import Config
from forwarder.feed.account import Feeds
from forwarder.feed.budgets import Budgets
from forwarder.feed.client import REQUESTS_A_MINUTE
from forwarder.store import Store
from tests.kit.store import Time, config


def naming(**keys: str) -> Config:
    told = config()
    accounts = {name: {"api_key": key} for name, key in keys.items()}
    return told.model_copy(update={"sentrytex": told.sentrytex.model_validate({"accounts": accounts})})


BOTH = naming(acme="vk_acme-not-a-real-key", beta="vk_beta-not-a-real-key")
BETA = naming(beta="vk_beta-not-a-real-key")


@pytest.fixture
def feeds(store: Store, time: Time) -> Iterator[Feeds]:
    """The feeds of two accounts, one of which has sent ten requests."""
    made = Feeds(BOTH, store, now=time)
    for _ in range(10):
        made["acme"].budget.take()
    yield made
    made.close()


def left(feeds: Feeds) -> dict[str, int]:
    return {account: feed.client.budget.left for account, feed in feeds.items()}


def test_an_account_that_leaves_the_config_and_comes_back_has_what_was_left(feeds: Feeds) -> None:
    """The API has not forgotten what was sent with its key."""
    feeds.use(BETA)
    feeds.use(BOTH)
    assert left(feeds) == {"acme": REQUESTS_A_MINUTE - 10, "beta": REQUESTS_A_MINUTE}


def test_the_limit_is_the_key_s_whatever_its_account_is_called(feeds: Feeds) -> None:
    """A renamed account has no new requests, nor have two that swap their keys; nor has a key that was renewed."""
    feeds.use(naming(apex="vk_acme-not-a-real-key", beta="vk_beta-not-a-real-key"))
    assert left(feeds) == {"apex": REQUESTS_A_MINUTE - 10, "beta": REQUESTS_A_MINUTE}
    feeds.use(naming(apex="vk_beta-not-a-real-key", beta="vk_acme-not-a-real-key"))
    assert left(feeds) == {"apex": REQUESTS_A_MINUTE, "beta": REQUESTS_A_MINUTE - 10}
    feeds.use(naming(apex="vk_beta-not-a-real-key", beta="vk_renewed-not-a-real-key"))
    assert left(feeds) == {"apex": REQUESTS_A_MINUTE, "beta": REQUESTS_A_MINUTE - 10}


def test_what_counts_no_more_is_forgotten() -> None:
    """Else each key that was ever in the config would be kept for as long as the process lives."""
    now = [0.0]
    budgets = Budgets(clock=lambda: now[0])
    budget = budgets.of("vk_acme-not-a-real-key")
    budget.take()
    budgets.forget_all_but([])
    assert budgets.of("vk_acme-not-a-real-key") is budget
    now[0] = 61.0
    budgets.forget_all_but([])
    assert budgets.of("vk_acme-not-a-real-key") is not budget
