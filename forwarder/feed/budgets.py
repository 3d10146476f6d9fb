"""The requests that are left of each key's limit, for as long as the API counts them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection

from forwarder.feed.client import REQUESTS_A_MINUTE, RequestBudget


class Budgets:
    """Budgets by key, for the API counts by that: also what an account sent that left the config and is in it again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._budgets: dict[bytes, RequestBudget] = {}

    def of(self, key: str, before: RequestBudget | None = None) -> RequestBudget:
        """The budget of a key; ``before`` is that of the account's last key, with which one goes on that was not known.

        A key that was renewed may be counted together with the old one.
        """
        return self._budgets.setdefault(_known_by(key), before or RequestBudget(clock=self._clock))

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Forgets those of other keys, once the API counts nothing of them any more."""
        used = {_known_by(key) for key in keys}
        self._budgets = {
            by: budget for by, budget in self._budgets.items() if by in used or budget.left < REQUESTS_A_MINUTE
        }


def _known_by(key: str) -> bytes:
    # Keys that left the config are kept nowhere.
    return hashlib.sha256(key.encode()).digest()
