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

from forwarder.common.units import format_duration
from forwarder.store.membership import boot_clock
from forwarder.store.postgres.wire import Raw


class Silent(psycopg.OperationalError):
    """A connection was ended here, because nothing came back on it for so long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the server gave no answer for {format_duration(round(seconds))}; that connection is given up, and made"
            " anew by itself"
        )


class Silence:
    """Who waits for an answer, since when, and on which connection."""

    def __init__(self) -> None:
        self._waiting: dict[object, tuple[Raw, float]] = {}
        self._ended: dict[object, float] = {}
        """Of those who still wait, where it was ended, with how long they had waited by then."""
        # A connection that is being ended here may not be closed meanwhile: its number would be another file's.
        self._lock = threading.Lock()

    @contextmanager
    def awaited(self, raw: Raw) -> Iterator[None]:
        """Within it the server is waited for; raises Silent where that was ended."""
        token = object()
        with self._lock:
            self._waiting[token] = raw, boot_clock()
        ended: float | None = None
        try:
            try:
                yield
            finally:
                with self._lock:
                    del self._waiting[token]
                    ended = self._ended.pop(token, None)
        except psycopg.Error as error:
            # "The connection was lost" would send whoever is on call to look at the network.
            if ended is None:
                raise
            raise Silent(ended) from error

    def end(self, seconds: float) -> bool:
        """Ends what has been waited for in vain for so long: who waits there finds it lost. Whether there was any."""
        with self._lock:
            now = boot_clock()
            silent = {
                token: (raw, now - since) for token, (raw, since) in self._waiting.items() if now - since > seconds
            }
            for token, (raw, waited) in silent.items():
                self._ended.setdefault(token, waited)
                with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(raw.fileno())) as dead:
                    dead.shutdown(socket.SHUT_RDWR)
        return bool(silent)
