"""Reading several accounts: routes that name them, what a second one brings, and two that come at the same moment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from operator import eq
from typing import Any, ClassVar, cast

import pytest

from forwarder.common.clock import instant
from forwarder.config import Config, Mute
from forwarder.feed.client import FeedClient, KeyRefused, RequestBudget
from forwarder.feed.connections import Connections
from forwarder.feed.evidence import READ_EVERY, EvidenceReader
from forwarder.feed.poller import Poller
from forwarder.lifecycle.mutes import Mutes
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.store.query_records import Filter
from forwarder.store.records import PollResult
from tests.kit.feed import asked, publish
from tests.kit.store import NOW, Time, config, delivered, rows, settle

ROUTES: list[dict[str, Any]] = [
    {"account": "acme", "to": "secops"},
    {"account": ["beta", "gam*"], "to": "tickets"},
    {"severity": "critical", "to": "oncall"},
]
KEYS = {"acme": "vk_acme-not-a-real-key", "beta": "vk_beta-not-a-real-key"}

MakeReader = Callable[..., Poller]


def named(**sentrytex: Any) -> Config:
    keys = {name: {"api_key": key} for name, key in KEYS.items()}
    told = config(ROUTES, start_from="now", **sentrytex)
    feed = told.sentrytex.model_validate({"accounts": keys, "start_from": "now"})
    return told.model_copy(update={"sentrytex": feed})


@pytest.fixture
def connections(sandbox: Sandbox) -> Iterator[Connections]:
    """What the clients of both accounts share."""
    shared = Connections(sandbox.sentrytex.url)
    shared.hold()
    yield shared
    shared.let_go()


@pytest.fixture
def accounts(sandbox: Sandbox) -> None:
    """Two accounts at the stand-in; both have openssl in their stacks, and each something of its own."""
    sandbox.sentrytex.add_account(KEYS["acme"], "openssl", "github")
    sandbox.sentrytex.add_account(KEYS["beta"], "openssl", "okta")


@pytest.fixture
def reader(
    sandbox: Sandbox, store: Store, time: Time, connections: Connections, accounts: None
) -> Iterator[MakeReader]:
    """Makes the poller of an account, whose first poll found an empty feed."""
    made: list[FeedClient] = []

    def make(account: str, settings: Config | None = None) -> Poller:
        budget = RequestBudget(limit=1_000_000)
        client = FeedClient(sandbox.sentrytex.url, KEYS[account], budget=budget, connections=connections)
        made.append(client)
        poller = Poller(settings or named(), client, store, now=time, account=account)
        poller.poll()
        return poller

    yield make
    for client in made:
        client.close()


def owed(store: Store) -> list[tuple[str, str]]:
    return sorted(rows(store, "SELECT alert_id, connector FROM deliveries WHERE kind = 'open'"))


def test_each_key_shows_its_own_alerts(sandbox: Sandbox, store: Store, reader: MakeReader) -> None:
    """Over shared connections, too: what one account sees is not taken for another's."""
    acme, beta = reader("acme"), reader("beta")
    publish(sandbox, "a", 1, affected_vendors=["github"], severity="low")
    publish(sandbox, "b", 2, affected_vendors=["okta"], severity="low")
    for _ in range(3):
        acme.poll()
        beta.poll()
    assert owed(store) == [("a", "secops"), ("b", "tickets")]
    assert {row.alert.id: row.accounts for row in store.queries.alerts(Filter())} == {"a": ("acme",), "b": ("beta",)}


def test_an_alert_that_both_see_goes_once_to_each_connector(sandbox: Sandbox, store: Store, reader: MakeReader) -> None:
    """What only the second account's routes name comes with it; what both reach, or neither, stays as it is."""
    acme, beta = reader("acme"), reader("beta")
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="critical")
    acme.poll()
    assert owed(store) == [("a", "oncall"), ("a", "secops")]
    brought = beta.poll()
    assert (brought.new, brought.changed, brought.connectors) == ([], [], frozenset({"tickets"}))
    assert owed(store) == [("a", "oncall"), ("a", "secops"), ("a", "tickets")]
    assert rows(store, "SELECT count(*) FROM deliveries WHERE kind = 'update'") == [(0,)]
    assert not acme.poll().connectors | beta.poll().connectors


