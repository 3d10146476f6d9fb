"""Where a connector has sent to: the place that its config names, and those that it named before.

What was sent without an answer stands where the config led then, so that is where it has to be looked for. A place is
kept from the first send to it on; one that took nothing, such as a misspelled name, is none to look into.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final

from forwarder.connector import RENAMED, Failed, Memory, ProcessMemory, Retry, Uncertain

MOST: Final = 50
"""Former places that are kept: what is so old that it may have gone to an earlier one cannot be looked for."""

_CHANGING: Final = threading.Lock()
"""After a reload two connectors share one memory, until the one before has sent what it had begun."""


class Places:
    """The place of ``today`` and the former ones. ``key`` is the memory's for the name of the first.

    A former place is a mapping: its name under ``place``, and what ``sending`` and ``mark`` told of it.
    """

    def __init__(self, today: str, now: Callable[[], datetime], *, key: str) -> None:
        self._today, self._now, self._key = today, now, key
        self._untouched = f"{key}.untouched"
        """The key for the place of today, as long as nothing can stand there."""
        self._mark_of, self._left = f"{key}.sent_to", f"{key}.left"
        """Keys for what is known of the place of today, and for the former ones with the time until which each was it.
        """
        self._memory: Memory = ProcessMemory()
        self._is_taken_over = False
        self._is_first = False
        self._under_way = 0

    def remember(self, memory: Memory) -> None:
        """Takes over what earlier processes kept: what the config named before is a former place from now on."""
        self._memory, self._is_taken_over = memory, False
        with suppress(Failed):  # then before the first send, or the first look
            self._take_over()

    @contextmanager
    def sending(self, **details: str) -> Iterator[None]:
        """Around a send to the place of today: it is kept before that, unless all that was sent was refused."""
        self._take_over()
        self._begin(details)
        may_stand = True
        try:
            yield
        except Failed as failed:
            may_stand = isinstance(failed.outcome, Uncertain)
            raise
        finally:
            self._end(may_stand=may_stand)

    def mark(self, **details: str) -> None:
        """Keeps what is known of the place of today, beside what was known of it before."""
        with _CHANGING, suppress(Failed):
            if not self._is_over():
                self._mark(details)

    def leave(self, place: Mapping[str, Any]) -> None:
        """Counts ``place`` among the former ones, until now. Of the place of today nothing is known any more."""
        with _CHANGING:
            self._leave(place)
            self._memory.put(self._mark_of, "")

    def left(self) -> list[Mapping[str, Any]]:
        """All former places, the latest first."""
        return _listed(self._memory.get(self._left))

    def left_since(self, enqueued_at: datetime) -> list[Mapping[str, Any]]:
        """The former places that may hold what is owed since then; raises Failed where not all of them are known."""
        self._take_over()
        former, since = self.left(), enqueued_at.timestamp()
        if len(former) >= MOST and since <= _until(former[-1]):
            raise Failed(Retry(f"The config named more than {MOST} places since: where it went is not known any more"))
        return [place for place in former if since <= _until(place)]

    def _take_over(self) -> None:
        with _CHANGING:
            self._adopt()
            if self._is_taken_over:
                return
            before = self._memory.get(self._key)
            if before != self._today:
                if before and self._memory.get(self._untouched) != before:
                    self._leave(_known(before, self._memory.get(self._mark_of)))
                # The name comes last: killed in between, the next process takes over once more.
                self._memory.put(self._untouched, self._today)
                self._memory.put(self._mark_of, "")
                self._memory.put(self._key, self._today)
            self._is_taken_over = True

    def _adopt(self) -> None:
        """What a connector of another name hands over, whose deliveries are this one's now: its places are former."""
        before, keys = self._memory.get(RENAMED + self._key), (self._untouched, self._mark_of, self._left, self._key)
        if not before:
            return
        untouched, mark, left, _ = (self._memory.get(RENAMED + key) for key in keys)
        for place in reversed(_listed(left)):
            self._leave(place)
        if untouched != before:
            self._leave(_known(before, mark))
        for key in keys:
            self._memory.put(RENAMED + key, "")

    def _leave(self, place: Mapping[str, Any]) -> None:
        others = [other for other in self.left() if {**other, "until": 0} != {**place, "until": 0}]
        former = [{**place, "until": self._now().timestamp()}, *others]
        self._memory.put(self._left, json.dumps(former[:MOST]))

    def _is_over(self) -> bool:
        """Whether the config has named another place since, while something is still being sent to this one."""
        return self._memory.get(self._key) != self._today

    def _begin(self, details: Mapping[str, str]) -> None:
        with _CHANGING:
            if self._is_over():
                self._leave({"place": self._today, **details})
            else:
                self._is_first |= self._memory.get(self._untouched) == self._today
                self._memory.put(self._untouched, "")
                self._mark(details)
            self._under_way += 1

    def _mark(self, details: Mapping[str, str]) -> None:
        known = _known(self._today, self._memory.get(self._mark_of))
        self._memory.put(self._mark_of, json.dumps({**known, **details}))

    def _end(self, *, may_stand: bool) -> None:
        with _CHANGING, suppress(Failed):
            self._under_way -= 1
            self._is_first &= not may_stand
            if self._is_first and not self._under_way and not self._is_over():
                self._memory.put(self._untouched, self._today)
                self._is_first = False


def _listed(kept: str) -> list[Mapping[str, Any]]:
    said = _parse(kept)
    entries = said if isinstance(said, list) else [said]
    places = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("place"), str)]
    return sorted(places, key=_until, reverse=True)


def _until(place: Mapping[str, Any]) -> float:
    until = place.get("until")
    return float(until) if isinstance(until, int | float) else 0.0


def _known(place: str, mark: str) -> Mapping[str, Any]:
    """What is known of ``place``, by the mark that was made of it, or of another one."""
    said = _parse(mark)
    return said if isinstance(said, dict) and said.get("place") == place else {"place": place}


def _parse(kept: str) -> Any:
    try:
        return json.loads(kept or "{}")
    except ValueError:
        return {}
