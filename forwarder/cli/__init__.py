"""The command line: thin commands over the rooms that do the work."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]

_ANSWERS = ("run", "once", "demo")
"""The commands that answer signals by themselves, once ``forwarder.common.signals`` notes them."""


def main() -> None:
    """The entry point of the command `forwarder`."""
    _open_what_is_closed()
    if sys.argv[1:2] and sys.argv[1] in _ANSWERS:
        # Put off until then. To import all the rest takes a tenth of a second, in which signals come, too.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    try:
        from forwarder.cli import root

        root.main()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        sys.exit(130)


def _open_what_is_closed() -> None:
    """Opens the standard streams that the caller closed: the next file or connection would be taken for one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            os.set_inheritable(number, True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")
