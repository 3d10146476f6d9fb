"""The forwarder's own troubles: told when they begin, get worse, last and end, as the store has it, and once each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from connectors.console import ConsoleConfig
from forwarder.alarms import DAY, FREE_BYTES, Alarms, AlarmType
from forwarder.alarms.facts import UNHEARD_FOR
from forwarder.alarms.reconciler import RENAMED_WITHIN
from forwarder.alarms.types import OF_CONNECTORS
from forwarder.alert import Alert, SetAside, Severity, got_worse
from forwarder.config import Config
from forwarder.connector import (
    Broken,
    Delivered,
    Kind,
    Look,
    Origin,
    Outcome,
    RateLimited,
    Receipt,
    Rejected,
    Retry,
    Uncertain,
)
from forwarder.delivery.transitions import Context, settle
from forwarder.events import AttemptFinished, Listener
from forwarder.feed.client import KeyRefused, Unavailable
from forwarder.store import Store, StoreError
from forwarder.store.engine import Engine
from forwarder.store.evidence import UNREAD_FOR, UNREAD_TRIES
from forwarder.store.query_records import DeliveryRow, Filter
from forwarder.store.records import Gap, State
from forwarder.testing import alert
from tests.kit.core import Time, enqueue, rows
from tests.kit.store import routed

TO: Final = ("chat", "pager")
THERE: Final = Delivered(Receipt(remote_id="there"))


class Rig:
    """A real store with the alarms of it, and a steerable time. What happens is written as its authors write it."""

    def __init__(self, path: Path, kind: type[Store] = Store, connectors: Sequence[str] = TO) -> None:
        self.time, self.woken, self.free = Time(), list[str](), FREE_BYTES
        self.unheld: dict[str, float] = {}
        self.now = self.time.clock()
        self.store = kind.open_exclusive(path)
        self.config = made(TO, connectors)
        self.alarms = self.restart()
        self.poll()

    def restart(self) -> Alarms:
        """From now on, the alarms of another process on the same database."""
        self.alarms = Alarms(
            self.store,
            self.config,
            now=self.now,
            wake=self.woken.extend,
            free_bytes=lambda _: self.free,
            unheld=lambda: self.unheld,
        )
        self.listener: Listener = self.alarms
        self.store.accounts.count_start(["default"], now=self.now())
        return self.alarms

    def dies_before_events(self) -> None:
        """What is committed from now on is heard of by nobody, for the process dies right after."""
        self.listener = Listener()

    def use(self, to: Sequence[str] = TO, connectors: Sequence[str] = TO, **sentrytex: Any) -> None:
        """Another config, as after a reload."""
        self.config = made(to, connectors, **sentrytex)
        self.alarms.use(self.config)
        self.alarms.review()

    def standing(self) -> list[str]:
        """The alarms that stand, by type and connector."""
        return [alarm.key for alarm in self.store.alarms.active()]

    def text(self) -> str:
        (alarm,) = self.store.alarms.active()
        return alarm.text

    def owed(self, about: str = "") -> list[tuple[str, str]]:
        """What is or was owed for alarms with ``about`` in their title: connector and kind."""
        return [(row.connector, row.kind) for row in self.rows() if about in row.title]

    def rows(self) -> list[DeliveryRow]:
        return [row for row in rows(self.store) if row.origin == "alarm"]

    # What happens

    def poll(self, *unrouted: Alert, **found: Any) -> None:
        """A complete poll that brings what no route takes."""
        result = self.store.feed.commit_page([routed(one) for one in unrouted], now=self.now(), **found)
        self.listener.polled(result, 0.1)

    def gap(self, severity: Severity, number: int = 0) -> None:
        self.poll(gaps=[Gap(severity=severity, since=60.0 * number, until=60.0 * number + 30)])

    def attempt(self, outcome: Outcome, connector: str = "chat", **more: Any) -> None:
        """One attempt of one delivery, as the dispatcher makes it and reports it."""
        claimed, *_ = self.store.outbox.claim(connector, 1, now=self.now(), lease=60)
        settlement = settle(claimed, outcome, None, self.context())
        assert self.store.outbox.settle(claimed, settlement, now=self.now(), seconds=0.1)
        self.listener.attempt_finished(
            AttemptFinished(connector=connector, claimed=claimed, settlement=settlement, seconds=0.1, **more)
        )

    def context(self) -> Context:
        return Context(now=self.now(), random=lambda: 1.0, reconcile_after=(), give_up_after=3600.0)

    def dead_letter(self, connector: str = "chat", **fields: Any) -> int:
        """An alert that the connector refuses; the id of its delivery."""
        enqueue(self.store, alert(**fields), to=(connector,))
        self.attempt(Rejected("too long"), connector)
        return rows(self.store, connector)[-1].id

    def pause(self, connector: str = "chat", **fields: Any) -> None:
        fields = {"id": f"pauses {connector}", "severity": "low", "cisa_kev": False, **fields}
        enqueue(self.store, alert(**fields), to=(connector,))
        self.attempt(Broken("The token was revoked."), connector, paused=True)

    def fail(self, connector: str = "other", *, seconds: float = 0.0, **fields: Any) -> None:
        """An alert is owed to a connector that fails, ``seconds`` ago."""
        enqueue(self.store, alert(**{"severity": "low", "cisa_kev": False, **fields}), to=(connector,))
        self.attempt(Retry("The connection was cut."), connector)
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Time passes, and those who live look what it brought."""
        self.time.pass_(seconds)
        if self.store.feed.state().key_refused is None:
            self.store.feed.commit_page([], now=self.now())
        if self.listener is self.alarms:
            self.alarms.review()

    def try_again(self, outcome: Outcome, connector: str = "other") -> None:
        """What failed is due, and tried."""
        self.store.outbox.make_due_now(connector)
        self.attempt(outcome, connector)

    def refuse_reload(self) -> None:
        self.store.alarms.failed("reload_refused", "", "routes: is missing", now=self.now())
        self.listener.reloaded(ok=False)

    def set_clock(self, seconds: float, *, moves: bool = True) -> None:
        """Somebody sets the machine's clock; what was written down moves along, unless nothing runs meanwhile."""
        self.time.step(seconds)
        step = self.now.follow()
        if moves:
            self.store.outbox.shift_deadlines(step, until=self.now() - step)
            self.alarms.shift_deadlines(step)

    def limit(self, connector: str = "other", *, seconds: float = 0.0, **fields: Any) -> None:
        """A critical is owed to a connector that answers only that it is asked too often, and time passes."""
        critical = alert(**{"id": "limited", "title": "The limited one", "severity": "critical", **fields})
        enqueue(self.store, critical, to=(connector,), now=self.now())
        self.attempt(RateLimited(60.0, "Too many requests."), connector)
        self.wait(seconds)

    def orphan(self, connector: str = "gone", **fields: Any) -> None:
        """An alert is owed to a connector that the config does not name."""
        owed = alert(**{"id": "orphaned", "severity": "low", "cisa_kev": False, **fields})
        enqueue(self.store, owed, to=(connector,), now=self.now())
        self.alarms.review()

    def resume(self, connector: str = "chat") -> None:
        self.store.operations.resume(connector)
        self.alarms.review()

    def deliver(self, *connectors: str) -> None:
        """The connectors take all that they are owed for alarms."""
        for connector in connectors or TO:
            while claimed := self.store.outbox.claim(connector, 1, now=self.now(), lease=60):
                settlement = settle(claimed[0], Delivered(Receipt(remote_id="there")), {}, self.context())
                self.store.outbox.settle(claimed[0], settlement, now=self.now(), seconds=0.1)


def made(to: Sequence[str] = TO, connectors: Sequence[str] = TO, **sentrytex: Any) -> Config:
    """A config whose alarms go ``to`` some of its connectors."""
    return Config.model_validate(
        {
            "sentrytex": {"api_key": "vk_not-a-real-key", **sentrytex},
            "connectors": dict.fromkeys(connectors, ConsoleConfig(type="console")),
            "routes": [{"to": list(connectors)}],
            "alarms": {"to": list(to)},
        }
    )


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "forwarder.db")
    yield rig
    rig.store.close()


@pytest.fixture
def rated(tmp_path: Path) -> Iterator[Rig]:
    """A rig with a connector more, which sends one a minute."""
    rig = Rig(tmp_path / "forwarder.db", connectors=(*TO, "other"))
    settings = ConsoleConfig.model_validate({"type": "console", "max_rate": "1/min"})
    rig.config.connectors["other"] = settings
    yield rig
    rig.store.close()


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Rig]:
    """A rig with a connector more, which no alarm goes to."""
    rig = Rig(tmp_path / "forwarder.db", connectors=(*TO, "other"))
    yield rig
    rig.store.close()


