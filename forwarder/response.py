"""What people decide about an alert: that somebody has it, that it is done, that it is open again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol


class Status(StrEnum):
    """How far an alert has come: nobody has it yet, somebody works on it, it is done."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Action(StrEnum):
    """What a person can do with an alert."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    REOPEN = "reopen"

    @property
    def status(self) -> Status:
        """Where it leads."""
        return _LEADS_TO[self]

    def changes(self, status: Status) -> bool:
        """Whether it changes anything of an alert with ``status``: what is done stays done until it is reopened."""
        return status is not self.status and not (self is Action.ACKNOWLEDGE and status is Status.RESOLVED)


_LEADS_TO: Final = {
    Action.ACKNOWLEDGE: Status.ACKNOWLEDGED,
    Action.RESOLVE: Status.RESOLVED,
    Action.REOPEN: Status.OPEN,
}


class Resolution(StrEnum):
    """How an alert was resolved."""

    DONE = "done"
    NOT_AFFECTED = "not_affected"
    WITHDRAWN = "withdrawn"

    @property
    def words(self) -> str:
        """For people: ``not affected``."""
        return self.value.replace("_", " ")


def actions_between(before: Status, now: Status) -> tuple[Action, ...]:
    """What people did at a place where an alert had the one status when it was last seen, and has the other now."""
    if before is now:
        return ()
    if now is Status.OPEN:
        return (Action.REOPEN,)
    if now is Status.RESOLVED:
        return (Action.RESOLVE,)
    return (Action.REOPEN, Action.ACKNOWLEDGE) if before is Status.RESOLVED else (Action.ACKNOWLEDGE,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """The ``number``-th thing, from 1, that people decided about one alert.

    ``place`` is where: a connector's name, or one of PLACES. ``person`` is empty where the place does not say who.
    """

    number: int
    action: Action
    at: datetime
    place: str
    person: str = ""
    reason: str = ""
    resolution: Resolution | None = None

    @property
    def status(self) -> Status:
        return self.action.status

    @property
    def who(self) -> str:
        """For people: the person, else the place."""
        return self.person or f"somebody in {self.place}"

    @property
    def words(self) -> str:
        """For people, as the beginning of a sentence: ``Acknowledged by Ada``, ``Resolved (not affected) by Ada``."""
        how = f" ({self.resolution.words})" if self.resolution else ""
        return _OPEN_AGAIN.get(self.place) or f"{_DONE[self.action]}{how} by {self.who}"


_DONE: Final = {Action.ACKNOWLEDGE: "Acknowledged", Action.RESOLVE: "Resolved", Action.REOPEN: "Reopened"}

PAGE: Final = "the status page"
COMMAND_LINE: Final = "the command line"
FEED: Final = "the feed"
FORWARDER: Final = "the forwarder"
PLACES: Final = (PAGE, COMMAND_LINE, FEED, FORWARDER)
"""Where responses come from besides connectors.

From the last two nobody decides anything: an alert is open again because it got worse, or because it had been reopened
by the time that something else was heard of it.
"""

_OPEN_AGAIN: Final = {FEED: "Open again: it got worse", FORWARDER: "Open again: it had been reopened"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaction:
    """What a person did at a destination, to the alert whose receipt has ``remote_id``.

    ``key`` is how the destination names this one event, however often it tells of it: it counts once.
    """

    remote_id: str
    action: Action
    key: str
    at: datetime
    person: str = ""
    reason: str = ""
    resolution: Resolution | None = None


class MuteScope(StrEnum):
    """What a person wants to hear no more of, beginning with one alert: its CVE, or its vendors."""

    CVE = "cve"
    VENDOR = "vendor"


@dataclass(frozen=True, kw_only=True, slots=True)
class MuteRequest:
    """That a person wants no more alerts like the one whose receipt has ``remote_id``, for a time."""

    remote_id: str
    scope: MuteScope
    lasts: timedelta
    reason: str
    key: str
    at: datetime
    person: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """How the alert whose receipt has ``remote_id`` stands at a destination, by what was last done to it there.

    ``ours`` is true where that was the forwarder itself, or another program with its account.
    """

    remote_id: str
    status: Status
    at: datetime
    person: str = ""
    reason: str = ""
    resolution: Resolution | None = None
    ours: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a look at a destination brought, oldest first, and where the next one begins.

    ``cursor`` is the connector's own text, and kept together with what the look brought.
    """

    cursor: str
    sightings: tuple[Sighting, ...] = ()


NOT_KEPT: Final = "This could not be kept: the forwarder's log says why. Try again in a moment."
NOT_KNOWN: Final = "The forwarder does not know this alert any more."
"""Answers of a desk that its connector does something about."""


class Desk(Protocol):
    """Where a connector that listens reports what people do. Never raises: what cannot be kept is said in the answer.

    Each answers with one sentence for the person: empty where the message itself will show what came of it, NOT_KEPT
    where it may be reported once more, NOT_KNOWN where nothing of ours stands there.
    """

    def react(self, reaction: Reaction) -> str:
        """A button that was pressed."""
        ...

    def mute(self, request: MuteRequest) -> str:
        """A mute that was asked for."""
        ...
