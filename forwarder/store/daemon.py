"""The daemon, as other processes see it: which process it is, since when, and what became of its last reload.

Whoever wants a reload asks here first and then sends the signal. The daemon reads the number of the latest request
before it reads the config, and its verdict answers that one and all before it: so nobody takes an older verdict, or one
on an older text of the config, for their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from forwarder.store.connection import Connection
from forwarder.store.engine import Engine

_STARTED: Final = """
UPDATE daemon SET pid = :pid, began = :began, config = :config, started_at = :now, config_since = :now,
  ended_at = NULL, verdict = NULL, verdict_at = NULL, problems = '[]'
"""
_JUDGED: Final = """
UPDATE daemon SET verdict = :verdict, verdict_at = :now, problems = :problems, answered = max(answered, :request),
  config_since = CASE WHEN :verdict = 'taken_over' THEN :now ELSE config_since END
"""


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

    def started(self, pid: int, began: int | None, *, now: float, config: str | None = None) -> None:
        """A daemon begins, with a config that was good, from the file ``config``.

        ``began`` tells its process from another one of the same number.
        """
        values = {"pid": pid, "began": began, "config": config, "now": now}
        self._engine.write(lambda connection: connection.execute(_STARTED, values))

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
        """Asks for a reload, to which a signal must follow; returns the number of the request."""

        def work(connection: Connection) -> int:
            row = connection.execute("UPDATE daemon SET requested = requested + 1 RETURNING requested").fetchone()
            return int(row["requested"])

        return self._engine.write(work)

    def judged(self, reload: Reload, *, now: float) -> None:
        """Keeps what became of a reload."""
        values = {
            "request": reload.request,
            "verdict": reload.verdict.value,
            "problems": json.dumps(list(reload.problems)),
            "now": now,
        }
        self._engine.write(lambda connection: connection.execute(_JUDGED, values))

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
