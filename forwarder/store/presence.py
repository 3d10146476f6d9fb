"""Whether a daemon is on a database, as others can tell: who owns it, and its last sign of life."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from forwarder.store import owner, pulse
from forwarder.store.membership import Muster


class Presence(Protocol):
    """What shows of the process that owns a database; raises StoreError where that cannot be asked."""

    def owned(self) -> bool:
        """Whether a process owns it."""

    def pid(self) -> int | None:
        """The number by which that process knows itself; None where none does."""

    def beat(self) -> None:
        """Says that the daemon turns; only for who owns it."""

    def last(self) -> float | None:
        """When the last sign of life came; None where there is none."""

    def silence(self) -> float:
        """Seconds since then; 0.0 where that cannot be told."""

    def note(self, refusal: pulse.Refusal | None) -> None:
        """Leaves a note that it refuses writes, or takes it away; only for who owns it."""

    def noted(self) -> pulse.Refusal | None:
        """That note; None where there is none."""

    def muster(self) -> Muster | None:
        """The replicas and their roles; None where one process has all."""


class FilePresence:
    """Signs beside a SQLite file: a lock, its time and a note in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def owned(self) -> bool:
        return owner.is_owned(self._path)

    def pid(self) -> int | None:
        return owner.owner_pid(self._path)

    def beat(self) -> None:
        pulse.beat(self._path)

    def last(self) -> float | None:
        return pulse.last(self._path)

    def silence(self) -> float:
        return pulse.silence(self._path)

    def note(self, refusal: pulse.Refusal | None) -> None:
        pulse.note(self._path, refusal)

    def noted(self) -> pulse.Refusal | None:
        return pulse.noted(self._path)

    def muster(self) -> Muster | None:
        return None
