"""One process among the replicas on a database, and the roles that it has there.

A role is a row that names its holder, until a time in the database's own clock; what is done for a role is written only
by its holder. Only a server has several replicas: on a file one process has every role, and none of this is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from forwarder.store.connection import Connection

_HAS_BOOT_CLOCK: Final = hasattr(time, "CLOCK_BOOTTIME")


def boot_clock() -> float:
    """Seconds by a clock that nobody sets, and that goes on while this process or its machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if _HAS_BOOT_CLOCK else time.monotonic()


class Verdict(StrEnum):
    """What became of a reload."""

    TAKEN_OVER = "taken_over"
    REFUSED = "refused"
    """The config has mistakes: a restart would fail."""
    NEEDS_RESTART = "needs_restart"
    """The config is good, but only a restart brings it in."""
    FAILED = "failed"
    """Nobody foresaw what went wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reload:
    """A reload that ended ``at``; it answers the request of this number and all before it."""

    verdict: Verdict
    problems: Sequence[str] = ()
    request: int = 0
    at: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """A process that was heard of within a lease's time.

    ``offers`` are the roles that its config has; ``once`` that it ends by itself. ``silence`` are the seconds since it
    last showed that all of it turns, None where it has not yet. ``config`` is the file of its config; ``answered`` the
    number of the last reload that it was asked for and has carried out, ``verdict`` what became of that.
    """

    id: str
    host: str
    pid: int
    version: str
    since: float
    offers: frozenset[str] = frozenset()
    once: bool = False
    silence: float | None = None
    config: str | None = None
    answered: int = 0
    verdict: str | None = None
    problems: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """It, for people."""
        return f"process {self.pid} on {self.host or 'another machine'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A role and the replica that has it, None where none does. ``since`` is when that began.

    ``free_for`` are the seconds since its last holder's time ended; below zero while that lasts. ``left`` says that a
    holder gave it up, and did not just stop being heard of.
    """

    role: str
    owner: str | None
    since: float
    free_for: float
    left: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Muster:
    """Who is there and who has what, at one moment."""

    replicas: tuple[Replica, ...] = ()
    leases: tuple[Lease, ...] = ()
    in_touch: float = 0.0
    """Seconds for which the database could be asked without a break, where one that is a replica asks."""
    reload_requested: int = 0
    """The number of the last reload that somebody asked for."""

    def unheld(self) -> dict[str, float]:
        """The roles that some replica could have and none has, each with the seconds for which that has been so."""
        offered = frozenset[str]().union(*(replica.offers for replica in self.replicas))
        return {one.role: one.free_for for one in self.leases if one.free_for > 0 and one.role in offered}

    def roles_of(self, replica: Replica) -> tuple[Lease, ...]:
        """What a replica has."""
        return tuple(one for one in self.leases if one.owner == replica.id and one.free_for <= 0)


@dataclass(eq=False, slots=True)
class Tenure:
    """This process's hold on a role, from when it took it until it gave it up or another one took it.

    ``until`` is how long it lasts without another word to the database, by ``boot_clock``: nothing may be begun for the
    role after that, for another one may have it.
    """

    role: str
    until: float
    taken_at: float
    lost: bool = False

    def lasts(self) -> bool:
        """Whether nobody else can have the role right now."""
        return not self.lost and boot_clock() < self.until


class Membership(Protocol):
    """This process among the replicas. What it is asked raises StoreError where the database cannot be reached."""

    @property
    def id(self) -> str:
        """The name by which the others know it."""

    @property
    def once(self) -> bool:
        """Whether it ends by itself, and has all roles until then."""

    @property
    def held(self) -> dict[str, Tenure]:
        """What it has, by role; one that was lost is in it until it is forgotten."""

    @property
    def outdated(self) -> str | None:
        """Why this version must not write any more, in a sentence: a newer one has changed the database."""

    def tend(self) -> None:
        """Ends what waits in vain for the database; called again and again, by a thread that never waits for it."""

    def wall(self) -> float:
        """Seconds since the epoch by the database's clock, by which all replicas go."""

    def began(self, connection: Connection, config: str | None) -> Reload | None:
        """It begins with a config that was good; what another one has refused and goes on without."""

    def judged(self, connection: Connection, reload: Reload) -> Reload:
        """Keeps what became of a reload here, and returns what counts for all: who refused it, where one did."""

    def begin(self, offers: Collection[str], heard: Callable[[Collection[str]], None]) -> None:
        """Joins the others, as far as the database can be reached.

        ``heard`` is called, in a thread of its own, with what was announced, and with nothing where who is there or who
        has what may be different.
        """

    def offer(self, roles: Collection[str]) -> None:
        """The roles that it could have; said again and again, else it offers none any more."""

    def muster(self) -> Muster | None:
        """Who is there and who has what, as of a second ago; None where the database cannot be asked."""

    def take(self, roles: Collection[str]) -> list[Tenure]:
        """Takes those of ``roles`` that nobody has; raises StoreError."""

    def give_up(self, roles: Collection[str]) -> None:
        """Lets others have ``roles`` at once; raises StoreError."""

    def forget(self, tenure: Tenure) -> None:
        """A lost role is seen to."""

    def announce(self, *topics: str) -> None:
        """Tells the other replicas, which look by themselves as well: it may come to nothing."""

    def leave(self) -> None:
        """Ends: what it has is free, and it is no replica any more."""
