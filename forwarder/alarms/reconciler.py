"""Makes what people are told follow from what is found.

At every review what is found is compared with what stands in the store, and what stands begins, gets worse or ends by
that alone. People are notified when it begins, when a worse instance comes, again after a day, and when it ends; more
of the same sends nothing.
"""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from forwarder.alarms.facts import Facts, Finding
from forwarder.alarms.feeds import bad_feeds
from forwarder.alarms.findings import DAY, findings
from forwarder.alarms.types import OF_CONNECTORS, AlarmType
from forwarder.alert import Alert, Change, Severity
from forwarder.common.clock import Now, instant, iso
from forwarder.config import Config
from forwarder.connector import format_duration
from forwarder.events import AttemptFinished, Listener
from forwarder.logs import get_logger
from forwarder.replicas.roles import UPKEEP
from forwarder.store import LeaseLost, Store, StoreError
from forwarder.store.alarm_records import Alarm
from forwarder.store.records import PollResult, State

if TYPE_CHECKING:
    from forwarder.feed.client import SentrytexError

log = get_logger(__name__)

ENDINGS: Final = {
    AlarmType.KEY_REFUSED: "The key is accepted.",
    AlarmType.FEED_UNREAD: "The feed is read again.",
    AlarmType.SWEEP_SHORT: "Sweeps reach all of look_back again.",
    AlarmType.SWEEP_OVERDUE: "The feed is swept again.",
    AlarmType.PAUSED: "It accepts deliveries again.",
    AlarmType.DELIVERY_FAILING: "It is not tried any more: it arrived, or is a dead letter.",
    AlarmType.LATE: "It arrived, is owed no more, or another alarm says why it does not arrive.",
    AlarmType.ORPHANED: "Nothing is owed under that name any more.",
    AlarmType.DEAD_LETTER: "There are no dead letters any more.",
    AlarmType.RELOAD_REFUSED: "A config was taken since.",
    AlarmType.ROLE_UNHELD: "A replica has it again, or no config names it any more.",
}
"""Why an alarm ended, for people."""

