"""When feeds are polled: spread over the period, each at its own time of it, by no more threads than there may be."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from forwarder.common.accounts import DEFAULT, named, phase
from forwarder.events import Listeners
from forwarder.feed.account import AccountFeed
from forwarder.feed.client import KeyRefused, TooManyRequests
from forwarder.rounds import KEY_AGAIN, POLLERS, Rounds
from forwarder.scheduler import Scheduler
from forwarder.store import Store
from forwarder.store.records import PollResult
from tests.kit.core import until
from tests.kit.store import config

NAMES = [f"account-{number:04d}" for number in range(1000)]
EVERY = 60.0


class Reading:
    """Feeds that are read by noting that they are, while ``open``; ``errors`` are what a poll raises."""

    def __init__(self, *accounts: str) -> None:
        self.config = config(poll_every="60s", sweep_every="1h")
        self.read_at: dict[str, float | None] = {}
        polled = SimpleNamespace(polled=lambda accounts: {one: self.read_at.get(one) for one in accounts})
        self.store = cast("Store", SimpleNamespace(accounts=polled))
        self.listeners = Listeners()
        self.accounts = accounts
        self.lacks: set[str] = set()
        self.beats = 0
        self.polls: list[tuple[str, float]] = []
        self.errors: dict[str, Exception] = {}
        self.stacks: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.now = 0.0
        self.under_way, self.most = 0, 0
        self._lock = threading.Lock()

    @property
    def feeds(self) -> Mapping[str, AccountFeed]:
        feed = SimpleNamespace(until_sweep=lambda: 1e9, close_retired=lambda: None)
        return dict.fromkeys(self.accounts, cast("AccountFeed", feed))

    def poll(self, account: str) -> PollResult:
        with self._lock:
            self.polls.append((account, self.now))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.open.wait()
        with self._lock:
            self.under_way -= 1
        if account in self.errors:
            raise self.errors[account]
        self.read_at[account] = self.now
        return PollResult(account=account)

    def sweep(self, account: str) -> PollResult:
        return PollResult(account=account, sweep=True)

    def read_stack(self, account: str) -> frozenset[str]:
        self.stacks.append(account)
        return frozenset()

    has_heartbeat = True

    def beat(self) -> None:
        self.beats += 1

    def holds(self, role: str) -> bool:
        return role not in self.lacks


class Rig:
    def __init__(self, *accounts: str) -> None:
        self.reading = Reading(*accounts)
        self.scheduler = Scheduler(lambda _, work: work(), now=lambda: self.reading.now)
        self.rounds = Rounds(self.reading, self.scheduler, now=lambda: self.reading.now, rng=lambda: 0.5)
        self.scheduler.add("heartbeat", self.rounds.report, lambda: 1e9)
        self.rounds.follow()
        self.scheduler.start()
        self.rounds.begin_reports()

    def at(self, seconds: float) -> list[str]:
        """Who is polled by then, since the last time that was asked."""
        before = len(self.reading.polls)
        self.reading.now = seconds
        self.scheduler.look()
        until(self.is_quiet)
        return [account for account, _ in self.reading.polls[before:]]

    def is_quiet(self) -> bool:
        now = self.reading.now
        return all(job.begun is None and job.due > now for job in list(self.scheduler._jobs.values()))


@pytest.fixture
def rig() -> Iterator[Any]:
    made: list[Rig] = []

    def make(*accounts: str) -> Rig:
        made.append(Rig(*accounts))
        return made[-1]

    yield make
    for one in made:
        one.reading.open.set()
        one.scheduler.stop()
        one.scheduler.join(10)


def test_a_thousand_accounts_spread_over_the_period(rig: Any) -> None:
    """In any twelfth of a minute a twelfth of them is polled, or nearly; each once in a minute, in the same order."""
    there = rig(*NAMES)
    assert set(there.at(EVERY - 0.001)) == set(NAMES)
    rounds = []
    for minute in (1, 2):
        parts = [there.at(minute * EVERY + (step + 1) * 5 - 0.001) for step in range(12)]
        assert all(50 <= len(part) <= 120 for part in parts), [len(part) for part in parts]
        rounds.append([frozenset(part) for part in parts])
        assert sorted(account for part in parts for account in part) == sorted(NAMES)
    assert rounds[0] == rounds[1]


def test_no_more_are_polled_at_once_than_there_are_threads(rig: Any) -> None:
    """However many wait: a feed that hangs takes no thread of its own."""
    there = rig(*NAMES[:100])
    there.reading.open.clear()
    there.reading.now = EVERY
    there.scheduler.look()
    until(lambda: there.reading.under_way == POLLERS)
    there.scheduler.look()
    assert threading.active_count() < POLLERS + 20
    there.reading.open.set()
    until(there.is_quiet)
    assert (there.reading.most, len({account for account, _ in there.reading.polls})) == (POLLERS, 100)


def test_a_refused_key_delays_no_other_account(rig: Any) -> None:
    """Its own next poll comes later; theirs come in their turn."""
    there = rig("acme", "beta", "gamma")
    there.reading.errors = {"acme": KeyRefused("401"), "beta": TooManyRequests("429", 7.0)}
    assert sorted(there.at(0.5)) == ["acme", "beta", "gamma"]
    assert there.at(7.6) == ["beta"]
    there.reading.errors.pop("beta")
    later = there.at(KEY_AGAIN - 1)
    assert "acme" not in later
    assert {"beta", "gamma"} <= set(later)
    assert "acme" in there.at(KEY_AGAIN + 1)


def test_the_monitor_hears_of_a_round_that_all_took_part_in(rig: Any) -> None:
    """One account that cannot be read is silence, as with a single key."""
    there = rig("acme", "beta")
    there.reading.errors = {"beta": KeyRefused("401")}
    for quarter in range(1, 5):
        there.at(quarter * EVERY / 4)
    assert there.reading.beats == 0
    there.reading.errors.clear()
    there.at(4 * EVERY)
    there.at(4.3 * EVERY)
    assert there.reading.beats >= 1


def test_the_monitor_hears_of_feeds_that_another_process_reads(rig: Any) -> None:
    """Once all were read, whoever did it; and nothing from a process that has not the upkeep."""
    there = rig("acme", "beta")
    there.reading.lacks = {"feed:beta", "upkeep"}
    there.rounds.begin(["acme"])
    there.at(EVERY)
    there.reading.read_at["beta"] = EVERY
    there.at(1.5 * EVERY)
    assert ({account for account, _ in there.reading.polls}, there.reading.beats) == ({"acme"}, 0)
    there.reading.lacks = {"feed:beta"}
    there.rounds.begin_reports()
    there.at(2.6 * EVERY)
    assert there.reading.beats == 0
    there.reading.read_at["beta"] = 2.6 * EVERY
    for quarter in range(12, 18):
        there.at(quarter * EVERY / 4)
    assert there.reading.beats == 1


def test_a_feed_is_polled_where_its_role_is(rig: Any) -> None:
    """Not before it is begun here, and at once then; one that another process has again is left to that."""
    there = rig("acme")
    there.at(EVERY)
    there.reading.accounts, there.reading.lacks = ("acme", "beta"), {"feed:beta"}
    there.rounds.follow()
    assert "beta" not in there.at(3 * EVERY)
    there.reading.lacks = set()
    there.rounds.begin(["beta"])
    assert "beta" in there.at(3 * EVERY + 1)
    there.reading.lacks = {"feed:acme"}
    assert "acme" not in there.at(5 * EVERY)


def test_an_account_that_left_is_polled_no_more(rig: Any) -> None:
    """And one that came is, at once."""
    there = rig("acme", "beta")
    there.at(EVERY)
    there.reading.accounts = ("beta", "gamma")
    there.rounds.follow()
    assert "gamma" in there.at(EVERY + 1)
    assert "acme" not in there.at(5 * EVERY)


def test_an_account_that_leaves_while_it_is_polled_is_asked_nothing_more(rig: Any) -> None:
    """Its client is closed by then, or will be any moment; the others go on."""
    there = rig("acme", "beta")
    there.at(EVERY)
    there.reading.open.clear()
    there.reading.now = 2 * EVERY + 1
    there.scheduler.look()
    until(lambda: there.reading.under_way == 2)
    there.reading.stacks.clear()
    there.reading.accounts = ("beta",)
    there.rounds.follow()
    there.reading.open.set()
    until(there.is_quiet)
    until(lambda: there.reading.under_way == 0)
    assert "acme" not in there.at(5 * EVERY)
    assert set(there.reading.stacks) == {"beta"}


def test_a_single_feed_has_the_period_from_its_last_poll(rig: Any) -> None:
    """As it was before there were accounts: at once, and then a period after each end."""
    there = rig(DEFAULT)
    until(there.is_quiet)
    assert [at for _, at in there.reading.polls] == [0.0]
    assert there.at(EVERY - 1) == []
    assert there.at(EVERY + 5) == [DEFAULT]
    assert there.at(2 * EVERY + 4) == []


def test_names_are_told_as_far_as_a_sentence_bears_it() -> None:
    """The rest is counted, and the account that has no name is not mentioned."""
    assert named([DEFAULT]) == ""
    assert named(["b", "a"]) == "a, b"
    assert named("abcdefg") == "a, b, c, d, e and 2 more"
    assert 0 <= phase("acme") < 1
