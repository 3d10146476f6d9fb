"""The accounts whose feeds are read, by name: what an account is called where the config names none."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

DEFAULT: Final = "default"
"""The account of a config with a single key. It is never shown, and no account of a config is called so."""

MOST_NAMED: Final = 5
"""Accounts that a sentence or a message names; of more it says how many there are."""


def label(account: str) -> str:
    """An account as people read it: nothing where the config names none."""
    return "" if account == DEFAULT else account


def named(accounts: Iterable[str]) -> str:
    """Accounts in a sentence, the first few by name; empty where the config names none."""
    shown = sorted(account for account in accounts if account != DEFAULT)
    if len(shown) <= MOST_NAMED:
        return ", ".join(shown)
    return f"{', '.join(shown[:MOST_NAMED])} and {len(shown) - MOST_NAMED} more"


def phase(account: str) -> float:
    """Where in a period an account has its turn, from 0 to 1: always the same, and spread evenly over many names."""
    return zlib.crc32(account.encode()) / 2**32
