"""Signals: noted, waited for, and never in the way of what they interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from forwarder.common.signals import Signals

_FLOOD = """
import os, signal, sys, threading
from forwarder.common.signals import Signals

with Signals(signal.SIGTERM, signal.SIGHUP) as signals:
    print("ready", flush=True)
    reloads = 0
    while not signals.came(signal.SIGTERM):
        signals.wait(10)
        reloads += signals.take(signal.SIGHUP)
    signals.ignore()
    print(reloads, flush=True)
"""


def test_a_signal_ends_the_wait_and_stays_noted() -> None:
    """Also one that came before the wait; taken, it is gone."""
    with Signals(signal.SIGUSR1, signal.SIGUSR2) as signals:
        assert not signals.came(signal.SIGUSR1, signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        signals.wait(None)
        assert signals.came(signal.SIGUSR1)
        assert not signals.came(signal.SIGUSR2)
        assert signals.take(signal.SIGUSR1)
        assert not signals.take(signal.SIGUSR1)


def test_another_thread_ends_the_wait() -> None:
    """Without any signal; and after the end it does nothing."""
    with Signals(signal.SIGUSR1) as signals:
        threading.Thread(target=signals.wake).start()
        signals.wait(None)
        assert not signals.came(signal.SIGUSR1)
    signals.wake()


def test_what_was_there_before_is_there_again() -> None:
    """The handlers, and what was woken."""
    before = signal.getsignal(signal.SIGUSR1)
    with Signals(signal.SIGUSR1):
        assert signal.getsignal(signal.SIGUSR1) != before
    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_ignored_they_stay_ignored() -> None:
    """What comes at the very end of a process changes nothing of its exit status."""
    before = signal.getsignal(signal.SIGUSR1)
    try:
        with Signals(signal.SIGUSR1) as signals:
            signals.ignore()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("pause", [0.0, 0.0002], ids=["at once", "in a row"])
def test_a_flood_is_noted_and_ends_nothing(pause: float) -> None:
    """Tens of thousands in a row: the stack does not grow, no lock is waited for, and the last one counts."""
    with subprocess.Popen([sys.executable, "-c", _FLOOD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for _ in range(20_000 if not pause else 3000):
            process.send_signal(signal.SIGHUP)
            if pause:
                threading.Event().wait(pause)
        for _ in range(100):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT if process.poll() is not None else signal.SIGTERM)
        assert process.wait(60) == 0
        assert int(process.stdout.readline()) >= 1


def test_one_that_came_while_the_loop_was_busy_is_not_waited_out() -> None:
    """The wait is over at once, for its bell has rung."""
    with Signals(signal.SIGUSR1) as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        began = time.monotonic()
        signals.wait(600)
        assert time.monotonic() - began < 300
