"""One turn of reading the feed: fetch, route, commit.

The feed cannot be paged: it shows the newest alerts from a lower bound on, at most 200. How that is read without losing
any is in docs/architecture.md; one reading is in ``reader``, what is made of it is here.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from forwarder import routing
from forwarder.alert import Alert, Vendors
from forwarder.common.accounts import DEFAULT
from forwarder.common.clock import Now, instant, still
from forwarder.config import Config
from forwarder.feed.client import KeyRefused, SentrytexError, Share
from forwarder.feed.reader import FeedSnapshot, Source, Stretch, Worth, read
from forwarder.feed.router import Router
from forwarder.feed.stack import StackReader
from forwarder.lifecycle.mutes import standing
from forwarder.logs import get_logger
from forwarder.store import Store
from forwarder.store.errors import Overtaken
from forwarder.store.mute_records import MuteRow
from forwarder.store.records import Feed, Gap, PollResult, RoutedAlert

log = get_logger(__name__)

T = TypeVar("T")

OVERTAKEN_AT_MOST: Final = 20
"""How often a page is routed anew because the feed of another account wrote one of its alerts first."""
_ONE_PAGE: Final = threading.Lock()
"""Held by whoever writes a page by which alerts are routed: of many that show the same ones, all but one are overtaken.
While each of those is routed anew, no other feed of this process overtakes it once more."""
CLOSE: Final = timedelta(minutes=1)
"""Differences of two clocks below this are the network's, and how exactly times are told."""


