"""A connector's memory, kept in the store."""

from __future__ import annotations

import threading

from forwarder.connector import NOTICE, Failed, Retry
from forwarder.logs import get_logger
from forwarder.store import StoreError
from forwarder.store.memory import MemoryStore

log = get_logger(__name__)


class StoredMemory:
    """What one connector keeps. It is the only one that writes it, so each text is read once."""

    def __init__(self, store: MemoryStore, connector: str) -> None:
        self._store, self._connector = store, connector
        self._lock = threading.Lock()
        self._values: dict[str, str] | None = None
        self._unwritten: set[str] = set()

    def get(self, key: str) -> str:
        """What was put there last; raises Failed where the database cannot be read."""
        with self._lock:
            try:
                return self._known().get(key, "")
            except StoreError as error:
                raise Failed(Retry(str(error))) from error

    def put(self, key: str, value: str) -> None:
        """Keeps ``value``. Where the database does not take it, this process knows it, and a repeat tries again."""
        with self._lock:
            try:
                known = self._known()
                if known.get(key, "") == value and key not in self._unwritten:
                    return
                if key == NOTICE and value and known.get(key) != value:
                    log.warning("connector_notice", connector=self._connector, reason=value)
                known[key] = value
                self._unwritten.add(key)
                self._store.put(self._connector, key, value)
                self._unwritten.discard(key)
            except StoreError as error:
                log.error("store_failed", connector=self._connector, reason=str(error))  # noqa: TRY400

    def _known(self) -> dict[str, str]:
        if self._values is None:
            self._values = dict(self._store.of(self._connector))
        return self._values
