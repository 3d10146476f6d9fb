"""The daemon, as other processes see it: which process it is, since when, and what became of its last reload.

Whoever wants a reload asks here first and then sends the signal. The daemon reads the number of the latest request
before it reads the config, and its verdict answers that one and all before it: so nobody takes an older verdict, or one
on an older text of the config, for their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from forwarder.store.connection import Connection
from forwarder.store.engine import Engine
from forwarder.store.membership import Reload, Verdict

_STARTED: Final = """
UPDATE daemon SET pid = :pid, began = :began, config = :config, started_at = :now, config_since = :now,
  ended_at = NULL, verdict = NULL, verdict_at = NULL, problems = '[]'
"""
_JUDGED: Final = """
UPDATE daemon SET verdict = :verdict, verdict_at = :now, problems = :problems, answered = max(answered, :request),
  config_since = CASE WHEN :verdict = 'taken_over' THEN :now ELSE config_since END
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonState:
    """What the last daemon wrote down of itself.

    ``pid`` is None where it ended in order or there was none; whether it still lives is said by the lock of the
    database. ``config`` is the file of its config, ``config_since`` when it took over what it runs with.
    """

    pid: int | None = None
    began: int | None = None
    config: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    config_since: float | None = None
    requested: int = 0
    reload: Reload | None = None


class DaemonStore:
    """The side of the store by which the daemon and commands beside it hear of each other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def started(self, pid: int, began: int | None, *, now: float, config: str | None = None) -> Reload | None:
        """A daemon begins, with a config that was good, from the file ``config``.

        ``began`` tells its process from another one of the same number. Returns what another replica has refused, and
        goes on without.
        """
        values = {"pid": pid, "began": began, "config": config, "now": now}
        membership = self._engine.membership

        def work(connection: Connection) -> Reload | None:
            connection.execute(_STARTED, values)
            refused = None if membership is None else membership.began(connection, config)
            if refused is not None:
                connection.execute(_JUDGED, _values(refused, now))
            return refused

        return self._engine.write(work)

    def gone(self) -> None:
        """Who owns the database now is no daemon: an earlier one that was killed could not say that it ended."""
        self._engine.write(lambda connection: connection.execute("UPDATE daemon SET pid = NULL"))

    def ended(self, *, now: float) -> None:
        """The daemon ends in order."""
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE daemon SET pid = NULL, ended_at = ? WHERE pid IS NOT NULL", (now,)
            )
        )

    def request_reload(self) -> int:
        """Asks for a reload, to which on a file a signal must follow; returns the number of the request."""

        def work(connection: Connection) -> int:
            row = connection.execute("UPDATE daemon SET requested = requested + 1 RETURNING requested").fetchone()
            return int(row["requested"])

        return self._engine.write(work)

    def judged(self, reload: Reload, *, now: float) -> Reload:
        """Keeps what became of a reload; returns what counts for all replicas: who refused it, where one did."""
        membership = self._engine.membership

        def work(connection: Connection) -> Reload:
            counts = reload if membership is None else membership.judged(connection, reload)
            connection.execute(_JUDGED, _values(counts, now))
            return counts

        return self._engine.write(work)

    def state(self) -> DaemonState:
        """What the last daemon wrote down of itself."""
        with self._engine.read() as connection:
            row = connection.execute("SELECT * FROM daemon").fetchone()
        return DaemonState(
            pid=row["pid"],
            began=row["began"],
            config=row["config"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            config_since=row["config_since"],
            requested=row["requested"],
            reload=None
            if row["verdict"] is None
            else Reload(
                verdict=Verdict(row["verdict"]),
                problems=tuple(json.loads(row["problems"])),
                request=row["answered"],
                at=row["verdict_at"],
            ),
        )


def _values(reload: Reload, now: float) -> dict[str, Any]:
    return {
        "request": reload.request,
        "verdict": reload.verdict.value,
        "problems": json.dumps(list(reload.problems)),
        "now": now,
    }
