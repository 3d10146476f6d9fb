"""Apprise and the whole forwarder: each alert and what becomes of it arrives, whatever is lost on the way."""

from __future__ import annotations

from collections import Counter
from itertools import cycle
from pathlib import Path

from forwarder.connector import Action, Resolution
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store.query_records import Filter
from forwarder.store.records import State
from tests.torture.rig import Rig

COUNT = 12
LOSSES = (
    (Fault(kind=FaultKind.RESET_AFTER, path="POST /notify/"), 2),
    (Fault(kind=FaultKind.RESET_BEFORE, path="POST /notify/"), 1),
    (Fault(kind=FaultKind.STATUS, status=429, path="POST /notify/"), 1),
    (Fault(kind=FaultKind.HTML, path="POST /notify/"), 1),
    (Fault(kind=FaultKind.STATUS_AFTER, status=502, path="POST /notify/"), 2),
    (Fault(kind=FaultKind.STATUS, status=404, path="POST /notify/"), 1),
)
"""What goes wrong once with each change, and how often that then comes: twice where it was there, and nobody knew."""


def test_alerts_with_updates_and_decisions_arrive(tmp_path: Path) -> None:
    """A dozen alerts, a change of each and two decisions about it: a message for each, and again what was in doubt."""
    losses = cycle(LOSSES)
    with Sandbox(limits=False) as sandbox, Rig(tmp_path, sandbox, ["apprise"]) as rig:
        rig.poll()
        alerts = rig.world.publish(COUNT, severity="high")
        rig.poll()
        rig.settle()
        changed: dict[str, int] = {}
        for alert in alerts:
            fault, changed[alert.title] = next(losses)
            sandbox.apprise.inject(fault)
            sandbox.sentrytex.update(alert.id, severity="critical")
            rig.forwarder.sweep()
            rig.settle()
        respond = rig.forwarder.life.responses.respond
        for alert in alerts:
            respond(alert.id, Action.ACKNOWLEDGE, person="Ada", reason="I look into it.")
            respond(alert.id, Action.RESOLVE, person="Ben", resolution=Resolution.NOT_AFFECTED)
        rig.settle()
        told = Counter(message["title"] for message in sandbox.apprise.messages if "Trouble" in message["title"])
        expected = {
            head.format(title): times
            for title, repeats in changed.items()
            for head, times in (
                ("🟠 {}", 1),
                ("🔴 Changed: {}", repeats),
                ("Acknowledged: {}", 1),
                ("Resolved: {}", 1),
            )
        }
        assert told == expected
        assert not rig.store.queries.deliveries(Filter(state=State.DEAD))
