"""The fault matrix of the Sentrytex API: what each fault is called, and that the next turn reads what was missed."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import httpx2

from forwarder.alert import Alert
from forwarder.feed.client import (
    BadAnswer,
    FeedClient,
    KeyRefused,
    RequestBudget,
    SentrytexError,
    TooManyRequests,
    Unavailable,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from tests.torture.leaks import leaks
from tests.torture.matrix import HANG, STATUSES, Row, retry_afters
from tests.torture.rig import Rig

REDIRECTS: Final = (301, 302, 303, 307, 308)
BULK: Final = 250
"""Old alerts on the feed: more than a page holds, so that a sweep asks once more for each severity."""
_PATH: Final = "/alerts"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fault at one request of a turn. ``error`` is what the turn raises, None where it notices nothing.

    ``after`` bounds the seconds that a rate limit is waited out.
    """

    name: str
    fault: Fault
    error: type[SentrytexError] | None
    after: tuple[float, float] | None = None


def cells(statuses: Sequence[int] = STATUSES) -> Iterator[Cell]:
    """Every cell, for one request of a turn."""
    for status in (*REDIRECTS, *statuses):
        fault = Fault(kind=FaultKind.STATUS, status=status, body="no word of this service", path=_PATH)
        yield Cell(name=str(status), fault=fault, error=error_of(status))
    kinds: dict[FaultKind, type[SentrytexError] | None] = {
        FaultKind.HTML: BadAnswer,
        FaultKind.TRUNCATED: Unavailable,
        FaultKind.RESET_BEFORE: Unavailable,
        FaultKind.RESET_AFTER: Unavailable,
        FaultKind.TIMEOUT_BEFORE: Unavailable,
        FaultKind.TIMEOUT_AFTER: Unavailable,
        FaultKind.STATUS_AFTER: Unavailable,
        FaultKind.DRIP: None,
        FaultKind.DRIP_BODY: None,
        FaultKind.FLOOD: BadAnswer,
        FaultKind.BOMB: BadAnswer,
        FaultKind.LATENCY: None,
    }
    for kind, error in kinds.items():
        seconds = HANG if error else 0.05
        yield Cell(name=kind.value, fault=Fault(kind=kind, status=502, seconds=seconds, path=_PATH), error=error)
    bounds = {"in seconds": (3, 3), "in fractions": (1.5, 1.5), "as a date": (1, 10), "garbled": (60, 60)}
    for form, header in retry_afters().items():
        headers = {"Retry-After": header} if header is not None else {}
        for status, error in ((429, TooManyRequests), (503, Unavailable)):
            yield Cell(
                name=f"{status}, Retry-After {form}",
                fault=Fault(kind=FaultKind.STATUS, status=status, headers=headers, body="", path=_PATH),
                error=error,
                after=bounds.get(form, (60, 60)) if error is TooManyRequests and header is not None else None,
            )


def error_of(status: int) -> type[SentrytexError]:
    """The error that a status is, by the vendor's reference; what it does not list is no answer of this API."""
    listed = {401: KeyRefused, 403: KeyRefused, 429: TooManyRequests}
    return listed.get(status, Unavailable if status >= 500 else BadAnswer)


