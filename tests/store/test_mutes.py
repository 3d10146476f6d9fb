"""Mutes in the store: read whatever a row holds, counted at the cost of what is muted, kept as long as they hold."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from forwarder.alert import Alert
from forwarder.common.clock import instant
from forwarder.config import Mute
from forwarder.store import Store
from forwarder.store.mute_records import MutedBy, MuteRow
from forwarder.store.query_records import AlertRow, Filter
from forwarder.store.records import RoutedAlert
from forwarder.testing import alert
from tests.kit.store import NOW, claim, of_sqlite, routed, rows

DAY: Final = 86400.0
BY: Final = MutedBy(id="1", until=NOW + DAY, reason="noise", who="Ada")


def add(store: Store, **told: Any) -> MuteRow:
    rule = Mute.model_validate({"vendors": "github", "until": instant(NOW + DAY), "reason": "noise", **told})
    return store.mutes.add(rule, person="Ada", place="the command line", now=NOW)


def muted(store: Store, *alerts: Alert, by: MutedBy = BY) -> None:
    """Commits alerts that would go to secops, were they not muted."""
    store.feed.commit_page([replace(routed(one, "secops"), muted=by) for one in alerts], now=NOW)


def shown(store: Store, name: str) -> AlertRow:
    (row,) = store.queries.alerts(Filter(alert_id=name))
    return row


def to_secops(one: Alert, accounts: object, people: object, worse: bool) -> RoutedAlert:
    return replace(routed(one, "secops"), known=one)


def test_a_mute_comes_back_as_it_was_set(store: Store) -> None:
    """Its conditions are kept in the config's own shape."""
    made = add(store, vendors=["github", "okta"], min_cvss=7, even_if_worse=True)
    (kept,) = store.mutes.standing(NOW)
    assert kept == made
    assert kept.rule is not None
    assert (kept.rule.vendors, kept.rule.min_cvss, kept.rule.even_if_worse) == (("github", "okta"), 7, True)
    assert rows(store, "SELECT conditions FROM mutes") == [('{"vendors": ["github", "okta"], "min_cvss": 7.0}',)]


def test_a_mute_of_a_newer_version_mutes_nothing_and_says_so(store: Store) -> None:
    """What nobody can judge must not keep anything quiet: it goes out."""
    add(store)
    muted(store, alert(id="a"))
    store.engine.write(lambda connection: connection.execute("""UPDATE mutes SET conditions = '{"moon": "full"}'"""))
    assert store.mutes.standing(NOW) == []
    assert "cannot be read" in store.mutes.all()[0].unreadable
    assert store.mutes.route_anew(to_secops, standing=(), now=NOW).connectors == {"secops"}


def test_numbers_are_never_given_twice(store: Store) -> None:
    """Not even after the newest mute is gone from the database."""
    assert add(store).id == "1"
    store.engine.write(lambda connection: connection.execute("DELETE FROM mutes"))
    assert add(store).id == "2"


def test_a_note_that_cannot_be_read_still_says_that_it_is_muted(store: Store) -> None:
    muted(store, alert(id="a"))
    store.engine.write(lambda connection: connection.execute("UPDATE alerts SET mute = '[]'"))
    told = shown(store, "a").muted
    assert told is not None
    assert told.id == "1"
    assert "cannot be read" in told.reason


def test_a_muted_alert_that_cannot_be_read_is_let_out_as_what_it_is(store: Store) -> None:
    """Its delivery becomes a dead letter that says so, rather than that it is quiet for ever."""
    muted(store, alert(id="a", severity="high"))
    store.engine.write(lambda connection: connection.execute("UPDATE alerts SET body = '[]'"))
    assert store.mutes.route_anew(to_secops, standing=(), now=NOW).judged == 1
    assert rows(store, "SELECT alert_id, state FROM deliveries") == [("a", "ready")]
    assert not store.mutes.route_anew(to_secops, standing=(), now=NOW).judged


def test_what_a_person_discarded_stays_so(store: Store) -> None:
    """Of an alert that was sent on purpose while it was muted."""
    muted(store, alert(id="a"))
    store.operations.replay(["a"], ["secops"], why="asked for", now=NOW)
    (number,) = rows(store, "SELECT id FROM deliveries")[0]
    store.operations.discard([number])
    assert store.mutes.route_anew(to_secops, standing=(), now=NOW).judged == 1
    assert rows(store, "SELECT count(*) FROM deliveries") == [(0,)]


def test_what_went_somewhere_before_is_not_without_a_route(store: Store) -> None:
    """Sent on purpose while it was muted, arrived or discarded; what went nowhere at all is."""
    muted(store, alert(id="sent"), alert(id="discarded"), alert(id="neither"))
    store.operations.replay(["sent", "discarded"], ["secops"], why="asked for", now=NOW)
    ((number,),) = rows(store, "SELECT id FROM deliveries WHERE alert_id = 'discarded'")
    store.operations.discard([number])
    store.mutes.route_anew(lambda one, *_: replace(routed(one), known=one), standing=(), now=NOW)
    assert [row.alert.id for row in store.queries.alerts(Filter(unrouted=True))] == ["neither"]


def test_what_is_let_out_carries_its_revision(store: Store) -> None:
    first, now = alert(id="a", severity="high"), alert(id="a", severity="medium")
    muted(store, first)
    store.feed.commit_page([replace(routed(now, known=first), muted=BY)], now=NOW)
    store.mutes.route_anew(to_secops, standing=(), now=NOW)
    assert claim(store).delivery.revision == 2


def test_what_is_muted_is_counted_by_its_mute(store: Store) -> None:
    muted(store, alert(id="a"), alert(id="b"))
    muted(store, alert(id="c"), by=replace(BY, id="config-1"))
    store.feed.commit_page([routed(alert(id="d"), "secops")], now=NOW)
    assert store.mutes.count() == 3
    assert store.mutes.counts() == {"1": 2, "config-1": 1}
    assert sorted(one.id for one, *_ in store.mutes.quiet("1")) == ["a", "b"]


def test_a_muted_alert_is_not_forgotten(store: Store) -> None:
    """However old it becomes: it is still to go out."""
    muted(store, alert(id="a"))
    store.feed.commit_page([routed(alert(id="b"))], now=NOW)
    assert store.retention.prune(seen_before=NOW + DAY, published_before=NOW + DAY) == 1
    assert shown(store, "a").muted == BY


def test_each_look_goes_by_the_index_of_what_is_muted(store: Store, path: Path) -> None:
    """So it costs the same beside a million alerts that are not."""
    statements: list[str] = []
    muted(store, alert(id="a"))
    with store.engine.read() as connection:
        of_sqlite(connection).set_trace_callback(statements.append)
    store.mutes.count()
    store.mutes.counts()
    store.queries.alerts(Filter(muted=True))
    assert any("muted_by" in statement for statement in statements)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            if "muted_by" in statement:
                plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
                assert any("alerts_muted" in step for step in plan), plan
