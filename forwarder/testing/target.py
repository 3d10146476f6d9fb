"""What the contract suite must know of a connector, and the ways to send with one that has been set up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final, Generic, TypeVar, get_args

from forwarder.alert import Alert
from forwarder.connector import (
    Connector,
    Delivered,
    Delivery,
    Failed,
    Outcome,
    RateLimited,
    Receipt,
    Retry,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Service
from forwarder.testing.samples import follow_ups, new_delivery, responses_to

Kinds = tuple[type[Outcome], ...]
"""The outcomes that are right in one cell of the table."""

BRIEF: Final = "500ms"
"""A time-out that only the request meets which a fault strikes: a busy machine needs longer than HASTY for others."""
HASTY: Final = "150ms"
"""The time-out where a service hangs on purpose. Elsewhere the connectors' own holds: a busy machine is no fault."""


OUTCOMES: Final = get_args(Outcome)

TERMINAL: Final = "\x00\x07\x1b\x9b\u202e"
"""Characters by which a text would command a terminal, or turn what stands there around."""

World = TypeVar("World")
"""What stands in for the destination: a ``Service`` of yours, or whatever holds several of them."""


@dataclass(frozen=True, kw_only=True)
class Target(Generic[World]):
    """One connector, and what must be known to hold it to the contract against a stand-in of its destination.

    ``name`` is what a failing test calls it, ``kind`` its type in the config. ``config`` gives its part of the config,
    ``secrets`` what must never be seen of that, ``service`` the stand-in that it talks to. ``send`` is the request that
    brings an alert there, ``find_path`` the one that looks for it, empty where it cannot be asked (parts of
    ``METHOD /path``); ``count`` tells how often an alert stands there. ``lost`` is what an answer that never came whole
    must come to, ``statuses`` what each HTTP status of ``send`` must. ``once`` is false where the destination cannot
    tell what it has, so that a repeat shows twice; ``edits`` where it cannot change it, and ``checks`` where nothing
    can tell whether it is there. ``nothing`` is what a look is answered in so many words where nothing is there; empty
    where an answer says more. ``again`` is how often more an alert stands there once it was reopened, ``for_people`` is
    false where what is told is data for a program. ``tell`` is a part of each request that tells what became of an
    alert, and ``http`` is false where another protocol is spoken: a refusal there says that nothing was done, and no
    header says when to come back. ``pings`` tells whether anything that stands there alerts people by itself, and
    ``delay`` makes the stand-in show what it has only after some seconds of its clock.
    """

    name: str
    kind: str
    config: Callable[[World], Mapping[str, Any]]
    service: Callable[[World], Service]
    send: str
    secrets: Callable[[World], tuple[str, ...]]
    count: Callable[[World, Alert], int]
    lost: Kinds
    statuses: Mapping[int, Kinds]
    once: bool = True
    edits: bool = True
    again: int = 0
    checks: bool = True
    for_people: bool = True
    find_path: str = ""
    nothing: str = ""
    tell: str = "POST"
    http: bool = True
    pings: Callable[[World], bool] = lambda _: False
    delay: Callable[[World, float], None] = lambda _, __: None

    def connect(self, stand_in: World, **config: Any) -> Connector[Any]:
        """A connector as the daemon makes it: found by its entry point, with a validated config."""
        connector = connector_class(self.kind)
        settings = {"type": self.kind, **self.config(stand_in), **config}
        return connector("target", connector.Config.model_validate(settings))


@cache
def connector_class(name: str) -> type[Connector[Any]]:
    """The class that the entry-point group registers under ``name``."""
    # Kept, since a look at all that is installed takes as long as many a test.
    points = [*entry_points(group="forwarder.connectors", name=name)]
    assert points, f"no connector is registered as {name!r}: is its package installed here, with its entry point?"
    return points[0].load()  # type: ignore[no-any-return]


def registered() -> set[str]:
    """The names of all connectors that the entry-point group registers."""
    return {point.name for point in entry_points(group="forwarder.connectors")}


def send(connector: Connector[Any], one: Delivery) -> Outcome:
    """One attempt, as the dispatcher makes it."""
    return connector.deliver(one, connector.render(one))


