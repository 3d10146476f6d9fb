"""The evidence for single alerts: what of it is shown, when it is read, and that nothing it does breaks anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.feed.client import FeedClient, RequestBudget
from forwarder.feed.evidence import AT_ONCE, KEY_AGAIN, MAX_LINE, MAX_LINES, READ_EVERY, EvidenceReader, evidence_in
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.testing import HOSTILE_TEXTS, alert
from tests.feed.conftest import MakePoller
from tests.kit.feed import asked, publish
from tests.kit.store import NOW, Time, claim, config, deliver, enqueue, routed, rows

HOUR = 3600.0


@pytest.fixture
def single(sandbox: Sandbox) -> Iterator[FeedClient]:
    """A client that soon gives up waiting."""
    client = FeedClient(sandbox.sentrytex.url, sandbox.sentrytex.token, timeout=httpx2.Timeout(0.3))
    yield client
    client.close()


@pytest.fixture
def budgeted(sandbox: Sandbox, time: Time) -> Iterator[FeedClient]:
    """A client that keeps to the API's limit."""
    budget = RequestBudget(clock=lambda: time.now)
    client = FeedClient(sandbox.sentrytex.url, sandbox.sentrytex.token, budget=budget)
    yield client
    client.close()


@pytest.fixture
def reader(store: Store, single: FeedClient, time: Time) -> EvidenceReader:
    """One that reads for the pager, and draws the shortest pauses."""
    return reader_of(store, single, time)


def reader_of(store: Store, client: FeedClient, time: Time, *connectors: str) -> EvidenceReader:
    return EvidenceReader(store, lambda _: client, lambda: connectors or ("oncall",), now=time, random=lambda: 0.0)


def owe(store: Store, sandbox: Sandbox, name: str, *to: str, **fields: Any) -> None:
    """An alert that the API shows and that is owed."""
    publish(sandbox, name, **fields)
    enqueue(store, alert(id=name, **fields), *(to or ("oncall",)))


def kept(store: Store, name: str) -> tuple[str, ...]:
    history = store.queries.history(name)
    assert history is not None
    return history.evidence


def single_reads(sandbox: Sandbox) -> list[str]:
    return [name for name in asked(sandbox) if name not in ("all", "stack")]


# What of an answer is shown


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ({}, ()),
        ({"evidence_state": None}, ()),
        ({"evidence_state": ""}, ()),
        ({"evidence_state": "verified"}, ("evidence_state: verified",)),
        ({"evidence_state": 7}, ("evidence_state: 7",)),
        ({"evidence_state": True}, ("evidence_state: yes",)),
        ({"evidence_state": {}}, ("evidence_state: none",)),
        ({"evidence_state": []}, ("evidence_state: none",)),
        ({"evidence_state": ["a", None, 2, False]}, ("evidence_state: a, none, 2, no",)),
        (
            {"evidence": {"state": "verified", "by": {"name": "CISA", "at": None}}},
            ("state: verified", "by.name: CISA", "by.at: none"),
        ),
        (
            {"evidence": [{"url": "https://a.example", "ok": True}, "b", ["c"]]},
            ("1.url: https://a.example", "1.ok: yes", "2: b", "3: c"),
        ),
        ({"verified": True, "checks": {"nvd": "found"}}, ("verified: yes", "checks.nvd: found")),
        ({"title": "listed already", "epss_score": 0.3, "news": "listed", "evidence_count": 3}, ("evidence_count: 3",)),
        ({"evidence": float("nan")}, ("evidence: none",)),
    ],
)
def test_whatever_its_shape_it_becomes_lines(said: dict[str, Any], lines: tuple[str, ...]) -> None:
    """A value a line, with the way to it; what the list says of the alert is no evidence."""
    assert evidence_in(said, {"title", "news"}) == lines


def test_what_the_list_calls_evidence_is_shown_all_the_same() -> None:
    """The day the list tells it too, it does not vanish from the messages."""
    assert evidence_in({"evidence_state": "verified"}, {"evidence_state"}) == ("evidence_state: verified",)


