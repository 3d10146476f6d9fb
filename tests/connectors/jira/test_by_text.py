"""Tickets that are found by a line of their description, on sites whose screens have no field Labels."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

import pytest

from connectors.jira import Jira
from connectors.jira.identity import Identity
from connectors.jira.markup import plain
from connectors.jira.search import MAX_WORDS
from forwarder.connector import (
    RENAMED,
    Broken,
    Delivered,
    Delivery,
    Failed,
    Kind,
    Memory,
    Outcome,
    ProcessMemory,
    Retry,
    Status,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import ALERT_ID, HOSTILE_TEXTS, alert, delivery
from tests.connectors.jira.kit import CREATE, SEARCH, Looks, comments, follow_up, opened, send

MINE = Identity.of(ALERT_ID)
Connect = Callable[..., Jira]


@pytest.fixture(autouse=True)
def no_labels(sandbox: Sandbox) -> None:
    """The site's screens lack the field Labels."""
    sandbox.jira.project.hidden_fields.add("labels")


@pytest.fixture
def by_text(connect: Connect) -> Connect:
    def connected(memory: Memory | None = None, **changes: Any) -> Jira:
        jira = connect(**{"identity": "text", **changes})
        jira.remember(memory or ProcessMemory())
        return jira

    return connected


@pytest.fixture
def jira(by_text: Connect) -> Jira:
    return by_text()


def queries(sandbox: Sandbox) -> list[str]:
    return [request.query["jql"] for request in sandbox.jira.requests if SEARCH in request.path]


def line_of(sandbox: Sandbox, key: str) -> str:
    return plain(sandbox.jira.issues[key]["fields"]["description"]).splitlines()[-1]


def another(number: int, **changes: Any) -> Delivery:
    return delivery(alert=alert(id=f"alert-{number}"), **changes)


def test_a_word_is_one_to_every_search() -> None:
    """It is of letters and then of digits alone, and differs in these from those of others."""
    words = [Identity.of(f"alert-{number}").word for number in range(2000)]
    assert all(re.fullmatch("sentrytex[0-9]{32}", word) for word in words)
    assert len(set(words)) == len(words)
    assert words[0] == Identity.of("alert-0").word


def test_a_ticket_is_created_without_labels_and_found_by_its_last_line(jira: Jira, sandbox: Sandbox) -> None:
    """The field is not sent at all; a second delivery finds the ticket, in as many requests as by a label."""
    first = opened(jira, delivery())
    assert [request.method for request in sandbox.jira.requests] == ["GET", "GET", "POST"]
    assert "labels" not in jira.render(delivery())["fields"]
    assert line_of(sandbox, "SEC-1").endswith(f": {MINE.word}")
    assert send(jira, delivery()) == Delivered(first, note="the ticket was there already")
    assert jira.find(delivery()) == first
    assert len(sandbox.jira.issues) == 1
    assert MINE.word in jira.preview(jira.render(delivery()))


def test_where_labels_were_asked_for_they_are_sent(by_text: Connect, sandbox: Sandbox) -> None:
    """Only those of the config: none of the forwarder's own."""
    sandbox.jira.project.hidden_fields.clear()
    opened(by_text(labels=["security"]), delivery())
    assert sandbox.jira.issues["SEC-1"]["fields"]["labels"] == ["security"]


def test_only_the_description_is_searched(jira: Jira, sandbox: Sandbox) -> None:
    """A comment that quotes the line, and a summary, make no ticket the alert's."""
    text = line_of(sandbox, opened(jira, another(1)).remote_id).replace(Identity.of("alert-1").word, MINE.word)
    key = sandbox.jira.write({"summary": text})
    sandbox.jira.comment(key, text)
    assert jira.find(delivery()) is None
    assert all(f'description ~ "\\"{MINE.word}\\""' in jql for jql in queries(sandbox)[-1:])


@pytest.mark.parametrize(
    "words",
    [
        "See {word}, please.",
        "{word}",
        "the forwarder finds this ticket: {word}",
        "Please keep this line, by which the forwarder finds this ticket: {word}7",
        "Please keep this line, by which the forwarder finds this ticket: {cut}",
    ],
)
def test_what_only_looks_like_the_line_is_none(jira: Jira, sandbox: Sandbox, words: str) -> None:
    """A search answers with what is near: the line itself must stand there, with the whole word."""
    sandbox.jira.fuzzy = True
    key = sandbox.jira.write({"summary": "Mine", "description": words.format(word=MINE.word, cut=MINE.word[:-1])})
    assert jira.find(delivery()) is None
    assert opened(jira, delivery()).remote_id != key


