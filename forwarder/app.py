"""Puts the parts together: the poller, the dispatchers and the scheduler's jobs, started, reloaded and stopped."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from pydantic import BaseModel

from forwarder.alarms import Alarms
from forwarder.common.accounts import DEFAULT
from forwarder.common.clock import Clock
from forwarder.common.units import format_duration
from forwarder.config import Config, needs_restart, secrets_of
from forwarder.connector import Connector, Delivery
from forwarder.delivery.connectors import connectors_of, give_memory
from forwarder.delivery.dispatcher import LINKS_AFTER, Dispatcher
from forwarder.delivery.leaving import Leaving, Pauses
from forwarder.delivery.transitions import ATTEMPTS, first_looks
from forwarder.events import Listeners
from forwarder.feed.account import Feeds
from forwarder.feed.client import FeedClient, SentrytexError
from forwarder.feed.evidence import EvidenceReader
from forwarder.heartbeat import Heartbeat
from forwarder.lifecycle import Life
from forwarder.lifecycle.owners import owners_of
from forwarder.logs import Redactor, get_logger
from forwarder.rounds import Rounds, told
from forwarder.scheduler import Jobs, Scheduler
from forwarder.store import Store, StoreError
from forwarder.store.records import PollResult

log = get_logger(__name__)

STOP_SECONDS: Final = 25.0
"""How long sends under way may take after SIGTERM: Kubernetes and systemd kill later than that."""
JOBS_END: Final = 1.0
"""Seconds that jobs under way may take after that."""
STANDS_STILL: Final = 60.0
"""Seconds after which a main loop that does not turn counts as stalled."""


class ReloadRefused(Exception):
    """A new config that only a restart can bring in; the message is a sentence."""


class Forwarder:
    """The whole of it, for one config and one database: made, started, reloaded, stopped."""

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        clock: Clock | None = None,
        rng: Callable[[], float] = random.random,
        links_after: float = LINKS_AFTER,
        redactor: Redactor | None = None,
    ) -> None:
        self.config, self.store = config, store
        self.clock = clock or Clock()
        self.redactor = redactor or Redactor()
        self.redactor.update(secrets_of(config))
        self.listeners = Listeners()
        self.alarms = Alarms(store, config, now=self.clock, wake=self._wake)
        self.listeners.add(self.alarms)
        self.started_at = self.alarms.started_at
        self.listeners.add(Pauses(self))
        self.dispatchers: dict[str, Dispatcher] = {}
        self.leaving: list[Leaving] = []
        """Dispatchers that a reload replaced or removed, while they still send."""
        self._rng, self._links_after = rng, links_after
        self._heartbeat = Heartbeat(config.heartbeat)
        self.feeds = Feeds(config, store, now=self.clock)
        self.life = Life(
            store,
            config,
            now=self.clock,
            connectors=self.in_use,
            wake=self._wake,
            listener=self.listeners,
            redact=self.redactor,
        )
        self.evidence = EvidenceReader(
            store, self._source_of, self._wanting, now=self.clock, random=rng, accounts=lambda: tuple(self.feeds)
        )
        self._unfollowed = 0.0
        self._retired_heartbeats: list[Heartbeat] = []
        self._tended_at: float | None = None
        self._stopped = threading.Event()
        scheduler = Scheduler(self._guarded, now=self.clock.uptime)
        self._rounds = Rounds(self, scheduler, now=self.clock.uptime, rng=rng)
        self._jobs = Jobs(self, scheduler)
        self._scheduled = False

    # The life of it

    def start(self, *, schedule: bool = True) -> None:
        """Takes over what an earlier process left, and begins to deliver; to poll too, where ``schedule`` is set."""
        if why := self.store.accounts.strangers(self.feeds):
            raise StoreError(why)
        now, connectors = self.clock(), connectors_of(self.config, {}, self.listeners)
        reclaimed = self.store.outbox.reclaim_expired(now=now, due_at=first_looks(connectors, now), all_claims=True)
        if reclaimed:
            log.warning("found_unsettled", deliveries=reclaimed)
        self.store.outbox.reset_deadlines(now=now, most=ATTEMPTS.most)
        self.store.accounts.open(self.feeds)
        self.store.accounts.count_start(self.feeds, now=now)
        if schedule:
            self._rounds.follow()
            self._jobs.start()
            self._scheduled = True
        self._change_dispatchers(connectors)

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Lets what is being sent end; whether all of it did. A poll that hangs is left alone, and finds all closed."""
        self._stopped.set()
        self._jobs.stop()
        ended = self._stop_dispatchers(timeout)
        self._jobs.join(JOBS_END)
        self._retired_heartbeats.append(self._heartbeat)
        self.feeds.close()
        _close(self._retired_heartbeats)
        return ended

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped.is_set()

    def reload(self, config: Config) -> None:
        """Takes over another config, whole; raises ReloadRefused, with nothing changed, where it needs a restart.

        It waits for nothing that is under way: who is not concerned goes on untouched, and what a connector with
        other settings is sending ends beside its successor.
        """
        if keys := needs_restart(self.config, config):
            raise ReloadRefused(f"{keys} cannot be changed while the forwarder runs: restart it.")
        before, settings = self.config.sentrytex, config.sentrytex
        other_accounts = before.keys.keys() != settings.keys.keys()
        if other_accounts and (why := self.store.accounts.strangers(settings.keys)):
            raise ReloadRefused(why)
        self.redactor.update(secrets_of(config))
        # All that another package's code may refuse comes first, while nothing is changed.
        connectors = connectors_of(config, self.in_use(), self.listeners)
        if other_accounts:
            self.store.accounts.open(settings.keys)
        changed = self.feeds.use(config) if settings != before else []
        if config.heartbeat != self.config.heartbeat:
            self._retired_heartbeats.append(self._heartbeat)
            self._heartbeat = Heartbeat(config.heartbeat)
        self.config = config
        for feed in self.feeds.values():
            feed.poller.use(config)
        self.alarms.use(config)
        self.life.use(config)
        self._change_dispatchers(connectors)
        self._guarded("restart", lambda: self.store.outbox.reset_deadlines(now=self.clock(), most=ATTEMPTS.most))
        self._wake(self.dispatchers)
        if self._scheduled and settings != before:
            self._guarded("follow", self._rounds.follow)
            for account in changed:
                # Only then: whoever reloads again and again must not spend the API's requests.
                self._guarded("replan", partial(self._rounds.renew, account))

    def tend(self) -> None:
        """What the main loop does again and again: it follows the clock, and puts right what lost its thread."""
        self._tended_at = time.monotonic()
        self.follow_clock()
        self.feeds.tidy()
        self._jobs.look()
        for dispatcher in self.dispatchers.values():
            dispatcher.tend()
        self.leaving = [leaving for leaving in self.leaving if not leaving.is_over(time.monotonic())]

    def stalled(self) -> list[str]:
        """What of this process does not turn any more, in sentences; nothing where all is well."""
        if self.stopping:
            return []
        now = time.monotonic()
        found = self._jobs.stalled()
        if self._tended_at is not None and now - self._tended_at > STANDS_STILL:
            still = format_duration(round(now - self._tended_at))
            found.append(f"The main loop has stood still for {still}. Restart the forwarder.")
        found += [
            f"The workers of {name} do not turn: the log says why. Restart the forwarder."
            for name, dispatcher in list(self.dispatchers.items())
            if not dispatcher.alive(now)
        ]
        return found

    def follow_clock(self) -> None:
        """Moves every deadline along where somebody set the machine's clock."""
        self._unfollowed += self.clock.follow()
        step = self._unfollowed
        if not step:
            return
        before = self.clock() - step
        if not self._guarded("follow_clock", lambda: self.store.outbox.shift_deadlines(step, until=before)):
            return
        self._unfollowed = 0.0
        self.started_at += step
        self.alarms.shift_deadlines(step)
        log.warning("clock_stepped", seconds=round(step, 1))
        for dispatcher in self.dispatchers.values():
            dispatcher.shift_deadlines(step)

    # Turns

    def poll(self, account: str = DEFAULT) -> PollResult:
        """One poll of an account's feed, now; raises SentrytexError where it cannot be read."""
        started, feed = time.monotonic(), self.feeds[account]
        client = feed.client
        try:
            result = feed.poller.poll()
        except SentrytexError as error:
            log.warning("poll_failed", reason=str(error), result=error.result, **told(account))
            self.listeners.poll_failed(error, time.monotonic() - started)
            raise
        # A poll that a reload overtook says nothing of the feed that is read from now on.
        feed.has_read |= client is feed.client
        self._polled(result, time.monotonic() - started)
        return result

    def sweep(self, account: str = DEFAULT) -> PollResult:
        """One sweep of an account's feed, now; raises SentrytexError where it cannot be read."""
        started = time.monotonic()
        result = self.feeds[account].poller.sweep()
        self._polled(result, time.monotonic() - started)
        return result

    def sweep_if_due(self, account: str = DEFAULT) -> None:
        """A sweep, where the last one is ``sweep_every`` ago or there was none; raises SentrytexError."""
        if self.feeds[account].until_sweep() <= 0:
            self.sweep(account)

    def read_stack(self, account: str = DEFAULT) -> frozenset[str]:
        """Reads a stack where that is due, and returns the vendors that joined it since it was last read."""
        poller = self.feeds[account].poller
        grown = poller.stack_grew()
        # What was routed without its vendors' categories goes where these lead.
        self._wake(poller.route_again())
        return grown

    def reclaim_expired(self) -> None:
        """Takes deliveries back whose worker did not report before its lease ended."""
        now = self.clock()
        due = first_looks(self.in_use().values(), now)
        reclaimed = self.store.outbox.reclaim_expired(now=now, due_at=due, all_claims=False)
        if reclaimed:
            log.warning("lease_ended", deliveries=reclaimed)
            self._wake(reclaimed)

    def deliver_due(self, patience: float, tick: threading.Event) -> int:
        """Waits until nothing more goes out, and returns how many became dead letters.

        A destination that takes nothing, or asks to wait, has ``patience`` seconds in all to take something.
        """
        dispatchers = list(self.dispatchers.values())
        # A delivery may owe a link to one that was looked at before it: only a second look shows that it is over.
        while not all(dispatcher.is_drained(patience - dispatcher.waited) for dispatcher in dispatchers * 2):
            if tick.wait(0.02):
                break
        return sum(dispatcher.dead for dispatcher in dispatchers) + self.store.outbox.set_aside.total()

    def beat(self) -> None:
        """Reports to the outside monitor that a poll was complete."""
        self._heartbeat.beat()
        _close(self._retired_heartbeats)

    def review_alarms(self) -> None:
        """Looks for troubles that begin, last or end without an event."""
        self.alarms.review()

    def prune(self) -> None:
        """Forgets what is older than ``keep``."""
        self.life.responses.forget()
        now = self.clock()
        keep = max(self.config.keep, self.config.sentrytex.look_back).total_seconds()
        look_back = (self.config.sentrytex.look_back + self.config.sentrytex.overlap).total_seconds()
        removed = 0
        while batch := self.store.retention.prune(
            seen_before=now - keep, published_before=now - look_back, overlap=look_back, accounts=tuple(self.feeds)
        ):
            removed += batch
        if removed:
            log.info("pruned", alerts=removed)

    def _polled(self, result: PollResult, seconds: float) -> None:
        self._wake(result.connectors)
        write = log.info if any(result.counts.values()) else log.debug
        counts = {**told(result.account), **result.counts}
        write("swept" if result.sweep else "polled", seconds=round(seconds, 3), read=result.read, **counts)
        self.listeners.polled(result, seconds)

    def _guarded(self, name: str, work: Callable[[], object]) -> bool:
        """Whether ``work`` went well. Where it did not, that is reported, and everything else goes on."""
        try:
            work()
        except StoreError as error:
            if not self._stopped.is_set():
                log.error("store_failed", job=name, reason=str(error))  # noqa: TRY400 - the sentence says it all
                self.listeners.store_failed(str(error))
        except Exception:
            if not self._stopped.is_set():
                log.exception("job_failed", job=name)
        else:
            return True
        return False

    # Parts

    def _source_of(self, account: str) -> FeedClient:
        return self.feeds[account].client

    def in_use(self) -> dict[str, Connector[Any]]:
        """The connectors of the config of now, by name."""
        return {name: dispatcher.connector for name, dispatcher in self.dispatchers.items()}

    def _wanting(self) -> list[str]:
        return [connector.name for connector in self.in_use().values() if connector.wants_evidence]

    def _change_dispatchers(self, connectors: list[Connector[Any]]) -> None:
        """Those of ``connectors`` are there, and no others: each that is new takes over at once from its like."""
        followers = [connector.name for connector in connectors if connector.follows_links]
        before, after = self.dispatchers, {}
        for connector in connectors:
            known = before.get(connector.name)
            goes_on = known is not None and known.connector is connector
            after[connector.name] = known if known and goes_on else self._make_dispatcher(connector, followers)
        leaving = [dispatcher for dispatcher in before.values() if dispatcher is not after.get(dispatcher.name)]
        self.leaving += [Leaving(dispatcher) for dispatcher in leaving]
        for dispatcher in leaving:
            dispatcher.stop()
        self.dispatchers = after
        for name, dispatcher in after.items():
            if dispatcher is before.get(name):
                dispatcher.followers = followers
                dispatcher.recall()
            else:
                # Not when it is made: a reload that is refused must leave what the connector of today keeps as it is.
                give_memory(dispatcher.connector, self.store.memory)
                dispatcher.start(before.get(name))
        self._jobs.follow(connectors)

    def _make_dispatcher(self, connector: Connector[Any], followers: list[str]) -> Dispatcher:
        return Dispatcher(
            connector,
            self.store,
            now=self.clock,
            random=self._rng,
            listener=self.listeners,
            followers=followers,
            wake=self._wake,
            redact=self.redactor,
            owners=partial(self._owners, connector.config.type),
            links_after=self._links_after,
            page_of=self._page_of,
        )

    def _page_of(self, alert_id: str) -> str | None:
        return self.config.web.page_of(alert_id)  # by the config of then: a reload changes it

    def _owners(self, kind: str, delivery: Delivery) -> tuple[BaseModel, ...]:
        """Who must act, as the config of now says."""
        return owners_of(self.config.owners, kind, delivery)

    def _stop_dispatchers(self, timeout: float) -> bool:
        dispatchers = [*self.dispatchers.values(), *(leaving.dispatcher for leaving in self.leaving)]
        for dispatcher in dispatchers:
            dispatcher.stop()
        end = time.monotonic() + timeout
        # Each is asked, even after one that did not end: all must learn that the time is over.
        ended = [dispatcher.join(max(end - time.monotonic(), 0.0)) for dispatcher in dispatchers]
        return all(ended)

    def _wake(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.dispatchers:
                self.dispatchers[name].wake()


def _close(retired: list[Heartbeat]) -> None:
    with suppress(IndexError):
        while True:
            retired.pop().close()