def test_where_one_account_s_route_stops_another_one_goes_on(
    sandbox: Sandbox, store: Store, reader: MakeReader
) -> None:
    """What a route kept the first account's alert from is owed once a second account sees it."""
    routes = config([{"account": "acme", "to": "secops", "stop": True}, {"to": "oncall"}]).routes
    settings = named().model_copy(update={"routes": routes})
    acme, beta = reader("acme", settings), reader("beta", settings)
    publish(sandbox, "a", 1, affected_vendors=["openssl"])
    acme.poll()
    assert owed(store) == [("a", "secops")]
    beta.poll()
    assert owed(store) == [("a", "oncall"), ("a", "secops")]


def test_what_only_the_second_account_s_route_leads_to_is_not_unrouted(
    sandbox: Sandbox, store: Store, reader: MakeReader
) -> None:
    """Though nobody had it until then, and that was told."""
    routes = config([{"account": "beta", "to": "tickets"}]).routes
    settings = named().model_copy(update={"routes": routes})
    acme, beta = reader("acme", settings), reader("beta", settings)
    publish(sandbox, "a", 1, affected_vendors=["openssl"])
    assert [one.id for one in acme.poll().unrouted] == ["a"]
    beta.poll()
    assert (owed(store), rows(store, "SELECT unrouted FROM alerts")) == ([("a", "tickets")], [(0,)])
    history = store.queries.history("a")
    assert history is not None
    assert [(step["route"], step["matched"]) for step in history.trail] == [(1, True)]


def test_a_route_that_was_added_sends_nothing_of_the_past(sandbox: Sandbox, store: Store, reader: MakeReader) -> None:
    """A second account brings where its own name leads, and not what any route has come to say since."""
    acme = reader("acme")
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="low")
    acme.poll()
    later = named()
    added = [*later.routes, later.routes[0].model_copy(update={"account": (), "to": ("oncall",)})]
    reader("beta", later.model_copy(update={"routes": tuple(added)})).poll()
    assert owed(store) == [("a", "secops"), ("a", "tickets")]


def test_an_alert_that_both_bring_at_the_same_moment_is_lost_to_nobody(
    sandbox: Sandbox, store: Store, reader: MakeReader
) -> None:
    """One of the two is first; the other one routes it anew, as seen by both."""
    acme, beta = reader("acme"), reader("beta")
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="low")
    read = beta._feed.arrivals
    overtaken: list[PollResult] = []

    def late(*args: Any, **more: Any) -> Any:
        found = read(*args, **more)
        if not overtaken and found:
            overtaken.append(acme.poll())
        return found

    beta._feed.arrivals = late  # type: ignore[method-assign]
    beta.poll()
    assert [one.id for one in overtaken[0].new] == ["a"]
    assert owed(store) == [("a", "secops"), ("a", "tickets")]


def test_a_change_is_told_once_whoever_shows_it_first(sandbox: Sandbox, store: Store, reader: MakeReader) -> None:
    acme, beta = reader("acme"), reader("beta")
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="low")
    acme.poll()
    beta.poll()
    store.outbox.claim("secops", 1, now=0, lease=60)
    sandbox.sentrytex.update("a", severity="critical")
    assert [one.id for one in acme.poll().changed] == ["a"]
    assert beta.poll().changed == []
    assert rows(store, "SELECT revision FROM alerts") == [(2,)]


@pytest.mark.parametrize("by", [Poller.poll, Poller.sweep])
def test_what_is_taken_back_is_told_by_whoever_shows_it_first(
    sandbox: Sandbox, store: Store, reader: MakeReader, by: Callable[[Poller], PollResult]
) -> None:
    """Also by one that came second with the change itself: what it showed before that is news again."""
    acme, beta = reader("acme"), reader("beta")
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="critical")
    acme.poll()
    beta.poll()
    store.outbox.claim("oncall", 1, now=0, lease=60)
    sandbox.sentrytex.update("a", severity="low")
    assert [len(by(one).changed) for one in (acme, beta)] == [1, 0]
    sandbox.sentrytex.update("a", severity="critical")
    assert [len(by(one).changed) for one in (beta, acme)] == [1, 0]
    assert rows(store, "SELECT revision, severity FROM alerts") == [(3, "critical")]