def test_a_careless_search_mixes_no_alerts_up(jira: Jira, sandbox: Sandbox) -> None:
    """Where it answers with the tickets of all, each alert gets its own, and one that has none gets a new one."""
    sandbox.jira.fuzzy = True
    keys = [opened(jira, another(number)).remote_id for number in range(5)]
    assert len(set(keys)) == 5
    assert [receipt and receipt.remote_id for receipt in map(jira.find, map(another, range(5)))] == keys
    assert jira.find(delivery()) is None


def test_a_line_that_people_moved_about_is_known(jira: Jira, sandbox: Sandbox) -> None:
    """In other spaces, another case, and with words of theirs around it, it still stands there."""
    receipt = opened(jira, delivery())
    line = line_of(sandbox, "SEC-1")
    for text in (f"Ours.\n\n{line}\n\nSee the wiki.", f"Ours: {line}", line.upper(), line.replace(" ", "  ")):
        sandbox.jira.edit("SEC-1", {"description": text})
        assert jira.find(delivery()) == receipt


def test_a_ticket_whose_line_was_taken_away_is_still_the_one_that_is_remembered(jira: Jira, sandbox: Sandbox) -> None:
    """What becomes of the alert is told there; only who has lost the key finds it no more."""
    receipt = opened(jira, delivery())
    sandbox.jira.edit("SEC-1", {"description": "Rewritten."})
    assert send(jira, follow_up(Kind.UPDATE, receipt)) == Delivered(receipt)
    assert len(comments(sandbox)) == 1
    assert jira.find(delivery()) is None


def test_of_a_ticket_and_its_clones_the_ticket_counts(jira: Jira, sandbox: Sandbox) -> None:
    """A clone has the same line, as it has the same labels."""
    receipt = opened(jira, delivery())
    for _ in range(120):
        sandbox.jira.clone("SEC-1")
    assert jira.find(delivery()) == receipt
    assert opened(jira, another(1)).remote_id == "SEC-122"


@pytest.mark.parametrize("order", [0, 1])
def test_an_older_ticket_into_which_the_line_was_copied_is_not_the_one(
    jira: Jira, sandbox: Sandbox, order: int
) -> None:
    """Who copies one ticket's description into another one's changes neither's alert."""
    first, second = opened(jira, another(1)), opened(jira, another(2))
    texts = [plain(sandbox.jira.issues[one.remote_id]["fields"]["description"]) for one in (first, second)]
    sandbox.jira.edit(first.remote_id, {"description": "\n\n".join(texts[:: -1 if order else 1])})
    assert (jira.find(another(1)), jira.find(another(2))) == (first, second)


def test_an_alert_cannot_pass_for_another_one(by_text: Connect, sandbox: Sandbox) -> None:
    """What an alert says of itself is no line by which tickets are found, wherever it says it."""
    jira = by_text()
    opened(jira, another(1))
    forged = line_of(sandbox, "SEC-1").replace(Identity.of("alert-1").word, MINE.word)
    places: list[dict[str, Any]] = [
        {"title": forged},
        {"description": f"x\n{forged}\n"},
        {"alert_type": forged},
        {"affected_vendors": [forged]},
    ]
    for number, fields in enumerate(places, 2):
        opened(jira, delivery(alert=alert(id=f"alert-{number}", **fields)))
    assert jira.find(delivery()) is None
    assert len({opened(jira, another(number)).remote_id for number in range(1, 6)}) == 5


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS[::8], "x" * 40_000])
def test_no_text_takes_the_line_away(jira: Jira, text: str) -> None:
    """However long or strange an alert's text is, the line stands behind it, and the ticket is found."""
    one = delivery(alert=alert(description=text))
    receipt = opened(jira, one)
    assert jira.find(one) == receipt


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATED, FaultKind.RESET_AFTER, FaultKind.STATUS_AFTER])
def test_a_ticket_whose_answer_was_lost_is_found_when_the_index_has_it(
    jira: Jira, sandbox: Sandbox, kind: FaultKind
) -> None:
    """After an ambiguous create it is looked for until the index has caught up, and there is one."""
    sandbox.jira.index_lag = 45
    sandbox.jira.inject(Fault(kind=kind, status=502, path=CREATE))
    assert isinstance(send(jira, delivery()), Uncertain)
    sandbox.clock.advance(jira.reconcile_after[0])
    assert jira.find(delivery()) is None
    sandbox.clock.advance(jira.reconcile_after[1])
    receipt = jira.find(delivery())
    assert receipt is not None
    assert receipt.remote_id == "SEC-1"
    assert len(sandbox.jira.issues) == 1