def test_there_are_a_few_short_lines() -> None:
    """What is cut says so: at the limit nothing is, one past it a mark stands there."""
    whole = evidence_in({"evidence": {f"key {number}": number for number in range(MAX_LINES)}}, ())
    assert (len(whole), whole[-1]) == (MAX_LINES, f"key {MAX_LINES - 1}: {MAX_LINES - 1}")
    more = evidence_in({"evidence": {f"key {number}": number for number in range(MAX_LINES + 1)}}, ())
    assert (len(more), more[-1]) == (MAX_LINES, "… and more")
    room = MAX_LINE - len("evidence: ")
    assert evidence_in({"evidence": "x" * room}, ()) == (f"evidence: {'x' * room}",)
    (cut,) = evidence_in({"evidence": "x" * (room + 1)}, ())
    assert (len(cut), cut[-1]) == (MAX_LINE, "…")


def test_deep_nesting_ends() -> None:
    """A hundred levels cost no more than a few, and say that there is more."""
    value: Any = "bottom"
    for level in range(100):
        value = [value, value] if level % 2 else {"next": value}
    lines = evidence_in({"evidence": value}, ())
    assert 0 < len(lines) <= MAX_LINES
    assert "bottom" not in str(lines)
    assert "…" in str(lines)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_texts_are_one_clean_line_each(text: str) -> None:
    """In a name or a value: no break, no control character, no more than a line."""
    for line in evidence_in({text or "x": {text: [text, {text: text}]}}, ()):
        assert len(line) <= MAX_LINE
        assert line.isprintable() or not {"\n", "\x1b", "\x00", "\u202e"} & set(line)
        line.encode()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(st.dictionaries(st.text(), _JSON, max_size=5))
def test_any_json_becomes_a_few_lines(said: dict[str, Any]) -> None:
    """Nothing that JSON can hold breaks it, and nothing of it is larger than it may be."""
    lines = evidence_in(said, ())
    assert len(lines) <= MAX_LINES
    assert all(len(line) <= MAX_LINE and "\n" not in line for line in lines)
    json.dumps(lines).encode()


# When it is read


def test_what_goes_to_a_pager_is_read_once(
    store: Store, sandbox: Sandbox, single: FeedClient, reader: EvidenceReader, time: Time
) -> None:
    """The most severe first, delivered or not; also a new process reads none of them again."""
    owe(store, sandbox, "low", severity="low")
    owe(store, sandbox, "critical", severity="critical")
    owe(store, sandbox, "message", "secops", severity="critical")
    owe(store, sandbox, "paged", severity="high")
    sandbox.sentrytex.evidence = {"critical": {"evidence_state": {"state": "verified", "sources": 2}}}
    deliver(store, "oncall", "dedup")
    assert reader.read() == READ_EVERY
    assert single_reads(sandbox) == ["critical", "paged", "low"]
    assert kept(store, "critical") == ("state: verified", "sources: 2")
    reader_of(store, single, time).read()
    assert single_reads(sandbox) == ["critical", "paged", "low"]


def test_a_changed_alert_is_read_again(
    store: Store, sandbox: Sandbox, make: MakePoller, reader: EvidenceReader
) -> None:
    """What was read before is shown until then."""
    poller = make(config([{"to": "oncall"}], start_from="now"))
    poller.poll()
    publish(sandbox, "one", 5)
    sandbox.sentrytex.evidence = {"one": {"evidence": "a rumour"}}
    poller.poll()
    reader.read()
    sandbox.sentrytex.update("one", epss_score=0.9, description="with a comma more")
    poller.poll()
    reader.read()
    assert single_reads(sandbox) == ["one"]
    sandbox.sentrytex.update("one", cisa_kev=True)
    sandbox.sentrytex.evidence = {"one": {"evidence": "exploited"}}
    poller.poll()
    assert kept(store, "one") == ("evidence: a rumour",)
    reader.read()
    assert kept(store, "one") == ("evidence: exploited",)
    assert single_reads(sandbox) == ["one", "one"]


