"""The command line: thin commands over the rooms that do the work."""

from __future__ import annotations

from forwarder.cli.root import main

__all__ = ["main"]
