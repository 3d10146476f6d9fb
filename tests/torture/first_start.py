"""A first start without a feed: what is published meanwhile arrives, and nothing of the past does.

The daemon is started on a new database with ``start_from: now`` while the feed fails in one way or another, is killed
and started again, and only then can the feed be read. ``SCENARIOS`` lists the ways by their names.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from forwarder.sandbox import Fault, FaultKind
from forwarder.store import StoreError
from forwarder.store.records import Feed
from tests.torture.ground import Scenario, settled, world
from tests.torture.world import Running, World, assert_exactly_once

Fail = Callable[[World], None]


def _fault(kind: FaultKind, status: int = 503) -> Fail:
    return lambda place: place.sandbox.sentrytex.inject(Fault(kind=kind, status=status, times=None))


def _no_scope(place: World) -> None:
    place.sandbox.sentrytex.scopes = set()


def _revoked(place: World) -> None:
    place.sandbox.sentrytex.revoke()


FAILURES: Final[Mapping[str, Fail]] = {
    "the API answers 503": _fault(FaultKind.STATUS),
    "nothing answers": _fault(FaultKind.RESET_BEFORE),
    "a proxy answers": _fault(FaultKind.HTML),
    "the key lacks its scopes": _no_scope,
    "the key is revoked": _revoked,
}


def _first_start(fail: Fail) -> Scenario:
    def scenario(folder: Path) -> None:
        with world(folder) as place:
            _begin_now(place)
            long_ago = [datetime.now(UTC) - timedelta(seconds=back) for back in (60, 3600, 86400, 5 * 86400)]
            past = [alert for time in long_ago for alert in place.publish(5, published_at=time.isoformat())]
            fail(place)
            meanwhile = []
            for _ in range(2):
                with place.start() as daemon:
                    _until(daemon, place, lambda feed: feed.poll_error is not None, "a poll failed")
                    meanwhile += place.publish(5)
            _mend(place)
            with place.start() as daemon:
                settled(daemon, place, meanwhile)
                _until(daemon, place, lambda feed: feed.swept_at is not None, "a sweep was complete")
                daemon.until(place.owes_nothing, "nothing was owed")
                assert daemon.stop() == 0
            assert_exactly_once(place, meanwhile)
            sent = {name: tally.arrived for name, tally in place.tally(past).items()}
            assert not any(sent.values()), f"the past was sent: {sent}"

    return scenario


def _begin_now(place: World) -> None:
    config = json.loads(place.config.read_text("utf-8"))
    config["sentrytex"]["start_from"] = "now"
    place.config.write_text(json.dumps(config), "utf-8")


def _mend(place: World) -> None:
    feed = place.sandbox.sentrytex
    feed.clear_faults()
    feed.restore()
    feed.scopes = {"read:alerts", "read:stack"}


def _until(daemon: Running, place: World, what: Callable[[Feed], bool], reason: str) -> None:
    def holds() -> bool:
        # A daemon that has only begun may not have made its database yet.
        with contextlib.suppress(StoreError), place.store() as store:
            return what(store.feed.state())
        return False

    daemon.until(holds, reason)


SCENARIOS: Final[Mapping[str, Scenario]] = {name: _first_start(fail) for name, fail in FAILURES.items()}
