"""One alert's whole life in the demo: people and news move it on, and each place is looked at for what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from forwarder.alert import Alert, Severity
from forwarder.cli.demo_sight import DEDUP, LABEL, alert_id_of
from forwarder.sandbox import Sandbox
from forwarder.sandbox.adf import to_text

ADA: Final = "ada"
BEN: Final = "ben"
"""The people, as the stand-ins know them."""

_ACKNOWLEDGE: Final = "sentrytex_acknowledge"
_CHANNEL: Final = "#secops"

Narrate = Callable[[str], None]
"""Takes a sentence about what happens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What the three places hold of the alert. ``status`` is PagerDuty's; ``ticket`` is empty while there is none.

    ``opened`` is how often PagerDuty paged, ``moves`` how often the ticket was moved.
    """

    ts: str = ""
    message: str = ""
    replies: tuple[str, ...] = ()
    broadcasts: int = 0
    status: str = ""
    opened: int = 0
    events: tuple[str, ...] = ()
    ticket: str = ""
    tickets: int = 0
    moves: int = 0
    done_by: str = ""
    comments: tuple[str, ...] = ()

    def replied(self, words: str) -> int:
        return sum(words in reply for reply in self.replies)

    def commented(self, words: str) -> int:
        return sum(words in comment for comment in self.comments)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What one place shows of a chapter, in two words; ``count`` is how often it was told, ``shows`` whether it shows.

    A place shows a chapter when it holds what was told and stands as it should by then.
    """

    words: str
    count: Callable[[Scene], int]
    shows: Callable[[Scene], bool] = lambda _: True


@dataclass(kw_only=True, slots=True)
class Chapter:
    """One step of the life. ``deed`` is what happens, in a word or two; ``needs`` are the seconds that it takes.

    ``begun`` and ``seen`` are seconds of the demo: when it happened, and when each place was first seen to show it.
    """

    deed: str
    happens: str
    outcome: str
    needs: float
    told: Mapping[str, Told]
    begun: float | None = None
    seen: dict[str, float] = field(default_factory=dict)

    @property
    def pending(self) -> int:
        """How many places do not show yet what has happened."""
        return 0 if self.begun is None else len(self.told) - len(self.seen)

    @property
    def is_told(self) -> bool:
        return self.begun is not None and not self.pending

    def look(self, scene: Scene, elapsed: float) -> bool:
        """Notes which places show it, and tells whether the last of them does since now."""
        before = self.pending
        for place, told in self.told.items():
            if place not in self.seen and told.count(scene) and told.shows(scene):
                self.seen[place] = elapsed
        return before > 0 and not self.pending


def chapters() -> list[Chapter]:
    """The life of a critical alert, in order."""
    return [
        Chapter(
            deed="it is published",
            happens="The alert to watch is {cve}: critical, and not known to be exploited.",
            outcome="PagerDuty pages, Slack has a message, and Jira has {ticket}.",
            needs=0.0,
            told={
                "Slack": Told(words="a message", count=lambda now: int(bool(now.ts))),
                "PagerDuty": Told(words="pages", count=lambda now: min(now.opened, 1)),
                "Jira": Told(words="a ticket", count=lambda now: now.tickets),
            },
        ),
        Chapter(
            deed="Ada presses Acknowledge",
            happens="Ada presses Acknowledge below the message in Slack.",
            outcome="PagerDuty is acknowledged, {ticket} has a comment, and Slack says that Ada has it.",
            needs=4.0,
            told={
                "Slack": Told(
                    words="Ada has it",
                    count=lambda now: now.replied("Acknowledged by Ada"),
                    shows=lambda now: "Acknowledged by Ada" in now.message,
                ),
                "PagerDuty": Told(
                    words="acknowledged",
                    count=lambda now: now.events.count("acknowledge"),
                    shows=lambda now: now.status == "acknowledged",
                ),
                "Jira": Told(words="a comment", count=lambda now: now.commented("Acknowledged by Ada")),
            },
        ),
        Chapter(
            deed="Ben moves it to done",
            happens="Ben moves {ticket} to done in Jira.",
            outcome="PagerDuty is resolved, and Slack strikes the title and says that Ben has done it.",
            needs=4.0,
            told={
                "Slack": Told(
                    words="struck",
                    count=lambda now: now.replied("Resolved (done) by Ben"),
                    shows=lambda now: "Resolved (done) by Ben" in now.message and "~" in now.message,
                ),
                "PagerDuty": Told(
                    words="resolved",
                    count=lambda now: now.events.count("resolve"),
                    shows=lambda now: now.status == "resolved",
                ),
                "Jira": Told(words="done by Ben", count=lambda now: now.moves, shows=lambda now: now.done_by == BEN),
            },
        ),
        Chapter(
            deed="CISA lists it as exploited",
            happens="CISA now lists {cve} as exploited (KEV).",
            outcome="PagerDuty pages again, {ticket} has a comment, and Slack tells the channel that it is open again.",
            needs=7.0,
            told={
                "Slack": Told(
                    words="open again",
                    count=lambda now: now.replied("Open again"),
                    shows=lambda now: "Open again" in now.message and now.broadcasts > 0,
                ),
                "PagerDuty": Told(
                    words="pages again",
                    count=lambda now: max(now.opened - 1, 0),
                    shows=lambda now: now.status == "triggered",
                ),
                "Jira": Told(words="a comment", count=lambda now: now.commented("open again")),
            },
        ),
    ]


