"""The database file: opened with care, owned by one process, written by many threads as if by one."""

from __future__ import annotations

import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from forwarder.store import AlreadyRunning, Store, StoreError
from forwarder.store.connection import Connection
from forwarder.store.schema import APPLICATION_ID, MIGRATIONS, migrate
from forwarder.store.sqlite import LOG_BYTES
from forwarder.testing import alert
from tests.kit.core import PATIENCE, until
from tests.kit.store import enqueue, of_sqlite, queue_of, rows

DATABASES: Final = ("sqlite",)

OWNER: Final = """
import os, sys
from pathlib import Path
from forwarder.store import Store
store = Store.open_exclusive(Path(sys.argv[1]))
print(os.getpid(), flush=True)
sys.stdin.read()
"""
"""A process that owns a database until its standard input ends."""

CRASH: Final = """
import os, sqlite3, sys
from forwarder.store import schema
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.create_function("crash", 0, lambda: os._exit(9))
(name, sql), *_ = schema.MIGRATIONS
schema.MIGRATIONS = ((name, sql + "SELECT crash();"),)
schema.migrate(connection, 0)
"""
"""A process that dies at the end of the first migration, before its commit."""

NOBODY: Final = """
import os, sys
from pathlib import Path
from forwarder.store import Store, StoreError
if os.getuid() == 0 and sys.argv[1] == "as-nobody":
    os.setgid(65534)
    os.setuid(65534)
for name in sys.argv[2:]:
    try:
        Store.open_exclusive(Path(name))
    except StoreError as error:
        print(error)
"""
"""A process, of a user without any rights where it is told so, which tries to open databases."""

SMALL_FILES: Final = """
import resource, sys
from pathlib import Path
from forwarder.store import Store, StoreError
store = Store.open_shared(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    store.engine.backup(Path(sys.argv[2]))
except StoreError as error:
    print(error)
"""
"""A process that copies a database where no file can be larger than 64 KiB."""


def pragma(path: Path, name: str) -> object:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]
    finally:
        connection.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# A file with care


def test_only_its_user_can_read_it(store: Store, path: Path) -> None:
    """The database and all that lies beside it is for the user alone."""
    enqueue(store, alert(), "secops")
    assert {file.name: mode(file) for file in path.parent.iterdir()} == {
        "forwarder.db": 0o600,
        "forwarder.db-wal": 0o600,
        "forwarder.db-shm": 0o600,
        "forwarder.db.lock": 0o600,
    }


def test_the_log_gives_back_what_one_large_write_took(store: Store, path: Path) -> None:
    """Once it begins anew it holds no more of the disk than it needs, however much was written at once."""
    log = path.with_name(f"{path.name}-wal")
    store.engine.write(lambda db: db.execute("CREATE TABLE large AS SELECT zeroblob(20000000) AS it"))
    assert log.stat().st_size > 20_000_000
    store.engine.write(lambda db: db.execute("DROP TABLE large"))
    store.engine.write(lambda db: db.execute("CREATE TABLE small (id)"))
    assert log.stat().st_size <= LOG_BYTES


def test_a_commit_survives_a_power_cut(store: Store, path: Path) -> None:
    """Writes go to a write-ahead log that is synced at every commit, and references are enforced."""
    wanted = ("journal_mode", "synchronous", "foreign_keys")
    settings = store.engine.write(lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted])
    assert settings == ["wal", 2, 1]
    assert pragma(path, "journal_mode") == "wal"


def test_it_says_what_it_is(store: Store, path: Path) -> None:
    """The file carries our mark and the number of its last migration, and gives back room that is freed."""
    assert pragma(path, "application_id") == APPLICATION_ID
    assert pragma(path, "user_version") == len(MIGRATIONS)
    assert pragma(path, "auto_vacuum") == 2
    assert rows(store, "SELECT name FROM _sqlite_migrations") == [(name,) for name, _ in MIGRATIONS]


