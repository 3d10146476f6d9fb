"""What people do with tickets is seen: once, whole, and whose doing it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from connectors.jira import Jira
from connectors.jira.account import Account
from connectors.jira.client import PAGE_SIZE, Site
from connectors.jira.home import HomeProject
from connectors.jira.identity import Ways
from connectors.jira.watch import OVERLAP, Watch
from forwarder.connector import (
    Action,
    Broken,
    Failed,
    Outcome,
    RateLimited,
    Resolution,
    Response,
    Retry,
    Sighting,
    Status,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import UNSEEN, alert, delivery
from tests.connectors.jira.kit import MINUTE, SEARCH, Looks, config, opened, send, told


def failed(look: Callable[[], object]) -> Outcome:
    with pytest.raises(Failed) as caught:
        look()
    return caught.value.outcome


def test_a_ticket_that_nobody_moved_is_as_it_was_created(ticket: str, look: Looks) -> None:
    (seen,) = look()
    assert (seen.remote_id, seen.status, seen.ours) == (ticket, Status.OPEN, True)
    assert look() == []


def test_what_people_do_is_seen_with_who_did_it(ticket: str, look: Looks, sandbox: Sandbox) -> None:
    """In progress is its assignee's, else whoever began; done is whoever closed it; each at its time."""
    look()
    sandbox.jira.assign(ticket, "alice")
    (seen,) = look()
    assert seen.status is Status.OPEN
    at = sandbox.clock()
    sandbox.jira.move(ticket, "indeterminate", by="bob")
    (seen,) = look()
    assert seen == Sighting(remote_id=ticket, status=Status.ACKNOWLEDGED, at=at, person="Alice Example")
    sandbox.jira.assign(ticket, None)
    (seen,) = look()
    assert (seen.status, seen.person) == (Status.ACKNOWLEDGED, "Bob Example")
    sandbox.jira.move(ticket, "done", by="bob", resolution="Nicht betroffen")
    (seen,) = look()
    assert (seen.status, seen.person) == (Status.RESOLVED, "Bob Example")
    assert (seen.resolution, seen.reason) == (Resolution.NOT_AFFECTED, "Nicht betroffen")
    sandbox.jira.move(ticket, "new", by="bob")
    (seen,) = look()
    assert (seen.status, seen.person, seen.resolution) == (Status.OPEN, "Bob Example", None)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Done", (Resolution.DONE, "")),
        ("Fixed", (Resolution.DONE, "")),
        ("Not Affected", (Resolution.NOT_AFFECTED, "")),
        ("False Positive", (Resolution.NOT_AFFECTED, "False Positive")),
        ("Won't Do", (Resolution.DONE, "Won't Do")),
        ("Duplicate", (Resolution.DONE, "Duplicate")),
        ("Erledigt", (Resolution.DONE, "Erledigt")),
    ],
)
def test_a_resolution_is_told_by_its_name(
    ticket: str, look: Looks, sandbox: Sandbox, name: str, told: tuple[Resolution, str]
) -> None:
    """Only a name that clearly says so means that there was nothing to do."""
    sandbox.jira.move(ticket, "done", by="alice")
    sandbox.jira.issues[ticket]["resolution"] = ("1", name)
    (seen,) = look()
    assert (seen.resolution, seen.reason) == told


def test_a_look_costs_one_request(ticket: str, look: Looks, sandbox: Sandbox) -> None:
    """Who the forwarder is, is asked once."""
    look()
    before = len(sandbox.jira.requests)
    sandbox.jira.move(ticket, "done", by="alice")
    assert len(look()) == 1
    assert look() == []
    assert len(sandbox.jira.requests) - before == 2


# What is our own doing


