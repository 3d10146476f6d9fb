"""Processes: told apart even where the system gives the same number twice."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_STARTED: Final = 19
"""Which field after the process's name says when it began (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)."""


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
