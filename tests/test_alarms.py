"""The forwarder's own troubles: told when they begin, again after a day, and when they end, and never in between."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from forwarder.alarms import DAY, FREE_BYTES, Alarms, AlarmType
from forwarder.alert import SetAside, Severity
from forwarder.config import Config
from forwarder.connector import Broken, Delivered, Receipt, Rejected, Retry
from forwarder.delivery.transitions import Context, settle
from forwarder.events import AttemptFinished
from forwarder.feed.client import KeyRefused, Unavailable
from forwarder.store import Store, StoreError
from forwarder.store.alarms import AlarmStore
from forwarder.store.engine import Engine
from forwarder.store.feed import FeedStore
from forwarder.store.outbox import Outbox
from forwarder.store.records import Alarm, DeliveryRow, Gap, PollResult
from tests.kit.core import Time, enqueue, rows
from tests.kit.samples import alert

TO = ("chat", "pager")


class Rig:
    """A real store with the alarms of it, and a steerable time."""

    def __init__(self, path: Path, kind: type[Store] = Store) -> None:
        self.path, self.time, self.woken = path, Time(), list[str]()
        self.now = self.time.clock()
        self.store = kind.open_exclusive(path)
        self.alarms = self.restarted()

    def restarted(self, to: Collection[str] = TO) -> Alarms:
        """The alarms of another process on the same database."""
        return Alarms(self.store, list(to), now=self.now, wake=self.woken.extend)

    def told(self) -> list[tuple[str, str, str]]:
        """What is owed for alarms: connector, kind, title."""
        return [(row.connector, row.kind, row.title) for row in self.rows()]

    def rows(self) -> list[DeliveryRow]:
        return [row for row in rows(self.store) if row.origin == "alarm"]

    def review(self, **config: Any) -> None:
        self.alarms.review(made(**config), self.path)

    def attempt(self, outcome: Any, *, paused: bool = False, resumed: bool = False) -> None:
        """One attempt of one delivery to the connector ``chat``, as the dispatcher tells it."""
        (claimed,) = self.store.outbox.claim("chat", 1, now=self.now(), lease=60)
        settlement = settle(claimed, outcome, None, self.circumstances())
        assert self.store.outbox.settle(claimed, settlement, now=self.now(), seconds=0.1)
        attempt_finished = AttemptFinished(
            connector="chat", claimed=claimed, settlement=settlement, seconds=0.1, paused=paused, resumed=resumed
        )
        self.alarms.attempt_finished(attempt_finished)

    def circumstances(self) -> Context:
        return Context(now=self.now(), random=lambda: 1.0, reconcile_after=(), give_up_after=3600.0)


def made(**sentrytex: Any) -> Config:
    """A config with the connectors that the alarms are told through."""
    from connectors.console import ConsoleConfig

    console = ConsoleConfig(type="console")
    return Config.model_validate(
        {
            "sentrytex": {"api_key": "vk_not-a-real-key", **sentrytex},
            "connectors": dict.fromkeys(TO, console),
            "routes": [{"to": list(TO)}],
            "alarms": {"to": list(TO)},
        }
    )


def turn(**found: Any) -> PollResult:
    return PollResult(**found, read=1)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "forwarder.db")
    yield rig
    rig.store.close()


@pytest.mark.parametrize("kind", list(AlarmType), ids=lambda kind: kind.value)
def test_each_trouble_is_told_once_to_all_who_are_named(rig: Rig, kind: AlarmType) -> None:
    """It has a title, what happened, and what to do about it; a repetition tells nothing."""
    for number in range(3):
        rig.alarms.begin(kind, f"reason {number}", "chat")
    title = kind.title_template.format(subject="chat")
    assert rig.told() == [("chat", "open", title), ("pager", "open", title)]
    (told, _) = rig.rows()
    history = rig.store.queries.history(told.alert_id)
    assert history is not None
    assert history.row.alert.description == f"reason 0\n\n{kind.remedy}"
    assert history.row.alert.severity is kind.severity
    assert set(rig.woken) == set(TO)
    assert len(rig.store.alarms.active()) == 1


def test_what_nobody_was_told_yet_is_taken_back_silently(rig: Rig) -> None:
    """A trouble that ends before its alarm went out disturbs nobody."""
    rig.alarms.begin(AlarmType.FEED_UNREAD, "no answer")
    rig.alarms.end(AlarmType.FEED_UNREAD)
    assert rig.told() == []


def test_the_end_is_told_once_to_those_who_heard_of_the_beginning(rig: Rig) -> None:
    """What was delivered is withdrawn, which resolves an incident."""
    rig.alarms.begin(AlarmType.FEED_UNREAD, "no answer")
    deliver(rig, "chat")
    rig.alarms.end(AlarmType.FEED_UNREAD)
    rig.alarms.end(AlarmType.FEED_UNREAD)
    assert [(name, kind) for name, kind, _ in rig.told()] == [("chat", "open"), ("chat", "withdraw")]
    assert rig.store.alarms.active() == []


def deliver(rig: Rig, connector: str) -> None:
    """The connector takes all that it is owed."""
    for claimed in rig.store.outbox.claim(connector, 9, now=rig.now(), lease=60):
        settlement = settle(claimed, Delivered(Receipt(remote_id="there")), {}, rig.circumstances())
        rig.store.outbox.settle(claimed, settlement, now=rig.now(), seconds=0.1)


def test_a_trouble_that_lasts_is_told_again_after_a_day(rig: Rig) -> None:
    """Once a day, as an update of the first alert, which says for how long."""
    rig.alarms.begin(AlarmType.KEY_REFUSED, "401")
    deliver(rig, "chat")
    rig.time.pass_(DAY - 60)
    rig.review(poll_every="1d")
    assert [kind for name, kind, _ in rig.told() if name == "chat"] == ["open"]
    rig.time.pass_(120)
    rig.review(poll_every="1d")
    rig.review(poll_every="1d")
    assert [kind for name, kind, _ in rig.told() if name == "chat"] == ["open", "update"]
    (claimed,) = rig.store.outbox.claim("chat", 9, now=rig.now(), lease=60)
    assert [change.new for change in claimed.delivery.changes] == ["1d 1m"]


def test_what_passes_ends_after_a_day_without_it(rig: Rig) -> None:
    """A repetition puts the end off; it is not told again meanwhile."""
    rig.alarms.begin(AlarmType.UNROUTED, "a first one")
    deliver(rig, "chat")
    rig.time.pass_(DAY - 60)
    rig.alarms.begin(AlarmType.UNROUTED, "a second one")
    rig.time.pass_(120)
    rig.review(poll_every="1d")
    assert "unrouted" in {alarm.type for alarm in rig.store.alarms.active()}
    rig.time.pass_(DAY)
    rig.review(poll_every="1d")
    assert "unrouted" not in {alarm.type for alarm in rig.store.alarms.active()}
    assert [kind for name, kind, title in rig.told() if name == "chat" and "route" in title] == ["open", "withdraw"]


def test_a_restart_neither_repeats_nor_forgets(rig: Rig) -> None:
    """What goes on stands in the database, and ends from there."""
    rig.alarms.begin(AlarmType.KEY_REFUSED, "401")
    deliver(rig, "chat")
    other = rig.restarted()
    other.begin(AlarmType.KEY_REFUSED, "401")
    assert [kind for name, kind, _ in rig.told() if name == "chat"] == ["open"]
    other.polled(turn(), 0.1)
    assert [kind for name, kind, _ in rig.told() if name == "chat"] == ["open", "withdraw"]


# What begins it, and what ends it


def test_a_refused_key_is_told_until_a_poll_succeeds(rig: Rig) -> None:
    """Other failures of a poll wait for the review."""
    rig.alarms.poll_failed(Unavailable("503"), 0.1)
    assert rig.store.alarms.active() == []
    rig.alarms.poll_failed(KeyRefused("401"), 0.1)
    rig.alarms.poll_failed(KeyRefused("401"), 0.1)
    assert [alarm.type for alarm in rig.store.alarms.active()] == ["key_refused"]
    rig.alarms.polled(turn(), 0.1)
    assert rig.store.alarms.active() == []


def test_a_feed_that_stays_unread_is_told_after_ten_minutes(rig: Rig) -> None:
    """With the reason of the last poll; a complete poll ends it."""
    rig.store.feed.commit_page([], now=rig.now())
    rig.store.feed.poll_failed("The Sentrytex API did not answer in time.")
    rig.time.pass_(590)
    rig.review()
    assert rig.store.alarms.active() == []
    rig.time.pass_(20)
    rig.review()
    (alarm,) = rig.store.alarms.active()
    assert alarm.text == "The last complete poll was 10m 10s ago. The Sentrytex API did not answer in time."
    rig.alarms.polled(turn(), 0.1)
    assert rig.store.alarms.active() == []


def test_rare_polls_are_given_their_time(rig: Rig) -> None:
    """Three of them must be missing before people are told."""
    rig.store.feed.commit_page([], now=rig.now())
    rig.time.pass_(2.9 * 3600)
    rig.review(poll_every="1h")
    assert rig.store.alarms.active() == []
    rig.time.pass_(0.2 * 3600)
    rig.review(poll_every="1h")
    assert [alarm.type for alarm in rig.store.alarms.active()] == ["feed_unread"]


def test_what_a_poll_found_is_told(rig: Rig) -> None:
    """Gaps, texts that are no alert and alerts without a route each have their alarm, however many there are."""
    gaps = [Gap(severity=severity, since=0.0, until=60.0) for severity in Severity]
    found = {
        "gaps": gaps,
        "set_aside": [SetAside(digest="d", raw="{}", reason="it has no id")] * 3,
        "unrouted": [alert(id="1"), alert(id="2")],
    }
    rig.alarms.polled(turn(**found), 0.1)
    assert {alarm.type for alarm in rig.store.alarms.active()} == {"gap", "set_aside", "unrouted"}
    texts = {alarm.type: alarm.text for alarm in rig.store.alarms.active()}
    assert texts["gap"].startswith("Alerts of severity critical published from 1970-01-01T00:00:00Z")


def test_a_paused_connector_s_alarm_goes_to_the_others(rig: Rig) -> None:
    """It would not get there; and all of it is over when the connector works again."""
    enqueue(rig.store, alert(), to=("chat",))
    rig.attempt(Broken("the token was revoked"), paused=True)
    assert rig.told() == [("pager", "open", "chat is not accepting deliveries")]
    deliver(rig, "pager")
    rig.attempt(Rejected("but it answers"), resumed=True)
    assert [(name, kind) for name, kind, title in rig.told() if "not accepting" in title] == [
        ("pager", "open"),
        ("pager", "withdraw"),
    ]


def test_where_nobody_works_all_are_told_when_they_do(rig: Rig) -> None:
    """An alarm is never dropped for want of a way."""
    enqueue(rig.store, alert(), to=("chat",))
    rig.attempt(Broken("revoked"))
    rig.alarms.notify(["chat"])
    rig.alarms.begin(AlarmType.KEY_REFUSED, "401")
    assert [name for name, _, _ in rig.told()] == ["chat"]


@pytest.mark.parametrize("ending", ["resumed", "removed"])
def test_a_pause_ends_when_it_works_again_or_is_gone(rig: Rig, ending: str) -> None:
    """Also where the connector was taken out of the config: nobody could end it otherwise."""
    subject = "chat" if ending == "resumed" else "removed"
    rig.alarms.begin(AlarmType.PAUSED, "revoked", subject)
    rig.review()
    assert [alarm for alarm in rig.store.alarms.active() if alarm.type == "paused"] == []


def test_a_dead_letter_is_told_until_there_is_none(rig: Rig) -> None:
    """Further ones of the same connector tell nothing more."""
    enqueue(rig.store, alert(id="1", title="One"), alert(id="2", title="Two"), to=("chat",))
    rig.attempt(Rejected("too long"))
    rig.attempt(Rejected("too long"))
    (alarm,) = rig.store.alarms.active()
    assert (alarm.type, alarm.subject, alarm.text) == ("dead_letter", "chat", "One: too long")
    rig.review()
    assert len(rig.store.alarms.active()) == 1
    rig.store.operations.discard([row.id for row in rows(rig.store, "chat")])
    rig.review()
    assert rig.store.alarms.active() == []


def test_a_delivery_that_is_tried_again_is_no_alarm(rig: Rig) -> None:
    """Failures that pass disturb nobody."""
    enqueue(rig.store, alert(), to=("chat",))
    rig.attempt(Retry("503"))
    assert rig.store.alarms.active() == []


def test_a_disk_that_fills_up_is_told(rig: Rig) -> None:
    """The limit lies far above what a commit needs; and there is room where the tests run."""
    assert shutil.disk_usage(rig.path.parent).free > FREE_BYTES
    rig.alarms.begin(AlarmType.DISK_FULL, "1 MiB is free")
    rig.review()
    assert rig.store.alarms.active() == []


# When the database fails


class Failing(Store):
    """A store of which one method fails while the test says so."""

    fails = ""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        may_fail = self._may_fail

        class Alarms(AlarmStore):
            def begin(self, alarm: Alarm) -> None:
                may_fail("begin")
                super().begin(alarm)

            def end(self, key: str) -> None:
                may_fail("end")
                super().end(key)

        class Feed(FeedStore):
            def commit_page(self, *args: Any, **more: Any) -> PollResult:
                may_fail("commit_page")
                return super().commit_page(*args, **more)

        class Deliveries(Outbox):
            def withdraw(self, *args: Any, **more: Any) -> frozenset[str]:
                may_fail("withdraw")
                return super().withdraw(*args, **more)

        self.alarms, self.feed, self.outbox = Alarms(engine), Feed(engine), Deliveries(engine)

    def _may_fail(self, method: str) -> None:
        if method == self.fails:
            raise StoreError("The disk is full.")


@pytest.mark.parametrize("fails", ["begin", "commit_page"])
def test_an_alarm_that_was_not_kept_is_told_later_and_once(tmp_path: Path, fails: str) -> None:
    """Above all the one about the database itself, which cannot be kept when it begins."""
    rig = Rig(tmp_path / "forwarder.db", Failing)
    assert isinstance(rig.store, Failing)
    rig.store.fails = fails
    rig.alarms.store_failed("the disk is full")
    rig.alarms.store_failed("the disk is full")
    rig.time.pass_(30)
    rig.store.fails = ""
    rig.review()
    rig.review()
    assert [name for name, _, _ in rig.told()] == list(TO)
    assert [alarm.type for alarm in rig.store.alarms.active()] == ["store_failed"]
    rig.store.close()


def test_a_trouble_that_ended_before_it_was_kept_is_not_told(tmp_path: Path) -> None:
    """It would be news of the past."""
    rig = Rig(tmp_path / "forwarder.db", Failing)
    assert isinstance(rig.store, Failing)
    rig.store.fails = "commit_page"
    rig.alarms.begin(AlarmType.FEED_UNREAD, "no answer")
    rig.store.fails = ""
    rig.alarms.end(AlarmType.FEED_UNREAD)
    rig.review()
    assert rig.told() == []
    rig.store.close()


@pytest.mark.parametrize("fails", ["end", "withdraw"])
def test_an_end_that_was_not_kept_is_told_the_next_time(tmp_path: Path, fails: str) -> None:
    """No incident stays open because the database failed for a moment."""
    rig = Rig(tmp_path / "forwarder.db", Failing)
    assert isinstance(rig.store, Failing)
    rig.alarms.begin(AlarmType.KEY_REFUSED, "401")
    deliver(rig, "pager")
    rig.store.fails = fails
    rig.alarms.polled(turn(), 0.1)
    rig.store.fails = ""
    rig.alarms.polled(turn(), 0.1)
    assert [kind for name, kind, _ in rig.told() if name == "pager"] == ["open", "withdraw"]
    assert rig.store.alarms.active() == []
    rig.store.close()
