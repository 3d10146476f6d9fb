"""The forwarder's own troubles that go on, so that a restart neither forgets nor repeats them."""

from __future__ import annotations

from dataclasses import astuple

from forwarder.store.engine import Engine
from forwarder.store.records import Alarm


class Troubles(Engine):
    """The side of the store that the alarms write."""

    def alarms(self) -> list[Alarm]:
        """What goes on, the oldest first."""
        with self.read() as connection:
            rows = connection.execute("SELECT * FROM alarms ORDER BY since").fetchall()
        return [Alarm(**dict(row)) for row in rows]

    def alarm_begins(self, alarm: Alarm) -> None:
        """Keeps a new one."""
        self.write(
            lambda connection: connection.execute("INSERT INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(alarm))
        )

    def alarm_again(self, key: str, *, now: float) -> None:
        """Notes that it happened once more."""
        self.write(lambda connection: connection.execute("UPDATE alarms SET last_at = ? WHERE key = ?", (now, key)))

    def alarm_told(self, key: str, *, now: float) -> None:
        """Notes that people were told once more."""
        self.write(lambda connection: connection.execute("UPDATE alarms SET told_at = ? WHERE key = ?", (now, key)))

    def alarm_ends(self, key: str) -> None:
        """Forgets it."""
        self.write(lambda connection: connection.execute("DELETE FROM alarms WHERE key = ?", (key,)))