def refuse_key(rig: Rig) -> None:
    rig.store.feed.poll_failed("401", key_refused=True)
    rig.listener.poll_failed(KeyRefused("401"), 0.1)


def leave_unread(rig: Rig) -> None:
    rig.store.feed.poll_failed("503")
    rig.time.pass_(601)
    rig.listener.poll_failed(Unavailable("503"), 0.1)


def sweep_short(rig: Rig) -> None:
    rig.store.feed.commit_page([], now=rig.now(), swept=True, short={Severity.LOW: rig.now() - 3600})
    rig.alarms.review()


def miss_sweeps(rig: Rig) -> None:
    rig.store.feed.commit_page([], now=rig.now(), cursor=rig.now())
    for _ in range(3):
        rig.store.feed.sweep_failed("503")
    rig.listener.sweep_failed(Unavailable("503"))


def fill_disk(rig: Rig) -> None:
    rig.free = FREE_BYTES - 1
    rig.alarms.review()


def leave_unheld(rig: Rig) -> None:
    """No replica has had a role for longer than one that is killed is missed."""
    rig.unheld = {"connector:other": 61.0, "feed": 59.0}
    rig.alarms.review()


def set_aside(rig: Rig, raw: str = "no JSON") -> None:
    rig.poll(set_aside=[SetAside(digest=raw, raw=raw, reason="the alert has no id")])


def fail_alone(rig: Rig) -> None:
    """A critical alert fails while others arrive."""
    rig.fail(id="alone", title="The lone one", severity="critical")
    rig.time.pass_(1)
    enqueue(rig.store, alert(id="arrives", severity="low"), to=("other",))
    rig.attempt(THERE, "other")
    rig.wait(601)


def fail_looks(rig: Rig) -> None:
    rig.store.lifecycle.look_failed("other", "HTTP 403", now=rig.now())
    rig.wait(UNHEARD_FOR)


def fall_deaf(rig: Rig) -> None:
    rig.store.lifecycle.deaf("other", "The app token was revoked.", now=rig.now())
    rig.wait(UNHEARD_FOR)


def lack_evidence(rig: Rig) -> None:
    for _ in range(UNREAD_TRIES + 1):
        rig.store.evidence.refused("The Sentrytex API refused the key.", now=rig.now())
        rig.time.pass_(UNREAD_FOR / UNREAD_TRIES)
        rig.poll()
    rig.alarms.review()


IN_THE_STORE: Final[dict[AlarmType, Callable[[Rig], object]]] = {
    AlarmType.GAP: lambda rig: rig.gap(Severity.LOW),
    AlarmType.PAUSED: lambda rig: rig.pause("other"),
    AlarmType.DEAD_LETTER: lambda rig: rig.dead_letter("other", severity="low"),
    AlarmType.SET_ASIDE: set_aside,
    AlarmType.UNROUTED: lambda rig: rig.poll(alert(severity="low", cisa_kev=False)),
    AlarmType.CONNECTOR_FAILING: lambda rig: rig.fail(seconds=1800),
    AlarmType.DELIVERY_FAILING: fail_alone,
    AlarmType.LATE: lambda rig: rig.limit(seconds=601),
    AlarmType.ORPHANED: lambda rig: rig.orphan("other-old"),
    AlarmType.RELOAD_REFUSED: lambda rig: rig.refuse_reload(),
    AlarmType.KEY_REFUSED: refuse_key,
    AlarmType.FEED_UNREAD: leave_unread,
    AlarmType.SWEEP_SHORT: sweep_short,
    AlarmType.SWEEP_OVERDUE: miss_sweeps,
    AlarmType.EVIDENCE_UNREAD: lack_evidence,
    AlarmType.LOOK_FAILED: fail_looks,
    AlarmType.NOT_HEARD: fall_deaf,
}
"""How each trouble comes about that what happened leaves in the store."""
HAPPENINGS: Final[dict[AlarmType, Callable[[Rig], object]]] = {
    **IN_THE_STORE,
    AlarmType.TEMPLATE_FAILED: lambda rig: rig.listener.template_failed("other", "it has no title"),
    AlarmType.STORE_FAILED: lambda rig: rig.listener.store_failed("The disk is full."),
    AlarmType.DISK_FULL: fill_disk,
    AlarmType.ROLE_UNHELD: leave_unheld,
}
"""How each trouble comes about."""
SUBJECTS: Final = {
    AlarmType.SWEEP_SHORT: "low",
    AlarmType.ORPHANED: "other-old",
    AlarmType.ROLE_UNHELD: "connector:other",
}
"""Where it is another one than ``other``."""
AFTER_A_START: Final = {AlarmType.FEED_UNREAD: 601, AlarmType.LATE: 61}
"""Seconds that a process that just started is given before it says so."""


def value(kind: AlarmType) -> str:
    return kind.value


@pytest.mark.parametrize("kind", [AlarmType.DEAD_LETTER, AlarmType.SET_ASIDE, AlarmType.UNROUTED], ids=value)
def test_who_is_woken_reads_that_nobody_else_was_told(kind: AlarmType) -> None:
    """What no retry brings is to be acted on by hand, and a route that is added later sends nothing of the past."""
    said = kind.remedy_for("on call")
    assert "It did not arrive there" in said or "Nobody is told of it but by this" in said
    assert ("forwarder deliveries --state dead --connector 'on call'" in said) is (kind is AlarmType.DEAD_LETTER)
    assert ("forwarder replay" in said) is (kind is AlarmType.UNROUTED)


@pytest.mark.parametrize("kind", AlarmType, ids=value)
def test_each_trouble_is_told_once_to_all_who_are_named(wide: Rig, kind: AlarmType) -> None:
    """It has a title, what happened, and what to do about it; more reviews, and another process, tell nothing."""
    HAPPENINGS[kind](wide)
    wide.alarms.review()
    wide.restart().review()
    subject = SUBJECTS.get(kind, "other")
    title = kind.title_template.format(subject=subject)
    told = [row for row in wide.rows() if row.title == title]
    assert [(row.connector, row.kind) for row in told] == [("chat", "open"), ("pager", "open")]
    history = wide.store.queries.history(told[0].alert_id)
    assert history is not None
    assert history.row.alert.description.endswith(f"\n\n{kind.remedy.format(subject=subject)}")
    assert history.row.alert.severity is kind.severity
    assert set(wide.woken) == set(TO)


# What begins and ends it is in the store


@pytest.mark.parametrize("kind", IN_THE_STORE, ids=value)
def test_a_kill_before_the_alarm_is_made_up_for_at_the_next_start(wide: Rig, kind: AlarmType) -> None:
    """What was committed is told by a process that never heard of the event."""
    wide.dies_before_events()
    IN_THE_STORE[kind](wide)
    wide.time.pass_(0 if kind is not AlarmType.FEED_UNREAD else 601)
    alarms = wide.restart()
    wide.time.pass_(AFTER_A_START.get(kind, 0))
    alarms.review()
    assert wide.owed() == [("chat", "open"), ("pager", "open")]


ENDS: Final[dict[AlarmType, Callable[[Rig], object]]] = {
    AlarmType.PAUSED: lambda rig: rig.store.operations.resume("other"),
    AlarmType.CONNECTOR_FAILING: lambda rig: rig.try_again(THERE),
    AlarmType.DELIVERY_FAILING: lambda rig: rig.try_again(THERE),
    AlarmType.DEAD_LETTER: lambda rig: rig.store.operations.discard([row.id for row in rows(rig.store, "other")]),
    AlarmType.LATE: lambda rig: rig.try_again(THERE),
    AlarmType.ORPHANED: lambda rig: rig.store.operations.rename("other-old", "other"),
    AlarmType.RELOAD_REFUSED: lambda rig: rig.store.alarms.cleared("reload_refused", ""),
    AlarmType.KEY_REFUSED: lambda rig: rig.poll(),
    AlarmType.FEED_UNREAD: lambda rig: rig.poll(),
    AlarmType.LOOK_FAILED: lambda rig: rig.store.lifecycle.looked(
        "other", Look(cursor="1"), now=rig.now(), connectors=(), since=""
    ),
    AlarmType.NOT_HEARD: lambda rig: rig.store.lifecycle.hears("other"),
    AlarmType.EVIDENCE_UNREAD: lambda rig: rig.store.evidence.unwanted(),
}
"""How what lasts ends, as the store has it."""


