"""What is found of deliveries whose process or worker is gone, and when what is owed is due after that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from forwarder.common.clock import Now, still
from forwarder.connector import Connector
from forwarder.delivery.transitions import ATTEMPTS, first_looks
from forwarder.logs import get_logger
from forwarder.replicas.roles import UPKEEP, of_connector
from forwarder.store import Store

log = get_logger(__name__)


class Leftovers:
    """What others left: of all connectors, or, where there are replicas, of those that this process has."""

    def __init__(
        self, store: Store, *, shared: bool, now: Now, connectors: Callable[[], Mapping[str, Connector[Any]]]
    ) -> None:
        self._store, self._shared, self._now, self._connectors = store, shared, now, connectors

    def take_over(self, names: Iterable[str]) -> None:
        """What an earlier process had claimed may have arrived; what it put off is not put off for long."""
        reclaimed = self._reclaim(names, all_claims=True)
        if reclaimed:
            log.warning("found_unsettled", deliveries=reclaimed)
        self.reset_deadlines(names)

    def reset_deadlines(self, names: Iterable[str]) -> None:
        """Paused connectors are tried at once, and no deadline is far off."""
        now = self._now()
        if not self._shared:
            self._store.outbox.reset_deadlines(now=now, most=ATTEMPTS.most)
            return
        for name in names:
            acting = self._store.acting_as(of_connector(name)).outbox
            acting.reset_deadlines(now=now, most=ATTEMPTS.most, connector=name)

    def reclaim_expired(self, names: Iterable[str], *, upkeep: bool) -> dict[str, int]:
        """Takes back what no worker settled within its lease; with ``upkeep`` also what the config does not name."""
        with still(self._now):
            reclaimed = self._reclaim(names, all_claims=False)
            if self._shared and upkeep:
                named, acting = self._connectors(), self._store.acting_as(UPKEEP).outbox
                reclaimed |= acting.reclaim_expired(
                    now=self._now(), due_at={}, all_claims=False, of=lambda name: name not in named
                )
        if reclaimed:
            log.warning("lease_ended", deliveries=reclaimed)
        return reclaimed

    def _reclaim(self, names: Iterable[str], *, all_claims: bool) -> dict[str, int]:
        now = self._now()
        due_at, reclaimed = first_looks(self._connectors().values(), now), dict[str, int]()
        if not self._shared:
            return self._store.outbox.reclaim_expired(now=now, due_at=due_at, all_claims=all_claims)
        for name in names:
            # By the clock of who has it: another machine's may be off.
            acting = self._store.acting_as(of_connector(name)).outbox
            reclaimed |= acting.reclaim_expired(now=now, due_at=due_at, all_claims=all_claims, of=name.__eq__)
        return reclaimed
