"""Imports without what a library brings along for features that are not used here: a daemon keeps it for good."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def import_without(package: str) -> Iterator[None]:
    """Within it, an installed package seems not to be, unless it is imported already.

    For libraries that use the package only where they find it. Not for two threads that import the same library.
    """
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None  # type: ignore[assignment]  # how Python's import system marks it
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]
