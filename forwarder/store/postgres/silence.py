"""Connections on which a server has not answered for long, ended from another thread than the one that waits.

TCP notices a machine that is gone, and not a pooler or a proxy that stands still: its system goes on to acknowledge all
that is sent. Nor does a time-out of the server's help, which it may never have heard of.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from forwarder.store.membership import boot_clock
from forwarder.store.postgres.wire import Raw


class Silence:
    """Who waits for an answer, since when, and on which connection."""

    def __init__(self) -> None:
        self._waiting: dict[object, tuple[Raw, float]] = {}
        # A connection that is being ended here may not be closed meanwhile: its number would be another file's.
        self._lock = threading.Lock()

    @contextmanager
    def awaited(self, raw: Raw) -> Iterator[None]:
        """Within it the server is waited for."""
        token = object()
        with self._lock:
            self._waiting[token] = raw, boot_clock()
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[token]

    def end(self, seconds: float) -> bool:
        """Ends what has been waited for in vain for so long: who waits there finds it lost. Whether there was any."""
        with self._lock:
            silent = [raw for raw, since in self._waiting.values() if boot_clock() - since > seconds]
            for raw in silent:
                with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(raw.fileno())) as dead:
                    dead.shutdown(socket.SHUT_RDWR)
        return bool(silent)