def own_forms(sandbox: Sandbox, turns: Iterator[int]) -> None:
    """Shows each account its own vendors, in an order and with a field of its own, and one of them another score."""
    acme, beta = (sandbox.sentrytex.accounts[KEYS[name]] for name in ("acme", "beta"))
    acme.form = lambda alert: {**alert, "affected_vendors": ["openssl", "github"], "in_your_stack": "github"}
    beta.form = lambda alert: {
        **alert,
        "affected_vendors": ["okta", "openssl"] if next(turns) % 2 else ["openssl", "okta"],
        "cvss_score": 7.1,
        "in_your_stack": "okta",
    }


def test_accounts_that_are_shown_different_forms_are_told_of_no_change(
    sandbox: Sandbox, store: Store, reader: MakeReader
) -> None:
    """However often they are polled, in whatever order one is told its vendors: what changes in time is told once."""
    acme, beta = reader("acme"), reader("beta")
    own_forms(sandbox, count())
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="high", cvss_score=7.0, cisa_kev=False)
    told, sizes = [], []
    for turn in range(100):
        if turn == 40:
            sandbox.sentrytex.update("a", severity="critical")
        if turn == 70:
            sandbox.sentrytex.update("a", cisa_kev=True, description="Exploited by now.")
        if turn == 80:
            sandbox.sentrytex.update("a", epss_score=0.9)
        for name, poller in (("acme", acme), ("beta", beta))[:: 1 if turn % 3 else -1]:
            told += [(turn, name) for _ in poller.poll().changed]
        for connector in ("secops", "tickets"):
            for claimed in store.outbox.claim(connector, 9, now=NOW, lease=60):
                settle(store, claimed, delivered())
        sizes.append(rows(store, "SELECT count(*) FROM changes") + rows(store, "SELECT count(*) FROM alert_accounts"))
    assert [turn for turn, _ in told] == [40, 70]
    assert rows(store, "SELECT revision, severity FROM alerts") == [(3, "critical")]
    kinds = rows(store, "SELECT connector, kind, revision FROM deliveries WHERE connector <> 'oncall' ORDER BY id")
    assert kinds == [
        ("tickets", "open", 1),
        ("secops", "open", 1),
        ("secops", "update", 2),
        ("tickets", "update", 2),
        ("secops", "update", 3),
        ("tickets", "update", 3),
    ]
    assert sizes[-1] == [(2,), (2,)]
    ((body,),) = rows(store, "SELECT body FROM alerts")
    assert {name: json.loads(body)[name] for name in ("cisa_kev", "description", "epss_score")} == {
        "cisa_kev": True,
        "description": "Exploited by now.",
        "epss_score": 0.9,
    }


def test_an_account_s_own_form_leads_where_only_it_matches(sandbox: Sandbox, store: Store, reader: MakeReader) -> None:
    """Whoever is first: at once where it joins, and later where it comes to be so."""
    routes = config(
        [
            {"account": "acme", "vendors": "github", "to": "secops"},
            {"vendors": "okta", "to": "tickets"},
            {"account": "beta", "vendors": "okta", "severity": "critical", "to": "oncall"},
        ]
    ).routes
    settings = named().model_copy(update={"routes": routes})
    acme, beta = reader("acme", settings), reader("beta", settings)
    own_forms(sandbox, count())
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="high")
    acme.poll()
    assert owed(store) == [("a", "secops")]
    beta.poll()
    assert owed(store) == [("a", "secops"), ("a", "tickets")]
    sandbox.sentrytex.update("a", severity="critical")
    acme.poll()
    assert owed(store) == [("a", "secops"), ("a", "tickets")]
    beta.poll()
    assert owed(store) == [("a", "oncall"), ("a", "secops"), ("a", "tickets")]
    history = store.queries.history("a")
    assert history is not None
    assert [(step["route"], step["matched"]) for step in history.trail] == [(1, True), (2, True), (3, True)]