class Poller:
    """Reads the feed into the store. One turn at a time, whichever thread asks."""

    def __init__(self, config: Config, source: Source, store: Store, *, now: Now, account: str = DEFAULT) -> None:
        self.config, self.account = config, account
        self._source = self._next_source = source
        self._store, self._feed, self._now = store, store.feed_of(account), now
        self._under_way = threading.Lock()
        self._ahead = 0.0
        self._shown: frozenset[datetime] | None = None
        self._stack = StackReader(store.vendors_of(account), now=now)

    def read_from(self, source: Source) -> None:
        """Reads from another client from the next turn on. A turn under way goes on, and is not waited for."""
        self._next_source = source
        self._stack.renew()

    @property
    def is_busy(self) -> bool:
        """Whether a turn is under way."""
        return self._under_way.locked()

    def use(self, config: Config) -> None:
        """Goes by another config from now on."""
        self.config = config

    def begin_anew(self) -> None:
        """Another process may have read the feed since: what was shown here last says nothing any more."""
        self._shown = None
        self._stack.renew()

    def poll(self) -> PollResult:
        """Reads what is new since the cursor; raises SentrytexError where the feed cannot be read."""
        with self._turn():
            feed = self._begin()
            stretch = self._since_cursor(feed)
            try:
                snapshot = self._read(stretch, Share.POLLS, worth=lambda alerts: bool(self._feed.unseen(alerts)))
            except SentrytexError as error:
                error.account = self.account
                self._feed.poll_failed(str(error), key_refused=isinstance(error, KeyRefused))
                raise
            if feed.floor_is_local and feed.floor is not None:
                # The feed answers without telling its time: ours is all there is.
                self._feed.correct_floor(feed.floor)
            result = self._commit(snapshot, stretch.needed, undated_are_past=self._starts_now(feed))
            self._shown = snapshot.shown
            return result

    def sweep(self) -> PollResult:
        """Reads ``look_back`` again for alerts that came late or changed; raises SentrytexError."""
        with self._turn():
            floor = instant(self._begin().floor or 0.0)
            try:
                since, snapshot = self._look_back(floor)
            except SentrytexError as error:
                error.account = self.account
                self._feed.sweep_failed(str(error))
                raise
            reach = max(snapshot.cut.values(), default=since)
            result = self._settled(
                lambda: self._route(snapshot.alerts),
                lambda routed: self._feed.commit_page(
                    routed,
                    now=self._now(),
                    shown=snapshot.alerts,
                    set_aside=snapshot.set_aside,
                    connectors=self.config.connectors,
                    swept=True,
                    reach=reach.timestamp(),
                    short={severity: oldest.timestamp() for severity, oldest in snapshot.cut.items()},
                ),
            )
            return replace(result, account=self.account, sweep=True, read=len(snapshot.alerts), reach=reach)

    def _look_back(self, floor: datetime) -> tuple[datetime, FeedSnapshot]:
        since = self._server_now() - self.config.sentrytex.look_back
        snapshot = self._read_back(since, floor)
        earlier = self._server_now() - self.config.sentrytex.look_back
        if earlier < since - CLOSE:
            # Our clock was set since the last answer: it asked for less than it should.
            since, snapshot = earlier, self._read_back(earlier, floor)
        return since, snapshot

    def _read_back(self, since: datetime, floor: datetime) -> FeedSnapshot:
        # What is from before the floor is owed to nobody, so it need not be reached.
        needed = max(since, floor)
        stretch = Stretch(since=since, needed=needed, known=self._witness(since, needed))
        return self._read(
            stretch,
            Share.SWEEPS,
            worth=lambda alerts: any(alert.dated and alert.published_by >= needed for alert in alerts),
        )

    def stack_grew(self) -> frozenset[str]:
        """Vendors that joined the stack since it was last read, which it is now and then: each call may ask."""
        return self._stack.grew(self._next_source)

    def route_again(self) -> frozenset[str]:
        """Routes anew what was routed before the categories of its vendors were known, once the stack was read.

        It is owed what that knowledge brings, and nothing else; returns the connectors that are owed something.
        """
        if not self._stack.settled:
            return frozenset()
        with self._turn():
            settled, self._stack.settled = self._stack.settled, frozenset()
            vendors = self._store.vendors.known()
            mutes = standing(self.config, self._store, self._now())
            router = Router(self.account, self.config, self._feed, mutes=mutes, vendors=vendors, now=self._now())
            return self._settled(
                lambda: [router.again(*one) for one in self._feed.uncategorized(settled)],
                lambda routed: self._feed.commit_again(
                    routed, settled=settled, now=self._now(), connectors=self.config.connectors
                ),
            )

    # Where a turn begins

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One turn at a time, and all of it from one client: two could show different accounts."""
        with self._under_way:
            if self._source is not self._next_source:
                self._source, self._shown = self._next_source, None
            yield

    def _begin(self) -> Feed:
        """How far the feed was read. At the first start the floor is kept before anything is asked.

        It is by our own clock at first; it moves as soon as any answer, a refusal too, tells the server's time.
        """
        feed = self._feed.state()
        if feed.floor is None:
            floor, is_local = self._floor()
            self._feed.start(floor, is_local=is_local, now=self._now())
            feed = self._feed.state()
        if feed.floor_is_local and feed.floor is not None:
            server_time = self._server_time()
            if server_time is not None:
                self._note_time(server_time)
                # No start lies ahead of now: a clock that was ahead, and is right since a restart, loses nothing more.
                floor = min(feed.floor + self._ahead, server_time.timestamp())
                self._feed.correct_floor(math.floor(floor))
                feed = self._feed.state()
        return feed

    def _floor(self) -> tuple[float, bool]:
        """The floor of a first start right now, and whether it is by our own clock."""
        now, start = self._now(), self.config.sentrytex.start_from
        if isinstance(start, datetime) and start.timestamp() < now:
            return start.timestamp(), False
        back = start if isinstance(start, timedelta) else timedelta()
        # The API's times may have no fractions: what was published within this second belongs to the start.
        return math.floor(now - back.total_seconds()), True

    def _server_time(self) -> datetime | None:
        try:
            return self._stack.read(self._source, share=Share.POLLS)
        except SentrytexError as error:
            return error.server_time

    def _note_time(self, server_time: datetime) -> None:
        self._ahead = server_time.timestamp() - self._now()

    def _server_now(self) -> datetime:
        """The server's clock counts, not ours, as far as it is known."""
        return instant(self._now() + self._ahead)

    def _since_cursor(self, feed: Feed) -> Stretch:
        if feed.cursor is None:
            # Further back than is owed, so that what is from before the floor is known as such.
            floor = instant(feed.floor or 0.0)
            since = min(floor, self._server_now() - self.config.sentrytex.look_back)
            return Stretch(since=since, needed=floor, known=None)
        cursor = instant(feed.cursor)
        since = cursor - self.config.sentrytex.overlap
        return Stretch(since=since, needed=cursor, known=self._witness(since, cursor, self._shown))

    def _witness(self, since: datetime, until: datetime, shown: frozenset[datetime] | None = None) -> datetime | None:
        """By which alert an answer shows how far back it reaches; among those ``shown`` last, if any reading was."""
        if shown is None:
            known = self._feed.witness(since.timestamp(), until.timestamp())
            return None if known is None else instant(known)
        older = max((time for time in shown if time < since), default=None)
        return older or min((time for time in shown if time <= until), default=None)

    # What is made of it

    def _read(self, stretch: Stretch, share: Share, worth: Worth) -> FeedSnapshot:
        snapshot = read(self._source, stretch, share=share, worth=worth)
        if snapshot.until is not None:
            self._note_time(snapshot.until)
        return snapshot

    def _starts_now(self, feed: Feed) -> bool:
        """Whether this is the first reading, of a start that owes nothing of the past, made at the time of that start.

        What it shows without a date was there before, so it is known. In any other reading it may be new.
        """
        if feed.cursor is not None or feed.floor is None:
            return False
        return self._server_now() - instant(feed.floor) < CLOSE

    def _route(self, alerts: Sequence[Alert], *, undated_are_past: bool = False) -> list[RoutedAlert]:
        """Where each unseen alert goes. What is from before the floor is known from now on, and goes nowhere."""
        arrivals = self._feed.arrivals(alerts, undated_are_past=undated_are_past)
        now = self._now()
        mutes = standing(self.config, self._store, now) if arrivals else []
        owed = [one for one in arrivals if one.owed or not one.past]
        forms = [form for one in owed for form in (one.alert, one.view) if form is not None]
        vendors, unknown = self._vendors_of(forms, mutes)
        router = Router(self.account, self.config, self._feed, mutes=mutes, vendors=vendors, unknown=unknown, now=now)
        return router.route(arrivals)

    def _settled(self, route: Callable[[], list[RoutedAlert]], commit: Callable[[list[RoutedAlert]], T]) -> T:
        """What ``commit`` makes of what ``route`` finds; both again where another account's feed overtook it."""
        routed = route()
        if all(item.leaves_it for item in routed):
            # The usual page: it overtakes nobody.
            with suppress(Overtaken):
                return self._written(routed, commit)
            routed = route()
        with _ONE_PAGE:
            for _ in range(OVERTAKEN_AT_MOST):
                try:
                    return self._written(routed, commit)
                except Overtaken:
                    log.debug("overtaken", account=self.account)
                    routed = route()
            return self._written(routed, commit)

    def _written(self, routed: list[RoutedAlert], commit: Callable[[list[RoutedAlert]], T]) -> T:
        # Routing may ask the API for vendors, for which a step of the clock must not wait. A time of day until which an
        # alert is held is the same after one, and is judged anew then.
        with still(self._now):
            return commit(routed)

    def _vendors_of(self, alerts: Sequence[Alert], mutes: Sequence[MuteRow]) -> tuple[Vendors, frozenset[str]]:
        """What routes and mutes must know of the vendors of ``alerts``, and those of whom it is not known yet."""
        if not alerts:
            return {}, frozenset()
        conditions = [*self.config.routes, *(mute.rule for mute in mutes if mute.rule)]
        if not routing.ask_for_categories(conditions):
            return {}, frozenset()
        return self._stack.vendors_of(self._source, alerts)

    def _commit(self, snapshot: FeedSnapshot, cursor: datetime, *, undated_are_past: bool) -> PollResult:
        newest = snapshot.newest or cursor
        # A date in the future must not drag the cursor along, for what comes before it would then stay unread.
        ahead = min(newest, snapshot.until or instant(self._now()))
        result = self._settled(
            lambda: self._route(snapshot.alerts, undated_are_past=undated_are_past),
            lambda routed: self._feed.commit_page(
                routed,
                now=self._now(),
                shown=snapshot.alerts,
                connectors=self.config.connectors,
                cursor=max(cursor, ahead).timestamp(),
                gaps=[
                    Gap(severity=severity, since=cursor.timestamp(), until=max(oldest, cursor).timestamp())
                    for severity, oldest in snapshot.cut.items()
                ],
                set_aside=snapshot.set_aside,
            ),
        )
        return replace(result, account=self.account, read=len(snapshot.alerts))
