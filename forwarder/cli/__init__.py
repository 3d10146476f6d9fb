"""The command line: thin commands over the rooms that do the work."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]

_ANSWERS = ("run", "once", "demo")
"""The commands that answer signals by themselves, once ``forwarder.common.signals`` notes them."""


def main() -> None:
    """The entry point of the command `forwarder`."""
    if sys.argv[1:2] and sys.argv[1] in _ANSWERS:
        # Put off until then. To import all the rest takes a tenth of a second, in which signals come, too.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    try:
        from forwarder.cli import root

        root.main()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        sys.exit(130)
