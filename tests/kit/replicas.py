"""Several replicas on one database, as real processes, and what the database says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from forwarder.common.databases import PostgresAddress
from forwarder.sandbox import Sandbox
from tests.kit.core import PATIENCE, Process, command, secrets, settings, until, written
from tests.kit.postgres import PASSWORD, Server

LEASE: Final = 8.0
"""Seconds of a lease: fewer than anybody would want, for a test waits for its end."""
ROLES: Final = frozenset({"feed", "scheduler", "upkeep", "connector:oncall", "connector:secops", "connector:tickets"})
_HELD: Final = """
SELECT r.pid, l.role FROM forwarder.leases AS l JOIN forwarder.replicas AS r ON r.id = l.owner
WHERE l.until > clock_timestamp() AND r.until > clock_timestamp()
"""


class Replicas:
    """Processes on one database, each in a folder of its own; ``via`` is the address by which one reaches it."""

    def __init__(self, folder: Path, sandbox: Sandbox, server: Server, address: PostgresAddress, **more: Any) -> None:
        self.folder, self.sandbox, self.server, self.address, self._more = folder, sandbox, server, address, more
        self.env = secrets(sandbox) | {"DATABASE_PASSWORD": PASSWORD, "FORWARDER_LEASE_SECONDS": f"{LEASE:g}"}
        self._stack = ExitStack()
        self._started = 0

    def start(
        self,
        *,
        via: PostgresAddress | None = None,
        command: str = "run",
        env: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Process:
        """One more; ``env`` is added to its environment."""
        self._started += 1
        folder = self.folder / f"replica-{self._started}"
        folder.mkdir()
        told = (via or self.address).url.replace(PASSWORD, "${DATABASE_PASSWORD}")
        written(folder, {**settings(self.sandbox), "database": told, **self._more, **more})
        return self._stack.enter_context(Process(folder, {**self.env, **(env or {})}, command=command))

    def command(self, number: int, *args: str, status: int = 0) -> str:
        """What a command says that is run beside the replica of this number, counted from 1."""
        done = command(self.folder / f"replica-{number}", *args, env=self.env)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    def configure(self, number: int, **more: Any) -> None:
        """Writes another config for the replica of this number, counted from 1."""
        folder = self.folder / f"replica-{number}"
        told = self.address.url.replace(PASSWORD, "${DATABASE_PASSWORD}")
        written(folder, {**settings(self.sandbox), "database": told, **self._more, **more})

    def held(self) -> dict[str, int]:
        """The process that has each role."""
        return {str(role): int(str(pid)) for pid, role in self.server.run(_HELD, self.address.name)}

    def spread(self) -> Counter[int]:
        """How many roles each process has."""
        return Counter(self.held().values())

    def until_spread(self, *processes: Process, seconds: float = PATIENCE * 3) -> None:
        """Waits until these and no others have all roles, evenly."""
        pids, most = {process.pid for process in processes}, -(-len(ROLES) // len(processes))

        def is_even() -> bool:
            held = self.held()
            share = Counter(held.values())
            return held.keys() == ROLES and share.keys() == pids and max(share.values()) <= most

        until(is_even, seconds)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return self.server.run(sql, self.address.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
