"""What people decide, wherever they are: heard at a connector, seen by a look at it, or said on the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from forwarder.common.clock import Now, iso, still
from forwarder.common.text import clean, cut, one_line
from forwarder.connector import (
    Action,
    Connector,
    Desk,
    Failed,
    MuteRequest,
    MuteScope,
    RateLimited,
    Reaction,
    Resolution,
    Sighting,
    Status,
)
from forwarder.events import Listener
from forwarder.lifecycle.mutes import MOST_WORDS, Mutes, words
from forwarder.logs import get_logger
from forwarder.replicas.roles import of_connector
from forwarder.response import NOT_KEPT, NOT_KNOWN, PAGE
from forwarder.store import Store, StoreError
from forwarder.store.life_records import Heard, Responded
from forwarder.store.mute_records import Asked

log = get_logger(__name__)

LISTEN_EVERY: Final = 5.0
"""Seconds between two looks at whether a connector still hears."""
CATCH_UP_EVERY: Final = 10.0
"""Seconds between two looks at who is in use again, or was renamed, and missed what people decided."""
FORGET_AFTER: Final = 7 * 86400.0
"""Seconds after which no destination tells of the same event again: Slack repeats for an hour at most."""

MOST_PERSON: Final = 100
MOST_REASON: Final = 1000
"""Characters that are kept of who did something, and of why."""

Said = TypeVar("Said", Reaction, Sighting, MuteRequest)


class Responses:
    """Takes in what people decide, and wakes those who are owed the news of it.

    ``connectors`` gives those in use, by name, whenever it is called.
    """

    def __init__(
        self,
        store: Store,
        mutes: Mutes,
        *,
        now: Now,
        connectors: Callable[[], Mapping[str, Connector[Any]]],
        wake: Callable[[Collection[str]], None],
        listener: Listener,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._store, self.mutes, self._now, self._connectors = store, mutes, now, connectors
        self._wake, self._listener, self._redact = wake, listener, redact
        self._heard: set[str] = set()
        self.deaf: dict[str, str] = {}
        """Connectors that should hear people act and do not right now, with the reason; those that do are not in it."""

    def respond(
        self,
        alert_id: str,
        action: Action,
        *,
        person: str = "",
        reason: str = "",
        resolution: Resolution | None = None,
        place: str = PAGE,
    ) -> Responded:
        """What a person decided where no connector is; raises StoreError where it cannot be kept."""
        with still(self._now):
            responded = self._store.lifecycle.respond(
                alert_id,
                action,
                place=place,
                now=self._now(),
                connectors=self._telling(),
                person=person,
                reason=reason,
                resolution=resolution,
            )
        return self._told(place, responded)

    def react(self, connector: Connector[Any], reaction: Reaction) -> Responded:
        """What a person did at a connector's destination; raises StoreError where it cannot be kept."""
        with still(self._now):
            responded = self._store.lifecycle.react(
                connector.name,
                _tidied(reaction),
                now=self._now(),
                connectors=self._telling(),
                too=connector.shows_own_responses,
            )
        return self._told(connector.name, responded)

    def look(self, name: str) -> float | None:
        """Looks at what people did at a connector's destination; the seconds until the next look, None for the usual.

        A look that fails is written down, and the next one asks for what it missed.
        """
        connector = self._connectors().get(name)
        if connector is None or connector.look_every is None:
            return math.inf
        store = self._store.acting_as(of_connector(name)).lifecycle
        cursor = store.look_of(name).cursor
        try:
            look = connector.look(cursor)
        except Failed as failed:
            outcome = failed.outcome
            self._look_failed(name, outcome.reason)
            return max(outcome.after, connector.look_every) if isinstance(outcome, RateLimited) else None
        except Exception as error:
            # A connector that breaks its contract misses a look, but keeps nothing else from turning.
            log.exception("look_failed", connector=name)
            self._look_failed(name, f"Looking at it failed unexpectedly ({type(error).__name__}).")
            return None
        look = replace(look, sightings=tuple(map(_tidied, look.sightings)))
        with still(self._now):
            changed = store.looked(
                name,
                look,
                now=self._now(),
                connectors=self._telling(),
                since=cursor,
                undoes=connector.undoes_responses,
            )
        for responded in changed:
            self._told(name, responded)
        return None

    def catch_up(self) -> None:
        """Sees to it that connectors which are in use again are told what people decided while they were not.

        And that none counts as failing at what the config has it do no more.
        """
        connectors = self._connectors().values()
        listening = [one.name for one in connectors if one.listens]
        for name in self.deaf.keys() - set(listening):
            self.deaf.pop(name, None)
        self._store.lifecycle.asks(
            looking=[one.name for one in connectors if one.look_every is not None], listening=listening
        )
        owed = self._store.lifecycle.catch_up(self._telling(), now=self._now())
        if owed:
            log.info("caught_up", to=sorted(owed))
            self._wake(owed)

    def look_everywhere(self) -> None:
        """One look at each connector that is looked at, for who does not stay to look again and again."""
        for name in self._connectors():
            self.look(name)

    def look_every(self, name: str) -> float:
        """Seconds between two looks at a connector; without end for one that is never looked at."""
        connector = self._connectors().get(name)
        return math.inf if connector is None or connector.look_every is None else connector.look_every

    def listen(self, name: str) -> float:
        """Sees to it that a connector hears people act; the seconds until that is seen to again."""
        connector = self._connectors().get(name)
        if connector is None or not connector.listens:
            self.deaf.pop(name, None)
            return math.inf
        try:
            connector.listen(_Desk(self, connector))
        except Failed as failed:
            self._is_deaf(name, failed.outcome.reason)
        except Exception as error:
            log.exception("listen_failed", connector=name)
            self._is_deaf(name, f"Listening failed unexpectedly ({type(error).__name__}).")
        else:
            # An earlier process may have written down that it did not.
            if self.deaf.pop(name, None) or name not in self._heard:
                self._store.acting_as(of_connector(name)).lifecycle.hears(name)
                self._heard.add(name)
        return LISTEN_EVERY

    def leave(self, name: str) -> None:
        """Another replica has the connector, and listens there."""
        self.deaf.pop(name, None)
        self._heard.discard(name)

    def forget(self) -> None:
        """Forgets the names of events that no destination tells of again."""
        self._store.lifecycle.forget_heard(before=self._now() - FORGET_AFTER)

    def _telling(self) -> list[str]:
        return [name for name, connector in self._connectors().items() if connector.tells_responses]

    def _told(self, place: str, responded: Responded) -> Responded:
        if responded.heard is Heard.CHANGED and responded.latest is not None:
            response = responded.latest
            log.info(
                "responded",
                alert=responded.alert_id,
                action=response.action.value,
                place=place,
                person=response.person,
                to=sorted(responded.connectors),
            )
            self._wake(responded.connectors)
            self._listener.responded(responded)
        return responded

    def _look_failed(self, name: str, reason: str) -> None:
        reason = self._redact(reason)
        log.warning("look_failed", connector=name, reason=reason)
        self._store.acting_as(of_connector(name)).lifecycle.look_failed(name, reason, now=self._now())

    def _is_deaf(self, name: str, reason: str) -> None:
        reason = self._redact(reason)
        if self.deaf.get(name) != reason:
            log.warning("listen_failed", connector=name, reason=reason)
            self._store.acting_as(of_connector(name)).lifecycle.deaf(name, reason, now=self._now())
        self.deaf[name] = reason