class Story:
    """The life of one alert up to ``until`` seconds; None is for ever. It goes on when all places show the last step.

    ``chapters`` are all that it consists of, those that had no time to happen included.
    """

    def __init__(self, sandbox: Sandbox, narrate: Narrate, *, until: float | None) -> None:
        self.chapters = chapters()
        self.alert: Alert | None = None
        self.scene = Scene()
        self._sandbox, self._narrate, self._until = sandbox, narrate, until
        self._deeds = [self._acknowledge, self._move_to_done, self._list_as_exploited]

    def begin(self) -> None:
        """Lets the people come, and picks an alert of those that are there from the start."""
        self._sandbox.slack.people.add(ADA)
        self._sandbox.jira.add_account(BEN)
        fitting = (raw for raw in reversed(self._sandbox.sentrytex.alerts) if _fits(raw))
        raw = next(fitting, None)
        if raw is None:
            return
        self.alert, self.chapters[0].begun = Alert.parse(raw), 0.0
        self._narrate(self._filled(self.chapters[0].happens))

    def go_on(self, elapsed: float) -> None:
        """Looks, and lets the next step happen when it is time and there is time left for it."""
        self.look(elapsed)
        following = self._next()
        if self.alert is None or following is None or not self._has_time(elapsed, following.needs):
            return
        if self._deeds[self.chapters.index(following) - 1](self.alert):
            following.begun = elapsed
            self._narrate(self._filled(following.happens))

    def look(self, elapsed: float) -> None:
        """Looks at the places, and tells when the last of them shows a step."""
        if self.alert is None:
            return
        self.scene = look_at(self._sandbox, self.alert.id)
        for chapter in self.chapters:
            if chapter.begun is not None and chapter.look(self.scene, elapsed):
                self._narrate(f"{elapsed - chapter.begun:.1f} s later: {self._filled(chapter.outcome)}")

    def pending(self) -> int:
        """How many places still have to show what people did; the alert's own arrival is not counted."""
        return sum(chapter.pending for chapter in self.chapters[1:])

    def twice(self) -> int:
        """How often a place was told again of what it had been told."""
        begun = (chapter for chapter in self.chapters if chapter.begun is not None)
        return sum(max(told.count(self.scene) - 1, 0) for chapter in begun for told in chapter.told.values())

    def is_over(self) -> bool:
        """Whether all of it has happened and is shown at every place."""
        return all(chapter.is_told for chapter in self.chapters)

    def _next(self) -> Chapter | None:
        for before, chapter in zip(self.chapters, self.chapters[1:], strict=False):
            if chapter.begun is None:
                return chapter if before.is_told else None
        return None

    def _has_time(self, elapsed: float, needs: float) -> bool:
        return self._until is None or elapsed + needs <= self._until

    def _filled(self, sentence: str) -> str:
        name = (self.alert.cve_id or self.alert.title) if self.alert else ""
        return sentence.format(cve=name, ticket=self.scene.ticket)

    def _acknowledge(self, _: Alert) -> bool:
        """Whether Ada could press the button: it takes the app's connection."""
        if not self._sandbox.slack.socket.connections:
            return False
        return self._sandbox.slack.click(_CHANNEL, self.scene.ts, _ACKNOWLEDGE, user=ADA).deliveries > 0

    def _move_to_done(self, _: Alert) -> bool:
        self._sandbox.jira.move(self.scene.ticket, "done", by=BEN)
        return True

    def _list_as_exploited(self, alert: Alert) -> bool:
        self._sandbox.sentrytex.update(alert.id, cisa_kev=True)
        return True


def look_at(sandbox: Sandbox, alert_id: str) -> Scene:
    """What the stand-ins hold of that alert."""
    return Scene(**_in_slack(sandbox, alert_id), **_in_pagerduty(sandbox, alert_id), **_in_jira(sandbox, alert_id))


def _in_slack(sandbox: Sandbox, alert_id: str) -> dict[str, Any]:
    with sandbox.slack.lock:
        messages = sandbox.slack.messages
        of_it = [one for one in messages if one["thread_ts"] is None and alert_id_of(one) == alert_id]
        if not of_it:
            return {}
        replies = [one for one in messages if one["thread_ts"] == of_it[0]["ts"]]
        return {
            "ts": of_it[0]["ts"],
            "message": f"{of_it[0]['text']} {of_it[0]['blocks']} {of_it[0]['attachments']}",
            "replies": tuple(one["text"].partition("\n")[0] for one in replies),
            "broadcasts": sum(bool(one["reply_broadcast"]) for one in replies),
        }


def _in_pagerduty(sandbox: Sandbox, alert_id: str) -> dict[str, Any]:
    with sandbox.pagerduty.lock:
        incident = sandbox.pagerduty.incidents.get(DEDUP + alert_id)
        if incident is None:
            return {}
        actions = tuple(event["event_action"] for event in incident["events"])
        return {"status": incident["status"], "opened": incident["count"], "events": actions}


def _in_jira(sandbox: Sandbox, alert_id: str) -> dict[str, Any]:
    with sandbox.jira.lock:
        issues = [one for one in sandbox.jira.issues.values() if LABEL + alert_id in one["fields"]["labels"]]
        if not issues:
            return {}
        issue = issues[0]
        return {
            "ticket": issue["key"],
            "tickets": len(issues),
            "moves": len(issue["transitions"]),
            "done_by": _done_by(issue),
            "comments": tuple(to_text(one["body"]) for one in issue["comments"]),
        }


def _done_by(issue: Mapping[str, Any]) -> str:
    """Who moved the ticket to done, where it is there."""
    if issue["status"].category != "done":
        return ""
    moves = (one["by"] for one in reversed(issue["history"]) if any(item["field"] == "status" for item in one["items"]))
    return str(next(moves, ""))


def _fits(raw: Mapping[str, Any]) -> bool:
    """Whether an alert goes everywhere, and can still get worse."""
    return raw["severity"] == Severity.CRITICAL and not raw["cisa_kev"]
