"""The fault matrix: every connector, and everything that can become of one request, from the feed to the end.

Each cell says what the first attempt must come to, and how often the alert must stand at its destination in the end.
The contract suite holds single attempts against the same table; here the whole forwarder brings an alert through it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from forwarder.connector import Broken, Delivered, RateLimited, Rejected, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store.query_records import Filter
from forwarder.store.records import AttemptResult, State
from forwarder.testing import Kinds, Target
from tests.torture.leaks import leaks
from tests.torture.rig import QUICK, Rig
from tests.torture.world import assert_exactly_once

STANDARD: Final = tuple(status.value for status in HTTPStatus if status >= 400)
UNREGISTERED: Final = (
    *(420, 430, 440, 444, 449, 450, 460, 463, 494, 495, 496, 497, 498, 499, 509),
    *(*range(520, 531), 598, 599),
)
"""Statuses that no standard lists, and that proxies and clouds answer."""
STATUSES: Final = tuple(sorted({*STANDARD, *UNREGISTERED}))
LATER: Final = frozenset({408, 409, 421, 423, 425})
"""Refusals that say of themselves that a later try may pass."""

RESULTS: Final = {
    Delivered: AttemptResult.DELIVERED,
    Retry: AttemptResult.RETRY,
    RateLimited: AttemptResult.RATE_LIMITED,
    Uncertain: AttemptResult.UNCERTAIN,
    Rejected: AttemptResult.REJECTED,
    Broken: AttemptResult.BROKEN,
}
"""What is recorded of each outcome."""

HANG: Final = 5.0
"""Seconds that a service hangs: longer than a hasty connector waits."""
_LOOK_FAULTS: Final = (
    *(Fault(kind=FaultKind.STATUS, status=status) for status in (401, 403, 404, 429, 500, 503)),
    *(
        Fault(kind=kind)
        for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER)
    ),
    Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=HANG),
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fault at one request. ``first`` is what the attempt that it strikes may come to.

    ``repeats`` is whether the alert may stand twice in the end: the remote took it, said nothing, and cannot be asked.
    ``look`` strikes the search that follows a lost answer.
    """

    name: str
    fault: Fault
    first: Kinds
    repeats: bool = False
    look: Fault | None = None

    @property
    def hasty(self) -> bool:
        """Whether it takes a connector that does not wait long."""
        return any(fault and "timeout" in fault.kind.value for fault in (self.fault, self.look))


def cells(target: Target[Sandbox], statuses: Sequence[int] = STATUSES) -> Iterator[Cell]:
    """Every cell of one connector."""
    for status in statuses:
        fault = Fault(
            kind=FaultKind.STATUS, status=status, body="no word of this service", path=target.send, times=None
        )
        yield Cell(name=f"{status}", fault=fault, first=expected(target, status))
    for kind in FaultKind:
        match kind:
            case FaultKind.STATUS | FaultKind.TWICE:
                continue
            case FaultKind.STATUS_AFTER if not target.http:
                continue  # a refusal there says that nothing was done
            case FaultKind.LATENCY | FaultKind.DRIP | FaultKind.DRIP_BODY:
                first: Kinds = (Delivered,)
            case _:
                first = target.lost
        seconds = 0.05 if first == (Delivered,) else HANG
        yield Cell(
            name=kind.value,
            fault=Fault(kind=kind, status=502, seconds=seconds, path=target.send),
            first=first,
            repeats=kind.has_effect and first != (Delivered,) and not target.once,
        )
    for form, header in retry_afters().items() if target.http else ():
        for status in (429, 503):
            headers = {} if header is None else {"Retry-After": header}
            fault = Fault(kind=FaultKind.STATUS, status=status, headers=headers, path=target.send)
            yield Cell(name=f"{status}, Retry-After {form}", fault=fault, first=expected(target, status))
    if target.find_path:
        lost = Fault(kind=FaultKind.RESET_AFTER, path=target.send)
        for look in _LOOK_FAULTS:
            struck = Fault(kind=look.kind, status=look.status, seconds=look.seconds, path=target.find_path)
            name = look.kind.value if look.kind is not FaultKind.STATUS else str(look.status)
            yield Cell(name=f"reset_after, and {name} when looking", fault=lost, look=struck, first=target.lost)


