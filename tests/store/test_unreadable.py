"""One row that cannot be read is set aside, and stops nobody: no worker, no page, no command, no poll, no review."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from forwarder.alert import Severity
from forwarder.cli.root import group
from forwarder.connector import Kind
from forwarder.delivery.dispatcher import Dispatcher
from forwarder.events import Listener, Listeners
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.store.query_records import Filter
from forwarder.store.records import AttemptResult, State
from forwarder.testing import alert
from tests.kit import core
from tests.kit.store import (
    LASTING,
    NOW,
    claim_all,
    deliver,
    delivered,
    enqueue,
    file_of,
    ids,
    remind,
    routed,
    rows,
    settle,
)
from tests.kit.thorough import beyond
from tests.kit.web import Site, serving

Damage = Callable[[sqlite3.Connection], object]

BAD: Final = "00000000-0000-4000-8000-00000000bad0"
GOOD: Final = "00000000-0000-4000-8000-00000000900d"
ALL: Final = Filter(origin=None, limit=-1)


def sql(statement: str, *values: object) -> Damage:
    return lambda connection: connection.execute(statement, values)


def body(text: str) -> Damage:
    return sql("UPDATE alerts SET body = ? WHERE id = ?", text, BAD)


DAMAGES: Final[dict[str, Damage]] = {
    "a body that is no JSON": body('{"id": '),
    "a body that is no alert": body("{}"),
    "a body that is no object": body("[1, 2]"),
    "a body without a time": body(f'{{"id": "{BAD}", "published_at": "soon"}}'),
    "a body nested too deeply": body("[" * 100_000 + "]" * 100_000),
    "a body that is no text": sql("UPDATE alerts SET body = CAST(x'7b22ff' AS TEXT) WHERE id = ?", BAD),
    "no alert": sql("DELETE FROM alerts WHERE id = ?", BAD),
    "an unknown origin": sql("UPDATE alerts SET origin = 'dream' WHERE id = ?", BAD),
    "an unknown kind": sql("UPDATE deliveries SET kind = 'digest' WHERE alert_id = ?", BAD),
    "an unknown state": sql("UPDATE deliveries SET state = 'snoozed' WHERE alert_id = ?", BAD),
    "a time beyond all calendars": sql("UPDATE deliveries SET enqueued_at = 1e300 WHERE alert_id = ?", BAD),
}
"""What can be wrong with a delivery, so that it cannot be made."""

HARMLESS: Final[dict[str, Damage]] = {
    "an unknown severity": sql("UPDATE alerts SET severity = 'fatal' WHERE id = ?", BAD),
    "a trail that is no JSON": sql("UPDATE alerts SET trail = '[{' WHERE id = ?", BAD),
    "a trail of another form": sql("""UPDATE alerts SET trail = '[1, {"route": 2}]' WHERE id = ?""", BAD),
    "a time of seeing beyond all calendars": sql("UPDATE alerts SET seen_at = 1e300 WHERE id = ?", BAD),
    "a payload that is none": sql("UPDATE deliveries SET payload = x'0102' WHERE alert_id = ?", BAD),
    "an unknown outcome": sql(
        "INSERT INTO attempts SELECT id, 90, 1e300, 0, 'dreamt', '' FROM deliveries WHERE alert_id = ?", BAD
    ),
    "a revision that is no JSON": sql("INSERT INTO changes VALUES (?, 2, 0, '[{')", BAD),
    "a revision of another form": sql("""INSERT INTO changes VALUES (?, 2, 0, '[{"field": 1}, 2]')""", BAD),
    "categories that are none": sql("INSERT OR REPLACE INTO vendors VALUES ('github', 'GitHub', '[[1')"),
    "categories of another form": sql("INSERT OR REPLACE INTO vendors VALUES ('github', 'GitHub', '7')"),
    "evidence that is none": sql("INSERT INTO evidence VALUES (?, 1, '[[1', 0, 0)", BAD),
    "evidence of another form": sql("INSERT INTO evidence VALUES (?, 1, '7', 0, 0)", BAD),
    "a reach that is none": sql("UPDATE feed SET reach = '{'"),
    "a reach of another form": sql("""UPDATE feed SET reach = '{"fatal": "far"}'"""),
    "a gap of an unknown severity": sql("INSERT INTO gaps VALUES ('default', 'fatal', 1e300, 1e301, 1e300)"),
}
"""What people look at, or the poller goes by, and no delivery needs."""

EVERYTHING: Final = {**DAMAGES, **HARMLESS}
USUAL: Final = (
    "a body that is no JSON",
    "a body that is no text",
    "no alert",
    "an unknown kind",
    "a time beyond all calendars",
    "a trail of another form",
    "a payload that is none",
    "an unknown outcome",
    "a revision that is no JSON",
    "categories that are none",
    "evidence of another form",
    "a reach that is none",
    "a gap of an unknown severity",
)
"""What everybody meets in every run of the tests: each place that can be damaged."""


def damage(path: Path, how: Damage) -> None:
    """What a hand, a disk or another version may do: it asks no constraint."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("PRAGMA foreign_keys = OFF")
    how(connection)
    connection.commit()
    connection.close()


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store.open_exclusive(path)
    enqueue(opened, alert(id=BAD, title="bad"), "secops")
    enqueue(opened, alert(id=GOOD, title="good", severity="low"), "secops")
    yield opened
    opened.close()