@pytest.mark.parametrize("kind", ENDS, ids=value)
@pytest.mark.parametrize("died", [False, True], ids=["event", "killed"])
def test_what_lasts_ends_with_its_cause(wide: Rig, kind: AlarmType, died: bool) -> None:
    """Those who heard of the beginning hear of the end, once, also where the process died before it could say so."""
    HAPPENINGS[kind](wide)
    wide.deliver()
    if died:
        wide.dies_before_events()
    ENDS[kind](wide)
    if died:
        wide.restart()
        wide.poll()
    wide.alarms.review()
    assert wide.standing() == []
    assert wide.owed() == [("chat", "open"), ("pager", "open"), ("chat", "withdraw"), ("pager", "withdraw")]


def test_another_failure_does_not_say_that_the_key_is_good(rig: Rig) -> None:
    """Only a complete poll does."""
    refuse_key(rig)
    rig.store.feed.poll_failed("503")
    rig.alarms.poll_failed(Unavailable("503"), 0.1)
    assert rig.standing() == ["key_refused"]
    rig.poll()
    assert rig.standing() == []


PASSING: Final = [kind for kind in AlarmType if kind.passes]


@pytest.mark.parametrize("kind", PASSING, ids=value)
@pytest.mark.parametrize("restarts", [False, True], ids=["runs on", "restarts"])
def test_what_passes_ends_a_day_after_the_last_time(wide: Rig, kind: AlarmType, restarts: bool) -> None:
    """Restarts in between change nothing."""
    HAPPENINGS[kind](wide)
    wide.deliver()
    wide.time.pass_(DAY - 60)
    if restarts:
        wide.restart()
    wide.poll()
    wide.alarms.review()
    assert len(wide.standing()) == 1
    wide.time.pass_(120)
    if restarts:
        wide.restart()
    wide.poll()
    wide.alarms.review()
    assert wide.standing() == []
    assert wide.owed() == [("chat", "open"), ("pager", "open"), ("chat", "withdraw"), ("pager", "withdraw")]


def test_a_repetition_puts_the_end_off(rig: Rig) -> None:
    """What is as bad as what people know of is not told again meanwhile."""
    rig.poll(alert(id="1"))
    rig.deliver()
    rig.time.pass_(DAY - 60)
    rig.poll(alert(id="2"))
    rig.time.pass_(120)
    rig.poll()
    rig.alarms.review()
    assert rig.standing() == ["unrouted"]
    rig.time.pass_(DAY)
    rig.poll()
    rig.alarms.review()
    assert rig.standing() == []
    assert rig.owed() == [("chat", "open"), ("pager", "open"), ("chat", "withdraw"), ("pager", "withdraw")]


@pytest.mark.parametrize("kind", sorted(OF_CONNECTORS), ids=value)
def test_a_connector_that_is_gone_has_no_alarm_of_its_own(wide: Rig, kind: AlarmType) -> None:
    """Renamed or removed, nobody could end it: what still waits there is what is told, and how to deal with that."""
    HAPPENINGS[kind](wide)
    wide.deliver()
    waits = wide.store.queries.queues(["other"])[0].waiting > 0
    wide.use(connectors=TO)
    assert wide.standing() == ["orphaned-other"] * waits
    assert [row.why for row in wide.rows() if row.kind is Kind.WITHDRAW] == ["It is no longer in the config."] * 2
    wide.store.operations.discard([row.id for row in rows(wide.store, "other")])
    for _ in range(3):
        wide.time.pass_(DAY + 1)
        wide.poll()
        wide.alarms.review()
    about = kind.title_template.format(subject="other")
    assert wide.owed(about) == [("chat", "open"), ("pager", "open"), ("chat", "withdraw"), ("pager", "withdraw")]


def test_the_end_goes_to_no_connector_that_is_gone(rig: Rig) -> None:
    """It would wait for ever."""
    refuse_key(rig)
    rig.deliver()
    rig.use(to=["pager"], connectors=["pager"])
    rig.poll()
    assert rig.owed() == [("chat", "open"), ("pager", "open"), ("pager", "withdraw")]


def test_what_nobody_was_told_yet_is_taken_back_silently(rig: Rig) -> None:
    """A trouble that ends before its alarm went out disturbs nobody."""
    refuse_key(rig)
    rig.poll()
    assert rig.owed() == []


def test_what_begins_again_at_once_is_told_again(rig: Rig) -> None:
    """Two alarms of one kind within a second are two alerts."""
    rig.alarms = Alarms(rig.store, rig.config, now=lambda: 1000.0)
    for _ in range(2):
        rig.store.feed.poll_failed("401", key_refused=True)
        rig.alarms.review()
        rig.deliver()
        rig.store.feed.commit_page([], now=1000.0)
        rig.alarms.review()
        rig.deliver()
    assert [kind for name, kind in rig.owed("key") if name == "chat"] == ["open", "withdraw"] * 2


def test_a_feed_that_stays_unread_is_told_after_ten_minutes(rig: Rig) -> None:
    """With the reason of the last poll."""
    rig.store.feed.poll_failed("The Sentrytex API did not answer in time.")
    rig.time.pass_(590)
    rig.alarms.review()
    assert rig.standing() == []
    rig.time.pass_(20)
    rig.alarms.review()
    assert rig.text() == "The last complete poll was 10m 10s ago. The Sentrytex API did not answer in time."


def test_rare_polls_are_given_their_time(rig: Rig) -> None:
    """Three of them must be missing before people are told."""
    rig.use(poll_every="1h")
    rig.time.pass_(2.9 * 3600)
    rig.alarms.review()
    assert rig.standing() == []
    rig.time.pass_(0.2 * 3600)
    rig.alarms.review()
    assert rig.standing() == ["feed_unread"]


@pytest.mark.parametrize("ever", [True, False], ids=["read once", "never read"])
def test_a_process_that_crashes_before_it_reads_the_feed_is_told_of(tmp_path: Path, ever: bool) -> None:
    """No single one runs for ten minutes, yet the feed is unread for as long."""
    rig = Rig(tmp_path / "forwarder.db")
    if not ever:
        rig.store.engine.write(lambda connection: connection.execute("UPDATE feed SET polled_at = NULL"))
    for minute in range(0, 12, 4):
        assert rig.standing() == [], minute
        rig.restart()
        rig.time.pass_(210)
        rig.store.feed.poll_failed("503")
        rig.listener.poll_failed(Unavailable("503"), 0.1)
    assert rig.standing() == ["feed_unread"]
    rig.poll()
    assert rig.standing() == []
    rig.store.close()


def test_a_disk_that_fills_up_is_told_until_there_is_room(rig: Rig) -> None:
    """The limit lies far above what a commit needs; and there is room where the tests run."""
    assert shutil.disk_usage(Path(__file__).parent).free > FREE_BYTES
    rig.alarms.review()
    assert rig.standing() == []
    fill_disk(rig)
    for rig.free in (FREE_BYTES, FREE_BYTES - 1):
        rig.alarms.review()
        assert rig.standing() == ["disk_full"]
    rig.free = 2 * FREE_BYTES
    rig.alarms.review()
    assert rig.standing() == []


def test_a_delivery_that_is_tried_again_is_no_alarm(rig: Rig) -> None:
    """Failures that pass disturb nobody."""
    enqueue(rig.store, alert(), to=("chat",))
    rig.attempt(Retry("503"))
    assert rig.standing() == []


# A connector that keeps failing

LONG: Final = {"critical": 60, "high": 300, "medium": 1800, "low": 1800}
"""After how many seconds it is told, by the worst that waits."""


@pytest.mark.parametrize(("severity", "seconds"), LONG.items())
def test_a_connector_that_keeps_failing_is_told_by_what_waits(wide: Rig, severity: str, seconds: int) -> None:
    """In time for it, as severe as it, with the reason of the last try; with reviews a critical within two minutes."""
    wide.fail(seconds=seconds - 2, severity=severity, title="The one")
    assert wide.standing() == []
    wide.wait(2)
    assert wide.standing() == ["connector_failing-other"]
    alarm = told(wide, "nothing arrives there")
    assert alarm.severity == severity
    assert "The connection was cut. What waits is The one" in alarm.description


@pytest.mark.parametrize("fields", [{"severity": "low", "cisa_kev": True}, {"severity": "awful"}, {"severity": None}])
def test_what_may_be_the_worst_counts_as_critical(wide: Rig, fields: dict[str, Any]) -> None:
    """What is on CISA's list, and what the API calls by a word that nobody knows."""
    wide.fail(seconds=61, **fields)
    assert told(wide, "nothing arrives there").severity is Severity.CRITICAL