def expected(target: Target[Sandbox], status: int) -> Kinds:
    """What an answer of that status comes to; where the contract's table has no word, by what its class means."""
    if status in target.statuses:
        return target.statuses[status]
    if status >= 500 or not target.http:
        return target.statuses[status // 100 * 100]
    return (Retry, Uncertain) if status in LATER else (Rejected, Broken)


def retry_afters() -> dict[str, str | None]:
    """The forms of a Retry-After header."""
    soon = datetime.now(UTC) + timedelta(seconds=10)
    return {
        "in seconds": "3",
        "in fractions": "1.5",
        "as a date": format_datetime(soon, usegmt=True),
        "garbled": "soon",
        "missing": None,
    }


@dataclass(kw_only=True)
class Row:
    """What all cells of one connector showed."""

    target: str
    cells: int = 0
    repeats: int = 0
    wrong: list[str] = field(default_factory=list)


def run(target: Target[Sandbox], folder: Path, statuses: Sequence[int] = STATUSES) -> Row:
    """Brings one alert through each cell of a connector."""
    row = Row(target=target.name)
    every = list(cells(target, statuses))
    for hasty in (False, True):
        place = folder / ("hasty" if hasty else "patient")
        place.mkdir()
        settings = {target.name: {**QUICK[target.name], "timeout": "1s" if hasty else "60s"}}
        with Sandbox(limits=False) as sandbox:
            sandbox.jira.index_lag = 1.0
            with Rig(place, sandbox, [target.name], settings=settings) as rig:
                rig.poll()
                for cell in every:
                    if cell.hasty == hasty:
                        _judge(rig, target, cell, row)
            row.wrong += [f"a secret is in {leak}" for leak in leaks(place, rig.world.secrets)]
    _refused(target, folder, row)
    return row


def _judge(rig: Rig, target: Target[Sandbox], cell: Cell, row: Row) -> None:
    row.cells += 1
    try:
        row.repeats += _bring_through(rig, target, cell)
    except AssertionError as error:
        row.wrong.append(f"{target.name}, {cell.name}: {error}")
        target.service(rig.sandbox).clear_faults()


def _bring_through(rig: Rig, target: Target[Sandbox], cell: Cell) -> int:
    """How often the alert was repeated; raises AssertionError where the cell does not hold."""
    service, heard = target.service(rig.sandbox), rig.heard.attempts
    heard.clear()
    service.inject(cell.fault)
    (alert,) = rig.world.publish()
    rig.poll()
    if cell.look:
        rig.until(lambda: heard)
        service.inject(cell.look)
    rig.settle()
    first = heard[0].settlement.outcome
    allowed = [RESULTS[kind] for kind in cell.first]
    assert first in allowed, f"the first attempt came to {first}, not to {' or '.join(allowed)}"
    dead = rig.store.queries.deliveries(Filter(state=State.DEAD))
    if first is AttemptResult.REJECTED:
        assert [row.alert_id for row in dead] == [alert.id], "a refusal is a dead letter"
        assert target.count(rig.sandbox, alert) == 0, "a dead letter stands nowhere else"
        rig.store.operations.retry([row.id for row in dead], now=rig.now())
        rig.advance(0.0)
        rig.settle()
    else:
        assert not dead, "nothing else is a dead letter"
    stands = target.count(rig.sandbox, alert)
    # To whom it counts as delivered it is not sent again.
    assert stands == 1 + (cell.repeats and first is not AttemptResult.DELIVERED), f"it stands {stands} times"
    return stands - 1


def _refused(target: Target[Sandbox], folder: Path, row: Row) -> None:
    """A connection that is refused: the address is one where nobody listens, until the config is put right."""
    row.cells += 1
    place = folder / "refused"
    place.mkdir()
    with Sandbox(limits=False) as sandbox, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with Rig(place, sandbox, [target.name]) as rig:
            rig.poll()
            service = target.service(sandbox)
            port = nobody.getsockname()[1]
            moved = (service.origin.partition("://")[2], f"127.0.0.1:{port}")
            if not target.http:
                moved = (f'"port": {target.config(sandbox)["port"]}', f'"port": {port}')
            rig.forwarder.reload(rig.config_with(*moved))
            alerts = rig.world.publish()
            rig.poll()
            rig.until(lambda: rig.heard.attempts)
            first = rig.heard.attempts[0].settlement.outcome
            rig.forwarder.reload(rig.config)
            rig.settle()
            try:
                assert first is AttemptResult.RETRY, f"the first attempt came to {first}"
                assert_exactly_once(rig.world, alerts)
            except AssertionError as error:
                row.wrong.append(f"{target.name}, connection refused: {error}")
