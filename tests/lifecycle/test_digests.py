"""A digest: one message for all that came, counted as told when it has arrived, and never sent twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from forwarder import routing
from forwarder.alert import Alert, Severity
from forwarder.common.clock import instant
from forwarder.connector import Action, Origin, Status
from forwarder.lifecycle import Held
from forwarder.lifecycle.digests import MAX_LINES, compose, counted, lines
from forwarder.lifecycle.holds import holds
from forwarder.response import PAGE
from forwarder.store import Store
from forwarder.store.digests import TOLD
from forwarder.store.records import Claimed, RoutedAlert
from forwarder.testing import alert
from tests.kit.store import NOW, Time, claim, claim_all, config, dead, delivered, ids, routed, rows, settle

DUE: Final = NOW + 21 * 3600.0
"""Monday, nine o'clock."""
CONFIG: Final = config([{"to": "secops", "digest": "monday 09:00"}])


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


def hold(store: Store, *alerts: Alert, now: float = NOW) -> None:
    items = []
    for one in alerts:
        decision = routing.targets(one, CONFIG.routes)
        held = holds(decision, CONFIG, instant(now))
        items.append(RoutedAlert(alert=one, decision=decision, targets=decision.targets, holds=held))
    store.feed.commit_page(items, now=now)


def release(store: Store, now: float = DUE) -> None:
    Held(store, CONFIG, now=Time(now), wake=lambda _: None).release()


def digest(store: Store, now: float = DUE) -> Claimed:
    """The digest that is due, claimed."""
    release(store, now)
    claimed = claim(store, now=now)
    assert claimed.delivery.origin is Origin.DIGEST
    return claimed


def opens(store: Store) -> list[tuple[Any, ...]]:
    """What the database says of the alerts' own deliveries."""
    return rows(
        store,
        "SELECT d.alert_id, d.state, d.receipt_id, d.last FROM deliveries AS d JOIN alerts AS a ON a.id = d.alert_id"
        " WHERE a.origin = 'feed' ORDER BY d.id",
    )


def test_it_tells_all_that_came_the_most_severe_first(store: Store) -> None:
    hold(store, alert(id="a", severity="low"), alert(id="b", severity="high"))
    release(store, DUE - 1)
    assert claim_all(store, now=DUE - 1) == []
    told = digest(store).delivery
    assert [one.id for one in told.items] == ["b", "a"]
    assert told.alert.title == "Digest: 2 alerts (1 high, 1 low)"
    assert told.alert.severity == "high"
    release(store)
    assert claim_all(store, now=DUE) == []


def test_what_it_tells_counts_as_told_when_it_has_arrived(store: Store) -> None:
    """Until then each alert is owed still, whatever becomes of the process."""
    hold(store, alert(id="a"))
    claimed = digest(store)
    assert [(state, receipt) for _, state, receipt, _ in opens(store)] == [("held", None)]
    settle(store, claimed, delivered("M-1", "https://example.com/m"), now=DUE)
    assert opens(store) == [("a", "delivered", "", TOLD)]


def test_a_refused_digest_keeps_what_it_tells(store: Store) -> None:
    """A person may try it again, or discard it with all that is in it."""
    hold(store, alert(id="a"))
    claimed = digest(store)
    settle(store, claimed, dead(), now=DUE)
    assert [state for _, state, _, _ in opens(store)] == ["held"]
    assert store.operations.retry([claimed.delivery.id], now=DUE) == 1
    settle(store, claim(store, now=DUE), dead(), now=DUE)
    assert store.operations.discard([claimed.delivery.id]) == 1
    assert opens(store) == []


def test_an_alert_that_gets_worse_leaves_it(store: Store) -> None:
    """Before it is due, and also while it waits at a destination that is down."""
    known, other = alert(id="a", severity="low"), alert(id="b", severity="low")
    hold(store, known, other)
    release(store)
    worse = alert(id="a", severity="critical")
    store.feed.commit_page([routed(worse, "secops", known=known)], now=DUE, connectors=("secops",))
    claimed = claim_all(store, now=DUE)
    assert ids(claimed)[0] == "a"
    assert [one.id for one in claimed[1].delivery.items] == ["b"]


def test_what_it_told_is_told_again_for_the_worse_alone(store: Store) -> None:
    known = alert(id="a", severity="high")
    hold(store, known)
    settle(store, digest(store), delivered("M-1"), now=DUE)
    better = alert(id="a", severity="low")
    store.feed.commit_page([routed(better, "secops", known=known)], now=DUE, connectors=("secops",))
    assert claim_all(store, now=DUE) == []
    worse = alert(id="a", severity="critical")
    store.feed.commit_page([routed(worse, "secops", known=better)], now=DUE, connectors=("secops",))
    told = claim(store, now=DUE).delivery
    assert (told.alert, told.receipt) == (worse, None)


