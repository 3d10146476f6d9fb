"""The roles, and how they spread over the replicas. Pure: from the same rows every replica comes to the same plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

FEED: Final = "feed"
"""Polls, sweeps, the stack and the evidence."""
SCHEDULER: Final = "scheduler"
"""What waits for its time: held deliveries and digests, mutes, reminders and reports."""
UPKEEP: Final = "upkeep"
"""The alarms, what nobody settled, and forgetting."""
_CONNECTOR: Final = "connector:"


def of_connector(name: str) -> str:
    """The role of a connector: what it sends, its looks, and what it hears."""
    return f"{_CONNECTOR}{name}"


def connectors_in(roles: Iterable[str]) -> list[str]:
    """The names of the connectors among ``roles``."""
    return [role.removeprefix(_CONNECTOR) for role in roles if role.startswith(_CONNECTOR)]


def roles_of(connectors: Iterable[str]) -> list[str]:
    """Every role of a config with these connectors."""
    return [FEED, SCHEDULER, UPKEEP, *map(of_connector, connectors)]


def spread(offers: Mapping[str, Collection[str]], holders: Mapping[str, str | None]) -> dict[str, str]:
    """Who should have each role: nobody more than one more than another one that could have it, and few of them move.

    ``offers`` are the roles that each replica could have, ``holders`` who has each role, None where nobody does. Who
    has one that its own config lacks keeps it only where no other replica's has it.
    """
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
