"""What befalls replicas, in which order and how often, and what is counted of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tests.torture.world import Tally

LEASE: Final = 8.0
"""Seconds of a lease: fewer than in earnest, and more than a process may be kept waiting on a busy machine."""
NAMES: Final = ("slack-token", "pagerduty", "jira-cloud")


class Trouble(StrEnum):
    """What befalls a replica, its connections, or the server."""

    KILL = "SIGKILL"
    TERM = "SIGTERM"
    PAUSE = "SIGSTOP past the lease"
    NAP = "SIGSTOP within the lease"
    CUT = "connections cut"
    PARTITION = "cut off past the lease"
    RESTART = "the server restarts"
    CRASH = "the server crashes"
    ROLL = "all are replaced, one by one"


MIX: Final = {
    Trouble.KILL: 200,
    Trouble.TERM: 20,
    Trouble.PAUSE: 20,
    Trouble.NAP: 10,
    Trouble.CUT: 20,
    Trouble.PARTITION: 10,
    Trouble.RESTART: 5,
    Trouble.CRASH: 5,
    Trouble.ROLL: 2,
}
"""How often each befalls them in the long run."""
FAILOVERS: Final = {Trouble.KILL: 6, Trouble.TERM: 6, Trouble.ROLL: 2, Trouble.RESTART: 2, Trouble.CRASH: 2}
"""The same where it is measured how long nobody does what another one did."""
AT_LIMITS: Final = {"slack-token": 1.0, "pagerduty": 2.0, "jira-cloud": 1.0}
"""Sends a second that each connector may make: no more than Slack and PagerDuty take."""


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """These troubles one after the other, each among ``alerts`` new ones.

    ``lease`` is how long one lasts, in seconds; ``rates`` what each connector may send a second. ``flow`` is how many
    alerts a second are published besides, all the time. ``limits`` says whether the services have any.
    """

    seed: int
    troubles: tuple[Trouble, ...]
    alerts: int = 8
    lease: float = LEASE
    rates: Mapping[str, float] = field(default_factory=lambda: dict(AT_LIMITS))
    flow: float = 0.0
    limits: bool = True
    prompt: bool = False
    """Whether it is held against it where nobody polls, or sends what is owed, for long."""

    def __str__(self) -> str:
        return f"replicas, seed {self.seed}, {len(self.troubles)} troubles"


@dataclass(kw_only=True)
class Result:
    """What came of it. ``moved`` is how long roles had no holder, in seconds, for each kind of trouble."""

    campaign: Campaign
    troubles: Counter[Trouble] = field(default_factory=Counter)
    tallies: dict[str, Tally] = field(default_factory=dict)
    moved: dict[Trouble, list[float]] = field(default_factory=dict)
    unpolled: dict[Trouble, list[float]] = field(default_factory=dict)
    """For how long nobody polled, at most, in seconds, while each trouble lasted."""
    unsent: dict[Trouble, list[float]] = field(default_factory=dict)
    """For how long a connector sent nothing of what it owed, at most."""
    fastest: dict[str, float] = field(default_factory=dict)
    """The most sends that a connector made beyond its rate, in any stretch."""
    complaints: list[str] = field(default_factory=list)


def campaigns(troubles: int, seed: int, size: int = 8) -> list[Campaign]:
    """Campaigns with ``troubles`` in all, of each kind its share."""
    deck = [trouble for trouble, times in MIX.items() for _ in range(times)]
    random.Random(seed).shuffle(deck)
    drawn = [deck[number % len(deck)] for number in range(troubles)]
    return [
        Campaign(seed=seed + first, troubles=tuple(drawn[first : first + size])) for first in range(0, troubles, size)
    ]


def failover(seed: int, part: tuple[int, int] = (1, 1)) -> Campaign:
    """The campaign in which it is measured how long nobody does what another one did, with leases as in earnest.

    ``part`` is which share of its troubles: the third of eight.
    """
    deck = [trouble for trouble, times in FAILOVERS.items() for _ in range(times)]
    random.Random(seed).shuffle(deck)
    rates = dict.fromkeys(NAMES, 5.0)
    which, parts = part
    troubles = tuple(deck[which - 1 :: parts])
    return Campaign(
        seed=seed, troubles=troubles, alerts=2, lease=15.0, rates=rates, flow=2.0, limits=False, prompt=True
    )
