"""The contract of a connector: all that its author needs to read.

A connector takes one Delivery at a time to one destination and says what came of it with an Outcome. It keeps no
queue, repeats nothing by itself and never sleeps: what is owed, when it is tried again and in which order is the
forwarder's business. Register the class in the entry-point group ``forwarder.connectors`` under its config's ``type``.

The way of a delivery::

    payload = connector.render(delivery)            # pure: preview and tests call it too
    outcome = connector.deliver(delivery, payload)  # one attempt, from any of the connector's worker threads

    Delivered(receipt)   it is there                         -> delivered
    Retry(reason)        try later; an attempt is spent      -> ready, after a backoff
    RateLimited(after, reason)  no attempt is spent          -> ready; the whole connector waits
    Uncertain(reason)    the remote may have it              -> uncertain: ``find`` is asked before it is sent again
    Rejected(reason)     this will never be accepted         -> dead letter
    Broken(reason)       nothing goes until a person acts    -> the connector is paused, its queue kept

From deeper down ``Failed(outcome)`` carries any of them. Any other exception that ``deliver`` lets out counts as
Uncertain. No reason may hold a secret; the forwarder blots out those it
knows, but a connector must not rely on that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel

from forwarder.alert import Alert, Change, Severity, Vendor, Vendors, named
from forwarder.common.accounts import named as names_of
from forwarder.common.backoff import retry_after
from forwarder.common.text import clean, cut, is_web_url, one_line
from forwarder.common.units import Duration, Interval, OptionalInterval, Rate, SendRate, format_duration
from forwarder.common.urls import is_loopback, redirect_host, web_address
from forwarder.identity import identity
from forwarder.memory import NOTICE, RENAMED, Memory, Notices, ProcessMemory
from forwarder.outcome import Broken, Delivered, Failed, Outcome, RateLimited, Receipt, Rejected, Retry, Uncertain
from forwarder.response import (
    FEED,
    NOT_KEPT,
    NOT_KNOWN,
    Action,
    Desk,
    Look,
    MuteRequest,
    MuteScope,
    Reaction,
    Resolution,
    Response,
    Sighting,
    Status,
)
from forwarder.settings import ConnectorConfig, Templates
from forwarder.setup import Finding, Question, Setup

__all__ = [
    "FEED",
    "NOTICE",
    "NOT_KEPT",
    "NOT_KNOWN",
    "RENAMED",
    "Action",
    "Broken",
    "BuiltInTexts",
    "Change",
    "Connector",
    "ConnectorConfig",
    "Delivered",
    "Delivery",
    "Desk",
    "Duration",
    "Failed",
    "Finding",
    "Interval",
    "Kind",
    "Link",
    "Look",
    "Memory",
    "MuteRequest",
    "MuteScope",
    "Notices",
    "OptionalInterval",
    "Origin",
    "Outcome",
    "Payload",
    "ProcessMemory",
    "Question",
    "Rate",
    "RateLimited",
    "Reaction",
    "Receipt",
    "Rejected",
    "Resolution",
    "Response",
    "Retry",
    "SendRate",
    "Setup",
    "Sighting",
    "Status",
    "Templates",
    "Texts",
    "Uncertain",
    "Vendor",
    "Vendors",
    "clean",
    "cut",
    "format_duration",
    "identity",
    "is_loopback",
    "is_web_url",
    "one_line",
    "redirect_host",
    "retry_after",
    "web_address",
]

Payload = Mapping[str, Any]
"""What goes on the wire, as JSON has it, without credentials. It is kept with the delivery and shown to people."""


class Kind(StrEnum):
    """What a delivery tells of an alert.

    That it is there, that it changed, that it no longer stands; what a person decided about it; or that it is time
    that somebody did.
    """

    OPEN = "open"
    UPDATE = "update"
    WITHDRAW = "withdraw"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    REMIND = "remind"

    @property
    def responds(self) -> bool:
        """Whether it tells what a person decided."""
        return self in _RESPONSES


_RESPONSES: Final = frozenset({Kind.ACKNOWLEDGE, Kind.RESOLVE, Kind.REOPEN})


class Origin(StrEnum):
    """Where an alert comes from: the Sentrytex feed, the forwarder's own troubles, or a person's trial.

    A digest and a report are no alerts, but take the same way: their text is all that there is of them.
    """

    FEED = "feed"
    ALARM = "alarm"
    TEST = "test"
    DIGEST = "digest"
    REPORT = "report"


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """Where the same alert stands at another connector, such as the ticket that a message should lead to."""

    connector: str
    text: str
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One thing owed to one connector.

    Nothing of it can be at the destination before ``enqueued_at``. ``attempt`` counts from 1.
    ``receipt`` is where an earlier delivery of the same alert stands here; an update or a withdrawal without one has
    nothing to follow up on. ``changes`` is empty for an update that only brings new ``links``.

    ``repeats`` is where the alert stands already that a person has sent again on purpose: ``find`` looks for a newer
    one. ``sent_as`` is the connector's name when this was first owed, where it was renamed since: a mark that holds
    the name holds that one.

    ``response`` is what a person decided, where the delivery tells that; ``latest`` the last such thing that is known
    of the alert by now, whatever the delivery tells, None while nobody reacted. ``changes`` of a response are empty.
    ``items`` are the alerts that a digest tells, the most severe first. ``reminder`` says, where the delivery is one,
    what it is time for, as the beginning of a sentence: ``Nobody has acknowledged it for 15m``. ``page`` is the address
    of the alert's own page, for people; None where the config does not say how they reach it.

    ``vendors`` is what the stack says of the vendors that the alert and its ``changes`` name, ``evidence`` what the API
    said of the evidence for it, as short lines of plain text: empty where that was not read, or not yet. Both are for
    people to read, and so are ``accounts``, those that see the alert, where the config names any. They may differ from
    one attempt to the next, so nothing by which a message is found again may hold them.

    ``owners`` are those who must act here, as the config's author named them: instances of the connector's ``Owner``,
    by the alert's vendors first, then by their categories. Only these may be called by name, or pinged.
    """

    id: int
    alert: Alert
    connector: str
    enqueued_at: datetime
    kind: Kind = Kind.OPEN
    origin: Origin = Origin.FEED
    revision: int = 1
    attempt: int = 1
    receipt: Receipt | None = None
    changes: tuple[Change, ...] = ()
    links: tuple[Link, ...] = ()
    repeats: Receipt | None = None
    sent_as: str | None = None
    response: Response | None = None
    latest: Response | None = None
    items: tuple[Alert, ...] = ()
    reminder: str = ""
    owners: tuple[BaseModel, ...] = field(default=(), hash=False)
    vendors: Vendors = field(default_factory=dict, hash=False)
    evidence: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    page: str | None = None

    @property
    def vendor_names(self) -> tuple[str, ...]:
        """The alert's vendors as people read them."""
        return self.named(self.alert.affected_vendors)

    @property
    def seen_by(self) -> str:
        """The accounts that see the alert, the first few by name; empty where the config names none."""
        return names_of(self.accounts)

    def named(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Vendors as people read them: by name, where the stack knows it, else by key."""
        return named(keys, self.vendors)

    @property
    def status(self) -> Status:
        """How far the alert has come by now."""
        return self.latest.status if self.latest else Status.OPEN

    @property
    def is_superseded(self) -> bool:
        """Whether it tells what a person decided, and something else was decided since: to act on it would be wrong."""
        return self.response is not None and self.response != self.latest


class Texts(Protocol):
    """Titles and texts as the config's templates word them, else the connector's own. Never raises."""

    def title(self, delivery: Delivery, built_in: str) -> str:
        """The plain-text title, in place of ``built_in``."""
        ...

    def text(self, delivery: Delivery, built_in: str) -> str:
        """The plain-text body, in place of ``built_in``."""
        ...


class BuiltInTexts:
    """The connector's own words."""

    def title(self, delivery: Delivery, built_in: str) -> str:  # noqa: ARG002
        return built_in

    def text(self, delivery: Delivery, built_in: str) -> str:  # noqa: ARG002
        return built_in


C = TypeVar("C", bound=ConnectorConfig)


class Connector(ABC, Generic[C]):
    """One destination. Its methods are called from several threads at once.

    Import the destination's SDK inside the methods or ``__init__``, not at the top of the module: reading a config's
    schema must not load it.
    """

    Config: ClassVar[type[ConnectorConfig]]
    """The model of the connector's part of the config, with ``type: Literal["…"]``."""

    noun: ClassVar[tuple[str, str]] = ("delivery", "deliveries")
    """What an alert becomes at the destination, one and many."""

    replayed: ClassVar[str] = "may show a second time"
    """What happens to alerts that are there already and are sent again, as in "2 of them …"."""

    withdrawn: ClassVar[str] = "it is withdrawn"
    """What has happened at the destination once an alert was withdrawn there, as the main clause of a sentence."""

    setup: ClassVar[Setup | None] = None
    """What `forwarder init` asks; without it, `init` does not offer the type."""

    Owner: ClassVar[type[BaseModel] | None] = None
    """The model of what the config's ``owners`` say for this type of who must act; None where it can name nobody.

    A RootModel where it is a text alone.
    """

    takes_digests: ClassVar[bool] = True
    """Whether it takes messages that tell of many alerts: digests and reports."""

    reconcile_after: Sequence[float] = ()
    """Seconds after an Uncertain (or a crash) at which ``find`` is asked; after the last one it is sent again.

    Empty where a repeat is harmless (the remote knows the key) or where the remote cannot be asked.
    """

    wants_evidence: ClassVar[bool] = False
    """Whether the API is asked for the evidence for each alert that goes here. It is shown everywhere once it is known,
    and delays nothing: what is sent before it was read goes without it."""

    follows_links: bool = False
    """Whether a message that was sent can be given links later, by an update without ``changes``."""

    tells_responses: ClassVar[bool] = False
    """Whether it delivers what people decide: the kinds that ``Kind.responds``. Without it none is owed to it."""

    shows_own_responses: ClassVar[bool] = False
    """Whether a response from here is delivered here too, for what stands here does not show it by itself."""

    undoes_responses: ClassVar[bool] = False
    """Whether what is sent here may undo what a person did here just before. Where something has come here since, or
    may have, the response is delivered here too, so that it holds."""

    listens: bool = False
    """Whether ``listen`` hears people act; without it ``listen`` is never called."""

    look_every: float | None = None
    """Seconds between two calls of ``look``; None where nobody looks."""

    def __init__(self, name: str, config: C, texts: Texts | None = None) -> None:
        self.name = name
        self.config = config
        self.texts: Texts = texts or BuiltInTexts()
        self.memory: Memory = ProcessMemory()

    def remember(self, memory: Memory) -> None:
        """Takes over what earlier processes kept under this connector's name; called before the first delivery."""
        self.memory = memory

    @abstractmethod
    def render(self, delivery: Delivery) -> Payload:
        """What would be sent. Pure: no clock, no network, the same for the same delivery."""

    def message_id(self, payload: Payload) -> str:  # noqa: ARG002
        """By what the destination knows ``payload`` again; empty where a repeat need not be the same word for word.

        A payload that has one is kept before it is sent. Where the same message is sent again, it is that payload,
        though more is known of the alert by then.
        """
        return ""

    @abstractmethod
    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """One attempt to bring ``payload``, as ``render`` made it, to the destination."""

    def find(self, delivery: Delivery) -> Receipt | None:  # noqa: ARG002
        """What an earlier attempt left at the destination; None only where all of it was seen, and this was not there.

        After None the delivery is sent again. Where anything kept it from looking everywhere (a search cut short, a
        missing permission, a place that cannot be named), it raises Failed.
        """
        return None

    @abstractmethod
    def check(self) -> list[Finding]:
        """Asks the destination whether the credentials and the target work, without leaving a trace there."""

    def check_owners(self, owners: Sequence[Any]) -> list[Finding]:  # noqa: ARG002
        """Asks the destination whether ``owners`` are there: all that the config names for this connector's type."""
        return []

    @abstractmethod
    def preview(self, payload: Payload) -> str:
        """``payload`` as a person would see it at the destination, in plain text."""

    def due(self, severity: Severity, since: datetime) -> datetime | None:  # noqa: ARG002
        """By when an alert that came to be owed ``since`` should be resolved here; None where there is no such date.

        What was owed later is due no earlier.
        """
        return None

    def listen(self, desk: Desk) -> None:
        """Sees to it that what people do here reaches ``desk``; called again every few seconds, and does not block.

        Raises Failed where nothing is heard right now, with the reason.
        """

    def look(self, cursor: str) -> Look:
        """What people did here since the look that gave ``cursor``, empty at the first; raises Failed."""
        return Look(cursor=cursor)

    def close(self) -> None:
        """Lets go of connections. Nothing is delivered or heard afterwards."""
