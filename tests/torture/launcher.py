"""Runs ``forwarder run`` as it is, except that it dies at one point of the path: ``launcher CONFIG POINT CALL``.

CALL is at which call of that point it dies, counted from 1; of START it is after how many seconds. The points are put
around the daemon's own functions from here, so that no line of the daemon knows of them.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from forwarder import cli
from forwarder.feed.client import FeedClient
from tests.torture.points import Point


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(owner: type, name: str, call: int, counts: Callable[[Any], bool] = lambda _: True) -> None:
    """Lets the process die after the ``call``-th call of a method whose result ``counts``."""
    method, calls, lock = getattr(owner, name), itertools.count(1), threading.Lock()

    def dying(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if counts(result):
            with lock:
                if next(calls) == call:
                    die()
        return result

    setattr(owner, name, dying)


def die_within_write(call: int) -> None:
    """Lets the process die when the ``call``-th writing has been carried out, before its transaction commits."""
    from forwarder.store.engine import GroupCommit

    write, calls = GroupCommit.write, itertools.count(1)

    def dying(self: GroupCommit, work: Callable[[Any], Any], *, role: str | None = None) -> Any:
        def doomed(connection: Any) -> Any:
            result = work(connection)
            # Called under the lock of the one writer, so counting needs none.
            if next(calls) == call:
                die()
            return result

        return write(self, doomed, role=role)

    GroupCommit.write = dying  # type: ignore[method-assign]


def die_after_response(call: int) -> None:
    """Lets the process die when the ``call``-th transaction that keeps a response of somebody's has been committed.

    Whatever is not owed by then, in that transaction, is owed by nobody.
    """
    from forwarder.store.engine import GroupCommit

    write, calls = GroupCommit.write, itertools.count(1)

    def responses(connection: Any) -> int:
        return int(connection.execute("SELECT count(*) FROM responses").fetchone()[0])

    def dying(self: GroupCommit, work: Callable[[Any], Any], *, role: str | None = None) -> Any:
        more = False

        def counting(connection: Any) -> Any:
            nonlocal more
            before, result = responses(connection), work(connection)
            more = responses(connection) > before
            return result

        result = write(self, counting, role=role)
        if more and next(calls) == call:
            die()
        return result

    GroupCommit.write = dying  # type: ignore[method-assign]


def arm(point: Point, call: float) -> None:
    from forwarder.connector import Delivered
    from forwarder.plugins import load_type
    from forwarder.store.feed import FeedStore
    from forwarder.store.outbox import Outbox

    match point:
        case Point.START:
            timer = threading.Timer(call, die)
            timer.daemon = True
            timer.start()
        case Point.FETCH:
            die_after(FeedClient, "alerts", int(call))
        case Point.WRITE:
            die_within_write(int(call))
        case Point.COMMIT:
            die_after(FeedStore, "commit_page", int(call))
        case Point.CLAIM:
            die_after(Outbox, "claim", int(call), counts=bool)
        case Point.REPLY:
            for kind in ("slack", "teams", "pagerduty", "jsm", "jira", "github", "webhook", "email", "apprise"):
                die_after(load_type(kind), "deliver", int(call), counts=lambda outcome: isinstance(outcome, Delivered))
        case Point.SETTLE:
            die_after(Outbox, "settle", int(call))
        case Point.RESPONSE:
            die_after_response(int(call))
        case Point.EFFECT | Point.NEVER:
            pass  # a service knows when it has taken something: the kill comes from there, or from nowhere


def main() -> None:
    config, point, call = sys.argv[1:]
    arm(Point(point), float(call))
    sys.argv = ["forwarder", "run", "--config", config]
    cli.main()


if __name__ == "__main__":
    main()