def test_it_owes_nobody_anything(store: Store, sandbox: Sandbox, reader: EvidenceReader) -> None:
    """What was sent without it stays as it is, and the next claim of the alert has it."""
    owe(store, sandbox, "one", "oncall", "secops")
    deliver(store, "oncall", "dedup")
    before = rows(store, "SELECT * FROM deliveries")
    reader.read()
    assert rows(store, "SELECT * FROM deliveries") == before
    assert claim(store, "secops").delivery.evidence == kept(store, "one") != ()


def test_what_was_delivered_long_ago_is_not_read(
    store: Store, sandbox: Sandbox, reader: EvidenceReader, time: Time
) -> None:
    """The first start of a version that reads it does not ask for the alerts of a year."""
    owe(store, sandbox, "old")
    deliver(store, "oncall", "dedup")
    time.advance(2 * 24 * HOUR)
    reader.read()
    assert single_reads(sandbox) == []


def test_alarms_of_our_own_are_not_asked_for(store: Store, sandbox: Sandbox, reader: EvidenceReader) -> None:
    """The API knows nothing of them."""
    from forwarder.connector import Origin

    store.feed.commit_page([routed(alert(id="alarm"), "oncall")], now=NOW, connectors=["oncall"], origin=Origin.ALARM)
    reader.read()
    assert single_reads(sandbox) == []


def test_one_turn_reads_a_few(store: Store, sandbox: Sandbox, reader: EvidenceReader) -> None:
    """A burst is read in several turns that follow at once."""
    for number in range(AT_ONCE + 2):
        owe(store, sandbox, f"{number:02}")
    assert (reader.read(), len(single_reads(sandbox))) == (0.0, AT_ONCE)
    assert (reader.read(), len(single_reads(sandbox))) == (READ_EVERY, AT_ONCE + 2)


# What goes wrong


def test_an_alert_that_is_gone_is_remembered(
    store: Store, sandbox: Sandbox, single: FeedClient, reader: EvidenceReader, time: Time
) -> None:
    """A 404 is an answer: it is not asked for again, also after a restart."""
    owe(store, sandbox, "gone")
    sandbox.sentrytex.withdraw("gone")
    for _ in range(3):
        reader.read()
        reader_of(store, single, time).read()
        time.advance(HOUR)
    assert (single_reads(sandbox), kept(store, "gone")) == (["gone"], ())


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.STATUS, status=500),
        Fault(kind=FaultKind.STATUS, status=404, body="<h1>Not here</h1>"),
        Fault(kind=FaultKind.STATUS, status=302, headers={"Location": "/elsewhere"}),
        Fault(kind=FaultKind.HTML),
        Fault(kind=FaultKind.TRUNCATED),
        Fault(kind=FaultKind.RESET_BEFORE),
        Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=1.0),
        Fault(kind=FaultKind.BOMB),
        Fault(kind=FaultKind.STATUS, status=200, body="[]"),
        Fault(kind=FaultKind.STATUS, status=200, body='"evidence"'),
        Fault(kind=FaultKind.STATUS, status=200, body="[" * 100_000),
        Fault(kind=FaultKind.STATUS, status=200, body='{"evidence":' * 100_000),
        Fault(kind=FaultKind.STATUS, status=200, body=json.dumps({"evidence": "x" * 2_000_000})),
    ],
    ids=lambda fault: f"{fault.kind.value} {fault.status} {(fault.body or '')[:12]}",
)
def test_one_that_cannot_be_read_holds_up_no_other(
    store: Store, sandbox: Sandbox, reader: EvidenceReader, time: Time, fault: Fault
) -> None:
    """It is tried again later, and less and less often; the others are read meanwhile."""
    owe(store, sandbox, "bad", severity="critical")
    owe(store, sandbox, "good", severity="low")
    sandbox.sentrytex.inject(fault)
    wait = reader.read()
    assert (single_reads(sandbox), wait > 0) == (["bad"], True)
    assert (reader.read() > 0, single_reads(sandbox)) == (True, ["bad"])
    time.advance(wait)
    reader.read()
    assert (single_reads(sandbox), kept(store, "good") != ()) == (["bad", "good"], True)
    time.advance(HOUR)
    reader.read()
    assert (single_reads(sandbox), kept(store, "bad") != ()) == (["bad", "good", "bad"], True)


