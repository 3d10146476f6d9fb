"""The forwarder's own troubles that go on, so that a restart neither forgets nor repeats them."""

from __future__ import annotations

from dataclasses import astuple

from forwarder.store.engine import Engine
from forwarder.store.records import Alarm


class AlarmStore:
    """The side of the store that the alarms write."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def active(self) -> list[Alarm]:
        """What goes on, the oldest first."""
        with self._engine.read() as connection:
            rows = connection.execute("SELECT * FROM alarms ORDER BY since").fetchall()
        return [Alarm(**dict(row)) for row in rows]

    def begin(self, alarm: Alarm) -> None:
        """Keeps a new one."""
        self._engine.write(
            lambda connection: connection.execute("INSERT INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(alarm))
        )

    def repeat(self, key: str, *, now: float) -> None:
        """Notes that it happened once more."""
        self._engine.write(
            lambda connection: connection.execute("UPDATE alarms SET last_at = ? WHERE key = ?", (now, key))
        )

    def notified(self, key: str, *, now: float) -> None:
        """Notes that people were told once more."""
        self._engine.write(
            lambda connection: connection.execute("UPDATE alarms SET notified_at = ? WHERE key = ?", (now, key))
        )

    def end(self, key: str) -> None:
        """Forgets it."""
        self._engine.write(lambda connection: connection.execute("DELETE FROM alarms WHERE key = ?", (key,)))
