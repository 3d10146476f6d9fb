"""The ground under the daemon: disks that are full or fail, clocks that jump, time that stands still, other processes.

Each scenario runs the daemon as a process, makes its ground bad, and asserts that in the end every alert stands exactly
once at every destination. ``SCENARIOS`` lists them by what goes wrong.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.alert import Alert
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store.query_records import Filter
from tests.kit.core import until
from tests.torture.leaks import leaks
from tests.torture.machine import Machine
from tests.torture.world import HASTE, PATIENCE, Running, World, assert_exactly_once

NAMES: Final = ("slack-token", "pagerduty", "jira-cloud")
PATIENT: Final = {name: {**HASTE[name], "timeout": "60s"} for name in NAMES}
"""However busy the machine is, no request is given up that a service holds for a moment."""
HOUR: Final = 3600
PR_CAPBSET_DROP: Final = 24
CAP_DAC_OVERRIDE: Final = 1
"""Linux's numbers, from prctl.h and capability.h."""
DISK: Final = 8 * 1024 * 1024
"""Bytes of the small disk: more than the daemon needs for a few alerts, and soon filled up."""

Scenario = Callable[[Path], None]


@contextlib.contextmanager
def world(folder: Path, **more: Any) -> Iterator[World]:
    """A daemon's world without limits; at its end no secret is in anything that it left behind."""
    with Sandbox(limits=False) as sandbox:
        made = World(folder, sandbox, NAMES, settings=PATIENT, **more)
        yield made
        found = leaks(made.database.parent, made.secrets) + leaks(folder, made.secrets)
        assert not found, f"a secret is in {found}"


def settled(daemon: Running, place: World, alerts: list[Alert]) -> None:
    """Waits for the end of everything that is owed, and counts."""
    daemon.until(lambda: place.settled(alerts), "everything was settled")
    assert_exactly_once(place, alerts)


def begun(daemon: Running, place: World) -> list[Alert]:
    """The first alert, when it has arrived: what comes now does not meet a start."""
    alerts = place.publish()
    settled(daemon, place, alerts)
    return alerts


def sending(daemon: Running, place: World) -> list[Alert]:
    """An alert that every service has received, and holds until ``let_go``."""
    services = [target.service(place.sandbox) for target in place.targets.values()]
    for target, service in zip(place.targets.values(), services, strict=True):
        service.inject(Fault(kind=FaultKind.LATENCY, seconds=HOUR, path=target.send))
    alerts = place.publish()
    daemon.until(lambda: not any(service.faults.pending() for service in services), "all connectors send")
    return alerts


def let_go(place: World) -> None:
    """The services go on with what they hold."""
    for target in place.targets.values():
        target.service(place.sandbox).let_go()


def _states(place: World, alerts: list[Alert]) -> set[str]:
    ids = {alert.id for alert in alerts}
    with place.store() as store:
        return {row.state.value for row in store.queries.deliveries(Filter(limit=10_000)) if row.alert_id in ids}


def arrived(place: World, alerts: list[Alert]) -> int:
    return sum(tally.arrived for tally in place.tally(alerts).values())


# Disks


def disk_full_while_polling(folder: Path) -> None:
    """Nothing is sent of what could not be written down, and all of it once there is room."""
    _ill_while_polling(folder, {"disk_full": 1}, "the disk is full")


def disk_full_while_settling(folder: Path) -> None:
    """What was sent is not sent again because it could not be noted at once."""
    _ill_while_settling(folder, {"disk_full": 1}, "the disk is full", die=False)


def disk_full_while_settling_and_killed(folder: Path) -> None:
    """What was sent and never noted is found by the next process."""
    _ill_while_settling(folder, {"disk_full": 1}, "the disk is full", die=True)


def sync_fails_while_polling(folder: Path) -> None:
    """A commit that may not be on the disk counts as none."""
    _ill_while_polling(folder, {"sync_fails": 1}, "look at the disk")


def sync_fails_while_settling_and_killed(folder: Path) -> None:
    """A settle that may not be on the disk is made good by a look."""
    _ill_while_settling(folder, {"sync_fails": 1}, "look at the disk", die=True)


def read_only_while_polling(folder: Path) -> None:
    """A disk that the system made read-only is reported, and waited out."""
    _ill_while_polling(folder, {"read_only": 1}, "settle_failed", event="store_failed")


def _ill_while_polling(folder: Path, ailment: Mapping[str, int], reason: str, event: str = "") -> None:
    with world(folder) as place, Machine(folder) as machine, place.start(env=machine.env) as daemon:
        alerts = begun(daemon, place)
        machine.falls_ill(**ailment)
        missed = place.publish(3)
        daemon.until(lambda: place.said(event or reason), "the problem is reported")
        assert arrived(place, missed) == 0, "nothing may be sent that is not written down"
        machine.recovers()
        settled(daemon, place, alerts + missed)
        assert daemon.stop() == 0


def _ill_while_settling(folder: Path, ailment: Mapping[str, int], reason: str, *, die: bool) -> None:
    with world(folder) as place, Machine(folder) as machine:
        with place.start(env=machine.env) as daemon:
            alerts = begun(daemon, place)
            alerts += sending(daemon, place)
            machine.falls_ill(**ailment)
            let_go(place)
            daemon.until(lambda: place.said("settle_failed") and place.said(reason), "the problem is reported")
            if not die:
                machine.recovers()
                settled(daemon, place, alerts)
                return
        machine.recovers()
        with place.start(env=machine.env) as daemon:
            settled(daemon, place, alerts)
        assert place.said("found_unsettled")