def test_an_api_that_is_down_is_asked_less_and_less(
    store: Store, sandbox: Sandbox, reader: EvidenceReader, time: Time
) -> None:
    """A few requests an hour, whatever asks for a turn, and a restart is no reason for more."""
    owe(store, sandbox, "one")
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503, path="/alerts/", times=None))
    for _ in range(360):
        time.advance(10)
        reader.read()
    assert 4 <= len(single_reads(sandbox)) <= 9


def test_a_rate_limit_holds_all_of_them(store: Store, sandbox: Sandbox, reader: EvidenceReader, time: Time) -> None:
    """For as long as the API says, and it is no failure of the alert's."""
    owe(store, sandbox, "one")
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "40"}))
    assert reader.read() == 40.0
    time.advance(39)
    reader.read()
    assert single_reads(sandbox) == ["one"]
    time.advance(1)
    reader.read()
    assert (single_reads(sandbox), kept(store, "one") != ()) == (["one", "one"], True)


def test_a_key_that_was_refused_is_tried_every_few_minutes(
    store: Store, sandbox: Sandbox, reader: EvidenceReader, time: Time
) -> None:
    """The poll tells of it; this only waits."""
    owe(store, sandbox, "one")
    sandbox.sentrytex.scopes = {"read:stack"}
    for _ in range(60):
        time.advance(10)
        reader.read()
    assert len(single_reads(sandbox)) == 600 / KEY_AGAIN


# When it cannot be read for long


def unread(store: Store, time: Time) -> list[str]:
    """Why evidence counts as unread; nothing where it does not."""
    found = store.alarms.symptoms(time() - 24 * HOUR, now=time())
    return [symptom.reason for symptom in found if symptom.type == "evidence_unread"]


def live(store: Store, sandbox: Sandbox, reader: EvidenceReader, time: Time, *, hours: int) -> None:
    """So many hours, each with a poll that succeeds, a new alert, and some turns."""
    for _ in range(hours):
        owe(store, sandbox, f"at {time()}")
        for _ in range(6):
            time.advance(600)
            reader.read()


INSTEAD = {
    "may not read this": Fault(kind=FaultKind.STATUS, status=403, path="/alerts/", times=None),
    "does not know this": Fault(kind=FaultKind.STATUS, status=404, path="/alerts/", times=None),
    "not as the Sentrytex API does": Fault(kind=FaultKind.STATUS, status=200, body="[]", path="/alerts/", times=None),
    "asks for fewer requests": Fault(kind=FaultKind.STATUS, status=429, path="/alerts/", times=None),
}
"""What the API says of every single alert, by what of it the reason names."""


@pytest.mark.parametrize("why", INSTEAD)
def test_what_cannot_be_read_for_hours_is_a_trouble_until_one_is(
    store: Store, sandbox: Sandbox, budgeted: FeedClient, time: Time, why: str
) -> None:
    """Whatever the API says instead; it is over with the first alert that is read."""
    reader = reader_of(store, budgeted, time)
    sandbox.sentrytex.inject(INSTEAD[why])
    live(store, sandbox, reader, time, hours=6)
    assert unread(store, time) == []
    live(store, sandbox, reader, time, hours=1)
    assert [why in reason for reason in unread(store, time)] == [True], unread(store, time)
    sandbox.sentrytex.clear_faults()
    live(store, sandbox, reader, time, hours=1)
    assert unread(store, time) == []


