"""Which roles this process has: it takes what is free and its share, and gives up what is more, once that has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from forwarder.common.units import format_duration
from forwarder.logs import get_logger
from forwarder.replicas.roles import in_words, spread
from forwarder.store import StoreError
from forwarder.store.membership import Membership, Muster, Tenure

log = get_logger(__name__)

LOOKS_AGAIN: Final = 1.0
"""Seconds after which it looks by itself."""
ENDING_EVERY: Final = 0.02
"""Seconds between two looks at whether what was begun has ended, while the process ends."""
GRACE: Final = 4.0
"""Seconds for which the database was in touch before a role is taken whose holder gave no word.

After the server was away all leases have ended at once, and their holders are about to be heard of again.
"""
STOPS_WITHIN: Final = 5.0
"""Seconds that what its thread is just doing may take at the end."""
STANDS_STILL: Final = 120.0
"""Seconds after which its thread counts as stalled: each write in it ends long before."""


class Duties(Protocol):
    """Who carries out what the roles are for; ``forwarder.duties.Duties`` does. All is called in one thread."""

    def roles(self) -> Collection[str]:
        """Every role that the config has."""

    def take_up(self, roles: Collection[str]) -> None:
        """Begins what ``roles`` are for; raises StoreError, and has begun nothing then."""

    def lay_down(self, role: str, *, lost: bool) -> None:
        """Begins nothing more for ``role``; where it was lost, what is under way need not be settled either."""

    def has_ended(self, role: str) -> bool:
        """Whether nothing is under way any more for a role that was laid down."""

    def heard(self, topics: Collection[str]) -> None:
        """What another replica announced; it must not wait for anything."""


class Holder:
    """What this process holds of the roles: all of them, where it is the only one, else its share."""

    def __init__(self, membership: Membership | None) -> None:
        self._membership = membership
        self._duties: Duties
        self._up: dict[str, Tenure] = {}
        """What was taken up, where there may be others."""
        self._ending: set[str] = set()
        """What was laid down and is still held."""
        self._stepping, self._woken, self._over = threading.Lock(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._stepped_at = time.monotonic()

    @property
    def alone(self) -> bool:
        """Whether no other process shares the work, as far as is known."""
        if self._membership is None:
            return True
        muster = self._membership.muster()
        return muster is not None and len(muster.replicas) < 2

    @property
    def shares(self) -> bool:
        """Whether others could have a part of the roles."""
        return self._membership is not None

    @property
    def outdated(self) -> str | None:
        """Why this process must end, in a sentence: a newer version has changed the database."""
        return None if self._membership is None else self._membership.outdated

    def reload_wanted(self, answered: int) -> bool:
        """Whether somebody asked all replicas for a reload after ``answered``, and this one has not carried it out."""
        if self._membership is None or (muster := self._membership.muster()) is None:
            return False
        mine = [replica.answered for replica in muster.replicas if replica.id == self._membership.id]
        return bool(mine) and muster.reload_requested > max(answered, *mine)

    def holds(self, role: str) -> bool:
        """Whether something may be begun for ``role``."""
        return self._membership is None or role in self._up

    def guard(self, role: str) -> Callable[[], bool] | None:
        """What says so of this hold on ``role``, and of no later one; None where there are no others."""
        tenure = self._up.get(role)
        return None if tenure is None else tenure.lasts

    def muster(self) -> Muster | None:
        """Who is there and who has what; None where there are no others, or nobody can say."""
        return None if self._membership is None else self._membership.muster()

    def unheld(self) -> Mapping[str, float]:
        """The roles that nobody has though some replica could, each with the seconds for which that has been so."""
        muster = self.muster()
        return {} if muster is None else muster.unheld()

    def start(self, duties: Duties) -> None:
        """Takes what it can get at once, and then looks again and again."""
        self._duties = duties
        if self._membership is None:
            self._duties.take_up(self._duties.roles())
            return
        self._membership.begin(self._duties.roles(), self._told)
        self.step()
        end = time.monotonic() + STANDS_STILL
        while self._membership.once and not self._up.keys() >= set(self._duties.roles()) and time.monotonic() < end:
            # It does everything once: what one that was killed still holds is waited for.
            self._woken.wait(LOOKS_AGAIN)
            self._woken.clear()
            self.step()
        self._thread = threading.Thread(target=self._live, name="roles", daemon=True)
        self._thread.start()

    def follow(self) -> None:
        """Goes by the roles of another config."""
        if self._membership is not None:
            self._membership.offer(self._duties.roles())
            self._woken.set()

    def announce(self, *topics: str) -> None:
        """Tells the other replicas, where there are any."""
        if not self.alone and self._membership is not None:
            self._membership.announce(*topics)

    def stalled(self) -> str | None:
        """Why its thread does not turn, in a sentence."""
        if self._thread is None or self._over.is_set():
            return None
        still = time.monotonic() - self._stepped_at
        if still < STANDS_STILL and self._thread.is_alive():
            return None
        return f"Roles have been neither taken nor given up for {format_duration(round(still))}. Restart the forwarder."

    def stop(self) -> None:
        """Takes nothing more; what it has stays until it is given up."""
        self._over.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(STOPS_WITHIN)

    def give_all_up(self, timeout: float) -> None:
        """Lays everything down, and gives each role up as soon as what is under way for it has ended."""
        if self._membership is None:
            return
        if not self._stepping.acquire(timeout=STOPS_WITHIN):
            return
        try:
            for role in list(self._up):
                self._lay_down(role)
            end = time.monotonic() + timeout
            while self._ending and self._give_up_ended() is not False and time.monotonic() < end:
                self._woken.clear()
                self._woken.wait(ENDING_EVERY)
        finally:
            self._stepping.release()

    def step(self) -> None:
        """One look at who has what, and what follows from it."""
        if self._membership is None:
            return
        self._membership.tend()
        with self._stepping:
            self._see_lost(self._membership)
            self._give_up_ended()
            muster = self._membership.muster()
            if muster is not None and not self._over.is_set() and self._membership.outdated is None:
                self._share(self._membership, muster)
        self._stepped_at = time.monotonic()

    def _live(self) -> None:
        while not self._over.is_set():
            self._woken.wait(LOOKS_AGAIN if not self._ending else ENDING_EVERY * 5)
            self._woken.clear()
            if self._over.is_set():
                return
            try:
                if self._membership is not None:
                    self._membership.offer(self._duties.roles())
                self.step()
            except Exception:
                log.exception("roles_failed")
                self._over.wait(LOOKS_AGAIN)

    def _told(self, topics: Collection[str]) -> None:
        self._woken.set()
        if topics:
            self._duties.heard(topics)

    def _see_lost(self, membership: Membership) -> None:
        for role, tenure in list(membership.held.items()):
            if not tenure.lost:
                continue
            if self._up.pop(role, None) is not None:
                self._duties.lay_down(role, lost=True)
            self._ending.discard(role)
            membership.forget(tenure)

    def _share(self, membership: Membership, muster: Muster) -> None:
        if any(replica.once and replica.id != membership.id for replica in muster.replicas):
            return
        offers = {replica.id: replica.offers for replica in muster.replicas if replica.id != membership.id}
        offers[membership.id] = frozenset(self._duties.roles())
        holders: dict[str, str | None] = dict.fromkeys(role for roles in offers.values() for role in roles)
        free = set(holders)
        for lease in muster.leases:
            if lease.role in membership.held:
                continue
            lives = lease.free_for <= 0 and lease.owner != membership.id
            holders[lease.role] = lease.owner if lives else None
            # Who was not heard of may only have been kept from it by what kept us.
            if lives or (not lease.left and muster.in_touch < GRACE and not membership.once):
                free.discard(lease.role)
        for role in membership.held:
            holders[role] = membership.id
            free.discard(role)
        plan = spread(offers, holders)
        mine = {role for role, replica in plan.items() if replica == membership.id}
        surplus = set(self._up) - mine
        for told in in_words(surplus):
            log.info("role_given_up", role=told)
        for role in surplus:
            self._lay_down(role)
        # What nobody has taken for long is anybody's.
        late = {one.role for one in muster.leases if one.free_for > GRACE * 5}
        wanted = free & offers[membership.id] & (mine | late)
        if wanted:
            self._take(membership, wanted)

    def _take(self, membership: Membership, roles: Collection[str]) -> None:
        try:
            tenures = membership.take(roles)
        except StoreError as error:
            log.warning("roles_not_taken", reason=str(error))
            return
        taken = sorted(tenure.role for tenure in tenures)
        if not taken:
            return
        log.info("roles_taken", roles=in_words(taken))
        self._up |= {tenure.role: tenure for tenure in tenures}
        try:
            self._duties.take_up(taken)
        except Exception as error:
            for role in taken:
                del self._up[role]
                self._ending.add(role)
            if not isinstance(error, StoreError):
                raise
            log.warning("roles_not_taken", reason=str(error))

    def _lay_down(self, role: str) -> None:
        del self._up[role]
        self._ending.add(role)
        self._duties.lay_down(role, lost=False)

    def _give_up_ended(self) -> bool | None:
        """Gives up what has ended; False where the database does not take that."""
        over = [role for role in self._ending if self._duties.has_ended(role)]
        if not over or self._membership is None:
            return None
        self._ending.difference_update(over)
        try:
            self._membership.give_up(over)
        except StoreError as error:
            log.warning("roles_not_given_up", reason=str(error))
            return False
        return True
