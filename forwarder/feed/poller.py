"""One turn of reading the feed: fetch, route, commit.

The feed cannot be paged: it shows at most 200 alerts, the newest, from a lower bound on. How that is read without
losing any is in docs/architecture.md; here it is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from forwarder import routing
from forwarder.alert import Alert, SetAside, Severity
from forwarder.common.clock import Now, instant
from forwarder.config import Config
from forwarder.feed.client import KEPT_FOR_POLLS, KeyRefused, Page, SentrytexError, Stack
from forwarder.logs import get_logger
from forwarder.store import Store
from forwarder.store.records import Gap, PollResult, RoutedAlert

log = get_logger(__name__)


class Source(Protocol):
    """Where alerts come from; ``forwarder.feed.client.Sentrytex`` is the one there is. All raise SentrytexError."""

    def alerts(self, since: datetime | None, severity: Severity | None = None, *, keep: int = 0) -> Page: ...

    def stack(self, *, keep: int = KEPT_FOR_POLLS) -> Stack: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedSnapshot:
    """What several pages showed together: each alert once, what is not a valid alert, and what may have been cut off.

    ``until`` is how far the cursor may go at most: the server's time, None where no answer had it. ``cut`` has, for
    each severity whose page may have been cut short, the oldest time in hand.
    """

    alerts: tuple[Alert, ...]
    set_aside: tuple[SetAside, ...]
    until: datetime | None
    cut: Mapping[Severity, datetime]

    @property
    def newest(self) -> datetime | None:
        return max((alert.published_at for alert in self.alerts), default=None)


class Poller:
    """Reads the feed into the store. One turn at a time, whichever thread asks."""

    def __init__(self, config: Config, source: Source, store: Store, *, now: Now) -> None:
        self.config = config
        self._source, self._store, self._now = source, store, now
        self._turn = threading.Lock()
        self._stack_reported = False

    def read_from(self, source: Source) -> None:
        """Reads from another client from the next turn on."""
        with self._turn:
            self._source = source

    def use(self, config: Config) -> None:
        """Goes by another config from now on."""
        self.config = config

    def poll(self) -> PollResult:
        """Reads what is new since the cursor; raises SentrytexError where the feed cannot be read."""
        with self._turn:
            feed = self._store.feed.state()
            try:
                if feed.cursor is None:
                    cursor, since = self._start()
                    snapshot = self._read(since, cursor, always_split=True)
                else:
                    cursor = instant(feed.cursor)
                    snapshot = self._read(cursor - self.config.sentrytex.overlap, cursor)
            except SentrytexError as error:
                self._store.feed.poll_failed(str(error), key_refused=isinstance(error, KeyRefused))
                raise
            return self._commit(snapshot, cursor, first=feed.cursor is None)

    def sweep(self) -> PollResult:
        """Reads ``look_back`` again for alerts that came late or changed; raises SentrytexError."""
        with self._turn:
            now = self._now()
            since = instant(now) - self.config.sentrytex.look_back
            snapshot = self._read(since, since, keep=KEPT_FOR_POLLS, always_split=True)
            reach = max(snapshot.cut.values(), default=since)
            result = self._store.feed.commit_page(
                self._route(snapshot.alerts),
                now=now,
                set_aside=snapshot.set_aside,
                connectors=self.config.connectors,
                swept=True,
                reach=reach.timestamp(),
            )
            return replace(result, sweep=True, read=len(snapshot.alerts), reach=reach)

    def stack_grew(self) -> frozenset[str]:
        """Vendors that joined the stack since it was last read; a stack that cannot be read is reported once."""
        try:
            stack = self._source.stack()
        except SentrytexError as error:
            if not self._stack_reported:
                log.warning("stack_unread", reason=str(error))
                self._stack_reported = True
            return frozenset()
        self._stack_reported = False
        vendors = frozenset(stack.vendors)
        known = self._store.feed.state().stack
        if vendors != known:
            self._store.feed.remember_stack(vendors)
        return vendors - known if known is not None else frozenset()

    def _start(self) -> tuple[datetime, datetime]:
        """Where the very first cursor stands, and from where on the first poll reads.

        It reads further back than it sends: what a sweep could bring later must be known as of before the start.
        """
        ours, theirs, start = instant(self._now()), self._server_time(), self.config.sentrytex.start_from
        if isinstance(start, datetime):
            # A cursor in the future would leave unread what is published until then.
            cursor = min(start, theirs)
        else:
            cursor = theirs - (timedelta() if start == "now" else start)
        return cursor, min(cursor, min(ours, theirs) - self.config.sentrytex.look_back)

    def _server_time(self) -> datetime:
        """The server's clock counts, not ours, and any of its answers has it; ours where none does."""
        try:
            server_time = self._source.stack(keep=0).server_time
        except SentrytexError:
            server_time = None
        return server_time or instant(self._now())

    def _read(self, since: datetime, cursor: datetime, *, keep: int = 0, always_split: bool = False) -> FeedSnapshot:
        """What the API shows from ``since`` on, split by severity where one page may not hold all from ``cursor``."""
        page = self._source.alerts(since, keep=keep)
        if not page.full or (not always_split and _whole(page, cursor) and not self._late(page, cursor)):
            return _snapshot([page], {})
        parts = _at_once({severity: partial(self._source.alerts, since, severity, keep=keep) for severity in Severity})
        cut = {
            severity: part.oldest or part.server_time or cursor
            for severity, part in parts.items()
            if not _whole(part, cursor)
        }
        if not _whole(page, cursor) and not all(alert.severity_known for alert in page.alerts):
            # No request asks for a severity that is not known: what the whole page cut off of it stays unseen.
            cut[Severity.CRITICAL] = max(cut.get(Severity.CRITICAL, cursor), page.oldest or cursor)
        return _snapshot([page, *parts.values()], cut)

    def _late(self, page: Page, cursor: datetime) -> bool:
        """Whether the page shows something new behind the cursor: there may be more of it than the page holds."""
        return bool(self._store.feed.unseen([alert for alert in page.alerts if alert.published_at < cursor]))

    def _route(self, alerts: Sequence[Alert], start: datetime | None = None) -> list[RoutedAlert]:
        """Where each unseen alert goes. What was published before ``start`` is known from now on, and goes nowhere."""
        routed = []
        for alert, known in self._store.feed.unseen(alerts):
            if start is not None and alert.published_at < start:
                routed.append(RoutedAlert(alert=alert, known=known, decision=None, targets={}))
                continue
            decision = routing.targets(alert, self.config.routes)
            targets = dict(decision.targets)
            if known is not None:
                # Only what the change itself brought: a route that was added since must not send the past.
                for connector in routing.targets(known, self.config.routes).targets:
                    targets.pop(connector, None)
            routed.append(RoutedAlert(alert=alert, known=known, decision=decision, targets=targets))
        return routed

    def _commit(self, snapshot: FeedSnapshot, cursor: datetime, *, first: bool) -> PollResult:
        newest = snapshot.newest or cursor
        # A date in the future must not drag the cursor along, for what comes before it would then stay unread.
        ahead = min(newest, snapshot.until or instant(self._now()))
        result = self._store.feed.commit_page(
            self._route(snapshot.alerts, start=cursor if first else None),
            now=self._now(),
            connectors=self.config.connectors,
            cursor=max(cursor, ahead).timestamp(),
            gaps=[
                Gap(severity=severity, since=cursor.timestamp(), until=max(oldest, cursor).timestamp())
                for severity, oldest in snapshot.cut.items()
            ],
            set_aside=snapshot.set_aside,
        )
        return replace(result, read=len(snapshot.alerts))