def test_the_mute_of_an_account_keeps_nothing_from_another(
    sandbox: Sandbox, store: Store, time: Time, reader: MakeReader
) -> None:
    """While it alone sees an alert that is quiet; with the second one it goes wherever the routes lead."""
    acme, beta = reader("acme"), reader("beta")
    settings = named()
    mutes = Mutes(store, settings, now=time, wake=lambda _: None)
    rule = Mute(account=("acme",), until=instant(time.now + 3600), reason="not now")
    mutes.add(rule, person="Ada", place="the command line")
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="low")
    publish(sandbox, "b", 2, affected_vendors=["okta"], severity="low")
    acme.poll()
    assert owed(store) == []
    beta.poll()
    assert owed(store) == [("a", "secops"), ("a", "tickets"), ("b", "tickets")]


def test_a_refused_key_is_that_account_s_trouble_alone(sandbox: Sandbox, store: Store, reader: MakeReader) -> None:
    """The other one is read as before."""
    acme, beta = reader("acme"), reader("beta")
    sandbox.sentrytex.accounts[KEYS["acme"]].revoked = True
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="low")
    with pytest.raises(KeyRefused) as raised:
        acme.poll()
    assert raised.value.account == "acme"
    beta.poll()
    assert owed(store) == [("a", "tickets")]
    feeds = store.accounts.feeds(["acme", "beta"])
    assert (feeds["acme"].key_refused, feeds["beta"].key_refused) == (str(raised.value), None)


@pytest.mark.parametrize("beta_sees", [True, False])
def test_evidence_is_absent_where_no_account_finds_it(
    sandbox: Sandbox, store: Store, time: Time, reader: MakeReader, beta_sees: bool
) -> None:
    """Whichever processes read them: one that is told of no such alert leaves it to the others, and asks no more."""
    pollers = {name: reader(name) for name in ("acme", "beta")}
    publish(sandbox, "a", 1, affected_vendors=["openssl"], severity="critical")
    for poller in pollers.values():
        poller.poll()
    for name, sees in (("acme", False), ("beta", beta_sees)):
        if not sees:
            sandbox.sentrytex.accounts[KEYS[name]].stack.clear()
    readers = [
        EvidenceReader(
            store,
            lambda account: cast("FeedClient", pollers[account]._source),
            lambda: ("oncall",),
            now=time,
            random=lambda: 0.0,
            accounts=lambda: tuple(pollers),
            reads=partial(eq, name),
        )
        for name in pollers
    ]
    before = len(asked(sandbox))
    for _ in range(3):
        for one in readers:
            assert one.read() == READ_EVERY
    assert asked(sandbox)[before:] == ["a", "a"]
    history = store.queries.history("a")
    assert history is not None
    assert bool(history.evidence) is beta_sees
    assert rows(store, "SELECT count(*) FROM evidence") == [(1,)]


class _Sets(BaseHTTPRequestHandler):
    """Sets a cookie with each answer, and notes which it was sent."""

    sent: ClassVar[list[tuple[str | None, str | None]]] = []

    def do_GET(self) -> None:
        self.sent.append((self.headers["Authorization"], self.headers["Cookie"]))
        self.send_response(200)
        self.send_header("Set-Cookie", "session=first; Path=/")
        self.send_header("Content-Length", "14")
        self.end_headers()
        self.wfile.write(b'{"alerts": []}')

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def test_no_cookie_goes_from_one_account_to_another() -> None:
    """By one, an answer to the one could change what the other is shown; each request has the key of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Sets) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shared = Connections(f"http://127.0.0.1:{server.server_port}/api")
        clients = [FeedClient(shared.base_url, key, connections=shared) for key in ("one", "two")]
        for client in (*clients, *clients):
            client.alerts(None)
        for client in clients:
            client.close()
        server.shutdown()
    assert _Sets.sent == [("Bearer one", None), ("Bearer two", None)] * 2
    assert shared.http.is_closed
