"""What happens in the demo besides its story, and when: alerts are published, and services fail."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final

from forwarder.alert import Alert
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.samples import sample_alerts, sample_vendors

FIRST: Final = 12
"""Alerts that are there before the forwarder starts."""
EVERY: Final = 2.0
"""Seconds between two that come later."""
LATER: Final = 10.0
"""The same once each sample has been published: a demo that runs all day stays small."""
FROM: Final = 3.0
FAILURES_AT: Final = 6.0
LOST_ANSWER_AT: Final = 8.0
QUIET: Final = 7.0
"""Seconds before the end in which nothing is published: the forwarder asks every 5 seconds."""

Tell = Callable[[str, Alert | None], None]
"""Takes what the source did, for people, and the alert that it concerns."""


class Script:
    """The course of the demo, up to ``until`` seconds; None is for ever."""

    def __init__(self, sandbox: Sandbox, tell: Tell, *, until: float | None) -> None:
        self._sandbox, self._tell, self._until = sandbox, tell, until
        samples = sample_alerts(sandbox.clock())
        self._samples, self._alerts = len(samples), _endless(samples)
        self._next = FROM
        self._published = 0
        self._deeds: list[tuple[float, Callable[[], None]]] = [
            (FAILURES_AT, self._fail),
            (LOST_ANSWER_AT, self._lose_an_answer),
        ]

    def begin(self) -> None:
        """Publishes what is there from the start."""
        for key, (name, category) in sample_vendors().items():
            self._sandbox.sentrytex.add_vendor(key, name, category)
        for _ in range(FIRST):
            self._sandbox.sentrytex.publish(next(self._alerts))
        self._published = FIRST
        self._tell(f"has {FIRST} alerts", None)

    def go_on(self, elapsed: float) -> None:
        """Does what is due after ``elapsed`` seconds."""
        if self._until is not None and elapsed > self._until - QUIET:
            return
        while self._next <= elapsed:
            self._published += 1
            self._next += EVERY if self._published < self._samples else LATER
            raw = {**next(self._alerts), "published_at": self._sandbox.clock().isoformat(timespec="seconds")}
            self._sandbox.sentrytex.publish(raw)
            self._tell("published", Alert.parse(raw))
        while self._deeds and self._deeds[0][0] <= elapsed:
            self._deeds.pop(0)[1]()

    def _fail(self) -> None:
        self._sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=500, path="/v2/enqueue"))
        rate_limit = Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "1"}, path="chat.postMessage")
        self._sandbox.slack.inject(rate_limit)

    def _lose_an_answer(self) -> None:
        self._sandbox.jira.inject(Fault(kind=FaultKind.RESET_AFTER, path="POST /rest/api/3/issue"))


def _endless(samples: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The samples, and then the same again under ids of their own, each round marked in its titles."""
    for number in count(1):
        for raw in samples:
            if number == 1:
                yield {**raw}
                continue
            again = uuid.uuid5(uuid.UUID(raw["id"]), str(number))
            yield {**raw, "id": str(again), "title": f"{raw['title']} (round {number})"}
