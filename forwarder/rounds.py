"""When each account's feed is polled and swept, by what became of the last time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Protocol

from forwarder.common.accounts import DEFAULT, phase
from forwarder.common.backoff import Backoff
from forwarder.config import Config
from forwarder.events import Listeners
from forwarder.feed.account import AccountFeed
from forwarder.feed.client import KeyRefused, SentrytexError, TooManyRequests
from forwarder.logs import get_logger
from forwarder.replicas.roles import UPKEEP, of_feed
from forwarder.scheduler import Scheduler, Work
from forwarder.store import Store
from forwarder.store.records import PollResult

log = get_logger(__name__)

POLL_AGAIN: Final = Backoff(first=2.0, most=240.0)
"""Between two polls while the feed cannot be read."""
KEY_AGAIN: Final = 120.0
"""Seconds between two polls with a key that was refused."""
FIRST_SWEEP: Final = 5.0
"""Seconds after a start: the feed's new alerts go first."""
SWEEP_AGAIN: Final = 60.0
"""Seconds between two sweeps while the feed cannot be read."""

POLLERS: Final = 16
SWEEPERS: Final = 4
"""Feeds of named accounts that are polled, and swept, at the same time: a thread each, however many there are."""
FEED_WORKER: Final = "feed"
"""Whose thread sweeps the feed of a single key, and reads the evidence."""
REPORTS: Final = 4
"""Looks in a period of polls at whether every feed was read."""
APART: Final = 0.02
"""Seconds between the first polls of two accounts after a start, on the average; ten times as many between sweeps."""


class Read(Protocol):
    """What the rounds carry out; ``forwarder.app.Forwarder`` does."""

    config: Config
    store: Store
    listeners: Listeners

    @property
    def feeds(self) -> Mapping[str, AccountFeed]: ...

    def poll(self, account: str) -> PollResult: ...

    def sweep(self, account: str) -> PollResult: ...

    def read_stack(self, account: str) -> frozenset[str]: ...

    @property
    def has_heartbeat(self) -> bool: ...

    def beat(self) -> None: ...

    def holds(self, role: str) -> bool: ...


