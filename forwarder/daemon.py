"""The process: it owns the database, answers signals and the service manager, serves the page, and ends cleanly."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from forwarder import __version__
from forwarder.app import Forwarder, ReloadRefused
from forwarder.common import processes
from forwarder.common.clock import Clock
from forwarder.common.signals import Signals
from forwarder.common.text import cut
from forwarder.config import Config, ConfigError
from forwarder.config.document import forget_reader
from forwarder.events import Listener
from forwarder.logs import Redactor, configure, get_logger
from forwarder.store import Store, StoreError, pulse
from forwarder.store.membership import Reload, Verdict
from forwarder.store.outbox import MAX_REASON
from forwarder.store.records import PollResult
from forwarder.web.server import Server, bind

log = get_logger(__name__)

BEAT: Final = 1.0
"""Seconds between two looks at the clock; also how often the service manager's watchdog hears of us."""

RELOAD_REFUSED: Final = "reload_refused"
"""The alarm of a config that was not taken over."""


class Daemon:
    """A forwarder as a process. ``load`` reads the config anew, from ``path``, for a reload; raises ConfigError.

    ``signals`` are those it answers, noted by the caller from before anything slow: until then SIGHUP would end it.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        redactor: Redactor,
        signals: Signals,
        *,
        path: Path | None = None,
    ) -> None:
        self._config, self._load, self._redactor, self._signals = config, load, redactor, signals
        self._path = path
        self._stalled: list[str] = []
        self._answered = 0
        """The number of the last request for a reload that was carried out."""

    @property
    def _stop(self) -> bool:
        return self._signals.came(signal.SIGTERM, signal.SIGINT)

    def run(self) -> bool:
        """Runs until SIGTERM or SIGINT; raises StoreError and WebError at the start.

        False where it ended because a newer version has changed the database.
        """
        if self._stop:
            return True
        processes.share_arena()
        forget_reader()
        store = Store.open_replica(self._config.database)
        try:
            listen = self._config.web.listen
            listening = bind(listen) if listen else None
            forwarder = Forwarder(self._config, store, clock=_clock_of(store), redactor=self._redactor)
            web = Server(forwarder, listening) if listening else None
            forwarder.start()
            note_start(forwarder, self._path)
            processes.settle_in()
            try:
                log.info("started", version=__version__, connectors=list(self._config.connectors), pid=os.getpid())
                # Not only once the feed was read: `systemctl start`, and all that waits for it, would hang while the
                # API is down, and the unit be killed in the end. What is missing is told by /readyz.
                _notify("READY=1")
                self._live(forwarder, web)
                if why := forwarder.holder.outdated:
                    log.error("newer_version", reason=why)
            finally:
                _notify("STOPPING=1")
                ended = forwarder.stop()
                if web:
                    web.close()
                _note_end(forwarder)
                log.info("stopped", all_settled=ended)
        finally:
            store.close()
        return forwarder.holder.outdated is None

    def _live(self, forwarder: Forwarder, web: Server | None) -> None:
        serving = web is None
        if forwarder.holder.shares and self._has_changed():
            self._take_over(forwarder)
        while not self._stop and forwarder.holder.outdated is None:
            serving = serving or (web is not None and _is_served(web))
            self._signals.wait(BEAT)
            forwarder.tend()
            self._show_alive(forwarder)
            if (self._signals.take(signal.SIGHUP) or forwarder.holder.reload_wanted(self._answered)) and not self._stop:
                self._take_over(forwarder)

    def _has_changed(self) -> bool:
        """Whether the config is another one since it was read: until the replicas are joined no request is seen."""
        try:
            return self._read() != self._config
        except ConfigError:
            return True

    def _read(self) -> Config:
        """The config as it is on the disk now."""
        try:
            return self._load()
        finally:
            forget_reader()

    def _show_alive(self, forwarder: Forwarder) -> None:
        """Says that all turns, or what does not; the service manager restarts what says nothing for long."""
        stalled = forwarder.stalled()
        if not stalled:
            _notify("WATCHDOG=1")
            forwarder.store.engine.presence.beat()
        if bool(stalled) != bool(self._stalled):
            write, event = (log.error, "stalled") if stalled else (log.info, "turns_again")
            write(event, reasons=stalled)
        self._stalled = stalled

    def _take_over(self, forwarder: Forwarder) -> None:
        _notify("RELOADING=1")
        # Before the config is read: who asks only now may have changed it since, and is answered by the next reload.
        request = _reload_requested(forwarder)
        verdict, problems = self._judge(forwarder)
        if verdict is Verdict.TAKEN_OVER:
            configure(forwarder.config.log.level, forwarder.config.log.format, redactor=self._redactor)
            log.info("reloaded", connectors=list(forwarder.config.connectors))
        elif verdict is not Verdict.FAILED:
            log.error("reload_refused", problems=problems)
        if _note_reload(forwarder, Reload(verdict=verdict, problems=problems, request=request)):
            self._answered = request
        _notify("READY=1")

    def _judge(self, forwarder: Forwarder) -> tuple[Verdict, list[str]]:
        """Takes over the config as it is on the disk now: what became of that, and why."""
        try:
            forwarder.reload(self._read())
        except ConfigError as error:
            return Verdict.REFUSED, [str(problem) for problem in error.problems]
        except ReloadRefused as refused:
            return Verdict.NEEDS_RESTART, [str(refused)]
        except Exception as error:
            # Another package's connector may raise anything while it is made, which is before anything is changed.
            log.exception("reload_failed")
            return Verdict.FAILED, [f"It failed unexpectedly ({type(error).__name__}): the daemon's log says where."]
        return Verdict.TAKEN_OVER, []


class _Refusals(Listener):
    """Leaves a note beside the database while that refuses writes: commands look there for it."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._presence, self._now = forwarder.store.engine.presence, forwarder.clock
        self._noted: pulse.Refusal | None = None

    def store_failed(self, reason: str) -> None:
        if self._noted is None:
            self._noted = pulse.Refusal(since=self._now(), reason=reason)
            self._presence.note(self._noted)

    def polled(self, result: PollResult, seconds: float) -> None:  # noqa: ARG002
        # A full disk still takes small writes; a poll's is what had to be put off.
        if self._noted is not None and not result.sweep:
            self._noted = None
            self._presence.note(None)


