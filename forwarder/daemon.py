"""The process: it owns the database, answers signals and the service manager, serves the page, and ends cleanly."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from forwarder import __version__
from forwarder.app import Forwarder, ReloadRefused
from forwarder.common.clock import Clock
from forwarder.config import Config, ConfigError
from forwarder.logs import Redactor, configure, get_logger
from forwarder.store import Store
from forwarder.web.server import Server, bind

log = get_logger(__name__)

BEAT: Final = 1.0
"""Seconds between two looks at the clock; also how often the service manager's watchdog hears of us."""


class Daemon:
    """A forwarder as a process. ``load`` reads the config anew, for a reload; raises ConfigError."""

    def __init__(self, config: Config, load: Callable[[], Config], redactor: Redactor) -> None:
        self._config, self._load, self._redactor = config, load, redactor
        self._stop, self._reload, self._beat = threading.Event(), threading.Event(), threading.Event()

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT, and returns the exit status; raises StoreError and WebError at the start."""
        self._answer_signals()
        store = Store.open_exclusive(self._config.database)
        try:
            listen = self._config.web.listen
            listening = bind(listen) if listen else None
            forwarder = Forwarder(self._config, store, clock=Clock(), redactor=self._redactor)
            web = Server(forwarder, listening) if listening else None
            forwarder.start()
            try:
                log.info("started", version=__version__, connectors=list(self._config.connectors), pid=os.getpid())
                if web:
                    web.start()
                _notify("READY=1")
                self._live(forwarder)
            finally:
                _notify("STOPPING=1")
                ended = forwarder.stop()
                if web:
                    web.close()
                log.info("stopped", all_settled=ended)
        finally:
            store.close()
        return 0

    def _live(self, forwarder: Forwarder) -> None:
        while not self._stop.is_set():
            self._beat.wait(BEAT)
            self._beat.clear()
            forwarder.follow_clock()
            _notify("WATCHDOG=1")
            if self._reload.is_set():
                self._reload.clear()
                self._take_over(forwarder)

    def _take_over(self, forwarder: Forwarder) -> None:
        _notify("RELOADING=1")
        try:
            forwarder.reload(self._load())
        except ConfigError as error:
            log.error("reload_refused", problems=[str(problem) for problem in error.problems])  # noqa: TRY400
            forwarder.listeners.reloaded(ok=False)
        except ReloadRefused as refused:
            log.error("reload_refused", problems=[str(refused)])  # noqa: TRY400
            forwarder.listeners.reloaded(ok=False)
        except Exception:
            # Another package's connector may raise anything while it is made, which is before anything is changed.
            log.exception("reload_failed")
            forwarder.listeners.reloaded(ok=False)
        else:
            configure(forwarder.config.log.level, forwarder.config.log.format, redactor=self._redactor)
            log.info("reloaded", connectors=list(forwarder.config.connectors))
            forwarder.listeners.reloaded(ok=True)
        _notify("READY=1")

    def _answer_signals(self) -> None:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stop.set()
            self._beat.set()

        def reload(_number: int, _frame: FrameType | None) -> None:
            self._reload.set()
            self._beat.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)


def _notify(state: str) -> None:
    """Notifies the service manager (sd_notify, https://www.freedesktop.org/software/systemd/man/sd_notify.html)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        try:
            manager.connect("\0" + address[1:] if address.startswith("@") else address)
            manager.sendall(state.encode())
        except OSError:
            log.debug("notify_failed", state=state)