class Rounds:
    """The polls and sweeps of all feeds: each plans the next of its kind by what became of it.

    With named accounts each has its turn at its own time of the period, the same from one period to the next, so that
    a thousand polls spread over all of it. Each feed is a role, and is read only where this process has that.
    """

    def __init__(
        self, turns: Read, scheduler: Scheduler, *, now: Callable[[], float], rng: Callable[[], float]
    ) -> None:
        self._turns, self._scheduler, self._now, self._rng = turns, scheduler, now, rng
        self._failures: dict[str, int] = {}
        self._planned: set[str] = set()
        self._was_read = False
        """Whether a single feed was read since that was last reported."""
        self._reported: Mapping[str, float | None] | None = None
        """When the feeds had been read that were last reported; None where nothing was."""

    def begin(self, accounts: Iterable[str]) -> None:
        """Plans the first poll and sweep of these feeds; another process may have read them until now."""
        known = set(self._planned)
        self.follow()
        plan = dict[str, float]()
        for account in known.intersection(accounts) & self._planned:
            self._failures.pop(account, None)
            plan[_name("poll", account)], plan[_name("sweep", account)] = self._first(account)
        self._scheduler.plan_all(plan)

    def have_ended(self, account: str) -> bool:
        """Whether nothing of a feed is under way."""
        return self._scheduler.idle(_name(job, account) for job in ("poll", "sweep"))

    def follow(self) -> None:
        """Plans the first poll and sweep of every feed that is new and read here, and none any more of one that left.

        Those that are another process's wait until they are begun here.
        """
        feeds = self._turns.feeds
        for account in self._planned - feeds.keys():
            for name in (_name("poll", account), _name("sweep", account)):
                self._scheduler.remove(name)
            self._failures.pop(account, None)
        for account in [account for account in feeds if account not in self._planned]:
            self._add(account)
        self._planned = set(feeds)

    def renew(self, account: str) -> None:
        """Polls at once, and sweeps when the config says, what is read otherwise now; what failed was another feed."""
        if not self._turns.holds(of_feed(account)):
            return
        self._failures.pop(account, None)
        self._scheduler.plan(_name("poll", account), 0.0)
        self._scheduler.plan(_name("sweep", account), self._turns.feeds[account].until_sweep())

    def begin_reports(self) -> None:
        """Reports from now on to the outside monitor, where that is this process's; another one may have done so."""
        self._reported = None
        self._scheduler.plan("heartbeat", 0.0)

    def report(self) -> float:
        """Tells the outside monitor where every feed was read since the last time, whichever process reads it.

        A single feed's poll asks for it; of named accounts whoever has the upkeep looks again and again, at what the
        store says of all. Returns the seconds until the next look.
        """
        turns = self._turns
        if DEFAULT in turns.feeds:
            if self._was_read:
                self._was_read = False
                turns.beat()
            return math.inf
        if not turns.holds(UPKEEP):
            return math.inf
        if turns.has_heartbeat:
            read = turns.store.accounts.polled(turns.feeds)
            before, self._reported = self._reported, self._reported or read
            if before is not None and all(at is not None and at != before.get(account) for account, at in read.items()):
                self._reported = read
                turns.beat()
        return self._poll_every() / REPORTS

    def _add(self, account: str) -> None:
        alone = account == DEFAULT
        poll, sweep = self._first(account) if self._turns.holds(of_feed(account)) else (math.inf, math.inf)
        self._scheduler.add(
            _name("poll", account),
            self._held(account, self._poll),
            self._poll_every if alone else partial(self._until_turn, account),
            first=poll,
            worker="" if alone else "polls",
            most=1 if alone else POLLERS,
        )
        self._scheduler.add(
            _name("sweep", account),
            self._held(account, self._sweep),
            self._sweep_again,
            first=sweep,
            worker=FEED_WORKER if alone else "sweeps",
            most=1 if alone else SWEEPERS,
        )

    def _first(self, account: str) -> tuple[float, float]:
        """Seconds until the first poll and the first sweep of a feed."""
        feeds = self._turns.feeds
        spread = 0.0 if account == DEFAULT else phase(account) * len(feeds) * APART
        sweep = max(feeds[account].until_sweep(), FIRST_SWEEP) + min(10 * spread, self._sweep_every())
        return min(spread, self._poll_every()), sweep

    def _held(self, account: str, work: Callable[[str], float | None]) -> Work:
        """``work`` where the process has the account's feed, and else nothing until it has."""
        role = of_feed(account)
        return lambda: work(account) if self._turns.holds(role) else math.inf

    def _poll(self, account: str) -> float | None:
        turns = self._turns
        feed = turns.feeds.get(account)
        if feed is None:
            return math.inf
        try:
            result = turns.poll(account)
            self._failures.pop(account, None)
            if account == DEFAULT and turns.has_heartbeat:
                self._was_read = True
                self._scheduler.plan("heartbeat", 0.0)
            if account == DEFAULT or result.new or result.changed:
                self._scheduler.plan("evidence", 0.0)
            if account not in turns.feeds:
                # A reload took it away meanwhile.
                return math.inf
            if turns.read_stack(account):
                log.info("stack_grew", **told(account))
                self._scheduler.plan(_name("sweep", account), 0.0)
        except SentrytexError as error:
            self._failures[account] = self._failures.get(account, 0) + 1
            return self._poll_again(error, self._failures[account])
        finally:
            feed.close_retired()
        return None

    def _poll_every(self) -> float:
        return self._turns.config.sentrytex.poll_every.total_seconds()

    def _sweep_every(self) -> float:
        return self._turns.config.sentrytex.sweep_every.total_seconds()

    def _until_turn(self, account: str) -> float:
        """Seconds until the account's next turn."""
        every = self._poll_every()
        return every - (self._now() - phase(account) * every) % every

    def _poll_again(self, error: SentrytexError, failures: int) -> float:
        if isinstance(error, TooManyRequests):
            return max(error.after, 1.0)
        if isinstance(error, KeyRefused):
            return max(KEY_AGAIN, self._poll_every())
        return POLL_AGAIN.after(failures, self._rng)

    def _sweep(self, account: str) -> float | None:
        turns, every = self._turns, self._sweep_every()
        if account not in turns.feeds:
            return math.inf
        try:
            if turns.store.feed_of(account).state().cursor is None:
                # What was there before the first start is only known after the first poll.
                return min(every, FIRST_SWEEP)
            turns.sweep(account)
        except SentrytexError as error:
            log.warning("sweep_failed", reason=str(error), **told(account))
            turns.listeners.sweep_failed(error)
            return self._sweep_again()
        return every

    def _sweep_again(self) -> float:
        return min(self._sweep_every(), SWEEP_AGAIN)


def told(account: str) -> dict[str, str]:
    """What a line of the log says of the account: nothing where the config names none."""
    return {} if account == DEFAULT else {"account": account}


def _name(job: str, account: str) -> str:
    return job if account == DEFAULT else f"{job} {account}"