def small_disk_fills_up(folder: Path) -> None:
    """The same on a real disk: a small one that somebody else fills to the last byte, and then frees."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        with world(folder, database=disk / "forwarder.db") as place, place.start() as daemon:
            alerts = begun(daemon, place)
            alerts += sending(daemon, place)
            _fill(disk / "ballast")
            let_go(place)
            missed = place.publish(40, description="room " * 400)
            daemon.until(lambda: place.said("the disk is full"), "the problem is reported")
            (disk / "ballast").unlink()
            settled(daemon, place, alerts + missed)
            assert daemon.stop() == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as ballast:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(b"\0" * size)


def not_writable(folder: Path) -> None:
    """A database that may not be written is one sentence and exit status 74, and hurts nothing."""
    with world(folder) as place:
        with place.start() as daemon:
            alerts = begun(daemon, place)
            assert daemon.stop() == 0
        before = place.database.read_bytes()
        place.database.chmod(0o444)
        folder.chmod(0o555)
        try:
            with place.start(preexec_fn=_without_override) as daemon:
                assert daemon.wait(PATIENCE) == 74
        finally:
            folder.chmod(0o755)
            place.database.chmod(0o600)
        assert place.said("cannot be written: give this user the right to")
        assert place.database.read_bytes() == before
        with place.start() as daemon:
            settled(daemon, place, alerts + place.publish())


def _without_override() -> None:
    """Lets a process of root's be bound by the rights of files."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


# Clocks


def clock_steps(folder: Path) -> None:
    """A wall clock that is set an hour back or half a day forth delays nothing, and sends nothing twice."""
    with world(folder) as place, Machine(folder) as machine, place.start(env=machine.env) as daemon:
        alerts = begun(daemon, place)
        for seconds in (-HOUR, 12 * HOUR):
            for target in place.targets.values():
                # Something is always owed and something uncertain while the clock steps.
                lost = Fault(kind=FaultKind.RESET_AFTER, path=target.send)
                target.service(place.sandbox).inject(lost, Fault(kind=FaultKind.STATUS, status=503, path=target.send))
            alerts += place.publish(3)
            daemon.until(lambda: _states(place, alerts) & {"ready", "uncertain"}, "something is owed")  # noqa: B023
            machine.falls_ill(wall_seconds=seconds)
            settled(daemon, place, alerts)
        assert place.log.read_text("utf-8").count("clock_stepped") == 2
        assert daemon.stop() == 0


def stopped_for_ten_minutes(folder: Path) -> None:
    """A process that stands still until its leases have ended goes on, and sends nothing twice."""
    with world(folder) as place, Machine(folder) as machine, place.start(env=machine.env) as daemon:
        alerts = begun(daemon, place)
        alerts += sending(daemon, place)
        daemon.signal(signal.SIGSTOP)
        let_go(place)
        # Ten minutes pass for every clock that goes on while a process or its machine sleeps.
        machine.falls_ill(wall_seconds=600, boot_seconds=600)
        missed = place.publish()
        daemon.signal(signal.SIGCONT)
        settled(daemon, place, alerts + missed)
        assert not place.said("clock_stepped")
        assert daemon.stop() == 0


# Databases


def database_of_an_older_version(folder: Path) -> None:
    """A database that lacks every step of the schema is brought up to date at the start."""
    with world(folder) as place:
        place.database.touch()
        with place.start() as daemon:
            settled(daemon, place, place.publish())


def database_of_a_newer_version(folder: Path) -> None:
    """A database that a newer version wrote is refused with one sentence and exit status 74, and left as it is."""
    with world(folder) as place:
        with place.start() as daemon:
            begun(daemon, place)
            assert daemon.stop() == 0
        connection = sqlite3.connect(place.database)
        connection.execute("PRAGMA user_version = 1000")
        connection.close()
        before = place.database.read_bytes()
        with place.start() as daemon:
            assert daemon.wait(PATIENCE) == 74
        assert place.said("was written by a newer version")
        assert place.database.read_bytes() == before


def two_processes(folder: Path) -> None:
    """A second daemon on the same database ends with exit status 75; when the first is killed, the next one starts."""
    with world(folder) as place:
        with place.start() as daemon:
            alerts = begun(daemon, place)
            with place.start() as second:
                assert second.wait(PATIENCE) == 75
            assert place.said("Another forwarder")
            alerts += place.publish()
            settled(daemon, place, alerts)
            alerts += (held := sending(daemon, place))
        let_go(place)
        until(lambda: arrived(place, held) == len(NAMES))
        with place.start() as third:
            settled(third, place, alerts)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "disk full while polling": disk_full_while_polling,
    "disk full while settling": disk_full_while_settling,
    "disk full while settling, and killed": disk_full_while_settling_and_killed,
    "small disk filled up by somebody else": small_disk_fills_up,
    "fsync fails while polling": sync_fails_while_polling,
    "fsync fails while settling, and killed": sync_fails_while_settling_and_killed,
    "disk turned read-only while polling": read_only_while_polling,
    "database not writable at the start": not_writable,
    "clock set an hour back, then half a day forth": clock_steps,
    "process stopped for ten minutes": stopped_for_ten_minutes,
    "database of an older version": database_of_an_older_version,
    "database of a newer version": database_of_a_newer_version,
    "two processes on one database": two_processes,
}
