"""What a look reaches: however long ago the last one was, whatever the clocks say, wherever a ticket is by now."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from connectors.jira import Jira
from connectors.jira.watch import FIRST
from forwarder.connector import (
    Status,
)
from forwarder.sandbox import Sandbox
from forwarder.testing import alert, delivery
from tests.connectors.jira.kit import MINUTE, Looks, opened


def test_the_first_look_reaches_back(jira: Jira, look: Looks, sandbox: Sandbox) -> None:
    """What was done before anybody looked counts, up to a week."""
    old = opened(jira, delivery(alert=alert(id="old"))).remote_id
    sandbox.jira.move(old, "done", by="alice")
    sandbox.clock.advance(FIRST.total_seconds())
    young = opened(jira, delivery(alert=alert(id="young"))).remote_id
    sandbox.clock.advance(FIRST.total_seconds() - 2 * MINUTE)
    sandbox.jira.move(young, "done", by="alice")
    assert [(seen.remote_id, seen.person) for seen in look()] == [(young, "Alice Example")]


def test_a_site_without_tickets_is_asked_again(jira: Jira, look: Looks, sandbox: Sandbox) -> None:
    assert look() == []
    key = opened(jira, delivery()).remote_id
    sandbox.jira.move(key, "done", by="alice")
    assert [seen.status for seen in look()] == [Status.RESOLVED]


def test_what_was_done_while_nobody_looked_is_seen(ticket: str, look: Looks, sandbox: Sandbox) -> None:
    """However long that was."""
    look()
    sandbox.jira.move(ticket, "done", by="alice")
    assert [seen.status for seen in look(40 * 86400.0)] == [Status.RESOLVED]


@pytest.mark.parametrize("cursor", ["?", "{}", "[]", '{"until": 1}', '{"until": "2026-03-02", "tickets": []}', "null"])
def test_a_cursor_that_cannot_be_read_begins_anew(ticket: str, jira: Jira, cursor: str) -> None:
    assert [seen.remote_id for seen in jira.look(cursor).sightings] == [ticket]


@pytest.mark.parametrize("zone", ["Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"])
@pytest.mark.parametrize(
    "changes_at",
    [
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # Berlin, an hour is skipped
        datetime(2026, 10, 25, 1, 0, tzinfo=UTC),  # Berlin, an hour comes twice
        datetime(2026, 3, 8, 7, 0, tzinfo=UTC),  # New York, an hour is skipped
        datetime(2026, 11, 1, 6, 0, tzinfo=UTC),  # New York, an hour comes twice
    ],
)
def test_no_hour_is_lost_or_seen_twice_where_the_clocks_change(
    connect: Callable[..., Jira], sandbox: Sandbox, zone: str, changes_at: datetime
) -> None:
    """Every quarter of an hour around the change a ticket is moved, in whatever zone the account is."""
    sandbox.jira.time_zone = zone
    sandbox.clock.advance((changes_at - timedelta(hours=2) - sandbox.clock()).total_seconds())
    jira = connect()
    look = Looks(jira, sandbox)
    key = opened(jira, delivery()).remote_id
    look()
    for number in range(16):
        category = ("indeterminate", "new")[number % 2]
        sandbox.jira.move(key, category, by="alice")
        assert len(look(10 * MINUTE)) == 1
        assert look(5 * MINUTE) == []


@pytest.mark.parametrize("wrong_by", [timedelta(days=-3), timedelta(hours=-1), timedelta(hours=5)])
def test_our_own_clock_does_not_matter(connect: Callable[..., Jira], sandbox: Sandbox, wrong_by: timedelta) -> None:
    """Nor that it is set between two looks: how long ago something was is told by the site."""
    error = timedelta()
    jira = connect(now=lambda: sandbox.clock() + error)
    look = Looks(jira, sandbox)
    key = opened(jira, delivery()).remote_id
    look()
    sandbox.jira.move(key, "done", by="alice")
    sandbox.clock.advance(3 * 3600)
    error = wrong_by
    assert [seen.status for seen in look()] == [Status.RESOLVED]
    sandbox.jira.move(key, "new", by="alice")
    with closing(connect(now=lambda: sandbox.clock() + error)) as restarted:
        sandbox.clock.advance(3 * 3600)
        assert [seen.status for seen in restarted.look(look.cursor).sightings] == [Status.OPEN]


# Wherever the ticket is by now


def test_a_ticket_in_another_project_is_seen_under_the_key_that_it_had(
    ticket: str, look: Looks, sandbox: Sandbox
) -> None:
    look()
    sandbox.jira.project.send_away(ticket, "OPS-7")
    sandbox.jira.move("OPS-7", "done", by="alice")
    assert {seen.remote_id for seen in look() if seen.status is Status.RESOLVED} == {ticket, "OPS-7"}


def test_a_ticket_of_a_renamed_project_is_seen_under_both_keys(ticket: str, look: Looks, sandbox: Sandbox) -> None:
    look()
    sandbox.jira.project.rename("SECURITY")
    sandbox.jira.move("SECURITY-1", "done", by="alice")
    before = len(sandbox.jira.requests)
    assert {seen.remote_id for seen in look() if seen.status is Status.RESOLVED} == {ticket, "SECURITY-1"}
    assert look() == []
    assert len(sandbox.jira.requests) - before == 3


def test_another_site_begins_anew(connect: Callable[..., Jira], look: Looks, sandbox: Sandbox) -> None:
    """What was seen at one says nothing of the other, though keys may be the same."""
    with Sandbox(clock=sandbox.clock, limits=False) as other:
        email = look.jira.config.email and other.jira.email
        moved = connect(url=other.jira.url, email=email, token=other.jira.token)
        opened(moved, delivery())
        other.jira.move("SEC-1", "done", by="bob")
        sandbox.clock.advance(86400.0)
        opened(look.jira, delivery())
        look()
        (seen,) = moved.look(look.cursor).sightings
    assert (seen.status, seen.person) == (Status.RESOLVED, "Bob Example")


def test_a_change_that_is_dated_in_the_future_drags_no_look_along(jira: Jira, look: Looks, sandbox: Sandbox) -> None:
    """One node's clock is wrong: what the others date right is not passed over."""
    wrong, right = (opened(jira, delivery(alert=alert(id=name))).remote_id for name in ("a", "b"))
    look()
    sandbox.clock.advance(86400.0)
    sandbox.jira.move(wrong, "done", by="alice")
    sandbox.clock.advance(-86400.0)
    assert len(look()) == 1
    for key, by in ((right, "alice"), (wrong, "bob")):
        sandbox.jira.move(key, "indeterminate", by=by)
        assert (key, Status.ACKNOWLEDGED) in [(seen.remote_id, seen.status) for seen in look(3600.0)]


def test_what_was_seen_is_forgotten_in_time(jira: Jira, look: Looks, sandbox: Sandbox) -> None:
    """The cursor stays small, however many tickets there are."""
    for number in range(40):
        opened(jira, delivery(alert=alert(id=f"one-{number}")))
        look(5 * MINUTE)
    assert len(json.loads(look.cursor)["tickets"]) < 10
