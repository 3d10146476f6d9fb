"""Processes: told apart even where the system gives the same number twice, and how this one takes memory."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from pathlib import Path
from typing import Final

_STARTED: Final = 19
"""Which field after the process's name says when it began (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)."""

_M_ARENA_MAX: Final = -8
"""glibc's name for how many arenas ``malloc`` may have (https://man7.org/linux/man-pages/man3/mallopt.3.html)."""


_YOUNG: Final = 20_000
"""Objects that may come before those are collected that refer to each other; by default 700."""


def settle_in() -> None:
    """For a process that lives long and has loaded its code: that code is looked through no more for what is unused.

    What a delivery leaves behind ends with it, as nearly all of it is in no circle, so that looking for circles after
    every 700 objects is a twentieth of a burst's work for nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)


def share_arena() -> None:
    """Lets all threads that begin from now on take memory from one place, where the system's library is glibc.

    Else each has a place of its own, of which little is ever given back. It would let threads take memory at the same
    time, which those of an interpreter with one lock hardly do.
    """
    # Other libraries have no arenas, or no such function.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def began(pid: int) -> int | None:
    """When a process began, in the system's ticks; None where there is none that can be seen, or no way to tell.

    A process of the same number in another container, or later, began at another time.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name is in brackets, and may hold blanks and brackets itself.
    return int(stat.rpartition(b")")[2].split()[_STARTED])