def test_a_failure_that_passes_is_no_alarm(wide: Rig) -> None:
    """However bad what waits, it arrives by itself."""
    wide.fail(seconds=30, severity="critical")
    wide.try_again(THERE)
    wide.wait(600)
    assert wide.owed() == []


def test_a_critical_behind_lesser_ones_is_told_at_once(wide: Rig) -> None:
    """The connector has failed for long enough; and as worse news where people know that it fails."""
    wide.fail(seconds=100, severity="medium")
    enqueue(wide.store, alert(id="2", severity="critical"), to=("other",))
    wide.alarms.review()
    assert told(wide, "nothing arrives there").severity is Severity.CRITICAL
    wide.try_again(THERE)
    wide.try_again(THERE)
    assert wide.standing() == []
    wide.deliver()
    wide.fail(id="3", seconds=1801, severity="medium")
    wide.deliver()
    enqueue(wide.store, alert(id="4", severity="critical"), to=("other",))
    wide.alarms.review()
    assert [kind for name, kind in wide.owed("nothing arrives") if name == "chat"] == ["open", "update"]


def test_it_stands_though_the_worst_that_waits_is_gone(wide: Rig) -> None:
    """What is left would be told only later; but the connector fails still."""
    wide.fail(severity="low")
    wide.fail(id="worst", severity="critical", seconds=61)
    (worst,) = [row.id for row in rows(wide.store, "other") if row.alert_id == "worst"]
    wide.store.engine.write(lambda connection: connection.execute("DELETE FROM deliveries WHERE id = ?", (worst,)))
    wide.alarms.review()
    assert wide.standing() == ["connector_failing-other"]


def test_the_failing_connector_is_not_asked_to_tell_of_itself(rig: Rig) -> None:
    """Those that work are; it hears neither of the beginning nor of the end."""
    rig.fail("chat", severity="critical", seconds=61)
    assert rig.owed() == [("pager", "open")]
    rig.deliver("pager")
    rig.try_again(THERE, "chat")
    assert rig.owed() == [("pager", "open"), ("pager", "withdraw")]
    assert rig.rows()[-1].why == "Deliveries arrive there again."


def test_a_try_under_way_and_another_process_end_nothing(wide: Rig) -> None:
    """What is sent once more has not arrived; a killed process leaves it uncertain."""
    wide.fail(severity="critical", seconds=61)
    wide.store.outbox.make_due_now("other")
    wide.store.outbox.claim("other", 1, now=wide.now(), lease=60)
    wide.alarms.review()
    assert wide.standing() == ["connector_failing-other"]
    wide.store.outbox.reclaim_expired(now=wide.now(), due_at={}, all_claims=True)
    wide.restart().review()
    assert wide.standing() == ["connector_failing-other"]
    assert len(wide.owed()) == 2


def test_a_failing_connector_that_is_paused_has_one_alarm(wide: Rig) -> None:
    """The pause says more: the other one ends, and says so."""
    wide.fail(severity="critical", seconds=61)
    wide.deliver()
    wide.store.outbox.make_due_now("other")
    wide.attempt(Broken("The token was revoked."), "other", paused=True)
    assert wide.standing() == ["paused-other"]
    assert {row.why for row in wide.rows() if row.kind is Kind.WITHDRAW} == {
        "It is paused now: another alarm says why."
    }


def test_one_lost_answer_is_no_failing_connector(wide: Rig) -> None:
    """Whether it arrived is looked up, at times that lie minutes apart; a second one is."""
    enqueue(wide.store, alert(severity="critical"), to=("other",))
    wide.attempt(Uncertain("The answer was lost."), "other")
    wide.wait(120)
    assert wide.standing() == []
    wide.try_again(Uncertain("The answer was lost."))
    wide.alarms.review()
    assert wide.standing() == ["connector_failing-other"]


def test_one_that_fails_while_others_arrive_is_no_failing_connector(wide: Rig) -> None:
    """It is told by its name after ten minutes, if it is critical; lesser ones only when they are dead letters."""
    fail_alone(wide)
    assert wide.standing() == ["delivery_failing-other"]
    assert wide.text().startswith("The lone one (critical) has failed for 10m 2s: The connection was cut.")
    wide.try_again(Rejected("too long"))
    assert wide.standing() == ["dead_letter-other"]


def test_a_lesser_one_that_fails_while_others_arrive_is_told_when_it_is_dead(wide: Rig) -> None:
    """It may take hours, and nobody is woken by that."""
    wide.fail(id="alone", severity="high")
    wide.time.pass_(1)
    enqueue(wide.store, alert(id="arrives"), to=("other",))
    wide.attempt(THERE, "other")
    wide.wait(7200)
    assert wide.owed() == []


def test_what_was_under_way_when_it_began_to_fail_is_no_sign_of_life(wide: Rig) -> None:
    """Of two that were sent together, the slower one arrived: it was sent before."""
    for number in range(2):
        enqueue(wide.store, alert(id=f"{number}", severity="critical"), to=("other",))
    first, second = wide.store.outbox.claim("other", 2, now=wide.now(), lease=60)
    wide.time.pass_(5)
    wide.store.outbox.settle(first, settle(first, Retry("reset"), None, wide.context()), now=wide.now(), seconds=5)
    wide.time.pass_(1)
    wide.store.outbox.settle(second, settle(second, THERE, None, wide.context()), now=wide.now(), seconds=6)
    wide.wait(61)
    assert wide.standing() == ["connector_failing-other"]


@pytest.mark.parametrize("step", [-7200, 7200])
def test_a_clock_that_was_set_hides_no_failing_connector(wide: Rig, step: float) -> None:
    """What arrived in a time to come was before."""
    enqueue(wide.store, alert(id="1"), to=("other",))
    wide.attempt(THERE, "other")
    wide.time.pass_(1)
    wide.fail(id="2", severity="critical")
    wide.time.step(step)
    wide.store.outbox.shift_deadlines(wide.now.follow())
    wide.wait(61)
    assert wide.standing() == ["connector_failing-other"]


def test_a_pause_is_as_bad_as_what_waits(wide: Rig) -> None:
    """A critical alert that waits makes it critical, once, and the text says which; a medium one is no news."""
    wide.pause("other")
    wide.deliver()
    enqueue(wide.store, alert(id="m", severity="medium"), to=("other",))
    wide.alarms.review()
    assert wide.owed() == [("chat", "open"), ("pager", "open")]
    enqueue(wide.store, alert(**BAD), to=("other",))
    wide.alarms.review()
    wide.restart().review()
    assert wide.owed()[2:] == [("chat", "update"), ("pager", "update")]
    alarm = told(wide, "not accepting")
    assert alarm.severity is Severity.CRITICAL
    waits = "3 deliveries wait; the worst is The bad one (critical, on CISA KEV)."
    assert alarm.description.startswith(f"The token was revoked. {waits}")


def test_only_links_that_wait_are_no_alarm(wide: Rig) -> None:
    """Nobody waits for them."""
    wide.fail(seconds=1801)
    sql = "UPDATE deliveries SET rank = rank + 4 WHERE connector = 'other'"
    wide.store.engine.write(lambda connection: connection.execute(sql))
    wide.alarms.review()
    assert wide.standing() == []


def test_a_refused_config_stands_until_one_is_taken(rig: Rig) -> None:
    """For days, and across restarts."""
    rig.refuse_reload()
    rig.wait(2 * DAY)
    rig.deliver()
    rig.restart().review()
    assert rig.standing() == ["reload_refused"]
    rig.store.alarms.cleared("reload_refused", "")
    rig.alarms.reloaded(ok=True)
    assert rig.standing() == []


@pytest.mark.parametrize("severity", Severity)
def test_a_gap_is_as_bad_as_what_may_be_missing(rig: Rig, severity: Severity) -> None:
    """Its first sentence says what it means, and the second where to look."""
    rig.gap(severity)
    alarm = told(rig, "seen")
    assert alarm.severity is severity
    first, _, way_out = alarm.description.partition("\n\n")
    assert first.startswith(f"Alerts of severity {severity.value} published from 1970-01-01T00:00:00Z to")
    assert "possibly never seen" in first
    assert way_out.startswith("Look at that stretch on Sentrytex's own page")


# What waits, whatever the reason


def test_a_critical_that_waits_is_told_whatever_the_reason(wide: Rig) -> None:
    """A destination that only asks to wait is no failure, and says so for days: after ten minutes people hear of it."""
    wide.limit(seconds=590)
    assert wide.standing() == []
    for _ in range(4):
        wide.wait(60)
        wide.attempt(RateLimited(60.0, "Too many requests."), "other")
    assert wide.standing() == ["late-other"]
    assert wide.owed() == [("chat", "open"), ("pager", "open")]
    assert wide.text() == "The limited one (critical) has waited for 10m 50s: Too many requests."
    wide.deliver()
    wide.wait(60)
    wide.attempt(THERE, "other")
    wide.wait(0)
    assert wide.owed()[2:] == [("chat", "withdraw"), ("pager", "withdraw")]


