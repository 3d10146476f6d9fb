"""The command line: thin commands over the rooms that do the work."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """The entry point of the command `forwarder`."""
    if sys.argv[1:2] == ["run"]:
        # The config is not read yet, so there is nothing to reload; unanswered, SIGHUP would end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        # Only here: to import all of it takes a tenth of a second, in which signals come, too.
        from forwarder.cli import root

        root.main()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        sys.exit(130)
