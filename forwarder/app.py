"""Puts the parts together: the poller, the dispatchers and the jobs, started, reloaded and stopped, by their roles."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterable
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
from forwarder.delivery.dispatcher import LINKS_AFTER, Dispatcher
from forwarder.delivery.dispatchers import Dispatchers, Means
from forwarder.delivery.leaving import Leaving, Pauses
from forwarder.delivery.leftovers import Leftovers
from forwarder.duties import JOBS_END, REVIEW, WAKE, Duties
from forwarder.events import Listeners
from forwarder.feed.account import Feeds
from forwarder.feed.client import FeedClient, SentrytexError, Unavailable
from forwarder.feed.evidence import EvidenceReader
from forwarder.heartbeat import Heartbeat
from forwarder.jobs import Jobs
from forwarder.lifecycle import Life
from forwarder.lifecycle.owners import owners_of
from forwarder.logs import Redactor, get_logger
from forwarder.replicas.holder import Holder
from forwarder.replicas.roles import UPKEEP, of_connector, of_feed
from forwarder.rounds import told
from forwarder.scheduler import Scheduler
from forwarder.store import LeaseLost, Store, StoreError
from forwarder.store.records import PollResult

log = get_logger(__name__)

STOP_SECONDS: Final = 25.0
"""How long sends under way may take after SIGTERM: Kubernetes and systemd kill later than that."""
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
        self.holder = Holder(store.engine.membership)
        self.alarms = Alarms(
            store,
            config,
            now=self.clock,
            wake=self.wake,
            holds=partial(self.holds, UPKEEP),
            pass_on=partial(self.holder.announce, REVIEW),
            unheld=self.holder.unheld,
        )
        self.listeners.add(self.alarms)
        self.started_at = self.alarms.started_at
        self.listeners.add(Pauses(self))
        means = Means(
            now=self.clock,
            random=rng,
            listener=self.listeners,
            redact=self.redactor,
            owners=self._owners,
            links_after=links_after,
            page_of=self._page_of,
            guards=self.holder.guard,
        )
        self._delivering = Dispatchers(store, means)
        self._leftovers = Leftovers(store, shared=self.holder.shares, now=self.clock, connectors=self.in_use)
        self._heartbeat = Heartbeat(config.heartbeat)
        self.feeds = Feeds(config, store, now=self.clock)
        self.life = Life(
            store,
            config,
            now=self.clock,
            connectors=self.in_use,
            wake=self.wake,
            listener=self.listeners,
            redact=self.redactor,
        )
        self.evidence = EvidenceReader(
            store,
            self._source_of,
            self._wanting,
            now=self.clock,
            random=rng,
            reads=self._reads,
            accounts=self._accounts,
        )
        self._retired_heartbeats: list[Heartbeat] = []
        self._tended_at: float | None = None
        self._stopped = threading.Event()
        uptime = self.clock.uptime
        self._jobs = Jobs(self, Scheduler(self._guarded, now=uptime), now=uptime, rng=rng)
        self._duties = Duties(
            store,
            lambda: self.config,
            delivering=self._delivering,
            leftovers=self._leftovers,
            jobs=self._jobs,
            feeds=self.feeds,
            life=self.life,
            now=self.clock,
            shared=self.holder.shares,
        )

    # The life of it

    def start(self, *, schedule: bool = True) -> None:
        """Takes over what an earlier process left, and begins to deliver; to poll too, where ``schedule`` is set.

        Of several replicas each does so for its share.
        """
        if why := self.store.accounts.strangers(self.feeds):
            raise StoreError(why)
        self._duties.schedules = schedule
        self._delivering.use(self._delivering.prepare(self.config), ())
        self.holder.start(self._duties)

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Lets what is being sent end; whether all of it did. A poll that hangs is left alone, and finds all closed."""
        end = time.monotonic() + timeout
        self._stopped.set()
        self._duties.end()
        self.holder.stop()
        # Each role as soon as what is under way for it has ended: another replica takes it at once.
        self.holder.give_all_up(timeout)
        ended = self._delivering.stop(max(end - time.monotonic(), 0.0))
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
        before, settings = self.config.sentrytex.keys.keys(), config.sentrytex.keys
        if before != settings.keys() and (why := self.store.accounts.strangers(settings)):
            raise ReloadRefused(why)
        with self._duties.changing:
            self._reload(config)

    def _reload(self, config: Config) -> None:
        self.redactor.update(secrets_of(config))
        # All that another package's code may refuse comes first, while nothing is changed.
        connectors = self._delivering.prepare(config)
        before, settings = self.config.sentrytex, config.sentrytex
        if before.keys.keys() != settings.keys.keys():
            self.store.accounts.open(settings.keys)
        changed = self.feeds.use(config) if settings != before else []
        if config.heartbeat != self.config.heartbeat:
            self._retired_heartbeats.append(self._heartbeat)
            self._heartbeat = Heartbeat(config.heartbeat)
        self.config = config
        for feed in self.feeds.values():
            feed.poller.use(config)
        for part in (self.alarms, self.life):
            part.use(config)
        self.holder.follow()
        names = [connector.name for connector in connectors if self.holds(of_connector(connector.name))]
        self._delivering.use(connectors, names)
        self._jobs.follow(connector for connector in connectors if connector.name in names)
        self._guarded("restart", lambda: self._leftovers.reset_deadlines(names))
        self._delivering.wake(self.dispatchers)
        if settings != before:
            # Only then: whoever reloads again and again must not spend the API's requests.
            self._guarded("reread", partial(self._jobs.reread, changed))

    def tend(self) -> None:
        """What the main loop does again and again: it follows the clock, and puts right what lost its thread."""
        self._tended_at = time.monotonic()
        self.follow_clock()
        self.feeds.tidy()
        self._jobs.look()
        with self._duties.changing:
            self._delivering.tend()

    def stalled(self) -> list[str]:
        """What of this process does not turn any more, in sentences; nothing where all is well."""
        if self.stopping:
            return []
        now = time.monotonic()
        found = self._jobs.stalled()
        if self._tended_at is not None and now - self._tended_at > STANDS_STILL:
            still = format_duration(round(now - self._tended_at))
            found.append(f"The main loop has stood still for {still}. Restart the forwarder.")
        if roles := self.holder.stalled():
            found.append(roles)
        return found + self._delivering.stalled()

    def follow_clock(self) -> None:
        """Moves every deadline along where somebody set the machine's clock."""
        if step := self.clock.follow(self._move):
            log.warning("clock_stepped", seconds=round(step, 1))

    def _move(self, step: float) -> bool:
        before = self.clock() - step
        # What other replicas wrote by their clocks is right as it is.
        if self.holder.alone and not self._guarded(
            "follow_clock", lambda: self.store.outbox.shift_deadlines(step, until=before)
        ):
            return False
        self.started_at += step
        self.alarms.shift_deadlines(step)
        self.life.held.retime()
        self._delivering.shift_deadlines(step)
        return True

    # Roles

    def holds(self, role: str) -> bool:
        """Whether something may be begun for ``role`` here."""
        return self.holder.holds(role)

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
        self.wake(poller.route_again())
        return grown

    def reclaim_expired(self) -> None:
        """Takes deliveries back whose worker did not report before its lease ended."""
        self.wake(self._leftovers.reclaim_expired(list(self.dispatchers), upkeep=self.holds(UPKEEP)))

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

    @property
    def has_heartbeat(self) -> bool:
        """Whether there is anything for ``beat`` to do."""
        return self.config.heartbeat.url is not None or bool(self._retired_heartbeats)

    def review_alarms(self) -> None:
        """Looks for troubles that begin, last or end without an event."""
        self.alarms.review()

    def prune(self) -> None:
        """Forgets what is older than ``keep``."""
        self.life.forget(self.config)

    def _polled(self, result: PollResult, seconds: float) -> None:
        self.wake(result.connectors)
        write = log.info if any(result.counts.values()) else log.debug
        counts = {**told(result.account), **result.counts}
        write("swept" if result.sweep else "polled", seconds=round(seconds, 3), read=result.read, **counts)
        self.listeners.polled(result, seconds)

    def _guarded(self, name: str, work: Callable[[], object]) -> bool:
        """Whether ``work`` went well. Where it did not, that is reported, and everything else goes on."""
        try:
            work()
        except LeaseLost as lost:
            log.info("role_is_another_s", job=name, reason=str(lost))
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
        if (feed := self.feeds.get(account)) is None:
            raise Unavailable("A reload took the account away.")
        return feed.client

    def _accounts(self) -> Collection[str]:
        return tuple(self.feeds)

    def _reads(self, account: str) -> bool:
        """Whether this process reads an account's feed."""
        return self.holds(of_feed(account))

    @property
    def dispatchers(self) -> dict[str, Dispatcher]:
        """What delivers here, by the connector's name."""
        return self._delivering.running

    @property
    def leaving(self) -> list[Leaving]:
        """Dispatchers that were replaced, removed or laid down, while they still send."""
        return self._delivering.leaving

    def in_use(self) -> dict[str, Connector[Any]]:
        """The connectors of the config of now, by name, whichever replica has them."""
        return self._delivering.in_use()

    def wake(self, names: Iterable[str]) -> None:
        """Tells connectors, here or at another replica, that they are owed something."""
        if away := self._delivering.wake(names):
            self.holder.announce(*(f"{WAKE}{name}" for name in away))

    def _wanting(self) -> list[str]:
        if not self.config.sentrytex.evidence:
            return []
        return [connector.name for connector in self.in_use().values() if connector.wants_evidence]

    def _page_of(self, alert_id: str) -> str | None:
        return self.config.web.page_of(alert_id)  # by the config of then: a reload changes it

    def _owners(self, kind: str, delivery: Delivery) -> tuple[BaseModel, ...]:
        """Who must act, as the config of now says."""
        return owners_of(self.config.owners, kind, delivery)


def _close(retired: list[Heartbeat]) -> None:
    with suppress(IndexError):
        while True:
            retired.pop().close()
