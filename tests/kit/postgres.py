"""A real PostgreSQL server for tests: started once, on a socket of its own, with a new database for each test."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

import psycopg
import pytest

from forwarder.common.databases import PostgresAddress
from forwarder.store import Store, StoreError

PASSWORD: Final = "pg-not-a-real-password"
USER: Final = "forwarder"
TIDIED_EVERY: Final = 25
"""Tests after which the rows are cleared away that were deleted in one and the same database."""
_SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "listen_addresses": "''",
    "log_min_messages": "fatal",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
"""What makes it quick, where nothing has to survive the machine; a crash of the server it does survive."""


_WHO_WRITES: Final = {"leases", "replicas", "marks", "turn"}
# What refers to others goes first: the order in which they were made, the other way round.
_TABLES: Final = """
SELECT relname FROM pg_class
WHERE relnamespace = 'forwarder'::regnamespace AND relkind = 'r' AND relname <> 'migrations' ORDER BY oid DESC
"""
_SEQUENCES: Final = "SELECT relname FROM pg_class WHERE relnamespace = 'forwarder'::regnamespace AND relkind = 'S'"


def program(name: str) -> str | None:
    """Where a program of the server is: on the path, or where Debian puts it; None where it is not."""
    found = shutil.which(name)
    inside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return found or (str(inside[0]) if inside else None)


def missing() -> str | None:
    """Why no server can be started here; None where one can."""
    if program("initdb") is None or program("postgres") is None:
        return "no PostgreSQL server is installed"
    if os.getuid() == 0 and (shutil.which("setpriv") is None or _account() is None):
        return "a PostgreSQL server does not run as root, and no other user can be taken"
    return None


def _account() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


@cache
def _made() -> Path:
    """The data of a server that was never started, for others to copy: to make it anew takes half a second."""
    folder = Path(tempfile.mkdtemp(prefix="pg-made-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    data, secret = folder / "data", folder / "password"
    secret.write_text(f"{PASSWORD}\n", "utf-8")
    give_to_another(folder, secret)
    initdb = program("initdb")
    assert initdb
    told = [
        *(initdb, "--pgdata", str(data), "--username", USER, "--pwfile", str(secret)),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
    ]
    subprocess.run([*as_another(), *told], check=True, capture_output=True, timeout=120, cwd="/")
    # To prove a password takes the server longer than most tests do.
    rules = f"local all {USER} trust\nlocal all all scram-sha-256\nhost all all all scram-sha-256\n"
    (data / "pg_hba.conf").write_text(rules, "utf-8")
    return data


class Server:
    """A server whose data is in ``folder``; ``folder`` is also where its socket is."""

    def __init__(self, folder: Path, *, port: int = 5432, settings: Sequence[str] = ()) -> None:
        self.folder, self.port = folder, port
        self._settings = [f"{name}={value}" for name, value in _SETTINGS.items()] + list(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._template: str | None = None
        self._shared: PostgresAddress | None = None
        self._opened: Store | None = None
        self._emptied = 0
        self._empty = ""
        self._connections: dict[str, psycopg.Connection[tuple[object, ...]]] = {}
        """One to each database that was asked something: connecting takes longer than most questions."""

    def create(self) -> None:
        """Gives it data with one user, who needs the password, and may make databases."""
        give_to_another(self.folder)
        # With the owner and rights of each file, which the server looks at.
        subprocess.run(["cp", "-a", _made(), self.folder / "data"], check=True, timeout=60)

    def start(self) -> None:
        """Starts it, and returns once it answers."""
        postgres = program("postgres")
        assert postgres
        options = [part for setting in self._settings for part in ("-c", setting.replace("''", ""))]
        self._process = subprocess.Popen(
            [
                *(*as_another(), postgres, "-D", str(self.folder / "data"), "-p", str(self.port)),
                *("-c", f"unix_socket_directories={self.folder}", *options),
            ],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ready = program("pg_isready")
        assert ready
        for _ in range(400):
            asked = [ready, "--quiet", "--host", str(self.folder), "--port", str(self.port), "--timeout", "5"]
            if subprocess.run(asked, check=False, timeout=60).returncode == 0:
                return
            assert self._process.poll() is None, "the server ended"
        raise AssertionError("the server does not answer")

    def close(self) -> None:
        """Stops it for good."""
        if self._opened is not None:
            self._opened.close()
        self.stop("immediate")

    def stop(self, how: str = "fast") -> None:
        """Stops it: ``fast`` ends every connection, ``immediate`` is a crash."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        control = program("pg_ctl")
        assert control
        stopping = [*as_another(), control, "stop", "-D", str(self.folder / "data"), "-m", how, "-s", "-w"]
        subprocess.run(stopping, check=False, capture_output=True, timeout=60, cwd="/")
        if self._process is not None:
            self._process.wait(60)
            self._process = None

    def address(self, name: str, *, password: str = PASSWORD, user: str = USER) -> PostgresAddress:
        """The address of a database there."""
        host = str(self.folder).replace("/", "%2F")
        return PostgresAddress(f"postgresql://{user}:{password}@{host}:{self.port}/{name}")

    def new(self, *, template: str = "template1") -> PostgresAddress:
        """A new database: empty, or a copy of ``template``."""
        self._databases += 1
        name = f"test_{os.getpid()}_{self._databases}"
        if (used := self._connections.pop(template, None)) is not None:
            used.close()
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.address(name)

    def new_store(self) -> PostgresAddress:
        """A new database with the store's tables in it, which are made once."""
        if self._template is None:
            template = self.new()
            Store.open_exclusive(template).close()
            self._template = template.name
        return self.new(template=self._template)

    def empty_store(self) -> PostgresAddress:
        """The one database with the store's tables that is emptied for each test, which is quicker than a new one."""
        if self._shared is None:
            self._shared = self.new_store()
        free = "; ".join(f"DELETE FROM forwarder.{table}" for table in ("leases", "replicas", "marks"))
        self.run(f"{self._emptying(self._shared)}; {free}", self._shared.name)
        return self._shared

    def open_store(self) -> Store:
        """The one store that stays open, and is emptied for each test: to connect takes longer than most tests."""
        if self._opened is not None:
            with suppress(StoreError):
                place = self._opened.engine.place
                assert isinstance(place, PostgresAddress)
                emptying = self._emptying(place)
                self._opened.engine.write(lambda connection: connection.execute(emptying))
                self._emptied += 1
                if self._emptied % TIDIED_EVERY == 0:
                    # Each query would pass by what all tests before it have left.
                    self.run("VACUUM", place.name)
                return Store(self._opened.engine)
        self._opened = Store.open_exclusive(self.new_store())
        return self._opened

    def _emptying(self, address: PostgresAddress) -> str:
        """What leaves a database as it was when it was new, but for who holds it."""
        if not self._empty:
            tables = [str(table) for (table,) in self.run(_TABLES, address.name)]
            sequences = self.run(_SEQUENCES, address.name)
            self._empty = "; ".join(
                [
                    *(f"DELETE FROM forwarder.{table}" for table in tables if table not in _WHO_WRITES),
                    *(f"ALTER SEQUENCE forwarder.{sequence} RESTART" for (sequence,) in sequences),
                    *(f"INSERT INTO forwarder.{table} (id) VALUES (1)" for table in ("feed", "daemon")),
                ]
            )
        return self._empty

    def run(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """What a statement finds, carried out outside of the store."""
        connection = self._connections.get(database)
        if connection is None or connection.closed:
            connection = psycopg.connect(self.address(database).url, autocommit=True)
            self._connections[database] = connection
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


@contextmanager
def server(settings: Sequence[str] = ()) -> Iterator[Server]:
    """A server of its own, skipped with the reason where there can be none."""
    why = missing()
    if why is not None:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    running = Server(folder, settings=settings)
    try:
        running.create()
        running.start()
        yield running
    finally:
        running.close()
        shutil.rmtree(folder, ignore_errors=True)


def as_another() -> list[str]:
    """What begins the command of a program that does not run as root, where this is root."""
    account = _account()
    if os.getuid() != 0 or account is None:
        return []
    setpriv = shutil.which("setpriv") or "setpriv"
    return [setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


def give_to_another(*paths: Path) -> None:
    """Lets who runs such a program have these."""
    account = _account()
    if os.getuid() == 0 and account is not None:
        for path in paths:
            os.chown(path, account.pw_uid, account.pw_gid)


class Proxy:
    """Stands between a client and ``server``, and can cut a connection in the midst of a commit.

    ``cuts`` says where: before the server has the commit, or after it has answered and the client has not heard of it.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.cuts: list[str] = []
        self.cut = 0
        """How many connections were cut."""
        self._refuses = False
        self._swallows: frozenset[threading.Event] | None = None
        self._ends: set[threading.Event] = set()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def address(self, of: PostgresAddress, options: str = "") -> PostgresAddress:
        """The same database, by way of here."""
        port = self._listening.getsockname()[1]
        return PostgresAddress(f"postgresql://{of.user}:{PASSWORD}@127.0.0.1:{port}/{of.name}{options}")

    def close(self) -> None:
        self._listening.close()

    def refuse(self) -> None:
        """Cuts every connection, and lets none through."""
        self._refuses = True
        self.cut_all()

    def cut_all(self) -> None:
        """Cuts every connection; new ones are let through."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def swallow(self) -> None:
        """Lets nothing through any more on the connections of now, and ends none: nobody hears that they are dead."""
        self._swallows = frozenset(self._ends)

    def admit(self) -> None:
        """Lets connections through again."""
        self._refuses = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                beyond = socket.socket(socket.AF_UNIX)
                try:
                    if self._refuses:
                        raise ConnectionRefusedError
                    beyond.connect(str(self._server.folder / f".s.PGSQL.{self._server.port}"))
                except OSError:
                    client.close()
                    beyond.close()
                    continue
                self._open |= {client, beyond}
                doomed = threading.Event()
                self._ends.add(doomed)
                for source, target in ((client, beyond), (beyond, client)):
                    threading.Thread(target=self._pass_on, args=(source, target, doomed), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if doomed.is_set():
                    break
                if doomed in (self._swallows or ()):
                    continue
                if b"COMMIT\0" in data and self.cuts:
                    self.cut += 1
                    doomed.set()
                    if self.cuts.pop(0) == "before the server has it":
                        break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()