@pytest.mark.parametrize(
    ("severity", "kev", "late"),
    [("critical", False, True), ("high", True, True), ("high", False, False), ("low", False, False)],
)
def test_only_what_counts_as_critical_is_late(wide: Rig, severity: str, kev: bool, late: bool) -> None:
    """A backlog of the others at a rate limit is on the page, which says how long it takes."""
    for number in range(3):
        enqueue(wide.store, alert(id=f"{number}", severity=severity, cisa_kev=kev), to=("other",), now=wide.now())
    wide.attempt(RateLimited(60.0, "Too many requests."), "other")
    wide.wait(1200)
    assert wide.standing() == ["late-other"] * late


def test_a_critical_behind_a_backlog_is_told(wide: Rig) -> None:
    """It would go first: what holds it up is the limit."""
    for number in range(50):
        enqueue(wide.store, low(number), to=("other",), now=wide.now())
    wide.limit(seconds=601)
    assert wide.standing() == ["late-other"]


def test_criticals_that_wait_for_their_rate_are_told(rated: Rig) -> None:
    """With how long it takes; it ends once none of them has waited that long."""
    for number in range(30):
        enqueue(rated.store, alert(id=f"{number}", severity="critical"), to=("other",), now=rated.now())
    for _ in range(10):
        rated.attempt(THERE, "other")
        rated.wait(50)
    assert rated.standing() == []
    rated.wait(101)
    assert rated.standing() == ["late-other"]
    assert ": 20 as bad wait, and at 1/min (max_rate) they take about 20 minutes." in rated.text()
    for _ in range(20):
        rated.attempt(THERE, "other")
        rated.wait(60)
    assert rated.standing() == []


def test_what_waited_out_an_outage_is_given_its_time(wide: Rig) -> None:
    """It goes out from the first answer on: the outage was told, and is over."""
    for number in range(5):
        enqueue(wide.store, alert(id=f"{number}", severity="critical"), to=("other",), now=wide.now())
    wide.attempt(Retry("503"), "other")
    wide.wait(7200)
    assert wide.standing() == ["connector_failing-other"]
    wide.try_again(THERE)
    wide.wait(30)
    wide.wait(30)
    assert wide.standing() == []
    wide.wait(600)
    assert wide.standing() == ["late-other"]


def test_a_start_is_given_the_time_to_send_what_waited(wide: Rig) -> None:
    """Unless it tried already: a run from cron has no more than that."""
    enqueue(wide.store, alert(severity="critical"), to=("other",), now=wide.now())
    wide.dies_before_events()
    wide.time.pass_(3600)
    wide.restart().review()
    assert wide.standing() == []
    wide.attempt(RateLimited(60.0, "Too many requests."), "other")
    wide.alarms.review()
    assert wide.standing() == ["late-other"]


def test_what_is_told_as_late_is_not_told_by_another_name(wide: Rig) -> None:
    """A pause, a failing connector and a delivery that fails by itself say why themselves."""
    fail_alone(wide)
    wide.fail("pager", severity="critical", id="fails", seconds=1200)
    wide.pause("chat", severity="critical")
    wide.wait(1200)
    assert set(wide.standing()) == {"delivery_failing-other", "connector_failing-pager", "paused-chat"}


def test_who_is_late_is_not_relied_upon(wide: Rig) -> None:
    """A critical alarm that waits there goes another way."""
    wide.use(to=["chat"], connectors=(*TO, "other"))
    fill_disk(wide)
    wide.attempt(RateLimited(60.0, "Too many requests."), "chat")
    wide.wait(601)
    assert len(wide.owed("disk")) == 2
    assert "chat (late)" in told(wide, "disk").description


@pytest.mark.parametrize("severity", Severity)
def test_what_is_owed_to_a_connector_that_is_gone_is_told(rig: Rig, severity: Severity) -> None:
    """As severe as the worst of it, with both ways out; it ends when nothing is left there."""
    rig.orphan("old pager", severity="low")
    rig.deliver()
    rig.orphan("old pager", id="worse", severity=severity.value)
    assert told(rig, "old pager").severity is severity
    assert "`forwarder rename 'old pager' NEW`" in rig.text()
    assert "`forwarder discard --connector 'old pager'`" in rig.text()
    rig.deliver()
    first, second = rows(rig.store, "old pager")
    rig.store.operations.discard([first.id])
    rig.restart().review()
    assert rig.standing() == ["orphaned-old pager"]
    rig.store.operations.discard([second.id])
    rig.alarms.review()
    rig.restart().review()
    assert [kind for name, kind in rig.owed() if name == "chat"].count("withdraw") == 1
    assert rig.standing() == []


def test_a_connector_that_is_named_again_is_gone_no_more(wide: Rig) -> None:
    """Then it gets what waits."""
    wide.fail()
    wide.use(connectors=TO)
    wide.deliver()
    wide.use(connectors=(*TO, "other"))
    assert wide.standing() == []
    assert wide.rows()[-1].why == "The config names it again."


def test_alarms_that_wait_for_a_connector_that_is_gone_raise_none(rig: Rig) -> None:
    """Whom the config names is told of them as well."""
    refuse_key(rig)
    rig.use(to=["pager"], connectors=["pager"])
    assert rig.standing() == ["key_refused"]


# What is worse is told again


def low(number: int, **fields: Any) -> Alert:
    return alert(**{"id": f"low {number}", "title": f"Low {number}", "severity": "low", "cisa_kev": False, **fields})


BAD: Final = {"id": "bad", "title": "The bad one", "severity": "critical", "cisa_kev": True}
WORSE: Final[dict[str, tuple[Callable[[Rig, int], object], Callable[[Rig], object], str]]] = {
    "unrouted": (
        lambda rig, number: rig.poll(low(number)),
        lambda rig: rig.poll(alert(**BAD)),
        "The worst one is The bad one (critical, on CISA KEV).",
    ),
    "gap": (
        lambda rig, number: rig.gap(Severity.LOW, number),
        lambda rig: rig.gap(Severity.CRITICAL),
        "Alerts of severity critical published from 1970-01-01T00:00:00Z to 1970-01-01T00:00:30Z were possibly never"
        " seen: more came at once than the API shows, and nobody was told of those.",
    ),
    "dead_letter-other": (
        lambda rig, number: rig.dead_letter("other", id=f"{number}", title=f"Low {number}", severity="low"),
        lambda rig: rig.dead_letter("other", **BAD),
        "The bad one (critical, on CISA KEV): too long",
    ),
    "set_aside": (
        lambda rig, number: set_aside(rig, f'{{"severity": "low", "number": {number}}}'),
        lambda rig: set_aside(rig, '{"severity": "Critical"}'),
        "What is wrong with it: the alert has no id.",
    ),
}
"""For each trouble with instances that differ: a mild one, a bad one, and what is then said."""


@pytest.mark.parametrize("key", WORSE)
def test_a_worse_instance_behind_a_standing_alarm_is_told_once(wide: Rig, key: str) -> None:
    """As a change for the worse, with what is worse; more of the same is not told, before or after."""
    mild, bad, text = WORSE[key]
    for number in range(2):
        mild(wide, number)
        wide.deliver()
    assert wide.owed() == [("chat", "open"), ("pager", "open")]
    bad(wide)
    wide.alarms.review()
    wide.restart().review()
    mild(wide, 3)
    assert wide.owed() == [("chat", "open"), ("pager", "open"), ("chat", "update"), ("pager", "update")]
    assert wide.text() == text
    (claimed,) = wide.store.outbox.claim("chat", 9, now=wide.now(), lease=60)
    assert claimed.delivery.kind is Kind.UPDATE
    assert claimed.delivery.alert.severity is Severity.CRITICAL
    assert claimed.delivery.alert.description.startswith(text)
    assert got_worse(claimed.delivery.changes)


@pytest.mark.parametrize("key", WORSE)
def test_a_kill_before_the_worse_is_told_is_made_up_for(wide: Rig, key: str) -> None:
    """The next start reads it from the store."""
    mild, bad, _ = WORSE[key]
    mild(wide, 0)
    wide.deliver()
    wide.dies_before_events()
    bad(wide)
    wide.restart().review()
    wide.alarms.review()
    assert wide.owed() == [("chat", "open"), ("pager", "open"), ("chat", "update"), ("pager", "update")]


