"""The threads of one connector: started as far as the system gives them, and ended by nothing but a stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from forwarder.logs import get_logger

log = get_logger(__name__)

AGAIN: Final = 2.0
"""Seconds after which a worker that failed in a way that nobody thought of goes on."""
LOOKS_WITHIN: Final = 60.0
"""Seconds in which a worker that delivers nothing looks at its queue, however long it waits for the database."""


class Workers:
    """As many threads as a connector may have deliveries under way, all carrying out ``work`` until it returns."""

    def __init__(self, name: str, count: int, work: Callable[[], None], stop: threading.Event) -> None:
        self._name, self._count, self._work, self._stop = name, count, work, stop
        self._starting, self._started = threading.Lock(), False
        self._seen_at = time.monotonic()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begins; where the system has too few threads left, ``tend`` starts the others later."""
        self._started = True
        self.show_life()
        self.tend()

    def tend(self) -> None:
        """Starts the workers that are missing."""
        with self._starting:
            while self._started and len(self._threads) < self._count and not self._stop.is_set():
                thread = threading.Thread(target=self._live, name=f"{self._name}-{len(self._threads)}", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    log.error("worker_not_started", connector=self._name, reason=str(error))  # noqa: TRY400
                    return
                self._threads.append(thread)

    def show_life(self) -> None:
        """One of them did something."""
        self._seen_at = time.monotonic()

    def alive(self, now_monotonic: float, *, busy: int, patience: float) -> bool:
        """Whether all live and turn, where ``busy`` of them may take ``patience`` seconds for what they do."""
        may_take = patience if busy >= len(self._threads) else LOOKS_WITHIN
        alive = len(self._threads) == self._count and all(thread.is_alive() for thread in self._threads)
        return alive and now_monotonic - self._seen_at <= may_take

    @property
    def ended(self) -> bool:
        """Whether none is left."""
        return not any(thread.is_alive() for thread in self._threads)

    def join(self, timeout: float) -> bool:
        """Waits up to ``timeout`` seconds for all to end; whether they did."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        return self.ended

    def _live(self) -> None:
        while True:
            try:
                return self._work()
            except BaseException:
                # A connector may even ask for the end of its thread, which Python would grant without a word.
                log.exception("worker_failed", connector=self._name)
                if self._stop.wait(AGAIN):
                    return None
