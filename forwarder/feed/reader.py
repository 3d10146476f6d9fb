"""Reading all that was published since a time from a feed that cannot be paged, and knowing what it did not show.

No number says that an answer is whole: how many alerts it holds at most is the server's to decide. An answer proves
itself by showing something older than what was asked about. So a little more of the past is asked for than is needed,
and an answer that proves nothing is asked for again by severity.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from forwarder.alert import Alert, SetAside, Severity
from forwarder.feed.client import PAGE, Page, Share, Stack

DOUBTED: Final = 10
"""Items from which on an answer that proves nothing is doubted: no server cuts a page to fewer."""
ROUND: Final = 25
"""A cap is a multiple of this, or a power of two."""
FURTHER: Final = timedelta(days=30)
"""How much further back a severity is asked for, so that it shows something older than what is needed."""


class Source(Protocol):
    """Where alerts come from; ``forwarder.feed.client.FeedClient`` is the one there is. All raise SentrytexError."""

    def alerts(
        self, since: datetime | None, severity: Severity | None = None, *, share: Share = Share.POLLS
    ) -> Page: ...

    def stack(self, *, share: Share = Share.STACK) -> Stack: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """What is to be read: from ``since`` on, of which all from ``needed`` on must be had, or be known as missing.

    ``known`` is when an alert was published that the feed should still show, from before ``since`` if there is one, and
    not from after ``needed``; None where none is known.
    """

    since: datetime
    needed: datetime
    known: datetime | None

    @property
    def asked(self) -> datetime:
        """From where on the feed is asked: an answer that shows ``known`` hides nothing."""
        return self.since if self.known is None else min(self.since, self.known)


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedSnapshot:
    """What several pages showed together: each alert once, what is not a valid alert, and what may have been cut off.

    ``until`` is how far the cursor may go at most: the server's time, None where no answer had it. ``cut`` has, for
    each severity whose page may have been cut short, the oldest time in hand. ``shown`` are the times of publication
    of all that was shown and says its moment, also of what is older than what was asked about.
    """

    alerts: tuple[Alert, ...]
    set_aside: tuple[SetAside, ...]
    until: datetime | None
    cut: Mapping[Severity, datetime]
    shown: frozenset[datetime]

    @property
    def newest(self) -> datetime | None:
        """When the newest was published, of those whose date the API said."""
        return max((alert.published_at for alert in self.alerts if alert.dated), default=None)


Worth = Callable[[Sequence[Alert]], bool]
"""Whether alerts that a doubtful page shows are a reason to ask again: there may be more like them."""


def read(source: Source, stretch: Stretch, *, share: Share, worth: Worth) -> FeedSnapshot:
    """What the API shows of a stretch, by severity where one page may not hold all; raises SentrytexError."""
    page = source.alerts(stretch.asked, share=share)
    if not _ask_again(page, stretch, worth):
        return _snapshot([page], stretch, {})
    parts = _at_once(
        {severity: partial(source.alerts, stretch.since - FURTHER, severity, share=share) for severity in Severity}
    )
    return _snapshot([page, *parts.values()], stretch, _cut(page, parts, stretch))


def _ask_again(page: Page, stretch: Stretch, worth: Worth) -> bool:
    missing = _missing(page, stretch)
    if page.reaches_behind(stretch.since) or not (missing or page.size >= DOUBTED):
        return False
    if page.reaches_behind(stretch.needed):
        return worth([alert for alert in page.alerts if alert.published_at < stretch.needed])
    return missing or page.size >= PAGE or worth(page.alerts)


def _missing(page: Page, stretch: Stretch) -> bool:
    """Whether the page hides an alert that the feed showed before: it was cut short, or that one was withdrawn."""
    return stretch.known is not None and (page.oldest is None or page.oldest > stretch.known)


def _cut(page: Page, parts: Mapping[Severity, Page], stretch: Stretch) -> dict[Severity, datetime]:
    """For each severity that may have been cut short, the oldest time in hand."""
    if page.reaches_behind(stretch.needed):
        return {}
    missing, oldest = _missing(page, stretch), page.oldest
    more = oldest is not None and any(part.reaches_behind(oldest) for part in parts.values())
    # Within the same stretch a severity showed what the whole page did not: that holds as many as there can be.
    proven = oldest is not None and any(
        alert.exact and stretch.asked <= alert.published_at < oldest for part in parts.values() for alert in part.alerts
    )
    largest = max(page.size, *(part.size for part in parts.values()))

    def may_be_cut(part: Page) -> bool:
        if part.reaches_behind(stretch.needed) or not part.size:
            return False
        if part.size >= PAGE or (missing and not more and page.size >= DOUBTED):
            return True
        # An answer that holds less than another one of the same moment was not cut short.
        return part.size >= largest and (proven or _is_round(part.size) or (missing and part.size >= DOUBTED))

    cut = {
        severity: part.oldest or part.server_time or stretch.needed
        for severity, part in parts.items()
        if may_be_cut(part)
    }
    full = proven or page.size >= PAGE or (missing and not more and page.size >= DOUBTED) or _is_round(page.size)
    if full and not all(alert.severity_known for alert in page.alerts):
        # No request asks for a severity that is not known: what the whole page cut off of it stays unseen.
        cut[Severity.CRITICAL] = max(cut.get(Severity.CRITICAL, stretch.needed), oldest or stretch.needed)
    return cut


def _is_round(size: int) -> bool:
    return size >= ROUND and (size % ROUND == 0 or size & (size - 1) == 0)


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

    threads = []
    for severity in questions:
        thread = threading.Thread(target=ask, args=(severity,), name="feed", daemon=True)
        try:
            thread.start()
            threads.append(thread)
        except RuntimeError:
            # The system gives no thread: then one after the other.
            ask(severity)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return {severity: answers[severity] for severity in questions}


def _snapshot(pages: Iterable[Page], stretch: Stretch, cut: Mapping[Severity, datetime]) -> FeedSnapshot:
    alerts: dict[str, Alert] = {}
    aside: dict[str, SetAside] = {}
    times = []
    shown = set()
    for page in pages:
        for alert in page.alerts:
            if alert.exact:
                shown.add(alert.published_at)
            # What is older is only a proof. It was not asked about, and a vendor that joins the stack has years of it.
            if alert.published_by >= stretch.since:
                alerts.setdefault(alert.id, alert)
        for item in page.set_aside:
            aside.setdefault(item.digest, item)
        if page.server_time is not None:
            times.append(page.server_time)
    return FeedSnapshot(
        alerts=tuple(alerts.values()),
        set_aside=tuple(aside.values()),
        until=min(times, default=None),
        cut=cut,
        shown=frozenset(shown),
    )