def _at_once(questions: Mapping[Severity, Callable[[], Page]]) -> dict[Severity, Page]:
    """The answers to several questions asked together, for a burst is no time to wait; raises the first error.

    In threads that the end of the process does not wait for: a feed can hang for long.
    """
    answers: dict[Severity, Page] = {}
    errors: list[Exception] = []

    def ask(severity: Severity) -> None:
        try:
            answers[severity] = questions[severity]()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(severity,), name="feed", daemon=True) for severity in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return {severity: answers[severity] for severity in questions}


def _whole(page: Page, cursor: datetime) -> bool:
    """Whether the page shows all that was published from ``cursor`` on."""
    return not page.full or (page.oldest is not None and page.oldest < cursor)


def _snapshot(pages: Iterable[Page], cut: Mapping[Severity, datetime]) -> FeedSnapshot:
    alerts: dict[str, Alert] = {}
    aside: dict[str, SetAside] = {}
    times = []
    for page in pages:
        for alert in page.alerts:
            alerts.setdefault(alert.id, alert)
        for item in page.set_aside:
            aside.setdefault(item.digest, item)
        if page.server_time is not None:
            times.append(page.server_time)
    return FeedSnapshot(
        alerts=tuple(alerts.values()), set_aside=tuple(aside.values()), until=min(times, default=None), cut=cut
    )
