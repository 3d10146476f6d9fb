"""How alerts stand at the three services, held against what the store keeps of their lives."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.jira.markup import plain
from connectors.pagerduty.incident_log import OVERLAP, Cursor
from connectors.slack.buttons import MEANINGS
from connectors.slack.sending import CHANGE_EVENT
from forwarder.response import FEED, FORWARDER, Action, Response, Status
from forwarder.sandbox.jira_accounts import BOT
from forwarder.store.query_records import Filter
from forwarder.ticket import LABEL
from tests.torture.people import PAGERDUTY, SLACK, Kept, Stage, Story, outcomes
from tests.torture.world import Tally, World

_BUTTONS: Final = {
    Status.OPEN: {"sentrytex_acknowledge", "sentrytex_resolve_done", "sentrytex_resolve_not_affected"},
    Status.ACKNOWLEDGED: {"sentrytex_resolve_done", "sentrytex_resolve_not_affected", "sentrytex_reopen"},
    Status.RESOLVED: {"sentrytex_reopen"},
}
_INCIDENTS: Final = {
    # No event takes an acknowledgement back.
    Status.OPEN: {"triggered", "acknowledged"},
    Status.ACKNOWLEDGED: {"acknowledged"},
    Status.RESOLVED: {"resolved"},
}

_NOBODY: Final = (FEED, FORWARDER)
"""Where an alert is open again from without anybody's doing."""

