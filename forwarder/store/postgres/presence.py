"""What shows of the replicas on a server, to who looks from beside them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from forwarder.store.connection import Connection
from forwarder.store.membership import Muster, Replica
from forwarder.store.postgres.membership import PostgresMembership, host_name
from forwarder.store.postgres.rows import look
from forwarder.store.pulse import Refusal


class ReplicaPresence:
    """What shows in the replicas' rows; ``member`` is this process among them, where it is one."""

    def __init__(
        self, read: Callable[[], AbstractContextManager[Connection]], member: PostgresMembership | None = None
    ) -> None:
        self._read, self._member = read, member

    def owned(self) -> bool:
        return bool(self.muster().replicas)

    def pid(self) -> int | None:
        replica = self._shown()
        return None if replica is None else replica.pid

    def beat(self) -> None:
        if self._member is not None:
            self._member.turned.set()

    def last(self) -> float | None:
        replica = self._shown()
        if replica is not None:
            silence = replica.silence
        else:
            with self._read() as connection:
                silence = connection.execute(_SILENCE).fetchone()[0]
        # By this machine's clock, for it is compared with that.
        return None if silence is None else time.time() - silence

    def silence(self) -> float:
        replica = self._shown()
        return 0.0 if replica is None else replica.silence or 0.0

    def note(self, refusal: Refusal | None) -> None:
        """Nothing: a server that takes no writes takes no note of that either."""

    def noted(self) -> Refusal | None:
        return None

    def muster(self) -> Muster:
        with self._read() as connection:
            return look(connection)

    def _shown(self) -> Replica | None:
        """The one that is meant by whoever asks for one: the latest on this machine, else the latest of all."""
        replicas = self.muster().replicas
        here = [replica for replica in replicas if replica.host == host_name()]
        return next(reversed(here or list(replicas)), None)


_SILENCE: Final = "SELECT extract(epoch FROM clock_timestamp() - max(turned_at)) FROM replicas"
