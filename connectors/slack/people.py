"""The names of people in Slack, where the token may ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from connectors.slack.clicks import Person, tidy
from connectors.slack.client import Api, Refused

_KEEP: Final = timedelta(hours=12)
_PAUSE: Final = timedelta(minutes=5)
_MOST: Final = 1000


class People:
    """Real names by user id. ``api`` has little patience: a name is only nice to know. For one thread alone."""

    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        self._api, self._now = api, now
        self._known: dict[str, tuple[str, datetime]] = {}
        self._ask_again: datetime | None = None

    def name(self, person: Person) -> str:
        """The person's real name (this needs users:read), else the one that Slack told with what they did."""
        now = self._now()
        known = self._known.get(person.id)
        if known and now < known[1]:
            return known[0]
        name = self._asked(person, now)
        if name:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[person.id] = name, now + _KEEP
        return name or person.name or person.id

    def _asked(self, person: Person, now: datetime) -> str:
        if self._ask_again and now < self._ask_again:
            return ""
        try:
            user = self._api.read("users.info", user=person.id).data.get("user")
        except Refused:
            # No scope, no time, no such user: whichever it is, the next one need not wait for it too.
            self._ask_again = now + _PAUSE
            return ""
        profile = user.get("profile") if isinstance(user, Mapping) else None
        names = [user.get("real_name")] if isinstance(user, Mapping) else []
        names += [profile.get("display_name"), profile.get("real_name")] if isinstance(profile, Mapping) else []
        return tidy(next((name for name in names if isinstance(name, str) and name.strip()), ""))