class _Desk(Desk):
    """Where one connector reports what people do at its destination."""

    def __init__(self, responses: Responses, connector: Connector[Any]) -> None:
        self._responses, self._connector = responses, connector

    def react(self, reaction: Reaction) -> str:
        try:
            return answer(self._responses.react(self._connector, reaction))
        except StoreError:
            return NOT_KEPT
        except Exception:
            log.exception("reaction_failed", connector=self._connector.name)
            return NOT_KEPT

    def mute(self, request: MuteRequest) -> str:
        if not request.reason.strip():
            return "Nothing was muted: say why, for whoever asks where an alert has gone."
        try:
            return mute_answer(self._responses.mutes.ask(self._connector.name, _tidied(request)), request)
        except StoreError:
            return NOT_KEPT
        except Exception:
            log.exception("mute_failed", connector=self._connector.name)
            return NOT_KEPT


def _tidied(said: Said) -> Said:
    """What a destination tells of a person, as it can be shown anywhere: people choose their names, and say why."""
    person, reason = (one_line(clean(text)) for text in (said.person, said.reason))
    return replace(said, person=cut(person, MOST_PERSON), reason=cut(reason, MOST_REASON))


def answer(responded: Responded) -> str:
    """What the person is told who decided this; empty where the alert's own message will show it."""
    if responded.heard is Heard.UNKNOWN:
        return NOT_KNOWN
    if responded.heard is not Heard.UNCHANGED:
        return ""
    if responded.latest is None or responded.status is Status.OPEN:
        return f"It is {responded.status.value} already."
    return f"{responded.latest.words} already."


def mute_answer(asked: Asked, request: MuteRequest) -> str:
    """What the person is told who asked for a mute."""
    if asked.mute is not None and asked.mute.rule is not None:
        until = iso(int(asked.mute.until))
        what = cut(words(asked.mute.rule), MOST_WORDS)
        return f"Muted until {until}: {what}. What has gone out already is not taken back."
    if asked.heard is Heard.REPEATED:
        return "It is muted already."
    if asked.heard is Heard.UNKNOWN:
        return NOT_KNOWN
    if request.scope is MuteScope.CVE:
        return "Nothing was muted, for this alert has no CVE: mute its vendor."
    return "Nothing was muted, for this alert names no vendor: mute its CVE."
