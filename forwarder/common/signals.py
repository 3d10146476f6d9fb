"""The signals of a process: noted when they come, and acted upon by its main loop."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Final, Self

_ROOM: Final = 65536
"""Bytes that are read at once of what woke the loop: more than a pipe holds."""
_PUT_OFF: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What the command line puts off until it is noted."""


class Signals:
    """Notes the signals ``numbers`` from ``with`` to its end, in the main thread.

    The handler is a method of a dict, which is C and takes no lock: whatever it interrupts, it cannot wait for it, and
    no further signal can interrupt it, however fast they come. A handler in Python can be interrupted by itself until
    the stack ends, and one that sets an Event waits for ever for the lock that the code under it holds.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._noted: dict[int, FrameType | None] = {}
        self._before: dict[int, Any] = {}
        self._ear = self._bell = -1
        # Only against a wake that comes after the end, when the number may be another file's; no handler takes it.
        self._open = threading.Lock()

    def __enter__(self) -> Self:
        self._ear, self._bell = os.pipe()
        for end in (self._ear, self._bell):
            os.set_blocking(end, False)
        # A full pipe loses nothing: it wakes the loop, and what came is in the dict.
        self._bell_before = signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._noted.setdefault)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PUT_OFF)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._bell_before)
        with self._open:
            for end in (self._ear, self._bell):
                os.close(end)
            self._ear = self._bell = -1

    def came(self, *numbers: signal.Signals) -> bool:
        """Whether one of these was sent; it stays noted."""
        return any(number in self._noted for number in numbers)

    def take(self, number: signal.Signals) -> bool:
        """Whether this was sent since it was last taken, once or often."""
        if number not in self._noted:
            return False
        del self._noted[number]
        return True

    def wait(self, seconds: float | None) -> None:
        """Waits until a signal comes, for ``seconds`` at most; not at all where one came since the last wait."""
        select.select([self._ear], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._ear, _ROOM)

    def wake(self) -> None:
        """Ends a wait from another thread; nothing where they are no longer noted."""
        with self._open, suppress(BlockingIOError):
            if self._bell >= 0:
                os.write(self._bell, b"\0")

    def ignore(self) -> None:
        """Ignores them until the process ends: it has nothing left that they could end cleanly."""
        self._before = dict.fromkeys(self._numbers, signal.SIG_IGN)
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)
