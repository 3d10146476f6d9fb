"""The way from an alert to its ticket: Jira's search, shared by the threads of a burst."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from connectors.jira.client import RequestFailed, Site, unreadable
from connectors.jira.home import HomeProject
from connectors.jira.identity import FIELDS, Identity, Marks, Ways
from connectors.jira.query import bearing, tickets, with_or_without_labels

MAX_LABELS: Final = 50
"""Most tickets that one search asks for."""

MAX_WORDS: Final = 25
"""The same where each is asked for twice: addresses of more than 8,000 characters are refused on the way."""

_PAGE: Final = 50
"""Tickets of one answer, each with its description."""


class _Question:
    """A ticket that a thread asks for. It is woken for the answer, or because it is its turn to ask."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.woken = threading.Event()
        self.answered = False
        self.key: str | None = None
        self.error: BaseException | None = None

    def answer(self, key: str | None, error: BaseException | None = None) -> None:
        self.key, self.error, self.answered = key, error, True
        self.woken.set()


class TicketSearch:
    """Finds tickets of one project by what only they bear.

    Threads that ask while a search is under way share the next one, so a burst costs far fewer requests than tickets;
    a thread that asks alone waits for nobody.
    """

    def __init__(self, site: Site, project: str, ways: Ways) -> None:
        self._site = site
        self._ways = ways
        self._home = HomeProject(site, project)
        self._lock = threading.Lock()
        self._asking = False
        self._waiting: list[_Question] = []

    def key(self, identity: Identity, *, shared: bool = True) -> str | None:
        """The key of the oldest ticket that bears it, None where there is none; raises RequestFailed.

        A ticket that people moved to another project counts, and None is only said where the account sees tickets.

        Not ``shared``, it is asked for alone: the plainest of questions, where the answer matters most.
        """
        if not shared:
            return self._keys([identity]).get(identity)
        question = _Question(identity)
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
        most = MAX_WORDS if self._ways.by_text else MAX_LABELS
        with self._lock:
            batch, self._waiting = self._waiting[:most], self._waiting[most:]
        try:
            keys = self._keys(sorted({question.identity for question in batch}, key=lambda one: one.label))
        except BaseException as error:
            for question in batch:
                question.answer(None, error)
        else:
            for question in batch:
                question.answer(keys.get(question.identity))
        finally:
            with self._lock:
                # Whoever waits longest asks next, and with it for all that came meanwhile.
                self._asking = bool(self._waiting)
                if self._asking:
                    self._waiting[0].woken.set()

    def _keys(self, identities: Sequence[Identity]) -> dict[Identity, str]:
        """The key of the ticket that bears each of the ``identities``, where there is one."""
        keys = self._keys_by_text(identities) if self._ways.by_text else self._keys_by_label(identities)
        if len(keys) < len(identities):
            self._home.check_sight()
        return keys

    def _keys_by_label(self, identities: Sequence[Identity]) -> dict[Identity, str]:
        wanted = {one.label: one for one in identities}
        keys: dict[Identity, str] = {}
        # People clone tickets, labels included, so one label can fill a page; and move them to other projects.
        for key, theirs in self._labelled(identities):
            new = {wanted[label] for label in theirs & wanted.keys()} - keys.keys()
            if new and self._home.owns(key):
                keys.update(dict.fromkeys(new, key))
            if len(keys) == len(identities):
                break
        return keys

    def _keys_by_text(self, identities: Sequence[Identity]) -> dict[Identity, str]:
        """The same where a line may stand in place of the label: what only looks like it is left aside."""
        found = [(issue["key"], Marks.of(issue)) for issue in self._bearing(identities)]
        keys = ((one, self._clearest(one, found)) for one in identities)
        return {one: key for one, key in keys if key is not None}

    def _clearest(self, identity: Identity, found: Sequence[tuple[str, Marks]]) -> str | None:
        ranked = [(rank, key) for key, marks in found if (rank := identity.rank(marks)) is not None]
        # Of equals the first one, which is the oldest.
        ranked.sort(key=lambda pair: pair[0])
        return next((key for _, key in ranked if self._home.owns(key)), None)

    def _bearing(self, identities: Sequence[Identity]) -> list[Mapping[str, Any]]:
        return with_or_without_labels(
            lambda by_label: tickets(
                self._site, bearing(identities, by_text=True, by_label=by_label), fields=FIELDS, most=_PAGE
            )
        )

    def _labelled(self, identities: Sequence[Identity]) -> Iterator[tuple[str, set[str]]]:
        """Each ticket that is found, with its labels in lower case; raises where not all are shown."""
        for issue in tickets(self._site, bearing(identities), fields="labels"):
            try:
                labels = {label.lower() for label in _labels(issue, identities)}
            except (KeyError, TypeError, AttributeError):
                raise RequestFailed(unreadable(writes=False)) from None
            yield issue["key"], labels


def _labels(issue: Mapping[str, Any], asked: Sequence[Identity]) -> Collection[str]:
    """The labels of a ticket that was found; where one label alone was asked for, it need not be said again."""
    fields = issue.get("fields")
    if len(asked) == 1 and not (isinstance(fields, Mapping) and "labels" in fields):
        return [asked[0].label]
    labels: Sequence[str] = issue["fields"]["labels"]
    return labels