@pytest.mark.parametrize("key", WORSE)
def test_an_alarm_is_as_severe_as_its_worst_instance(wide: Rig, key: str) -> None:
    """A critical alert that reaches nobody is no small matter; one that was not sent yet tells the worst at once."""
    mild, bad, text = WORSE[key]
    mild(wide, 0)
    bad(wide)
    assert wide.owed() == [("chat", "open"), ("pager", "open")]
    (claimed,) = wide.store.outbox.claim("chat", 9, now=wide.now(), lease=60)
    assert claimed.delivery.alert.severity is Severity.CRITICAL
    assert claimed.delivery.alert.description.startswith(text)


def test_an_exploited_one_behind_one_as_severe_is_worse(rig: Rig) -> None:
    """CISA's list counts by itself."""
    rig.poll(alert(id="1", severity="high", cisa_kev=False))
    rig.deliver()
    rig.poll(alert(id="2", severity="high", cisa_kev=True))
    assert rig.owed("route")[2:] == [("chat", "update"), ("pager", "update")]
    (claimed,) = rig.store.outbox.claim("chat", 9, now=rig.now(), lease=60)
    assert ("cisa_kev", True) in [(change.field, change.new) for change in claimed.delivery.changes]


def test_an_alert_without_a_route_that_gets_worse_is_told(rig: Rig) -> None:
    """Days after it was seen, when its alarm is long over."""
    known = low(1)
    rig.poll(known)
    rig.deliver()
    rig.time.pass_(2 * DAY)
    rig.poll()
    rig.alarms.review()
    rig.deliver()
    assert rig.standing() == []
    worse = low(1, severity="critical", cisa_kev=True)
    rig.listener.polled(rig.store.feed.commit_page([routed(worse, known=known)], now=rig.now()), 0.1)
    assert rig.text() == "The worst one is Low 1 (critical, on CISA KEV)."


def test_after_the_worst_is_gone_the_next_one_as_bad_is_news(rig: Rig) -> None:
    """That it is gone is told to nobody; what is left is what the alarm says."""
    rig.dead_letter(id="1", title="Mild", severity="medium")
    bad = rig.dead_letter(id="2", title="Bad", severity="critical", cisa_kev=False)
    rig.deliver("pager")
    rig.store.operations.discard([bad])
    rig.alarms.review()
    assert rig.text() == "Mild (medium): too long"
    rig.dead_letter(id="3", title="Bad too", severity="critical", cisa_kev=False)
    assert [kind for name, kind in rig.owed("dead letter") if name == "pager"] == ["open", "update"]


def test_one_row_that_is_damaged_silences_no_other_alarm(rig: Rig) -> None:
    """It is told without its name."""
    rig.poll(alert())
    rig.store.engine.write(lambda connection: connection.execute("UPDATE alerts SET body = '[]' WHERE unrouted = 1"))
    rig.restart()
    refuse_key(rig)
    assert set(rig.standing()) == {"unrouted", "key_refused"}


# Who is told


def test_who_is_named_while_it_stands_is_told_once(rig: Rig) -> None:
    """Also where nobody was named when it began, across restarts, and after a person discarded it."""
    rig.use(to=[])
    rig.gap(Severity.LOW)
    assert rig.owed() == []
    rig.use(to=["chat"])
    assert rig.owed() == [("chat", "open")]
    rig.deliver()
    rig.use(to=["pager"])
    rig.restart().review()
    assert rig.owed() == [("chat", "open"), ("pager", "open")]
    rig.store.operations.discard([rig.rows()[-1].id])
    rig.use(to=["chat", "pager"])
    assert rig.owed() == [("chat", "open")]


def test_a_kill_before_those_named_anew_are_told_is_made_up_for(rig: Rig) -> None:
    """The config changed while nothing ran."""
    rig.use(to=[])
    rig.pause("chat")
    rig.config = made(["pager"])
    rig.restart().review()
    rig.alarms.review()
    assert rig.owed() == [("pager", "open")]


def test_a_renamed_connector_is_not_told_again(rig: Rig) -> None:
    """What it was sent under its old name is known."""
    refuse_key(rig)
    rig.deliver()
    rig.store.operations.rename("chat", "talk")
    rig.use(to=["talk", "pager"], connectors=["talk", "pager"])
    assert rig.owed() == [("talk", "open"), ("pager", "open")]


RENAMED: Final = {"to": ["talk", "pager"], "connectors": ["talk", "pager"]}
"""The config once its author has given chat another name."""


def test_a_connector_is_not_told_again_before_its_rename(rig: Rig) -> None:
    """The reload comes first: until then it is taken for the one that left, and it hears of the end all the same."""
    refuse_key(rig)
    rig.deliver()
    rig.use(**RENAMED)
    rig.alarms.review()
    assert rig.owed("key") == [("chat", "open"), ("pager", "open")]
    rig.store.operations.rename("chat", "talk", now=rig.now())
    rig.time.pass_(DAY / 2)
    rig.alarms.review()
    assert rig.owed("key") == [("talk", "open"), ("pager", "open")]
    rig.poll()
    assert rig.owed("key") == [("talk", "open"), ("pager", "open"), ("pager", "withdraw"), ("talk", "withdraw")]


def test_an_end_before_the_rename_is_told_by_it(rig: Rig) -> None:
    """Nobody could be told under the old name, and nobody knew the new one."""
    refuse_key(rig)
    rig.deliver()
    rig.use(**RENAMED)
    rig.poll()
    assert rig.owed() == [("chat", "open"), ("pager", "open"), ("pager", "withdraw")]
    rig.store.operations.rename("chat", "talk", now=rig.now())
    assert ("talk", "withdraw") in rig.owed()
    assert rig.store.operations.rename("chat", "talk", now=rig.now()) == 0


def test_what_got_worse_before_the_rename_is_told_by_it(rig: Rig) -> None:
    """It is an update of the message that stands there."""
    rig.poll(alert(id="1", severity="low", cisa_kev=False))
    rig.deliver()
    rig.use(**RENAMED)
    rig.time.pass_(1)
    rig.poll(alert(id="2", severity="critical"))
    rig.store.operations.rename("chat", "talk", now=rig.now())
    assert [kind for name, kind in rig.owed() if name == "talk"] == ["open", "update"]


def test_who_replaces_a_connector_is_told_once_no_rename_came(rig: Rig) -> None:
    """Five minutes after the reload the old one is taken for gone."""
    refuse_key(rig)
    rig.deliver()
    rig.use(**RENAMED)
    rig.time.pass_(RENAMED_WITHIN + 1)
    rig.alarms.review()
    assert rig.owed() == [("chat", "open"), ("pager", "open"), ("talk", "open")]


def test_a_discarded_alarm_stays_so_under_another_name(rig: Rig) -> None:
    """The rename takes along whom it was told to."""
    refuse_key(rig)
    rig.store.operations.discard([row.id for row in rig.rows() if row.connector == "chat"])
    rig.store.operations.rename("chat", "talk", now=rig.now())
    rig.use(**RENAMED)
    rig.alarms.review()
    assert rig.owed() == [("pager", "open")]


def test_a_paused_connector_s_alarm_goes_to_the_others(rig: Rig) -> None:
    """It would not get there; and all of it is over when the connector works again."""
    rig.pause("chat")
    assert rig.owed() == [("pager", "open")]
    rig.deliver("pager")
    rig.resume("chat")
    assert rig.owed() == [("pager", "open"), ("pager", "withdraw")]


def test_who_could_not_be_told_is_told_when_it_works(rig: Rig) -> None:
    """It is named, and the trouble still stands."""
    rig.pause("chat")
    refuse_key(rig)
    assert rig.owed("key") == [("pager", "open")]
    rig.resume("chat")
    assert rig.owed("key") == [("pager", "open"), ("chat", "open")]


def test_where_nobody_works_all_are_told_when_they_do(rig: Rig) -> None:
    """An alarm is never dropped for want of a way."""
    rig.pause("chat")
    rig.pause("pager")
    refuse_key(rig)
    assert rig.owed("key") == [("chat", "open"), ("pager", "open")]


def test_what_is_not_critical_waits_for_those_who_are_named(rig: Rig) -> None:
    """Nobody else is asked to hear of it."""
    rig.use(to=["chat"])
    rig.pause("chat")
    rig.gap(Severity.HIGH)
    assert rig.owed("seen") == [("chat", "open")]


def told(rig: Rig, about: str) -> Alert:
    """The alarm's alert, as it is now."""
    row = next(row for row in rig.rows() if about in row.title)
    history = rig.store.queries.history(row.alert_id)
    assert history is not None
    return history.row.alert


