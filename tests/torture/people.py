"""People who act on alerts at the stand-ins, each of whom does one thing: so whatever is kept is known to be theirs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.jira.workflow import STATUSES
from connectors.slack.buttons import MEANINGS
from forwarder.alert import Alert
from forwarder.response import FEED, FORWARDER, Action, Status, actions_between
from forwarder.sandbox import Sandbox
from forwarder.sandbox.blockkit import interactive
from forwarder.sandbox.slack_socket import Interaction
from tests.kit.contract import is_ticket_of

SLACK: Final = "slack-token"
PAGERDUTY: Final = "pagerduty"

_CATEGORIES: Final = {status: category for category, status in STATUSES.items()}


@dataclass(frozen=True, kw_only=True)
class Act:
    """What one person did at one place, or what the feed did where ``place`` says so.

    ``lets_go`` says that it only gives back what was acknowledged: of what somebody else resolved that changes nothing.
    ``envelope`` is Slack's, of a click.
    """

    place: str
    person: str
    actions: tuple[Action, ...]
    lets_go: bool = False
    envelope: Interaction | None = None


@dataclass(kw_only=True)
class Story:
    """One alert's life. ``acts`` were done since it was last at rest, ``worse`` is how often it got worse.

    ``rests`` has how many responses it had each time that it came to rest. Of those up to ``early`` it is not known
    whether they came before the alert stood everywhere: what is resolved by then pages nobody.
    """

    alert: Alert
    acts: list[Act] = field(default_factory=list)
    rests: list[int] = field(default_factory=list)
    worse: int = 0
    early: int = 0


class Stage:
    """What is to be seen of alerts at the three services, and what people can do. ``jira`` names that connector."""

    def __init__(self, sandbox: Sandbox, jira: str) -> None:
        self.sandbox, self.jira = sandbox, jira
        self.places = (SLACK, PAGERDUTY, jira)
        self._people = 0

    def message(self, alert: Alert) -> dict[str, Any] | None:
        """The alert's message in the channel itself."""
        for one in self.sandbox.slack.messages:
            about = (one["metadata"] or {}).get("event_payload", {}).get("alert_id")
            if about == alert.id and one["thread_ts"] in (None, one["ts"]):
                return one
        return None

    def buttons(self, alert: Alert) -> set[str]:
        """The action ids of what can be pressed below the alert's message."""
        message = self.message(alert) or {}
        everything = [message.get("blocks"), *(one.get("blocks") for one in message.get("attachments") or [])]
        return {element.get("action_id", "") for blocks in everything for _, element in interactive(blocks or [])}

    def incident(self, alert: Alert) -> Mapping[str, Any] | None:
        return self.sandbox.pagerduty.incidents.get(f"sentrytex:{alert.id}")

    def events(self, alert: Alert) -> Counter[str]:
        """What PagerDuty was sent of the alert, also while it had no incident."""
        key = f"sentrytex:{alert.id}"
        strays = [event for event in self.sandbox.pagerduty.strays if event["dedup_key"] == key]
        incident = self.incident(alert)
        return Counter(event["event_action"] for event in [*strays, *(incident["events"] if incident else ())])

    def ticket(self, alert: Alert) -> dict[str, Any] | None:
        return next((one for one in self.sandbox.jira.issues.values() if is_ticket_of(one, alert)), None)

    def ticket_status(self, alert: Alert) -> Status:
        ticket = self.ticket(alert)
        return STATUSES[ticket["status"].category] if ticket else Status.OPEN

    def act(self, story: Story, place: str, chance: random.Random) -> Act | None:
        """Lets somebody do something at ``place`` that makes a difference there; None where nothing would."""
        self._people += 1
        name = f"n{self._people:05}"
        acts = {SLACK: self._click, PAGERDUTY: self._answer_page, self.jira: self._move}
        act = acts[place](story.alert, name, chance)
        if act:
            story.acts.append(act)
        return act

    def get_worse(self, story: Story) -> None:
        """Lets the alert become exploited, or more severe."""
        story.worse += 1
        changes: list[dict[str, Any]] = [{"severity": "critical"}, {"cisa_kev": True}]
        self.sandbox.sentrytex.update(story.alert.id, **changes[story.worse - 1])
        story.acts.append(Act(place=FEED, person="", actions=(Action.REOPEN,)))

    def _click(self, alert: Alert, name: str, chance: random.Random) -> Act | None:
        message, choices = self.message(alert), sorted(self.buttons(alert) & MEANINGS.keys())
        if message is None or not choices:
            return None
        button = chance.choice(choices)
        self.sandbox.slack.people.add(name)
        envelope = self.sandbox.slack.click(
            message["channel"], message["ts"], button, user=name, duplicates=chance.choice((0, 0, 1))
        )
        if not envelope.deliveries:
            return None  # nobody was connected: Slack tells the person so, and keeps nothing
        return Act(place=SLACK, person=name, actions=(MEANINGS[button].action,), envelope=envelope)

    def _answer_page(self, alert: Alert, name: str, chance: random.Random) -> Act | None:
        incident = self.incident(alert)
        if incident is None or incident["status"] == "resolved":
            return None
        pagerduty = self.sandbox.pagerduty
        pagerduty.add_user(name)
        if incident["status"] == "triggered" and chance.random() < 0.5:
            pagerduty.acknowledge(incident["dedup_key"], name)
            return Act(place=PAGERDUTY, person=name, actions=(Action.ACKNOWLEDGE,))
        pagerduty.resolve(incident["dedup_key"], name)
        return Act(place=PAGERDUTY, person=name, actions=(Action.RESOLVE,))

    def _move(self, alert: Alert, name: str, chance: random.Random) -> Act | None:
        ticket = self.ticket(alert)
        if ticket is None:
            return None
        before = self.ticket_status(alert)
        after = chance.choice([status for status in Status if status is not before])
        self.sandbox.jira.add_account(name, name)
        self.sandbox.jira.move(ticket["key"], _CATEGORIES[after], by=name)
        return Act(
            place=self.jira,
            person=name,
            actions=actions_between(before, after),
            lets_go=(before, after) == (Status.ACKNOWLEDGED, Status.OPEN),
        )


Kept = tuple[Action, str, str]
"""What is kept of a response: the action, the place and the person."""


def outcomes(status: Status, acts: tuple[Act, ...]) -> Iterator[list[Kept]]:
    """What may be kept of ``acts`` in any order, beginning at ``status``: of two at once the first one counts.

    What was decided before worse news came to where it was decided opens again, and so does what others reopened,
    except in Slack.
    """
    yield from _outcomes(status, [], acts, frozenset())


def _outcomes(status: Status, kept: list[Kept], left: tuple[Act, ...], opened: frozenset[str]) -> Iterator[list[Kept]]:
    if not left:
        yield kept
    for number, act in enumerate(left):
        now, heard = status, []
        for action in act.actions:
            if action.changes(now) and not (act.lets_go and now is Status.RESOLVED):
                now = action.status
                heard.append((action, act.place, act.person))
        others, again = left[:number] + left[number + 1 :], {FEED} if act.place == FEED else set()
        if any(action is Action.REOPEN for action, *_ in heard):
            again.add(FORWARDER)
        yield from _outcomes(now, [*kept, *heard], others, opened | again)
        for place in opened if heard and now is not Status.OPEN else ():
            if place == FEED or (act.place != SLACK and Action.REOPEN not in act.actions):
                reopened = [*kept, *heard, (Action.REOPEN, place, "")]
                yield from _outcomes(Status.OPEN, reopened, others, opened | {FORWARDER})