# The workers


@pytest.mark.parametrize("how", DAMAGES)
def test_what_cannot_be_read_is_set_aside(store: Store, path: Path, how: str) -> None:
    """It becomes a dead letter with the reason, listed as what it is, and what waits behind it goes out at once."""
    damage(path, DAMAGES[how])
    store.outbox.reclaim_expired(now=NOW, due_at={}, all_claims=False)
    assert ids(claim_all(store)) == [GOOD]
    (row,) = [row for row in store.queries.deliveries(ALL) if row.alert_id == BAD]
    assert row.state is State.DEAD
    assert "cannot be read" in row.last or "is not known to this version" in row.last
    assert row.settled_at == NOW
    assert store.queries.queues(["secops"])[0].dead == 1
    assert store.outbox.set_aside["secops"] == (how != "an unknown state")
    assert rows(store, "SELECT outcome FROM attempts WHERE delivery_id = ?", row.id) == [("rejected",)]


def test_an_update_whose_changes_cannot_be_read(store: Store, path: Path) -> None:
    """It is set aside, and the message that it was to change stays."""
    deliver(store, "secops")
    remind(store, BAD, ["secops"], now=NOW, why="x", change=LASTING)
    damage(path, sql("UPDATE changes SET changes = '[{\"fie'"))
    assert ids(claim_all(store)) == [GOOD]
    assert [(row.kind, row.state) for row in store.queries.deliveries(ALL) if row.alert_id == BAD] == [
        (Kind.UPDATE, State.DEAD),
        (Kind.OPEN, State.DELIVERED),
    ]


def test_what_was_mended_can_be_retried(store: Store, path: Path) -> None:
    """When the feed shows the alert again its form is kept anew, and the dead letter can be sent."""
    damage(path, DAMAGES["a body that is no JSON"])
    claimed = claim_all(store)
    settle(store, claimed[0], delivered())
    shown = alert(id=BAD, title="bad")
    ((one, known),) = store.feed.unseen([shown])
    store.feed.commit_page([routed(one, "secops", known=known)], now=NOW, connectors=["secops"])
    (dead,) = store.queries.deliveries(Filter(state=State.DEAD, origin=None))
    assert store.operations.retry([dead.id], now=NOW) == 1
    assert ids(claim_all(store)) == [BAD]


def test_workers_go_on(store: Store, path: Path) -> None:
    """A connector's workers deliver what they can, and live on."""
    for how in DAMAGES.values():
        damage(path, how)
    target = core.Scripted("secops", concurrency=2)
    dispatcher = Dispatcher(target, store, now=lambda: NOW, random=lambda: 0.5, listener=Listener())
    dispatcher.start()
    core.until(lambda: target.titles == ["good"])
    assert dispatcher.alive(time.monotonic())
    dispatcher.stop()
    assert dispatcher.join(core.PATIENCE)


# Who looks, and who polls


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as running:
        enqueue(running.store, alert(id=BAD, title="bad"), "secops")
        deliver(running.store, "secops")
        running.store.operations.replay([BAD], ["secops"], why="x", now=NOW)
        enqueue(running.store, alert(id=GOOD, title="good"), "secops")
        yield running


