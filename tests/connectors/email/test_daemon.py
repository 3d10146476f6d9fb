"""E-mail and the whole forwarder: each alert is one thread, told in order, whatever is lost on the way."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

from forwarder.connector import Action, Resolution
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store.query_records import Filter
from forwarder.store.records import State
from tests.torture.rig import Rig

COUNT = 12
LOSSES = (
    Fault(kind=FaultKind.RESET_AFTER, path="MESSAGE /"),
    Fault(kind=FaultKind.TRUNCATED, path="MESSAGE /"),
    Fault(kind=FaultKind.RESET_BEFORE, path="RCPT /"),
    Fault(kind=FaultKind.STATUS, status=451, path="MESSAGE /"),
    Fault(kind=FaultKind.STATUS, status=450, body="4.7.1 too many connections", path="MAIL /"),
)
"""What goes wrong once with each alert; after the first two the mail is there, and nobody knows."""


def test_alerts_with_updates_and_decisions_are_threads(tmp_path: Path) -> None:
    """A dozen alerts, a change of each and two decisions about it: a mail for each, and repeats word for word."""
    losses = cycle(LOSSES)
    with Sandbox(limits=False) as sandbox, Rig(tmp_path, sandbox, ["email"]) as rig:
        rig.poll()
        alerts = rig.world.publish(COUNT, severity="high")
        rig.poll()
        rig.settle()
        for alert in alerts:
            sandbox.email.inject(next(losses))
            sandbox.sentrytex.update(alert.id, severity="critical")
            rig.forwarder.sweep()
            rig.settle()
        respond = rig.forwarder.life.responses.respond
        for alert in alerts:
            respond(alert.id, Action.ACKNOWLEDGE, person="Ada", reason="I look into it.")
            respond(alert.id, Action.RESOLVE, person="Ben", resolution=Resolution.NOT_AFFECTED)
        rig.settle()
        threads: dict[str, list[str]] = {}
        for copies in sandbox.email.by_id().values():
            message, first = copies[0].message, copies[0].text.split("\n", 1)[0]
            threads.setdefault(str(message["References"] or message["Message-ID"]), []).append(first)
        assert list(threads.values()) == [["HIGH", "CHANGED", "ACKNOWLEDGED", "RESOLVED"]] * COUNT
        assert len(sandbox.email.mails) > 4 * COUNT
        assert sandbox.email.conflicts == []
        assert not rig.store.queries.deliveries(Filter(state=State.DEAD))