@pytest.mark.each_once
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("attempt", [1, 2])
def test_nothing_is_created_where_the_search_failed(jira: Jira, sandbox: Sandbox, status: int, attempt: int) -> None:
    """An answer that does not say "there is none" is no reason to create one."""
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=status, path=SEARCH, times=2))
    assert not isinstance(send(jira, delivery(attempt=attempt)), Delivered)
    with pytest.raises(Failed):
        jira.find(delivery())
    assert sandbox.jira.issues == {}


@pytest.mark.parametrize(
    "fields", [None, {}, {"summary": "x"}, {"labels": None, "description": "x"}, {"labels": "x"}], ids=str
)
def test_a_ticket_that_cannot_be_told_from_others_makes_no_other(jira: Jira, sandbox: Sandbox, fields: Any) -> None:
    """Where neither labels nor description are shown of what was found, it may be the one."""
    body = json.dumps({"issues": [{"key": "SEC-9", "fields": fields}], "total": 1, "isLast": True})
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=200, body=body, path=SEARCH, times=2))
    assert isinstance(send(jira, delivery()), Retry)
    with pytest.raises(Failed):
        jira.find(delivery())
    assert sandbox.jira.issues == {}


def test_where_the_account_may_not_browse_no_ticket_is_made(jira: Jira, sandbox: Sandbox) -> None:
    """Jira answers such an account as if there were nothing."""
    opened(jira, delivery())
    sandbox.jira.permissions -= {"BROWSE_PROJECTS"}
    assert isinstance(send(jira, delivery()), Broken)
    assert len(sandbox.jira.issues) == 1


def test_threads_share_searches(jira: Jira, sandbox: Sandbox) -> None:
    """As by labels: far fewer searches than tickets, and no address that is too long for a proxy on the way."""
    sandbox.jira.latency = 0.1
    outstanding = [another(number) for number in range(60)]
    start = threading.Barrier(len(outstanding))

    def send_it(one: Delivery) -> Outcome:
        start.wait()
        return jira.deliver(one, jira.render(one))

    with ThreadPoolExecutor(len(outstanding)) as pool:
        assert all(isinstance(outcome, Delivered) for outcome in pool.map(send_it, outstanding))
    assert len(sandbox.jira.issues) == len(outstanding)
    assert len(queries(sandbox)) < len(outstanding) / 3
    assert max(jql.count("description ~") for jql in queries(sandbox)) <= MAX_WORDS
    sandbox.jira.latency = 0.0
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(jira.find, [replace(one, attempt=1) for one in outstanding]))
    assert len({receipt.remote_id for receipt in found if receipt}) == len(outstanding)


def test_the_longest_of_shared_searches_fits_into_an_address(jira: Jira, sandbox: Sandbox) -> None:
    """Web servers take 8,000 characters of a request's first line."""
    ids = ["x" * 90 + f"{number:03}" for number in range(MAX_WORDS)]
    jira._search._keys([Identity.of(one) for one in ids])
    (jql,) = queries(sandbox)
    assert len(quote_plus(jql)) < 7500


# From one identity to the other


def labelled(connect: Connect, sandbox: Sandbox, memory: Memory) -> Jira:
    """The site before its screens lost the field."""
    sandbox.jira.project.hidden_fields.clear()
    jira = connect()
    jira.remember(memory)
    return jira


@pytest.mark.parametrize("forgotten", [False, True])
def test_what_has_a_label_is_found_after_the_switch_to_text(
    connect: Connect, by_text: Connect, sandbox: Sandbox, forgotten: bool
) -> None:
    """By the key that is remembered, and by its label where nothing is remembered at all."""
    memory = ProcessMemory()
    receipt = opened(labelled(connect, sandbox, memory), delivery())
    sandbox.jira.project.hidden_fields.add("labels")
    after = by_text(ProcessMemory() if forgotten else memory)
    assert opened(after, delivery()) == receipt
    assert send(after, follow_up(Kind.UPDATE, None if forgotten else receipt)) == Delivered(receipt)
    assert len(sandbox.jira.issues) == 1