def test_a_new_database_is_what_the_steps_make(store: Store, path: Path) -> None:
    """It holds what the steps hold that an older database goes through, one after the other."""
    with closing(sqlite3.connect(path.with_name("steps.db"), isolation_level=None)) as stepped:
        migrate(stepped, 0)
        wanted = list(stepped.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"))
    assert rows(store, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name") == wanted


def test_a_database_that_counts_no_step_keeps_what_is_in_it(path: Path) -> None:
    """Only a file without any table is taken for a new one."""
    with Store.open_exclusive(path) as first:
        enqueue(first, alert(), "secops")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")
    with Store.open_exclusive(path) as second:
        assert rows(second, "SELECT count(*) FROM deliveries") == [(1,)]


def test_it_is_opened_again_with_what_is_in_it(path: Path) -> None:
    """A second start applies nothing again and finds everything."""
    first = Store.open_exclusive(path)
    enqueue(first, alert(), "secops")
    first.close()
    second = Store.open_exclusive(path)
    assert rows(second, "SELECT count(*) FROM deliveries") == [(1,)]
    assert rows(second, "SELECT count(*) FROM _sqlite_migrations") == [(len(MIGRATIONS),)]
    second.close()


def test_a_migration_and_its_record_commit_together(path: Path) -> None:
    """A process that dies within a migration leaves neither a table nor a record, and the next start goes on."""
    died = subprocess.run([sys.executable, "-c", CRASH, str(path)], capture_output=True, timeout=60, check=False)
    assert (died.returncode, died.stderr) == (9, b"")
    connection = sqlite3.connect(path)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert tables <= {"_sqlite_migrations"}
    assert pragma(path, "user_version") == 0
    store = Store.open_exclusive(path)
    enqueue(store, alert(), "secops")
    store.close()
    assert pragma(path, "user_version") == len(MIGRATIONS)


def test_a_failing_migration_leaves_nothing(path: Path) -> None:
    """A step that fails half-way is undone as a whole."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE deliveries (in_the_way)")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, 0)
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert found <= {"deliveries", "_sqlite_migrations"}
    assert connection.execute("SELECT count(*) FROM _sqlite_migrations").fetchone() == (0,)
    connection.close()


# One owner


def test_a_second_owner_is_refused(path: Path) -> None:
    """A database has one daemon: another one is told which process that is, and what to do."""
    first = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdout
        pid = first.stdout.readline().strip()
        with pytest.raises(AlreadyRunning) as raised:
            Store.open_exclusive(path)
        assert str(raised.value) == (
            f"Another forwarder (process {pid}) already runs on {path}: "
            "stop it first, or give this one a `database` of its own."
        )
        visitor = Store.open_shared(path)
        enqueue(visitor, alert(), "secops")
        visitor.close()
        assert first.stdin
        first.stdin.close()
    store = Store.open_exclusive(path)
    assert rows(store, "SELECT count(*) FROM deliveries") == [(1,)]
    store.close()


def test_a_killed_owner_locks_nobody_out(path: Path) -> None:
    """The lock ends with its process, however that ends."""
    first = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdout
        first.stdout.readline()
        first.kill()
    Store.open_exclusive(path).close()


def test_a_refused_owner_leaves_the_lock_to_the_first(store: Store, path: Path) -> None:
    """Being refused neither takes the lock nor overwrites whose it is."""
    for _ in range(2):
        with pytest.raises(AlreadyRunning):
            Store.open_exclusive(path)
    enqueue(store, alert(), "secops")


def test_a_visitor_reads_and_writes_beside_the_owner(store: Store, path: Path) -> None:
    """A command sees what the daemon wrote, and the daemon what the command wrote."""
    enqueue(store, alert(), "secops")
    visitor = Store.open_shared(path)
    assert len(visitor.outbox.claim("secops", 1, now=1e10, lease=60)) == 1
    assert rows(store, "SELECT state FROM deliveries") == [("sending",)]
    visitor.close()


# What cannot be used, in a sentence each


def refused(path: Path, words: str, opened: Callable[[Path], Store] = Store.open_exclusive) -> None:
    with pytest.raises(StoreError, match=words) as raised:
        opened(path)
    told = str(raised.value)
    assert told.endswith(".")
    assert "\n" not in told


def test_a_missing_folder(tmp_path: Path) -> None:
    """A folder that is not there is named, and not made in silence."""
    refused(tmp_path / "no" / "x.db", r"The folder .*no for the database does not exist: make it, or change `database`")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    """It has several links, as folders do, and is not called a file with a second name."""
    refused(tmp_path, "is a folder: name a file in it", Store.open_shared)


def test_nothing_to_visit(path: Path) -> None:
    """A command beside a daemon that never ran makes no database."""
    refused(path, "There is no database .* yet: `forwarder run` makes it", Store.open_shared)
    assert not path.exists()


def test_an_empty_file_to_visit(path: Path) -> None:
    """A file that the daemon has not filled yet is told as such, and filled by the daemon alone."""
    path.touch()
    refused(path, "older version: start `forwarder run` once", Store.open_shared)
    Store.open_exclusive(path).close()
    Store.open_shared(path).close()


def test_another_program_s_database(path: Path) -> None:
    """A SQLite database that is not ours is left as it is."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (name)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    refused(path, "is a database of another program: change `database`")
    assert path.read_bytes() == before


def test_a_newer_version_s_database(path: Path) -> None:
    """A database of a newer version is not touched by an older one."""
    Store.open_exclusive(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    for opened in (Store.open_exclusive, Store.open_shared):
        refused(path, r"was written by a newer version \(step \d+, this one knows \d+\): install that version", opened)


@pytest.mark.parametrize("damage", ["garbage", "header", "pages", "cut"])
def test_a_damaged_file(path: Path, damage: str) -> None:
    """A file that is no database any more is told at the start, with the way out."""
    store = Store.open_exclusive(path)
    for number in range(50):
        enqueue(store, alert(id=f"a{number}", description="x" * 500), "secops")
    store.close()
    whole = path.read_bytes()
    path.write_bytes(
        {
            "garbage": b"no database at all" * 1000,
            "header": b"\x00" * 100 + whole[100:],
            "pages": whole[:4096] + b"\xff" * (len(whole) - 4096),
            "cut": whole[: len(whole) // 2],
        }[damage]
    )
    refused(path, "is damaged: restore a backup, or move it away to start anew")


def test_a_place_without_the_right_to_it(tmp_path: Path) -> None:
    """A folder or a file that cannot be written or even looked at is told as such."""
    locked, closed = tmp_path / "locked", tmp_path / "locked" / "closed"
    closed.mkdir(parents=True)
    (locked / "old.db").touch(mode=0o444)
    closed.chmod(0o000)
    locked.chmod(0o555)
    told = subprocess.run(
        [sys.executable, "-c", NOBODY, "as-nobody", "new.db", "old.db", "closed/x.db"],
        cwd=locked,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    locked.chmod(0o700)
    closed.chmod(0o700)
    assert told.stdout.splitlines() == [
        "The folder . cannot be written, as the database needs: give this user the right to.",
        "The database old.db or its folder cannot be written: give this user the right to.",
        "The database closed/x.db failed: Permission denied.",
    ]


def test_a_disk_that_the_system_made_read_only_is_called_so(tmp_path: Path) -> None:
    """No right helps there: a fault of the disk is what does that at night."""
    Store.open_exclusive(tmp_path / "x.db").close()
    mounts = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && exec "$2" -c "$3" as-it-is x.db'
    protect = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        mounts,
        "sh",
        str(tmp_path),
        sys.executable,
    ]
    told = shutil.which("unshare") and subprocess.run([*protect, NOBODY], capture_output=True, text=True, check=False)
    if not told or told.returncode:
        pytest.skip("no mounts of one's own here")
    assert told.stdout == (
        "The database x.db or its folder cannot be written: its file system is read-only, as after a fault of the disk:"
        " look at the disk, and mount it writable.\n"
    )


def test_a_closed_store_says_so(store: Store) -> None:
    """After its end a store takes no write and gives no answer."""
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.feed.state()
    with pytest.raises(StoreError, match="is closed"):
        store.feed.poll_failed("x")


# Many threads as one


def insert(name: str, *, then: Exception | None = None) -> Callable[[Connection], str]:
    """A piece of writing that adds a row, and fails afterwards where it is told to."""

    def work(connection: Connection) -> str:
        connection.execute("INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES (?, '', '', 0)", (name,))
        if then is not None:
            raise then
        return name

    return work


def names(store: Store) -> set[str]:
    with store.engine.read() as connection:
        return {name for (name,) in connection.execute("SELECT digest FROM set_aside")}


class Crowd:
    """Writes that wait together for one commit, held up until all of them are queued."""

    def __init__(self, store: Store, *works: Callable[[Connection], str]) -> None:
        self._store, self._works = store, works
        self._held, self._go = threading.Event(), threading.Event()

    def results(self) -> list[str | Exception]:
        with ThreadPoolExecutor(len(self._works) + 1) as threads:
            first = threads.submit(lambda: self._store.engine.write(self._hold))
            assert self._held.wait(PATIENCE)
            others = [threads.submit(self._try, work) for work in self._works]
            # They queue up behind the first one, which holds the connection.
            until(lambda: len(queue_of(self._store.engine)) == len(self._works))
            self._go.set()
            first.result(PATIENCE)
            return [other.result(PATIENCE) for other in others]

    def _hold(self, _: Connection) -> None:
        self._held.set()
        self._go.wait(PATIENCE)

    def _try(self, work: Callable[[Connection], str]) -> str | Exception:
        try:
            return self._store.engine.write(work)
        except Exception as error:
            return error


def test_writes_that_wait_share_a_commit(store: Store) -> None:
    """Threads that write while another one commits need one more commit together, not one each."""
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    store.engine.write(lambda connection: of_sqlite(connection).set_trace_callback(count))
    commits = 0
    assert Crowd(store, *(insert(f"n{number}") for number in range(20))).results() == [f"n{n}" for n in range(20)]
    assert commits == 2
    assert len(names(store)) == 20


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        RuntimeError("x"),
        RecursionError("x"),
        sqlite3.IntegrityError("x"),
        OverflowError(),
    ],
)
def test_one_write_s_own_error_is_its_own(store: Store, error: Exception) -> None:
    """What is wrong with one piece of writing undoes that piece alone."""
    results = Crowd(store, insert("before"), insert("broken", then=error), insert("after")).results()
    assert results == ["before", error, "after"]
    assert names(store) == {"before", "after"}


def test_a_failing_disk_is_everybody_s_trouble(store: Store) -> None:
    """Where the database cannot write, all who waited for that commit are told, and nothing of theirs is kept."""
    disk = sqlite3.OperationalError("disk I/O error")
    results = Crowd(store, insert("before"), insert("broken", then=disk), insert("after")).results()
    assert [type(result) for result in results] == [StoreError] * 3
    assert names(store) == set()
    assert store.engine.write(insert("later")) == "later"


def test_many_threads_lose_nothing(store: Store) -> None:
    """Every write that returned is there."""
    with ThreadPoolExecutor(16) as threads:
        written = set(threads.map(lambda number: store.engine.write(insert(f"n{number}")), range(400)))
    assert names(store) == written
    assert len(written) == 400


def test_a_read_has_one_view(store: Store) -> None:
    """What is written during a read is not seen by it, and the read holds nobody up."""
    with store.engine.read() as connection:
        before = connection.execute("SELECT count(*) FROM set_aside").fetchone()
        store.engine.write(insert("meanwhile"))
        assert connection.execute("SELECT count(*) FROM set_aside").fetchone() == before
    assert names(store) == {"meanwhile"}


def test_a_read_cannot_write(store: Store) -> None:
    """The connection for reading refuses to write, whatever it is told."""
    with pytest.raises(StoreError, match="cannot be written"), store.engine.read() as connection:
        connection.execute("DELETE FROM feed")


def test_a_full_disk(store: Store) -> None:
    """A full disk makes a sentence of a failed write, loses nothing that was written, and takes more when it can."""
    enqueue(store, alert(id="kept"), "secops")
    pages = rows(store, "PRAGMA page_count")[0][0]
    store.engine.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    big = alert(id="big", description="x" * 100_000)
    for _ in range(2):
        with pytest.raises(StoreError, match="the disk is full: make room"):
            enqueue(store, big, "secops")
    assert rows(store, "SELECT id FROM alerts") == [("kept",)]
    assert rows(store, "SELECT polled_at IS NULL, count(*) FROM feed, deliveries") == [(0, 1)]
    assert rows(store, "PRAGMA integrity_check") == [("ok",)]
    store.engine.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())
    enqueue(store, big, "secops")
    assert rows(store, "SELECT count(*) FROM deliveries") == [(2,)]


def test_another_process_that_holds_the_database(path: Path, store: Store) -> None:
    """A write waits for a command that writes, and goes on when that has ended."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as threads:
        written = threads.submit(store.engine.write, insert("waited"))
        other.execute("INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES ('other', '', '', 0)")
        other.execute("COMMIT")
        assert written.result(PATIENCE) == "waited"
    other.close()
    assert names(store) == {"other", "waited"}


# Backups


def test_a_backup_is_whole_and_a_file_of_its_own(store: Store, tmp_path: Path) -> None:
    """A copy made in the midst of writes is one consistent file for the user alone, which can be used at once."""
    stop, target = threading.Event(), tmp_path / "copy" / "backup.db"
    target.parent.mkdir()
    for number in range(200):
        enqueue(store, alert(id=f"before-{number}", description="x" * 5000), "secops")

    def keep_writing() -> None:
        number = 0
        while not stop.is_set():
            enqueue(store, alert(id=f"during-{number}"), "secops")
            number += 1

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(keep_writing)
        try:
            store.engine.backup(target)
        finally:
            stop.set()
        writing.result(PATIENCE)
    assert [file.name for file in target.parent.iterdir()] == ["backup.db"]
    assert (mode(target), pragma(target, "journal_mode")) == (0o600, "delete")
    copy = Store.open_exclusive(target)
    assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
    ((alerts, deliveries),) = rows(copy, "SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM deliveries)")
    copy.close()
    assert alerts == deliveries >= 200


def test_a_backup_that_cannot_be_made(store: Store, tmp_path: Path) -> None:
    """A target in no folder is told in a sentence."""
    with pytest.raises(StoreError, match=r"copy\.db failed: "):
        store.engine.backup(tmp_path / "no" / "copy.db")


def test_a_backup_that_finds_no_room(store: Store, path: Path, tmp_path: Path) -> None:
    """A copy that does not fit is an error, not half a copy that passes for a whole one."""
    enqueue(store, alert(description="x" * 200_000), "secops")
    told = subprocess.run(
        [sys.executable, "-c", SMALL_FILES, str(path), str(tmp_path / "copy.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.fullmatch(r"The copy .*copy\.db failed: .*\.\n", told.stdout)


def test_a_moved_copy_is_opened_as_any_other(store: Store, path: Path, tmp_path: Path) -> None:
    """A backup put in the database's place goes on where it was made."""
    enqueue(store, alert(), "secops")
    store.engine.backup(tmp_path / "backup.db")
    store.close()
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        file.unlink(missing_ok=True)
    shutil.move(tmp_path / "backup.db", path)
    again = Store.open_exclusive(path)
    assert len(again.outbox.claim("secops", 5, now=1e10, lease=60)) == 1
    again.close()