BREAKS: Final[dict[str, Callable[[Rig], object]]] = {
    "paused": lambda rig: rig.pause("chat"),
    "failing": lambda rig: rig.fail("chat", seconds=61),
}
"""How the one connector that is named does not work."""


@pytest.mark.parametrize("why", BREAKS)
def test_a_critical_alarm_finds_a_way_where_none_of_those_named_works(wide: Rig, why: str) -> None:
    """One way, the one that worked last; it says why it came there, and stays there when another one works since."""
    enqueue(wide.store, alert(id="1"), to=("other",))
    wide.attempt(THERE, "other")
    wide.use(to=["chat"], connectors=(*TO, "other"))
    BREAKS[why](wide)
    fill_disk(wide)
    assert wide.owed("disk") == [("other", "open")]
    assert (
        f"It came to other because no connector that alarms.to names takes it: chat ({why})."
        in told(wide, "disk").description
    )
    wide.deliver("other")
    enqueue(wide.store, alert(id="2"), to=("pager",))
    wide.attempt(THERE, "pager")
    wide.restart().review()
    assert wide.owed("disk") == [("other", "open")]


def test_one_of_those_named_is_told_once_when_it_works_again(wide: Rig) -> None:
    """If the trouble still stands; then the end is told to both, and those named are told no detour."""
    wide.use(to=["chat"], connectors=(*TO, "other"))
    wide.pause("chat")
    fill_disk(wide)
    ((first, _),) = wide.owed("disk")
    wide.deliver(first)
    wide.resume("chat")
    wide.restart().review()
    assert wide.owed("disk") == [(first, "open"), ("chat", "open")]
    assert "It came to" not in told(wide, "disk").description
    wide.deliver("chat")
    wide.free = 2 * FREE_BYTES
    wide.alarms.review()
    assert wide.owed("disk")[2:] == [("chat", "withdraw"), (first, "withdraw")]


def test_a_way_that_breaks_before_it_was_gone_is_left_for_another(wide: Rig) -> None:
    """As for those who are named; what had arrived goes nowhere else."""
    wide.use(to=["chat"], connectors=(*TO, "other"))
    wide.pause("chat")
    fill_disk(wide)
    ((first, _),) = wide.owed("disk")
    wide.pause(first)
    (second,) = {*TO, "other"} - {"chat", first}
    assert wide.owed("disk") == [(first, "open"), (second, "open")]
    wide.deliver(second)
    wide.pause(second)
    wide.alarms.review()
    assert wide.owed("disk") == [(first, "open"), (second, "open")]


def test_who_began_to_fail_before_the_alarm_was_sent_is_not_relied_upon(wide: Rig) -> None:
    """It was owed to a connector that seemed to work: when that has failed for long enough, it goes another way."""
    wide.use(to=["chat"], connectors=(*TO, "other"))
    fill_disk(wide)
    wide.attempt(Retry("503"), "chat")
    assert wide.owed("disk") == [("chat", "open")]
    wide.wait(61)
    assert len(wide.owed("disk")) == 2


def test_what_those_named_refuse_goes_another_way(wide: Rig) -> None:
    """A dead letter told nobody."""
    wide.use(to=["chat"], connectors=(*TO, "other"))
    fill_disk(wide)
    wide.attempt(Rejected("no such channel"), "chat")
    wide.alarms.review()
    assert len(wide.owed("disk")) == 2
    assert "chat (refuses it)" in told(wide, "disk").description


def test_what_becomes_critical_while_nobody_named_works_is_told_another_way(wide: Rig) -> None:
    """That they heard of its beginning is not enough."""
    wide.use(to=["chat"], connectors=(*TO, "other"))
    wide.poll(low(1))
    wide.deliver("chat")
    wide.pause("chat")
    wide.poll(alert(**BAD))
    assert [kind for name, kind in wide.owed("route") if name != "chat"] == ["open"]
    wide.restart().review()
    assert len(wide.owed("route")) == 3


def test_what_is_critical_of_a_connector_goes_by_another_one(rig: Rig) -> None:
    """What is wrong there may keep the alarm from arriving as well."""
    enqueue(rig.store, alert(id="1"), to=("chat",))
    rig.attempt(THERE, "chat")
    rig.use(to=[])
    rig.dead_letter("chat", severity="critical")
    assert rig.owed("dead letter") == [("pager", "open")]
    rig.deliver()
    rig.use(to=[], connectors=["chat"])
    rig.dead_letter("chat", id="2", severity="critical")
    assert len(rig.owed("dead letter")) == 1


def test_a_critical_alarm_goes_somewhere_also_where_nobody_is_named(rig: Rig) -> None:
    """And says what to put right."""
    rig.use(to=[])
    refuse_key(rig)
    rig.alarms.review()
    assert len(rig.owed("key")) == 1
    assert "alarms.to names no connector" in told(rig, "key").description


def give_up(rig: Rig) -> None:
    """Chat takes nothing until the alarm that waits there is given up."""
    rig.attempt(Retry("503"), "chat")
    rig.time.pass_(3601)
    if rig.store.feed.state().key_refused is None:
        rig.store.feed.commit_page([], now=rig.now())
    rig.try_again(Retry("503"), "chat")


def chat(rig: Rig, about: str) -> list[tuple[str, State]]:
    """What chat is or was owed for one alarm: the kind and the state."""
    return [(row.kind, row.state) for row in rig.rows() if row.connector == "chat" and about in row.title]


def test_an_alarm_that_was_given_up_is_told_once_when_its_connector_works(rig: Rig) -> None:
    """For as long as the trouble stands: a dead letter told nobody. It may be there, so it is looked for first."""
    rig.use(to=["chat"])
    rig.gap(Severity.LOW)
    give_up(rig)
    assert chat(rig, "seen") == [("open", State.UNCERTAIN)]
    rig.deliver("chat")
    rig.restart().review()
    assert chat(rig, "seen") == [("open", State.DELIVERED)]


def test_what_was_given_up_waits_while_its_connector_does_not_work(rig: Rig) -> None:
    """It would be given up once more."""
    rig.use(to=["chat"])
    rig.gap(Severity.LOW)
    rig.dies_before_events()
    give_up(rig)
    rig.pause("chat")
    rig.restart().review()
    assert chat(rig, "seen") == [("open", State.DEAD)]
    rig.resume("chat")
    assert chat(rig, "seen") == [("open", State.UNCERTAIN)]


def test_a_way_round_that_was_given_up_is_tried_again(wide: Rig) -> None:
    """Where there is no other one: it may work by now."""
    wide.use(to=["chat"], connectors=["chat", "other"])
    wide.pause("chat")
    fill_disk(wide)
    wide.attempt(Retry("503"), "other")
    wide.time.pass_(3601)
    wide.try_again(Retry("503"), "other")
    wide.deliver("other")
    wide.restart().review()
    assert [(row.connector, row.kind, row.state) for row in wide.rows() if "disk" in row.title] == [
        ("other", "open", State.DELIVERED)
    ]


def test_worse_news_that_was_given_up_is_told_when_its_connector_works(rig: Rig) -> None:
    """Its beginning had arrived, and is not told once more."""
    rig.use(to=["chat"])
    rig.poll(low(1))
    rig.deliver("chat")
    rig.poll(alert(**BAD))
    give_up(rig)
    rig.deliver("chat")
    rig.restart().review()
    assert chat(rig, "route") == [("open", State.DELIVERED), ("update", State.DELIVERED)]


def test_an_alarm_that_was_refused_is_offered_once_a_day(rig: Rig) -> None:
    """What was wrong with it, or with the connector, may be put right since; more often than that is of no use."""
    rig.use(to=["chat"])
    refuse_key(rig)
    rig.attempt(Rejected("no such channel"), "chat")
    rig.wait(DAY - 60)
    assert chat(rig, "key") == [("open", State.DEAD)]
    rig.wait(120)
    assert chat(rig, "key") == [("open", State.READY)]


def test_an_alarm_that_a_person_discarded_is_not_told_again(rig: Rig) -> None:
    """They know of it."""
    rig.use(to=["chat"])
    refuse_key(rig)
    rig.dies_before_events()
    give_up(rig)
    rig.store.operations.discard([row.id for row in rig.rows() if row.connector == "chat"])
    rig.restart().review()
    rig.wait(DAY + 60)
    assert chat(rig, "key") == []


def test_an_alarm_that_is_refused_raises_none(rig: Rig) -> None:
    """Another one would be refused as well, and so on without end."""
    refuse_key(rig)
    rig.attempt(Rejected("no such channel"), "chat")
    rig.alarms.review()
    assert rig.standing() == ["key_refused"]
    assert [row.state for row in rig.rows() if row.connector == "chat"] == [State.DEAD]


