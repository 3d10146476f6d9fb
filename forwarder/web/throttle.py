"""How fast wrong tokens may be tried: the first few at once, then one after the other, then not at all for a while.

Nobody is locked out by the wrong tries of others for longer than those go on, and a few of them at a time only make
everybody wait in line for some seconds: what waits is served in the order in which it came, and a right token costs
nothing. Sessions are not tried, so who is signed in notices nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio

from forwarder.logs import get_logger
from forwarder.web.sessions import Keys

log = get_logger(__name__)

PATIENCE: Final = 5.0
"""Seconds that a try waits for its turn; where the line is longer, it is refused unread."""
TELL_EVERY: Final = 60.0
"""Seconds between two lines in the log about tries that were refused unread."""


class TooManyTries(Exception):
    """A token that was not looked at; ``after`` is in how many whole seconds it may be tried again."""

    def __init__(self, after: int) -> None:
        super().__init__(f"Too many wrong tokens were tried. Try again in {after} s.")
        self.after = after


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """So many wrong tries at once, then one every so many seconds."""

    burst: int
    every: float


BY_PEER: Final = Allowance(burst=5, every=1.0)
BY_ALL: Final = Allowance(burst=20, every=0.5)
"""For all who come from elsewhere together: addresses are cheap, and those that a proxy passes on can be made up."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a token is shown: by whom, and how. A line at one of them does not hold up another."""

    peer: str
    """Who shows it: the address that is connected, and the one that a proxy says it speaks for."""
    direct: bool
    """Whether it comes from this machine itself: no flood from elsewhere may keep its owner out."""
    by_header: bool
    """Whether a program shows it as Bearer, and no person in a form."""


class Throttle:
    """The lines at the doors. ``clock`` is seconds that never run backwards. For one thread, as the event loop is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_at: dict[Door | bool, float] = {}

    def enter(self, door: Door) -> float:
        """Takes a place in the line, and returns the seconds until its turn; raises TooManyTries."""
        now = self._clock()
        lines = self._lines(door)
        wait = max(
            max(self._free_at.get(key, now), now) - now - (allowance.burst - 1) * allowance.every
            for key, allowance in lines
        )
        if wait > PATIENCE:
            raise TooManyTries(math.ceil(wait - PATIENCE))
        # What has emptied is forgotten, so only as many are known as can have failed of late.
        self._free_at = {key: at for key, at in self._free_at.items() if at > now}
        for key, allowance in lines:
            self._free_at[key] = max(self._free_at.get(key, now), now) + allowance.every
        return max(wait, 0.0)

    def leave(self, door: Door) -> None:
        """Gives the place back: the token was right."""
        for key, allowance in self._lines(door):
            if key in self._free_at:
                self._free_at[key] -= allowance.every

    def __len__(self) -> int:
        """How many lines are known."""
        return len(self._free_at)

    @staticmethod
    def _lines(door: Door) -> list[tuple[Door | bool, Allowance]]:
        own: tuple[Door | bool, Allowance] = (door, BY_PEER)
        return [own] if door.direct else [own, (door.by_header, BY_ALL)]


class TokenCheck:
    """Compares tokens, no faster than the throttle allows. No thread waits with it."""

    def __init__(
        self,
        keys: Keys,
        throttle: Throttle | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys, self._throttle, self._sleep, self._clock = keys, throttle or Throttle(clock), sleep, clock
        self._told_at = -math.inf

    async def admits(self, token: str, door: Door) -> bool:
        """Whether ``token`` is the right one; raises TooManyTries where it is not even looked at."""
        if self._keys.open:
            return False
        try:
            wait = self._throttle.enter(door)
        except TooManyTries as refused:
            self._tell(door, refused)
            raise
        if wait > 0:
            await self._sleep(wait)
        right = self._keys.admits(token)
        if right:
            self._throttle.leave(door)
        return right

    def _tell(self, door: Door, refused: TooManyTries) -> None:
        now = self._clock()
        if now - self._told_at >= TELL_EVERY:
            self._told_at = now
            log.warning("web_tries_limited", client=door.peer, retry_after=refused.after)