def test_a_response_has_nothing_to_change_there(store: Store) -> None:
    hold(store, alert(id="a"))
    settle(store, digest(store), delivered("M-1"), now=DUE)
    told = store.lifecycle.respond("a", Action.RESOLVE, place=PAGE, now=DUE, connectors=("secops",))
    assert told.connectors == frozenset()


def told_for_the_worse(store: Store) -> None:
    """An alert that a digest told stands as a message of its own, ``M-2``, for it got worse."""
    known, worse = alert(id="a", severity="low"), alert(id="a", severity="high")
    hold(store, known)
    settle(store, digest(store), delivered("M-1"), now=DUE)
    store.feed.commit_page([routed(worse, "secops", known=known)], now=DUE, connectors=("secops",))
    settle(store, claim(store, now=DUE), delivered("M-2"), now=DUE)


def test_a_response_reaches_the_message_of_what_got_worse_after_it(store: Store) -> None:
    told_for_the_worse(store)
    told = store.lifecycle.respond("a", Action.RESOLVE, place=PAGE, now=DUE, connectors=("secops",))
    assert told.connectors == {"secops"}
    receipt = claim(store, now=DUE).delivery.receipt
    assert receipt is not None
    assert receipt.remote_id == "M-2"


def test_a_response_reaches_what_reminded_of_it(store: Store) -> None:
    hold(store, alert(id="a", severity="low"))
    settle(store, digest(store), delivered("M-1"), now=DUE)
    (open_one,) = store.reminders.unresolved("r", severities=[Severity.LOW], statuses=[Status.OPEN])
    store.reminders.remind("r", open_one, 0, why="Nobody has it", connectors=["secops"], now=DUE)
    settle(store, claim(store, now=DUE), delivered("M-2"), now=DUE)
    told = store.lifecycle.respond("a", Action.RESOLVE, place=PAGE, now=DUE, connectors=("secops",))
    assert told.connectors == {"secops"}


def test_any_change_reaches_the_message_of_what_got_worse_after_it(store: Store) -> None:
    told_for_the_worse(store)
    known, better = alert(id="a", severity="high"), alert(id="a", severity="medium")
    store.feed.commit_page([routed(better, "secops", known=known)], now=DUE, connectors=("secops",))
    assert claim(store, now=DUE).delivery.alert == better


@pytest.mark.parametrize("is_told", [False, True], ids=["held", "told"])
def test_another_places_link_brings_nothing_forward(store: Store, is_told: bool) -> None:
    """Neither before the digest nor after it is there a message that could show the link."""
    one = alert(id="a")
    decision = routing.targets(one, CONFIG.routes)
    held = holds(decision, CONFIG, instant(NOW))
    item = RoutedAlert(alert=one, decision=decision, targets={**decision.targets, "tickets": "always"}, holds=held)
    store.feed.commit_page([item], now=NOW)
    if is_told:
        settle(store, digest(store), delivered("M-1"), now=DUE)
    ticket = delivered("SEC-1", "https://jira.example/SEC-1")
    assert settle(store, claim(store, "tickets", now=DUE), ticket, now=DUE, followers=("secops", "tickets"))
    assert claim_all(store, now=DUE + 3600) == []


def test_the_next_one_tells_what_came_since(store: Store) -> None:
    hold(store, alert(id="a"))
    settle(store, digest(store), delivered("M-1"), now=DUE)
    hold(store, alert(id="b"), now=DUE + 60)
    again = digest(store, DUE + 7 * 86400).delivery
    assert [one.id for one in again.items] == ["b"]


def test_one_that_is_due_while_nothing_runs_comes_later(store: Store) -> None:
    hold(store, alert(id="a"))
    assert digest(store, DUE + 3 * 3600).delivery.items != ()


def test_a_digest_in_words() -> None:
    """All are counted; those beyond the most are not shown one by one."""
    many = [alert(id=str(number), severity="low") for number in range(500)]
    made = compose("secops", many, instant(NOW))
    assert made.title == "Digest: 500 alerts (500 low)"
    assert made.description.splitlines()[-1] == f"… and {500 - MAX_LINES} more"
    assert counted(many[:1]) == "1 alert (1 low)"
    kev = alert(severity="high", cisa_kev=True, cve_id="CVE-2026-1234", title="A hole")
    assert lines([kev], 5) == ["high · CVE-2026-1234 · on CISA KEV · A hole"]
