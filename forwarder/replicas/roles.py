"""The roles, and how they spread over the replicas. Pure: from the same rows every replica comes to the same plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from forwarder.common.accounts import DEFAULT

FEED: Final = "feed"
"""The feed of a config with a single key: its polls, its sweeps, the stack and the evidence."""
_FEED_OF: Final = "feed:"
SCHEDULER: Final = "scheduler"
"""What waits for its time: held deliveries and digests, mutes, reminders and reports."""
UPKEEP: Final = "upkeep"
"""The alarms, what nobody settled, and forgetting."""
_CONNECTOR: Final = "connector:"

FEEDS_SHOWN: Final = 10
"""Feeds of named accounts that a line names."""


def of_connector(name: str) -> str:
    """The role of a connector: what it sends, its looks, and what it hears."""
    return f"{_CONNECTOR}{name}"


def connectors_in(roles: Iterable[str]) -> list[str]:
    """The names of the connectors among ``roles``."""
    return [role.removeprefix(_CONNECTOR) for role in roles if role.startswith(_CONNECTOR)]


def of_feed(account: str) -> str:
    """The role of an account's feed."""
    return FEED if account == DEFAULT else f"{_FEED_OF}{account}"


def accounts_in(roles: Iterable[str]) -> list[str]:
    """The accounts whose feeds are among ``roles``."""
    return [DEFAULT if role == FEED else role.removeprefix(_FEED_OF) for role in roles if is_feed(role)]


def is_feed(role: str) -> bool:
    """Whether a role is that of a feed."""
    return role == FEED or role.startswith(_FEED_OF)


def roles_of(connectors: Iterable[str], accounts: Iterable[str] = (DEFAULT,)) -> list[str]:
    """Every role of a config with these connectors and accounts."""
    return [*map(of_feed, accounts), SCHEDULER, UPKEEP, *map(of_connector, connectors)]


def in_words(roles: Collection[str]) -> list[str]:
    """Roles as people read them: of many feeds the first few, and how many more there are."""
    feeds = sorted(role for role in roles if role.startswith(_FEED_OF))
    shown = sorted(set(roles) - set(feeds)) + feeds[:FEEDS_SHOWN]
    return shown if len(feeds) <= FEEDS_SHOWN else [*shown, f"{len(feeds) - FEEDS_SHOWN} more feeds"]


def told(since: Mapping[str, float]) -> list[tuple[str, float | None]]:
    """The same, each with since when somebody has it."""
    return [(role, since.get(role)) for role in in_words(since)]


def spread(offers: Mapping[str, Collection[str]], holders: Mapping[str, str | None]) -> dict[str, str]:
    """Who should have each role: nobody more than one more than another one that could have it, and few of them move.

    That holds of the feeds of named accounts, which may be many and cost little, and of all other roles, each for
    itself. ``offers`` are the roles that each replica could have, ``holders`` who has each role, None where nobody
    does. Who has one that its own config lacks keeps it only where no other replica's has it.
    """
    feeds = {role: holder for role, holder in holders.items() if role.startswith(_FEED_OF)}
    rest = {role: holder for role, holder in holders.items() if role not in feeds}
    return _spread(offers, rest) | _spread(offers, feeds)


def _spread(offers: Mapping[str, Collection[str]], holders: Mapping[str, str | None]) -> dict[str, str]:
    plan: dict[str, str] = {}
    load = dict.fromkeys(offers, 0)
    free = []
    for role in sorted(holders):
        holder = holders[role]
        able = [replica for replica in offers if role in offers[replica]]
        if holder in load and (holder in able or not able):
            plan[role] = holder
            load[holder] += 1
        elif able:
            free.append((role, able))
    # Who has the fewest choices first: else what only one can have would come on top of what others could.
    for role, able in sorted(free, key=lambda one: (len(one[1]), one[0])):
        plan[role] = min(able, key=lambda replica: (load[replica], replica))
        load[plan[role]] += 1
    while move := _next_move(plan, load, offers):
        role, to = move
        load[plan[role]] -= 1
        load[to] += 1
        plan[role] = to
    return plan


def _next_move(
    plan: Mapping[str, str], load: Mapping[str, int], offers: Mapping[str, Collection[str]]
) -> tuple[str, str] | None:
    """A role that makes it more even where another one has it; None where it is even."""
    for few in sorted(load, key=lambda replica: (load[replica], replica)):
        fuller = sorted((r for r in load if load[r] >= load[few] + 2), key=lambda replica: (-load[replica], replica))
        for many in fuller:
            for role in sorted(plan, reverse=True):
                if plan[role] == many and role in offers[few]:
                    return role, few
    return None
