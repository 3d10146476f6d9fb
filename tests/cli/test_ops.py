"""The commands backup and health."""

from __future__ import annotations

import itertools
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from forwarder.app import STANDS_STILL, Forwarder
from forwarder.cli.root import group
from forwarder.config import Listen, load
from forwarder.store import Store, StoreError, pulse
from forwarder.store.query_records import Filter
from forwarder.testing import alert
from forwarder.web.server import Server, bind
from tests.kit.core import PATIENCE, nobody_listens, until
from tests.kit.store import enqueue
from tests.kit.wire import HOLDS, dripping, peer

CONFIG = """\
sentrytex: {{ api_key: vk_not-a-real-key, base_url: "http://127.0.0.1:9/api/v1" }}
database: forwarder.db
connectors: {{ secops: {{ type: console }} }}
routes: [{{ to: secops }}]
web: {{ listen: "{listen}", token: not-a-real-web-token }}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A config and the database of a running daemon, in a folder of their own."""

    folder: Path
    store: Store

    @property
    def database(self) -> Path:
        return self.folder / "forwarder.db"

    @property
    def copy(self) -> Path:
        return self.folder / "copies" / "forwarder.db"

    def listen(self, where: str) -> None:
        (self.folder / "config.yaml").write_text(CONFIG.format(listen=where))

    def run(self, command: str, *args: str | Path) -> Result:
        line = [command, "-c", str(self.folder / "config.yaml"), *map(str, args)]
        return CliRunner().invoke(group, line, prog_name="forwarder")

    def left_over(self) -> list[str]:
        return sorted(path.name for path in self.copy.parent.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "copies").mkdir()
    with closing(Store.open_exclusive(tmp_path / "forwarder.db")) as store:
        place = Place(folder=tmp_path, store=store)
        place.listen("off")
        yield place


def alerts_in(database: Path) -> set[str]:
    """The ids of the alerts that a forwarder finds there, when it starts on that database."""
    with closing(Store.open_exclusive(database)) as store:
        return {row.alert_id for row in store.queries.deliveries(Filter(limit=-1))}


def test_a_backup_is_a_database_to_start_from(place: Place) -> None:
    """A forwarder that starts on a copy finds what was owed when it was made, while the original goes on."""
    enqueue(place.store, alert(id="before"), "secops")
    result = place.run("backup", place.copy)
    enqueue(place.store, alert(id="after"), "secops")
    assert result.exit_code == 0, result.output
    assert str(place.copy) in result.output
    assert alerts_in(place.copy) == {"before"}


def test_a_backup_is_whole_by_itself_and_for_its_owner_alone(place: Place) -> None:
    """Nothing stands beside a copy, nobody else can read it, and it opens where nothing can be written."""
    enqueue(place.store, alert(id="one"), "secops")
    assert place.run("backup", place.copy).exit_code == 0
    assert place.left_over() == ["forwarder.db"]
    assert stat.S_IMODE(place.copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(f"file:{place.copy}?mode=ro", uri=True)) as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert copy.execute("SELECT count(*) FROM alerts").fetchone() == (1,)


def test_a_backup_of_a_busy_database_is_one_moment_of_it(place: Place) -> None:
    """While another thread commits without pause, a copy holds all alerts up to one, and none after it."""
    stop, begun = threading.Event(), threading.Event()

    def write() -> None:
        for number in itertools.count():
            enqueue(place.store, alert(id=f"{number:06}"), "secops")
            if number == 5:
                begun.set()
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(PATIENCE)
        result = place.run("backup", place.copy)
    finally:
        stop.set()
        writer.join()
    assert result.exit_code == 0, result.output
    found = alerts_in(place.copy)
    assert len(found) > 5
    assert found == {f"{number:06}" for number in range(len(found))}


def test_a_backup_needs_no_config_where_the_database_is_named(place: Place) -> None:
    """With --database a copy is made by someone who cannot read the config's secrets."""
    enqueue(place.store, alert(id="one"), "secops")
    (place.folder / "config.yaml").unlink()
    result = place.run("backup", "--database", place.database, place.copy)
    assert result.exit_code == 0, result.output
    assert alerts_in(place.copy) == {"one"}


def test_a_backup_replaces_only_what_it_is_told_to(place: Place) -> None:
    """A file that is there stays as it is, unless --force is given."""
    place.copy.write_text("last week's")
    refused = place.run("backup", place.copy)
    assert refused.exit_code == 1
    assert "--force" in refused.output
    assert place.copy.read_text() == "last week's"
    assert place.run("backup", "--force", place.copy).exit_code == 0
    assert alerts_in(place.copy) == set()


