"""What a long life costs: a poll that brings nothing new, a search, and bytes on disk."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forwarder.app import Forwarder
from forwarder.common.databases import Database
from forwarder.store import Store
from forwarder.store.query_records import Filter
from forwarder.store.records import State
from tests.bench.stand_ins import StandIns, alerts, config_for, load_config, poll_at_will
from tests.bench.stored import fill

FULL_PAGE = 199
"""Alerts within the overlap that each poll reads again: as many as a page that is not full can hold."""


def quiet_poll(there: StandIns, where: Database, *, stored: Sequence[int], samples: int) -> dict[str, Any]:
    """Milliseconds of a poll that reads 199 alerts again and finds nothing new, with so many alerts in the store.

    Inside: the request, the stand-in's work, parsing 199 alerts, comparing each with the store, one commit.
    """
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(config_for(there, Path(folder), fast=True, database=where))
        store = Store.open_exclusive(where)
        there.publish(alerts(FULL_PAGE, first=500_000))
        forwarder = Forwarder(config, store)
        forwarder.start(schedule=False)
        poll_at_will(forwarder)
        forwarder.poll()
        forwarder.deliver_due(3600.0, threading.Event())
        held = 0
        for count in stored:
            fill(where, held, count)
            held = count
            found[f"{count:,}"] = _median(forwarder.poll, samples)
        forwarder.stop()
        store.close()
    smallest = found[f"{stored[0]:,}"]
    return {"median_ms": found, "largest_over_smallest": round(max(found.values()) / smallest, 2)}


SEARCHES = ("CVE-2020-77", "cve", "old-7777", "bypass", "no such words", "by", "zz", "SEC-1")
"""A CVE, what is in all alerts, an id, a word of the title, nothing, two letters that all have and that none has, a
ticket."""


def searches(where: Database, *, stored: int, samples: int) -> dict[str, Any]:
    """Milliseconds of a search on the page or by `alerts --search`, of the lists, and of the figures."""
    Store.open_exclusive(where).close()
    fill(where, 0, stored, searched=True)
    with Store.open_shared(where) as store:
        filters = {text: Filter(text=text) for text in SEARCHES}
        filters |= {"(dead letters)": Filter(state=State.DEAD), "(a connector)": Filter(connector="secops")}
        found = {name: _median(lambda: store.queries.alerts(one), samples) for name, one in filters.items()}  # noqa: B023
        found["(deliveries)"] = _median(lambda: store.queries.deliveries(Filter()), samples)
        now = datetime.now(UTC).timestamp()
        found["(figures of 12 weeks)"] = _median(lambda: store.figures.weeks(now, 12), samples)
        found["(totals)"] = _median(store.queries.totals, samples)
    return {"alerts": stored, "median_ms": found, "slowest_ms": max(found.values())}


def _median(work: Callable[[], object], samples: int) -> float:
    """The median of so many runs, in milliseconds."""
    spans = []
    for _ in range(samples):
        started = time.perf_counter()
        work()
        spans.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(spans), 2)


def bytes_per_alert(database: Path) -> dict[str, Any]:
    """Bytes on disk for an alert of the usual size with three deliveries, and what makes them up."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (count,) = connection.execute("SELECT count(*) FROM alerts").fetchone()
    parts = {
        "alert_json": "SELECT avg(length(body)) FROM alerts",
        "routing_reasons": "SELECT avg(length(trail)) FROM alerts",
        "three_payloads_compressed": "SELECT 3 * avg(length(payload)) FROM deliveries WHERE kind = 'open'",
        "payloads_of_link_updates": f"SELECT coalesce(sum(length(payload)), 0) / {count}.0 FROM deliveries"
        " WHERE kind = 'update'",
        "reasons_and_receipts": "SELECT 3 * avg(length(why) + length(last) + length(receipt_id)"
        " + length(coalesce(receipt_url, ''))) FROM deliveries",
    }
    measured = {name: round(connection.execute(sql).fetchone()[0]) for name, sql in parts.items()}
    connection.close()
    whole = round(database.stat().st_size / count)
    return {
        "bytes": whole,
        "alerts": count,
        **measured,
        "rows_indexes_and_free_space": whole - sum(measured.values()),
    }
