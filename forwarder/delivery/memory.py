"""A connector's memory, kept in the store."""

from __future__ import annotations

import threading

from forwarder.connector import NOTICE, Failed, Retry
from forwarder.logs import get_logger
from forwarder.store import LeaseLost, StoreError
from forwarder.store.memory import MemoryStore

log = get_logger(__name__)


class StoredMemory:
    """What one connector keeps."""

    def __init__(self, store: MemoryStore, connector: str) -> None:
        self._store, self._connector = store, connector
        self._lock = threading.Lock()
        self._unwritten: dict[str, str] = {}
        store.forget(connector)

    def get(self, key: str) -> str:
        """What was put there last; raises Failed where the database cannot be read."""
        with self._lock:
            try:
                return self._known(key)
            except StoreError as error:
                raise Failed(Retry(str(error))) from error

    def put(self, key: str, value: str) -> None:
        """Keeps ``value``. Where the database does not take it, this process knows it, and a repeat tries again."""
        with self._lock:
            try:
                known = self._known(key)
                if known == value and key not in self._unwritten:
                    return
                if key == NOTICE and value and known != value:
                    log.warning("connector_notice", connector=self._connector, reason=value)
                self._unwritten[key] = value
                self._store.put(self._connector, key, value)
                del self._unwritten[key]
            except LeaseLost:
                log.info("not_kept", connector=self._connector, key=key)
            except StoreError as error:
                log.error("store_failed", connector=self._connector, reason=str(error))  # noqa: TRY400

    def _known(self, key: str) -> str:
        if key in self._unwritten:
            return self._unwritten[key]
        return self._store.get(self._connector, key)