_RETURNED: Final = """
SELECT r.number, EXISTS (
  SELECT 1 FROM deliveries AS o
  WHERE o.alert_id = d.alert_id AND o.connector = d.connector AND o.id <> d.id AND o.settled_at > r.at
) FROM deliveries AS d JOIN responses AS r ON r.alert_id = d.alert_id AND r.number = d.revision
WHERE d.alert_id = ? AND d.connector = ? AND r.place = d.connector AND d.kind IN ('acknowledge', 'resolve', 'reopen')
"""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What the store has of one alert. ``owed`` are deliveries that are not settled, ``dead`` those that died.

    ``returned`` are the numbers of the responses that came from PagerDuty and were owed to it all the same, each with
    whether anything else came there after the person had acted. ``looked`` are the people whose acts there a look has
    brought.
    """

    status: Status
    responses: tuple[Response, ...]
    owed: int
    dead: int
    seen: Mapping[str, Status]
    returned: Mapping[int, bool]
    looked: frozenset[str]


@dataclass(kw_only=True)
class Verdict:
    """What is wrong with one alert, and per place how many effects were due, stand there, and stand there too often.

    ``harmless`` counts events that PagerDuty was sent more than once, which its dedup key makes one. ``returned``
    counts the responses from there that it was told again, because something had crossed them.
    """

    responses: tuple[Response, ...]
    tallies: dict[str, Tally]
    wrong: list[str] = field(default_factory=list)
    harmless: int = 0
    returned: int = 0


def read(world: World, story: Story) -> Ledger:
    with world.store() as store:
        history = store.queries.history(story.alert.id)
        rows = store.queries.deliveries(Filter(alert_id=story.alert.id, limit=1000))
        with store.engine.read() as connection:
            seen = connection.execute(
                "SELECT connector, status FROM sightings WHERE alert_id = ?", (story.alert.id,)
            ).fetchall()
            returned = connection.execute(_RETURNED, (story.alert.id, PAGERDUTY)).fetchall()
        cursor = Cursor.parse(store.lifecycle.look_of(PAGERDUTY).cursor)
    responses = tuple(history.responses) if history else ()
    return Ledger(
        status=responses[-1].status if responses else Status.OPEN,
        responses=responses,
        owed=sum(not row.state.settled for row in rows) if rows else len(world.targets),
        dead=sum(row.state.value == "dead" for row in rows),
        seen={connector: Status(status) for connector, status in seen},
        returned={number: bool(crossed) for number, crossed in returned},
        looked=frozenset(_looked(world, cursor)),
    )


def _looked(world: World, cursor: Cursor | None) -> Iterator[str]:
    if cursor is None:
        return
    told = {one.id for one in cursor.told}
    for entry in world.sandbox.pagerduty.log:
        if entry.id in told or entry.at < cursor.at - OVERLAP:
            yield entry.agent.name


def judge(world: World, stage: Stage, story: Story) -> Verdict:
    """Whether the alert has come to rest as it should; while something is under way it has not."""
    ledger = read(world, story)
    verdict = Verdict(responses=ledger.responses, tallies={place: Tally() for place in stage.places})
    judged = _Judged(stage, story, ledger, verdict)
    verdict.wrong += judged.under_way()
    judged.kept()
    judged.slack()
    judged.jira()
    judged.pagerduty()
    return verdict


class _Judged:
    def __init__(self, stage: Stage, story: Story, ledger: Ledger, verdict: Verdict) -> None:
        self._stage, self._story, self._ledger, self._verdict = stage, story, ledger, verdict

    def under_way(self) -> Iterator[str]:
        if self._ledger.owed:
            yield f"{self._ledger.owed} deliveries are owed"
        if self._ledger.dead:
            yield f"{self._ledger.dead} deliveries are dead"
        if any(act.place == PAGERDUTY and act.person not in self._ledger.looked for act in self._story.acts):
            yield "no look has shown what was done in PagerDuty"
        if any(act.envelope and not act.envelope.acknowledged for act in self._story.acts):
            yield "a click is not acknowledged"

    def kept(self) -> None:
        """Whether what was kept of people's acts is what some order of them leads to."""
        before = self._ledger.responses[: self._story.rests[-1] if self._story.rests else 0]
        status = before[-1].status if before else Status.OPEN
        kept: list[Kept] = [
            (one.action, one.place, one.person.lower()) for one in self._ledger.responses[len(before) :]
        ]
        if kept not in list(outcomes(status, tuple(self._story.acts))):
            acts = [(act.place, act.person, *act.actions) for act in self._story.acts]
            self._complain(f"while it was {status}, {acts} led to {kept}")

    def slack(self) -> None:
        alert, latest = self._story.alert, self._latest
        told: Counter[tuple[str, int]] = Counter()
        for one in self._stage.sandbox.slack.messages:
            about = one["metadata"] or {}
            if about.get("event_type") == CHANGE_EVENT and about["event_payload"]["alert_id"] == alert.id:
                told[about["event_payload"]["kind"], about["event_payload"]["revision"]] += 1
        self._count(SLACK, told, skip="")
        message = self._stage.message(alert)
        if message is None:
            self._complain("it has no message in Slack")
            return
        if latest and latest.words.lower() not in message["text"].lower():
            self._complain(f"Slack shows {message['text']!r} in place of {latest.words!r}")
        if (shown := self._stage.buttons(alert) & MEANINGS.keys()) != _BUTTONS[self._ledger.status]:
            self._complain(f"while it is {self._ledger.status}, Slack has the buttons {sorted(shown)}")

    def jira(self) -> None:
        alert = self._story.alert
        ticket = self._stage.ticket(alert)
        if ticket is None:
            self._complain("it has no ticket")
            return
        told: Counter[tuple[str, int]] = Counter()
        for comment in ticket["comments"]:
            for line in plain(comment["body"]).splitlines():
                match line.split():
                    case [label, kind, number] if label == LABEL and number[:1] == "r":
                        told[kind, int(number[1:])] += 1
        self._count(self._stage.jira, told, skip=self._stage.jira)
        stands = self._stage.ticket_status(alert)
        if self._ledger.seen.get(self._stage.jira, Status.OPEN) is not stands:
            self._complain(f"its ticket is {stands}, which no look has seen")
        # What a person did last to the ticket stays.
        if self._ledger.status is Status.RESOLVED and stands is not Status.RESOLVED and _moved_by(ticket) == BOT:
            self._complain(f"it is resolved, its ticket is {stands}")

    def pagerduty(self) -> None:
        # What was resolved before it was sent there pages nobody.
        nothing: Mapping[str, Any] = {"count": 0, "status": "resolved"}
        incident = self._stage.incident(self._story.alert) or nothing
        responses, rests = self._ledger.responses, {*self._story.rests, len(self._ledger.responses)}
        tally = self._verdict.tallies[PAGERDUTY]
        sent = self._stage.events(self._story.alert)
        elsewhere = [one for one in responses if one.place not in (PAGERDUTY, *_NOBODY)]
        returned = [one for one in responses if one.number in self._ledger.returned]
        self._verdict.returned += len(returned)
        # Worse news may have taken back what had crossed it.
        if not self._story.worse and not all(self._ledger.returned.values()):
            self._complain(f"PagerDuty was told again what was decided there: {dict(self._ledger.returned)}")
        for action, event in ((Action.ACKNOWLEDGE, "acknowledge"), (Action.RESOLVE, "resolve")):
            due = [one for one in elsewhere if one.action is action]
            # What was overtaken before its turn came need not be sent.
            needed = sum(one.number in rests and one.number > self._story.early for one in due)
            tally.alerts += needed
            tally.arrived += sent[event]
            tally.lost += max(needed - sent[event], 0)
            due += [one for one in returned if one.action is action]
            self._verdict.harmless += max(sent[event] - len(due), 0)
        reopened = sum(one.action is Action.REOPEN for one in responses)
        self._verdict.harmless += max(sent["trigger"] - 1 - reopened - self._story.worse, 0)
        # Each time that it is open again, a new incident opens.
        pairs = itertools.pairwise(responses)
        again = sum(one.status is Status.RESOLVED and next_.status is not Status.RESOLVED for one, next_ in pairs)
        # So does a trigger that crossed a resolution.
        crossed = sum(one.action is Action.RESOLVE for one in returned)
        tally.twice += max(int(incident["count"]) - 1 - again - crossed, 0)
        allowed = set(_INCIDENTS[self._ledger.status])
        if self._ledger.status is Status.ACKNOWLEDGED and (again or incident is nothing):
            # Who takes up again what was resolved is paged by nobody.
            allowed.add("resolved")
        if incident["status"] not in allowed:
            self._complain(f"it is {self._ledger.status}, its incident {incident['status']}")
        self._complain_of(PAGERDUTY, sent)

    def _count(self, place: str, told: Counter[tuple[str, int]], *, skip: str) -> None:
        """Whether each response is told once, and each change for the worse; where it comes from (``skip``) never."""
        tally = self._verdict.tallies[place]
        due = {("update", number + 2) for number in range(self._story.worse)}
        for one in self._ledger.responses:
            if one.place == skip:
                continue
            key = (one.action.value, one.number)
            # The worse news themselves tell that it is open again, where they come after that.
            if one.place in _NOBODY or self._is_overtaken(one):
                tally.twice += max(told.pop(key, 0) - 1, 0)
            else:
                due.add(key)
        tally.alerts += len(due)
        tally.arrived += told.total()
        tally.lost += sum(not told[key] for key in due)
        tally.twice += sum(max(count - (key in due), 0) for key, count in told.items())
        self._complain_of(place, told)

    def _is_overtaken(self, response: Response) -> bool:
        """Whether it may have been open again before that was told: then only the one or the other is."""
        end = next((rest for rest in self._story.rests if rest >= response.number), len(self._ledger.responses))
        return any(one.place in _NOBODY for one in self._ledger.responses[response.number : end])

    def _complain_of(self, place: str, told: Counter[Any]) -> None:
        tally = self._verdict.tallies[place]
        if tally.lost or tally.twice:
            self._complain(f"{place}: {tally}, told {dict(told)}")

    def _complain(self, what: str) -> None:
        self._verdict.wrong.append(what)

    @property
    def _latest(self) -> Response | None:
        return self._ledger.responses[-1] if self._ledger.responses else None


def _moved_by(ticket: Mapping[str, Any]) -> str:
    moves = [change["by"] for change in ticket["history"] for item in change["items"] if item["field"] == "status"]
    return str(moves[-1]) if moves else BOT
