"""Who the forwarder is at a Jira site, and who others are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.jira.client import RequestFailed, Site, unreadable
from forwarder.connector import clean, cut, one_line

_IDS: Final = ("accountId", "key", "name")
"""What tells people apart: the first on Cloud, the others on Data Center."""

_MAX_NAME: Final = 100


class Account:
    """The account whose token is used. Jira is asked who that is once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._myself: Mapping[str, Any] | None = None

    def load(self) -> Mapping[str, Any]:
        """What Jira says of the account; raises RequestFailed."""
        if self._myself is None:
            myself = self._site.ask("GET", "myself")
            if not any(myself.get(name) for name in _IDS):
                raise RequestFailed(unreadable(writes=False))
            self._myself = myself
        return self._myself

    def is_ours(self, person: Mapping[str, Any]) -> bool:
        """Whether that is the account itself; raises RequestFailed."""
        myself = self.load()
        return any(person.get(name) and person[name] == myself.get(name) for name in _IDS)


def name_of(person: object) -> str:
    """A person's name for people; empty for nobody, or where Jira tells none."""
    name = person.get("displayName") if isinstance(person, Mapping) else None
    return cut(one_line(clean(str(name))), _MAX_NAME) if name else ""