def test_a_budget_that_never_suffices_is_a_trouble(
    store: Store, sandbox: Sandbox, budgeted: FeedClient, time: Time
) -> None:
    """Others take every request before it is the turn of single alerts."""
    budgeted.budget = RequestBudget(0)
    live(store, sandbox, reader_of(store, budgeted, time), time, hours=7)
    assert unread(store, time) == ["This minute's requests to the Sentrytex API are spent."]
    assert single_reads(sandbox) == []


def test_alerts_that_are_gone_among_others_are_no_trouble(
    store: Store, sandbox: Sandbox, reader: EvidenceReader, time: Time
) -> None:
    """Nor are five of them at once, and then nothing to read for a day."""
    for hour in range(8):
        owe(store, sandbox, f"gone {hour}")
        sandbox.sentrytex.withdraw(f"gone {hour}")
        live(store, sandbox, reader, time, hours=1)
    for number in range(10):
        owe(store, sandbox, f"gone at once {number}")
        sandbox.sentrytex.withdraw(f"gone at once {number}")
    for _ in range(24 * 6):
        time.advance(600)
        reader.read()
    assert unread(store, time) == []


def test_an_api_that_is_down_has_another_alarm(
    store: Store, sandbox: Sandbox, reader: EvidenceReader, time: Time
) -> None:
    """What fails while the feed cannot be read either says nothing of the evidence, then or afterwards."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503, path="/alerts/", times=None))
    owe(store, sandbox, "one")
    for _ in range(6 * 8):
        store.feed.poll_failed("503")
        time.advance(600)
        reader.read()
    store.feed.commit_page([], now=time())
    assert unread(store, time) == []
    live(store, sandbox, reader, time, hours=1)
    assert unread(store, time) == []


def test_where_nobody_asks_for_it_the_trouble_is_over(
    store: Store, sandbox: Sandbox, single: FeedClient, reader: EvidenceReader, time: Time
) -> None:
    """The last connector that shows evidence has left the config."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=404, path="/alerts/", times=None))
    live(store, sandbox, reader, time, hours=7)
    assert len(unread(store, time)) == 1
    EvidenceReader(store, lambda _: single, lambda: (), now=time, random=lambda: 0.0).read()
    assert unread(store, time) == []


def test_a_clock_that_is_set_back_does_not_put_it_off(
    store: Store, sandbox: Sandbox, reader: EvidenceReader, time: Time
) -> None:
    """Neither the reader's pause nor that of an alert lasts for as long as the clock was wrong."""
    owe(store, sandbox, "one")
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=500))
    reader.read()
    time.advance(-30 * 24 * HOUR)
    reader.read()
    assert kept(store, "one") != ()


def test_a_client_that_a_reload_closed_is_no_failure(
    store: Store, sandbox: Sandbox, source: FeedClient, time: Time
) -> None:
    """The turn goes on with the next one."""
    owe(store, sandbox, "one")
    closed = FeedClient(sandbox.sentrytex.url, sandbox.sentrytex.token)
    closed.close()
    clients = [closed, source, source]
    reader = EvidenceReader(store, lambda _: clients.pop(0), lambda: ["oncall"], now=time, random=lambda: 0.0)
    assert reader.read() > 0
    time.advance(HOUR)
    reader.read()
    assert kept(store, "one") != ()


@pytest.mark.parametrize(("polls", "reads"), [(0, 36), (20, 30), (40, 10), (60, 6)])
def test_it_stays_behind_polls_and_sweeps(
    *, sandbox: Sandbox, store: Store, time: Time, budgeted: FeedClient, polls: int, reads: int
) -> None:
    """Of a minute's requests it takes its share, and more only while half of them are left, which nobody claims."""
    for number in range(60):
        owe(store, sandbox, f"{number:03}")
    for _ in range(polls):
        budgeted.alerts(None)
    reader = reader_of(store, budgeted, time)
    while reader.read() == 0.0:
        pass
    assert len(single_reads(sandbox)) == reads
    for _ in range(40 - polls):
        budgeted.alerts(None)
