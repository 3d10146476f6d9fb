"""SIGKILL between what people decide and its effects elsewhere, again and again, and then a count of these effects."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forwarder.sandbox import Fault, FaultKind, Sandbox, Service
from tests.torture.leaks import leaks
from tests.torture.people import PAGERDUTY, SLACK, Act, Stage, Story
from tests.torture.points import Point
from tests.torture.standing import Verdict, judge
from tests.torture.world import HASTE, PATIENCE, Running, Tally, World, jira_name

INDEX_LAG: Final = 0.1
LATENCY: Final = 0.02
"""Seconds of every answer: between an effect and what is noted of it there is time to be killed."""
ACK_WITHIN: Final = 0.5
"""Seconds until Slack tells of a click once more: a daemon that was killed is there again soon after."""
SOON, LATER = 0.3, 1.6
"""Seconds after a click by which the kill comes: while Slack's news go out, or while looks bring what others did."""
TIMEOUT: Final = "2s"

_HANGS: Final = 2.5
_FAULTS: Final = (
    Fault(kind=FaultKind.STATUS, status=500),
    Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "0.2"}),
    Fault(kind=FaultKind.STATUS_AFTER, status=502),
    Fault(kind=FaultKind.TRUNCATED),
    Fault(kind=FaultKind.RESET_BEFORE),
    Fault(kind=FaultKind.RESET_AFTER),
    Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=_HANGS),
    Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=_HANGS),
)
_PATHS: Final = {
    "slack": ("chat.update", "chat.postMessage", "conversations.replies", "SOCKET interactive"),
    "pagerduty": ("/v2/enqueue", "/log_entries"),
    "jira": ("/comment", "/transitions", "/search", "GET /rest/api/"),
}
_WORSE, _EARLY = "worse", "early"
_SHOWS_WITHIN: Final = 5.0  # seconds: Slack may be down
_DOWN: Final = {"slack": "chat.", "pagerduty": "", "jira": ""}


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """So many kills of one daemon between clicks and their effects, on ``alerts`` alerts and those that come meanwhile.

    ``cloud`` is which Jira, and ``text`` whether it has no labels, and tickets are found by their text.
    """

    seed: int
    kills: int
    alerts: int = 8
    cloud: bool = True
    text: bool = False


@dataclass(kw_only=True)
class Result:
    """What came of a campaign.

    ``kills`` counts those that came before all effects were there, ``late`` the others; ``at_commits`` how many of both
    came the moment a response was committed. ``acts`` are what people did,
    by place, and how often an alert got worse.

    ``refused`` are clicks while nobody was connected, which Slack tells people at once. ``overtaken`` are clicks of
    those who were not the first, ``answered`` how many of them were told so. ``harmless`` counts events that PagerDuty
    was sent more than once, which its dedup key makes one: no more than answers were lost, by kills and by ``faults``
    there. ``returned`` counts what was decided in PagerDuty and told there again, because something had crossed it.
    ``complaints`` is empty where every promise held.
    """

    campaign: Campaign
    kills: int = 0
    late: int = 0
    at_commits: int = 0
    acts: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    overtaken: int = 0
    answered: int = 0
    faults: int = 0
    harmless: int = 0
    returned: int = 0
    responses: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


def run(campaign: Campaign, folder: Path) -> Result:
    """Lets people act, kills, restarts, kills again, lets the last run end in peace, and counts."""
    with Sandbox(limits=False, latency=LATENCY) as sandbox:
        sandbox.sentrytex.limit_per_minute = None
        sandbox.jira.index_lag = INDEX_LAG
        sandbox.slack.socket.ack_within, sandbox.slack.socket.resends = ACK_WITHIN, 1000
        return _Torture(campaign, folder, sandbox).run()