def test_an_alarm_for_nobody_is_no_alert_without_a_route(rig: Rig) -> None:
    """It stands on the status page alone."""
    rig.use(to=[])
    rig.gap(Severity.HIGH)
    rig.alarms.review()
    assert rig.standing() == ["gap"]
    assert rig.owed() == []
    assert rig.store.queries.totals()["unrouted"] == 0


def test_a_trouble_that_lasts_is_told_again_after_a_day(rig: Rig) -> None:
    """Once a day, as an update of the first alert, which says for how long."""
    refuse_key(rig)
    rig.deliver()
    for seconds, times in ((DAY - 60, 0), (120, 1), (DAY + 60, 2)):
        rig.time.pass_(seconds)
        rig.alarms.review()
        rig.restart().review()
        assert [kind for name, kind in rig.owed("key") if name == "chat"] == ["open", *["update"] * times]
    first, _ = [row for row in rig.rows() if row.connector == "chat" and row.kind is Kind.UPDATE]
    history = rig.store.queries.history(first.alert_id)
    assert history is not None
    assert [change.new for change in history.revisions[0].changes] == ["1d 1m"]


@pytest.mark.parametrize("kind", HAPPENINGS, ids=value)
@pytest.mark.parametrize("days", [(2,), (-2,), (2, -2), (-2, 2)], ids=str)
def test_a_clock_that_is_set_tells_nothing(wide: Rig, kind: AlarmType, days: tuple[int, ...]) -> None:
    """No trouble is over, or lasts for long, because the clock jumped; from then on each takes its usual time."""
    HAPPENINGS[kind](wide)
    wide.deliver()
    before = wide.owed()
    for step in days:
        wide.set_clock(step * DAY)
        wide.alarms.review()
    assert (wide.owed(), len(wide.standing())) == (before, 1)
    wide.time.pass_(DAY + 60)
    wide.poll()
    wide.alarms.review()
    assert len(wide.owed()) > len(before)


@pytest.mark.parametrize("days", [1, -2])
def test_what_is_long_over_neither_comes_back_nor_moves(rig: Rig, days: int) -> None:
    """What is written down of it is history, unless the new time would make it recent."""
    set_aside(rig)
    rig.deliver()
    rig.time.pass_(5 * DAY)
    rig.poll()
    rig.alarms.review()
    before = [item.seen_at for item in rig.store.queries.set_aside()]
    rig.set_clock(days * DAY)
    rig.alarms.review()
    assert (rig.standing(), [item.seen_at for item in rig.store.queries.set_aside()]) == ([], before)


def test_a_clock_that_is_set_back_brings_nothing_back(rig: Rig) -> None:
    """What ended a while ago did not happen now."""
    set_aside(rig)
    rig.deliver()
    rig.time.pass_(1.5 * DAY)
    rig.poll()
    rig.alarms.review()
    rig.set_clock(-2 * DAY)
    rig.alarms.review()
    assert rig.standing() == []


def test_what_was_noted_by_the_right_clock_stays_when_a_wrong_one_is_set(rig: Rig) -> None:
    """A machine that begins in 1970 puts no trouble of before into a future in which it would never end."""
    set_aside(rig)
    (since,) = [alarm.since for alarm in rig.store.alarms.active()]
    rig.set_clock(-rig.now(), moves=False)
    rig.set_clock(since - rig.now())
    assert [alarm.since for alarm in rig.store.alarms.active()] == [since]
    rig.time.pass_(DAY + 60)
    rig.alarms.review()
    assert rig.standing() == []


def test_a_prune_keeps_the_alert_of_an_alarm_that_stands(rig: Rig) -> None:
    """Its end must still reach those who heard of its beginning."""
    refuse_key(rig)
    rig.deliver()
    rig.time.pass_(30 * DAY)
    rig.store.retention.prune(seen_before=rig.now() - DAY, published_before=rig.now() - DAY)
    rig.poll()
    assert rig.owed("key")[2:] == [("chat", "withdraw"), ("pager", "withdraw")]


def test_what_happens_during_a_review_is_looked_at_after_it(rig: Rig) -> None:
    """Who reports it does not wait, and nothing is left for half a minute."""
    alarms = Alarms(rig.store, rig.config, now=rig.now, wake=lambda _: alarms.store_failed("The disk is full."))
    rig.dies_before_events()
    refuse_key(rig)
    alarms.review()
    assert set(rig.standing()) == {"key_refused", "store_failed"}


# When the database fails


class Failing(Store):
    """A store that takes no writes while ``full``; of ``writes`` it takes that many before it is full."""

    def __init__(self, engine: Engine) -> None:
        self.full, self.writes = False, 10_000
        write = engine.write

        def refusing(work: Callable[..., Any], *, role: str | None = None) -> Any:
            self.writes -= 1
            if self.full or self.writes < 0:
                raise StoreError("The disk is full.")
            return write(work, role=role)

        engine.write = refusing  # type: ignore[method-assign]
        super().__init__(engine)


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[tuple[Rig, Failing]]:
    rig = Rig(tmp_path / "forwarder.db", Failing)
    assert isinstance(rig.store, Failing)
    yield rig, rig.store
    rig.store.close()


def test_a_refused_write_is_told_when_one_is_taken_again(failing: tuple[Rig, Failing]) -> None:
    """Once, for it cannot be written down when it begins."""
    rig, store = failing
    store.full = True
    for _ in range(2):
        rig.alarms.store_failed("The disk is full.")
    assert rig.owed() == []
    store.full = False
    rig.alarms.review()
    rig.restart().review()
    assert rig.owed() == [("chat", "open"), ("pager", "open")]
    assert rig.standing() == ["store_failed"]


@pytest.mark.parametrize("writes", range(6))
def test_wherever_the_writes_end_nothing_is_lost_and_nothing_told_twice(
    failing: tuple[Rig, Failing], writes: int
) -> None:
    """An alarm, what is owed for it, and its end each are one write: there is no half of one."""
    rig, store = failing
    rig.dies_before_events()
    refuse_key(rig)
    rig.poll(low(1), gaps=[Gap(severity=Severity.LOW, since=0.0, until=30.0)])
    refuse_key(rig)
    alarms = rig.restart()
    store.writes = writes
    alarms.review()
    store.writes = 10_000
    rig.restart().review()
    rig.alarms.review()
    opens = [(row.title, row.connector) for row in rig.rows()]
    assert len(opens) == len(set(opens)) == 6
    rig.deliver()
    rig.poll(alert(**BAD))
    rig.deliver()
    rig.dies_before_events()
    rig.poll()
    alarms = rig.restart()
    store.writes = writes
    alarms.review()
    store.writes = 10_000
    rig.restart().review()
    told = [(row.title, row.connector, row.kind) for row in rig.rows()]
    assert len(told) == len(set(told))
    assert [kind for name, kind in rig.owed("key") if name == "chat"] == ["open", "withdraw"]


def test_what_is_no_alert_is_told_by_what_it_says(rig: Rig) -> None:
    """A critical without an id is a critical alarm, with its CVE, title and severity."""
    item = {"cve_id": "CVE-2026-1", "title": "Login bypass", "severity": "CRITICAL", "cisa_kev": True}
    rig.poll(set_aside=[SetAside.of(item, "cut", "d", "the alert has no id")])
    rig.alarms.review()
    assert rig.text().startswith("What can be read of it: CVE-2026-1, Login bypass, critical, on CISA KEV.")
    (told,) = rig.store.queries.alerts(Filter(origin=Origin.ALARM))
    assert told.alert.severity is Severity.CRITICAL


@pytest.mark.parametrize("writes", range(5))
def test_wherever_the_writes_end_a_detour_is_told_once(failing: tuple[Rig, Failing], writes: int) -> None:
    """Also where it becomes critical only then: what is worse, and whom else it is owed to, are two writes."""
    rig, store = failing
    rig.use(to=["chat"], connectors=(*TO, "other", "fourth"))
    rig.poll(low(1))
    rig.deliver("chat")
    rig.pause("chat")
    rig.dies_before_events()
    rig.poll(alert(**BAD))
    alarms = rig.restart()
    store.writes = writes
    alarms.review()
    store.writes = 10_000
    rig.restart().review()
    rig.alarms.review()
    told = [(row.connector, row.kind, row.revision) for row in rig.rows() if "route" in row.title]
    assert len(told) == len(set(told)) == 3
    assert [kind for name, kind, _ in told if name == "chat"] == ["open", "update"]
    assert [kind for name, kind, _ in told if name != "chat"] == ["open"]
