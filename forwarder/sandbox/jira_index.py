"""The search index of the sandbox's Jira, which lags behind what was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from forwarder.sandbox.jira_workflow import Status

Stamp = tuple[datetime, datetime, Status]


class Index:
    """Which issues bear a label, and when each was last changed, as a search knows it."""

    def __init__(self) -> None:
        self._findable: dict[str, dict[str, datetime]] = {}
        """label (or none at all) -> id -> since when the index has it"""
        self._labels: dict[str, set[str]] = {}
        """id -> the labels under which the index has it"""
        self._stamps: dict[str, list[Stamp]] = {}
        """id -> since when the index knows that it was changed then and has that status"""

    def note(self, issue: Mapping[str, Any], since: datetime) -> None:
        """Let what the issue is now be found from ``since`` on."""
        key, labels = issue["id"], {"", *issue["fields"]["labels"]}
        for label in self._labels.get(key, set()) - labels:
            del self._findable[label][key]
        for label in labels:
            self._findable.setdefault(label, {}).setdefault(key, since)
        self._labels[key] = labels
        self._stamps.setdefault(key, []).append((since, issue["updated"], issue["status"]))

    def forget(self, key: str) -> None:
        for label in self._labels.pop(key):
            del self._findable[label][key]
        del self._stamps[key]

    def ids(self, labels: Iterable[str] | None) -> list[str]:
        """The ids that bear one of ``labels`` (None: all), whether a search knows it yet or not."""
        wanted = [""] if labels is None else labels
        return list(dict.fromkeys(key for label in wanted for key in self._findable.get(label, {})))

    def knows(self, key: str, labels: Iterable[str] | None, now: datetime) -> bool:
        """Whether a search finds the id by one of ``labels``."""
        seen = [self._findable.get(label, {}).get(key) for label in ([""] if labels is None else labels)]
        return any(since is not None and since <= now for since in seen)

    def stamp(self, key: str, now: datetime) -> tuple[datetime, Status] | None:
        """When a search thinks that the issue was changed, and its status; None where it knows nothing of it."""
        known = [(updated, status) for since, updated, status in self._stamps.get(key, []) if since <= now]
        return known[-1] if known else None
