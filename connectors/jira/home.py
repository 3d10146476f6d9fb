"""The project that tickets are created in: which tickets are its own, and whether the account sees them at all."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from connectors.jira.client import RequestFailed, Site, dig
from connectors.jira.history import EXPAND, History
from forwarder.connector import Broken, Retry

_BROWSE: Final = "BROWSE_PROJECTS"


def no_project(key: str) -> str:
    """That the project is not there, for whatever reason: Jira makes no difference."""
    return f"Jira has no project {key} that the account may see: correct project, or give the account access to it"


class HomeProject:
    """The project of that key. All methods raise RequestFailed."""

    def __init__(self, site: Site, key: str) -> None:
        self._site, self._key = site, key
        self._names = {key.upper()}
        self._others: set[str] = set()
        """Projects of which it is known that they are others."""

    def check_sight(self) -> None:
        """Raises where the account sees none of the project's tickets: a search that found nothing then says nothing.

        An account that is not signed in, or not allowed to browse, is answered like one for whom there is nothing.
        """
        query = {"projectKey": self._key, "permissions": _BROWSE}
        try:
            granted = self._site.ask("GET", "mypermissions", params=query)
        except RequestFailed as failed:
            if failed.status != 404:
                raise
            raise RequestFailed(Broken(no_project(self._key)), status=404) from None
        if dig(granted, "permissions", _BROWSE, "havePermission") is False:
            raise RequestFailed(
                Broken(
                    f"the account may not see the tickets in {self._key}, so it cannot look for what is there: "
                    "grant it Browse Projects there, or renew the token"
                )
            )

    def owns(self, ticket: str) -> bool:
        """Whether a ticket stands in the project, under whatever key that has by now, or was moved out of it."""
        if _project(ticket) in self._names:
            return True
        # A project whose key was changed is still found under the old one.
        self._names.add(str(self._site.ask("GET", f"project/{quote(self._key)}").get("key")).upper())
        return _project(ticket) in self._names or self._was_moved(ticket)

    def names_of(self, ticket: str, history: History | None) -> list[str]:
        """The keys under which the ticket may be known: today's, and those that it had before."""
        project, _, number = ticket.rpartition("-")
        keys = [ticket, *(history.former_keys if history else ())]
        if self._is_called(project):
            keys += [f"{name}-{number}" for name in self._names]
        return list(dict.fromkeys(keys))

    def _is_called(self, project: str) -> bool:
        if project.upper() not in self._names | self._others:
            self._names.add(str(self._site.ask("GET", f"project/{quote(self._key)}").get("key")).upper())
            self._others |= {project.upper()} - self._names
        return project.upper() in self._names

    def _was_moved(self, ticket: str) -> bool:
        query = {"fields": "project", "expand": EXPAND}
        try:
            history = History.of(self._site.ask("GET", f"issue/{quote(ticket, safe='')}", params=query))
        except RequestFailed as failed:
            if failed.status == 404:
                return False  # deleted since the search
            raise
        if any(_project(key) in self._names for key in history.former_keys):
            return True
        if not history.whole:
            raise RequestFailed(Retry(f"Jira does not tell where {ticket} was created, for its history is too long"))
        return False


def _project(ticket: str) -> str:
    return ticket.rpartition("-")[0].upper()