RENAMED_WITHIN: Final = 300.0
"""Seconds after a reload with other connectors for which a ``forwarder rename`` is waited for."""


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Alarms(Listener):
    """Finds the forwarder's own troubles and owes them to those connectors of ``alarms.to`` that work.

    It is a listener only to look at once: an event itself begins and ends nothing. Where another replica ``holds`` the
    alarms, that one is asked to look, by ``pass_on``. ``unheld`` tells for how long nobody has had which roles.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        now: Now,
        wake: Callable[[Iterable[str]], None] = lambda _: None,
        free_bytes: Callable[[Path], int] = _free_bytes,
        holds: Callable[[], bool] = lambda: True,
        pass_on: Callable[[], None] = lambda: None,
        unheld: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._config, self._now, self._wake, self._free_bytes = config, now, wake, free_bytes
        self._shared, self._store = store, store.acting_as(UPKEEP)
        self._holds, self._pass_on, self._unheld = holds, pass_on, unheld
        self.started_at = now()
        self._renamed_until = -math.inf
        self._reviewing = threading.Lock()
        self._asked = threading.Event()
        self._bad_feeds: frozenset[str] | None = None
        """Accounts whose feeds were found not to be read; None before the first review."""
        self._began: dict[str, float] = {}
        self._fails = frozenset[str]()
        self._refused: str | None = None
        self._logged: set[str] = set()

    def use(self, config: Config) -> None:
        """Goes by another config from now on."""
        if config.connectors.keys() != self._config.connectors.keys():
            self._renamed_until = self._now() + RENAMED_WITHIN
        new = config.sentrytex.keys.keys() - self._config.sentrytex.keys.keys()
        self._began |= dict.fromkeys(new, self._now())
        self._config = config

    def shift_deadlines(self, seconds: float) -> None:
        """Moves what is kept in memory of times along with a clock that was set."""
        self.started_at += seconds
        self._renamed_until += seconds
        self._began = {account: began + seconds for account, began in self._began.items()}

    def review(self) -> None:
        """Looks for what began, got worse, lasts or ended; what the store does not take is left to the next time."""
        with self._reviewing:
            self._review()
        if self._asked.is_set():
            self._ask()

    # What a listener hears

    def polled(self, result: PollResult, seconds: float) -> None:  # noqa: ARG002
        # Most polls bring nothing, and there may be one a second.
        was_bad = self._bad_feeds is None or result.account in self._bad_feeds
        if was_bad or result.gaps or result.set_aside or result.unrouted or result.changed:
            self._ask()

    def poll_failed(self, error: SentrytexError, seconds: float) -> None:  # noqa: ARG002
        self._ask()
        if not self._holds():
            # Which of them was bad is known where the alarms are: the next one that is read lets that one look.
            self._bad_feeds = None

    def sweep_failed(self, error: SentrytexError) -> None:  # noqa: ARG002
        self._ask()

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        settlement = attempt.settlement
        mended = attempt.connector in self._fails and settlement.answers
        if attempt.paused or attempt.resumed or mended or settlement.state is State.DEAD:
            self._ask()

    def store_failed(self, reason: str) -> None:
        self._refused = reason
        self._ask()

    def template_failed(self, connector: str, reason: str) -> None:
        try:
            self._shared.alarms.failed(AlarmType.TEMPLATE_FAILED.value, connector, reason, now=self._now())
        except StoreError as error:
            self._refused = str(error)
        self._ask()

    def reloaded(self, *, ok: bool) -> None:  # noqa: ARG002
        self._ask()

    def _ask(self) -> None:
        """Reviews now, or lets the thread that does so look once more: nobody waits for another one's review."""
        self._asked.set()
        while self._asked.is_set() and self._reviewing.acquire(blocking=False):
            try:
                self._review()
            except Exception:
                # A worker or a poll that only reports what it did must not end by that.
                log.exception("review_failed")
            finally:
                self._reviewing.release()

    # What follows from it

    def _review(self) -> None:
        self._asked.clear()
        try:
            if not self._holds():
                # Only what this process knows is its own to write down.
                self._bad_feeds = frozenset()
                self._note_refusal()
                self._pass_on()
                return
            facts = self._facts()
            found = {finding.key: finding for finding in findings(facts)}
            standing = {alarm.key: alarm for alarm in facts.standing}
            self._bad_feeds = bad_feeds(facts)
            self._fails = frozenset(one.subject for one in found.values() if one.type is AlarmType.CONNECTOR_FAILING)
            self._log_new(found, standing)
            self._note_refusal()
            self._reconcile(found, standing, facts)
        except LeaseLost:
            self._pass_on()
        except StoreError as error:
            log.warning("alarms_not_kept", reason=str(error))

    def _facts(self) -> Facts:
        now, place = self._now(), self._store.engine.place
        folder = place.parent if isinstance(place, Path) else None
        return Facts(
            now=now,
            started_at=self.started_at,
            config=self._config,
            feeds=self._store.accounts.feeds(self._config.sentrytex.keys),
            began=self._began,
            symptoms=self._store.alarms.symptoms(now - DAY, now=now, configured=self._config.connectors),
            standing=self._store.alarms.active(),
            free=None if folder is None else self._free_bytes(folder),
            place=str(folder or place),
            refused=self._refused,
            unheld=self._unheld(),
        )

    def _log_new(self, found: Mapping[str, Finding], standing: Mapping[str, Alarm]) -> None:
        """Logs what begins, once: the log has it also where the store takes nothing."""
        for key in found.keys() - standing.keys() - self._logged:
            log.error("alarm", alarm=found[key].type.value, subject=found[key].subject, reason=found[key].text)
        self._logged = set(found) - standing.keys()

    def _note_refusal(self) -> None:
        """Notes in the store, as soon as it takes writes, that it took none."""
        refused = self._refused
        if refused is not None:
            self._shared.alarms.failed(AlarmType.STORE_FAILED.value, "", refused, now=self._now())
            # What was refused meanwhile says no more than this.
            self._refused = None

    def _reconcile(self, found: Mapping[str, Finding], standing: Mapping[str, Alarm], facts: Facts) -> None:
        for key, alarm in standing.items():
            if key not in found:
                self._end(alarm, facts)
        # What is worst is owed first.
        for finding in sorted(found.values(), key=lambda finding: finding.alarm_severity.rank):
            if finding.key in standing:
                self._go_on(standing[finding.key], finding, facts)
            else:
                self._begin(finding, facts)

    def _begin(self, finding: Finding, facts: Facts) -> None:
        now = self._now()
        recipients = self._recipients(finding, facts)
        alarm = Alarm(
            key=finding.key,
            type=finding.type.value,
            subject=finding.subject,
            text=finding.text,
            alert_id=self._store.alarms.unused_alert_id(finding.key, now),
            since=now,
            notified_at=now,
            last_at=now if finding.last_at is None else finding.last_at,
            severity=finding.severity,
            kev=finding.kev,
            instance=finding.instance,
            notified=recipients,
        )
        self._store.alarms.begin(alarm, _as_alert(alarm, finding, _detour(recipients, facts)))
        self._wake(recipients)

    def _go_on(self, alarm: Alarm, finding: Finding, facts: Facts) -> None:
        changes = finding.changes_from(alarm)
        recipients = self._recipients(finding, facts, alarm)
        to = [*facts.config.alarms.to, *(name for name in recipients if name not in facts.config.alarms.to)]
        alarm = self._revise(alarm, finding, changes, to, _detour(recipients, facts))
        if changes:
            # What was owed by that may have to go another way.
            recipients = self._recipients(finding, facts, alarm)
        if lasts := not changes and not finding.type.passes and self._now() - alarm.notified_at > DAY:
            lasting = Change(field="lasting", old=None, new=format_duration(self._now() - alarm.since))
            self._store.alarms.remind(alarm, lasting, to=to, now=self._now())
            self._wake(to)
        self._tell_again(alarm, finding, recipients, facts, refused=lasts)
        further = [name for name in recipients if name not in alarm.notified]
        if further and not self._may_be_renamed(alarm):
            alert = _as_alert(alarm, finding, _detour(recipients, facts))
            self._store.alarms.notify(alarm, further, alert=alert, now=self._now())
            self._wake(further)

    def _may_be_renamed(self, alarm: Alarm) -> bool:
        """Whether one who heard of it left the config just now: until a rename may come, it may be told there twice."""
        if self._now() > self._renamed_until:
            return False
        sent = self._store.alarms.sent(alarm)
        return any(name not in self._config.connectors and state is not State.DEAD for name, state in sent.items())

    def _tell_again(
        self, alarm: Alarm, finding: Finding, recipients: Collection[str], facts: Facts, *, refused: bool
    ) -> None:
        """Owes it once more to those who work, and to whom it was given up before; once a day to who refused it."""
        untold = self._store.alarms.untold(alarm, refused=refused)
        again = {name: untold[name] for name in recipients if name in untold and name not in facts.broken}
        if again:
            form = _as_alert(alarm, finding, _detour(again, facts))
            self._store.alarms.tell_again(alarm, again.values(), alert=form, now=self._now())
            self._wake(again)

    def _revise(
        self, alarm: Alarm, finding: Finding, changes: tuple[Change, ...], to: Collection[str], detour: str
    ) -> Alarm:
        """The alarm as it is now. Where its worst instance is gone, the next one as bad is news again."""
        same = (finding.severity, finding.kev, finding.instance) == (alarm.severity, alarm.kev, alarm.instance)
        last_at = alarm.last_at if finding.last_at is None else finding.last_at
        if same and last_at == alarm.last_at:
            return alarm
        alarm = replace(
            alarm,
            text=alarm.text if same else finding.text,
            severity=finding.severity,
            kev=finding.kev,
            instance=finding.instance,
            last_at=last_at,
        )
        if changes:
            log.error("alarm_worse", alarm=alarm.type, subject=alarm.subject, reason=alarm.text)
        form = _as_alert(alarm, finding, detour)
        self._store.alarms.revise(alarm, form, changes=changes, to=to, now=self._now())
        if changes:
            self._wake(to)
        return replace(alarm, notified_at=self._now()) if changes else alarm

    def _recipients(self, finding: Finding, facts: Facts, alarm: Alarm | None = None) -> list[str]:
        """Those of ``alarms.to`` that work, and all of them where none does, for then it waits until one does.

        What is critical does not wait: where none of them works, or takes it, it goes to one connector that does.
        """
        to, broken = facts.config.alarms.to, facts.broken
        works = [name for name in to if name not in broken]
        if finding.alarm_severity is not Severity.CRITICAL:
            return works or list(to)
        sent = {} if alarm is None else self._store.alarms.sent(alarm)
        if any(sent.get(name) is not State.DEAD for name in works):
            return works
        # Not the one that it is about: what is wrong there may well keep this from arriving, too.
        unfit = {*to, *broken, finding.subject}
        others = [name for name in facts.config.connectors if name not in unfit]
        # Whom it went to stays the one: another one, which has delivered since, would only tell it twice.
        known = [name for name in others if sent.get(name, State.DEAD) is not State.DEAD]
        if known or any(state is State.DELIVERED for state in sent.values()):
            return [*works, *known]
        given_up = () if alarm is None else self._store.alarms.untold(alarm, refused=False)
        untried = [name for name in others if name not in sent or name in given_up]
        latest = sorted(untried, key=self._store.outbox.answered_at, reverse=True)[:1]
        return [*works, *latest] or list(to)

    def _end(self, alarm: Alarm, facts: Facts) -> None:
        why = self._why_over(alarm, facts)
        log.info("alarm_ended", alarm=alarm.type, subject=alarm.subject, reason=why)
        self._wake(self._store.alarms.end(alarm, why=why, among=self._config.connectors, now=self._now()))

    def _why_over(self, alarm: Alarm, facts: Facts) -> str:
        kind = next((kind for kind in AlarmType if kind.value == alarm.type), None)
        if kind is None:
            return "It is over."
        if kind is AlarmType.ORPHANED and alarm.subject in self._config.connectors:
            return "The config names it again."
        if kind in OF_CONNECTORS and alarm.subject not in self._config.connectors:
            return "It is no longer in the config."
        if kind.passes and self._now() - alarm.last_at > DAY:
            return "It did not happen again for a day."
        if kind is AlarmType.CONNECTOR_FAILING:
            return self._why_it_fails_no_more(alarm, facts)
        return ENDINGS.get(kind, "It is over.")

    def _why_it_fails_no_more(self, alarm: Alarm, facts: Facts) -> str:
        if alarm.subject in facts.broken:
            return "It is paused now: another alarm says why."
        if self._store.outbox.answered_at(alarm.subject) >= alarm.last_at:
            return "Deliveries arrive there again."
        return "What failed is no longer owed to it."


def _detour(recipients: Collection[str], facts: Facts) -> str:
    """Why an alarm goes to a connector that was not asked to be told; empty where it goes to none."""
    to, broken = facts.config.alarms.to, facts.broken
    others = [name for name in recipients if name not in to]
    if not others:
        return ""
    if not to:
        return f"It came to {others[0]} because alarms.to names no connector: name two of different services there."
    why = ", ".join(f"{name} ({broken.get(name, 'refuses it')})" for name in to)
    return f"It came to {others[0]} because no connector that alarms.to names takes it: {why}."


def _as_alert(alarm: Alarm, finding: Finding, detour: str = "") -> Alert:
    """The alert by which people hear of it."""
    parts = (alarm.text, finding.remedy, detour)
    return Alert.parse(
        {
            "id": alarm.alert_id,
            "title": finding.title,
            "description": "\n\n".join(part for part in parts if part),
            "severity": finding.alarm_severity.value,
            "published_at": iso(alarm.since),
            "alert_type": "forwarder_alarm",
        },
        # A machine whose clock says 1970 has troubles, too.
        seen_at=instant(alarm.since),
    )