def run(folder: Path, statuses: Sequence[int] = STATUSES) -> Row:
    """Strikes a poll's first request and a sweep's third with each fault, and then reads in peace."""
    row = Row(target="sentrytex")
    with Sandbox(limits=False) as sandbox, Rig(folder, sandbox, ["pagerduty"]) as rig:
        # All of it is from after the floor, so that sweeps must reach it.
        feed = rig.config.sentrytex.model_copy(update={"start_from": timedelta(days=30)})
        rig.forwarder.feeds["default"].poller.use(rig.config.model_copy(update={"sentrytex": feed}))
        long_ago = (datetime.now(UTC) - timedelta(days=5)).isoformat()
        rig.world.publish(BULK, severity="low", published_at=long_ago)
        rig.poll()
        hasty = FeedClient(
            sandbox.sentrytex.url,
            sandbox.sentrytex.token,
            budget=RequestBudget(limit=1_000_000),
            timeout=httpx2.Timeout(1.0),
        )
        for cell in cells(statuses):
            rig.forwarder.feeds["default"].poller.read_from(hasty if "timeout" in cell.fault.kind.value else rig.feed)
            _judge(rig, row, f"poll, {cell.name}", partial(_poll, rig, cell))
            _judge(rig, row, f"sweep, {cell.name}", partial(_sweep, rig, cell))
        hasty.close()
        _judge(rig, row, "a page that never ends", partial(_endless, rig))
    row.wrong += [f"a secret is in {leak}" for leak in leaks(folder, rig.world.secrets)]
    return row


def _judge(rig: Rig, row: Row, name: str, bring_through: Callable[[], None]) -> None:
    row.cells += 1
    try:
        bring_through()
    except AssertionError as error:
        row.wrong.append(f"sentrytex, {name}: {error}")
    rig.sandbox.sentrytex.clear_faults()


def _poll(rig: Rig, cell: Cell) -> None:
    rig.settle()
    (alert,) = rig.world.publish(severity="critical")
    before = rig.store.feed.state().cursor
    rig.sandbox.sentrytex.inject(cell.fault)
    _expect(rig.forwarder.poll, cell)
    if cell.error:
        assert rig.store.feed.state().cursor == before, "a poll that failed moves no cursor"
        rig.forwarder.poll()
    _assert_owed(rig, alert)


def _sweep(rig: Rig, cell: Cell) -> None:
    rig.settle()
    late = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    (alert,) = rig.world.publish(severity="critical", published_at=late)
    harmless = Fault(kind=FaultKind.LATENCY, seconds=0.0, path=_PATH, times=2)
    rig.sandbox.sentrytex.inject(harmless, cell.fault)
    _expect(rig.forwarder.sweep, cell)
    if cell.error:
        assert rig.store.queries.history(alert.id) is None, "a sweep that failed commits nothing"
        rig.forwarder.sweep()
    _assert_owed(rig, alert)


def _expect(turn: Callable[[], object], cell: Cell) -> None:
    raised: SentrytexError | None = None
    try:
        turn()
    except SentrytexError as error:
        raised = error
    assert type(raised) is (cell.error or type(None)), f"it raised {raised!r}, not {cell.error}"
    if cell.after and isinstance(raised, TooManyRequests):
        least, most = cell.after
        assert least <= raised.after <= most, f"it waits {raised.after} seconds"


def _assert_owed(rig: Rig, alert: Alert) -> None:
    history = rig.store.queries.history(alert.id)
    assert history is not None, "the next turn did not read it"
    assert [delivery.connector for delivery in history.row.deliveries] == ["pagerduty"], "it is owed once"


class _Endless(socketserver.BaseRequestHandler):
    """Answers with a page that has no end."""

    def handle(self) -> None:
        self.request.recv(65536)
        with contextlib.suppress(OSError):
            self.request.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"alerts": [')
            while True:
                self.request.sendall(b'{"id": "x"}, ' * 1000)


def _endless(rig: Rig) -> None:
    (alert,) = rig.world.publish()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Endless) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        for limits, error in (
            ({"max_body": 1_000_000}, BadAnswer),
            ({"max_seconds": 0.1, "max_body": 10**12}, Unavailable),
        ):
            client = FeedClient(url, rig.sandbox.sentrytex.token, budget=RequestBudget(limit=1000), **limits)
            rig.forwarder.feeds["default"].poller.read_from(client)
            _expect(rig.forwarder.poll, Cell(name="", fault=Fault(kind=FaultKind.DRIP), error=error))
            client.close()
        server.shutdown()
    rig.forwarder.feeds["default"].poller.read_from(rig.feed)
    rig.forwarder.poll()
    _assert_owed(rig, alert)