@pytest.mark.parametrize("how", beyond(USUAL, EVERYTHING))
def test_pages_and_reviews_go_on(site: Site, how: str) -> None:
    """Every page, the metrics, the probes and the alarms' review show the others, and what they can of this one."""
    damage(file_of(site.store), EVERYTHING[how])
    for round_ in range(2):
        for page in (
            "/",
            "/alerts",
            "/dead-letters",
            "/gaps",
            "/set-aside",
            f"/alerts/{GOOD}",
            "/alerts?vendor=github",
        ):
            site.page(page)
        site.page(f"/alerts/{BAD}", 404 if how == "no alert" else 200)
        assert site.client.get("/metrics").status_code == 200
        assert site.client.get("/readyz").status_code == 200
        assert "good" in site.page("/alerts")
        site.forwarder.review_alarms()
        site.forwarder.reclaim_expired()
        site.forwarder.prune()
        if round_ == 0:
            claim_all(site.store)
    assert site.store.feed.state().polled_at
    assert len(site.store.feed.unseen([alert(id=BAD, title="new words"), alert(id=GOOD, title="good")])) == 1


COMMANDS: Final = (
    ["status"],
    ["alerts"],
    ["alerts", "--json"],
    ["alerts", "--vendor", "github"],
    ["deliveries"],
    ["deliveries", "--json"],
    ["explain", BAD],
    ["explain", BAD, "--json"],
    ["explain", GOOD],
    ["replay", "--since", "10000d", "--dry-run"],
    ["replay", "--since", "10000d", "--yes"],
    ["retry", "--all"],
    ["discard", "--all", "--yes"],
    ["backup", "copy.db"],
)


@pytest.mark.each_once
@pytest.mark.parametrize("how", beyond(USUAL, EVERYTHING))
@pytest.mark.parametrize("commands", [COMMANDS[start::4] for start in range(4)], ids=["a", "b", "c", "d"])
def test_commands_go_on(
    tmp_path: Path, sandbox: Sandbox, how: str, commands: Sequence[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command that lists, explains, decides or copies ends well."""
    config = core.settings(sandbox) | {"routes": [{"to": "secops"}]}
    core.written(tmp_path, config)
    for name, value in core.secrets(sandbox).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with Store.open_exclusive(tmp_path / "forwarder.db") as store:
        for one in (BAD, GOOD):
            enqueue(store, alert(id=one, title=one), "secops", "tickets")
        deliver(store, "secops")
    damage(tmp_path / "forwarder.db", EVERYTHING[how])
    with Store.open_exclusive(tmp_path / "forwarder.db") as store:
        store.outbox.reclaim_expired(now=NOW, due_at={}, all_claims=True)
        claim_all(store, "tickets")
    for arguments in commands:
        told = CliRunner().invoke(group, [*arguments, "-c", "config.yaml"], prog_name="forwarder")
        gone = how == "no alert" and BAD in arguments
        assert told.exit_code == int(gone), (arguments, told.output, told.exception)
        assert not isinstance(told.exception, Exception) or gone, arguments


def test_an_attempt_of_another_version_is_shown_as_such(store: Store, path: Path) -> None:
    """An outcome that is not known is told by its name."""
    deliver(store, "secops")
    damage(path, HARMLESS["an unknown outcome"])
    history = store.queries.history(BAD)
    assert history is not None
    (attempts,) = history.attempts.values()
    assert attempts[-1].outcome is AttemptResult.UNCERTAIN
    assert attempts[-1].reason == "Recorded as 'dreamt', which this version does not know. "


def test_a_row_in_a_list_says_that_it_cannot_be_read(store: Store, path: Path) -> None:
    """An alert that cannot be read stands in the list with its id, its severity and what is wrong with it."""
    damage(path, DAMAGES["a body that is no JSON"])
    (row,) = [row for row in store.queries.alerts(ALL) if row.unreadable]
    assert (row.alert.id, row.alert.title, row.alert.severity) == (BAD, f"Unreadable alert {BAD}", Severity.CRITICAL)
    assert row.unreadable.startswith("What the database holds of it cannot be read (JSONDecodeError")
    assert row.alert.description == row.unreadable


# No thread ends unnoticed


class Ends(Listener):
    """A listener that fails whenever it is told something."""

    def attempt_finished(self, attempt: object) -> None:  # noqa: ARG002
        raise RuntimeError("a listener's fault")


def test_a_listener_that_fails_keeps_nobody(store: Store) -> None:
    """What a listener raises is logged; the other listeners are told, and the worker goes on."""
    target, heard = core.Scripted("secops"), []

    class Hears(Listener):
        def attempt_finished(self, attempt: object) -> None:
            heard.append(attempt)

    dispatcher = Dispatcher(target, store, now=lambda: NOW, random=lambda: 0.5, listener=Listeners([Ends(), Hears()]))
    dispatcher.start()
    core.until(lambda: len(heard) == 2)
    dispatcher.stop()
    assert dispatcher.join(core.PATIENCE)