def test_a_backup_never_replaces_the_database_itself(place: Place) -> None:
    """Even with --force, and under another name for it, the database is not written over."""
    link = place.folder / "link.db"
    link.symlink_to(place.database)
    result = place.run("backup", "--force", link)
    assert result.exit_code == 1
    assert "the database itself" in result.output


def test_a_backup_that_fails_leaves_nothing(place: Place) -> None:
    """Where there is no database, or no folder for the copy, one sentence says so and no file stays behind."""
    missing = place.run("backup", "--database", place.folder / "other.db", place.copy)
    assert isinstance(missing.exception, StoreError)
    assert place.left_over() == []
    nowhere = place.run("backup", place.folder / "nowhere" / "forwarder.db")
    assert nowhere.exit_code == 1
    assert f"The copy cannot be written to the folder {place.folder / 'nowhere'}" in nowhere.output


def test_a_backup_of_a_damaged_database_is_none(place: Place) -> None:
    """Where an index does not fit its table, which no start would notice, the backup fails and an older one stays."""
    enqueue(place.store, alert(id="one"), "secops")
    with closing(sqlite3.connect(place.database)) as database, database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'seen_at', 'revision') WHERE name = 'alerts_seen'"
        )
    place.copy.write_text("last week's")
    result = place.run("backup", "--force", place.copy)
    assert isinstance(result.exception, StoreError)
    assert "keep your older backups" in str(result.exception)
    assert (place.left_over(), place.copy.read_text()) == (["forwarder.db"], "last week's")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_daemon_that_serves_its_page_is_well(place: Place, host: str) -> None:
    """Health asks the page of a daemon; where that listens on every address, it asks at this machine's own."""
    place.listen("127.0.0.1:0")
    listening = bind(Listen(host="127.0.0.1", port=0))
    port = listening.getsockname()[1]
    forwarder = Forwarder(load(place.folder / "config.yaml"), place.store)
    server = Server(forwarder, listening)
    with capture_logs() as said:
        server.start()
        until(lambda: said)
    try:
        place.listen(f"{host}:{port}")
        fresh, not_ready = place.run("health"), place.run("health", "--ready")
        forwarder.feeds["default"].has_read = True
        well, ready = place.run("health"), place.run("health", "--ready")
        forwarder._tended_at = 0.0 - 2 * STANDS_STILL
        stalled = place.run("health")
    finally:
        server.close()
    why = "No poll was complete since the start of this process.\n"
    assert (fresh.exit_code, fresh.output) == (0, f"The forwarder is healthy.\nIt is not ready.\n{why}")
    assert (not_ready.exit_code, not_ready.output) == (1, f"The forwarder is not ready.\n{why}")
    assert (well.exit_code, well.output) == (ready.exit_code, ready.output) == (0, "The forwarder is healthy.\n")
    assert stalled.exit_code == 1
    assert stalled.output.startswith("The forwarder is not healthy.\nThe main loop has stood still for ")


def test_a_daemon_that_does_not_answer_is_not_well(place: Place) -> None:
    """Where nothing listens at the config's address, health says so and fails."""
    with nobody_listens() as port:
        place.listen(f"127.0.0.1:{port}")
        result = place.run("health")
    assert result.exit_code == 1
    assert result.output == f"No forwarder answers at 127.0.0.1:{port}: connection refused.\n"


def test_an_answer_that_drips_is_not_waited_for(place: Place) -> None:
    """Something that listens there and answers byte by byte holds up no monitor."""
    started = time.monotonic()
    with peer(dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as port:
        place.listen(f"127.0.0.1:{port}")
        result = place.run("health")
    assert result.exit_code == 1
    assert "No forwarder answers" in result.output
    assert time.monotonic() - started < HOLDS / 2


def test_an_answer_that_is_an_error_is_not_well(place: Place) -> None:
    """Something else that listens at the config's address is not taken for a forwarder."""

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Nothing) as server:
        server.timeout = PATIENCE
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        place.listen(f"127.0.0.1:{server.server_port}")
        result = place.run("health")
        answering.join()
    assert result.exit_code == 1
    assert "/healthz answers 404" in result.output


def test_without_a_page_health_asks_who_holds_the_database(place: Place) -> None:
    """With web.listen off a daemon is well while it owns the database and shows life, and not after its end."""
    assert place.run("health").exit_code == 0
    lock = Path(f"{place.database}.lock")
    os.utime(lock, (time.time() - 120, time.time() - 120))
    silent = place.run("health")
    assert silent.exit_code == 1
    assert silent.output.startswith(f"The forwarder on {place.database} has shown no sign of life for 2m")
    assert silent.output.endswith("its log says why.\n")
    pulse.beat(place.database)
    assert place.run("health").exit_code == 0
    place.store.close()
    result = place.run("health")
    assert (result.exit_code, result.output) == (1, f"No forwarder is running on {place.database}.\n")
