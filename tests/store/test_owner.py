"""One database has one owner, whatever name it is opened by, and an owner notices when its file is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from forwarder.store import AlreadyRunning, Store, StoreError, pulse
from forwarder.store.owner import is_owned, owner_pid
from forwarder.testing import alert
from tests.kit.store import enqueue, rows

OWNER: Final = """
import os, sys
from pathlib import Path
from forwarder.store import Store
store = Store.open_exclusive(Path(sys.argv[1]))
print(os.getpid(), flush=True)
sys.stdin.read()
"""
"""A process that owns a database until its standard input ends."""


@contextmanager
def owned(path: Path, folder: Path | None = None) -> Iterator[str]:
    """Another process owns ``path``; its id."""
    command = [sys.executable, "-c", OWNER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "forwarder.db"


def linked_file(path: Path) -> Path:
    name = path.parent.parent / "by link.db"
    name.symlink_to(path)
    return name


def linked_twice(path: Path) -> Path:
    name = path.parent / "twice.db"
    name.symlink_to(os.path.relpath(linked_file(path), path.parent))
    return name


def linked_folder(path: Path) -> Path:
    (path.parent.parent / "folder").symlink_to(path.parent, target_is_directory=True)
    return path.parent.parent / "folder" / path.name


def roundabout(path: Path) -> Path:
    return path.parent / ".." / path.parent.name / "." / path.name


def relative(path: Path) -> Path:
    return Path(os.path.relpath(path))


def hard_link(path: Path) -> Path:
    name = path.parent.parent / "hard.db"
    name.hardlink_to(path)
    return name


NAMES: Final = (linked_file, linked_twice, linked_folder, roundabout, relative, hard_link)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_owner_is_refused_under_any_name(path: Path, name: Callable[[Path], Path]) -> None:
    """Two daemons never share a file, however each of them calls it; the second one is told which the first is."""
    Store.open_exclusive(path).close()
    with owned(path) as pid:
        other = name(path)
        with pytest.raises(AlreadyRunning) as raised:
            Store.open_exclusive(other)
    assert str(raised.value) == (
        f"Another forwarder (process {pid}) already runs on {other}: "
        "stop it first, or give this one a `database` of its own."
    )


@pytest.mark.parametrize("name", [linked_file, linked_folder, roundabout])
def test_the_first_owner_may_have_the_other_name(path: Path, name: Callable[[Path], Path]) -> None:
    """It does not matter which of them goes by the link, nor that the link was there before the database."""
    other = name(path)
    with owned(other) as pid:
        assert is_owned(path)
        assert is_owned(other)
        with pytest.raises(AlreadyRunning, match=rf"\(process {pid}\)"):
            Store.open_exclusive(path)
    assert not is_owned(path)
    Store.open_exclusive(path).close()


def test_within_one_process_too(path: Path) -> None:
    """A second owner in the same process is refused, and the first one keeps its locks on the file."""
    store = Store.open_exclusive(path)
    other = hard_link(path)
    with pytest.raises(AlreadyRunning, match=rf"\(process {os.getpid()}\)"):
        Store.open_exclusive(other)
    other.unlink()
    with pytest.raises(AlreadyRunning):
        Store.open_exclusive(path)
    enqueue(store, alert(), "secops")
    # Another process does not take itself for the last one to use the file, and leaves its log alone.
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM feed').fetchone(); c.close()"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert path.with_name("forwarder.db-wal").exists()
    store.close()


def test_a_hard_link_is_refused_by_everyone(path: Path) -> None:
    """A file with two names would get two logs of changes, and be damaged: daemon and commands say so."""
    Store.open_exclusive(path).close()
    other = hard_link(path)
    for name in (path, other):
        for opened in (Store.open_exclusive, Store.open_shared):
            with pytest.raises(StoreError, match=r"has a second name, a hard link, .*: remove that name, or .*\.$"):
                opened(name)
    other.unlink()
    Store.open_exclusive(path).close()


def test_a_killed_owner_leaves_no_lock(path: Path) -> None:
    """Both locks end with their process."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.kill()
    Store.open_exclusive(linked_file(path)).close()


def test_removing_the_lock_file_opens_nothing(path: Path) -> None:
    """Who takes the lock file away does not let a second daemon in: the database itself is locked as well."""
    Store.open_exclusive(path).close()
    with owned(path) as pid:
        path.with_name("forwarder.db.lock").unlink()
        with pytest.raises(AlreadyRunning, match=rf"\(process {pid}\)"):
            Store.open_exclusive(path)


