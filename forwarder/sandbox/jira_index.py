"""The search index of the sandbox's Jira, which lags behind what was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from forwarder.sandbox.jira_fields import plain
from forwarder.sandbox.jira_workflow import Status
from forwarder.sandbox.text_search import Asked, Words

Stamp = tuple[datetime, datetime, Status]

TEXT: Final = "text"
"""The field that is all texts of an issue together."""


class _Texts:
    """The texts of an issue at one time. Their words are counted when they are first searched."""

    def __init__(self, since: datetime, texts: Mapping[str, Any]) -> None:
        self.since, self.texts = since, texts
        self._words: dict[tuple[str, bool], Words] = {}

    def words(self, field: str, *, fuzzy: bool) -> Words:
        if (field, fuzzy) not in self._words:
            names = self.texts if field == TEXT else [field]
            text = "\n".join(plain(value) for name in names for value in self._all(name))
            self._words[field, fuzzy] = Words(text, fuzzy=fuzzy)
        return self._words[field, fuzzy]

    def _all(self, name: str) -> tuple[Any, ...]:
        value = self.texts[name]
        return value if isinstance(value, tuple) else (value,)


class Index:
    """Which issues bear a label, what they say, and when each was last changed, as a search knows it.

    ``fuzzy`` makes it find texts by words that only begin like those that were asked for.
    """

    def __init__(self) -> None:
        self.fuzzy = False
        self._findable: dict[str, dict[str, datetime]] = {}
        """label (or none at all) -> id -> since when the index has it"""
        self._labels: dict[str, set[str]] = {}
        """id -> the labels under which the index has it"""
        self._stamps: dict[str, list[Stamp]] = {}
        """id -> since when the index knows that it was changed then and has that status"""
        self._texts: dict[str, list[_Texts]] = {}
        """id -> since when the index knows that it says that"""

    def note(self, issue: Mapping[str, Any], since: datetime) -> None:
        """Let what the issue is now be found from ``since`` on."""
        key, labels = issue["id"], {"", *issue["fields"]["labels"]}
        for label in self._labels.get(key, set()) - labels:
            del self._findable[label][key]
        for label in labels:
            self._findable.setdefault(label, {}).setdefault(key, since)
        self._labels[key] = labels
        self._stamps.setdefault(key, []).append((since, issue["updated"], issue["status"]))
        texts = {
            "summary": issue["fields"].get("summary"),
            "description": issue["fields"].get("description"),
            "comment": tuple(comment["body"] for comment in issue["comments"]),
        }
        known = self._texts.setdefault(key, [])
        if not known or known[-1].texts != texts:
            known.append(_Texts(since, texts))

    def forget(self, key: str) -> None:
        for label in self._labels.pop(key):
            del self._findable[label][key]
        del self._stamps[key]
        del self._texts[key]

    def ids(self, labels: Iterable[str] | None) -> list[str]:
        """The ids that bear one of ``labels`` (None: all), whether a search knows it yet or not."""
        wanted = [""] if labels is None else labels
        return list(dict.fromkeys(key for label in wanted for key in self._findable.get(label, {})))

    def labels(self, key: str, now: datetime) -> set[str]:
        """The labels under which a search finds the id, an empty one among them where it finds it at all."""
        return {label for label in self._labels.get(key, ()) if self._findable[label][key] <= now}

    def says(self, key: str, field: str, asked: Asked, now: datetime) -> bool:
        """Whether the words of that field are what is asked for, as far as a search knows them."""
        known = [texts for texts in self._texts.get(key, []) if texts.since <= now]
        return bool(known) and asked(known[-1].words(field, fuzzy=self.fuzzy))

    def stamp(self, key: str, now: datetime) -> tuple[datetime, Status] | None:
        """When a search thinks that the issue was changed, and its status; None where it knows nothing of it."""
        known = [(updated, status) for since, updated, status in self._stamps.get(key, []) if since <= now]
        return known[-1] if known else None
