"""One request to a Jira site: as what site, at which API version, by whom, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forwarder.sandbox.exchange import Request
from forwarder.sandbox.jira_project import Project


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request, with who sent it settled. ``part`` is what its path names; nobody's request is ``anonymous``."""

    request: Request
    origin: str
    project: Project
    cloud: bool
    rich: bool
    """Whether texts are documents (API v3)."""
    anonymous: bool
    permissions: frozenset[str]
    part: tuple[str, ...]

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent; raises ValueError where it was none."""
        value = self.request.json()
        if not isinstance(value, dict):
            raise ValueError("no object")  # noqa: TRY004 - to the caller it is one error with bad JSON
        return value

    def asked(self) -> Mapping[str, Any]:
        """What a search asks; in a query, a list may come as one text with commas or as several."""
        if self.request.method == "POST":
            return self.body()
        several = [name for name in ("fields", "reconcileIssues") if name in self.query]
        return {**self.query, **{name: ",".join(self.request.every(name)) for name in several}}

    def may(self, permission: str) -> bool:
        """Whether the sender has that permission in the project."""
        return not self.anonymous and permission in self.permissions

    def sees(self, key: str) -> bool:
        """Whether that is the project's key or id, and the sender may browse it."""
        return self.may("BROWSE_PROJECTS") and (self.project.is_called(key) or key == self.project.id)


def window(asked: Mapping[str, Any], default: int = 50) -> tuple[int, int]:
    """Where a page starts, and how many items it may hold."""
    return int(asked.get("startAt") or 0), int(asked.get("maxResults") or default)
