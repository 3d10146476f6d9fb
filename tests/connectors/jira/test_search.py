"""How the ticket of an alert is found again: in few requests, and never another alert's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors.jira import Jira
from connectors.jira.client import MAX_PAGES
from connectors.jira.identity import Identity
from forwarder.connector import Delivered, Delivery, Failed, Outcome
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import alert, delivery
from tests.connectors.jira.kit import SEARCH, opened, send


def test_threads_share_searches(jira: Jira, sandbox: Sandbox) -> None:
    """Who asks while a search is under way goes along with the next one: far fewer searches than tickets."""
    sandbox.jira.latency = 0.2
    outstanding = [delivery(alert=alert(id=f"alert-{number}")) for number in range(60)]
    start = threading.Barrier(len(outstanding))

    def send_it(one: Delivery) -> Outcome:
        start.wait()
        return jira.deliver(one, jira.render(one))

    with ThreadPoolExecutor(len(outstanding)) as pool:
        assert all(isinstance(outcome, Delivered) for outcome in pool.map(send_it, outstanding))
    assert len([request for request in sandbox.jira.requests if request.method == "GET"]) < len(outstanding) / 2


def test_after_a_failure_a_search_is_asked_for_alone(jira: Jira, sandbox: Sandbox) -> None:
    """What may be there already is looked for with one label in one question."""
    for again in (delivery(), delivery(attempt=2)):
        jira.find(again)
        jira.deliver(again, jira.render(again))
    searches = [request.query["jql"] for request in sandbox.jira.requests if SEARCH in request.path]
    assert len(searches) == 4
    assert all(jql.startswith("labels = ") for jql in searches)


@pytest.mark.parametrize("ask", [Jira.find, send])
def test_what_was_tried_before_shares_no_search(
    jira: Jira, sandbox: Sandbox, ask: Callable[[Jira, Delivery], object]
) -> None:
    """While others share searches, a further attempt and a look ask for their one label in a search of their own."""
    sandbox.jira.latency = 0.1
    tried = [delivery(alert=alert(id=f"alert-{number}"), attempt=2) for number in range(12)]
    start = threading.Barrier(len(tried))

    def ask_for_it(one: Delivery) -> object:
        start.wait()
        return ask(jira, one)

    with ThreadPoolExecutor(len(tried)) as pool:
        list(pool.map(ask_for_it, tried))
    searches = [request.query["jql"] for request in sandbox.jira.requests if SEARCH in request.path]
    labels = sorted(Identity.of(one.alert.id).label for one in tried)
    assert sorted(jql.partition('labels = "')[2].partition('"')[0] for jql in searches) == labels


def test_each_thread_gets_its_own_ticket(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Shared answers are sorted out by label, also where one label's clones fill a page; the oldest ticket counts."""
    jira = connect(concurrency=40)
    first, last = delivery(alert=alert(id="first")), delivery(alert=alert(id="last"))
    keys = [opened(jira, first).remote_id]
    fields = sandbox.jira.issues[keys[0]]["fields"]
    for _ in range(150):
        sandbox.jira.project.create(fields, rich=isinstance(fields["description"], dict))
    keys.append(opened(jira, last).remote_id)
    with ThreadPoolExecutor(40) as pool:
        found = list(pool.map(jira.find, [first, last] * 20))
    assert [receipt and receipt.remote_id for receipt in found] == keys * 20


def test_as_many_connections_are_kept_as_deliveries_are_under_way(
    connect: Callable[..., Jira], sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """No connection is thrown away after a request only to be opened again for the next."""
    jira = connect(concurrency=8)
    sandbox.jira.latency = 0.05
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda number: send(jira, delivery(alert=alert(id=f"alert-{number}"))), range(24)))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert len(sandbox.jira.issues) == 24
    assert "pool is full" not in caplog.text


def test_a_search_that_never_ends_is_not_a_no(jira: Jira, sandbox: Sandbox) -> None:
    """A site that always has another page is out of order: nothing is created, and nothing turns in a circle."""
    issue = {"key": "SEC-9", "fields": {"labels": ["another"]}}
    page = json.dumps({"issues": [issue], "total": 10**9, "nextPageToken": "again"})
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=200, body=page, path=SEARCH, times=None))
    with pytest.raises(Failed):
        jira.find(delivery(attempt=2))
    assert len(sandbox.jira.requests) == MAX_PAGES
    assert not isinstance(send(jira, delivery(attempt=2)), Delivered)