def test_visitors_come_by_a_link(path: Path) -> None:
    """A command that goes by a link sees what the daemon wrote, and what it writes the daemon sees."""
    store = Store.open_exclusive(path)
    visitor = Store.open_shared(linked_file(path))
    enqueue(visitor, alert(), "secops")
    assert rows(store, "SELECT count(*) FROM deliveries") == [(1,)]
    visitor.close()
    store.close()


# The file is taken away


def removed(path: Path) -> None:
    for file in path.parent.glob("forwarder.db*"):
        file.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def folder_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def replaced(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.db"))
    path.with_name("copy.db").replace(path)


def relinked(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.db"))
    target = path.with_name("original.db")
    path.rename(target)
    path.symlink_to("copy.db")


def restored(path: Path) -> None:
    backup = path.parent.parent / "backup.db"
    store = Store.open_shared(path)
    store.engine.backup(backup)
    store.close()
    shutil.copyfile(backup, path)


@pytest.mark.parametrize("change", [removed, moved, folder_moved, replaced, relinked, restored])
def test_nothing_is_written_to_a_file_that_nobody_will_find(path: Path, change: Callable[[Path], None]) -> None:
    """A database that is moved, removed or replaced while the daemon runs takes no more writes, with the way out."""
    store = Store.open_exclusive(path)
    enqueue(store, alert(id="before"), "secops")
    change(path)
    told = r"was (moved or removed|replaced by another one) while the forwarder runs"
    with pytest.raises(StoreError, match=told):
        enqueue(store, alert(id="after"), "secops")
    with pytest.raises(StoreError, match=told):
        store.retention.prove_writable()
    store.close()


def test_a_backup_that_is_copied_over_the_database_stays_whole(path: Path) -> None:
    """What the daemon still had in its log when a backup was copied over its database does not damage the copy."""
    store = Store.open_exclusive(path)
    enqueue(store, alert(id="kept"), "secops")
    backup = path.with_name("backup.db")
    store.engine.backup(backup)
    for number in range(50):
        enqueue(store, alert(id=f"lost-{number}", description="x" * 5000), "secops")
    shutil.copyfile(backup, path)
    with pytest.raises(StoreError, match="replaced by another one"):
        enqueue(store, alert(id="after"), "secops")
    store.close()
    assert path.read_bytes() == backup.read_bytes()
    with Store.open_exclusive(path) as restored:
        assert rows(restored, "SELECT alert_id FROM deliveries") == [("kept",)]
        assert rows(restored, "PRAGMA integrity_check") == [("ok",)]


def test_a_file_that_is_put_back_is_written_again(path: Path) -> None:
    """Once the database stands where it stood, the daemon goes on by itself."""
    store = Store.open_exclusive(path)
    enqueue(store, alert(id="before"), "secops")
    away = path.with_name("elsewhere.db")
    path.rename(away)
    with pytest.raises(StoreError, match="moved or removed"):
        enqueue(store, alert(id="between"), "secops")
    away.rename(path)
    enqueue(store, alert(id="after"), "secops")
    assert rows(store, "SELECT alert_id FROM deliveries ORDER BY id") == [("before",), ("after",)]
    store.close()


def test_a_note_beside_the_database_is_read_by_others_and_ends_with_its_owner(tmp_path: Path) -> None:
    """It is one line that is not too long, and the file still names the process."""
    path = tmp_path / "forwarder.db"
    store = Store.open_exclusive(path)
    assert pulse.noted(path) is None
    for reason in ("the disk is full\n" * 1000, "the disk is full: make room ."):
        pulse.note(path, pulse.Refusal(since=60.0, reason=reason))
        noted = pulse.noted(path)
        assert noted is not None
        assert noted.since == 60.0
        assert noted.reason.startswith("the disk is full")
        assert len(noted.reason) <= pulse.MOST
        assert "\n" not in noted.reason
        assert owner_pid(path) == os.getpid()
    pulse.note(path, None)
    assert (pulse.noted(path), owner_pid(path)) == (None, os.getpid())
    pulse.note(path, pulse.Refusal(since=60.0, reason="It was killed with this."))
    store.close()
    store = Store.open_exclusive(path)
    assert pulse.noted(path) is None
    store.close()


def test_a_note_that_cannot_be_left_hurts_nothing(tmp_path: Path) -> None:
    """Nor does one that cannot be read."""
    pulse.note(tmp_path / "missing.db", pulse.Refusal(since=1.0, reason="no"))
    (tmp_path / "odd.db.lock").write_bytes(b"1" * 20 + b"\xff\xfe odd")
    assert pulse.noted(tmp_path / "odd.db") is None