def test_what_the_forwarder_did_is_its_own(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """A ticket that was closed for somebody elsewhere was not closed by anybody here; its reopening is a person's."""
    jira = connect(on_resolve="close")
    look = Looks(jira, sandbox)
    receipt = opened(jira, delivery())
    look()
    send(jira, told(_resolved(sandbox), receipt))
    (seen,) = look()
    assert (seen.status, seen.ours) == (Status.RESOLVED, True)
    sandbox.jira.move(receipt.remote_id, "new", by="alice")
    (seen,) = look()
    assert (seen.status, seen.ours, seen.person) == (Status.OPEN, False, "Alice Example")


def test_what_a_person_undid_at_once_is_heard(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Between two looks the forwarder closed the ticket and Ada reopened it: both are told, so that hers counts."""
    jira = connect(on_resolve="close")
    look = Looks(jira, sandbox)
    receipt = opened(jira, delivery())
    look()
    send(jira, told(_resolved(sandbox), receipt))
    sandbox.clock.advance(5)
    sandbox.jira.move(receipt.remote_id, "new", by="alice")
    assert [(seen.status, seen.ours) for seen in look()] == [(Status.RESOLVED, True), (Status.OPEN, False)]
    sandbox.jira.assign(receipt.remote_id, "alice")
    assert [(seen.status, seen.ours) for seen in look()] == [(Status.OPEN, False)]


def _resolved(sandbox: Sandbox) -> Response:
    return Response(number=1, action=Action.RESOLVE, at=sandbox.clock(), place="secops", resolution=Resolution.DONE)


# What an index does not show, or not yet


def test_what_the_index_learns_late_is_seen(jira: Jira, look: Looks, sandbox: Sandbox) -> None:
    """Another ticket, changed later, was seen before it."""
    late, prompt = (opened(jira, delivery(alert=alert(id=name))).remote_id for name in ("a", "b"))
    sandbox.clock.advance(3600)
    sandbox.jira.move(prompt, "indeterminate", by="alice")
    look()
    sandbox.jira.index_lag = (OVERLAP - timedelta(minutes=2)).total_seconds()
    sandbox.jira.move(late, "done", by="alice")
    sandbox.clock.advance(MINUTE)
    sandbox.jira.index_lag = 0
    sandbox.jira.move(prompt, "done", by="alice")
    assert [seen.remote_id for seen in look()] == [prompt]
    assert [seen.remote_id for seen in look(OVERLAP.total_seconds() - 5 * MINUTE)] == []
    assert [seen.remote_id for seen in look(2 * MINUTE)] == [late]
    assert look() == []


def index_shows(
    sandbox: Sandbox, key: str, category: str, updated: datetime, *, changes: int = 0, history: Sequence[Any] = ()
) -> None:
    """Let the next search answer that, with a part of the history."""
    status = {"id": "10002", "name": "Fertig", "statusCategory": {"key": category}}
    issue = {
        "key": key,
        "fields": {"status": status, "updated": updated.isoformat()},
        "changelog": {"total": changes, "histories": list(history)},
    }
    body = json.dumps({"issues": [issue], "total": 1, "isLast": True})
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=200, body=body, path=SEARCH))


def test_an_index_that_answers_with_the_past_undoes_nothing(ticket: str, look: Looks, sandbox: Sandbox) -> None:
    """One node knows less than the other that was asked before."""
    created = sandbox.jira.issues[ticket]["created"]
    look()
    sandbox.jira.move(ticket, "done", by="alice")
    assert [seen.status for seen in look()] == [Status.RESOLVED]
    index_shows(sandbox, ticket, "new", created)
    assert look() == []
    assert look() == []


_EARLIER: Final = {
    "author": {"accountId": "id", "name": "bob", "displayName": "Bob Example"},
    "created": "2026-03-02T13:01:00.000+0100",
    "items": [{"field": "status", "from": "10000", "to": "10001"}],
}


@pytest.mark.parametrize("history", [[], [_EARLIER]])
def test_whose_doing_it_was_is_asked_of_the_ticket_where_the_index_does_not_tell(
    ticket: str, look: Looks, sandbox: Sandbox, history: list[Any]
) -> None:
    """Cloud shows only the latest of a long history, and what it shows may not be of one moment."""
    look()
    sandbox.jira.move(ticket, "indeterminate", by="bob")
    sandbox.jira.move(ticket, "done", by="alice")
    index_shows(sandbox, ticket, "done", sandbox.clock(), changes=len(history) + 1, history=history)
    (seen,) = look()
    assert (seen.status, seen.person) == (Status.RESOLVED, "Alice Example")


def test_a_move_behind_many_edits_is_somebodys(ticket: str, look: Looks, sandbox: Sandbox) -> None:
    look()
    sandbox.jira.move(ticket, "indeterminate", by="bob")
    for number in range(120):
        sandbox.jira.edit(ticket, {"summary": f"Edit {number}"})
    (seen,) = look()
    assert (seen.status, seen.person, seen.ours) == (Status.ACKNOWLEDGED, "Bob Example", False)


def test_a_ticket_that_is_deleted_during_the_look_says_nothing(ticket: str, look: Looks, sandbox: Sandbox) -> None:
    look()
    index_shows(sandbox, ticket, "done", sandbox.clock(), changes=1)
    sandbox.jira.project.delete(sandbox.jira.issues[ticket])
    assert look() == []


def test_more_than_a_page_is_seen_whole(jira: Jira, look: Looks, sandbox: Sandbox) -> None:
    keys = [opened(jira, delivery(alert=alert(id=f"many-{number}"))).remote_id for number in range(2 * PAGE_SIZE + 5)]
    look()
    for key in keys:
        sandbox.jira.move(key, "done", by="alice")
    assert sorted(seen.remote_id for seen in look()) == sorted(keys)
    assert look() == []


@pytest.mark.parametrize("path", ["/myself", "/search", "/issue"])
def test_whatever_is_no_answer_is_no_look(
    ticket: str, connect: Callable[..., Jira], sandbox: Sandbox, path: str
) -> None:
    """Every status, empty and foreign bodies, cut connections: none of them says that nobody did anything."""
    for fault in UNSEEN:
        jira = connect()
        sandbox.jira.clear_faults()
        if path == "/issue":
            index_shows(sandbox, ticket, "done", sandbox.clock(), changes=1)
        sandbox.jira.inject(replace(fault, path=path))
        if path == "/issue" and fault.status == 404:
            assert jira.look("").sightings == ()
        else:
            failed(lambda jira=jira: jira.look(""))  # type: ignore[misc]


class Busy(Site):
    """A site where somebody edits tickets while the pages of a search are read."""

    def __init__(self, sandbox: Sandbox, *keys: str, email: str | None) -> None:
        super().__init__(sandbox.jira.url, sandbox.jira.token, email, timeout=30, connections=1, now=sandbox.clock)
        self._sandbox, self._keys = sandbox, list(keys)

    def ask(self, method: str, path: str, **asked: Any) -> dict[str, Any]:
        answer = super().ask(method, path, **asked)
        if "search" in path and self._keys:
            self._sandbox.jira.edit(self._keys.pop(), {"summary": "Edited meanwhile"})
        return answer


@pytest.mark.parametrize("edited", [0, 60, 119])
def test_what_is_edited_while_the_pages_are_read_hides_nothing(jira: Jira, sandbox: Sandbox, edited: int) -> None:
    """A ticket that leaves its place for another lets none slip from one page to one that was read already."""
    keys = []
    for number in range(120):
        keys.append(opened(jira, delivery(alert=alert(id=f"many-{number}"))).remote_id)
        sandbox.clock.advance(MINUTE)
    site = Busy(sandbox, keys[edited], email=jira.config.email)
    with closing(site):
        watch = Watch(site, Account(site), HomeProject(site, "SEC"), Ways(config()))
        first = watch.look("")
        second = watch.look(first.cursor)
    assert {seen.remote_id for look in (first, second) for seen in look.sightings} == {*keys}


def test_a_look_that_lacks_a_page_brings_nothing(jira: Jira, look: Looks, sandbox: Sandbox) -> None:
    """What it lacks would be passed over: the next one asks for all of it."""
    keys = [opened(jira, delivery(alert=alert(id=f"many-{number}"))).remote_id for number in range(PAGE_SIZE + 1)]
    sandbox.jira.inject(
        Fault(kind=FaultKind.LATENCY, path=SEARCH), Fault(kind=FaultKind.STATUS, status=503, path=SEARCH)
    )
    assert isinstance(failed(look), Retry)
    assert sorted(seen.remote_id for seen in look()) == sorted(keys)


def test_where_the_account_may_not_browse_the_look_says_so(ticket: str, look: Looks, sandbox: Sandbox) -> None:
    look()
    sandbox.jira.permissions.discard("BROWSE_PROJECTS")
    assert isinstance(failed(look), Broken)
    sandbox.jira.permissions.add("BROWSE_PROJECTS")
    sandbox.jira.move(ticket, "done", by="alice")
    assert [seen.status for seen in look()] == [Status.RESOLVED]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(kind=FaultKind.STATUS, status=401), Broken),
        (Fault(kind=FaultKind.STATUS, status=403), Broken),
        (Fault(kind=FaultKind.STATUS, status=404), Broken),
        (Fault(kind=FaultKind.STATUS, status=429), RateLimited),
        (Fault(kind=FaultKind.STATUS, status=500), Retry),
        (Fault(kind=FaultKind.STATUS, status=200, body="{}"), Retry),
        (Fault(kind=FaultKind.STATUS, status=200, body='{"issues": [{"key": "SEC-1"}], "total": 1}'), Retry),
        (Fault(kind=FaultKind.HTML), Retry),
        (Fault(kind=FaultKind.TRUNCATED), Retry),
        (Fault(kind=FaultKind.RESET_AFTER), Retry),
    ],
)
def test_a_look_that_failed_is_made_up_for(
    ticket: str, look: Looks, sandbox: Sandbox, fault: Fault, expected: type[Outcome]
) -> None:
    """Whatever kept it from being whole; also where that lasts."""
    for path in ("/myself", SEARCH):
        sandbox.jira.inject(replace(fault, path=path))
        assert isinstance(failed(look), expected)
    look()
    sandbox.jira.move(ticket, "done", by="alice")
    sandbox.jira.inject(replace(fault, path=SEARCH, times=3))
    for _ in range(3):
        assert isinstance(failed(look), expected)
    assert [seen.status for seen in look()] == [Status.RESOLVED]
