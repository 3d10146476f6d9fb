"""Whether feeds are read and swept, judged from facts alone: those of each account by itself, and of many together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from forwarder.alarms.facts import Facts, Finding
from forwarder.alarms.types import AlarmType
from forwarder.alert import Severity
from forwarder.common.accounts import label, named
from forwarder.common.clock import iso
from forwarder.common.text import ago
from forwarder.config import Config
from forwarder.store.alarm_records import Alarm
from forwarder.store.records import Feed

UNREAD_AFTER: Final = 600.0
"""Seconds without a complete poll after which the feed counts as unread, or three polls where these are rarer."""
SWEEPS_MISSED: Final = 3
"""Times ``sweep_every`` without a complete sweep, or sweeps in vain, after which sweeps are overdue."""
UNREAD_STARTS: Final = 3
"""How many processes in a row may fail to read the feed where none of them ran for that long."""
TOGETHER: Final = 5
"""Accounts that are told of one by one; where more have the same trouble, one alarm tells of all of them."""


def is_unread(feed: Feed, config: Config, *, started_at: float, now: float) -> bool:
    """Whether the feed counts as unread: for the alarm, the status page and the readiness probe alike.

    A process that just started is given the time to poll. One that ends before that, for it is run by cron or it
    crashes, is judged with those before it: one failed run between two is nothing to speak of, a third in a row is.
    """
    patience = max(UNREAD_AFTER, 3 * config.sentrytex.poll_every.total_seconds())
    if now - max(feed.polled_at or 0.0, started_at) > patience:
        return True
    return (
        feed.unread_starts >= UNREAD_STARTS and feed.unread_since is not None and now - feed.unread_since > UNREAD_AFTER
    )


def is_still_unread(feed: Feed, standing: Iterable[Alarm]) -> bool:
    """Whether people were told so and no poll was complete since: that a process just started ends nothing."""
    return feed.unread_starts > 0 and any(alarm.type == AlarmType.FEED_UNREAD for alarm in standing)


def is_sweep_overdue(feed: Feed, config: Config, *, started_at: float, now: float) -> bool:
    """Whether no sweep was complete for a few times ``sweep_every``, though the feed is read."""
    if feed.cursor is None or is_unread(feed, config, started_at=started_at, now=now):
        return False
    # A process that just started is given the time to sweep. A run that polls just once has none: its tries count.
    tried = now - started_at > _sweep_patience(config) or feed.sweeps_failed >= SWEEPS_MISSED
    return tried and not is_swept(feed, config, now)


def is_swept(feed: Feed, config: Config, now: float) -> bool:
    """Whether a sweep was complete lately, or the first start was."""
    since = feed.started_at if feed.swept_at is None else feed.swept_at
    return now - (since or 0.0) <= _sweep_patience(config)


def last_sweep(feed: Feed, now: float) -> str:
    """When the last complete sweep was, and why the latest one failed; for people."""
    last = "No sweep was ever complete."
    if feed.swept_at is not None:
        last = f"The last complete sweep was {ago(now - feed.swept_at)}."
    return f"{last} {feed.sweep_error or ''}".strip()


def last_poll(feed: Feed, now: float) -> str:
    """When the last complete poll was, and why the latest one failed; for people."""
    last = "No poll was ever complete."
    if feed.polled_at is not None:
        last = f"The last complete poll was {ago(now - feed.polled_at)}."
    return f"{last} {feed.poll_error or ''}".strip()


def _sweep_patience(config: Config) -> float:
    return max(SWEEPS_MISSED * config.sentrytex.sweep_every.total_seconds(), UNREAD_AFTER)


def lasting(kind: AlarmType, text: str, *, subject: str = "", instance: str = "") -> Finding:
    """A trouble that is there until the store says otherwise."""
    return Finding(type=kind, severity=kind.severity, text=text, subject=subject, instance=instance)


def bad_feeds(facts: Facts) -> frozenset[str]:
    """The accounts whose feeds are not read, or whose keys are refused."""
    return frozenset(
        account
        for account, feed in facts.feeds.items()
        if feed.key_refused is not None or _is_unread(account, feed, facts)
    )


def of_feeds(facts: Facts) -> Iterator[Finding]:
    """Keys that are refused, and feeds that are not read."""
    refused, unread = [], []
    for account, feed in facts.feeds.items():
        subject = label(account)
        if feed.key_refused is not None:
            reason = feed.key_refused
            refused.append(lasting(AlarmType.KEY_REFUSED, reason, subject=subject, instance=reason))
        if _is_unread(account, feed, facts):
            told = last_poll(feed, facts.now)
            unread.append(lasting(AlarmType.FEED_UNREAD, told, subject=subject, instance=feed.poll_error or ""))
    yield from told_of(refused, facts)
    yield from told_of(unread, facts)


def of_sweeps(facts: Facts) -> Iterator[Finding]:
    """Sweeps that do not come, or do not reach as far back as they should."""
    short, overdue, config, now = list[Finding](), [], facts.config, facts.now
    for account, feed in facts.feeds.items():
        for severity, since in feed.reach.items():
            short.append(_short(account, severity, since))
        is_late = is_sweep_overdue(feed, config, started_at=_began(account, facts), now=now)
        stands = _was_told(AlarmType.SWEEP_OVERDUE, account, facts)
        if is_late or (stands and not is_swept(feed, config, now)):
            told, why = last_sweep(feed, now), feed.sweep_error or ""
            overdue.append(lasting(AlarmType.SWEEP_OVERDUE, told, subject=label(account), instance=why))
    yield from told_of(short, facts)
    yield from told_of(overdue, facts)


def _short(account: str, severity: Severity, since: float) -> Finding:
    of = f" of {label(account)}" if label(account) else ""
    return Finding(
        type=AlarmType.SWEEP_SHORT,
        subject=f"{severity.value}{of}",
        severity=AlarmType.SWEEP_SHORT.severity,
        text=f"Sweeps read {severity.value} alerts{of} published since {iso(math.floor(since))}. Older ones that are"
        " verified late, or change, are not seen.",
        instance=iso(math.floor(since)),
    )


def together(feeds: Mapping[str, Feed]) -> Feed:
    """Several feeds as one, as far behind as the last of them; a single one as it is."""
    if len(feeds) == 1:
        return next(iter(feeds.values()))
    each = list(feeds.values())

    def least(values: Iterable[float | None]) -> float | None:
        found = list(values)
        return None if None in found else min((value for value in found if value is not None), default=None)

    def first(reasons: Mapping[str, str | None]) -> str | None:
        account = next((account for account, reason in reasons.items() if reason), None)
        others = sum(bool(reason) for reason in reasons.values()) - 1
        return None if account is None else f"{account}: {reasons[account]}" + (f" (and {others} more)" * (others > 0))

    return Feed(
        cursor=least(feed.cursor for feed in each),
        stack=None,
        polled_at=least(feed.polled_at for feed in each),
        poll_error=first({account: feed.poll_error for account, feed in feeds.items()}),
        swept_at=least(feed.swept_at for feed in each),
        sweep_reach=least(feed.sweep_reach for feed in each),
        key_refused=first({account: feed.key_refused for account, feed in feeds.items()}),
        unread_since=min((feed.unread_since for feed in each if feed.unread_since is not None), default=None),
        unread_starts=max((feed.unread_starts for feed in each), default=0),
        floor=least(feed.floor for feed in each),
        started_at=least(feed.started_at for feed in each),
        reach={
            severity: max(feed.reach[severity] for feed in each if severity in feed.reach)
            for severity in Severity
            if any(severity in feed.reach for feed in each)
        },
        sweep_error=first({account: feed.sweep_error for account, feed in feeds.items()}),
        sweeps_failed=max((feed.sweeps_failed for feed in each), default=0),
    )


def _is_unread(account: str, feed: Feed, facts: Facts) -> bool:
    if is_unread(feed, facts.config, started_at=_began(account, facts), now=facts.now):
        return True
    return feed.unread_starts > 0 and _was_told(AlarmType.FEED_UNREAD, account, facts)


def _began(account: str, facts: Facts) -> float:
    """Since when this process reads an account's feed."""
    return facts.began.get(account, facts.started_at)


def _was_told(kind: AlarmType, account: str, facts: Facts) -> bool:
    """Whether people were told of a trouble of this account, by itself or with others."""
    return facts.stands(kind, label(account)) or facts.stands(kind, "")


def told_of(found: Sequence[Finding], facts: Facts) -> Iterator[Finding]:
    """Findings of one type, each by itself; where there are many of them, as one that names the first few.

    Once that stands, it does until one is left: what wavers around the number is told once.
    """
    kind = found[0].type if found else None
    if kind is None or len(found) <= (1 if facts.stands(kind, "") else TOGETHER):
        yield from found
        return
    worst = found[0]
    text = f"{len(found)} accounts: {named(one.subject for one in found)}. {worst.text}"
    yield replace(worst, subject="", text=text, instance=f"{len(found)} accounts")