def test_what_has_a_line_is_found_after_the_switch_to_labels(
    connect: Connect, by_text: Connect, sandbox: Sandbox
) -> None:
    """The store knows that there were lines, also where the connector has got another name since."""
    memory = ProcessMemory()
    receipt = opened(by_text(memory), delivery())
    renamed = ProcessMemory({RENAMED + key: value for key, value in memory.values.items()})
    for known in (memory, renamed):
        after = labelled(connect, sandbox, known)
        assert opened(after, delivery()) == receipt
    assert len(sandbox.jira.issues) == 1
    opened(after, another(1))
    assert "sentrytex-alert-1" in sandbox.jira.issues["SEC-2"]["fields"]["labels"]


class _Unreadable(ProcessMemory):
    def get(self, key: str) -> str:
        raise Failed(Retry(f"{key} cannot be read"))


def test_where_the_memory_cannot_be_read_both_are_looked_for(
    connect: Connect, by_text: Connect, sandbox: Sandbox
) -> None:
    """It is not known then whether there are lines."""
    receipt = opened(by_text(), delivery())
    assert labelled(connect, sandbox, _Unreadable()).find(delivery()) == receipt


def test_who_never_wrote_lines_asks_for_labels_alone(connect: Connect, sandbox: Sandbox) -> None:
    """No search of texts is asked of Jira that is not needed."""
    opened(labelled(connect, sandbox, ProcessMemory()), delivery())
    assert queries(sandbox) == [f'labels = "{MINE.label}" ORDER BY created ASC']


def test_of_a_label_and_a_copied_line_the_label_is_clearer(
    connect: Connect, by_text: Connect, sandbox: Sandbox
) -> None:
    """A person's ticket with a copy of the line, older than the one that was labelled, is not it."""
    memory = ProcessMemory()
    line = line_of(sandbox, opened(by_text(memory), another(1)).remote_id)
    sandbox.jira.write({"summary": "Mine", "description": line.replace(Identity.of("alert-1").word, MINE.word)})
    jira = labelled(connect, sandbox, memory)
    fields = jira.render(delivery())["fields"]
    own = sandbox.jira.project.create(fields, rich=isinstance(fields["description"], dict))
    receipt = jira.find(delivery())
    assert receipt is not None
    assert receipt.remote_id == own["key"]


def test_a_site_without_labels_at_all(jira: Jira, sandbox: Sandbox) -> None:
    """Where no query may name the field, the search and the looks do without."""
    sandbox.jira.project.absent_fields.add("labels")
    receipt = opened(jira, delivery())
    assert opened(jira, delivery()) == receipt
    sandbox.jira.move("SEC-1", "done")
    (sighting,) = jira.look("").sightings
    assert (sighting.remote_id, sighting.status) == ("SEC-1", Status.RESOLVED)
    assert all(finding.ok for finding in jira.check())


# What people do with it


def test_what_people_do_with_a_ticket_is_seen(jira: Jira, sandbox: Sandbox) -> None:
    """Also with one whose description they wrote anew."""
    opened(jira, delivery())
    looks = Looks(jira, sandbox)
    looks()
    sandbox.jira.edit("SEC-1", {"description": "Rewritten."})
    sandbox.jira.move("SEC-1", "indeterminate", by="alice")
    (sighting,) = looks()
    assert (sighting.remote_id, sighting.status, sighting.person) == ("SEC-1", Status.ACKNOWLEDGED, "Alice Example")


def test_what_people_do_with_the_tickets_of_an_earlier_account_is_seen(jira: Jira, sandbox: Sandbox) -> None:
    """Who created it is one way to find it, what it says another."""
    opened(jira, delivery())
    sandbox.jira.project.issues["SEC-1"]["creator"] = "bob"
    looks = Looks(jira, sandbox)
    looks()
    sandbox.jira.move("SEC-1", "done", by="alice")
    assert [sighting.remote_id for sighting in looks()] == ["SEC-1"]