def run_apart(campaign: Campaign) -> Result:
    """The same in a folder that nobody needs afterwards: what another process is asked for."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        return run(campaign, Path(folder))


class _Torture:
    def __init__(self, campaign: Campaign, folder: Path, sandbox: Sandbox) -> None:
        jira = jira_name(cloud=campaign.cloud, text=campaign.text)
        self._campaign, self._sandbox, self._stage = campaign, sandbox, Stage(sandbox, jira)
        rest = {"api_token": sandbox.pagerduty.api_token, "api_url": sandbox.pagerduty.url}
        listening = {"app_token": sandbox.slack.app_token}
        settings = {
            SLACK: {**HASTE[SLACK], **listening, "timeout": TIMEOUT},
            PAGERDUTY: {**HASTE[PAGERDUTY], **rest, "timeout": TIMEOUT, "sync_every": "1s"},
            jira: {**HASTE[jira], "timeout": TIMEOUT, "sync_every": "1s", "on_resolve": "close"},
        }
        self._world = World(folder, sandbox, self._stage.places, settings=settings)
        self._services: dict[str, Service] = {one.name: one for one in sandbox.services if one.name in _PATHS}
        self._stories = [
            Story(alert=alert) for alert in self._world.publish(campaign.alerts, severity="high", cve_id=None)
        ]
        self._result = Result(campaign=campaign, tallies={place: Tally() for place in self._stage.places})

    def run(self) -> Result:
        with self._start() as daemon:
            daemon.until(self._all_at_rest, "every alert stood everywhere", patience=5 * PATIENCE)
            looked = len(self._sandbox.pagerduty.requests)
            daemon.until(
                lambda: any("/log_entries" in one.path for one in self._sandbox.pagerduty.requests[looked:]),
                "PagerDuty was looked at",
            )
        number = 0
        while self._result.kills < self._campaign.kills:
            number += 1
            # Of its own each: how much chance one round takes depends on what it finds.
            self._round(random.Random(f"{self._campaign.seed}-{number}"))
        self._end_in_peace()
        return self._result

    def _round(self, chance: random.Random) -> None:
        for service in self._services.values():
            service.clear_faults()
        stories = self._at_rest()
        chosen = chance.sample(stories, min(len(stories), chance.choice((1, 2, 2))))
        if chosen and chance.random() < 0.15:
            self._scene(chosen.pop(), chance)  # while nothing runs
        point = chance.choice((Point.NEVER, Point.NEVER, Point.RESPONSE))
        with self._start(point) as daemon:
            self._annoy(chance)
            for story in chosen:
                self._scene(story, chance)
            if chance.random() < 0.2 and point is Point.NEVER:
                self._act_early(daemon, chance)
            if chance.random() < 0.25:
                self._disturb(chance)
            moment = chance.uniform(0, chance.choice((SOON, LATER))) if point is Point.NEVER else LATER
            status = daemon.wait(moment)
            if point is Point.RESPONSE and status == -signal.SIGKILL:
                self._result.at_commits += 1
            elif status is not None:
                self._result.complaints.append(f"the daemon ended with {status}")
        if all(self._comes_to_rest(story) for story in self._stories):
            self._result.late += 1
        else:
            self._result.kills += 1

    def _start(self, point: Point = Point.NEVER) -> Running:
        """The daemon, once it hears Slack: so whoever clicks from now on is told to it. Or it died before that."""
        opened = self._sandbox.slack.socket.opened
        daemon = self._world.start(point, call=1)
        try:
            daemon.until(lambda: self._sandbox.slack.socket.opened > opened, "it heard Slack")
        except BaseException:
            if point is Point.NEVER or daemon.wait(0) != -signal.SIGKILL:
                daemon.kill()
                raise
        return daemon

    def _annoy(self, chance: random.Random) -> None:
        """Lets services fail once or twice, or one of them all the time until the next round."""
        if chance.random() < 0.15:
            name = chance.choice(list(_DOWN))
            self._services[name].inject(Fault(kind=FaultKind.STATUS, status=503, times=None, path=_DOWN[name]))
            return
        for _ in range(chance.choice((0, 1, 2))):
            name = chance.choice(list(_PATHS))
            fault, path = chance.choice(_FAULTS), chance.choice(_PATHS[name])
            self._result.faults += name == PAGERDUTY
            self._services[name].inject(
                Fault(kind=fault.kind, status=fault.status, headers=fault.headers, seconds=fault.seconds, path=path)
            )

    def _scene(self, story: Story, chance: random.Random) -> None:
        """One or two people act on one alert at the same time, at any places; sometimes it gets worse as well."""
        two = chance.sample(self._stage.places, 2)
        places = chance.choice(([two[0]], [two[0]], two, two, [SLACK, SLACK]))
        if story.worse < 2 and chance.random() < 0.2:
            places.insert(chance.randrange(len(places) + 1), _WORSE)
        for place in places:
            if place == _WORSE:
                self._stage.get_worse(story)
                self._result.acts[_WORSE] += 1
            elif self._stage.act(story, place, chance):
                self._result.acts[place] += 1
            elif place == SLACK:
                self._result.refused += 1

    def _act_early(self, daemon: Running, chance: random.Random) -> None:
        """Somebody clicks as soon as a new alert's message shows, while it is still on its way to the others."""
        (alert,) = self._world.publish(severity="high", cve_id=None)
        story = Story(alert=alert)
        self._stories.append(story)
        end = time.monotonic() + _SHOWS_WITHIN
        daemon.until(lambda: self._stage.message(alert) or time.monotonic() > end)
        if self._stage.act(story, SLACK, chance):
            self._result.acts[_EARLY] += 1

    def _disturb(self, chance: random.Random) -> None:
        """Slack asks for a new connection, or the one that stands is cut."""
        socket = self._sandbox.slack.socket
        if chance.random() < 0.5:
            socket.disconnect(ends_after=0.2)
        else:
            socket.cut()

    def _at_rest(self) -> list[Story]:
        return [story for story in self._stories if self._comes_to_rest(story)]

    def _all_at_rest(self) -> bool:
        return self._world.database.exists() and len(self._at_rest()) == len(self._stories)

    def _comes_to_rest(self, story: Story) -> bool:
        verdict = judge(self._world, self._stage, story)
        if verdict.wrong:
            return False
        self._note_answers(story.acts, {one.person.lower() for one in verdict.responses})
        if not story.rests:
            story.early = len(verdict.responses)
        story.rests.append(len(verdict.responses))
        story.acts.clear()
        return True

    def _note_answers(self, acts: list[Act], kept: set[str]) -> None:
        whispered = {one["user"] for one in self._sandbox.slack.ephemerals}
        for act in acts:
            if act.envelope and act.person not in kept:
                self._result.overtaken += 1
                self._result.answered += act.envelope.payload["user"]["id"] in whispered

    def _end_in_peace(self) -> None:
        for service in self._services.values():
            service.clear_faults()
        with self._start() as daemon:
            try:
                daemon.until(self._all_at_rest, "every alert came to rest", patience=3 * PATIENCE)
            except AssertionError as error:
                self._result.complaints.append(str(error))
            if (status := daemon.stop()) != 0:
                self._result.complaints.append(f"SIGTERM ended the daemon with {status}")
        for story in self._stories:
            self._add(story, judge(self._world, self._stage, story))
        lost_answers = self._result.kills + self._result.late + self._result.faults
        if self._result.harmless > lost_answers:
            self._result.complaints.append(f"{self._result.harmless} events repeated after {lost_answers} lost answers")
        self._result.complaints += [f"a secret is in {place}" for place in leaks(self._world.folder, self._secrets)]

    def _add(self, story: Story, verdict: Verdict) -> None:
        self._result.complaints += [f"{story.alert.id}: {wrong}" for wrong in verdict.wrong]
        self._result.responses += len(verdict.responses)
        self._result.harmless += verdict.harmless
        self._result.returned += verdict.returned
        for place, tally in verdict.tallies.items():
            self._result.tallies[place] += tally

    @property
    def _secrets(self) -> frozenset[str]:
        return self._world.secrets | {self._sandbox.slack.app_token, self._sandbox.pagerduty.api_token}


def campaigns(kills: int, seed: int, size: int = 25) -> list[Campaign]:
    """Campaigns with ``kills`` in all, on both kinds of Jira, some by text."""
    return [
        Campaign(seed=seed + number, kills=min(size, kills - done), cloud=number % 2 == 0, text=number % 3 == 2)
        for number, done in enumerate(range(0, kills, size))
    ]