def settle(
    connector: Connector[Any], outstanding: Delivery, *, advance: Callable[[float], object], attempts: int = 6
) -> Receipt:
    """Brings a delivery home by the contract's rules: after an Uncertain it is looked for, and only then sent again."""
    for _ in range(attempts):
        outcome = connector.deliver(outstanding, connector.render(outstanding))
        if isinstance(outcome, Delivered):
            return outcome.receipt
        assert isinstance(outcome, Retry | RateLimited | Uncertain), outcome
        if isinstance(outcome, Uncertain) and (receipt := look(connector, outstanding, advance=advance)):
            return receipt
    raise AssertionError(f"still owed after {attempts} attempts: {outcome}")


def look(connector: Connector[Any], outstanding: Delivery, *, advance: Callable[[float], object]) -> Receipt | None:
    """Asks ``find`` at each of the connector's looks; a look that failed is repeated, for nothing is sent before."""
    passed = 0.0
    for seconds in connector.reconcile_after:
        advance(seconds - passed)
        passed = seconds
        if receipt := _look_once(connector, outstanding):
            return receipt
    return None


def _look_once(connector: Connector[Any], outstanding: Delivery, attempts: int = 20) -> Receipt | None:
    for _ in range(attempts):
        with suppress(Failed):
            return connector.find(outstanding)
    raise AssertionError(f"{attempts} looks failed")


_UNSEEN_STATUSES: Final = (
    *(204, 301, 302, 304, 400, 401, 403, 404, 410, 413, 422, 429, 402, 405, 407, 408, 409, 421, 423, 425, 451),
    *(500, 501, 502, 503, 504, 520, 599),
)

UNSEEN: Final = (
    *(Fault(kind=FaultKind.STATUS, status=status, body="no word of this service") for status in _UNSEEN_STATUSES),
    *(
        Fault(kind=FaultKind.STATUS, status=200, body=body)
        for body in (
            "",
            "{}",
            "[]",
            "null",
            '"ok"',
            "<html>",
            '{"ok": true}',
            '{"ok": false}',
            '{"ok": true, "messages": {}}',
        )
    ),
    Fault(kind=FaultKind.RESET_BEFORE),
    Fault(kind=FaultKind.RESET_AFTER),
    Fault(kind=FaultKind.TRUNCATED),
)
"""Answers to a look that show nothing of what is at the destination."""


LOST: Final = (
    Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=30),
    Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=30),
    Fault(kind=FaultKind.RESET_BEFORE),
    Fault(kind=FaultKind.RESET_AFTER),
    Fault(kind=FaultKind.HTML),
    Fault(kind=FaultKind.TRUNCATED),
    Fault(kind=FaultKind.DRIP, seconds=10),
    Fault(kind=FaultKind.DRIP_BODY, seconds=30),
    Fault(kind=FaultKind.FLOOD),
    Fault(kind=FaultKind.BOMB),
)
"""After none of these does anybody know what became of the request."""


SLOW: Final = {FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER, FaultKind.DRIP, FaultKind.DRIP_BODY}
"""What only the connector's own time-out ends. The drips bring each byte well within it."""


def striking(target: Target[Any], fault: Fault, path: str | None = None) -> Fault:
    """``fault``, to strike the request that brings an alert to ``target``, or ``path``."""
    return Fault(kind=fault.kind, seconds=fault.seconds, path=target.send if path is None else path)


def send_struck(
    target: Target[World], stand_in: World, one: Delivery, fault: Fault, path: str | None = None
) -> Outcome:
    """What comes of ``one`` when ``fault`` strikes it, sent by a connector that does not wait for a hanging service."""
    service = target.service(stand_in)
    service.inject(striking(target, fault, path))
    with closing(target.connect(stand_in, **patience(fault))) as connector:
        outcome = send(connector, one)
    service.clear_faults()
    return outcome


def patience(fault: Fault) -> dict[str, Any]:
    """The time-out for a connector that meets ``fault``."""
    return {"timeout": BRIEF} if fault.kind in SLOW else {}


def _responses(connector: Connector[Any], one: Delivery, receipt: Receipt | None) -> list[Delivery]:
    return responses_to(one, receipt) if connector.tells_responses else []


def everything_told(connector: Connector[Any]) -> list[str]:
    """All that a connector says of one alert, its follow-ups, a look and a check."""
    one = new_delivery()
    outcome = send(connector, one)
    told = [repr(outcome), *(repr(finding) for finding in connector.check())]
    receipt = outcome.receipt if isinstance(outcome, Delivered) else None
    told += [
        repr(send(connector, later)) for later in (*follow_ups(one, receipt), *_responses(connector, one, receipt))
    ]
    try:
        told.append(repr(connector.find(one)))
    except Failed as error:
        told.append(repr(error) + repr(error.__cause__) + repr(error.__context__))
    return told