def note_start(forwarder: Forwarder, path: Path | None) -> None:
    """Tells commands which process is the daemon, and how its writes do; the config that it began with was good."""
    forwarder.listeners.add(_Refusals(forwarder))

    def work() -> None:
        pid, config = os.getpid(), None if path is None else str(path.absolute())
        refused = forwarder.store.daemon.started(pid, processes.began(pid), now=forwarder.clock(), config=config)
        if refused is None:
            forwarder.store.alarms.cleared(RELOAD_REFUSED, "")

    _kept(forwarder, work)


def _note_end(forwarder: Forwarder) -> None:
    with suppress(StoreError):  # the lock says so as well, only not since when
        forwarder.store.daemon.ended(now=forwarder.clock())


def _reload_requested(forwarder: Forwarder) -> int:
    """The number of the latest request for a reload; 0 where the database cannot be read."""
    with suppress(StoreError):
        return forwarder.store.daemon.state().requested
    return 0


def _note_reload(forwarder: Forwarder, reload: Reload) -> bool:
    """Tells who waits for it what became of a reload, and begins or ends the alarm; whether that could be kept."""

    def work() -> None:
        now, alarms = forwarder.clock(), forwarder.store.alarms
        counts = forwarder.store.daemon.judged(reload, now=now)
        if counts.verdict is Verdict.TAKEN_OVER:
            alarms.cleared(RELOAD_REFUSED, "")
        else:
            alarms.failed(RELOAD_REFUSED, "", cut("; ".join(counts.problems), MAX_REASON), now=now)

    kept = _kept(forwarder, work)
    forwarder.listeners.reloaded(ok=reload.verdict is Verdict.TAKEN_OVER)
    return kept


def _kept(forwarder: Forwarder, work: Callable[[], None]) -> bool:
    try:
        work()
    except StoreError as error:
        log.error("store_failed", job="daemon", reason=str(error))  # noqa: TRY400 - the sentence says it all
        forwarder.listeners.store_failed(str(error))
        return False
    return True


def _clock_of(store: Store) -> Clock:
    """The clock to go by: the machine's, or where several share a database, the one that this has."""
    membership = store.engine.membership
    return Clock() if membership is None else Clock(wall=membership.wall)


def _is_served(web: Server) -> bool:
    """Whether the page begins to be served; where the system gives no thread for it, it does with a later try."""
    try:
        web.start()
    except RuntimeError as error:
        log.error("no_thread", job="web", reason=str(error))  # noqa: TRY400 - the sentence says it all
        return False
    return True


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
