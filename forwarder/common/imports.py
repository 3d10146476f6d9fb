"""Imports without what is not used here, or not any more: a daemon would keep it for good."""

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


def forget(*packages: str, but: str = "") -> None:
    """Lets go of packages and modules that were imported, and of all within them: who imports them next gets them anew.

    Only for those of which nobody keeps anything, and which no other thread is using; the module ``but`` stays.
    """
    within = tuple(f"{one}." for one in packages)
    names = [name for name in sys.modules if f"{name}.".startswith(within) and name != but]
    for name in names:
        del sys.modules[name]
    # What was forgotten stays whole, for whoever has it all the same.
    for parent, _, module in (name.rpartition(".") for name in names):
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(module, None)
