"""A backup of the state on a server, by the commands that docs/postgresql.md shows: what comes back, and what twice."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from forwarder.common.databases import PostgresAddress
from forwarder.sandbox import Sandbox
from tests.kit import postgres
from tests.kit.desk import Desk
from tests.kit.postgres import PASSWORD, Server
from tests.kit.samples import real_alerts
from tests.test_end_to_end import moved_to_now, posts

PAGE: Final = Path(__file__).parent.parent / "docs" / "postgresql.md"


def shown(program: str) -> str:
    """The command line of the page that begins with a program."""
    (line,) = re.findall(rf"^ *(?:\$ )?({program} .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return str(line)


def carry_out(line: str, folder: Path, address: PostgresAddress) -> None:
    found = postgres.program(line.partition(" ")[0])
    if found is None:
        pytest.skip("the client programs of PostgreSQL are not installed")
    told = {"DATABASE_URL": address.url, "PATH": f"{Path(found).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", line], cwd=folder, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def messages(sandbox: Sandbox) -> Counter[str]:
    """How often each alert was told in Slack."""
    told = [str((post["metadata"] or {}).get("event_payload", {}).get("alert_id")) for post in posts(sandbox)]
    return Counter(told)


def test_a_dump_brings_back_all_that_was_known(tmp_path: Path, sandbox: Sandbox, server: Server) -> None:
    """What was delivered before the dump is not sent again; what came after it is, where nothing can be found there."""
    address = server.new_store()
    desk = Desk(tmp_path, sandbox)
    desk.config["database"] = address.url.replace(PASSWORD, "${DATABASE_PASSWORD}")
    desk.write()
    alerts = moved_to_now(real_alerts()[:15])
    before, after = alerts[:10], alerts[10:]

    sandbox.sentrytex.publish(*before)
    assert desk.run("once", DATABASE_PASSWORD=PASSWORD).exit_code == 0
    carry_out(shown("pg_dump"), tmp_path, address)
    sandbox.sentrytex.publish(*after)
    assert desk.run("once", DATABASE_PASSWORD=PASSWORD).exit_code == 0
    assert set(messages(sandbox).values()) == {1}
    tickets, incidents = len(sandbox.jira.issues), len(sandbox.pagerduty.incidents)

    carry_out(shown("psql"), tmp_path, address)
    carry_out(shown("pg_restore"), tmp_path, address)
    assert desk.run("once", DATABASE_PASSWORD=PASSWORD).exit_code == 0
    told = messages(sandbox)
    assert {told[alert["id"]] for alert in before} == {1}
    assert {told[alert["id"]] for alert in after} == {2}
    assert (len(sandbox.jira.issues), len(sandbox.pagerduty.incidents)) == (tickets, incidents)
