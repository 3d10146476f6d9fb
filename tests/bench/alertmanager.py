"""The same burst through Prometheus Alertmanager, where it is installed: three webhook receivers, an alert a message.

It keeps nothing on disk between an alert and its message, and asks nothing before it sends: what it takes is a floor.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final

import httpx2
import psutil

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock
from forwarder.sandbox.server import Service
from tests.bench.stand_ins import alerts

NAMES: Final = ("prometheus-alertmanager", "alertmanager")
RECEIVERS: Final = 3
WAITS: Final = 120.0
"""Seconds for a start, and for a burst."""


def burst(*, latency_ms: int, count: int) -> dict[str, Any] | None:
    """What ``count`` alerts take from the request that brings them to their last message; None where it is missing."""
    binary = next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None:
        return None
    with (
        _receivers(latency_ms) as origins,
        tempfile.TemporaryDirectory() as folder,
        httpx2.Client() as control,
        _alertmanager(binary, Path(folder), origins, control) as (process, url),
    ):
        labelled = [_alert(one) for one in alerts(count)]
        cpu_before, started = _cpu(process), time.perf_counter()
        control.post(f"{url}/api/v2/alerts", json=labelled, timeout=WAITS).raise_for_status()
        _until(lambda: all(_received(control, origin) >= count for origin in origins))
        return {
            "seconds": round(time.perf_counter() - started, 3),
            "cpu_seconds": round(_cpu(process) - cpu_before, 2),
            "peak_rss_mib": round(_peak(process.pid) / 1024, 1),
        }


def _alert(alert: dict[str, Any]) -> dict[str, Any]:
    told = {name: str(alert[name]) for name in ("title", "description", "cvss_score", "epss_score", "published_at")}
    labels = {"alertname": alert["cve_id"], "alert_id": alert["id"], "severity": alert["severity"]}
    return {"labels": labels, "annotations": told, "generatorURL": alert["source_urls"][0]}


@contextmanager
def _alertmanager(
    binary: str, folder: Path, origins: list[str], control: httpx2.Client
) -> Iterator[tuple[psutil.Process, str]]:
    config = {
        "route": {"receiver": "all", "group_by": ["alert_id"], "group_wait": "0s"},
        "receivers": [
            {"name": "all", "webhook_configs": [{"url": f"{origin}/", "send_resolved": False} for origin in origins]}
        ],
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    command = [binary, f"--config.file={folder / 'config.yml'}", f"--storage.path={folder}"]
    command += [f"--web.listen-address={listen}", "--cluster.listen-address=", "--log.level=error"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        url = f"http://{listen}"
        _until(lambda: _answers(control, f"{url}/-/ready"))
        yield psutil.Process(process.pid), url
    finally:
        process.terminate()
        process.wait()


def _answers(control: httpx2.Client, url: str) -> bool:
    with suppress(httpx2.HTTPError):
        return control.get(url).is_success
    return False


def _until(done: Any) -> None:
    end = time.monotonic() + WAITS
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("Alertmanager did not get that far.")
        time.sleep(0.02)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _peak(pid: int) -> int:
    """The most memory that a process held, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


# The receivers


class Receiver(Service):
    """Takes every message, like the stand-ins of the destinations, and counts it."""

    name: ClassVar[str] = "receiver"

    def respond(self, request: Request) -> Reply:
        request.json()
        return Reply.json({"ok": True})

    def refuse(self, status: int) -> Reply:
        return Reply.json({"ok": False}, status)

    def credentials(self) -> dict[str, str]:
        return {"url": self.origin}

    def snapshot(self) -> dict[str, Any]:
        return {}


def _received(control: httpx2.Client, origin: str) -> int:
    received: int = control.get(f"{origin}/_sandbox/state").json()["requests"]
    return received


@contextmanager
def _receivers(latency_ms: int) -> Iterator[list[str]]:
    """The addresses of three receivers, in a process of their own."""
    command = [sys.executable, "-m", "tests.bench.alertmanager", str(latency_ms)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate()


def main(latency_ms: int) -> None:
    receivers = [Receiver(clock=Clock(), latency=latency_ms / 1000) for _ in range(RECEIVERS)]
    for receiver in receivers:
        receiver.start()
    sys.stdout.write(json.dumps([receiver.origin for receiver in receivers]) + "\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
