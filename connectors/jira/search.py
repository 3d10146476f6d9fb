"""The way from an alert's label to its ticket: Jira's search, shared by the threads of a burst."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from connectors.jira.client import RequestFailed, Site, unreadable
from connectors.jira.home import HomeProject
from connectors.jira.query import tickets

MAX_LABELS: Final = 50
"""Most labels that one search asks for."""


class _Question:
    """A label that a thread asks for. It is woken for the answer, or because it is its turn to ask."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.woken = threading.Event()
        self.answered = False
        self.key: str | None = None
        self.error: BaseException | None = None

    def answer(self, key: str | None, error: BaseException | None = None) -> None:
        self.key, self.error, self.answered = key, error, True
        self.woken.set()


class LabelSearch:
    """Finds tickets of one project by a label that only they have.

    Threads that ask while a search is under way share the next one, so a burst costs far fewer requests than tickets;
    a thread that asks alone waits for nobody.
    """

    def __init__(self, site: Site, project: str) -> None:
        self._site = site
        self._home = HomeProject(site, project)
        self._lock = threading.Lock()
        self._asking = False
        self._waiting: list[_Question] = []

    def key(self, label: str, *, shared: bool = True) -> str | None:
        """The key of the oldest ticket with ``label``, None where there is none; raises RequestFailed.

        A ticket that people moved to another project counts, and None is only said where the account sees tickets.

        Not ``shared``, it is asked for alone: the plainest of questions, where the answer matters most.
        """
        if not shared:
            return self._keys([label]).get(label.lower())
        question = _Question(label)
        with self._lock:
            self._waiting.append(question)
            my_turn, self._asking = not self._asking, True
        if not my_turn:
            question.woken.wait()
        if not question.answered:
            self._ask_for_all()
        if question.error is not None:
            raise question.error
        return question.key

    def _ask_for_all(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting[:MAX_LABELS], self._waiting[MAX_LABELS:]
        try:
            keys = self._keys(sorted({question.label for question in batch}))
        except BaseException as error:
            for question in batch:
                question.answer(None, error)
        else:
            for question in batch:
                question.answer(keys.get(question.label.lower()))
        finally:
            with self._lock:
                # Whoever waits longest asks next, and with it for all that came meanwhile.
                self._asking = bool(self._waiting)
                if self._asking:
                    self._waiting[0].woken.set()

    def _keys(self, labels: Sequence[str]) -> dict[str, str]:
        """The key of the oldest ticket with each of ``labels`` (in lower case) that has one."""
        quoted = ", ".join(f'"{label}"' for label in labels)
        one = len(labels) == 1
        condition = f"labels = {quoted}" if one else f"labels in ({quoted})"
        wanted = {label.lower() for label in labels}
        keys: dict[str, str] = {}
        # People clone tickets, labels included, so one label can fill a page; and move them to other projects.
        for key, theirs in self._found(f"{condition} ORDER BY created ASC", labels[0] if one else None):
            new = (theirs & wanted) - keys.keys()
            if new and self._home.owns(key):
                keys.update(dict.fromkeys(new, key))
            if keys.keys() >= wanted:
                return keys
        self._home.check_sight()
        return keys

    def _found(self, jql: str, only: str | None) -> Iterator[tuple[str, set[str]]]:
        """Each ticket that is found, with its labels in lower case; raises where not all are shown."""
        for issue in tickets(self._site, jql, fields="labels"):
            try:
                labels = {label.lower() for label in _labels(issue, only)}
            except (KeyError, TypeError, AttributeError):
                raise RequestFailed(unreadable(writes=False)) from None
            yield issue["key"], labels


def _labels(issue: Mapping[str, Any], only: str | None) -> Sequence[str]:
    """The labels of a ticket that was found; where one label alone was asked for, it need not be said again."""
    fields = issue.get("fields")
    if only is not None and not (isinstance(fields, Mapping) and "labels" in fields):
        return [only]
    labels: Sequence[str] = issue["fields"]["labels"]
    return labels
